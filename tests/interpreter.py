"""Runs Python in another process, with the same ecgframe as the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ecgframe

TESTS = Path(__file__).parent
PACKAGES = Path(ecgframe.__file__).parents[1]


def python(*arguments: object, seconds: float = 240, **options: object) -> subprocess.CompletedProcess[str]:
    """Run Python with warnings as errors, and with ``-P``: sources in the working directory may not be built."""
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        **options,
    )

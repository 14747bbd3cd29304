"""A Python process of its own that imports the same ecgframe as the tests do, wherever it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ecgframe

TESTS = Path(__file__).parent
PACKAGES = Path(ecgframe.__file__).parents[1]


def python(*arguments: object, seconds: float = 240, **options: object) -> subprocess.CompletedProcess[str]:
    """Run it with warnings as errors. ``-P``: the working directory may hold the sources of ecgframe, not built."""
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        **options,
    )

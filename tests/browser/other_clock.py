"""Servers whose clock is wrong: Debian's ``faketime`` for the processes that are started meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

_SHOWN = "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "LD_PRELOAD"
"""What it sets for a program that it starts; its shared memory, which ends with it, is not needed."""


@contextmanager
def other_clock(offset: str) -> Iterator[None]:
    """Processes that are started within this context have another time of day, but a right monotonic clock.

    Args:
        offset: to the clock of this machine, as ``-3600s``.
    """
    program = shutil.which("faketime")
    if program is None:
        missing = "faketime is not installed (Debian: apt install faketime)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    command = [program, "--exclude-monotonic", "-f", offset, "env"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in said.splitlines() if line.startswith(_SHOWN))
    with patch.dict(os.environ, {name: variables[name] for name in _SHOWN}):
        yield

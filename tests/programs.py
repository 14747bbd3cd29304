"""Runs the programs of ``examples/``, as modules or as processes."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import ecgframe

EXAMPLES = Path(__file__).parents[1] / "examples"
PACKAGES = Path(ecgframe.__file__).parents[1]
LISTENS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@contextmanager
def imported(name: str) -> Iterator[ModuleType]:
    """Import a program as a new module."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))
        sys.modules.pop(name, None)


def output_of(name: str, *arguments: object) -> str:
    """Run a program until it ends, and return its output."""
    done = subprocess.run(
        [sys.executable, "-P", str(EXAMPLES / name), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program as a process. It is told to end when the block is left, and has to."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(EXAMPLES / name), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, EXAMPLES)))},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=120)


def port_of(process: subprocess.Popen[str]) -> int:
    """The port that a uvicorn server says it listens on."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := LISTENS.search(line):
            return int(found[1])
    raise AssertionError("it ended before it listened")

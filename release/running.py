"""Runs other programs, whose output is shown only if they fail."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

MEDDLING = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "CFLAGS",
    "ECGFRAME_PLAIN",
    "ECGFRAME_BUILD",
    "ECGFRAME_COVERAGE",
)


class Failed(Exception):
    """A check has failed. The message says which, and what was found."""


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process without variables that affect builds or imports, updated by another."""
    return {name: value for name, value in os.environ.items() if name not in MEDDLING} | dict(environment or {})


def run(
    *command: object,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 900,
) -> str:
    """Run a program, and return its standard output.

    Args:
        command: the program and its arguments.
        cwd: working directory.
        environment: additional environment variables.
        seconds: time limit.

    Raises:
        Failed: the exit code is not 0, or the time limit was exceeded.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=inherited(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"$ {shlex.join(words)}\nnot done after {seconds:g} s") from late
    if done.returncode:
        raise Failed(f"$ {shlex.join(words)}\n{done.stdout}{done.stderr}\nended with {done.returncode}")
    return done.stdout


def tool(name: str, package: str) -> Path:
    """Return the path of a program that has to be installed on the system.

    Raises:
        Failed: the program is missing. The message names its package.
    """
    found = shutil.which(name)
    if found is None:
        raise Failed(f"{name} is not installed; it comes with {package}")
    return Path(found)


def venv(
    python: Path, folder: Path, packages: Sequence[object] = (), environment: Mapping[str, str] | None = None
) -> Path:
    """Create a virtual environment with the packages; return its folder of programs."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if packages:
        install = (programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*install, *packages, cwd=folder.parent, environment=environment)
    return programs

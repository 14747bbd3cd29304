"""Running other programs: what they said is shown when they fail, and only then."""

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
    """A check of what would be published did not hold; the message says which, and what was found."""


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without what would change a build or an import, and this laid over it."""
    return {name: value for name, value in os.environ.items() if name not in MEDDLING} | dict(environment or {})


def run(
    *command: object,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 900,
) -> str:
    """What a program printed on stdout.

    Args:
        environment: laid over what is inherited.
        seconds: after which it is ended.

    Raises:
        Failed: it ended with anything but 0, or not in time.
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
    """The path of a program that the system must bring.

    Raises:
        Failed: it is not there; the message names the package that has it.
    """
    found = shutil.which(name)
    if found is None:
        raise Failed(f"{name} is not installed; it comes with {package}")
    return Path(found)


def venv(
    python: Path, folder: Path, packages: Sequence[object] = (), environment: Mapping[str, str] | None = None
) -> Path:
    """A new virtual environment with these packages; its folder of programs."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if packages:
        install = (programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*install, *packages, cwd=folder.parent, environment=environment)
    return programs

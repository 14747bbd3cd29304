"""Finds the supported interpreters on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = (3, 11), (3, 15)
ASKED = """
import json, platform, sys, sysconfig
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps([platform.python_implementation(), sys.version_info[:2], free_threaded]))
"""


class Python(NamedTuple):
    """An interpreter.

    Attributes:
        path: path of the program.
        tag: tag of its wheels, such as ``cp314t``.
    """

    path: Path
    tag: str


def installed() -> list[Python]:
    """Return one CPython of each supported version that is installed, the oldest first."""
    found: dict[str, Python] = {}
    for path in _candidates():
        python = examine(path)
        if python is not None:
            found.setdefault(python.tag, python)
    return sorted(found.values(), key=lambda python: (len(python.tag), python.tag))


def examine(path: Path) -> Python | None:
    """Return the interpreter at the path; None if it is not a supported CPython or does not start."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", ASKED], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    implementation, (major, minor), free_threaded = json.loads(answer)
    if implementation != "CPython" or not OLDEST <= (major, minor) <= NEWEST:
        return None
    return Python(path, f"cp{major}{minor}{'t' if free_threaded else ''}")


def _candidates() -> list[Path]:
    """Return the running interpreter, those of pyenv, and those on the PATH, without the shims of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python3.{minor}{threads}" for minor in range(OLDEST[1], NEWEST[1] + 1) for threads in ("", "t")]
    on_path = [Path(found) for name in names if (found := shutil.which(name)) and "shims" not in Path(found).parts]
    base = Path(sys.base_prefix, "python.exe" if os.name == "nt" else f"bin/python3.{sys.version_info.minor}")
    return [base, *sorted(pyenv.glob("*/bin/python3"), reverse=True), *on_path]

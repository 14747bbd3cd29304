"""Checks that all required packages have wheels for every supported Python and platform.

    python -m release.requirements

This runs pip, which queries the index without installing anything. The Pythons and platforms are those of the table of
cibuildwheel in pyproject.toml. Without a wheel, pip would have to compile the package on the user's machine.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from .project import project
from .running import Failed, run

_LINUX = {"manylinux": [f"manylinux_2_{minor}" for minor in range(28, 16, -1)], "musllinux": ["musllinux_1_2"]}
_MACOS = [f"macosx_{version}" for version in ("14_0", "13_0", "12_0", "11_0", "10_15", "10_13", "10_9")]
_SYSTEMS = {
    "linux": ("linux", "Linux", "posix"),
    "macos": ("darwin", "Darwin", "posix"),
    "windows": ("win32", "Windows", "nt"),
}


class Target(NamedTuple):
    """A Python on a platform.

    Attributes:
        python: tag of the Python, such as ``cp314t``.
        platform: name of the platform, such as ``musllinux aarch64``.
        tags: platform tags of compatible wheels.
        environment: values of environment markers.
    """

    python: str
    platform: str
    tags: tuple[str, ...]
    environment: dict[str, str]


def targets() -> Iterator[Target]:
    """Yield every Python on every platform that the wheels of this package are built for."""
    table = project()["tool"]["cibuildwheel"]
    for pattern in table["build"]:
        python = pattern.removesuffix("-*")
        for platform, tags, system, machine in _platforms(table):
            sys_platform, platform_system, os_name = _SYSTEMS[system]
            environment = {
                "python_version": _version(python),
                "python_full_version": f"{_version(python)}.0",
                "sys_platform": sys_platform,
                "platform_system": platform_system,
                "platform_machine": machine,
                "os_name": os_name,
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
            }
            yield Target(python, platform, tuple(tags), environment)


def _platforms(table: dict[str, dict[str, list[str]]]) -> Iterator[tuple[str, list[str], str, str]]:
    for machine in table["linux"]["archs"]:
        for libc, names in _LINUX.items():
            yield f"{libc} {machine}", [f"{name}_{machine}" for name in names], "linux", machine
    for machine in table["macos"]["archs"]:
        yield (
            f"macOS {machine}",
            [f"{name}_{kind}" for name in _MACOS for kind in (machine, "universal2")],
            "macos",
            machine,
        )
    for machine in table["windows"]["archs"]:
        yield f"Windows {machine}", [f"win_{machine.lower()}"], "windows", machine


def _version(python: str) -> str:
    digits = python.removeprefix("cp").removesuffix("t")
    return f"{digits[0]}.{digits[1:]}"


def required(target: Target) -> list[str]:
    """Return the requirements that apply to the target, without their markers."""
    found = []
    for text in project()["project"]["dependencies"]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(target.environment):
            found.append(f"{requirement.name}{requirement.specifier}")
    return found


def missing(target: Target, requirements: list[str]) -> list[str]:
    """Return the requirements without a wheel for the target."""
    if _has_wheels(target, requirements):
        return []
    return [requirement for requirement in requirements if not _has_wheels(target, [requirement])]


def _has_wheels(target: Target, requirements: list[str]) -> bool:
    platforms = [word for tag in target.tags for word in ("--platform", tag)]
    chosen = ["--implementation", "cp", "--python-version", _version(target.python), "--abi", target.python]
    with tempfile.TemporaryDirectory(prefix="ecgframe-requirements-") as folder:
        nowhere = ["--no-deps", "--only-binary=:all:", "--dry-run", "--ignore-installed", "--target", folder]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            run(*pip, *nowhere, *chosen, *platforms, *requirements, cwd=Path(folder))
        except Failed as failed:
            if "No matching distribution found" not in str(failed):
                raise  # the index does not answer
            return False
    return True


def main() -> int:
    """Print the result for each target; return 1 if a wheel is missing."""
    lacking = 0
    for target in targets():
        without = missing(target, required(target))
        lacking += bool(without)
        print(
            f"{target.python:8}{target.platform:22}{'no wheel of ' + ', '.join(without) if without else 'ok'}",
            flush=True,
        )
    return min(lacking, 1)


if __name__ == "__main__":
    raise SystemExit(main())

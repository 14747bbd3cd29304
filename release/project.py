"""Reads project metadata from pyproject.toml, so that it is stated only there."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@cache
def project() -> dict[str, Any]:
    """Return the contents of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def group(name: str) -> list[str]:
    """Return the packages of a dependency group and of the groups that it includes."""
    found: list[str] = []
    for entry in project()["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else group(entry["include-group"])
    return found


def oldest(package: str) -> str:
    """Return a requirement for the oldest supported release of a dependency, such as ``numpy==1.26.*``."""
    for requirement in project()["project"]["dependencies"]:
        if found := re.fullmatch(rf"{package}>=([\d.]+)", requirement):
            return f"{package}=={found[1]}.*"
    raise LookupError(f"pyproject.toml names no oldest {package}")

"""What pyproject.toml says of the project, so that it stands there alone."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@cache
def project() -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def group(name: str) -> list[str]:
    """The packages of a dependency group."""
    return list(project()["dependency-groups"][name])


def oldest(package: str) -> str:
    """The oldest release of a dependency that we promise to run with, as a requirement: ``numpy==1.26.*``."""
    for requirement in project()["project"]["dependencies"]:
        if found := re.fullmatch(rf"{package}>=([\d.]+)", requirement):
            return f"{package}=={found[1]}.*"
    raise LookupError(f"pyproject.toml names no oldest {package}")

"""The package ``release`` of the project's root, which is not installed and whose folder must not be on the path:
beside it lie the sources of ecgframe, not built."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "release"


def load(name: str) -> ModuleType:
    """One of its modules, or a skip where the tests are without it."""
    if not FOLDER.is_dir():
        pytest.skip("the package release is not here", allow_module_level=True)
    if "release" not in sys.modules:
        init = FOLDER / "__init__.py"
        spec = importlib.util.spec_from_file_location("release", init, submodule_search_locations=[str(FOLDER)])
        assert spec is not None
        sys.modules["release"] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"release.{name}")

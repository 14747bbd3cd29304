"""The core without a compiler: what the ``.pyx`` files do, in Python, slower.

For installations that have no compiled extension. Every object packs to the same bytes, every payload reads to the same
value or fails the same check; the tests hold the two side by side.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class _SourceFinder(MetaPathFinder):
    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_file_location(fullname, self._path) if fullname == self._name else None


def import_from_source(name: str, path: str) -> None:
    """Have ``import name`` run this file, even where a compiled form of it is installed."""
    sys.meta_path.insert(0, _SourceFinder(name, path))

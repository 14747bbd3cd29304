"""The plain core: the same functions as the ``.pyx`` files, in Python and slower.

For installations without compiled extensions. Both cores pack every object to the same bytes, and unpack every payload
to the same value or fail the same check; the tests compare them.
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
    """Make ``import name`` run this file, even if a compiled version of the module is installed."""
    sys.meta_path.insert(0, _SourceFinder(name, path))

"""The plain core: the same functions as the ``.pyx`` files, in Python and slower.

For installations without compiled extensions. Both cores pack every object to the same bytes, and unpack every payload
to the same value or fail the same check; the tests compare them.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class _SourceFinder(MetaPathFinder):
    def __init__(self, package: str, folder: str) -> None:
        self._prefix = f"{package}."
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._prefix):
            return None
        return spec_from_file_location(fullname, os.path.join(self._folder, fullname[len(self._prefix) :] + ".py"))


def import_from_source(package: str, folder: str) -> None:
    """Make imports of the modules of a package run their sources, even if compiled versions of them are installed."""
    sys.meta_path.insert(0, _SourceFinder(package, folder))

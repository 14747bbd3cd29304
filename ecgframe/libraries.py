"""Import of optional libraries on demand."""

from __future__ import annotations

import importlib
import warnings
from typing import Any


class MissingLibrary(ModuleNotFoundError):
    """An optional library is not installed. The message says how to install it."""


def library(name: str, *, extra: str, purpose: str) -> Any:
    """Import a module of an optional library.

    Args:
        name: name of the module.
        extra: extra of this package that installs the library.
        purpose: what needs the library, such as "reading EDF".

    Raises:
        MissingLibrary: the library is not installed.
    """
    try:
        with warnings.catch_warnings():
            # wfdb calls deprecated functions of pandas, which does not concern the user
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"{purpose} needs {error.name}, which is not installed: {how_to_install(extra)}"
        ) from error


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra of this package.

    It names the package where it is installed, from wherever: pip keeps it, and installs what the extra needs. Where
    the package is imported from a source tree without being installed, it names the folder.
    """
    return f'pip install "{_sources() or "ecgframe"}[{extra}]"'


def _sources() -> str | None:
    """Return the folder of the source tree that is in use without being installed, or None."""
    from importlib.metadata import distributions  # noqa: PLC0415 - slow to import, and needed for errors alone
    from pathlib import Path  # noqa: PLC0415 - as above

    sources = Path(__file__).resolve().parents[1]
    if not (sources / "pyproject.toml").is_file():
        return None
    places = [Path(str(one.locate_file(""))).resolve() for one in distributions(name="ecgframe")]
    # A build leaves metadata in the source tree, which are no installation.
    return str(sources) if all(place == sources for place in places) else None

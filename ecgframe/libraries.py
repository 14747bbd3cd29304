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
            f'{purpose} needs {error.name}, which is not installed: pip install "ecgframe[{extra}]"'
        ) from error

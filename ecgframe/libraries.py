"""Optional libraries, imported when something asks for them."""

from __future__ import annotations

import importlib
import warnings
from typing import Any


class MissingLibrary(ModuleNotFoundError):
    """An optional library that is not installed. The message says what brings it."""


def library(name: str, *, extra: str, purpose: str) -> Any:
    """The module of that name.

    Args:
        name: as it is imported.
        extra: the extra of this package that installs it.
        purpose: what needs it, as the beginning of a sentence: "reading EDF".

    Raises:
        MissingLibrary: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # wfdb builds its tables by pandas calls that pandas has announced to change; no concern of our users
            warnings.simplefilter("ignore", DeprecationWarning)
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f'{purpose} needs {error.name}, which is not installed: pip install "ecgframe[{extra}]"'
        ) from error

"""Import of pylsl, which needs liblsl, a library that its wheels do not contain for every platform."""

from __future__ import annotations

from typing import Any, Final

from ...libraries import MissingLibrary, library

PURPOSE: Final = "the bridge to the Lab Streaming Layer"


def load_pylsl() -> Any:
    """Import pylsl.

    Raises:
        MissingLibrary: pylsl, or the library liblsl that it loads, is not installed.
    """
    try:
        return library("pylsl", extra="lsl", purpose=PURPOSE)
    except RuntimeError as error:  # pylsl found no liblsl, or cannot load it
        [problem, *_] = str(error).splitlines() or [type(error).__name__]
        raise MissingLibrary(
            f"{PURPOSE} needs liblsl, which pylsl cannot load here ({problem.strip()}): install liblsl from "
            "https://github.com/sccn/liblsl/releases, or with conda install -c conda-forge liblsl",
            name="pylsl",
        ) from error

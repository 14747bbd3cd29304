"""Log records of the server: what happened to which connection, never what a message held."""

from __future__ import annotations

import logging
from traceback import extract_tb
from typing import Any, Final

logger: Final = logging.getLogger("ecgframe.server")


def place_of(error: BaseException) -> str:
    """Where an exception was raised. Its text is not told: it may quote a message."""
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def log_failure(what: str, error: BaseException, **fields: Any) -> None:
    """Log that code of the application's failed.

    The traceback, with the exception's text, is added at level DEBUG only.
    """
    logger.error(
        "%s failed: %s at %s",
        what,
        type(error).__name__,
        place_of(error),
        exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
        extra={"error": type(error).__name__, **fields},
    )

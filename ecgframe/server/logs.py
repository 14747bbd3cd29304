"""The server's logger. Its records name connections and never quote messages."""

from __future__ import annotations

import logging
from traceback import extract_tb
from typing import Any, Final

from ..foreign_text import gated_logger

logger: Final = gated_logger("ecgframe.server")


def place_of(error: BaseException) -> str:
    """Return where an exception was raised, as ``file:line``. Its text is left out: it may quote a message."""
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def log_failure(what: str, error: BaseException, **fields: Any) -> None:
    """Log an exception: its type and where it was raised.

    The traceback, which has the exception's text, is added only if the logger's level is DEBUG.

    Args:
        what: what failed, such as the name of a hook.
        error: the exception.
        fields: further attributes of the record.
    """
    logger.error(
        "%s failed: %s at %s",
        what,
        type(error).__name__,
        place_of(error),
        exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
        extra={"error": type(error).__name__, **fields},
    )

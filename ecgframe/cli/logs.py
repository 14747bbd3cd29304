"""Logging to stderr, as plain lines or as JSON lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from ..foreign_text import printable, printable_lines
from ..libraries import library

OWN = "ecgframe"
AUDIT = "ecgframe.audit"
WEBSOCKETS = "websockets"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@contextmanager
def log_to_stderr(level: LogLevel, as_json: bool, worker: int | None = None) -> Iterator[None]:
    """Log to stderr within the context.

    Args:
        level: lowest level of ecgframe's records. Libraries are logged from WARNING on, or from INFO on if ``level`` is
            DEBUG; at DEBUG, websockets would log the contents of messages.
        as_json: log one JSON object a line, with the time in UTC, level, logger, message and all extra fields.
        worker: number of this process among those that share a port, which each line then has; None for no others.

    Raises:
        MissingLibrary: ``as_json`` is set, and python-json-logger is not installed.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_json_lines(worker) if as_json else _lines(worker))
    if level is not LogLevel.DEBUG:
        handler.addFilter(_is_not_failed_handshake)
    root, own, audit = logging.getLogger(), logging.getLogger(OWN), logging.getLogger(AUDIT)
    before = root.level, own.level, audit.level
    audit.setLevel(logging.WARNING)  # it is a log of its own
    root.addHandler(handler)
    root.setLevel(logging.INFO if level is LogLevel.DEBUG else logging.WARNING)
    own.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        own.setLevel(before[1])
        audit.setLevel(before[2])


class _PrintableLines(logging.Formatter):
    """Formats each record as one printable line. Records, those of libraries too, may quote what peers sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Format the line without its traceback."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Format a traceback. Its last line quotes the text of the exception."""
        return printable_lines(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Format the stack of a record that was logged with ``stack_info``."""
        return printable_lines(super().formatStack(stack_info))


def _lines(worker: int | None) -> logging.Formatter:
    who = "" if worker is None else f"worker {worker}: "
    lines = _PrintableLines(f"%(asctime)s.%(msecs)03dZ %(levelname)-7s {who}%(message)s", "%Y-%m-%dT%H:%M:%S")
    lines.converter = time.gmtime
    return lines


def _json_lines(worker: int | None) -> logging.Formatter:
    formatters = library("pythonjsonlogger.json", extra="logs", purpose="logging as JSON")
    lines: logging.Formatter = formatters.JsonFormatter(
        "%(levelname)s%(name)s%(message)s",
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={} if worker is None else {"worker": worker},
    )
    return lines


def _is_not_failed_handshake(record: logging.LogRecord) -> bool:
    """Filter out failed handshakes, which are not errors of the server: health checks and port scanners cause many."""
    return not (record.name.startswith(WEBSOCKETS) and record.msg == "opening handshake failed")

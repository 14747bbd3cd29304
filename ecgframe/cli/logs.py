"""Log records on stderr: lines for people, or a JSON object a line for programs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from ..libraries import library

OWN = "ecgframe"
WEBSOCKETS = "websockets"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@contextmanager
def log_to_stderr(level: LogLevel, as_json: bool) -> Iterator[None]:
    """Log within the context.

    Args:
        level: of ecgframe's own records. Those of libraries are logged from WARNING on; with DEBUG, from INFO on: below
            that, websockets quotes what messages hold.
        as_json: the time in UTC, level, logger, message and all fields of the record, as a JSON object a line.

    Raises:
        MissingLibrary: ``as_json``, and python-json-logger is not installed.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_json_lines() if as_json else _lines())
    if level is not LogLevel.DEBUG:
        handler.addFilter(_is_no_stray_knock)
    root, own = logging.getLogger(), logging.getLogger(OWN)
    before = root.level, own.level
    root.addHandler(handler)
    root.setLevel(logging.INFO if level is LogLevel.DEBUG else logging.WARNING)
    own.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        own.setLevel(before[1])


def _lines() -> logging.Formatter:
    lines = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    lines.converter = time.gmtime
    return lines


def _json_lines() -> logging.Formatter:
    formatters = library("pythonjsonlogger.json", extra="logs", purpose="logging as JSON")
    lines: logging.Formatter = formatters.JsonFormatter(
        "%(levelname)s%(name)s%(message)s", timestamp="time", rename_fields={"levelname": "level", "name": "logger"}
    )
    return lines


def _is_no_stray_knock(record: logging.LogRecord) -> bool:
    """A connection that never becomes a WebSocket is no error of ours: load balancers and scanners make many."""
    return not (record.name.startswith(WEBSOCKETS) and record.msg == "opening handshake failed")

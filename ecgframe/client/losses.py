"""The warning about lost messages, where the application has no callback for them."""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime, timedelta

from .cursor import Gap
from .publisher import Lost

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DataLost(UserWarning):
    """Messages of a stream are lost, and the application gave no ``on_gap`` or ``on_lost``.

    Attributes:
        what: a ``Gap`` of a subscription, or the ``Lost`` of a publisher.
    """

    def __init__(self, what: Gap | Lost) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        what = self.what
        if isinstance(what, Lost):
            return f"{what.stream!r}: {_counted(what.messages)} not published"
        return f"{what.stream!r}: {_counted(what.frames)} lost between {_time(what.start)} and {_time(what.stop)}"


def warn_of(what: Gap | Lost) -> None:
    """Emit the warning, for the line of the application's code that is running."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("ecgframe."):
        level, frame = level + 1, frame.f_back
    warnings.warn(DataLost(what), stacklevel=level)


def _counted(messages: int | None) -> str:
    if messages is None:
        return "an unknown number of messages is"
    return "1 message is" if messages == 1 else f"{messages} messages are"


def _time(microseconds: int) -> str:
    try:
        return f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%d %H:%M:%S.%f} UTC"
    except OverflowError:
        return f"{microseconds} us"

"""Conversion of times: Unix seconds or dates in payloads, whole microseconds since 1970 in headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ..protocol import LARGEST_TIMESTAMP

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(time: float | datetime) -> int:
    """Convert a time to whole microseconds since 1970, clamped to the range of a 64-bit timestamp.

    A date without a time zone counts as UTC. Unix seconds in float64 are exact to the microsecond until the year 2242.
    """
    if isinstance(time, datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        exact = (aware - _EPOCH) // _MICROSECOND
    else:
        # Clamp before the multiplication, which would turn a large float64 into infinity.
        exact = round(min(max(time, 0), LARGEST_TIMESTAMP) * 1_000_000)
    return min(max(exact, 0), LARGEST_TIMESTAMP)


def seconds(timestamp: int) -> float:
    """Convert a timestamp in microseconds to Unix seconds, as payloads have them."""
    return timestamp / 1_000_000

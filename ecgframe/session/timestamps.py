"""Moments: on the wire Unix seconds or a date, inside whole microseconds since 1970, as V3 headers have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ..protocol import LARGEST_TIMESTAMP

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(time: float | datetime) -> int:
    """The moment in whole microseconds since 1970; a date without zone counts as UTC.

    A float64 of Unix seconds tells microseconds apart until the year 2242, so nothing is lost to rounding. What a
    64-bit timestamp cannot say becomes the nearest that it can.
    """
    if isinstance(time, datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        exact = (aware - _EPOCH) // _MICROSECOND
    else:
        # Bounded before it is multiplied: a float64 near its limit would become infinite.
        exact = round(min(max(time, 0), LARGEST_TIMESTAMP) * 1_000_000)
    return min(max(exact, 0), LARGEST_TIMESTAMP)


def seconds(timestamp: int) -> float:
    """The moment in Unix seconds, as it stands in payloads."""
    return timestamp / 1_000_000

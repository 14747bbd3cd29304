"""Times in messages: Unix seconds or a date."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite


def unix_seconds(time: object) -> float | None:
    """Convert a time of a message to Unix seconds. A date without a time zone is in UTC.

    Returns:
        None for anything but a finite number or a date.
    """
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    if not isinstance(time, int | float) or isinstance(time, bool) or not isfinite(time):
        return None
    return float(time)

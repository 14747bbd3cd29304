"""Times in CSV files: names of time columns, and formats of times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

UNITS: Final = {
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millis": 1e-3,
    "milliseconds": 1e-3,
    "us": 1e-6,
    "\N{MICRO SIGN}s": 1e-6,
    "\N{GREEK SMALL LETTER MU}s": 1e-6,
    "microseconds": 1e-6,
    "ns": 1e-9,
    "nanoseconds": 1e-9,
    "min": 60.0,
    "minutes": 60.0,
}
"""Units of time, in seconds."""

_NAME: Final = re.compile(r"(?:elapsed[\s_]*)?(?:time(?:[\s_]*stamp)?|datetime|date[\s_]*time|date|zeit|t|seconds)")
_EPOCHS: Final = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
"""Smallest number that counts as time since 1970, and its unit in seconds: dates from 1973 to 5138."""

_CLOCK: Final = re.compile(r"\[?(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)(?:\s+\d{1,2}/\d{1,2}/\d{2,4})?\]?")


class TimeColumn(NamedTuple):
    """A time column, with its unit in seconds; None if its name does not state it."""

    unit: float | None


def time_column(name: str, unit_below: str = "") -> TimeColumn | None:
    """Return the unit of a time column; None if the name is not that of a time column.

    Args:
        name: name of the column.
        unit_below: its cell in the row of units; empty if there is none.
    """
    plain = name.strip().lower()
    unit = UNITS.get(unit_below.strip(" []()").lower())
    if match := re.fullmatch(r"(.+?)\s*[\[(]\s*(.*?)\s*[\])]", plain):
        plain, unit = match[1], UNITS.get(match[2], unit)
    elif (match := re.fullmatch(r"(.+?)[\s_](\S+)", plain)) and match[2] in UNITS and _NAME.fullmatch(match[1]):
        plain, unit = match[1], UNITS[match[2]]
    if not _NAME.fullmatch(plain):
        return None
    return TimeColumn(1.0 if plain.endswith("seconds") else unit)


def seconds_of(text: str) -> float | None:
    """Parse a date or a time of day to seconds; None if it is neither.

    Dates become Unix seconds; without a time zone, they are in UTC. Times of day become seconds since midnight.
    """
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def in_seconds(times: npt.NDArray[np.float64], unit: float | None) -> tuple[npt.NDArray[np.float64], float]:
    """Convert times to seconds; also return their unit, in seconds.

    Args:
        times: times as in the file.
        unit: unit in seconds; None to guess it: by the magnitude for times since 1970, else seconds.
    """
    if unit is None:
        first = abs(float(times[0])) if len(times) else 0.0
        unit = next((seconds for least, seconds in _EPOCHS if first >= least), 1.0)
    return times if unit == 1.0 else times * unit, unit


def start_of(first: float) -> datetime | None:
    """Convert Unix seconds to a date in UTC; None if the number is too small for a time since 1970."""
    return datetime.fromtimestamp(first, UTC) if first >= _EPOCHS[-1][0] else None

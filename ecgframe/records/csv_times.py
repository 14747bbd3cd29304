"""Times in CSV files: names and units of time columns, and formats of times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from .units import LONGEST

_SPELLINGS: Final = (
    (1.0, "s sec secs second seconds sek sekunden"),
    (1e-3, "ms msec msecs millis millisec millisecs millisecond milliseconds"),
    (1e-6, "us usec usecs microsec microsecs microsecond microseconds"),
    (1e-6, "\N{MICRO SIGN}s \N{MICRO SIGN}sec \N{GREEK SMALL LETTER MU}s \N{GREEK SMALL LETTER MU}sec"),
    (1e-9, "ns nsec nsecs nanosec nanosecs nanosecond nanoseconds"),
    (60.0, "min mins minute minutes"),
    (3600.0, "h hr hrs hour hours"),
    (86400.0, "d day days"),
)

UNITS: Final = {name: seconds for seconds, names in _SPELLINGS for name in names.split()}
"""Units of time in seconds, by their names in lower case."""

_NO_UNIT: Final = re.compile(r"|-|utc|gmt|local|unix|epoch|since .*|.*[hd]{2}.?[mt]{2}.*|.*y{4}.*|iso ?8601|date|clock")
"""Texts in brackets after the name of a time column, or in the line below it, that are not a unit."""

_NAME: Final = re.compile(
    r"(?:(?:elapsed|relative|rel|absolute|abs|unix|recording)[\s_.-]*)?"
    r"(?:time(?:[\s_.-]*stamps?)?|times|time and date|datetime|date[\s_]*time|date|zeit|t|seconds)"
    r"(?:[\s_]*since[\s_].*)?|elapsed|epoch"
)
_WITH_UNIT: Final = re.compile(r"(.+?)(?:\s+in\s+|\s*[_/\\:;,.|-]\s*|\s+)(\S+)")
_JOINED: Final = re.compile(r"(time|timestamp)(ms|msec|millis|us|ns|sec|secs|seconds)")
_ALONE: Final = re.compile(r"ms|msecs?|millis|milliseconds|usecs?|microseconds|nanoseconds|secs?")
"""Names of time columns that consist only of a unit."""

_EPOCHS: Final = (
    (1e17, 1e-9, "nanoseconds since 1970"),
    (1e14, 1e-6, "microseconds since 1970"),
    (1e11, 1e-3, "milliseconds since 1970"),
    (1e8, 1.0, "seconds since 1970"),
)
"""Smallest number that counts as time since 1970, its unit in seconds, and in words: dates from 1973 to 5138."""

_LAST: Final = 2.5e11
"""Seconds since 1970 beyond which there is no date."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_CLOCK: Final = re.compile(r"\[?(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)(?:\s+\d{1,2}/\d{1,2}/\d{2,4})?\]?")
_PHYSIONET: Final = re.compile(r"\[(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d*))?\s+(\d{1,2})/(\d{1,2})/(\d{4})\]")


class TimeColumn(NamedTuple):
    """A time column.

    Attributes:
        unit: its unit in seconds; None if the file does not state it.
        unknown: what the file states in place of a known unit; empty if nothing.
    """

    unit: float | None
    unknown: str = ""


def time_column(name: str, unit_below: str = "") -> TimeColumn | None:
    """Return the unit of a time column; None if the name is not that of a time column.

    Args:
        name: name of the column.
        unit_below: its cell in the row of units; empty if there is none.
    """
    plain = name.strip().lower()
    if len(plain) > LONGEST:
        return None
    if _ALONE.fullmatch(plain):
        return TimeColumn(UNITS[plain])
    unit = unit_below.strip(" []()").lower()
    if match := re.fullmatch(r"(.+?)\s*[\[({]\s*(.*?)\s*[\])}]", plain):
        plain, unit = match[1], match[2]
    elif (match := _WITH_UNIT.fullmatch(plain) or _JOINED.fullmatch(plain)) and match[2] in UNITS:
        plain, unit = (match[1], match[2]) if _NAME.fullmatch(match[1]) else (plain, unit)
    if not _NAME.fullmatch(plain) or unit in ("sample", "samples"):
        return None
    return _with_unit("s" if not unit and plain.endswith("seconds") else unit)


def column_of_times(name: str, unit_below: str) -> TimeColumn:
    """Return the unit of a column that the user names as that of the times, whatever its name."""
    if found := time_column(name, unit_below):
        return found
    if len(name) > LONGEST:
        return TimeColumn(None)
    if match := re.fullmatch(r".+?\s*[\[({]\s*(.*?)\s*[\])}]", name.strip().lower()):
        return _with_unit(match[1])
    if (match := _WITH_UNIT.fullmatch(name.strip().lower())) and match[2] in UNITS:
        return TimeColumn(UNITS[match[2]])
    return _with_unit(unit_below.strip(" []()").lower())


def _with_unit(text: str) -> TimeColumn:
    if text in UNITS:
        return TimeColumn(UNITS[text])
    return TimeColumn(None, "" if _NO_UNIT.fullmatch(text) else text)


def moment_of(text: str) -> datetime | None:
    """Parse a date, with a time or without; None if it is none. Without a time zone, none is added.

    PhysioNet writes dates as ``[10:00:00.000 31/05/2011]``, the day before the month.
    """
    if match := _PHYSIONET.fullmatch(text.strip(" '")):
        hours, minutes, seconds, part, day, month, year = match.groups()
        microseconds = int(part.ljust(6, "0")[:6]) if part else 0
        try:
            return datetime(int(year), int(month), int(day), int(hours), int(minutes), int(seconds), microseconds)
        except ValueError:
            return None
    try:
        return datetime.fromisoformat(text.strip(" '"))
    except ValueError:
        return None


def seconds_of(text: str) -> float | None:
    """Parse a date or a time of day to seconds; None if it is neither.

    Dates become seconds since 1970; without a time zone, as if they were in UTC. Times of day become seconds since
    midnight, without a date behind them unless ``moment_of`` knows its order.
    """
    if moment := moment_of(text):
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH).total_seconds()
    if match := _CLOCK.fullmatch(text.strip(" '")):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
    return None


def guessed_unit(first: float) -> tuple[float, str]:
    """Guess the unit of times by the first one; return it in seconds, and in words.

    Numbers as large as those since 1970 are taken for such, by their magnitude; all others for seconds.
    """
    return next(((unit, words) for least, unit, words in _EPOCHS if abs(first) >= least), (1.0, "seconds"))


def start_of(first: float) -> datetime | None:
    """Convert seconds since 1970 to a date in UTC; None if the number is too small for that."""
    return datetime.fromtimestamp(first, UTC) if _EPOCHS[-1][0] <= first < _LAST else None

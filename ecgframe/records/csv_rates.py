"""Sampling rate and start of a CSV file: from its times, its comments, or the user."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from .csv_dialect import is_number
from .csv_notes import NotedRate, hertz, noted_rates
from .csv_table import Table
from .csv_times import guessed_unit, moment_of, start_of
from .mapped import Reading
from .record import PORTION

FINER = ((1e-3, "milliseconds"), (1e-6, "microseconds"), (1e-9, "nanoseconds"))
"""Units of times, in seconds and in words, that are tried if the rate is known and the unit is not."""

LOWEST: Final = 10
"""Sampling rate in Hz below which times without a unit are not taken for seconds: an ECG has more."""


def rate_and_start(table: Table, given: float | None) -> tuple[float, datetime | None]:
    """Return the sampling rate in Hz, and the time of the first sample if it is known. Assumptions become remarks.

    Args:
        table: the file.
        given: sampling rate in Hz, as given by the user; None if it is not.

    Raises:
        RecordError: the rate is unknown, the times are uneven, or what the file and the user state differs.
    """
    noted = _noted_rate(table, given)
    stated = given if noted is None else noted.hertz
    start = _noted_start(table)
    if table.columns.time is not None:
        times = _Times(table, table.columns.time)
        start = start or _start(table, times)
        if table.times.samples > 1:
            return _agreed(table, times, noted, given), start
    if stated is None:
        table.fail('no column is called "time"; give the sampling rate in Hz (--sampling-rate)')
    return stated, start


def _agreed(table: Table, times: _Times, noted: NotedRate | None, given: float | None) -> float:
    """Return the rate of the times; refuse the file if its comments or the user state another."""
    stated = given if noted is None else noted.hertz
    found = _rate_of_times(table, times, stated)
    if stated is not None and found != stated and times.guessed:
        for unit, words in FINER:
            finer = _Times(table, times.column, unit, words)
            if abs(stated * unit - found) < 0.5 * found and _rate_of_times(table, finer, stated) == stated:
                times, found = finer, stated
                break
    if noted is not None and found != noted.hertz:
        if given != found or noted.name == "sampling_rate":
            table.fail(f"its note says {noted.hertz:g} Hz, and its times {found:.9g} Hz")
        table.remarks.append(f"its note says {noted.hertz:g} Hz, and was ignored: its times agree with the given rate")
    if times.guessed and given is not None and found != given:
        table.fail(
            f"its sampling rate is {found:g} Hz, not the given {given:g} Hz, if its times are {times.guessed}; omit "
            "it, or name the unit of the times, as in 'time (ms)'"
        )
    if times.guessed and stated is None and found < LOWEST:
        table.fail(
            f"its times have no unit, and as {times.guessed} they give {found:g} Hz, which is no rate of an ECG; name "
            "their unit, as in 'time (ms)', or give the sampling rate in Hz (--sampling-rate)"
        )
    if times.guessed and (found != stated or times.guessed != "seconds"):
        table.remarks.append(f"no unit is given for its times: taken as {times.guessed}")
    return found


def _noted_rate(table: Table, given: float | None) -> NotedRate | None:
    """Return the sampling rate in the comments; None if they have none that is understood."""
    own = table.notes.get("sampling_rate")
    if own is not None:
        rate = hertz(own) if not is_number(own) and hertz(own) else (table.noted("sampling_rate") or (0.0,))[0]
        return NotedRate("sampling_rate", own, rate)
    rates = noted_rates(table.notes)
    known = {rate.hertz: rate for rate in rates if rate.hertz is not None}
    if len(known) > 1:
        table.fail(f"its notes say {' and '.join(f'{rate:g} Hz' for rate in known)}; remove all but one")
    if known:
        return next(iter(known.values()))
    for one in rates:
        if given is None and table.times.samples < 2:
            table.fail(
                f"its note {one.name!r} holds {one.text!r}, which is no rate; give the sampling rate in Hz "
                "(--sampling-rate)"
            )
        table.remarks.append(f"its note {one.name!r} holds {one.text!r}, which is no rate; it was ignored")
    return None


def _noted_start(table: Table) -> datetime | None:
    for name, text in table.notes.items():
        if name.lower() in ("start", "recorded date") and text:
            start = moment_of(re.sub(r" (?=[+-]\d\d:?\d\d$)", "", text))
            if start is None:
                table.remarks.append(f"its note {name!r} holds {text!r}, which is no date in ISO 8601; it was ignored")
            return start
    return None


def _start(table: Table, times: _Times) -> datetime | None:
    text = table.first_times[0]
    if is_number(text, table.dialect.decimal):
        return start_of(times.at(0))
    start = moment_of(text)
    if start is None and "/" in text:
        table.remarks.append("the dates of its times were ignored, as the order of day and month is not certain")
    return start


class _Times:
    """The times of a table, in seconds.

    Attributes:
        column: their column.
        unit: their unit in the file, in seconds.
        guessed: that unit in words, if the file does not state it; else empty.

    Raises:
        RecordError: the file states a unit that is not known.
    """

    def __init__(self, table: Table, column: int, unit: float | None = None, words: str = "") -> None:
        self.column = column
        self._reading = Reading(table.times.signal())
        self.unit, self.guessed = _unit(table, column, self._first()) if unit is None else (unit, words)

    def at(self, row: int) -> float:
        """Return the time of a row."""
        return float(self.between(row, row + 1)[0])

    def between(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return the times of rows ``start`` to ``stop``."""
        times: npt.NDArray[np.float64] = self._reading.samples(start, stop)[0]
        return times if self.unit == 1 else times * self.unit

    def _first(self) -> float:
        return float(self._reading.samples(0, 1)[0, 0])


def _unit(table: Table, column: int, first: float) -> tuple[float, str]:
    """Return the unit of the times in seconds, and in words if it is guessed."""
    stated = table.columns.time_unit
    if not is_number(table.first_times[0], table.dialect.decimal):
        return 1.0, ""  # dates and times of day have been converted to seconds
    if stated is not None and stated.unknown:
        table.fail(
            f"its times are in {stated.unknown!r}, which is no known unit; write s, ms, us, ns, min, h or d there, or "
            "take the column out and give the sampling rate in Hz (--sampling-rate)",
            column=column,
        )
    if stated is not None and stated.unit is not None:
        return stated.unit, ""
    return guessed_unit(first)


def _rate_of_times(table: Table, times: _Times, stated: float | None) -> float:
    """Return the stated rate if it agrees with the times, otherwise the roundest rate that does."""
    last = table.times.samples - 1
    expected = float(np.median(np.diff(times.between(0, PORTION))))
    if stated and abs(stated * expected - 1) < 0.6:
        expected = 1 / stated
    for start in range(0, last, PORTION):
        some = times.between(start, start + PORTION + 1)
        even = np.abs(np.diff(some) - expected) < 0.6 * expected
        if not even.all():
            row = int(np.argmin(even)) + 1
            table.fail(
                f"the time goes from {some[row - 1]:g} to {some[row]:g} s, where a step of {expected:.4g} s is "
                "expected; samples are missing or out of order, or the times are rounded too far to tell: then take "
                "the column out and give the sampling rate in Hz (--sampling-rate)",
                start + row,
                times.column,
            )
    span = times.at(last) - times.at(0)
    rate = last / span
    tolerance = rate * ((_resolution(table, times.unit) + 4 * float(np.spacing(abs(times.at(last))))) / span + 1e-9)
    if stated is not None and abs(stated - rate) <= tolerance:
        return stated
    return next((round(rate, digits) for digits in range(10) if abs(round(rate, digits) - rate) <= tolerance), rate)


def _resolution(table: Table, unit: float) -> float:
    """Return the resolution of the times as written, in seconds."""
    texts = (*table.first_times, table.last_time)
    if any("e" in text.lower() for text in texts if is_number(text, table.dialect.decimal)):
        return 0.0
    digits = [len(decimals[1]) for text in texts if (decimals := re.search(r"[.,](\d+)", text))]
    return float(unit * 10.0 ** -max(digits, default=0))

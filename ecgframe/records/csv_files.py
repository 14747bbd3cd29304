"""CSV: a row a sample, a column a lead.

What is read: an optional row of lead names; an optional column ``time`` in seconds, from which comes the sampling
rate; comma, semicolon or tab between the columns. Whole numbers throughout are counts, anything else is mV.
Lines of ``# name: value`` say more (``sampling_rate``, ``units``, ``dtype``, ``gain``,
``baseline``), and ``write_csv`` writes them, so that a record comes back from its own file to the last bit.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np
import numpy.typing as npt

from .record import COUNTS, Record, RecordError, narrowest

TIME_NAMES = ("time", "t", "seconds", "time_s", "time (s)", "time [s]")
DTYPES = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)) + tuple(
    f"float{bits}" for bits in (16, 32, 64)
)


@dataclass(slots=True)
class _Table:
    """The file as text: notes, header and rows, each row with the number of its line."""

    path: Path
    notes: dict[str, str] = field(default_factory=dict)
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def fail(self, problem: str, row: int | None = None, column: int | None = None) -> NoReturn:
        place = str(self.path)
        if row is not None:
            place += f", line {self.lines[row]}"
        if column is not None:
            place += f", column {column + 1}"
        raise RecordError(f"{place}: {problem}")


def read_csv(path: Path, sampling_rate: float | None = None) -> Record:
    """The record in a CSV file; every number exactly as written.

    Raises:
        RecordError: a cell is no number, a row is short, the times are uneven, or nobody gives the sampling rate.
    """
    table = _read(path)
    columns = len(table.rows[0])
    time = _time_column(table)
    signals = [column for column in range(columns) if column != time]
    if not signals:
        table.fail("it holds a time and nothing else")
    signal = _signal(table, signals)
    return Record(
        signal=signal,
        sampling_rate=_sampling_rate(table, time, sampling_rate),
        leads=tuple(table.header[column] for column in signals)
        if table.header
        else tuple(f"ch{number}" for number in range(1, len(signals) + 1)),
        units=table.notes.get("units") or (COUNTS if signal.dtype.kind in "iu" else "mV"),
        gain=_note(table, "gain"),
        baseline=_note(table, "baseline"),
        source=str(path),
    )


def write_csv(record: Record, file: TextIO) -> None:
    """The record with a time column and its calibration in comments; ``read_csv`` gives it back exactly.

    Numbers are written with as many digits as tell them apart from their neighbours, and no more.
    """
    file.write(f"# sampling_rate: {record.sampling_rate!r}\n# units: {record.units}\n# dtype: {record.signal.dtype}\n")
    if record.gain is not None and record.baseline is not None:
        file.write(f"# {record.units} = (count - baseline) / gain\n")
        for name, numbers in (("gain", record.gain), ("baseline", record.baseline)):
            file.write(f"# {name}: {', '.join(map(repr, numbers))}\n")
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["time", *record.leads])
    rate = record.sampling_rate
    rows.writerows([number / rate, *samples] for number, samples in enumerate(record.signal.T.tolist()))


def _read(path: Path) -> _Table:
    table = _Table(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not text, so no CSV ({error})") from error
    kept: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            table.notes.setdefault(name.strip(), value.strip())
        elif line.strip():
            kept.append(line)
            table.lines.append(number)
    if not kept:
        table.fail("it holds no samples")
    try:
        delimiter = max(",;\t", key=lambda delimiter: len(next(csv.reader(kept, delimiter=delimiter))))
        table.rows = list(csv.reader(kept, delimiter=delimiter))
    except csv.Error as error:
        raise RecordError(f"{path}: not readable as CSV ({error})") from error
    if any(cell and not _is_number(cell) for cell in table.rows[0]):
        table.header = [name.strip() for name in table.rows.pop(0)]
        table.lines.pop(0)
    if not table.rows:
        table.fail("it holds a header and no samples")
    _check_widths(table)
    return table


def _check_widths(table: _Table) -> None:
    width = len(table.header or table.rows[0])
    for row, cells in enumerate(table.rows):
        if len(cells) != width:
            table.fail(f"{len(cells)} columns where there are {width} above", row)


def _time_column(table: _Table) -> int | None:
    for column, name in enumerate(table.header):
        if name.lower() in TIME_NAMES:
            return column
        if name.lower().startswith("time"):
            raise RecordError(
                f'{table.path}: column {column + 1} is called {name!r}; a time must be in seconds, called "time". '
                "Rename it, or take it out and give the sampling rate in Hz (--sampling-rate)"
            )
    return None


def _signal(table: _Table, columns: Sequence[int]) -> npt.NDArray[Any]:
    """[leads, samples]: integers when every cell is a whole number, else float64, unless a note says the dtype."""
    dtype = table.notes.get("dtype")
    if dtype is not None and dtype not in DTYPES:
        table.fail(f"its note says dtype {dtype!r}, which is none of {', '.join(DTYPES)}")
    if (dtype or "int").startswith(("int", "uint")):
        counts = _whole_numbers(table, columns)
        if counts is not None:
            return _as_noted(table, counts, dtype) if dtype else narrowest(counts)
        if dtype:
            table.fail(f"its note says dtype {dtype}, but not every sample is a whole number of 64 bits")
    floats = np.array([[_number(table, row, column) for row in range(len(table.rows))] for column in columns])
    return floats.astype(dtype or np.float64)


def _whole_numbers(table: _Table, columns: Sequence[int]) -> npt.NDArray[Any] | None:
    try:
        rows = [[int(row[column]) for column in columns] for row in table.rows]
        dtype = np.uint64 if table.notes.get("dtype") == "uint64" else np.int64
        return np.array(rows, dtype).T
    except (ValueError, OverflowError):
        return None


def _as_noted(table: _Table, counts: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    limits = np.iinfo(dtype)
    if counts.min() < limits.min or counts.max() > limits.max:
        table.fail(f"its note says dtype {dtype}, but it holds {counts.min()} to {counts.max()}")
    return counts.astype(dtype)


def _number(table: _Table, row: int, column: int) -> float:
    text = table.rows[row][column]
    try:
        return float(text)
    except ValueError:
        hint = (
            "; write decimals with a point" if "," in text else "" if text else "; write nan where a sample is missing"
        )
        table.fail(f"{text!r} is no number{hint}", row, column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _note(table: _Table, name: str) -> tuple[float, ...] | None:
    text = table.notes.get(name)
    if text is None:
        return None
    if not all(map(_is_number, text.split(","))):
        table.fail(f"its note {name!r} holds {text!r}, which is not made of numbers")
    return tuple(map(float, text.split(",")))


def _sampling_rate(table: _Table, time: int | None, given: float | None) -> float:
    noted = _note(table, "sampling_rate")
    rate = noted[0] if noted else given
    if time is not None and len(table.rows) > 1:
        found = _rate_of_times(table, time, rate)
        if noted and found != rate:
            table.fail(f"its note says {rate:g} Hz, and its times {found:.9g} Hz")
        return found
    if rate is None:
        table.fail('no column is called "time"; give the sampling rate in Hz (--sampling-rate)')
    return rate


def _rate_of_times(table: _Table, column: int, given: float | None) -> float:
    """The given rate if the times allow it, else the roundest rate that they allow."""
    times = np.array([_number(table, row, column) for row in range(len(table.rows))])
    if not np.isfinite(times).all():
        row = int(np.argmin(np.isfinite(times)))
        table.fail(f"{table.rows[row][column]!r} is no time", row, column)
    steps = np.diff(times)
    expected = 1 / given if given and given > 0 else np.median(steps)
    even = np.abs(steps - expected) < 0.6 * expected
    if not even.all():
        row = int(np.argmin(even)) + 1
        table.fail(
            f"the time goes from {times[row - 1]:g} to {times[row]:g} s, where a step of {expected:.4g} s is expected; "
            "samples are missing or out of order, or the times are rounded too far to tell: then take the column out "
            "and give the sampling rate in Hz (--sampling-rate)",
            row,
            column,
        )
    span = times[-1] - times[0]
    rate = float(len(steps) / span)
    tolerance = rate * (_resolution(table, column) / span + 1e-9)
    if given is not None and abs(given - rate) <= tolerance:
        return given
    return next((round(rate, digits) for digits in range(10) if abs(round(rate, digits) - rate) <= tolerance), rate)


def _resolution(table: _Table, column: int) -> float:
    """The unit of the last digit to which the times are written, in seconds."""
    texts = [row[column].lower() for row in (table.rows[0], table.rows[-1])]
    return 0.0 if any("e" in text for text in texts) else 10.0 ** -max(len(text.partition(".")[2]) for text in texts)

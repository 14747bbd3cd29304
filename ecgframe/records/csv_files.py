r"""CSV files: one row per sample, one column per lead.

``read_csv`` accepts an optional row of lead names and an optional row of units below it; columns separated by commas,
semicolons, tabs, bars or blanks; a decimal point or comma; and an optional column of times, which gives the sampling
rate. Lines that begin with ``#`` or ``%`` are metadata (``name: value``), and so are lines above the names
(``name,value``). Columns of row numbers and of text are not leads. Integers without a unit are ADC counts.
``read_csv`` restores a record exactly from a file of ``write_csv``.

Files of ``write_csv`` are safe to open in a spreadsheet and to print in a terminal. A lead name that begins like a
formula (with ``=``, ``+``, ``-``, ``@``, a tab or a line break) is preceded by ``'`` in the header, and control
characters are escaped as ``\x1b``. In that case, the comment ``# names: {"leads": [...], "units": ...}`` has the
original names as JSON. Without that comment, ``read_csv`` removes such a ``'``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

import numpy as np
import numpy.typing as npt

from ..foreign_text import from_spreadsheet_cell, spreadsheet_cell, spreadsheet_comment, spreadsheet_json
from .annotation import Annotation
from .bounds import MOST_LEADS, check_annotations
from .channels import MILLIVOLTS, Marked, stacked
from .csv_cells import Cells, IntegerColumn, LineNumbers, MissingCells, NumberColumns
from .csv_columns import JSON, Columns, columns_of, notes_above
from .csv_dialect import DECIMALS, Dialect, dialects, is_missing, is_number, may_be_decimal_commas, rows_of
from .csv_rows import rows_as_text
from .csv_times import in_seconds, seconds_of, start_of
from .mapped import Reading
from .record import COUNTS, PORTION, Record, RecordError
from .sample_buffer import SampleBuffer

NAMES: Final = "names"
"""Comment with lead names and units as JSON, for those that have to be escaped in cells and comments."""

DTYPES: Final = tuple(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)) + tuple(
    f"float{bits}" for bits in (16, 32, 64)
)

COMMENTS: Final = ("#", "%")

LOOKED_AT: Final = 400
"""Number of lines from which the dialect is detected."""

LETTERS_LOOKED_AT: Final = 1 << 18
"""Letters from which the dialect is detected, if its lines are long: each is divided once for each dialect."""

LONGEST_ROW: Final = 1 << 17
"""Letters of a line of samples; each of the most leads may have 32."""

ROWS: Final = 10_000
"""Rows that are converted at a time, and written."""

CELLS: Final = 200_000
"""Cells that are converted at a time, if that is less."""


@dataclass(slots=True)
class _Table:
    """The contents of a file by column, with the line number of each row."""

    path: Path
    notes: dict[str, str]
    columns: Columns
    dialect: Dialect
    numbers: NumberColumns
    times: SampleBuffer = field(default_factory=lambda: SampleBuffer(1, np.float64))
    lines: LineNumbers = field(default_factory=LineNumbers)
    first_times: list[str] = field(default_factory=list)
    last_time: str = ""

    def fail(self, problem: str, row: int | None = None, column: int | None = None) -> NoReturn:
        place = str(self.path)
        if row is not None:
            place += f", line {self.lines.of(row)}"
        if column is not None:
            place += f", column {column + 1}"
        raise RecordError(f"{place}: {problem}")


def read_csv(
    path: Path,
    sampling_rate: float | None = None,
    wanted: Sequence[str] | None = None,
    *,
    decimal: str | None = None,
    time_column: str | None = None,
    units: str | None = None,
    gain: float | None = None,
    baseline: float | None = None,
) -> Record:
    """Read a CSV file.

    Args:
        path: the file.
        sampling_rate: sampling rate in Hz, if the file does not state it.
        wanted: names of the leads to read, in that order; None for all of the same unit.
        decimal: decimal separator, "." or ","; None to detect it.
        time_column: name of the time column; None to detect it.
        units: unit of the samples, if the file does not state it.
        gain: ADC counts per unit, if the samples are counts and the file does not state it.
        baseline: ADC count of 0 units; None for 0.

    Raises:
        RecordError: a cell is not a number, a row has a wrong number of cells, the times are uneven, or the sampling
            rate is unknown.
    """
    text, encoding = _text(path)
    table, repaired = _read(path, text, decimal, time_column)
    if encoding:
        repaired = (*repaired, encoding)
    leads = list(table.columns.leads)
    counting = [column for column in leads if _only_counts(table, column)]
    leads = [column for column in leads if column not in counting]
    if not leads:
        table.fail("it has times but no samples")
    leads, others = _chosen(table, leads, wanted, units)
    signal, missing = _signal(table, leads)
    rate, start = _rate_and_start(table, sampling_rate)
    left_out = tuple(
        table.columns.names[column] or f"column {column + 1}" for column in (*table.columns.text, *counting, *others)
    )
    noted = _noted(table, signal, missing, leads) or _named(table, signal, leads, units, gain, baseline)
    return Record(
        sampling_rate=rate,
        leads=_noted_leads(table, len(leads)) or _leads(table, leads),
        source=str(path),
        left_out=left_out,
        missing=missing if noted["signal"].dtype.kind in "iu" else None,
        start=_noted_start(table) or start,
        annotations=_noted_annotations(table),
        repaired=repaired,
        **noted,
    )


def write_csv(record: Record, file: TextIO) -> None:
    """Write a record with a time column, and its calibration in comments. ``read_csv`` restores it exactly.

    Floats are written with the fewest digits that identify them.
    """
    units = spreadsheet_comment(record.units)
    file.write(f"# sampling_rate: {record.sampling_rate!r}\n# units: {units}\n# dtype: {record.signal.dtype}\n")
    if record.gain is not None and record.baseline is not None:
        file.write(f"# {units} = (count - baseline) / gain\n")
        for name, numbers in (("gain", record.gain), ("baseline", record.baseline)):
            file.write(f"# {name}: {', '.join(map(repr, numbers))}\n")
    if record.missing is not None:
        file.write(f"# missing: {record.missing}\n")
    if record.start is not None:
        file.write(f"# start: {record.start.isoformat()}\n")
    if record.annotations:
        file.write(f"# annotations: {spreadsheet_json(record.annotations)}\n")
    cells = [spreadsheet_cell(lead) for lead in record.leads]
    if [*cells, units] != [*record.leads, record.units] or any(";" in cell for cell in cells):
        file.write(f"# {NAMES}: {spreadsheet_json({'leads': record.leads, 'units': record.units})}\n")
    csv.writer(file, lineterminator="\n").writerow(["time", *cells])
    reading = Reading(record.signal)
    at_a_time = _at_a_time(len(record.signal))
    for start in range(0, record.samples, at_a_time):
        portion = reading.samples(start, start + at_a_time).T
        times = np.arange(start, start + len(portion)) / record.sampling_rate
        file.write(rows_as_text(times, portion))


def _leads(table: _Table, columns: Sequence[int]) -> tuple[str, ...]:
    """Return the lead names of the header, without the quote that keeps a spreadsheet from reading a formula."""
    names = enumerate(columns, 1)
    return tuple(from_spreadsheet_cell(table.columns.lead(column, number)) for number, column in names)


def _noted_leads(table: _Table, count: int) -> tuple[str, ...] | None:
    """Return the lead names in the comment of ``write_csv``; None if it is missing or columns were removed since."""
    leads = _names(table).get("leads")
    is_whole = isinstance(leads, list) and len(leads) == count and all(isinstance(lead, str) for lead in leads)
    return tuple(leads) if isinstance(leads, list) and is_whole else None


def _noted_units(table: _Table) -> str | None:
    units = _names(table).get("units")
    return units if isinstance(units, str) else None


def _names(table: _Table) -> dict[str, object]:
    try:
        names = json.loads(table.notes.get(NAMES, "{}"))
    except (ValueError, RecursionError):  # a comment of another program
        return {}
    return names if isinstance(names, dict) else {}


# --- from text to columns ---


def _text(path: Path) -> tuple[TextIO, str]:
    """Open the file as text; return it, and a note if it is not UTF-8, else an empty string."""
    start = _beginning(path, 4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding, said = "utf-16", "read as UTF-16"
    else:
        encoding, said = "utf-8-sig", ""
    try:
        with path.open(encoding=encoding) as text:
            while text.read(1 << 20):
                pass
    except (UnicodeError, UnicodeDecodeError) as error:
        if encoding == "utf-16" or b"\0" in _beginning(path, 1 << 16):
            raise RecordError(f"{path}: not text, so no CSV ({error})") from error
        encoding, said = "latin-1", "its text is not UTF-8 and was read as Latin-1"
    return path.open(encoding=encoding, newline=""), said


def _beginning(path: Path, nbytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(nbytes)


def _numbered(path: Path, text: TextIO, notes: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Yield the lines with cells and their numbers; add comments to the notes."""
    for number, line in enumerate(text, 1):
        if line.startswith(COMMENTS):
            _note_comment(line[1:].strip(), notes)
        elif plain := line.rstrip():
            if len(plain) > LONGEST_ROW:
                raise RecordError(
                    f"{path}, line {number}: {len(plain):,} letters, and no row of samples has more than "
                    f"{LONGEST_ROW:,}; each lead is a column"
                )
            yield number, line.rstrip("\r\n")


def _looked_at(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Take the first lines, from which the dialect is detected."""
    first: list[tuple[int, str]] = []
    letters = 0
    for line in lines:
        first.append(line)
        letters += len(line[1])
        if len(first) == LOOKED_AT or letters > LETTERS_LOOKED_AT:
            break
    return first


def _note_comment(line: str, notes: dict[str, str]) -> None:
    if line.startswith("{"):
        notes.setdefault(JSON, line)
        return
    for mark in ":=":
        name, found, value = line.partition(mark)
        if found:
            notes.setdefault(name.strip(), value.strip())
            return
    notes.setdefault(line, "")


def _read(path: Path, text: TextIO, decimal: str | None, time_column: str | None) -> tuple[_Table, tuple[str, ...]]:
    notes: dict[str, str] = {}
    with text:
        lines = _numbered(path, text, notes)
        first = _looked_at(lines)
        if not first:
            raise RecordError(f"{path}: it holds no samples")
        try:
            dialect = _dialect(path, [line for _, line in first], decimal)
            table = _with_names(path, first, notes, dialect, time_column)
            _fill(table, first[dialect.begins :], lines)
        except csv.Error as error:
            raise RecordError(f"{path}: not readable as CSV ({error})") from error
    return table, ("the separator at the end of each line was taken for no column",) if table.columns.empty else ()


def _dialect(path: Path, lines: Sequence[str], decimal: str | None) -> Dialect:
    if decimal is not None and decimal not in DECIMALS:
        raise RecordError(f"decimals are written with a point or a comma, not with {decimal!r}")
    found = dialects(lines, DECIMALS if decimal is None else (decimal,))
    if not found:
        raise RecordError(f"{path}: it holds a header and no samples")
    best = found[0]
    if best.width > MOST_LEADS:
        raise RecordError(f"{path}: {best.width:,} columns; more than {MOST_LEADS:,} are not believed")
    rows = list(islice(rows_of(lines[best.begins :], best.delimiter), 50))
    if decimal is None and best.begins == 0 and best.delimiter == "," and may_be_decimal_commas(rows):
        raise RecordError(
            f"{path}: {lines[0]!r} may be {best.width} whole numbers, or {best.width // 2} with a decimal comma; say "
            "which decimals it has (--decimal . or --decimal ,)"
        )
    return best


def _with_names(
    path: Path, first: Sequence[tuple[int, str]], notes: dict[str, str], dialect: Dialect, time_column: str | None
) -> _Table:
    above = list(rows_of([line for _, line in first[: dialect.begins]], dialect.delimiter))
    header: list[str] = []
    units: list[str] = []
    while (above and len(above[-1]) == dialect.width) or (above and _trimmed(above[-1], dialect)):
        units, header = header, above.pop()[: dialect.width]
        if units:
            break
    notes_above(above, notes)
    rows = list(islice(rows_of([line for _, line in first[dialect.begins :]], dialect.delimiter), LOOKED_AT))
    try:
        columns = columns_of(header, units, rows, dialect, notes, time_column)
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    dtype = np.uint64 if notes.get("dtype") == "uint64" else np.int64
    return _Table(path, notes, columns, dialect, NumberColumns(columns.leads, dtype))


def _trimmed(row: Sequence[str], dialect: Dialect) -> bool:
    """Tell whether a row of names has one more, empty cell than the rows below, after a separator at its end."""
    return len(row) == dialect.width + 1 and not row[-1]


def _fill(table: _Table, first: Sequence[tuple[int, str]], rest: Iterator[tuple[int, str]]) -> None:
    """Add all rows to the table, in blocks."""
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for source in (first, rest):
            for number, line in source:
                numbers.append(number)
                yield line

    rows = rows_of(texts(), table.dialect.delimiter)
    at_a_time = _at_a_time(table.dialect.width)
    while block := list(islice(rows, at_a_time)):
        table.lines.add(numbers[: len(block)])
        del numbers[: len(block)]
        _check_widths(table, block)
        _add(table, block)


def _at_a_time(columns: int) -> int:
    """Return the number of rows of so many columns that are converted at a time."""
    return max(1, min(ROWS, CELLS // columns))


def _check_widths(table: _Table, block: Sequence[Sequence[str]]) -> None:
    width = table.dialect.width
    for row, cells in enumerate(block):
        if len(cells) != width and not (len(cells) == width + 1 and not cells[-1]):
            table.fail(f"{len(cells)} columns where there are {width} above", table.lines.rows - len(block) + row)


def _add(table: _Table, block: Sequence[Sequence[str]]) -> None:
    columns = table.columns
    if columns.leads:
        table.numbers.add([_cells(table, column, [row[column] for row in block]) for column in columns.leads])
    if columns.time is not None:
        texts = [row[columns.time] for row in block]
        table.first_times = table.first_times or texts[:1]
        table.last_time = texts[-1]
        _add_times(table, columns.time, texts)


def _cells(table: _Table, column: int, texts: Sequence[str]) -> Cells:
    """Return the numbers of a column as integers as long as all are, else as floats."""
    if table.numbers.is_whole(column):
        try:
            return _whole_numbers(texts, table.numbers.dtype)
        except (ValueError, OverflowError):
            pass
    try:
        return table.dialect.numbers(texts), None
    except ValueError:
        first = table.lines.rows - len(texts)
        numbers = (
            np.nan if is_missing(text) else _number(table, text, first + row, column) for row, text in enumerate(texts)
        )
        return np.fromiter(numbers, np.float64, len(texts)), None


def _whole_numbers(texts: Sequence[str], dtype: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the integers, with 0 for missing ones, and which are missing. Raises ValueError if one is no integer."""
    if any("_" in text for text in texts):  # accepted by Python only
        raise ValueError("an underscore")
    try:
        return np.array(list(map(int, texts)), dtype), np.zeros(len(texts), np.bool_)
    except ValueError:
        is_gone = np.fromiter(map(is_missing, texts), np.bool_, len(texts))
        numbers = [0 if gone else int(text) for text, gone in zip(texts, is_gone, strict=True)]
        return np.array(numbers, dtype), is_gone


def _number(table: _Table, text: str, row: int, column: int) -> float:
    try:
        return table.dialect.number(text)
    except ValueError:
        hint = "; write decimals with a point" if "," in text and table.dialect.decimal == "." else ""
        table.fail(f"{text!r} is not a number{hint}", row, column)


def _add_times(table: _Table, column: int, texts: Sequence[str]) -> None:
    first = table.lines.rows - len(texts)
    times = np.empty((1, len(texts)))
    for row, text in enumerate(texts):
        if is_number(text, table.dialect.decimal):
            times[0, row] = table.dialect.number(text)
        elif (seconds := seconds_of(text)) is not None:
            times[0, row] = seconds
        else:
            table.fail(f"{text!r} is not a number", first + row, column)
        if not np.isfinite(times[0, row]):
            table.fail(f"{text!r} is not a time", first + row, column)
    table.times.add(times)


# --- from columns to a record ---


def _only_counts(table: _Table, column: int) -> bool:
    """Tell whether a column has row numbers: each value is one more than the previous, or starts again."""
    numbers = table.numbers
    if column not in table.columns.may_count or not numbers.is_whole(column) or numbers.has_missing(column):
        return False
    least = min(numbers.integers(column, start, start + ROWS).min() for start in range(0, numbers.rows, ROWS))
    for start in range(0, numbers.rows, ROWS):
        values = numbers.integers(column, start, start + ROWS + 1)
        steps = np.diff(values)
        if not np.all((steps == 1) | ((steps < 0) & (values[1:] == least))):
            return False
    return True


def _chosen(
    table: _Table, leads: Sequence[int], wanted: Sequence[str] | None, units: str | None
) -> tuple[list[int], list[int]]:
    """Return the columns to read, and the others. By default, those are the voltages, or all if in one unit."""
    names = {column: table.columns.lead(column, number) for number, column in enumerate(leads, 1)}
    chosen = list(leads)
    if wanted is not None:
        for name in wanted:
            if name not in names.values():
                table.fail(f"no lead {name!r} there; it has {', '.join(map(repr, names.values()))}")
        chosen = [column for name in dict.fromkeys(wanted) for column in leads if names[column] == name]
    if units is None:
        kinds = {column: _kind(table.columns.units[column]) for column in chosen}
        found = set(kinds.values()) - {""}
        if "mV" in found and wanted is None:
            chosen = [column for column in chosen if kinds[column] in ("mV", "")] if len(found) > 1 else chosen
        elif len(found) > 1:
            table.fail(
                f"its columns are in {' and '.join(sorted(found))}; name the leads to take, all of one unit (--leads), "
                "or give their unit (--units)"
            )
    return chosen, [column for column in leads if column not in chosen]


def _kind(unit: str) -> str:
    return "mV" if unit.lower() in MILLIVOLTS else unit


def _signal(table: _Table, leads: Sequence[int]) -> tuple[npt.NDArray[Any], int | None]:
    """Return the samples as [leads, samples], and the count of missing ones.

    The dtype is that of the note; by default integers if every cell is one, else float64.
    """
    dtype = table.notes.get("dtype")
    if dtype is not None and dtype not in DTYPES:
        table.fail(f"its note says dtype {dtype!r}, which is none of {', '.join(DTYPES)}")
    numbers = table.numbers
    is_whole = all(map(numbers.is_whole, leads))
    if is_whole and (dtype or "int").startswith(("int", "uint")):
        counts = [IntegerColumn(numbers, column) for column in leads]
        mark = _note_missing(table)
        if any(map(numbers.has_missing, leads)):
            gone = [MissingCells(numbers, column) for column in leads]
            if mark is None:
                return stacked(counts, gone, numbers.rows)
            marked = [Marked(values, mark, is_gone) for values, is_gone in zip(counts, gone, strict=True)]
            return stacked(counts, marked, numbers.rows)
        if dtype:
            return _as_noted(table, leads, dtype), mark
        return stacked(counts, [None] * len(leads), numbers.rows)[0], mark
    if dtype and dtype.startswith(("int", "uint")):
        table.fail(f"its note says dtype {dtype}, but not every sample is a whole number of 64 bits")
    floats, rows = SampleBuffer(len(leads), dtype or np.float64), _at_a_time(len(leads))
    for start in range(0, numbers.rows, rows):
        floats.add(np.stack([numbers.floats(column, start, start + rows) for column in leads]))
    return floats.array(), None


def _note_missing(table: _Table) -> int | None:
    text = table.notes.get("missing")
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        table.fail(f"its note 'missing' holds {text!r}, which is not an integer")


def _as_noted(table: _Table, leads: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    limits, ends = np.iinfo(dtype), set[int]()
    counts, rows = SampleBuffer(len(leads), dtype), _at_a_time(len(leads))
    for start in range(0, table.numbers.rows, rows):
        block = np.stack([table.numbers.integers(column, start, start + rows) for column in leads])
        ends |= {int(block.min()), int(block.max())}
        counts.add(block.astype(dtype))
    if min(ends) < limits.min or max(ends) > limits.max:
        table.fail(f"its note says dtype {dtype}, but it holds {min(ends)} to {max(ends)}")
    return counts.array()


def _noted(
    table: _Table, signal: npt.NDArray[Any], missing: int | None, leads: Sequence[int]
) -> Mapping[str, Any] | None:
    """Return signal, units and calibration by the comments of ``write_csv``; None if there are none."""
    if not {"units", "gain", "baseline"} & table.notes.keys():
        return None
    units = _noted_units(table) or table.notes.get("units") or (COUNTS if signal.dtype.kind in "iu" else "mV")
    return {"signal": signal, "units": units, "gain": _note(table, "gain"), "baseline": _note(table, "baseline")}


def _named(
    table: _Table,
    signal: npt.NDArray[Any],
    leads: Sequence[int],
    units: str | None,
    gain: float | None,
    baseline: float | None,
) -> Mapping[str, Any]:
    """Return signal, units and calibration by the names of the columns, or as the caller gave them."""
    is_whole = signal.dtype.kind in "iu"
    if gain is not None:
        if not is_whole:
            table.fail("a gain belongs to counts, which are whole numbers, and its samples are none")
        given = units or "mV"
        per = float(gain / (MILLIVOLTS.get(given.lower(), 1)))
        number = len(signal)
        unit = "mV" if given.lower() in MILLIVOLTS else given
        return {"signal": signal, "units": unit, "gain": (per,) * number, "baseline": (baseline or 0,) * number}
    named = {table.columns.units[column] for column in leads} - {""}
    each = [units or table.columns.units[column] or next(iter(named), "") for column in leads]
    if not any(each):
        return {"signal": signal, "units": COUNTS if is_whole else "mV"}
    if each[0].lower() not in MILLIVOLTS:
        return {"signal": signal, "units": each[0]}
    factors = [MILLIVOLTS[unit.lower()] for unit in each]
    if is_whole:
        gains = tuple(float(1 / factor) for factor in factors)
        return {"signal": signal, "units": "mV", "gain": gains, "baseline": (0,) * len(gains)}
    if any(factor != 1 for factor in factors):
        signal = _scaled(signal, factors)
    return {"signal": signal, "units": "mV"}


def _scaled(signal: npt.NDArray[Any], factors: Sequence[Fraction]) -> npt.NDArray[Any]:
    """Multiply each row by its factor."""
    scaled, reading, rows = SampleBuffer(len(signal), signal.dtype), Reading(signal), _at_a_time(len(signal))
    for start in range(0, signal.shape[1], rows):
        block = reading.samples(start, start + rows)
        scaled.add(
            np.stack(
                [
                    row * factor.numerator / factor.denominator if factor != 1 else row
                    for row, factor in zip(block, factors, strict=True)
                ]
            )
        )
    return scaled.array()


def _note(table: _Table, name: str) -> tuple[float, ...] | None:
    text = table.notes.get(name)
    if text is None:
        return None
    if text.count(",") >= MOST_LEADS:
        table.fail(f"its note {name!r} has {text.count(',') + 1:,} numbers, and no recording {MOST_LEADS:,} leads")
    if not all(map(is_number, text.split(","))):
        table.fail(f"its note {name!r} holds {text!r}, which is not made of numbers")
    return tuple(map(float, text.split(",")))


def _noted_start(table: _Table) -> datetime | None:
    text = table.notes.get("start")
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _noted_annotations(table: _Table) -> tuple[Annotation, ...]:
    text = table.notes.get("annotations")
    if text is None:
        return ()
    check_annotations(table.path, text.count("[") - 1, table.path.stat().st_size)
    try:
        return tuple(Annotation(*note) for note in json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        table.fail(f"its note 'annotations' is invalid ({error})")


# --- the sampling rate ---


def _rate_and_start(table: _Table, given: float | None) -> tuple[float, datetime | None]:
    noted = _note(table, "sampling_rate")
    rate = noted[0] if noted else given
    if rate is None:
        rate = table.columns.sampling_rate
    column = table.columns.time
    if column is not None:
        times = _Times(table)
        start = start_of(times.at(0))
        if table.times.samples > 1:
            found = _rate_of_times(table, column, times, rate)
            if noted and found != rate:
                table.fail(f"its note says {rate:g} Hz, and its times {found:.9g} Hz")
            return found, start
        if rate is not None:
            return rate, start
    if rate is None:
        table.fail('no column is called "time"; give the sampling rate in Hz (--sampling-rate)')
    return rate, None


class _Times:
    """The times of a table, in seconds. ``unit`` is their unit in the file."""

    def __init__(self, table: _Table) -> None:
        self._reading = Reading(table.times.signal())
        _, self.unit = in_seconds(self._reading.samples(0, 1)[0], table.columns.time_unit)

    def at(self, row: int) -> float:
        return float(self.between(row, row + 1)[0])

    def between(self, start: int, stop: int) -> npt.NDArray[np.float64]:
        return in_seconds(self._reading.samples(start, stop)[0], self.unit)[0]


def _rate_of_times(table: _Table, column: int, times: _Times, given: float | None) -> float:
    """Return the given rate if it agrees with the times, otherwise the roundest rate that does."""
    last = table.times.samples - 1
    expected = 1 / given if given and given > 0 else float(np.median(np.diff(times.between(0, PORTION))))
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
                column,
            )
    span = times.at(last) - times.at(0)
    rate = last / span
    tolerance = rate * ((_resolution(table, times.unit) + 4 * float(np.spacing(abs(times.at(last))))) / span + 1e-9)
    if given is not None and abs(given - rate) <= tolerance:
        return given
    return next((round(rate, digits) for digits in range(10) if abs(round(rate, digits) - rate) <= tolerance), rate)


def _resolution(table: _Table, unit: float) -> float:
    """Return the resolution of the times as written, in seconds."""
    texts = [text.lower() for text in (*table.first_times, table.last_time)]
    if any("e" in text for text in texts):
        return 0.0
    digits = max(len(text.replace(",", ".").rpartition(".")[2]) if "." in text or "," in text else 0 for text in texts)
    return float(unit * 10.0**-digits)

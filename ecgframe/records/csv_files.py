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
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from ..foreign_text import from_spreadsheet_cell, spreadsheet_cell, spreadsheet_comment, spreadsheet_json
from .annotation import Annotation
from .bounds import MOST_LEADS, check_annotations
from .calibration import Calibration
from .channels import Marked, stacked
from .csv_cells import Cells, IntegerColumn, MissingCells, NumberColumns
from .csv_columns import are_names, columns_of, names_and_units
from .csv_counters import numbers_rows
from .csv_decimals import Doubt, decimal_commas
from .csv_dialect import DECIMALS, Dialect, dialects, is_missing, is_number, rows_of
from .csv_notes import is_note, note_comment, notes_above
from .csv_rates import rate_and_start
from .csv_rows import rows_as_text
from .csv_table import Table, at_a_time
from .csv_times import seconds_of
from .csv_units import NAMES, calibrated, choose, noted_names
from .mapped import Reading
from .record import Record, RecordError
from .sample_buffer import SampleBuffer

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
    given = Calibration(units, gain, baseline)
    table = _read(path, text, decimal, time_column)
    if encoding:
        table.remarks.append(encoding)
    counting = [column for column in table.columns.leads if numbers_rows(table, column)]
    leads = [column for column in table.columns.leads if column not in counting]
    if not leads:
        table.fail("it has times but no samples")
    leads, others = choose(table, leads, wanted, given)
    signal, missing = _signal(table, leads)
    rate, start = rate_and_start(table, sampling_rate)
    calibration = calibrated(table, signal, leads, given)
    left_out = tuple(
        table.columns.names[column] or f"column {column + 1}" for column in (*table.columns.text, *counting, *others)
    )
    return Record(
        sampling_rate=rate,
        leads=_leads(table, leads),
        source=str(path),
        left_out=left_out,
        missing=missing if calibration["signal"].dtype.kind in "iu" else None,
        start=start,
        annotations=_noted_annotations(table),
        device=" ".join(_noted_texts(table, "device")),
        comments=_noted_texts(table, "comments"),
        repaired=tuple(table.remarks),
        **calibration,
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
    if record.device:
        file.write(f"# device: {spreadsheet_json([record.device])}\n")
    if record.comments:
        file.write(f"# comments: {spreadsheet_json(record.comments)}\n")
    cells = [spreadsheet_cell(lead) for lead in record.leads]
    if [*cells, units] != [*record.leads, record.units] or any(";" in cell for cell in cells):
        file.write(f"# {NAMES}: {spreadsheet_json({'leads': record.leads, 'units': record.units})}\n")
    csv.writer(file, lineterminator="\n").writerow(["time", *cells])
    reading = Reading(record.signal)
    rows_at_a_time = at_a_time(len(record.signal))
    for start in range(0, record.samples, rows_at_a_time):
        portion = reading.samples(start, start + rows_at_a_time).T
        times = np.arange(start, start + len(portion)) / record.sampling_rate
        file.write(rows_as_text(times, portion))


def _leads(table: Table, columns: Sequence[int]) -> tuple[str, ...]:
    """Return the lead names: in the comment of ``write_csv``, else in the header.

    Those of the header are without the quote that keeps a spreadsheet from reading a formula.
    """
    noted, every = noted_names(table).get("leads"), table.columns.leads
    if isinstance(noted, list) and len(noted) == len(every) and all(isinstance(lead, str) for lead in noted):
        return tuple(noted[every.index(column)] for column in columns)
    names = enumerate(columns, 1)
    return tuple(from_spreadsheet_cell(table.columns.lead(column, number)) for number, column in names)


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
            note_comment(line[1:].strip(), notes)
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


def _read(path: Path, text: TextIO, decimal: str | None, time_column: str | None) -> Table:
    notes: dict[str, str] = {}
    with text:
        lines = _numbered(path, text, notes)
        first = _looked_at(lines)
        if not first:
            raise RecordError(f"{path}: it holds no samples")
        try:
            dialect = _dialect(path, [line for _, line in first], decimal)
            table = _with_names(path, first, notes, dialect, decimal, time_column)
            _fill(table, first[dialect.begins :], lines)
        except csv.Error as error:
            raise RecordError(f"{path}: not readable as CSV ({error})") from error
    return table


def _dialect(path: Path, lines: Sequence[str], decimal: str | None) -> Dialect:
    if decimal is not None and decimal not in DECIMALS:
        raise RecordError(f"decimals are written with a point or a comma, not with {decimal!r}")
    found = dialects(lines, DECIMALS if decimal is None else (decimal,))
    if not found:
        raise RecordError(f"{path}: it holds a header and no samples")
    best = found[0]
    if best.width > MOST_LEADS:
        raise RecordError(f"{path}: {best.width:,} columns; more than {MOST_LEADS:,} are not believed")
    return best


def _with_names(
    path: Path,
    first: Sequence[tuple[int, str]],
    notes: dict[str, str],
    dialect: Dialect,
    decimal: str | None,
    time_column: str | None,
) -> Table:
    lines = [line for _, line in first]
    for (number, _), row in zip(first, rows_of(lines[: dialect.begins], dialect.delimiter), strict=False):
        if all(is_number(cell, dialect.decimal) for cell in row):
            raise RecordError(
                f"{path}, line {number}: {len(row)} columns where there are {dialect.width} below; if it is a comment, "
                "begin it with #"
            )
    above = _above(list(rows_of(lines[: dialect.begins], dialect.delimiter)), dialect)
    are_notes = dialect.width == 2 and len(above) > 2 and all(len(row) == 2 for row in above)
    rows = list(rows_of(lines[dialect.begins :], dialect.delimiter))
    if above and len(above[-1]) + 1 == dialect.width and are_names(above[-1]) and _has_points(rows, dialect):
        above[-1] = ["", *above[-1]]  # R has no name for its column of row names
    try:
        header, units = names_and_units(above, dialect.width)
    except ValueError as error:
        raise RecordError(f"{path}, line {first[dialect.begins - 1][0]}: {error}") from error
    remarks = []
    if decimal is None and dialect.delimiter == "," and (are_notes or not header):
        remarks = _doubts(path, lines[dialect.begins :], rows, dialect.width)
    notes_above(above, notes)
    try:
        columns = columns_of(header, units, rows, dialect, notes, time_column)
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    if columns.empty:
        remarks.append("the separator at the end of each line was taken for no column")
    dtype = np.uint64 if notes.get("dtype") == "uint64" else np.int64
    numbers = NumberColumns(columns.leads, dtype)
    return Table(path, notes, columns, dialect, numbers, remarks=[*remarks, *columns.remarks])


def _has_points(rows: Sequence[Sequence[str]], dialect: Dialect) -> bool:
    """Return whether no comma can be that of a decimal."""
    return dialect.delimiter != "," or any("." in cell for row in rows for cell in row)


def _above(rows: list[list[str]], dialect: Dialect) -> list[list[str]]:
    """Return the cells of the lines above the samples.

    Notes such as "Unit,µV" are divided at the comma; the last line may have the name of the only column, and is divided
    only if it is a note. Units such as "II (mV)" remain with their names, even if blanks separate the columns.
    """
    for number, row in enumerate(rows):
        if dialect.delimiter is None and len(row) != dialect.width:
            rows[number] = re.sub(r" (?=[(\[])", "\0", " ".join(row)).split(" ")
            rows[number] = [cell.replace("\0", " ") for cell in rows[number]]
        if len(row) == 1 and "," in row[0]:
            parts = [part.strip() for part in next(csv.reader(row), row)]
            if number < len(rows) - 1 or is_note(parts):
                rows[number] = parts
    return rows


def _doubts(path: Path, lines: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return a remark if commas may separate decimals as well; refuse the file if that is likely."""
    doubt = decimal_commas(lines, [row for row in rows if len(row) == width])
    if not doubt:
        return []
    half = width // 2
    what = f"{width} whole numbers, or {half} with a decimal comma"
    if doubt is Doubt.SLIGHT:
        return [f"{lines[0]!r} may be {what}, and was taken for the former; --decimal says otherwise"]
    way = "(--decimal . or --decimal ,)"
    if width > 2:
        way = "(--decimal .), or separate the columns by semicolons if they are commas"
    raise RecordError(f"{path}: {lines[0]!r} may be {what}; say which decimals it has {way}")


def _fill(table: Table, first: Sequence[tuple[int, str]], rest: Iterator[tuple[int, str]]) -> None:
    """Add all rows to the table, in blocks."""
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for source in (first, rest):
            for number, line in source:
                numbers.append(number)
                yield line

    rows = rows_of(texts(), table.dialect.delimiter)
    rows_at_a_time = at_a_time(table.dialect.width)
    while block := list(islice(rows, rows_at_a_time)):
        table.lines.add(numbers[: len(block)])
        del numbers[: len(block)]
        _check_widths(table, block)
        _add(table, block)


def _check_widths(table: Table, block: Sequence[Sequence[str]]) -> None:
    width = table.dialect.width
    for row, cells in enumerate(block):
        if len(cells) != width and not (len(cells) == width + 1 and not cells[-1]):
            table.fail(f"{len(cells)} columns where there are {width} above", table.lines.rows - len(block) + row)


def _add(table: Table, block: Sequence[Sequence[str]]) -> None:
    columns = table.columns
    if columns.leads:
        table.numbers.add([_cells(table, column, [row[column] for row in block]) for column in columns.leads])
    if columns.time is not None:
        texts = [row[columns.time] for row in block]
        table.first_times = table.first_times or texts[:1]
        table.last_time = texts[-1]
        _add_times(table, columns.time, texts)


def _cells(table: Table, column: int, texts: Sequence[str]) -> Cells:
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


def _number(table: Table, text: str, row: int, column: int) -> float:
    try:
        return table.dialect.number(text)
    except ValueError:
        hint = "; write decimals with a point" if "," in text and table.dialect.decimal == "." else ""
        table.fail(f"{text!r} is not a number{hint}", row, column)


def _add_times(table: Table, column: int, texts: Sequence[str]) -> None:
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


def _signal(table: Table, leads: Sequence[int]) -> tuple[npt.NDArray[Any], int | None]:
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
    floats, rows = SampleBuffer(len(leads), dtype or np.float64), at_a_time(len(leads))
    for start in range(0, numbers.rows, rows):
        floats.add(np.stack([numbers.floats(column, start, start + rows) for column in leads]))
    return floats.array(), None


def _note_missing(table: Table) -> int | None:
    text = table.notes.get("missing")
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        table.fail(f"its note 'missing' holds {text!r}, which is not an integer")


def _as_noted(table: Table, leads: Sequence[int], dtype: str) -> npt.NDArray[Any]:
    limits, ends = np.iinfo(dtype), set[int]()
    counts, rows = SampleBuffer(len(leads), dtype), at_a_time(len(leads))
    for start in range(0, table.numbers.rows, rows):
        block = np.stack([table.numbers.integers(column, start, start + rows) for column in leads])
        ends |= {int(block.min()), int(block.max())}
        counts.add(block.astype(dtype))
    if min(ends) < limits.min or max(ends) > limits.max:
        table.fail(f"its note says dtype {dtype}, but it holds {min(ends)} to {max(ends)}")
    return counts.array()


def _noted_annotations(table: Table) -> tuple[Annotation, ...]:
    text = table.notes.get("annotations")
    if text is None:
        return ()
    check_annotations(table.path, text.count("[") - 1, table.path.stat().st_size)
    try:
        return tuple(Annotation(*note) for note in json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        table.fail(f"its note 'annotations' is invalid ({error})")


def _noted_texts(table: Table, name: str) -> tuple[str, ...]:
    """Return the texts of a note: a list in JSON, or else the note itself."""
    text = table.notes.get(name)
    if not text:
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return (text,)
    return tuple(map(str, found)) if isinstance(found, list) else (text,)

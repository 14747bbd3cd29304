"""Classification of the columns of a CSV file: leads, times, counters, texts; and the lines above the columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Final

from .channels import ECG_NAME
from .csv_dialect import Dialect, is_missing, is_number
from .csv_notes import device_of, is_note, noted_unit
from .csv_times import UNITS, TimeColumn, column_of_times, seconds_of, time_column
from .units import is_unit, split_unit, unit_named

COUNTERS: Final = re.compile(
    r"|#|idx|unnamed: \d+|(?:n|frame|packet|data|row|sample|line)?[\s_]*"
    r"(?:#|index|idx|nr\.?|no\.?|num(?:ber)?|id|count(?:er)?|seq(?:uence)?)|samples?|rows?|frames?|n|"
    r"(?:time|t|elapsed)\s*[\[(]\s*samples?\s*[\])]",
    re.IGNORECASE,
)
"""Names of columns that may be mere row numbers."""

LEAD_NOTES: Final = frozenset({"lead", "leads"})
"""Names of lines above the samples that hold the name of the lead, as those of watches do."""

CERTAIN: Final = 10
"""Number of rows from which on an unnamed first column that rises evenly counts as row numbers."""

FEW: Final = 3
"""The same for whole numbers beside others."""

OPENBCI: Final = "OpenBCI"
"""Beginning of the comments of OpenBCI files, whose channels are in microvolts although no column says so."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The kinds of columns, by column number from 0.

    Attributes:
        names: name of each column, without unit and quotes; empty if it has none.
        units: unit of each column, as spelled in the file; empty if it states none.
        leads: the columns of samples.
        may_count: those of ``leads`` that may be mere row numbers.
        text: the columns without numbers.
        empty: the column after a separator at the end of each line, if any.
        time: the column of times; None if there is none.
        time_unit: unit of the times; None if there are none.
        has_names: whether there is a row of names.
        remarks: how the names were understood, where that is not certain; one sentence each.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    leads: tuple[int, ...]
    may_count: frozenset[int]
    text: tuple[int, ...]
    empty: tuple[int, ...]
    time: int | None
    time_unit: TimeColumn | None
    has_names: bool
    remarks: tuple[str, ...]

    def lead(self, column: int, number: int) -> str:
        """Return the name of the lead in a column; ``chN`` for an unnamed one, the ``number``-th of all leads."""
        return self.names[column] or f"ch{number}"


def columns_of(
    header: Sequence[str],
    units: Sequence[str],
    rows: Sequence[Sequence[str]],
    dialect: Dialect,
    notes: Mapping[str, str],
    wanted_time: str | None,
) -> Columns:
    """Classify the columns.

    Args:
        header: cells of the row of names; empty if there is none.
        units: cells of the row of units below; empty if there is none.
        rows: the first rows of samples.
        dialect: dialect of the file.
        notes: names and values in comments.
        wanted_time: name of the time column, as given by the user; None to detect it.

    Raises:
        ValueError: no column is named ``wanted_time``.
    """
    width = dialect.width
    if header and is_own(notes):
        return _own(header)
    titles = _without_quotes(header) or [""] * width
    below = [_below(unit) for unit in _without_quotes(units)] or [""] * width
    texts = [split_unit(title) for title in titles]
    names = [name for name, _ in texts]
    named = [unit or below[column] for column, (_, unit) in enumerate(texts)]
    device = device_of(notes)
    if device and not header and width - len(device.columns) in (0, 1):
        names = titles = [*device.columns, ""][:width]
    time, unit = _time(titles, below, wanted_time)
    if time is None and not header:
        time = next((column for column in range(width) if _all_dates(rows, column)), None)
    empty = _empty_end(titles, rows)
    words = [
        column
        for column in range(width)
        if column != time and column not in empty and _all_words(rows, column, dialect)
    ]
    others = {time, *words, *empty}
    leads = [column for column in range(width) if column not in others]
    if any(key.startswith(OPENBCI) for key in notes) or any(OPENBCI in value for value in notes.values()):
        channels = [column for column in leads if names[column].startswith("EXG Channel")]
        if channels:
            words = sorted({*words, *(column for column in leads if column not in channels)})
            leads = channels
            named = ["uV" if column in channels else unit for column, unit in enumerate(named)]
    if device and (channels := [column for column in leads if names[column] in device.channels]):
        counting = [column for column in leads if COUNTERS.fullmatch(names[column])]
        words = sorted({*words, *(column for column in leads if column not in (*channels, *counting))})
        leads = sorted((*channels, *counting))
    if general := noted_unit(notes):
        each = [part.strip() for part in general.split(",")]
        each = each if 1 < len(each) == len(leads) else [general] * len(leads)
        for column, one in zip(leads, each, strict=True):
            named[column] = named[column] or unit_named(one)
    lead = next((value for key, value in notes.items() if key.lower() == "lead"), "")
    if len(leads) == 1 and lead and not names[leads[0]]:
        names[leads[0]] = re.sub(r"^lead\s+", "", lead, flags=re.IGNORECASE)
    counters = frozenset(
        column
        for column in leads
        if (COUNTERS.fullmatch(names[column]) if names[column] or header else column == 0 and _may_count(rows))
    )
    return Columns(
        names=tuple(names),
        units=tuple(named),
        leads=tuple(leads),
        may_count=counters if len(leads) > 1 else frozenset(),
        text=tuple(words),
        empty=tuple(empty),
        time=time,
        time_unit=unit,
        has_names=bool(header),
        remarks=tuple(
            f"the V of {title!r} was taken for volts"
            for column, title in enumerate(titles)
            if column in leads and named[column] == "V" and title.endswith(("_V", "/V"))
        ),
    )


def is_own(notes: Mapping[str, str]) -> bool:
    """Return whether the comments are those of ``write_csv``."""
    return {"sampling_rate", "units", "dtype"} <= notes.keys()


def _own(header: Sequence[str]) -> Columns:
    """Return the columns of a file of ``write_csv``: the times and the leads, whatever their names look like."""
    is_time = header[0] == "time"
    return Columns(
        names=tuple(header),
        units=("",) * len(header),
        leads=tuple(range(is_time, len(header))),
        may_count=frozenset(),
        text=(),
        empty=(),
        time=0 if is_time else None,
        time_unit=TimeColumn(1.0) if is_time else None,
        has_names=True,
        remarks=(),
    )


def _without_quotes(cells: Sequence[str]) -> list[str]:
    """Remove the single quotes that some programs put around each cell of a row."""
    there = [cell for cell in cells if cell]
    if there and all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in there):
        return [cell[1:-1].strip() for cell in cells]
    return list(cells)


def names_and_units(above: MutableSequence[list[str]], width: int) -> tuple[list[str], list[str]]:
    """Take the row of names and the row of units from the end of the lines above the samples.

    Args:
        above: cells of those lines; without the two rows afterwards.
        width: number of columns.

    Returns:
        The names and the units; empty if there are none.

    Raises:
        ValueError: there are names, and of another number than the columns.
    """
    last = _taken(above, width)
    for row in [] if last else above[-2:]:
        if len(row) != width and are_names(row) and not is_note(row) and row[0].lower() not in LEAD_NOTES:
            raise ValueError(
                f"its names are {len(row)}, and its rows have {width} columns; name each column, and if commas are "
                "those of decimals, separate columns by semicolons"
            )
    if not last or not above or not _fits(above[-1], width) or is_note(above[-1]):
        return last, []
    if are_names(last) or not (are_names(above[-1]) or any(map(_is_unit, _without_quotes(last)))):
        return last, []
    return _taken(above, width), last


def _taken(above: MutableSequence[list[str]], width: int) -> list[str]:
    return above.pop()[:width] if above and _fits(above[-1], width) and not is_note(above[-1]) else []


def _fits(row: Sequence[str], width: int) -> bool:
    """Return whether a row has a cell for each column, or one more, empty one after a separator at its end."""
    return len(row) == width or (len(row) == width + 1 and not row[-1])


def are_names(row: Sequence[str]) -> bool:
    """Return whether a cell of a row is surely the name of a column."""
    return any(
        ECG_NAME.search(cell) or (not _is_unit(cell) and (split_unit(cell)[1] or time_column(cell)))
        for cell in _without_quotes(row)
    )


def _is_unit(cell: str) -> bool:
    plain = cell.strip("[](){} ")
    return is_unit(plain) or plain.lower() in UNITS


def _below(cell: str) -> str:
    """Return the unit in a cell of the row of units; empty if it has none."""
    unit = unit_named(cell.strip("[](){} "))
    return "" if is_missing(unit) or unit == "1" else unit


def _time(titles: Sequence[str], below: Sequence[str], wanted: str | None) -> tuple[int | None, TimeColumn | None]:
    if wanted is not None:
        if wanted not in titles:
            raise ValueError(f"no column is called {wanted!r}; it has {', '.join(map(repr, titles))}")
        column = titles.index(wanted)
        return column, column_of_times(wanted, below[column])
    for column, title in enumerate(titles):
        if found := time_column(title, below[column]):
            return column, found
    return None, None


def _may_count(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first column, which has no name, counts if it rises evenly: by chance, so do few numbers."""
    first = all(row[0].isdecimal() for row in rows if row)
    others = any(not cell.lstrip("+-").isdecimal() for row in rows for cell in row[1:])
    return len(rows) >= (FEW if first and others else CERTAIN)


def _all_dates(rows: Sequence[Sequence[str]], column: int) -> bool:
    return bool(rows) and all(
        column < len(row) and ":" in row[column] and seconds_of(row[column]) is not None for row in rows
    )


def _all_words(rows: Sequence[Sequence[str]], column: int, dialect: Dialect) -> bool:
    """Return whether a column has no number in these rows."""
    cells = [row[column] for row in rows if column < len(row)]
    return not any(is_number(cell, dialect.decimal) for cell in cells) and not all(map(is_missing, cells))


def _empty_end(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the last column if it has neither a name nor a value."""
    last = len(titles) - 1
    if last < 1 or titles[last] or any(len(row) > last and row[last] for row in rows):
        return []
    return [last]

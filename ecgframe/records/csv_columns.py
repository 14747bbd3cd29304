"""Classification of the columns of a CSV file: leads, times, counters, texts; and the lines above the columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .channels import MILLIVOLTS
from .csv_dialect import Dialect, is_missing, is_number
from .csv_times import UNITS, seconds_of, time_column

COUNTERS: Final = re.compile(
    r"|#|index|unnamed: \d+|sample( ?(#|index|number|no\.?))?|samples|nseq|row|n", re.IGNORECASE
)
"""Names of columns that may be mere row numbers."""

CERTAIN: Final = 10
"""Number of rows from which on an unnamed column 0, 1, 2, ... counts as row numbers."""

RATE_NAMES: Final = frozenset(
    {"sampling rate", "sample rate", "sampling frequency", "sample frequency", "samplingrate", "samplerate", "fs"}
)

_WITH_UNIT: Final = re.compile(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]")

JSON: Final = "{}"
"""Key of a comment that is a JSON object. OpenSignals describes its devices in such a comment."""

OPENBCI: Final = "OpenBCI"
"""Beginning of the comments of OpenBCI files, whose channels are in microvolts although no column says so."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The kinds of columns, by column number from 0.

    Attributes:
        names: name of each column, without unit and quotes; empty if it has none.
        units: unit of each column, as spelled in the file; empty if unknown.
        leads: the columns of samples.
        may_count: those of ``leads`` that may be mere row numbers.
        text: the columns without numbers.
        empty: the column after a separator at the end of each line, if any.
        time: the column of times; None if there is none.
        time_unit: unit of the times, in seconds; None if unknown.
        sampling_rate: sampling rate in Hz according to comments; None if unknown.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    leads: tuple[int, ...]
    may_count: frozenset[int]
    text: tuple[int, ...]
    empty: tuple[int, ...]
    time: int | None
    time_unit: float | None
    sampling_rate: float | None

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
    is_own = "dtype" in notes  # written by ``write_csv`` only: all columns but the first are leads
    titles = _without_quotes(header) or [""] * width
    below = [unit.strip("[]() ") for unit in _without_quotes(units)] or [""] * width
    texts = [_unit_of(title) for title in titles]
    names = [name for name, _ in texts]
    named = [unit or below[column] for column, (_, unit) in enumerate(texts)]
    device = _device(notes)
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
    general = next((value for key, value in notes.items() if key.lower() == "unit"), "")
    if general.lower() in MILLIVOLTS:
        named = [unit or general for unit in named]
    lead = next((value for key, value in notes.items() if key.lower() == "lead"), "")
    if len(leads) == 1 and lead and not names[leads[0]]:
        names[leads[0]] = re.sub(r"^lead\s+", "", lead, flags=re.IGNORECASE)
    counters = frozenset(
        column
        for column in leads
        if (COUNTERS.fullmatch(names[column]) if names[column] or header else column == 0 and len(rows) >= CERTAIN)
    )
    return Columns(
        names=tuple(names),
        units=tuple(unit if _is_unit(unit) else "" for unit in named),
        leads=tuple(leads),
        may_count=counters if len(leads) > 1 and not is_own else frozenset(),
        text=tuple(words),
        empty=tuple(empty),
        time=time,
        time_unit=unit,
        sampling_rate=device.sampling_rate if device else _noted_rate(notes),
    )


def notes_above(rows: Sequence[Sequence[str]], notes: MutableMapping[str, str]) -> None:
    """Add lines above the names to the notes: a name and a value each, as smartwatches write them."""
    for row in rows:
        cells = [cell for cell in row if cell]
        if len(cells) >= 2:
            notes.setdefault(cells[0], ", ".join(cells[1:]))


def _without_quotes(cells: Sequence[str]) -> list[str]:
    """Remove the single quotes that some programs put around each cell of a row."""
    there = [cell for cell in cells if cell]
    if there and all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in there):
        return [cell[1:-1].strip() for cell in cells]
    return list(cells)


def _unit_of(title: str) -> tuple[str, str]:
    """Split a title such as "II (uV)" to name and unit. Anything but a unit in brackets is part of the name."""
    match = _WITH_UNIT.fullmatch(title)
    if match and match[1] and _is_unit(match[2]):
        return match[1], match[2]
    return title, ""


def _is_unit(text: str) -> bool:
    return text.lower() in MILLIVOLTS or text.lower() in {"mmhg", "%", "a.u.", "au", "bpm", "ohm", "adu", "degc"}


def _time(titles: Sequence[str], below: Sequence[str], wanted: str | None) -> tuple[int | None, float | None]:
    if wanted is not None:
        if wanted not in titles:
            raise ValueError(f"no column is called {wanted!r}; it has {', '.join(map(repr, titles))}")
        column = titles.index(wanted)
        found = time_column(wanted, below[column])
        return column, found.unit if found else UNITS.get(below[column].lower())
    for column, title in enumerate(titles):
        if found := time_column(title, below[column]):
            return column, found.unit
    return None, None


def _all_dates(rows: Sequence[Sequence[str]], column: int) -> bool:
    return bool(rows) and all(
        column < len(row) and ":" in row[column] and seconds_of(row[column]) is not None for row in rows
    )


def _all_words(rows: Sequence[Sequence[str]], column: int, dialect: Dialect) -> bool:
    """Tell whether a column has no number in these rows."""
    cells = [row[column] for row in rows if column < len(row)]
    return not any(is_number(cell, dialect.decimal) for cell in cells) and not all(map(is_missing, cells))


def _empty_end(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the last column if it has neither a name nor a value."""
    last = len(titles) - 1
    if last < 1 or titles[last] or any(len(row) > last and row[last] for row in rows):
        return []
    return [last]


def _noted_rate(notes: Mapping[str, str]) -> float | None:
    for name, value in notes.items():
        plain = name.lower().replace("_", " ").strip(" \"'{")
        if plain in RATE_NAMES and name != "sampling_rate" and (match := re.match(r"\s*(\d+(?:\.\d+)?)", value)):
            return float(match[1])
    return None


class _Device(NamedTuple):
    """A device as OpenSignals describes it: names of all columns, names of its channels, sampling rate in Hz."""

    columns: tuple[str, ...]
    channels: tuple[str, ...]
    sampling_rate: float


def _device(notes: Mapping[str, str]) -> _Device | None:
    try:
        device = next(iter(json.loads(notes[JSON]).values()))
        return _Device(tuple(device["column"]), tuple(device["label"]), float(device["sampling rate"]))
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration, RecursionError):
        return None

"""The contents of a CSV file by column, with what its comments say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from .bounds import MOST_LEADS
from .csv_cells import LineNumbers, NumberColumns
from .csv_columns import Columns
from .csv_dialect import Dialect, is_number
from .record import RecordError
from .sample_buffer import SampleBuffer

ROWS: Final = 10_000
"""Rows that are converted at a time, and written."""

CELLS: Final = 200_000
"""Cells that are converted at a time, if that is less."""


@dataclass(slots=True)
class Table:
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
    remarks: list[str] = field(default_factory=list)
    """What was assumed or repaired, one sentence each."""

    def fail(self, problem: str, row: int | None = None, column: int | None = None) -> NoReturn:
        """Refuse the file, and name the place.

        Raises:
            RecordError: always.
        """
        place = str(self.path)
        if row is not None:
            place += f", line {self.lines.of(row)}"
        if column is not None:
            place += f", column {column + 1}"
        raise RecordError(f"{place}: {problem}")

    def noted(self, name: str) -> tuple[float, ...] | None:
        """Return the numbers in a comment; None if there is none of this name.

        Raises:
            RecordError: it does not consist of numbers.
        """
        text = self.notes.get(name)
        if text is None:
            return None
        if text.count(",") >= MOST_LEADS:
            self.fail(f"its note {name!r} has {text.count(',') + 1:,} numbers, and no recording {MOST_LEADS:,} leads")
        if not all(map(is_number, text.split(","))):
            self.fail(f"its note {name!r} holds {text!r}, which is not made of numbers")
        return tuple(map(float, text.split(",")))


def at_a_time(columns: int) -> int:
    """Return the number of rows of so many columns that are converted at a time."""
    return max(1, min(ROWS, CELLS // columns))

"""The numbers of a CSV file in compact form: eight bytes and a flag for each cell.

If they are many, they are in a temporary file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .mapped import Reading
from .sample_buffer import SampleBuffer

Cells = tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]
"""The numbers of one column, and which are missing: of integers, as a flag; of floats, None, as those are NaN."""


class NumberColumns:
    """The numbers of several columns. The cells of a column are integers up to a row, and floats from there on.

    Args:
        columns: the column numbers.
        dtype: dtype of integers, int64 or uint64.
    """

    def __init__(self, columns: Sequence[int], dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self.rows = 0
        """Number of rows."""
        self._places = {column: place for place, column in enumerate(columns)}
        self._bits = SampleBuffer(len(columns), np.int64)
        self._flags = SampleBuffer(len(columns), np.bool_)
        self._floats_from: dict[int, int] = {}
        self._with_missing: set[int] = set()
        self._reading: tuple[Reading, Reading] | None = None

    def is_whole(self, column: int) -> bool:
        """Return whether all numbers of a column are integers."""
        return column not in self._floats_from

    def has_missing(self, column: int) -> bool:
        """Return whether a cell of a column of integers is missing."""
        return column in self._with_missing

    def add(self, block: Sequence[Cells]) -> None:
        """Append rows: the cells of each column, in the order of the columns. All columns have the same length.

        Raises:
            OSError: there is no room for the temporary file.
        """
        rows = len(block[0][0])
        bits, flags = np.empty((len(block), rows), np.int64), np.zeros((len(block), rows), np.bool_)
        for column, (numbers, is_missing), bit, flag in zip(self._places, block, bits, flags, strict=True):
            bit[:] = numbers.view(np.int64)
            if is_missing is None:
                self._floats_from.setdefault(column, self.rows)
            elif is_missing.any():
                flag[:] = is_missing
                self._with_missing.add(column)
        self._bits.add(bits)
        self._flags.add(flags)
        self.rows += rows

    def integers(self, column: int, start: int, stop: int) -> npt.NDArray[Any]:
        """Return rows ``start`` to ``stop`` of a column of integers; missing ones are 0."""
        return np.ascontiguousarray(self._read(0, column, start, stop)).view(self.dtype)

    def is_missing(self, column: int, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return which of these rows of a column of integers are missing."""
        is_missing: npt.NDArray[np.bool_] = self._read(1, column, start, stop)
        return is_missing

    def floats(self, column: int, start: int, stop: int) -> npt.NDArray[np.float64]:
        """Return rows ``start`` to ``stop`` of a column as floats; missing ones are NaN."""
        bits = np.ascontiguousarray(self._read(0, column, start, stop))
        floats = bits.view(np.float64)
        whole = max(self._floats_from.get(column, self.rows) - start, 0)
        if whole:
            floats = floats.copy()
            is_missing = self.is_missing(column, start, stop)[:whole]
            floats[:whole] = np.where(is_missing, np.nan, bits[:whole].view(self.dtype).astype(np.float64))
        return floats

    def _read(self, which: int, column: int, start: int, stop: int) -> npt.NDArray[Any]:
        if self._reading is None:
            self._reading = Reading(self._bits.signal()), Reading(self._flags.signal())
        cells: npt.NDArray[Any] = self._reading[which].samples(start, stop)[self._places[column]]
        return cells


class IntegerColumn:
    """The integers of one column, read when they are asked for."""

    def __init__(self, numbers: NumberColumns, column: int) -> None:
        self._numbers = numbers
        self._column = column

    def __len__(self) -> int:
        return self._numbers.rows

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        return self._numbers.integers(self._column, start, stop)


class MissingCells:
    """Which integers of one column are missing, read when they are asked for."""

    def __init__(self, numbers: NumberColumns, column: int) -> None:
        self._numbers = numbers
        self._column = column

    def __len__(self) -> int:
        return self._numbers.rows

    def __getitem__(self, place: slice, /) -> npt.NDArray[np.bool_]:
        start, stop, _ = place.indices(len(self))
        return self._numbers.is_missing(self._column, start, stop)


class LineNumbers:
    """The line of each row. Rows on consecutive lines take no memory."""

    def __init__(self) -> None:
        self.rows = 0
        self._begins = array("q")
        self._lines = array("q")
        self._next = -1

    def add(self, lines: Iterable[int]) -> None:
        """Append the lines of the next rows."""
        for line in lines:
            if line != self._next:
                self._begins.append(self.rows)
                self._lines.append(line)
            self._next = line + 1
            self.rows += 1

    def of(self, row: int) -> int:
        """Return the line of a row."""
        run = bisect_right(self._begins, row) - 1
        return self._lines[run] + row - self._begins[run]

"""Columns of a CSV file that number the rows, and are no leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .csv_table import ROWS, Table


def numbers_rows(table: Table, column: int) -> bool:
    """Return whether a column that may number the rows does: it rises by the same step, or starts again from its least.

    A column that rises by other steps numbers rows as well, if its name says so. As rows may then be missing, that
    becomes a remark.
    """
    numbers = table.numbers
    if column not in table.columns.may_count or numbers.has_missing(column):
        return False
    is_whole = numbers.is_whole(column)
    read: Callable[[int, int, int], npt.NDArray[Any]] = numbers.integers if is_whole else numbers.floats
    starts = range(0, numbers.rows, ROWS)
    least = min(read(column, start, start + ROWS).min() for start in starts)
    rising = np.diff(read(column, 0, ROWS))
    step = np.median(rising[rising > 0]) if (rising > 0).any() else 1
    uneven: int | None = None
    for start in starts:
        values = read(column, start, start + ROWS + 1)
        steps = np.diff(values)
        begins_again = (steps < 0) & (values[1:] == least)
        if not np.all((steps > 0) | begins_again):
            return False
        is_even = (np.abs(steps - step) <= (0 if is_whole else 0.6 * step)) | begins_again
        if uneven is None and not is_even.all():
            uneven = start + int(np.argmin(is_even)) + 1
    return _is_said(table, column, uneven, is_whole=is_whole)


def _is_said(table: Table, column: int, uneven: int | None, *, is_whole: bool) -> bool:
    """Return whether a column that rises numbers the rows, and add a remark if that is no matter of course."""
    name = table.columns.names[column]
    if uneven is not None and not (name and is_whole):
        return False
    if uneven is not None:
        table.remarks.append(
            f"{name!r} rises unevenly, first at line {table.lines.of(uneven)}: rows may be missing, and were not added"
        )
    elif not (name or table.columns.has_names):
        table.remarks.append(
            f"column {column + 1} rises evenly, and was taken for row numbers or times, not for a lead"
        )
    return True

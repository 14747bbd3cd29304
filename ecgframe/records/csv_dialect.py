"""Detection of the delimiter and the decimal separator of a CSV file."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .csv_times import seconds_of, time_column

DELIMITERS: Final = (",", ";", "\t", "|", None)
"""Delimiters in the order in which they are tried; None for any run of blanks."""

DECIMALS: Final = (".", ",")

MISSING_WORDS: Final = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "--", "?"})
"""Texts for a missing sample, in lower case."""


_QUOTED: Final = re.compile(r'"[+-]?\d{0,30},\d+"')
"""A number with a decimal comma in quotes, so that commas may separate columns as well."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The format of a file.

    Attributes:
        delimiter: delimiter of columns; None for any run of blanks.
        decimal: decimal separator, "." or ",".
        width: number of columns.
        rows: number of rows of numbers among the lines that were examined.
        begins: number of the first of those rows, from 0.
    """

    delimiter: str | None
    decimal: str
    width: int
    rows: int
    begins: int

    def number(self, text: str) -> float:
        """Parse a cell. Raises ValueError if it is not a number."""
        return to_number(text, self.decimal)

    def numbers(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Parse cells. Raises ValueError if one is not a number."""
        together = "".join(texts)
        if "_" in together or (self.decimal == "," and "." in together):
            raise ValueError(together)
        if self.decimal == ",":
            texts = [text.replace(",", ".") for text in texts]
        return np.array(list(map(float, texts)))


def to_number(text: str, decimal: str) -> float:
    """Parse a number with this decimal separator. Raises ValueError if it is not a number."""
    if decimal == ",":
        if "." in text:
            raise ValueError(text)
        text = text.replace(",", ".")
    if "_" in text:  # accepted by Python only
        raise ValueError(text)
    return float(text)


def is_number(text: str, decimal: str = ".") -> bool:
    """Return whether a text is a number with this decimal separator."""
    try:
        to_number(text, decimal)
    except ValueError:
        return False
    return True


def is_missing(text: str) -> bool:
    """Return whether a cell marks a missing sample."""
    return text.lower() in MISSING_WORDS


def rows_of(lines: Iterable[str], delimiter: str | None) -> Iterator[list[str]]:
    """Yield the cells of each line. Raises csv.Error if a line is not valid CSV."""
    if delimiter is None:
        return (line.split() for line in lines)
    return ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter))


def dialects(lines: Sequence[str], decimals: Sequence[str] = DECIMALS) -> list[Dialect]:
    """Return the possible dialects of the lines, the most likely first. Empty if no line has a number.

    Args:
        lines: lines of the file, without comments and blank lines.
        decimals: decimal separators to try.
    """
    found: list[tuple[tuple[int, bool, int], Dialect]] = []
    are_quoted = any(_QUOTED.search(line) for line in lines)
    for decimal in decimals:
        for delimiter in DELIMITERS:
            if delimiter == decimal and not are_quoted:
                continue
            rows = list(rows_of(lines, delimiter))
            of_numbers = [number for number, row in enumerate(rows) if _is_row_of_numbers(row, decimal)]
            if not of_numbers:
                continue
            widths = Counter(len(rows[number]) for number in of_numbers)
            width = max(widths, key=lambda width: (widths[width], width))
            begins = next(number for number in of_numbers if len(rows[number]) == width)
            has_header = begins > 0 and len(rows[begins - 1]) == width and not _is_of_others(rows[begins - 1])
            found.append(
                (
                    (widths[width], has_header or begins == 0, width),
                    Dialect(delimiter, decimal, width, widths[width], begins),
                )
            )
    # sorted() is stable: of equally likely ones, the delimiter that was tried first wins
    return [dialect for _, dialect in sorted(found, key=lambda one: one[0], reverse=True)]


def _is_row_of_numbers(row: Sequence[str], decimal: str) -> bool:
    """Return whether a row has at least one number, and otherwise only missing values, times or words."""
    numbers = [is_number(cell, decimal) for cell in row]
    return any(numbers) and all(
        number or is_missing(cell) or seconds_of(cell) is not None or _is_word(cell)
        for number, cell in zip(numbers, row, strict=True)
    )


def _is_of_others(row: Sequence[str]) -> bool:
    """Return whether a row of one cell contains a delimiter, so that it belongs to another dialect."""
    return len(row) == 1 and any(delimiter in row[0] for delimiter in DELIMITERS if delimiter)


def _is_word(cell: str) -> bool:
    return cell[:1].isalpha() and time_column(cell) is None

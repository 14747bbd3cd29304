"""Decide whether the commas of a file without names separate columns or decimals: ``0,15`` can be read both ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final

FEW: Final = 10
"""Rows below which nothing is concluded from what does not occur in them."""

MANY: Final = 50
"""Rows of decimals of which several begin with a 0, if they are decimals."""


class Doubt(IntEnum):
    """How likely it is that pairs of columns are numbers with decimal commas."""

    NONE = 0
    SLIGHT = 1
    GRAVE = 2


def decimal_commas(lines: Sequence[str], rows: Sequence[Sequence[str]]) -> Doubt:
    """Judge whether columns of integers may as well be half as many columns with decimal commas.

    Args:
        lines: lines of the file, all of samples.
        rows: their cells, separated at commas; each row has the same number.
    """
    if not rows or len(rows[0]) % 2 or any(re.search(r',\s|"', line) for line in lines):
        return Doubt.NONE
    columns = list(zip(*rows, strict=True))
    doubts = [_doubt(wholes, parts) for wholes, parts in zip(columns[::2], columns[1::2], strict=True)]
    return max(doubts) if Doubt.NONE not in doubts else Doubt.NONE


def _doubt(wholes: Sequence[str], parts: Sequence[str]) -> Doubt:
    digits = [whole.lstrip("+-") for whole in wholes]
    if not all(text.isdecimal() for text in (*digits, *parts)):
        return Doubt.NONE
    is_varied = len(set(map(len, parts))) > 1
    longer = [part for part in parts if len(part) > 1]
    ends_in_zero = any(part.endswith("0") for part in longer)
    if any(part.startswith("0") for part in longer) or any(whole in ("-0", "+0") for whole in wholes):
        return Doubt.GRAVE  # no integer is written like that
    if len(wholes) >= FEW and (_is_even(wholes) or (is_varied and ends_in_zero)):
        return Doubt.NONE  # row numbers; or no decimals, of which either all end in zeros or none
    if len(longer) >= MANY:
        return Doubt.NONE
    has_signs = any(not whole.isdecimal() for whole in wholes)  # and the other column has none
    if has_signs or all(len(whole) == 1 for whole in digits) or (is_varied and not ends_in_zero):
        return Doubt.GRAVE
    return Doubt.SLIGHT


def _is_even(numbers: Sequence[str]) -> bool:
    steps = {int(after) - int(before) for before, after in pairwise(numbers)}
    return len(steps) == 1 and 0 not in steps

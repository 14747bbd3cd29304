"""Rows of numbers as text for CSV, with the fewest digits that identify each number.

orjson formats numbers up to ten times as fast as Python. Without it, and for numbers that it formats in another way
(with exponents, or that are not finite), Python formats them; the text is the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..libraries import MissingLibrary, library

_SMALLEST, _LARGEST = 1e-4, 1e16
"""Range of the floats, apart from 0, that ``repr`` writes without an exponent."""


def rows_as_text(times: npt.NDArray[np.float64], samples: npt.NDArray[Any]) -> str:
    """Return a line for each row: its time, and its samples, separated by commas.

    Args:
        times: the first column, [rows].
        samples: the other columns, [rows, leads].
    """
    count = len(times)
    if samples.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one, and both are written as nan
            samples = samples.astype(np.float64)
    lines: list[bytes] = []
    is_alike = np.zeros(count, bool)
    orjson = _orjson()
    if orjson is not None and count and samples.dtype.kind in "iuf":
        is_alike = _is_written_alike(times) & _is_written_alike(samples).all(axis=1)
        option = orjson.OPT_SERIALIZE_NUMPY
        dtype = samples.dtype.newbyteorder("=")
        firsts = orjson.dumps(times, option=option)[1:-1].split(b",")
        others = orjson.dumps(np.ascontiguousarray(samples, dtype), option=option)[2:-2].split(b"],[")
        joined = map(b",".join, zip(firsts, others, strict=True))
        if is_alike.all():
            return b"\n".join(joined).decode("ascii") + "\n"
        lines = list(joined)
    lines += [b""] * (count - len(lines))
    for row in np.flatnonzero(~is_alike).tolist():
        lines[row] = ",".join(map(repr, (times[row].item(), *samples[row].tolist()))).encode()
    return b"".join([line + b"\n" for line in lines]).decode("ascii")


@cache
def _orjson() -> Any:
    """Return the library, which is imported when the first rows are written; None without it."""
    try:
        return library("orjson", extra="cli", purpose="writing CSV fast")
    except MissingLibrary:
        return None


def _is_written_alike(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which numbers orjson writes as ``repr`` does."""
    if numbers.dtype.kind != "f":
        return np.ones(numbers.shape, bool)
    sizes = np.abs(numbers)
    is_alike: npt.NDArray[np.bool_] = ((sizes >= _SMALLEST) & (sizes < _LARGEST)) | (sizes == 0)
    return is_alike

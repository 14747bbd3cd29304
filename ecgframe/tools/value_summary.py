"""Short descriptions of payloads: arrays by dtype, shape, range and a sparkline, long lists and texts abbreviated."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

import numpy as np
import numpy.typing as npt

from ..foreign_text import printable

SPARKS: Final = "▁▂▃▄▅▆▇█"
SPARK_WIDTH: Final = 40
"""Longest sparkline, in characters."""

PORTION: Final = 1 << 16
"""Samples that are processed at a time, so that a large array is not copied as a whole."""

LONGEST_LIST: Final = 16
LONGEST_TEXT: Final = 200
DEEPEST: Final = 4

Numbers = npt.NDArray[Any]


class ArrayFacts(TypedDict):
    """Properties of an array that are shown."""

    dtype: str
    shape: list[int]
    min: float | int | None
    max: float | int | None
    missing: int


def array_facts(array: Numbers) -> ArrayFacts:
    """Return dtype and shape of an array, the range of its finite numbers, and how many are not finite."""
    flat = array.reshape(-1)
    found, missing = [], 0
    for start in range(0, flat.size, PORTION):
        part = flat[start : start + PORTION]
        finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
        missing += part.size - finite.size
        if finite.size:
            found += [finite.min().item(), finite.max().item()]
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "min": min(found, default=None),
        "max": max(found, default=None),
        "missing": missing,
    }


def as_array(value: Any) -> Numbers | None:
    """Convert a list of numbers, or of equally long lists of numbers, to an array; None for anything but arrays."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list) or not value:
        return None
    rows = value if isinstance(value[0], list) else [value]
    width = len(rows[0])
    if not width or any(not isinstance(row, list) or len(row) != width for row in rows):
        return None
    kinds = {type(number) for row in rows for number in row}
    if not kinds <= {int, float}:
        return None
    try:
        return np.array(value, float if float in kinds else None)
    except (OverflowError, ValueError):
        return None


def sparkline(array: Numbers, width: int = SPARK_WIDTH) -> str:
    """Draw the first lead as a line of block characters.

    Each block shows the sample of its interval that is farthest from the median, so that no QRS complex is lost.
    """
    lead = array.reshape(-1, array.shape[-1])[0] if array.ndim and array.size else array.reshape(-1)
    middle = _middle(lead)
    if middle is None:
        return ""
    marks = [_ends(part) for part in np.array_split(lead, min(width, len(lead)))]
    finite = [end for ends in marks for end in ends if math.isfinite(end)]
    low, high = min(finite), max(finite)
    return "".join(_block(_farther(ends, middle), low, high) for ends in marks)


def _middle(lead: Numbers) -> float | None:
    """Return the median of the finite samples, or of evenly spaced ones of a long lead; None if there is none."""
    for step in dict.fromkeys((-(-len(lead) // PORTION), 1)) if len(lead) else ():
        samples = lead[::step].astype(np.float64)
        finite = samples[np.isfinite(samples)]
        if finite.size:
            return float(np.median(finite))
    return None


def _ends(part: Numbers) -> tuple[float, float]:
    """Return the smallest and the largest finite number; NaN if there is none."""
    finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
    return (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)


def _farther(ends: tuple[float, float], middle: float) -> float:
    low, high = ends
    return low if abs(low - middle) > abs(high - middle) else high


def _block(mark: float, low: float, high: float) -> str:
    if math.isnan(mark):
        return " "
    share = (mark - low) / (high - low) if high > low else 0.0
    return SPARKS[min(int(share * len(SPARKS)), len(SPARKS) - 1)]


def in_words(value: Any) -> str:
    """Describe a value in one line."""
    array = as_array(value)
    if array is not None and (array.size > LONGEST_LIST or isinstance(value, np.ndarray)):
        kind = "" if isinstance(value, np.ndarray) else "list of "
        return kind + _array_in_words(array)
    return _plain(value, DEEPEST)


def _array_in_words(array: Numbers) -> str:
    facts = array_facts(array)
    words = f"{facts['dtype']} {facts['shape']}"
    if facts["min"] is not None and array.dtype.kind != "b":
        words += f", {facts['min']:,.6g} to {facts['max']:,.6g}"
    if facts["missing"]:
        words += f", {facts['missing']:,} missing"
    return f"{words}  {sparkline(array)}".rstrip()


def _plain(value: Any, depth: int) -> str:  # noqa: PLR0911 - one for each type
    if isinstance(value, str):
        text = value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
        return f'"{printable(text)}"'
    if isinstance(value, bytes | memoryview):
        return f"{len(value):,} bytes"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, np.ndarray):
        return _array_in_words(value)
    if isinstance(value, list | dict):
        return _entries(value, depth)
    return "nil" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _entries(value: list[Any] | dict[Any, Any], depth: int) -> str:
    left, right = "[]" if isinstance(value, list) else "{}"
    if depth == 0:
        return f"{left}{len(value):,} entries{right}"
    if isinstance(value, list):
        shown = [_plain(entry, depth - 1) for entry in value[:LONGEST_LIST]]
    else:
        entries = list(value.items())[:LONGEST_LIST]
        shown = [f"{_plain(key, 0)}: {_plain(entry, depth - 1)}" for key, entry in entries]
    more = [f"… {len(value) - LONGEST_LIST:,} more"] if len(value) > LONGEST_LIST else []
    return left + ", ".join(shown + more) + right


def in_json(value: Any) -> Any:
    """Make a value serializable: arrays and long lists of numbers become their facts, bytes their number."""
    array = as_array(value)
    if array is not None and (array.size > LONGEST_LIST or isinstance(value, np.ndarray)):
        return array_facts(array)
    if isinstance(value, dict):
        return {str(key): in_json(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [in_json(entry) for entry in value]
    if isinstance(value, bytes | memoryview):
        return {"bytes": len(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value

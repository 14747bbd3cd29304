"""Payloads in a few words: arrays by dtype, shape, range and a sparkline, long lists and texts by their beginning."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final, TypedDict
from uuid import UUID

import numpy as np
import numpy.typing as npt

SPARKS: Final = "▁▂▃▄▅▆▇█"
SPARK_WIDTH: Final = 40
"""Characters of a sparkline, at most."""

LONGEST_LIST: Final = 16
LONGEST_TEXT: Final = 200
DEEPEST: Final = 4

Numbers = npt.NDArray[Any]


class ArrayFacts(TypedDict):
    """What is told of an array."""

    dtype: str
    shape: list[int]
    min: float | int | None
    max: float | int | None
    missing: int


def array_facts(array: Numbers) -> ArrayFacts:
    """Its dtype and shape, the least and the largest of its numbers, and how many are none."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "min": finite.min().item() if finite.size else None,
        "max": finite.max().item() if finite.size else None,
        "missing": array.size - finite.size,
    }


def as_array(value: Any) -> Numbers | None:
    """An array, or a list of numbers, or of equally long lists of numbers, as an array; else None."""
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
    """The first lead as a line of blocks.

    Each stands for the sample that is farthest from the median: a QRS complex is never lost between two of them.
    """
    lead = array.reshape(-1, array.shape[-1])[0] if array.ndim and array.size else array.reshape(-1)
    samples = lead.astype(np.float64)
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return ""
    middle, low, high = float(np.median(finite)), float(np.min(finite)), float(np.max(finite))
    marks = (_farthest(part, middle) for part in np.array_split(samples, min(width, len(samples))))
    return "".join(_block(mark, low, high) for mark in marks)


def _farthest(part: Numbers, middle: float) -> float:
    finite = part[np.isfinite(part)]
    return float(finite[np.argmax(np.abs(finite - middle))]) if finite.size else math.nan


def _block(mark: float, low: float, high: float) -> str:
    if math.isnan(mark):
        return " "
    share = (mark - low) / (high - low) if high > low else 0.0
    return SPARKS[min(int(share * len(SPARKS)), len(SPARKS) - 1)]


def in_words(value: Any) -> str:
    """A value for a line of a terminal."""
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
        return f'"{text}"'.encode("unicode_escape").decode("ascii") if not text.isprintable() else f'"{text}"'
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
    """A value as JSON has it: arrays and long lists of numbers by their facts, bytes by their number."""
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

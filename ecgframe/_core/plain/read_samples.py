"""Finds the end of MessagePack numbers and of arrays of numbers, and converts them to samples.

The plain twin of ``read_samples.pyx``. The MessagePack library gets only data whose headers have been checked, so that
it never sees a false length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from struct import Struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgpack import unpackb  # type: ignore[import-untyped]

Samples = npt.NDArray[Any]

_FALSE, _TRUE = 0xC2, 0xC3
F32, F64 = 0xCA, 0xCB
_ARRAY16, _ARRAY32 = 0xDC, 0xDD
_ARRAY32_HEADER: Final = Struct(">BI")

WIDTH: Final = tuple(
    1 if tag < 0x80 or tag >= 0xE0 or tag in {_FALSE, _TRUE}
    else {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.get(tag, 0)
    for tag in range(256)
)  # fmt: skip
"""Size of a number or bool in bytes, by its tag; 0 for tags of other types."""

FLOATS: Final = {
    F32: np.dtype([("tag", "u1"), ("value", ">f4")]),
    F64: np.dtype([("tag", "u1"), ("value", ">f8")]),
}
"""NumPy dtypes for a row of floats that all have the same tag."""

_WORTH_A_LOOK: Final = 8
_AT_ONCE: Final = 2**14
_ONE_BYTE_NUMBERS: Final = re.compile(rb"[\x00-\x7f\xc2\xc3\xe0-\xff]*")
_EMPTY_ARRAYS: Final = re.compile(rb"\x90*")

_EXACT_IN_FLOAT64: Final = 2**53
_LARGEST_INT64: Final = 2**63 - 1

NOT_A_NUMBER: Final = "not a number where the shape has a sample"
BOOL_AMONG_NUMBERS: Final = "a bool among numbers"
NUMBER_AMONG_BOOLS: Final = "neither true, false, 0 nor 1 in a bool array"
FRACTION: Final = "a fraction, infinity or NaN in an integer array"
OUT_OF_RANGE: Final = "a number outside the range of the array's dtype"


class SampleFault(Exception):
    """A number cannot become a sample. Has the reason and the index of the sample."""

    def __init__(self, why: str, index: int) -> None:
        super().__init__(why)
        self.why = why
        self.index = index

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.why, self.index), self.__dict__


# --- ends of numbers and arrays ---


def array_header(octets: memoryview, at: int) -> tuple[int, int] | None:
    """Return the length of the array at ``at``, and the offset of its first element; None if there is no array."""
    tag = octets[at] if at < len(octets) else 0
    if 0x90 <= tag <= 0x9F:
        return tag & 0x0F, at + 1
    width = {_ARRAY16: 2, _ARRAY32: 4}.get(tag, 0)
    start = at + 1 + width
    return (int.from_bytes(octets[at + 1 : start]), start) if width and start <= len(octets) else None


def past_numbers(octets: memoryview, at: int, depth: int) -> int | None:
    """Return the end of one number, or of arrays of numbers with at most ``depth`` levels; None for anything else."""
    if at >= len(octets):
        return None
    if width := WIDTH[octets[at]]:
        return at + width if at + width <= len(octets) else None
    header = array_header(octets, at)
    if header is None or depth == 0:
        return None
    return _past_elements(octets, header[1], header[0], depth - 1)


def _past_elements(octets: memoryview, at: int, n: int, depth: int) -> int | None:
    count, at = past_row(octets, at, n)
    while count < n:
        empty = past_empty_arrays(octets, at, n - count) - at if depth else 0
        after = at + empty if empty else past_numbers(octets, at, depth)
        if after is None:
            return None
        count += empty or 1
        at = after
    return at


def past_empty_arrays(octets: memoryview, at: int, n: int) -> int:
    """Return the end of at most n empty arrays of one byte at ``at``: a payload may have millions."""
    return _span(_EMPTY_ARRAYS, octets, at, n)


def past_row(octets: memoryview, at: int, n: int) -> tuple[int, int]:
    """Return how many complete numbers, at most n, follow each other at ``at``, and the end of the last."""
    floats = _uniform_floats(octets, at, n) if n >= _WORTH_A_LOOK else None
    if floats is not None:
        return n, at + floats.nbytes
    end = len(octets)
    count = 0
    while count < n:
        width = WIDTH[octets[at]] if at < end else 0
        if width == 1:
            after = _span(_ONE_BYTE_NUMBERS, octets, at, n - count)
            count += after - at
            at = after
        elif width and at + width <= end:
            count += 1
            at += width
        else:
            break
    return count, at


def _span(pattern: re.Pattern[bytes], octets: memoryview, at: int, n: int) -> int:
    """Return the end of the bytes at ``at`` that match a pattern, at most n."""
    found = pattern.match(octets, at, at + n)
    return found.end() if found else at


def _uniform_floats(octets: memoryview, at: int, n: int) -> npt.NDArray[np.void] | None:
    """Return the n numbers at ``at`` if all are floats of one size, as in nearly all signals; otherwise None."""
    tag = octets[at] if at < len(octets) else 0
    dtype = FLOATS.get(tag)
    if dtype is None or n > (len(octets) - at) // dtype.itemsize:
        return None
    records = np.frombuffer(octets, dtype, n, at)
    return records if (records["tag"] == tag).all() else None


# --- conversion to samples ---


class SampleReader:
    """Fills an array with the numbers of a payload, row by row.

    Only few numbers are Python objects at the same time. Many short rows are converted together.

    Args:
        octets: the payload.
        target: a one-dimensional array in native byte order.
    """

    def __init__(self, octets: memoryview, target: Samples) -> None:
        self._octets = octets
        self._target = target
        self._done = 0
        self._pieces: list[memoryview] = []  # numbers that are not converted yet
        self._pending = 0

    def read(self, at: int, n: int) -> int:
        """Read the n numbers at ``at``. Returns their end.

        Raises:
            SampleFault: for the first value so far that is not a number, or that the dtype cannot hold.
        """
        floats = _uniform_floats(self._octets, at, n) if self._target.dtype.kind == "f" and n >= _WORTH_A_LOOK else None
        if floats is not None:
            self.flush()
            self._store(_rounded, floats["value"])
            return at + floats.nbytes
        while n:
            wanted = min(n, _AT_ONCE)
            count, after = past_row(self._octets, at, wanted)
            self._pieces.append(self._octets[at:after])
            self._pending += count
            if count < wanted:
                self.flush()
                raise SampleFault(NOT_A_NUMBER, self._done)
            if self._pending >= _AT_ONCE:
                self.flush()
            n -= count
            at = after
        return at

    def flush(self) -> None:
        """Convert the numbers that were read so far.

        Raises:
            SampleFault: for the first number that the dtype cannot hold.
        """
        octets = memoryview(b"".join(self._pieces))
        n = self._pending
        self._pieces.clear()
        self._pending = 0
        floats = _uniform_floats(octets, 0, n) if self._target.dtype.kind == "f" else None
        if floats is not None:
            self._store(_rounded, floats["value"])
        else:
            numbers = unpackb(_ARRAY32_HEADER.pack(_ARRAY32, n) + octets)
            self._store(_CONVERT[self._target.dtype.kind], numbers)

    def _store(self, convert: Callable[[Any, np.dtype[Any]], Samples], numbers: Any) -> None:
        try:
            self._target[self._done : self._done + len(numbers)] = convert(numbers, self._target.dtype)
        except SampleFault as fault:
            raise SampleFault(fault.why, self._done + fault.index) from None
        self._done += len(numbers)


# --- samples ---


def _booleans(numbers: list[Any], dtype: np.dtype[Any]) -> Samples:
    for i, number in enumerate(numbers):
        if type(number) is float or number not in {0, 1}:
            raise SampleFault(NUMBER_AMONG_BOOLS, i)
    return np.array(numbers, dtype)


def _integers(numbers: list[Any], dtype: np.dtype[Any]) -> Samples:
    limits = np.iinfo(dtype)
    plain = _types(numbers) == {int} and int(limits.min) <= min(numbers) and max(numbers) <= int(limits.max)
    if not plain:
        numbers = [_integer(number, i, limits) for i, number in enumerate(numbers)]
    return np.array(numbers, dtype)


def _integer(number: float | bool, i: int, limits: np.iinfo[Any]) -> int:
    if type(number) is bool:
        raise SampleFault(BOOL_AMONG_NUMBERS, i)
    if type(number) is float and not number.is_integer():
        raise SampleFault(FRACTION, i)
    if not int(limits.min) <= number <= int(limits.max):
        raise SampleFault(OUT_OF_RANGE, i)
    return int(number)


def _floats(numbers: list[Any], dtype: np.dtype[Any]) -> Samples:
    count = next((i for i, number in enumerate(numbers) if type(number) is bool), len(numbers))
    wide = np.array(numbers[:count], np.float64)
    samples = _rounded(wide, dtype)
    if dtype.itemsize == 4:
        _round_once(samples, numbers[:count])
    if count < len(numbers):
        raise SampleFault(BOOL_AMONG_NUMBERS, count)
    return samples


def _rounded(wide: Samples, dtype: np.dtype[Any]) -> Samples:
    """Convert floats to another size. A finite value that would become infinite is a fault."""
    with np.errstate(all="ignore"):
        samples = wide.astype(dtype)
    if dtype.itemsize < wide.dtype.itemsize:
        lost = np.isinf(samples) & ~np.isinf(wide)
        if lost.any():
            raise SampleFault(OUT_OF_RANGE, int(np.flatnonzero(lost)[0]))
    return samples


def _round_once(samples: Samples, numbers: list[Any]) -> None:
    """Round large integers directly: converting them to float64 first would round twice."""
    for i, number in enumerate(numbers):
        if type(number) is int and abs(number) > _EXACT_IN_FLOAT64:
            samples[i] = (np.int64(number) if number <= _LARGEST_INT64 else np.uint64(number)).astype(samples.dtype)


_CONVERT: Final[dict[str, Callable[[list[Any], np.dtype[Any]], Samples]]] = {
    "b": _booleans,
    "i": _integers,
    "u": _integers,
    "f": _floats,
}


def _types(numbers: Iterable[Any]) -> set[type]:
    return set(map(type, numbers))


# --- plain lists of numbers ---


def read_number_list(octets: memoryview, start: int, at: int, n: int) -> tuple[Samples, int] | None:
    """Read a list of n numbers, or of n lists of equal length, as an ndarray. Returns the array and the end.

    Returns None for other lists, or if no dtype represents all numbers exactly.

    Args:
        octets: the payload.
        start: offset of the header of the list.
        at: offset of its first element.
        n: number of its elements.
    """
    header = array_header(octets, at)
    after = _past_full_row(octets, at, n) if header is None else _past_rows(octets, at, n, header[0])
    if after is None:
        return None
    values = unpackb(octets[start:after])
    dtype = _dtype_for(values if header is None else list(chain.from_iterable(values)))
    return None if dtype is None else (np.array(values, dtype), after)


def _past_full_row(octets: memoryview, at: int, n: int) -> int | None:
    count, after = past_row(octets, at, n)
    return after if count == n else None


def _past_rows(octets: memoryview, at: int, n: int, columns: int) -> int | None:
    for _ in range(n):
        header = array_header(octets, at)
        if header is None or header[0] != columns or columns == 0:
            return None
        after = _past_full_row(octets, header[1], columns)
        if after is None:
            return None
        at = after
    return at


def _dtype_for(numbers: list[Any]) -> type[np.generic] | None:
    """Return the dtype that represents every number exactly; None if there is none."""
    types = _types(numbers)
    if bool in types:
        return None
    if float in types:
        exact = all(abs(number) <= _EXACT_IN_FLOAT64 for number in numbers if type(number) is int)
        return np.float64 if exact else None
    if max(numbers) > _LARGEST_INT64:
        return np.uint64 if min(numbers) >= 0 else None
    return np.int64

"""Unpacks MessagePack payloads to Python objects: the eleven types of the specification only.

The plain twin of ``unpack.pyx``. Arrays and maps are read here, and each length is compared to the remaining bytes. The
MessagePack library reads scalars, and lists of numbers after they have been found complete.
"""

from __future__ import annotations

import sys
from datetime import datetime
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn
from uuid import UUID

import numpy as np
from msgpack import unpackb  # type: ignore[import-untyped]

from ...errors import InvalidDataFormat, MessageTooLarge
from ...protocol import (
    BINARY_VALUES,
    DATETIME_KEY,
    DATETIME_SPELLING,
    DTYPE_KEY,
    DTYPE_SPELLINGS,
    MAX_DEPTH,
    MAX_DIMENSION,
    MAX_DTYPE_LETTERS,
    MAX_NDIM,
    MAX_VALUES,
    NDARRAY_KEY,
    NDARRAY_KEYS,
    NDARRAY_VALUES,
    SHAPE_KEY,
    UUID_KEY,
    UUID_SPELLING,
    Check,
)
from ..path import path_text, quoted
from .read_samples import (
    NOT_A_NUMBER,
    WIDTH,
    SampleFault,
    SampleReader,
    Samples,
    array_header,
    past_empty_arrays,
    past_numbers,
    past_row,
    read_number_list,
)

if TYPE_CHECKING:
    from ._header import FlatBuffer, Header

__all__ = ["unpack", "unpack_checked"]

_TOO_DEEP: Final = f"more than {MAX_DEPTH} arrays and maps inside one another"
_NDARRAY, _DTYPE, _SHAPE = NDARRAY_KEY.encode(), DTYPE_KEY.encode(), SHAPE_KEY.encode()
_MARKERS: Final = frozenset({_NDARRAY, _DTYPE, _SHAPE, DATETIME_KEY.encode(), UUID_KEY.encode()})


def unpack(flat: FlatBuffer, start: int, stop: int, numeric: bool, copy: bool) -> Any:
    """Unpack the only value in the bytes from ``start`` to ``stop``; None if there are no bytes.

    Args:
        flat: the received bytes. Arrays in binary form are views of them, and keep them alive.
        start: offset of the payload.
        stop: offset of its end.
        numeric: True to convert plain lists of numbers to ndarrays.
        copy: True to copy arrays in binary form, so that they are writable.

    Raises:
        InvalidDataFormat: (check 11) the payload is not exactly one valid value of the types in the specification.
        MessageTooLarge: (check 11) the payload has more values than ``protocol.MAX_VALUES``.
    """
    return None if start == stop else _Reader(flat.view(start, stop), numeric, copy).only_value()


def unpack_checked(flat: FlatBuffer, offset: int, header: Header, numeric: bool, copy: bool) -> Any:
    """Unpack the payload of the complete frame at ``offset``, after its checksum was verified (check 7).

    Raises:
        ChecksumMismatch: (check 7) the payload was damaged.
        InvalidDataFormat, MessageTooLarge: (check 11) as for ``unpack``.
    """
    flat.check_sum(offset, header)
    start = offset + header.size
    return unpack(flat, start, start + header.length, numeric, copy)


class _Span(NamedTuple):
    start: int
    stop: int


class _Wrapper(NamedTuple):
    """Locations of the values of an ndarray wrapper in the payload."""

    samples: _Span
    dtype: _Span
    shape: _Span
    end: int


class _Reader:
    """Reads one payload."""

    def __init__(self, octets: memoryview, numeric: bool, copy: bool) -> None:
        self._octets = octets
        self._end = len(octets)
        self._at = 0
        self._numeric = numeric
        self._copy = copy
        self._outstanding = 0  # values that the open arrays and maps still need; at least a byte each
        self._values = 0  # values so far, counted as for MAX_VALUES
        self._path: list[str | int] = []  # one step for each open array or map

    def only_value(self) -> Any:
        value = self._value()
        if self._at != self._end:
            self._refuse(self._at, f"{self._end - self._at} bytes left over behind the value")
        return value

    # --- errors ---

    def _refuse(self, at: int, why: str) -> NoReturn:
        path = path_text(self._path)
        raise InvalidDataFormat(f"{path}: {why} (payload byte {at})", check=Check.PAYLOAD, path=path, offset=at)

    def _need(self, n: int) -> None:
        if n > self._end - self._at:
            self._refuse(self._at, f"the payload ends {n - (self._end - self._at)} bytes early")

    # --- values ---

    def _value(self) -> Any:  # noqa: PLR0911 - one return for each kind of tag
        self._need(1)
        start = self._at
        tag = self._octets[start]
        if WIDTH[tag]:
            return self._number(WIDTH[tag])
        if tag <= 0xC0:
            return self._fixed(start, tag)
        if 0xC4 <= tag <= 0xC6:
            return self._bytes(start, self._length(1 << tag - 0xC4))
        if 0xD9 <= tag <= 0xDB:
            return self._text(start, self._length(1 << tag - 0xD9))
        if tag in {0xDC, 0xDD}:
            return self._array(start, self._length(2 << tag - 0xDC))
        if tag in {0xDE, 0xDF}:
            return self._map(start, self._length(2 << tag - 0xDE))
        return self._refuse(start, f"MessagePack tag 0x{tag:02x} is none of the specification's types")

    def _fixed(self, start: int, tag: int) -> Any:
        """Read a value whose tag contains the length."""
        self._at += 1
        if tag < 0x90:
            return self._map(start, tag & 0x0F)
        if tag < 0xA0:
            return self._array(start, tag & 0x0F)
        return self._text(start, tag & 0x1F) if tag < 0xC0 else None

    def _length(self, width: int) -> int:
        """Read a tag and the length after it, which has ``width`` bytes. Returns the length."""
        self._need(1 + width)
        at = self._at + 1
        self._at = at + width
        n = int.from_bytes(self._octets[at : self._at])
        if width == 4 and n > self._end - self._at:
            self._refuse(at - 1, f"a length of {n}, and {self._end - self._at} bytes are left")
        return n

    def _number(self, width: int) -> Any:
        if width > self._end - self._at:
            self._refuse(self._at, "the payload ends within this number")
        self._at += width
        return unpackb(self._octets[self._at - width : self._at])

    def _text(self, start: int, n: int) -> Any:
        self._need(n)
        self._count(start, 1)
        try:
            text = unpackb(self._octets[start : self._at + n])
        except UnicodeDecodeError as error:
            self._refuse(start, f"text that is not UTF-8 ({error.reason})")
        self._at += n
        return text

    def _bytes(self, start: int, n: int) -> bytes:
        self._need(n)
        self._count(start, BINARY_VALUES)
        self._at += n
        return bytes(self._octets[self._at - n : self._at])

    # --- containers ---

    def _enter(self, start: int, values: int) -> None:
        """Go into an array or map of so many values. Rejects it at once if the payload is too short for them."""
        if values + self._outstanding > self._end - self._at:
            self._refuse(start, f"{values} values announced, and {self._end - self._at} bytes are left")
        if len(self._path) == MAX_DEPTH:
            self._refuse(start, _TOO_DEEP)
        self._count(start, 1)
        self._outstanding += values

    def _count(self, start: int, values: int) -> None:
        """Count a value as ``MAX_VALUES`` defines it, before it is created. ``start`` is its offset."""
        self._values += values
        if self._values > MAX_VALUES:
            path = path_text(self._path)
            raise MessageTooLarge(
                f"{path}: more than {MAX_VALUES} values in one payload (payload byte {start})",
                check=Check.PAYLOAD,
                path=path,
                offset=start,
            )

    def _array(self, start: int, n: int) -> Any:
        if self._numeric and n and (array := self._number_list(start, n)) is not None:
            return array
        self._enter(start, n)
        count, after = past_row(self._octets, self._at, n) if n else (0, self._at)
        if count < n:
            return self._items(n)
        self._outstanding -= n
        self._at = after
        return unpackb(self._octets[start:after]) if n else []

    def _number_list(self, start: int, n: int) -> Samples | None:
        if n > self._end - self._at or len(self._path) + 2 > MAX_DEPTH:
            return None
        found = read_number_list(self._octets, start, self._at, n)
        if found is None:
            return None
        array, self._at = found
        # It counts like the lists, so that this option does not change which payloads are accepted.
        self._count(start, 1 + n if array.ndim > 1 else 1)
        return array

    def _items(self, n: int) -> list[Any]:
        items = []
        self._path.append(0)
        for i in range(n):
            self._path[-1] = i
            self._outstanding -= 1
            items.append(self._value())
        self._path.pop()
        return items

    def _map(self, start: int, n: int) -> Any:
        if 0 < n <= 3 and self._key_at(self._at) in _MARKERS:
            return self._marked_map(start, n)
        return self._entries(start, n)

    def _entries(self, start: int, n: int) -> dict[str | int, Any]:
        self._enter(start, 2 * n)
        entries = {}
        for _ in range(n):
            self._outstanding -= 1
            key = self._key()  # an error in the key has the path of the map
            self._path.append(key)
            self._outstanding -= 1
            entries[key] = self._value()
            self._path.pop()
        if len(entries) != n:
            self._refuse(start, "a map names the same key twice")
        return entries

    def _key(self) -> str | int:
        self._need(1)
        tag = self._octets[self._at]
        if not (tag < 0x80 or tag >= 0xE0 or 0xCC <= tag <= 0xD3 or 0xA0 <= tag < 0xC0 or 0xD9 <= tag <= 0xDB):
            self._refuse(self._at, f"a map key that is neither str nor int (MessagePack tag 0x{tag:02x})")
        if WIDTH[tag]:  # text is counted when it is read
            self._count(self._at, 1)
        key: str | int = self._value()
        return key

    # --- wrappers ---

    def _marked_map(self, start: int, n: int) -> Any:
        """Read a map whose first key is one of a wrapper. Returns the wrapped value, or the map if it is no wrapper."""
        wrapper = self._locate() if n == 3 else None
        if wrapper is not None:
            return self._ndarray(wrapper)
        entries = self._entries(start, n)
        if NDARRAY_KEY in entries and NDARRAY_KEYS.issuperset(entries):
            self._refuse_invalid_wrapper(start, entries)
        if n == 1 and DATETIME_KEY in entries:
            return self._datetime(start, entries[DATETIME_KEY])
        if n == 1 and UUID_KEY in entries:
            return self._uuid(start, entries[UUID_KEY])
        return entries

    def _datetime(self, start: int, text: Any) -> datetime:
        if type(text) is not str:
            self._refuse(start, f'"{DATETIME_KEY}" wraps no text')
        try:
            found = datetime.fromisoformat(text) if DATETIME_SPELLING.fullmatch(text) else None
        except ValueError:
            found = None  # the date does not exist
        if found is None:
            self._refuse(start, f'"{DATETIME_KEY}" wraps no ISO 8601 date and time: {quoted(text)}')
        return found

    def _uuid(self, start: int, text: Any) -> UUID:
        if type(text) is not str:
            self._refuse(start, f'"{UUID_KEY}" wraps no text')
        if not UUID_SPELLING.fullmatch(text):
            self._refuse(start, f'"{UUID_KEY}" wraps no UUID: {quoted(text)}')
        return UUID(text)

    def _refuse_invalid_wrapper(self, start: int, entries: dict[str | int, Any]) -> NoReturn:
        missing = sorted(NDARRAY_KEYS.difference(map(str, entries)))
        if missing:
            self._refuse(start, f"an ndarray wrapper without {' and '.join(missing)}")
        if type(entries[DTYPE_KEY]) is not str:
            self._refuse(start, "an ndarray wrapper whose dtype is no text")
        self._refuse(start, f'an ndarray wrapper whose "{NDARRAY_KEY}" holds other than numbers, or whose shape does')

    # --- ndarray wrappers: the samples often precede the dtype, which must be read first ---

    def _locate(self) -> _Wrapper | None:
        """Locate the three values of a wrapper, whose first key is next; None if it is not a complete wrapper."""
        found: dict[bytes, _Span] = {}
        at = self._at
        for _ in range(3):
            key_span = self._text_at(at)
            if key_span is None or key_span.stop == self._end:
                return None
            key = bytes(self._octets[slice(*key_span)])
            value = self._wrapped_value_at(key, key_span.stop)
            if value is None or key in found:
                return None
            found[key] = value
            at = value.stop
        return _Wrapper(found[_NDARRAY], found[_DTYPE], found[_SHAPE], at)

    def _wrapped_value_at(self, key: bytes, at: int) -> _Span | None:
        if key == _DTYPE:
            return self._text_at(at)
        if key == _NDARRAY:
            if 0xC4 <= self._octets[at] <= 0xC6:
                data = self._sized_at(at, 0xC4)
                return None if data is None else _Span(at, data.stop)
            after = past_numbers(self._octets, at, MAX_NDIM)
        elif key == _SHAPE:
            after = past_numbers(self._octets, at, 1)
        else:
            return None
        return None if after is None else _Span(at, after)

    def _key_at(self, at: int) -> bytes:
        span = self._text_at(at)
        return b"" if span is None else bytes(self._octets[slice(*span)])

    def _text_at(self, at: int) -> _Span | None:
        """Return where the bytes of the str at ``at`` are; None if there is no complete str."""
        tag = self._octets[at] if at < self._end else 0
        if not 0xA0 <= tag < 0xC0:
            return self._sized_at(at, 0xD9)
        span = _Span(at + 1, at + 1 + (tag & 0x1F))
        return span if span.stop <= self._end else None

    def _sized_at(self, at: int, tag8: int) -> _Span | None:
        """Return where the bytes after a tag at ``at`` and a length of 8, 16 or 32 bits are; None if incomplete."""
        width = {tag8: 1, tag8 + 1: 2, tag8 + 2: 4}.get(self._octets[at] if at < self._end else 0)
        if width is None or at + 1 + width > self._end:
            return None
        start = at + 1 + width
        span = _Span(start, start + int.from_bytes(self._octets[at + 1 : start]))
        return span if span.stop <= self._end else None

    def _ndarray(self, wrapper: _Wrapper) -> Samples:
        samples = wrapper.samples
        self._count(samples.start, NDARRAY_VALUES)
        if len(self._path) + 2 > MAX_DEPTH:
            self._refuse(samples.start, _TOO_DEEP)
        dtype = self._dtype(wrapper.dtype)
        shape = self._shape(wrapper.shape, dtype)
        if 0xC4 <= self._octets[samples.start] <= 0xC6:
            array = self._view_samples(samples, dtype, shape)
        else:
            array = self._copy_samples(samples, dtype, shape)
        self._at = wrapper.end
        return array

    def _dtype(self, span: _Span) -> np.dtype[Any]:
        if span.stop - span.start > MAX_DTYPE_LETTERS:
            self._refuse(span.start, f"a dtype of {span.stop - span.start} letters")
        text = bytes(self._octets[slice(*span)])
        dtype = _known_dtype(text.decode("latin-1"))
        if dtype is None:
            spelling = text.decode("ascii", "backslashreplace")
            self._refuse(span.start, f"dtype {spelling!r} is no bool, integer or float of at most 8 bytes")
        return dtype

    def _shape(self, span: _Span, dtype: np.dtype[Any]) -> tuple[int, ...]:
        header = array_header(self._octets, span.start)
        if header is None:
            self._refuse(span.start, "an ndarray's shape is an array of dimensions")
        if header[0] > MAX_NDIM:
            self._refuse(span.start, f"an ndarray of {header[0]} dimensions; {MAX_NDIM} is the most")
        shape = tuple(unpackb(self._octets[slice(*span)]))
        for i, size in enumerate(shape):
            if type(size) is not int or not 0 <= size <= MAX_DIMENSION:
                self._refuse(span.start, f"dimension {i} of an ndarray's shape is no integer from 0 to 2**32 - 1")
        if dtype.itemsize * prod(size for size in shape if size) > sys.maxsize:
            self._refuse(span.start, "the shape has more samples than memory has addresses")
        return shape

    # --- binary form ---

    def _view_samples(self, samples: _Span, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Samples:
        """Return the samples as a read-only view of the received bytes.

        They are copied if they are unaligned or have another byte order; and if the reader is to copy, which makes the
        array writable.
        """
        span = self._sized_at(samples.start, 0xC4)
        assert span is not None  # found before, by _locate
        n = span.stop - span.start
        expected = prod(shape) * dtype.itemsize
        if n != expected:
            why = f"{n} bytes of samples, where shape {list(shape)} of {dtype} has {expected}"
            self._refuse(samples.start, why)
        octets = np.frombuffer(self._octets[slice(*span)], np.uint8)
        if dtype.kind == "b" and (octets > 1).any():
            first = int(np.flatnonzero(octets > 1)[0])
            self._refuse(span.start + first, f"a bool sample of value {octets[first]}")
        array = octets.view(dtype.newbyteorder("<")).reshape(shape)
        if self._copy:
            return array.astype(dtype)
        if dtype.isnative and array.ctypes.data % dtype.itemsize == 0:
            return array
        array = array.astype(dtype)
        array.flags.writeable = False
        return array

    # --- list form ---

    def _copy_samples(self, samples: _Span, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Samples:
        """Return a new array with the samples of nested or flat lists."""
        flat = self._is_flat(samples.start, len(shape))
        count = prod(shape)
        if count > samples.stop - samples.start:
            self._refuse_shape(samples.start, shape)
        if len(self._path) + 1 + (1 if flat else len(shape)) > MAX_DEPTH:
            self._refuse(samples.start, _TOO_DEEP)
        array = np.empty(shape, dtype.newbyteorder("="))
        reader = SampleReader(self._octets, array.reshape(-1))
        try:
            after = self._fill(reader, samples.start, (count,) if flat else shape)
            reader.flush()
        except SampleFault as fault:
            if fault.why == NOT_A_NUMBER:
                self._refuse_shape(samples.start, shape)
            self._refuse_sample(samples.start, shape, fault)
        if after != samples.stop:
            self._refuse_shape(samples.start, shape)
        return array if dtype.isnative else array.astype(dtype)

    def _is_flat(self, at: int, ndim: int) -> bool:
        """Return True if the samples are one flat list in C order, False if they are nested lists."""
        header = array_header(self._octets, at)
        if header is None:
            return False
        return ndim < 2 or header[0] == 0 or array_header(self._octets, header[1]) is None

    def _fill(self, reader: SampleReader, at: int, shape: tuple[int, ...]) -> int | None:
        """Read lists that are nested as the shape says; for no dimensions, a single number.

        Returns their end; None if they are nested otherwise.
        """
        if not shape:
            return reader.read(at, 1)
        header = array_header(self._octets, at)
        if header is None or header[0] != shape[0]:
            return None
        n, at = header
        return reader.read(at, n) if len(shape) == 1 else self._fill_rows(reader, at, n, shape[1:])

    def _fill_rows(self, reader: SampleReader, at: int, n: int, shape: tuple[int, ...]) -> int | None:
        if shape == (0,):
            after = past_empty_arrays(self._octets, at, n)
            n -= after - at
            at = after
        for _ in range(n):
            row_end = self._fill(reader, at, shape)
            if row_end is None:
                return None
            at = row_end
        return at

    def _refuse_shape(self, at: int, shape: tuple[int, ...]) -> NoReturn:
        self._refuse(at, f"the samples are neither nested as shape {list(shape)} says nor that many in one flat list")

    def _refuse_sample(self, at: int, shape: tuple[int, ...], fault: SampleFault) -> NoReturn:
        place = [int(i) for i in np.unravel_index(fault.index, shape)]
        path = path_text([*self._path, NDARRAY_KEY, *place])
        raise InvalidDataFormat(
            f"{path}: {fault.why} (samples from payload byte {at})", check=Check.PAYLOAD, path=path, offset=at
        ) from None


@lru_cache(maxsize=256)
def _known_dtype(spelling: str) -> np.dtype[Any] | None:
    """Return the dtype for a text; None for other texts, including those of structures and objects in NumPy."""
    name = DTYPE_SPELLINGS.get(spelling)
    return None if name is None else np.dtype(name)

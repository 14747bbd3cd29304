"""Packs Python objects to a MessagePack payload: the eleven types of the specification only.

The plain twin of ``pack.pyx``. The MessagePack library writes the values; wrappers, limits and paths for errors are
implemented here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from math import prod
from types import NoneType
from typing import Any, Final, NoReturn, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
import numpy.typing as npt
from msgpack import Packer  # type: ignore[import-untyped]

from ...errors import MessageTooLarge, ProtocolError
from ...protocol import (
    BINARY_VALUES,
    DATETIME_KEY,
    DTYPE_KEY,
    HEADER_SIZES,
    MAX_DEPTH,
    MAX_DIMENSION,
    MAX_NDIM,
    MAX_VALUES,
    NDARRAY_KEY,
    NDARRAY_VALUES,
    SHAPE_KEY,
    UUID_KEY,
)
from ..path import path_text
from ..readable import (
    datetime_text,
    device_of,
    from_dlpack,
    has_dlpack,
    has_whole_minutes,
    is_masked_array,
    is_sample_dtype,
    kind_name,
    may_be_wrapper,
    on_device,
    scalar_dtype,
    true_int,
    true_item,
    true_str,
    unreadable,
    uuid_text,
    with_path,
)
from ..with_entry import WithEntry
from ._header import FlatBuffer, flatten
from .frame import PendingFrame
from .read_samples import F32, F64, FLOATS
from .unpack import unpack

__all__ = ["pack", "pack_frame", "pack_frame_into"]

_Answer = TypeVar("_Answer")
_Convert: TypeAlias = Callable[[Any], Any] | None

_SCALARS: Final = frozenset({NoneType, bool, int, float, str, bytes})
_LONG_TEXT: Final = 65536
_MOST_WRAPPED: Final = 3  # largest number of entries of a wrapper


def pack(obj: Any, max_payload: int, binary: bool, convert: _Convert = None) -> bytes:
    """Return the packed payload as bytes. ``convert`` is the ``default`` of a codec, or None."""
    return _Writer(0, max_payload, binary, convert=convert).payload_of(obj)


def pack_frame(
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    obj: Any,
    max_payload: int,
    binary: bool,
    longest: int,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
    convert: _Convert = None,
) -> bytes | PendingFrame:
    """Return a frame; or a pending frame if its payload has more than ``longest`` bytes and may still be compressed."""
    room = HEADER_SIZES[version]
    pending = PendingFrame(room, _Writer(room, max_payload, binary, convert=convert).payload_of(obj))
    if pending.nbytes > longest:
        return pending
    return pending.finish(version, type, flags, timestamp, form, stream_id, sequence)


def pack_frame_into(
    target: FlatBuffer,
    offset: int,
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    obj: Any,
    max_payload: int,
    binary: bool,
    longest: int,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
    convert: _Convert = None,
) -> int | PendingFrame:
    """Write a frame into a writable buffer at ``offset``. Returns the size of the frame, or the pending frame.

    Raises:
        BufferError: the buffer is too small for the frame.
    """
    room = HEADER_SIZES[version]
    if not 0 <= offset <= target.nbytes - room:
        raise BufferError(f"no room for a header at byte {offset} of a buffer of {target.nbytes}")
    writer = _Writer(room, max_payload, binary, target.nbytes - offset - room, convert)
    pending = PendingFrame(room, writer.payload_of(obj), target, offset)
    if pending.nbytes > longest:
        return pending
    return len(pending.finish(version, type, flags, timestamp, form, stream_id, sequence))


class _Writer:
    """Writes one payload, value by value, as pieces that are joined at the end.

    Args:
        room: size of the header before the payload, in bytes, for the alignment of the binary form.
        max_payload: maximum size of the payload, in bytes.
        binary: True to pack ndarrays in binary form.
        capacity: bytes for the payload in the buffer of the caller; None if there is no such buffer.
        convert: converts objects of types that the protocol does not have, or None.
    """

    def __init__(
        self, room: int, max_payload: int, binary: bool, capacity: int | None = None, convert: _Convert = None
    ) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._room = room
        self._limit = max_payload
        self._capacity = max_payload if capacity is None else min(capacity, max_payload)
        self._binary = binary
        self._convert = convert
        self._converted = -1  # size at which the last object that it returned begins
        self._counted = 0  # values so far, counted as for MAX_VALUES
        self._path: list[str | int] = []
        self._packer = Packer()

    def payload_of(self, value: Any) -> bytes:
        self._write(value)
        return b"".join(self._pieces)

    # --- path and limits ---

    def _where(self) -> str:
        return path_text(self._path)

    def _put(self, piece: bytes) -> None:
        self._leave_bytes_for(len(piece))
        self._pieces.append(piece)
        self._size += len(piece)

    def _leave_bytes_for(self, n: int) -> None:
        if n <= self._capacity - self._size:
            return
        if n > self._limit - self._size:
            raise MessageTooLarge(
                f"the payload passes the limit of {self._limit} bytes at {self._where()}", path=self._where()
            )
        missing = n - (self._capacity - self._size)
        raise BufferError(f"{self._where()}: the buffer ends {missing} bytes before this does")

    def _leave_levels_for(self, levels: int) -> None:
        if len(self._path) + levels > MAX_DEPTH:
            raise ValueError(f"{self._where()}: more than {MAX_DEPTH} arrays and maps inside one another")

    def _enter(self) -> None:
        """Go into an array or a map."""
        self._leave_levels_for(1)
        self._count_towards_limit(1)

    def _count_towards_limit(self, values: int) -> None:
        """Count values as a receiver does, which accepts at most MAX_VALUES."""
        self._counted += values
        if self._counted > MAX_VALUES:
            path = self._where()
            raise MessageTooLarge(f"{path}: more than {MAX_VALUES} values in one payload", path=path)

    # --- values ---

    def _write(self, value: Any) -> None:
        """Pack a value. Its type decides, as ``__class__`` and methods of a subclass may return anything."""
        kind = type(value)
        if type(kind) is type and kind in _SCALARS:  # a metaclass may define its own hash
            self._count_towards_limit(_counts_of(value))
            self._scalar(value)
            return
        for kinds, write in _WRITERS:
            if issubclass(kind, kinds):
                write(self, value)
                return
        self._other(value)

    def _other(self, value: Any) -> None:
        """Pack an object of a type that the protocol does not have: a tensor, or what ``default`` returns."""
        is_tensor = self._asked(has_dlpack, value)
        device = self._asked(device_of, value) if is_tensor else None
        if is_tensor and device is None:
            self._ndarray(self._asked(from_dlpack, value))
            return
        if self._converted == self._size:
            self._refuse(value, ", which default returned")
        if self._convert is None:
            if device is not None:
                raise TypeError(f"{self._where()}: {on_device(value, device)}")
            self._refuse(value)
        result = self._asked(self._convert, value)
        self._converted = self._size  # only what is packed next begins here
        self._write(result)

    def _refuse(self, value: Any, why: str = "") -> NoReturn:
        hint = ""
        kind = type(value)
        if issubclass(kind, (set, frozenset)):
            hint = "; make it a list"
        elif issubclass(kind, np.generic):
            hint = f" of dtype {scalar_dtype(value)}; bool, integers and floats of at most 8 bytes travel"
        raise TypeError(f"{self._where()}: cannot pack {kind_name(kind)}{hint}{why}")

    def _asked(self, question: Callable[[Any], _Answer], value: Any) -> _Answer:
        """Call a method of an object of any class. Errors that it raises get the path of the object."""
        try:
            return question(value)
        except Exception as error:
            placed = with_path(self._where(), error)
            if placed is error:
                raise
            raise placed from error

    def _scalar(self, value: Any) -> None:
        if isinstance(value, str) and len(value) > max(self._limit - self._size, _LONG_TEXT):
            self._leave_bytes_for(len(value))  # rejects a text that is too large before it is read
        try:
            piece = self._packer.pack(value)
        except OverflowError:
            # Converting an int with millions of digits to text takes minutes, and Python refuses it by default.
            number = f"an int of {value.bit_length()} bits"
            raise OverflowError(f"{self._where()}: {number} does not fit in 64 bits") from None
        except UnicodeEncodeError as error:
            raise ValueError(f"{self._where()}: the text has no UTF-8 form ({error})") from error
        self._put(piece)

    def _buffer(self, value: bytearray | memoryview) -> None:
        try:
            flat = flatten(value)
        except (BufferError, TypeError, ValueError):
            raise TypeError(f"{self._where()}: only C-contiguous memory packs as bytes") from None
        self._count_towards_limit(BINARY_VALUES)
        self._leave_bytes_for(flat.nbytes)
        self._put(self._packer.pack(bytes(flat.view(0, flat.nbytes))))

    def _numpy_scalar(self, value: np.generic) -> None:
        # By dtype, not by class: for NumPy, a timedelta64 is an integer, too.
        if not is_sample_dtype(scalar_dtype(value)):
            self._other(value)
            return
        self._scalar(true_item(value))

    def _datetime(self, value: datetime) -> None:
        start = len(self._pieces)
        text = self._asked(datetime_text, value)
        self._wrapped(DATETIME_KEY, text)
        if not has_whole_minutes(text) and self._read_back(start).isoformat() != text:
            raise ValueError(f"{self._where()}: readers take the offset of {text} for another one")

    def _uuid(self, value: UUID) -> None:
        self._wrapped(UUID_KEY, self._asked(uuid_text, value))

    def _wrapped(self, key: str, text: str) -> None:
        self._enter()
        self._count_towards_limit(2)  # the key and the text
        self._put(self._packer.pack_map_header(1))
        self._scalar(key)
        self._scalar(text)

    def _read_back(self, start: int) -> Any:
        """Return what a receiver decodes from the map that was packed in the pieces from ``start`` on.

        Raises:
            TypeError: a receiver would reject it.
        """
        flat = flatten(b"".join(self._pieces[start:]))
        try:
            return unpack(flat, 0, flat.nbytes, numeric=False, copy=False)
        except ProtocolError as error:
            raise unreadable(self._where(), error) from error

    # --- containers ---

    def _map(self, value: dict[Any, Any]) -> None:
        items = value if type(value) is dict else self._asked(dict, value)  # a subclass may yield any items
        start, counted, n = len(self._pieces), self._counted, len(items)
        self._enter()
        self._put(self._packer.pack_map_header(n))
        left = n
        any_odd = False
        entries = iter(items.items())
        while (entry := self._next_entry(entries)) is not None:
            left -= 1
            any_odd |= self._key(entry[0]) is not entry[0]
            self._write(entry[1])
            self._path.pop()
        if left:  # entries were replaced, which the iteration does not notice
            self._refuse_changed_map()
        if any_odd and len({_plain_key(key) for key in items}) < n:
            raise ValueError(f"{self._where()}: two keys of the map are the same on the wire")
        is_wrapper = 0 < n <= _MOST_WRAPPED and may_be_wrapper(items)
        if is_wrapper and issubclass(type(self._read_back(start)), np.ndarray):
            self._counted = counted + NDARRAY_VALUES  # not the values in its lists

    def _next_entry(self, entries: Iterator[tuple[Any, Any]]) -> tuple[Any, Any] | None:
        try:
            return next(entries, None)
        except RuntimeError:  # the dict was changed during the iteration; the error has no path
            self._refuse_changed_map()

    def _refuse_changed_map(self) -> NoReturn:
        raise RuntimeError(f"{self._where()}: the map changed while it was packed")

    def _map_with_entry(self, value: WithEntry) -> None:
        self._map({**value.entries, value.key: value.value})

    def _key(self, key: Any) -> str | int:
        """Write a key and add it to the path. Returns it as a str or an int, not of a subclass."""
        plain = _plain_key(key)
        if plain is None:
            raise TypeError(f"{self._where()}: map keys are str or int, not {kind_name(type(key))}")
        self._count_towards_limit(1)
        self._path.append(plain)
        self._scalar(plain)
        return plain

    def _array(self, value: Sequence[Any]) -> None:
        items = value if type(value) is list or type(value) is tuple else self._asked(_items_of, value)
        self._enter()
        if _are_scalars(items) and self._at_once(items):
            return
        n = len(items)
        self._put(self._packer.pack_array_header(n))
        self._path.append(0)
        for i in range(n):
            # Packing an element may run Python code, such as isoformat() of a subclass, which may change the list.
            if len(items) != n:
                break
            self._path[-1] = i
            self._write(items[i])
        if len(items) != n:
            raise RuntimeError(f"{self._where()}: the list changed size while it was packed")
        self._path.pop()

    def _at_once(self, scalars: Sequence[Any]) -> bool:
        """Pack an array by the library. Returns False if it has an invalid value, whose path is not known yet."""
        try:
            piece = self._packer.pack(scalars)
        except (OverflowError, UnicodeEncodeError):
            return False
        counted = sum(map(_counts_of, scalars))
        if len(piece) > self._capacity - self._size or self._counted + counted > MAX_VALUES:
            return False
        self._counted += counted
        self._put(piece)
        return True

    # --- ndarrays ---

    def _ndarray(self, array: npt.NDArray[Any]) -> None:
        if is_masked_array(array):
            raise TypeError(f"{self._where()}: a masked array would lose its mask; fill it first, with filled()")
        self._count_towards_limit(NDARRAY_VALUES)
        array = np.asarray(array)
        if array.ndim > MAX_NDIM:
            raise TypeError(f"{self._where()}: an ndarray of {array.ndim} dimensions; at most {MAX_NDIM} travel")
        if not is_sample_dtype(array.dtype):
            raise TypeError(
                f"{self._where()}: cannot pack an ndarray of dtype {array.dtype}; "
                "bool, integers and floats of at most 8 bytes travel"
            )
        if self._binary:
            self._binary_form(array)
        else:
            self._list_form(array)

    def _list_form(self, array: npt.NDArray[Any]) -> None:
        """Pack ``{"__ndarray__": nested lists, "dtype": name, "shape": [..]}``."""
        self._leave_levels_for(1 + max(array.ndim, 1))  # the map, and a list for each dimension or for the shape
        self._put(self._packer.pack_map_header(3))
        self._scalar(NDARRAY_KEY)
        self._samples(array)
        self._scalar(DTYPE_KEY)
        self._scalar(_dtype_name(array.dtype))
        self._shape(array.shape)

    def _samples(self, array: npt.NDArray[Any]) -> None:
        lists = sum(prod(array.shape[:dim]) for dim in range(array.ndim))
        self._leave_bytes_for(lists + array.size)  # at least one byte for each list and sample, checked before packing
        if array.dtype.kind == "f" and array.size:
            self._put(self._nested_floats(array))
        else:
            self._put(self._packer.pack(array.tolist()))

    def _nested_floats(self, array: npt.NDArray[Any]) -> bytes:
        """Return the nested lists of the array. All floats have the same size: each list is a row of a byte matrix."""
        tag = F64 if array.dtype.itemsize == 8 else F32
        records = np.empty(array.size, FLOATS[tag])
        records["tag"] = tag
        records["value"] = array.reshape(-1)
        rows = records.view(np.uint8).reshape(array.size, -1)
        for dim in reversed(range(array.ndim)):
            lists = prod(array.shape[:dim])
            header = np.frombuffer(self._packer.pack_array_header(array.shape[dim]), np.uint8)
            headers = np.broadcast_to(header, (lists, header.size))
            rows = np.hstack([headers, rows.reshape(lists, -1)])
        return rows.tobytes()

    def _binary_form(self, array: npt.NDArray[Any]) -> None:
        """Pack ``{"dtype": name, "__ndarray__": little-endian bytes in C order, "shape": [..]}``.

        The bytes start at a multiple of 8 from the first byte of the frame. Longer MessagePack headers than necessary
        provide the 0 to 7 bytes of padding: one can be longer by 1 byte, another by 2, a third by 4.
        """
        self._leave_levels_for(2)  # the map and its shape
        self._leave_bytes_for(array.nbytes)
        samples = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        name = self._packer.pack(_dtype_name(array.dtype))
        data = self._packer.pack(samples)
        narrow = len(b"\x83") + 1 + len(DTYPE_KEY) + len(name) + 1 + len(NDARRAY_KEY) + len(data) - len(samples)
        padding = -(self._room + self._size + narrow) % 8
        self._put(b"\xdf\0\0\0\x03" if padding & 4 else b"\x83")
        self._put((b"\xd9\x05" if padding & 1 else b"\xa5") + DTYPE_KEY.encode())
        self._put(name)
        self._put((b"\xda\0\x0b" if padding & 2 else b"\xab") + NDARRAY_KEY.encode())
        self._put(data)
        self._shape(array.shape)

    def _shape(self, shape: tuple[int, ...]) -> None:
        self._scalar(SHAPE_KEY)
        for size in shape:
            if size > MAX_DIMENSION:
                raise ValueError(f"{self._where()}: a dimension of {size}; they end at 2**32 - 1")
        self._put(self._packer.pack(shape))


_WRITERS: Final[tuple[tuple[Any, Callable[[_Writer, Any], None]], ...]] = (
    (datetime, _Writer._datetime),
    (UUID, _Writer._uuid),
    ((np.bool_, np.integer, np.floating), _Writer._numpy_scalar),
    (str, lambda writer, value: writer._write(true_str(value))),  # not what methods of the subclass return
    (int, lambda writer, value: writer._scalar(true_int(value))),
    (float, lambda writer, value: writer._scalar(float.__float__(value))),
    (dict, _Writer._map),
    ((list, tuple), _Writer._array),
    (bytes, lambda writer, value: writer._write(bytes.__bytes__(value))),
    ((bytearray, memoryview), _Writer._buffer),
    (np.ndarray, _Writer._ndarray),
    (WithEntry, _Writer._map_with_entry),
)
"""Functions for types and their subclasses. The first that matches is used: a NumPy float64 is a float."""


def _counts_of(scalar: Any) -> int:
    """Return how many values a scalar counts for MAX_VALUES."""
    return 1 if type(scalar) is str else BINARY_VALUES if type(scalar) is bytes else 0


def _are_scalars(items: Sequence[Any]) -> bool:
    """Return True if all values are of types for which the library writes the same bytes."""
    try:
        return _SCALARS.issuperset(map(type, items))
    except Exception:  # from the hash of a type, which its metaclass may define
        return False


def _items_of(value: Iterable[Any]) -> list[Any]:
    # Not list(value), which first allocates memory for the length that the object claims.
    return [item for item in value]  # noqa: C416


def _plain_key(key: Any) -> str | int | None:
    """Return the value of a key that is a str or an int; otherwise None."""
    kind = type(key)
    if issubclass(kind, str):
        return true_str(key)
    if issubclass(kind, int) and kind is not bool:
        return true_int(key)
    is_integer = issubclass(kind, np.generic) and scalar_dtype(key).kind in "iu"
    return true_item(key) if is_integer and is_sample_dtype(scalar_dtype(key)) else None


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, such as ``float64``; or ``>f8`` if its byte order is not that of this machine."""
    plain = np.dtype(dtype.str)
    return plain.name if plain.isnative else plain.str

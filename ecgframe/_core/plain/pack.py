"""From Python objects to a MessagePack payload: the specification's eleven types and nothing else.

The plain twin of ``pack.pyx``. The MessagePack library writes the values; what it does not know (the wrappers, the
limit, the path for errors) stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from math import prod
from types import NoneType
from typing import Any, Final, NoReturn
from uuid import UUID

import numpy as np
import numpy.typing as npt
from msgpack import Packer  # type: ignore[import-untyped]

from ...errors import MessageTooLarge
from ...protocol import (
    DATETIME_KEY,
    DTYPE_KEY,
    DTYPE_KINDS,
    HEADER_SIZES,
    MAX_DEPTH,
    MAX_DIMENSION,
    MAX_NDIM,
    MAX_SAMPLE_SIZE,
    NDARRAY_KEY,
    SHAPE_KEY,
    UUID_KEY,
)
from ..path import path_text
from ..with_entry import WithEntry
from ._header import FlatBuffer, flatten
from .frame import PendingFrame
from .read_samples import F32, F64, FLOATS

__all__ = ["pack", "pack_frame", "pack_frame_into"]

_SCALARS: Final = frozenset({NoneType, bool, int, float, str, bytes})
_LONG_TEXT: Final = 65536


def pack(obj: Any, max_payload: int, binary: bool) -> bytes:
    """The payload alone, as bytes."""
    return _Writer(0, max_payload, binary).payload_of(obj)


def pack_frame(
    version: int, type: int, flags: int, timestamp: int, obj: Any, max_payload: int, binary: bool, longest: int
) -> bytes | PendingFrame:
    """A whole frame; or, where its payload has more than ``longest`` bytes, the pending one, which may yet change."""
    room = HEADER_SIZES[version]
    pending = PendingFrame(room, _Writer(room, max_payload, binary).payload_of(obj))
    return pending if pending.nbytes > longest else pending.seal(version, type, flags, timestamp)


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
) -> int | PendingFrame:
    """The same within a writable buffer, from offset on: how many bytes the frame has, or the pending frame.

    Raises:
        BufferError: the buffer ends before the frame does.
    """
    room = HEADER_SIZES[version]
    if not 0 <= offset <= target.nbytes - room:
        raise BufferError(f"no room for a header at byte {offset} of a buffer of {target.nbytes}")
    writer = _Writer(room, max_payload, binary, target.nbytes - offset - room)
    pending = PendingFrame(room, writer.payload_of(obj), target, offset)
    return pending if pending.nbytes > longest else len(pending.seal(version, type, flags, timestamp))


class _Writer:
    """Writes one payload, value by value, as pieces to be joined in the end.

    Args:
        room: bytes of the header in front of the payload, which the alignment of the binary form counts from.
        max_payload: bytes that the payload may have.
        binary: whether ndarrays take the binary form.
        capacity: bytes that the caller's buffer has for the payload; None where there is no such buffer.
    """

    def __init__(self, room: int, max_payload: int, binary: bool, capacity: int | None = None) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._room = room
        self._limit = max_payload
        self._capacity = max_payload if capacity is None else min(capacity, max_payload)
        self._binary = binary
        self._path: list[str | int] = []
        self._packer = Packer()

    def payload_of(self, value: Any) -> bytes:
        self._write(value)
        return b"".join(self._pieces)

    # --- the way to the value, and the room that is left ---

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

    # --- values ---

    def _write(self, value: Any) -> None:
        if type(value) in _SCALARS:
            self._scalar(value)
            return
        for kinds, write in _WRITERS:
            if isinstance(value, kinds):
                write(self, value)
                return
        self._refuse(value)

    def _refuse(self, value: Any) -> NoReturn:
        hint = ""
        if isinstance(value, (set, frozenset)):
            hint = "; make it a list"
        elif isinstance(value, np.generic):
            hint = f" of dtype {value.dtype}; bool, integers and floats of at most 8 bytes travel"
        kind = type(value)
        raise TypeError(f"{self._where()}: cannot pack {kind.__module__}.{kind.__qualname__}{hint}")

    def _scalar(self, value: Any) -> None:
        if isinstance(value, str) and len(value) > max(self._limit - self._size, _LONG_TEXT):
            self._leave_bytes_for(len(value))  # said before it is looked at
        try:
            piece = self._packer.pack(value)
        except OverflowError:
            # Printing an int of millions of digits takes minutes, and Python refuses it by default.
            number = f"an int of {value.bit_length()} bits"
            raise OverflowError(f"{self._where()}: {number} does not fit in 64 bits") from None
        except UnicodeEncodeError as error:
            raise ValueError(f"{self._where()}: the text has no UTF-8 form ({error})") from error
        self._put(piece)

    def _bytes(self, value: bytes | bytearray | memoryview) -> None:
        try:
            flat = flatten(value)
        except BufferError:
            raise TypeError(f"{self._where()}: only C-contiguous memory packs as bytes") from None
        self._leave_bytes_for(flat.nbytes)
        self._put(self._packer.pack(bytes(flat.view(0, flat.nbytes))))

    def _numpy_scalar(self, value: np.generic) -> None:
        # By kind, not by class: to NumPy, a timedelta64 is an integer too.
        if value.dtype.kind not in DTYPE_KINDS or value.dtype.itemsize > MAX_SAMPLE_SIZE:
            self._refuse(value)
        self._scalar(value.item())

    def _datetime(self, value: datetime) -> None:
        self._wrapped(DATETIME_KEY, value.isoformat())

    def _uuid(self, value: UUID) -> None:
        self._wrapped(UUID_KEY, str(value))

    def _wrapped(self, key: str, text: Any) -> None:
        if not isinstance(text, str):  # what a subclass's isoformat() gives
            raise TypeError(f"{self._where()}: {key} wraps text, not {type(text).__qualname__}")
        self._leave_levels_for(1)
        self._put(self._packer.pack_map_header(1))
        self._scalar(key)
        self._scalar(str.__str__(text))

    # --- containers ---

    def _map(self, value: dict[Any, Any]) -> None:
        items = value if type(value) is dict else dict(value)  # a subclass may iterate as it likes
        self._leave_levels_for(1)
        self._put(self._packer.pack_map_header(len(items)))
        for key, item in items.items():
            self._key(key)
            self._write(item)
            self._path.pop()

    def _map_with_entry(self, value: WithEntry) -> None:
        self._map({**value.entries, value.key: value.value})

    def _key(self, key: Any) -> None:
        """Writes a key and adds it to the path."""
        if isinstance(key, str):
            key = str.__str__(key)
        else:
            integer = isinstance(key, (int, np.integer)) and not isinstance(key, (bool, np.timedelta64))
            if not integer:
                raise TypeError(f"{self._where()}: map keys are str or int, not {type(key).__qualname__}")
            key = int(key)
        self._path.append(key)
        self._scalar(key)

    def _array(self, value: Sequence[Any]) -> None:
        items = value if type(value) in {list, tuple} else list(value)
        self._leave_levels_for(1)
        if _SCALARS.issuperset(map(type, items)) and self._at_once(items):
            return
        n = len(items)
        self._put(self._packer.pack_array_header(n))
        self._path.append(0)
        for i in range(n):
            # An element may run Python code when packed (a subclass's isoformat, say) and change the list.
            if len(items) != n:
                break
            self._path[-1] = i
            self._write(items[i])
        if len(items) != n:
            raise RuntimeError(f"{self._where()}: the list changed size while it was packed")
        self._path.pop()

    def _at_once(self, scalars: Sequence[Any]) -> bool:
        """Leaves the whole array to the library; False where it has a fault, whose place is still to be found."""
        try:
            piece = self._packer.pack(scalars)
        except (OverflowError, UnicodeEncodeError):
            return False
        if len(piece) > self._capacity - self._size:
            return False
        self._put(piece)
        return True

    # --- ndarrays ---

    def _ndarray(self, array: npt.NDArray[Any]) -> None:
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{self._where()}: a masked array would lose its mask; fill it first, with filled()")
        if array.ndim > MAX_NDIM:
            raise TypeError(f"{self._where()}: an ndarray of {array.ndim} dimensions; at most {MAX_NDIM} travel")
        if array.dtype.kind not in DTYPE_KINDS or array.dtype.itemsize > MAX_SAMPLE_SIZE:
            raise TypeError(
                f"{self._where()}: cannot pack an ndarray of dtype {array.dtype}; "
                "bool, integers and floats of at most 8 bytes travel"
            )
        if self._binary:
            self._binary_form(np.asarray(array))
        else:
            self._list_form(np.asarray(array))

    def _list_form(self, array: npt.NDArray[Any]) -> None:
        """``{"__ndarray__": nested lists, "dtype": name, "shape": [..]}``."""
        self._leave_levels_for(1 + max(array.ndim, 1))  # the map, and a list for each dimension or for the shape
        self._put(self._packer.pack_map_header(3))
        self._scalar(NDARRAY_KEY)
        self._samples(array)
        self._scalar(DTYPE_KEY)
        self._scalar(_dtype_name(array.dtype))
        self._shape(array.shape)

    def _samples(self, array: npt.NDArray[Any]) -> None:
        lists = sum(prod(array.shape[:dim]) for dim in range(array.ndim))
        self._leave_bytes_for(lists + array.size)  # a byte a list and a sample, before any is made
        if array.dtype.kind == "f" and array.size:
            self._put(self._nested_floats(array))
        else:
            self._put(self._packer.pack(array.tolist()))

    def _nested_floats(self, array: npt.NDArray[Any]) -> bytes:
        """The array's nested lists: since all floats are equally wide, each list is a row of a matrix of bytes."""
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
        """``{"dtype": name, "__ndarray__": little-endian bytes in C order, "shape": [..]}``.

        The bytes start at a multiple of 8 from the frame's first byte. The padding, 0 to 7, is made of wider
        length headers than needed: its bit 0 widens one by 1 byte, bit 1 another by 2, bit 2 a third by 4.
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
    (str, lambda writer, value: writer._scalar(str.__str__(value))),  # not as a subclass would have itself written
    (int, lambda writer, value: writer._scalar(int.__int__(value))),
    (float, lambda writer, value: writer._scalar(float.__float__(value))),
    (dict, _Writer._map),
    ((list, tuple), _Writer._array),
    ((bytes, bytearray, memoryview), _Writer._bytes),
    (np.ndarray, _Writer._ndarray),
    (WithEntry, _Writer._map_with_entry),
)
"""Who writes what, in the order of asking: a NumPy float64 is a float, a datetime's subclass may be anything."""


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """``float64`` and so on; with the sign of the byte order where it is not this machine's: ``>f8``."""
    plain = np.dtype(dtype.str)
    return plain.name if plain.isnative else plain.str

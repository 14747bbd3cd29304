"""The frame's header, written and read, its checks, and the payload as a view of the buffer it came in.

The plain twin of ``_header.pyx``.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from ...errors import (
    ChecksumMismatch,
    InvalidDataFormat,
    InvalidMessageType,
    InvalidProtocolVersion,
    MessageTooLarge,
)
from ...protocol import FLAG_SINCE, HEADER_SIZES, LARGEST_LENGTH, LARGEST_TIMESTAMP, VERSIONS, Check, Flag, MessageType

if TYPE_CHECKING:
    from zlib import crc32 as _crc32

    from typing_extensions import Buffer
else:
    try:
        from zlib_ng.zlib_ng import crc32 as _crc32
    except ImportError:
        from zlib import crc32 as _crc32

__all__ = ["FlatBuffer", "Header", "crc32", "flatten", "flatten_writable", "as_byte"]

_FIELDS: Final = Struct(">BBBII")
_TIMESTAMP: Final = Struct(">Q")
_SMALLEST_HEADER: Final = min(HEADER_SIZES.values())

TYPES: Final = {int(member): member for member in MessageType}

# The flags that change how the payload reads, and that a version lacks: refused by a receiver of that version.
_FORBIDDEN: Final = {
    version: sum(int(flag) for flag in (Flag.COMPRESSED, Flag.ENCRYPTED) if FLAG_SINCE[flag] > version)
    for version in VERSIONS
}


def as_byte(value: int, what: str) -> int:
    """An integer of the caller's that the header has one byte for.

    Raises:
        TypeError: no integer.
        ValueError: outside 0 to 255.
    """
    number = index(value)
    if not 0 <= number <= 255:
        raise ValueError(f"{what} {number}: the header has one byte for it")
    return number


def crc32(buffer: Buffer) -> int:
    """CRC-32 (ISO-HDLC, the one of zlib) of any C-contiguous buffer.

    Raises:
        TypeError, BufferError: not a buffer, or one with gaps.
    """
    flat = flatten(buffer)
    return _crc32(flat.view(0, flat.nbytes))


# --- bytes that came in ---


@final
class FlatBuffer:
    """The bytes of any C-contiguous buffer, read-only and without a copy. Keeps the buffer alive, as its views do."""

    __slots__ = ("_octets", "nbytes")

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets
        self.nbytes = octets.nbytes

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.view(0, self.nbytes)

    def view(self, start: int, stop: int) -> memoryview:
        """The bytes from start to stop, as a read-only memoryview."""
        return self._octets[start:stop].toreadonly()

    def write(self, start: int, octets: bytes) -> None:
        """Overwrite what stands at start; only where the buffer was asked to be writable."""
        self._octets[start : start + len(octets)] = octets

    def repeats_last_four(self) -> bool:
        """Whether the last four bytes stand together anywhere before, too."""
        octets = bytes(self._octets)
        return octets.find(octets[-4:]) < self.nbytes - 4

    def only_frame(self, max_payload: int) -> Header:
        """Checks 1 to 6 of the one frame that fills the buffer: all but its sum."""
        header = self.header_at(0, max_payload)
        size = header.size + header.length
        if size < self.nbytes:
            raise InvalidDataFormat(
                f"{self.nbytes - size} bytes left over behind the frame's {size} (byte {size}); "
                "read frames laid end to end with decode_all",
                check=Check.LENGTH,
                offset=size,
            )
        self._check_whole(0, header)
        return header

    def whole_frame_at(self, offset: int, max_payload: int) -> Header:
        """Checks 1 to 6 of the frame that starts at offset, whatever follows it."""
        header = self.header_at(offset, max_payload)
        self._check_whole(offset, header)
        return header

    def frame_at(self, offset: int, max_payload: int) -> Header:
        """Checks 1 to 7 of the frame that starts at offset, whatever follows it."""
        header = self.whole_frame_at(offset, max_payload)
        self.check_sum(offset, header)
        return header

    def header_at(self, offset: int, max_payload: int) -> Header:
        """Checks 1 to 4, from the header's bytes alone."""
        available = self.nbytes - offset
        size = HEADER_SIZES.get(self._octets[offset], _SMALLEST_HEADER) if available > 0 else _SMALLEST_HEADER
        if available < size:
            raise InvalidDataFormat(
                f"{available} bytes where a header of {size} starts (byte {offset})", check=Check.HEADER, offset=offset
            )
        version, number, flags, length, checksum = _FIELDS.unpack_from(self._octets, offset)
        if version not in HEADER_SIZES:
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {VERSIONS}", check=Check.VERSION, offset=offset
            )
        if number not in TYPES:
            raise InvalidMessageType(
                f"message type 0x{number:02x} (byte {offset + 1}) is none of the thirteen",
                check=Check.TYPE,
                offset=offset + 1,
            )
        if length > max_payload:
            raise MessageTooLarge(
                f"the header announces {length} bytes of payload (byte {offset + 3}); the limit is {max_payload}",
                check=Check.LIMIT,
                offset=offset + 3,
            )
        timestamp = _TIMESTAMP.unpack_from(self._octets, offset + _FIELDS.size)[0] if version >= 3 else None
        return Header(version, TYPES[number], Flag(flags), length, checksum, timestamp)

    def check_version(self, offset: int, versions: frozenset[int]) -> int:
        """Check 2 of a receiver that knows these versions alone. What check 1 is to find, and it does not, passes."""
        available = self.nbytes - offset
        version = self._octets[offset] if available > 0 else 0
        if available >= HEADER_SIZES.get(version, _SMALLEST_HEADER) and version not in versions:
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {sorted(versions)}",
                check=Check.VERSION,
                offset=offset,
            )
        return 0

    def _check_whole(self, offset: int, header: Header) -> None:
        """Checks 5 and 6: all there, and no flag that the version lacks."""
        start = offset + header.size
        if header.length > self.nbytes - start:
            raise InvalidDataFormat(
                f"the payload is cut short: {self.nbytes - start} of {header.length} bytes (byte {start})",
                check=Check.LENGTH,
                offset=start,
            )
        if forbidden := header.bits & _FORBIDDEN[header.version]:
            raise InvalidDataFormat(
                f"V{header.version} has no flag {Flag(forbidden).name} (byte {offset + 2})",
                check=Check.FLAGS,
                offset=offset + 2,
            )

    def check_sum(self, offset: int, header: Header) -> int:
        """Check 7."""
        start = offset + header.size
        checksum = _crc32(self._octets[start : start + header.length])
        if checksum != header.checksum:
            raise ChecksumMismatch(
                f"the payload's CRC-32 is 0x{checksum:08x}, the header says 0x{header.checksum:08x} "
                f"(byte {offset + 7})",
                check=Check.CHECKSUM,
                offset=offset + 7,
            )
        return 0


def flatten(buffer: Buffer | FlatBuffer) -> FlatBuffer:
    """The bytes of any C-contiguous buffer, without a copy.

    Raises:
        TypeError: not a buffer.
        BufferError: the bytes do not lie end to end in C order.
    """
    return buffer if isinstance(buffer, FlatBuffer) else FlatBuffer(_octets_of(buffer).toreadonly())


def flatten_writable(buffer: Buffer) -> FlatBuffer:
    """The same of a buffer that frames shall be written into.

    Raises:
        TypeError: not a buffer.
        BufferError: the buffer is read-only, or its bytes do not lie end to end in C order.
    """
    octets = _octets_of(buffer)
    if octets.readonly:
        raise BufferError("only a writable buffer will do")
    return FlatBuffer(octets)


def _octets_of(buffer: Buffer) -> memoryview:
    from_buffer: Any = np.frombuffer  # older NumPys' types list the kinds of buffers, and do not know them all
    try:
        # NumPy asks for bytes and nothing else, where memoryview() would ask for a format that it knows.
        return memoryview(from_buffer(buffer, np.uint8))
    except ValueError as error:
        # NumPy's word for what the buffer protocol calls a BufferError.
        raise BufferError(f"only C-contiguous bytes will do: {error}") from None


# --- header ---


@final
@dataclass(frozen=True, repr=False)
class Header:
    """What a frame says of itself before its payload. Immutable.

    Attributes:
        version: 1, 2 or 3.
        type: the ``MessageType``.
        flags: the ``Flag`` bits as received, undefined ones included.
        bits: the same as a plain int.
        length: bytes of payload as they travel.
        checksum: CRC-32 of those bytes.
        timestamp: microseconds since the Unix epoch, or None before V3.
        size: bytes of this header, 11 or 19.
    """

    version: int
    type: MessageType
    flags: Flag
    length: int
    checksum: int
    timestamp: int | None = None

    def __post_init__(self) -> None:
        if index(self.version) not in HEADER_SIZES:
            raise ValueError(f"version is one of {VERSIONS}, not {self.version}")
        if (self.timestamp is None) != (self.version < 3):
            raise ValueError(f"a V{self.version} header has {'no' if self.version < 3 else 'a'} timestamp")
        if not 0 <= index(self.flags) <= 0xFF:
            raise ValueError(f"flags are the bits of one byte, not {self.flags}")
        object.__setattr__(self, "type", MessageType(self.type))
        object.__setattr__(self, "flags", Flag(self.flags))
        _within("length", self.length, LARGEST_LENGTH)
        _within("checksum", self.checksum, 0xFFFFFFFF)
        _within("timestamp", self.timestamp or 0, LARGEST_TIMESTAMP)

    @property
    def bits(self) -> int:
        return self.flags.value

    @property
    def size(self) -> int:
        return HEADER_SIZES[self.version]

    def __bytes__(self) -> bytes:
        return header_bytes(
            self.version, self.type, self.bits, self.timestamp or 0, length=self.length, checksum=self.checksum
        )

    def __repr__(self) -> str:
        stamp = "" if self.timestamp is None else f", timestamp={self.timestamp}"
        return (
            f"Header(version={self.version}, type={self.type!r}, flags={self.flags!r}, "
            f"length={self.length}, checksum=0x{self.checksum:08x}{stamp})"
        )


def _within(name: str, value: int, largest: int) -> None:
    if not 0 <= index(value) <= largest:
        raise OverflowError(f"{name} is a number from 0 to {largest}, not {value}")


def header_bytes(version: int, type: int, flags: int, timestamp: int, *, length: int, checksum: int) -> bytes:
    fields = _FIELDS.pack(version, type, flags, length, checksum)
    return fields + _TIMESTAMP.pack(index(timestamp)) if version >= 3 else fields

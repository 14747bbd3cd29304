"""Reads, checks and writes the header of frames, and returns payloads as views of the received buffer.

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
from ...protocol import (
    FLAG_SINCE,
    HEADER_SIZES,
    LARGEST_LENGTH,
    LARGEST_SEQUENCE,
    LARGEST_STREAM_ID,
    LARGEST_TIMESTAMP,
    STREAM_TYPES,
    TYPE_SINCE,
    VERSIONS,
    Algorithm,
    Check,
    Flag,
    Form,
    MessageType,
)
from ..form import FormFault, count_of_types, describe_fault, shown_versions

if TYPE_CHECKING:
    from zlib import crc32 as _crc32

    from typing_extensions import Buffer
else:
    try:
        from zlib_ng.zlib_ng import crc32 as _crc32
    except ImportError:
        from zlib import crc32 as _crc32

__all__ = ["FlatBuffer", "Header", "crc32", "flatten", "flatten_writable", "form_fault", "as_byte"]

_FIELDS: Final = Struct(">BBBII")
_TIMESTAMP: Final = Struct(">Q")
_NUMBERING: Final = Struct(">BIQ")
_NUMBERING_AT: Final = _FIELDS.size + _TIMESTAMP.size
_SMALLEST_HEADER: Final = min(HEADER_SIZES.values())

TYPES: Final = {int(member): member for member in MessageType}
# A plain integer, since inverting a Flag sets only its defined bits.
_DEFINED_FORM: Final = int(Form.ALGORITHM | Form.RECORD | Form.BULK)
_SINCE: Final = {int(member): since for member, since in TYPE_SINCE.items()}

# Flags that change the encoding of the payload. A receiver rejects those that the version of the frame lacks.
_FORBIDDEN: Final = {
    version: sum(int(flag) for flag in (Flag.COMPRESSED, Flag.ENCRYPTED) if FLAG_SINCE[flag] > version)
    for version in VERSIONS
}


def as_byte(value: int, what: str) -> int:
    """Convert an integer of the caller to a byte of the header.

    Raises:
        TypeError: the value is not an integer.
        ValueError: the value is not from 0 to 255.
    """
    number = index(value)
    if not 0 <= number <= 255:
        raise ValueError(f"{what} {number}: the header has one byte for it")
    return number


def crc32(buffer: Buffer) -> int:
    """Return the CRC-32 (ISO-HDLC, as in zlib) of a C-contiguous buffer.

    Raises:
        TypeError, BufferError: the argument is not a buffer, or not C-contiguous.
    """
    flat = flatten(buffer)
    return _crc32(flat.view(0, flat.nbytes))


# --- received bytes ---


@final
class FlatBuffer:
    """A read-only view of the bytes of a C-contiguous buffer. It and its views keep the buffer alive."""

    __slots__ = ("_octets", "nbytes")

    def __init__(self, octets: memoryview) -> None:
        self._octets = octets
        self.nbytes = octets.nbytes

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.view(0, self.nbytes)

    def view(self, start: int, stop: int) -> memoryview:
        """Return the bytes from ``start`` to ``stop`` as a read-only memoryview."""
        return self._octets[start:stop].toreadonly()

    def write(self, start: int, octets: bytes) -> None:
        """Overwrite the bytes at ``start``. Only for buffers of ``flatten_writable``."""
        if self._octets.readonly or not 0 <= start <= self.nbytes - len(octets):
            raise BufferError(f"no room for {len(octets)} bytes at byte {start} of a buffer of {self.nbytes}")
        self._octets[start : start + len(octets)] = octets

    def only_frame(self, max_payload: int) -> Header:
        """Return the header of the only frame in the buffer, after checks 1 to 6: all but the checksum."""
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
        """Return the header of the frame at ``offset``, after checks 1 to 6. Other bytes may follow."""
        header = self.header_at(offset, max_payload)
        self._check_whole(offset, header)
        return header

    def frame_at(self, offset: int, max_payload: int) -> Header:
        """Return the header of the frame at ``offset``, after checks 1 to 7. Other bytes may follow."""
        header = self.whole_frame_at(offset, max_payload)
        self.check_sum(offset, header)
        return header

    def header_at(self, offset: int, max_payload: int) -> Header:
        """Return the header at ``offset``, after checks 1 to 4. The payload may still be incomplete."""
        available = self.nbytes - offset
        size = HEADER_SIZES.get(self._octets[offset], _SMALLEST_HEADER) if available > 0 else _SMALLEST_HEADER
        if available < size:
            raise InvalidDataFormat(
                f"{available} bytes where a header of {size} starts (byte {offset})", check=Check.HEADER, offset=offset
            )
        version, number, flags, length, checksum = _FIELDS.unpack_from(self._octets, offset)
        if version not in HEADER_SIZES:
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {list(VERSIONS)}",
                check=Check.VERSION,
                offset=offset,
            )
        if not 1 <= _SINCE.get(number, 0) <= version:
            raise InvalidMessageType(
                f"message type 0x{number:02x} (byte {offset + 1}) is none of the {count_of_types(version)}",
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
        if version < 4:
            return Header(version, TYPES[number], Flag(flags), length, checksum, timestamp)
        form, stream_id, sequence = _NUMBERING.unpack_from(self._octets, offset + _NUMBERING_AT)
        return Header(version, TYPES[number], Flag(flags), length, checksum, timestamp, Form(form), stream_id, sequence)

    def check_version(self, offset: int, versions: int) -> int:
        """Reject versions that this receiver does not accept (check 2). Check 1 handles short headers.

        Args:
            versions: bit n is set if version n is accepted.
        """
        available = self.nbytes - offset
        version = self._octets[offset] if available > 0 else 0
        if versions >> version & 1:
            return 0
        # A receiver without version 4 does not know either that its header has more than 11 bytes.
        if available >= (HEADER_SIZES[3] if version == 3 else _SMALLEST_HEADER):
            raise InvalidProtocolVersion(
                f"version {version} (byte {offset}); this receiver knows {shown_versions(versions)}",
                check=Check.VERSION,
                offset=offset,
            )
        return 0

    def _check_whole(self, offset: int, header: Header) -> None:
        """Checks 5 and 6: the payload is complete, the version has the flags, and the other fields of V4 are valid."""
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
        if header.version >= 4:
            _check_form(offset, header)

    def check_sum(self, offset: int, header: Header) -> int:
        """Check 7: compare the checksum of the payload."""
        start = offset + header.size
        checksum = _crc32(self._octets[start : start + header.length])
        if checksum != header.checksum:
            raise _mismatch(offset, header, checksum)
        return 0


def form_fault(type: int, flags: int, form: int, stream_id: int, sequence: int) -> int:
    """Check form, stream and sequence of a V4 header (check 6). Returns the ``FormFault``, or 0."""
    if form & ~_DEFINED_FORM:
        return FormFault.RESERVED
    if form & Form.ALGORITHM and not flags & Flag.COMPRESSED:
        return FormFault.ALGORITHM_OF_NOTHING
    if form & Form.ALGORITHM > max(Algorithm):
        return FormFault.NO_ALGORITHM
    is_first = bool(flags & Flag.PRIORITY)
    if form & Form.RECORD and (type != MessageType.ECG_DATA or not stream_id or is_first):
        return FormFault.NO_RECORD
    cannot_wait = type not in STREAM_TYPES or type == MessageType.ANOMALY_ALERT or is_first
    if form & Form.BULK and (cannot_wait or not stream_id):
        return FormFault.NOT_BULK
    return _numbering_fault(type, stream_id, sequence)


def _numbering_fault(type: int, stream_id: int, sequence: int) -> int:
    if stream_id and type not in STREAM_TYPES:
        return FormFault.NO_STREAM
    if sequence > LARGEST_SEQUENCE:
        return FormFault.LARGE_SEQUENCE
    if sequence and not stream_id:
        return FormFault.SEQUENCE_OF_NOTHING
    if stream_id and not sequence and type != MessageType.STREAM_TEMPLATE:
        return FormFault.NO_SEQUENCE
    return 0


def _check_form(offset: int, header: Header) -> None:
    """Check 6 for the fields that only V4 has."""
    numbering = header.form_bits, header.stream_id or 0, header.sequence or 0
    if fault := form_fault(header.type, header.bits, *numbering):
        text, at = describe_fault(fault, header.type, *numbering)
        raise InvalidDataFormat(f"{text} (byte {offset + at})", check=Check.FLAGS, offset=offset + at)


def _mismatch(offset: int, header: Header, checksum: int) -> ChecksumMismatch:
    """Return the error of check 7. Frames of its traceback must not refer to it: a cycle would keep the buffer."""
    error = ChecksumMismatch(
        f"the payload's CRC-32 is 0x{checksum:08x}, the header says 0x{header.checksum:08x} (byte {offset + 7})",
        check=Check.CHECKSUM,
        offset=offset + 7,
    )
    error.found = checksum
    return error


def flatten(buffer: Buffer | FlatBuffer) -> FlatBuffer:
    """Return the bytes of a C-contiguous buffer, without a copy.

    Raises:
        TypeError: the argument is not a buffer.
        BufferError: the buffer is not C-contiguous.
    """
    return buffer if isinstance(buffer, FlatBuffer) else FlatBuffer(_octets_of(buffer).toreadonly())


def flatten_writable(buffer: Buffer) -> FlatBuffer:
    """Return the bytes of a C-contiguous buffer into which frames are to be written, without a copy.

    Raises:
        TypeError: the argument is not a buffer.
        BufferError: the buffer is read-only or not C-contiguous.
    """
    octets = _octets_of(buffer)
    if octets.readonly:
        raise BufferError("only a writable buffer will do")
    return FlatBuffer(octets)


def _octets_of(buffer: Buffer) -> memoryview:
    from_buffer: Any = np.frombuffer  # the types of older NumPy versions do not list all kinds of buffers
    try:
        # NumPy requests plain bytes; memoryview() would request a format that it knows.
        return memoryview(from_buffer(buffer, np.uint8))
    except ValueError as error:
        # NumPy raises another error for what the buffer protocol calls a BufferError.
        raise BufferError(f"only C-contiguous bytes will do: {error}") from None


# --- header ---


@final
@dataclass(frozen=True, repr=False)
class Header:
    """The header of a frame. Immutable.

    Attributes:
        version: 1, 2, 3 or 4.
        type: the ``MessageType``.
        flags: the ``Flag`` bits as received, including undefined ones.
        bits: the same as a plain int.
        length: size of the payload in the frame, in bytes.
        checksum: CRC-32 of the payload in the frame.
        timestamp: microseconds since the Unix epoch, or None before V3.
        size: size of the header: 11, 19 or 32 bytes.
        form: the ``Form`` bits; None before V4.
        form_bits: the same as a plain int; 0 before V4.
        stream_id: number of the stream on this connection, 0 for none; None before V4.
        sequence: number of the message in its stream, 0 for none; None before V4.
    """

    version: int
    type: MessageType
    flags: Flag
    length: int
    checksum: int
    timestamp: int | None = None
    form: Form | None = None
    stream_id: int | None = None
    sequence: int | None = None

    def __post_init__(self) -> None:
        if index(self.version) not in HEADER_SIZES:
            raise ValueError(f"version is one of {VERSIONS}, not {self.version}")
        if (self.timestamp is None) != (self.version < 3):
            raise ValueError(f"a V{self.version} header has {'no' if self.version < 3 else 'a'} timestamp")
        if any((value is None) != (self.version < 4) for value in (self.form, self.stream_id, self.sequence)):
            lacking = "neither" if self.version < 4 else "a"
            raise ValueError(f"a V{self.version} header has {lacking} form, stream and sequence")
        if self.form is not None and not 0 <= index(self.form) <= 0xFF:
            raise ValueError(f"the form is the bits of one byte, not {self.form}")
        if not 0 <= index(self.flags) <= 0xFF:
            raise ValueError(f"flags are the bits of one byte, not {self.flags}")
        object.__setattr__(self, "type", MessageType(self.type))
        object.__setattr__(self, "flags", Flag(self.flags))
        check_within("length", self.length, LARGEST_LENGTH)
        check_within("checksum", self.checksum, 0xFFFFFFFF)
        check_within("timestamp", self.timestamp or 0, LARGEST_TIMESTAMP)
        if self.form is not None:
            object.__setattr__(self, "form", Form(self.form))
            check_within("stream_id", self.stream_id or 0, LARGEST_STREAM_ID)
            check_within("sequence", self.sequence or 0, LARGEST_TIMESTAMP)

    @property
    def bits(self) -> int:
        return self.flags.value

    @property
    def form_bits(self) -> int:
        return 0 if self.form is None else self.form.value

    @property
    def size(self) -> int:
        return HEADER_SIZES[self.version]

    def __bytes__(self) -> bytes:
        return header_bytes(
            self.version,
            self.type,
            self.bits,
            self.timestamp or 0,
            self.form_bits,
            self.stream_id or 0,
            self.sequence or 0,
            length=self.length,
            checksum=self.checksum,
        )

    def __repr__(self) -> str:
        stamp = "" if self.timestamp is None else f", timestamp={self.timestamp}"
        if self.version >= 4:
            stamp += f", form={self.form!r}, stream_id={self.stream_id}, sequence={self.sequence}"
        return (
            f"Header(version={self.version}, type={self.type!r}, flags={self.flags!r}, "
            f"length={self.length}, checksum=0x{self.checksum:08x}{stamp})"
        )


def check_within(name: str, value: int, largest: int) -> int:
    if not 0 <= index(value) <= largest:
        raise OverflowError(f"{name} is a number from 0 to {largest}, not {value}")
    return index(value)


def header_bytes(
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
    *,
    length: int,
    checksum: int,
) -> bytes:
    fields = _FIELDS.pack(version, type, flags, length, checksum)
    if version < 3:
        return fields
    fields += _TIMESTAMP.pack(index(timestamp))
    return fields + _NUMBERING.pack(form, index(stream_id), index(sequence)) if version >= 4 else fields

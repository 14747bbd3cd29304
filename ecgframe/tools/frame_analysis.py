"""One frame after the other, each with everything that can be told of it, whole or broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from .._core import Header, crc32, flatten
from ..codec import Codec, Message
from ..errors import InvalidDataFormat, ProtocolError
from ..messages import check_received
from ..protocol import (
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    HEADER_FIELDS,
    HEADER_SIZES,
    LAST_FATAL_CHECK,
    Check,
    Flag,
    MessageType,
)
from .observation import Delivery, Origin

_TYPE_NAMES: Final = {int(member): member.name for member in MessageType}


@dataclass(frozen=True, slots=True)
class Examined:
    """A frame, and what a receiver would make of it.

    Attributes:
        number: of the frame within all that was read, from 1 on.
        origin: where it was seen.
        offset: byte of the file, or of the WebSocket message, at which it begins.
        octets: header and payload, as they travelled; of a frame that has no known end, all that is left.
        fields: the header's fields by name, as far as their bytes are there.
        message: what it says; None where it is broken.
        error: why a receiver would refuse it, with the code that it would answer; None for a good frame.
        is_text: whether it came as a text message.
    """

    number: int
    origin: Origin
    offset: int
    octets: bytes
    fields: dict[str, int]
    message: Message | None
    error: ProtocolError | None
    is_text: bool = False

    @property
    def type_name(self) -> str:
        """Of the message type; in hexadecimal where there is no such type."""
        number = self.fields.get("type")
        return "?" if number is None else type_name(number)

    @property
    def flag_names(self) -> list[str]:
        """The flags that are set; undefined bits in hexadecimal."""
        return flag_names(self.fields.get("flags", 0))

    @property
    def header_size(self) -> int:
        """Bytes of the header, as far as they are there."""
        return min(HEADER_SIZES.get(self.fields.get("version", 0), HEADER_SIZES[1]), len(self.octets))

    @property
    def payload(self) -> memoryview:
        """The payload as it travelled, or what is there of it."""
        return memoryview(self.octets)[self.header_size :]

    @property
    def checksum(self) -> int | None:
        """The CRC-32 of the payload; None where it is not all there."""
        length = self.fields.get("length")
        return crc32(self.payload) if length is not None and length == len(self.payload) else None

    @property
    def is_intact(self) -> bool | None:
        """Whether the payload has the CRC-32 that the header names; None where it is not all there."""
        return None if self.checksum is None else self.checksum == self.fields["checksum"]

    @property
    def stream(self) -> str | None:
        """The stream that the message names."""
        data = self.message.data if self.message else None
        name = data.get("stream") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None


def type_name(number: int) -> str:
    """A message type as people call it."""
    return _TYPE_NAMES.get(number, f"0x{number:02x}")


def flag_names(bits: int) -> list[str]:
    """The names of the flags that are set; a bit without a name as its number."""
    named = [str(flag.name) for flag in Flag if bits & flag]
    return named + [f"0x{bit:02x}" for bit in (1 << n for n in range(8)) if bits & bit and not Flag(bit).name]


def header_fields(octets: bytes | memoryview) -> dict[str, int]:
    """The header's fields by name, however little of it is there, and whatever it says."""
    size = HEADER_SIZES.get(octets[0], HEADER_SIZES[1]) if octets else 0
    fields: dict[str, int] = {}
    start = 0
    for name, width in HEADER_FIELDS.items():
        if start + width <= min(size, len(octets)):
            fields[name] = int.from_bytes(octets[start : start + width], "big")
        start += width
    return fields


class Examiner:
    """Takes what was seen apart into frames. Broken ones do not stop it.

    Args:
        max_payload: the limit of the receiver in whose place it judges, in bytes.
        validate: whether that receiver checks the fields of data messages; those of control messages always are.
    """

    def __init__(self, *, max_payload: int = DEFAULT_MAX_PAYLOAD, validate: bool = False) -> None:
        self._codec = Codec(max_payload=max_payload)
        self._max_payload = max_payload
        self._validate = validate
        self._count = 0

    def examine(self, delivery: Delivery) -> Iterator[Examined]:
        """The frames of a message, up to one behind which nobody knows where the next begins."""
        octets = delivery.octets
        if delivery.is_text:
            text = InvalidDataFormat("a text message; frames travel in binary ones")
            yield self._examined(delivery, 0, octets, None, text)
            return
        if delivery.fault is not None:
            yield self._examined(delivery, 0, octets, None, delivery.fault)
            return
        offset, is_first = 0, True
        while offset < len(octets) or is_first:  # an empty message is a broken frame
            frame, message, error = self._judge(octets, offset)
            yield self._examined(delivery, offset, frame, message, error)
            if error is not None and is_fatal(error):
                return
            offset, is_first = offset + len(frame), False

    def _judge(self, octets: bytes, offset: int) -> tuple[bytes, Message | None, ProtocolError | None]:
        """The frame that begins there, and its message or its error."""
        rest = octets[offset:] if offset else octets
        frame = rest
        try:
            header: Header = flatten(rest).header_at(0, self._max_payload)
            frame = rest[: header.size + header.length]
            message = self._codec.decode(frame)
            if self._validate or message.type not in DATA_TYPES:
                message.data = check_received(message.type, message.data)
        except ProtocolError as error:
            return (rest if is_fatal(error) else frame), None, error
        return frame, message, None

    def _examined(
        self, delivery: Delivery, offset: int, octets: bytes, message: Message | None, error: ProtocolError | None
    ) -> Examined:
        self._count += 1
        return Examined(
            number=self._count,
            origin=delivery.origin,
            offset=offset + (delivery.offset or 0),
            octets=octets,
            fields={} if delivery.is_text else header_fields(octets),
            message=message,
            error=error,
            is_text=delivery.is_text,
        )


def is_fatal(error: ProtocolError) -> bool:
    """Whether nobody knows, behind such a frame, where the next one begins."""
    return error.check is not None and error.check <= LAST_FATAL_CHECK


def place_of(error: ProtocolError) -> str:
    """Where in the frame the fault is, in words."""
    if error.path is not None:
        return error.path
    if error.offset is None:
        return ""
    return (
        f"byte {error.offset} of the {'frame' if error.check is None or error.check <= Check.CHECKSUM else 'payload'}"
    )


def details_of(error: ProtocolError) -> dict[str, Any]:
    """An error as plain values, for JSON."""
    return {
        "code": int(error.code),
        "name": error.code.name,
        "check": error.check,
        "path": error.path,
        "offset": error.offset,
        "message": str(error),
    }

"""What a frame said: its payload as Python objects, with what its header says of it.

The plain twin of ``message.pyx``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import index
from typing import Any

from ...protocol import EPOCH, Flag, MessageType
from ._header import TYPES, Header, as_byte

__all__ = ["Message", "message_of"]


class Message:
    """One decoded frame.

    Attributes:
        type: what the frame carries.
        data: the payload as Python objects; None for an empty payload.
        version: protocol version of the frame: 1, 2 or 3.
        flags: the header's flags, undefined bits included.
        timestamp: the sender's clock, in microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload, inflated.

    Raises:
        ValueError: a type that is none of the thirteen, or flags outside one byte.
    """

    __slots__ = ("_flags", "_timestamp", "_type", "_version", "data", "nbytes")

    def __init__(
        self,
        type: MessageType | int,
        data: Any,
        version: int,
        flags: Flag | int,
        timestamp: int | None,
        nbytes: int = 0,
    ) -> None:
        number = as_byte(type, "message type")
        if number not in TYPES:
            raise ValueError(f"message type 0x{number:02x} is none of the specification's thirteen")
        self._type = TYPES[number]
        self.data = data
        self._version = index(version)
        self._flags = Flag(as_byte(flags, "flags"))
        self._timestamp = None if timestamp is None else index(timestamp)
        self.nbytes = nbytes

    @property
    def type(self) -> MessageType:
        return self._type

    @property
    def version(self) -> int:
        return self._version

    @property
    def flags(self) -> Flag:
        return self._flags

    @property
    def timestamp(self) -> int | None:
        return self._timestamp

    @property
    def sent_at(self) -> datetime | None:
        """The timestamp as an aware UTC datetime; None before V3, and where it lies beyond the year 9999."""
        if self._timestamp is None:
            return None
        try:
            return EPOCH + timedelta(microseconds=self._timestamp)
        except OverflowError:
            return None

    def __reduce__(self) -> tuple[object, ...]:
        return Message, (self.type, self.data, self.version, self.flags, self.timestamp, self.nbytes)

    def __repr__(self) -> str:
        return (
            f"Message(type={self.type!r}, data={self.data!r}, version={self.version}, "
            f"flags={self.flags!r}, timestamp={self.timestamp})"
        )


def message_of(header: Header, data: Any, nbytes: int) -> Message:
    """The message of a frame that had this header, and this payload of nbytes once inflated."""
    return Message(header.type, data, header.version, header.flags, header.timestamp, nbytes)

"""A decoded message: the payload as Python objects, and the fields of the header.

The plain twin of ``message.pyx``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import index
from types import GenericAlias
from typing import Any, ClassVar

from ...protocol import EPOCH, LARGEST_STREAM_ID, LARGEST_TIMESTAMP, Flag, Form, MessageType
from ._header import TYPES, Header, as_byte, check_within

__all__ = ["Message", "message_of"]


class Message:
    """One decoded frame.

    ``Message[EcgData]`` is, for type checkers, a message whose ``data`` has the fields of ``EcgData``; ``Message``
    alone is ``Message[Any]``. See ``ecgframe.messages.has_type``.

    Attributes:
        type: the ``MessageType``.
        data: the payload as Python objects; None for an empty payload.
        version: protocol version of the frame: 1, 2, 3 or 4.
        flags: the flags of the header, including undefined bits.
        timestamp: the sender's clock, in microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload after decompression, in bytes.
        stream_id: number of the stream on the connection, 0 for none; None before V4.
        sequence: number of the message in its stream, 0 for none; None before V4. The ``sequence`` in the data of a
            message is a different number, which the publisher counts.
        form: ``Form`` bits, the encoding of the payload; None before V4.
        stale: whether a message of a sealed stream is older than its viewer allows; see ``Client.subscribe``.
        signature: "valid" or "unknown signer" of a signed message, if the client knows signers; otherwise None.

    Raises:
        ValueError: the type does not exist; flags or form are not one byte; or a stream, sequence or form before V4.
    """

    __slots__ = (
        "_flags",
        "_form",
        "_sequence",
        "_stream_id",
        "_timestamp",
        "_type",
        "_version",
        "data",
        "nbytes",
        "signature",
        "stale",
    )

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)  # Message[EcgData] in annotations that are evaluated

    def __init__(
        self,
        type: MessageType | int,
        data: Any,
        version: int,
        flags: Flag | int,
        timestamp: int | None,
        nbytes: int = 0,
        stream_id: int | None = None,
        sequence: int | None = None,
        form: Form | int | None = None,
        stale: bool = False,
        signature: str | None = None,
    ) -> None:
        number = as_byte(type, "message type")
        if number not in TYPES:
            raise ValueError(f"message type 0x{number:02x} is none of the specification's")
        self._type = TYPES[number]
        self.data = data
        self._version = index(version)
        self._flags = Flag(as_byte(flags, "flags"))
        self._timestamp = None if timestamp is None else index(timestamp)
        self.nbytes = nbytes
        self.stale = stale
        self.signature = signature
        self._stream_id = self._sequence = self._form = None
        if self._version < 4:
            if stream_id is not None or sequence is not None or form is not None:
                raise ValueError(f"a V{version} message has neither stream_id nor sequence nor form; V4 has")
            return
        self._stream_id = check_within("stream_id", stream_id or 0, LARGEST_STREAM_ID)
        self._sequence = check_within("sequence", sequence or 0, LARGEST_TIMESTAMP)
        self._form = Form(0 if form is None else as_byte(form, "form"))

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
    def stream_id(self) -> int | None:
        return self._stream_id

    @property
    def sequence(self) -> int | None:
        return self._sequence

    @property
    def form(self) -> Form | None:
        return self._form

    @property
    def sent_at(self) -> datetime | None:
        """The timestamp as an aware UTC datetime; None before V3, and after the year 9999."""
        if self._timestamp is None:
            return None
        try:
            return EPOCH + timedelta(microseconds=self._timestamp)
        except OverflowError:
            return None

    def __reduce__(self) -> tuple[object, ...]:
        return Message, (
            self.type,
            self.data,
            self.version,
            self.flags,
            self.timestamp,
            self.nbytes,
            self.stream_id,
            self.sequence,
            self.form,
            self.stale,
            self.signature,
        )

    def __repr__(self) -> str:
        numbering = ""
        if self.version >= 4:
            numbering = f", stream_id={self.stream_id}, sequence={self.sequence}, form={self.form!r}"
        return (
            f"Message(type={self.type!r}, data={self.data!r}, version={self.version}, "
            f"flags={self.flags!r}, timestamp={self.timestamp}{numbering})"
        )


def message_of(header: Header, data: Any, nbytes: int) -> Message:
    """Return the message of a frame. ``nbytes`` is the size of the payload after decompression."""
    return Message(
        header.type,
        data,
        header.version,
        header.flags,
        header.timestamp,
        nbytes,
        header.stream_id,
        header.sequence,
        header.form,
    )

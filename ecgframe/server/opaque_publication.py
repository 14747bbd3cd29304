"""Messages that a publisher has sealed end to end: the server has no key, and hands them on as they are."""

from __future__ import annotations

from typing import Any, Final

from .._core import Header, crc32
from ..codec import EncodedFrame, Message
from ..protocol import HEADER_SIZES, SEAL_OVERHEAD, TRAILER_SIZE, Flag, Form, MessageType
from ..session import Encoding, Outgoing, Settings, StreamPosition, encode_outgoing
from ..session.outgoing import Tier
from .publication import Publication, loss_of, without_limit

_HANDED_ON: Final = int(Flag.PRIORITY | Flag.COMPRESSED | Flag.SIGNED)
"""Flags of the publisher's message that viewers get as well."""

_FORM: Final = int(Form.ALGORITHM | Form.RECORD)
_BULK: Final = int(Form.BULK)

_ADDED: Final = HEADER_SIZES[4] + SEAL_OVERHEAD + TRAILER_SIZE
"""Bytes of a frame that the limit of a receiver does not count."""

_DEFAULTS: Final = Settings()

WHY_DENIED: Final = (
    "this stream is sealed by its publisher, and this server has no key of it: use a client of version 4 that has a "
    'cipher (Python: pip install "ecgframe[seal]"; browsers: over https) and the keys of the stream'
)
"""The reason for denying a viewer that speaks another version, or has no cipher."""


def can_watch(encoding: Encoding) -> bool:
    """Return whether peers with an encoding get what is sealed end to end."""
    return encoding.version >= 4 and encoding.sealed


def opaque_frame(message: Message, timestamp: int, id: int) -> EncodedFrame:
    """Return a message that its publisher has sealed in a frame of this server.

    Args:
        message: as it came, with its ``SealedPayload``.
        timestamp: in microseconds since 1970.
        id: number of the stream in the frame.
    """
    payload = bytes(message.data)
    flags = int(message.flags) & _HANDED_ON | Flag.ENCRYPTED
    form = int(message.form or 0) & _FORM
    number = message.sequence or 0
    header = Header(4, message.type, Flag(flags), len(payload), crc32(payload), timestamp, Form(form), id, number)
    return EncodedFrame(
        bytes(header) + payload, 4, message.type, int(flags), timestamp, len(payload), None, form, id, number
    )


class OpaquePublication(Publication):
    """One message of an opened stream that its publisher has sealed, with a header of this server.

    Args:
        stream: name of the stream.
        timestamp: in microseconds since 1970, larger than that of any earlier message on the stream.
        frame: the message in a frame of version 4, of this server or another one.
        position: its place in the stream; its form has BULK if the messages of the stream do.
    """

    __slots__ = ("_outgoing",)

    def __init__(self, stream: str, timestamp: int, frame: EncodedFrame, position: StreamPosition) -> None:
        flags = frame.flags
        overtakes = frame.type is MessageType.ANOMALY_ALERT or flags & Flag.PRIORITY
        form = (frame.form or 0) & _FORM | (0 if overtakes else position.form & _BULK)
        encoded = frame.as_message(timestamp, form, position.id, position.number)
        self._outgoing = Outgoing(encoded, flags, timestamp, stream)
        self.stream = stream
        self.timestamp = timestamp
        self.type = frame.type
        self.flags = flags
        self.urgent = self._outgoing.tier is Tier.URGENT
        self.is_large = False
        self.nbytes = self._outgoing.nbytes
        self.number = 0
        self.position = position._replace(form=form)
        self.record = None
        self.arrived = 0.0
        self.kept = False
        self.missing = 0

    @property
    def frame(self) -> bytes:
        """The frame for viewers."""
        return self._outgoing.frame

    @property
    def encodings(self) -> int:
        """Number of different frames: one."""
        return 1

    @property
    def data(self) -> Any:
        """Nothing: the server cannot read it."""
        return None

    @property
    def may_be_record(self) -> bool:
        """False: the server does not change it."""
        return False

    def outgoing(self, encoding: Encoding) -> Outgoing | None:
        """The frame, the same for all viewers that can open it; None for the others, an ERROR if it is too large."""
        if not can_watch(encoding):
            return None
        if self._outgoing.nbytes - _ADDED > encoding.max_payload:
            return self.too_large_for(encoding)
        return self._outgoing

    def too_large_for(self, encoding: Encoding) -> Outgoing:
        """The ERROR for viewers that take only smaller payloads than this message has."""
        why = f"the message exceeds the {encoding.max_payload} bytes that this client takes"
        return encode_outgoing(
            without_limit(encoding),
            MessageType.ERROR,
            loss_of(self, why),
            timestamp=self.timestamp,
            settings=_DEFAULTS,
            stream=self.stream,
        )

    def takes_long(self, encoding: Encoding) -> bool:
        """False: it is sealed already."""
        return False

    def strip(self) -> int:
        """Nothing can be made again. Returns 0."""
        return 0

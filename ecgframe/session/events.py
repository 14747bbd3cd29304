"""What a session has to tell its owner. Section "Message Flow" of the specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..codec import Message
    from ..errors import ProtocolError
    from ..messages import SubscriptionStatus
    from ..protocol import Capability, MessageType


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The two sides know how to talk from here on.

    Attributes:
        version: protocol version of what is sent.
        capabilities: what both sides have, as far as that version allows.
        negotiated: False for a peer that just began to talk, or said nothing, and is served as an old one.
    """

    version: int
    capabilities: frozenset[Capability]
    negotiated: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A data message for the application, which calls ``Session.acknowledge`` once it has it."""

    message: Message


@dataclass(frozen=True, slots=True)
class SubscribeRequested:
    """The peer wants a stream; ``Session.answer_subscription`` answers.

    Attributes:
        stream: its name.
        since: microseconds since 1970; None for what is published from now on.
        is_moment: whether ``since`` was a date, a moment by this side's clock. A number names a message.
    """

    stream: str
    since: int | None
    is_moment: bool = False


@dataclass(frozen=True, slots=True)
class UnsubscribeRequested:
    """The peer wants a stream no more; ``Session.answer_subscription`` answers."""

    stream: str


@dataclass(frozen=True, slots=True)
class SubscriptionAnswered:
    """The server's answer to a subscription.

    Attributes:
        stream: its name.
        status: "subscribed", "unsubscribed" or "denied".
        code: why it was denied, one of the error codes.
        start: the moment from which messages follow, in microseconds since 1970. Where the stream was asked for since
            some message, the server cannot vouch for what was before; None where it can.
        timestamp: of the answer, by the server's clock, in microseconds since 1970; None before V3.
    """

    stream: str
    status: SubscriptionStatus
    code: int | None
    start: int | None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer's application has a message of ours. ``elapsed`` is in seconds since it was last sent."""

    timestamp: int
    type: MessageType
    elapsed: float


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that was to be acknowledged is given up, after that many attempts."""

    timestamp: int
    type: MessageType
    attempts: int


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """The peer found an error. ``code`` is one of the error codes, if the peer keeps to them."""

    code: int
    message: str
    details: Any


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """A frame of the peer's was not accepted; the peer was told.

    Attributes:
        error: what was wrong, with its code.
        nbytes: size of the WebSocket message that held the frame.
    """

    error: ProtocolError
    nbytes: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A PING of ours came back.

    Attributes:
        seconds: it took.
        offset: the peer's clock minus ours, in seconds, off by at most half the round trip; None before V3.
    """

    seconds: float
    offset: float | None


@dataclass(frozen=True, slots=True)
class VersionChecked:
    """The peer's answer to a VERSION_CHECK."""

    version: int
    compatible: bool
    versions: tuple[int, ...]


Event = (
    Negotiated
    | Received
    | SubscribeRequested
    | UnsubscribeRequested
    | SubscriptionAnswered
    | Acknowledged
    | Undelivered
    | ErrorReceived
    | FrameRefused
    | RoundTrip
    | VersionChecked
)

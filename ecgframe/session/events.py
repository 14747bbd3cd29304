"""The events that a session returns to its owner. Section "Message Flow" of the specification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..codec import Message
    from ..errors import ProtocolError
    from ..messages import SubscriptionStatus
    from ..protocol import Capability, MessageType
    from ..signing import Attested, Unattested
    from .frame_reader import StreamEpoch


@dataclass(frozen=True, slots=True)
class Negotiated:
    """Version and capabilities are known from here on.

    Attributes:
        version: protocol version in which this side sends.
        capabilities: those that both sides have and that the version supports.
        negotiated: False if the peer did not negotiate, and is served as an old one.
    """

    version: int
    capabilities: frozenset[Capability]
    negotiated: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A data message arrived. The application calls ``Session.acknowledge`` once it has processed it.

    Attributes:
        message: as it came; a record as the map that it stands for.
        memory: bytes that it takes, at most; 0 where the session does not measure it.
        stream: the stream that its header names, with the epoch of its number; None before V4, and without a stream.
        record: on a server, the payload of a record of a stream that the client has opened; None for other messages.
    """

    message: Message
    memory: int = 0
    stream: StreamEpoch | None = None
    record: bytes | None = None


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message of a stream arrived that the session has dealt with itself: a template, or an attestation.

    It has a number in its stream as a data message has, so it moves the position of a viewer. A client acknowledges it
    by itself; on a server, the application calls ``Session.acknowledge``.

    Attributes:
        message: as it came.
        stream: the stream that its header names, with the epoch of its number.
        payload: of a template, as packed.
        memory: bytes that it takes, at most; 0 where the session does not measure it.
    """

    message: Message
    stream: StreamEpoch
    payload: bytes | None = None
    memory: int = 0


@dataclass(frozen=True, slots=True)
class OpeningRequested:
    """A client opens a stream, or asks how far its stream has got; ``ServerSession.answer_opening`` answers.

    Attributes:
        stream: its name.
        epoch: of the numbers that the client gives its messages.
        message: the opening, for the answer.
        first: the number of the first message that the client still has: what is missing before it is lost; None if it
            does not say so.
    """

    stream: str
    epoch: int
    message: Message
    first: int | None = None


@dataclass(frozen=True, slots=True)
class SubscribeRequested:
    """The peer subscribes to a stream; ``Session.answer_subscription`` answers.

    Attributes:
        stream: its name.
        since: where to resume, in microseconds since 1970; None for messages that are published from now on.
        is_moment: True if ``since`` is a time by this side's clock, False if it is the timestamp of a message.
        epoch: the epoch of the numbers that the peer knows; None before V4, and if it knows none.
        after: the number after which to resume in that epoch.
        wants_keys: False if the peer has keys of its own, if the stream is sealed.
        catch_up: age in seconds of the oldest messages to send first; None for all that follow.
    """

    stream: str
    since: int | None
    is_moment: bool = False
    epoch: int | None = None
    after: int | None = None
    wants_keys: bool = True
    catch_up: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryRequested:
    """The peer asks for messages of a stream that are kept; ``Session.answer_subscription`` answers.

    Attributes:
        stream: its name.
        number: of the request, which the peer has chosen.
        start: the time from which it wants messages, in microseconds since 1970.
        stop: the time until which it wants them; None for now.
        wants_keys: False if the peer has keys of its own, if the stream is sealed.
    """

    stream: str
    number: int
    start: int
    stop: int | None = None
    wants_keys: bool = True


@dataclass(frozen=True, slots=True)
class UnsubscribeRequested:
    """The peer unsubscribes from a stream; ``Session.answer_subscription`` answers.

    Attributes:
        stream: its name.
        history: the request whose history is to end; None for the subscription.
    """

    stream: str
    history: int | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionAnswered:
    """The server's answer to a subscription.

    Attributes:
        stream: its name.
        status: "subscribed", "unsubscribed" or "denied".
        code: why it was denied, one of the error codes.
        start: the time from which messages follow, in microseconds since 1970. After a resume, earlier messages may be
            missing; None means that none is missing.
        timestamp: of the answer, by the server's clock, in microseconds since 1970; None before V3.
        epoch: of the numbers of the messages that follow; None before V4.
        next: the number of the first message that follows; None before V4.
        ended: if another epoch has begun: the number of the message that would have been next in the epoch before; None
            if the server does not say so.
        reason: why it was denied, for a person; None if the server does not say so.
        history: the request for a history that this answers; None for an answer about the subscription.
        end: of a history: the number after the last message that follows.
        more: of a history: the time from which to ask for the rest, in microseconds since 1970; None if there is none.
    """

    stream: str
    status: SubscriptionStatus
    code: int | None
    start: int | None
    timestamp: int | None = None
    epoch: int | None = None
    next: int | None = None
    ended: int | None = None
    reason: str | None = None
    history: int | None = None
    end: int | None = None
    more: int | None = None


@dataclass(frozen=True, slots=True)
class KeysRefused:
    """The keys in an answer of the server were refused, and so was the answer, which ``FrameRefused`` reports as well.

    Attributes:
        stream: name of the stream.
        history: of an answer to a request for a history: its number; else None.
        error: why. Its text names the key if its id is in use, or if the keyring of the application fails for it.
    """

    stream: str
    history: int | None
    error: ProtocolError


@dataclass(frozen=True, slots=True)
class KeyMissing:
    """A sealed frame came whose key is unknown. It is held; a SUBSCRIBE with the present position asks for the key.

    There is one event for each key of a connection.

    Attributes:
        key_id: the id of the key.
        stream: the stream; None in version 3, where only the key would show it.
    """

    key_id: int
    stream: str | None


@dataclass(frozen=True, slots=True)
class FramesUnopened:
    """Sealed frames were discarded: their key did not arrive in time, or too many waited for one. They are lost.

    Attributes:
        stream: the stream; None in version 3, where only the key would show it.
        frames: how many there are.
        start: timestamp of the first, in microseconds since 1970.
        stop: timestamp of the last.
        is_numbered: whether they have numbers, which show the gap.
        history: the request for a history to which they belong, which nothing waits for; None for what is live.
    """

    stream: str | None
    frames: int
    start: int
    stop: int
    is_numbered: bool
    history: int | None = None


@dataclass(frozen=True, slots=True)
class AttestationTaken:
    """A signer has attested messages that were handed on before, or messages were not attested in time.

    Attributes:
        stream: name of the stream.
        found: ``signing.Attested`` or ``signing.Unattested``, with the numbers of the messages.
    """

    stream: str
    found: Attested | Unattested


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer acknowledged a message.

    Attributes:
        timestamp: of the message, in microseconds since 1970.
        type: of the message.
        elapsed: seconds since it was last sent.
        next: of the opening of a stream: the number of the message that the server expects next; otherwise None.
        lost: of such an opening: messages of the epoch that the server passed over; otherwise 0.
    """

    timestamp: int
    type: MessageType
    elapsed: float
    next: int | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message was not acknowledged, and is not sent again; ``attempts`` is how often it was sent."""

    timestamp: int
    type: MessageType
    attempts: int


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """The peer sent an ERROR. ``code`` may be none of the error codes, if the peer does not keep to them."""

    code: int
    message: str
    details: Any


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """A frame of the peer was refused, and the peer was sent an ERROR.

    Attributes:
        error: the error, with its code.
        nbytes: size of the WebSocket message that held the frame, in bytes.
        of_stream: the stream that the frame's header named, if it named one.
        number: the number of the message in it.
    """

    error: ProtocolError
    nbytes: int
    of_stream: StreamEpoch | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The peer answered a PING.

    Attributes:
        seconds: the round trip time.
        offset: the peer's clock minus the clock of this side, in seconds, accurate to half the round trip time; None
            before V3.
    """

    seconds: float
    offset: float | None


@dataclass(frozen=True, slots=True)
class PingUnanswered:
    """The peer is there, but has not answered a PING for three heartbeat intervals.

    If it never answered one, data does not wait for its answers any more. If it did, it gets one more window of data.

    Attributes:
        seconds: the time since the last PING.
        on_its_way: bytes that were sent but not confirmed.
    """

    seconds: float
    on_its_way: int


@dataclass(frozen=True, slots=True)
class VersionChecked:
    """The peer answered a VERSION_CHECK."""

    version: int
    compatible: bool
    versions: tuple[int, ...]


Event = (
    Negotiated
    | Received
    | Numbered
    | OpeningRequested
    | SubscribeRequested
    | HistoryRequested
    | UnsubscribeRequested
    | SubscriptionAnswered
    | KeyMissing
    | KeysRefused
    | FramesUnopened
    | AttestationTaken
    | Acknowledged
    | Undelivered
    | ErrorReceived
    | FrameRefused
    | RoundTrip
    | PingUnanswered
    | VersionChecked
)

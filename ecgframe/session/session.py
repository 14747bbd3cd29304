"""One side of one connection: bytes in, events out; frames to send, and when to look again. No I/O, no clock.

The owner, who has the socket and the clock, does five things, in any order and as often as it likes:

- gives what arrived to ``receive`` and acts on the events;
- calls ``tick`` once ``deadline()`` has passed, and acts on the events;
- sends what ``next_message`` gives, for as long as the network takes it, until it gives None;
- when ``closing`` is set and ``next_message`` gives None, closes the WebSocket with that code and reason;
- when the connection is gone, calls ``lost``.

``now`` is in seconds of any clock that never goes back. ``wall_clock_us`` gives microseconds since 1970, each time
more than the last: the timestamps of V3 frames, which name messages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..codec import Codec
from ..errors import (
    InvalidDataFormat,
    InvalidProtocolVersion,
    MessageTooLarge,
    ProtocolError,
    RateLimitExceeded,
)
from ..messages import check_received
from ..protocol import (
    DATA_TYPES,
    LAST_FATAL_CHECK,
    MAX_BATCH_FRAMES,
    SILENT_INTERVALS,
    Capability,
    Check,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from .acknowledgements import Seen
from .decoding import Decoding
from .events import (
    Acknowledged,
    ErrorReceived,
    Event,
    FrameRefused,
    Negotiated,
    PingUnanswered,
    Received,
    RoundTrip,
    Undelivered,
    VersionChecked,
)
from .negotiation import implied, usable
from .rate_limit import Admission, ErrorBudget
from .sender import Sender
from .timestamps import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from ..codec import Message
    from ..messages import SubscriptionStatus
    from .settings import Settings

RATE_ERROR_PAUSE: Final = 1.0
"""Seconds after telling a peer that it is too fast in which it is not told again."""

LONGEST_TEXT: Final = 500
"""Letters of an error's text that are sent: it may quote what the peer sent, whose length is the peer's choice."""

ECHO_GROWTH: Final = 32
"""By how much a PONG may be larger than the message that held its PING. Arrays take more room in list form, which old
peers are sent, and some more than there is memory: fifty bytes can say "a billion rows of nothing"."""

SMALL_ECHO: Final = 128 * 1024
"""Bytes that a PONG may have in any case."""

_SAID_BEFORE_AGREEING: Final = frozenset(
    {
        MessageType.PROTOCOL_NEGOTIATION,
        MessageType.VERSION_CHECK,
        MessageType.HEARTBEAT,
        MessageType.PING,
        MessageType.PONG,
        MessageType.ERROR,
    }
)
"""What travels in V1 frames until both sides know better, and so is read by those as well that do not speak V1."""

VERSION_OF_NEGOTIATION: Final = 1
"""In which those messages travel: every receiver reads it, and refuses what else comes in it unless it speaks it."""

_NO_BEGINNING: Final = (MessageType.PROTOCOL_NEGOTIATION, MessageType.ERROR)
"""What does not tell how the peer talks; a server that lets nobody in says ERROR and closes."""

_ERROR_CODES: Final = frozenset(ErrorCode)

_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)  # plain: arithmetic on enum members is Python code


class Session(Sender, ABC):
    """What both sides have in common. See ``ServerSession`` and ``ClientSession``.

    Args:
        settings: this side's.
        wall_clock_us: gives microseconds since 1970, each time more than the last.

    Attributes:
        version: protocol version in which this side sends; 1 until more is known.
        capabilities: that both sides have and the version can express.
        encoding: what the peer understands; frames for ``enqueue`` are encoded for it.
        established: whether the peer has said how it talks.
        negotiated: whether it has done so by negotiating.
        closing: how to close the connection once nothing more is to be sent; None while it goes on.
        has_waiting: whether ``next_message`` has something to give now.
        passed: how many frames did not have to wait; see ``record_direct_send``.
        counters: what has been received, and sent by ``next_message``.
    """

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int]) -> None:
        super().__init__(settings, wall_clock_us)
        self.established = False
        self.negotiated = False
        self._codec = self._make_codec(settings.max_payload)
        self._small_codec: Codec | None = None
        self._is_decoding = False
        self._seen = Seen()
        self._admission = Admission(settings.rate_limit) if settings.rate_limit else None
        self._budget = ErrorBudget()
        self._rate_error_at = -inf
        self._heartbeat_interval = settings.heartbeat_interval
        self._ping: tuple[int, float] | None = None
        self._asked = False
        self._hearing = 0
        self._heard_at = 0.0

    # --- what the owner's loop calls ---

    def start(self, now: float) -> None:
        """The connection stands."""
        self._heard_at = self._sent_at = now

    def receive(self, data: Buffer, now: float) -> list[Event]:
        """A binary WebSocket message came: one frame, or several laid end to end.

        Whatever it holds, nothing is raised: the peer is told of errors, and the owner by ``FrameRefused`` and
        ``closing``. Arrays in binary form are views of ``data``, which must not change afterwards.
        """
        nbytes = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        events: list[Event] = []
        if self._admit(nbytes, now, events):
            self._receive_frames(data, nbytes, now, events)
        return events

    def begin_to_receive(self, data: Buffer, now: float, at_once: int) -> list[Event] | Decoding:
        """As ``receive``, for an owner who has threads.

        Args:
            data: as ``receive`` takes it.
            now: as everywhere.
            at_once: bytes of payloads, as they travel and inflated, up to which they are decoded here.

        Returns:
            The events; or, for a larger message, what is to be run in a thread and then given to ``finish_receiving``,
            before anything else is received.
        """
        nbytes = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        events: list[Event] = []
        if not self._admit(nbytes, now, events):
            return events
        if nbytes > at_once:
            return self._decoding(data, nbytes)
        if self._small_codec is None:
            self._small_codec = self._make_codec(min(at_once, self.settings.max_payload))
        try:
            message = self._small_codec.decode(data)
        except MessageTooLarge:
            return self._decoding(data, nbytes)
        except ProtocolError:
            self._receive_batch(data, nbytes, now, events)
        else:
            self._receive_frame(message, nbytes, now, events)
        return events

    def finish_receiving(self, decoding: Decoding, now: float) -> list[Event]:
        """What came of a large message. The peer is not silent for what it took to decode it."""
        events: list[Event] = []
        self._is_decoding = False
        self.heard(now)
        for count, item in enumerate(decoding.items):
            if self.closing or not self._receive_item(count, item, decoding.nbytes, now, events):
                break
        return events

    def receive_text(self, now: float) -> list[Event]:
        """A text WebSocket message came, which this protocol does not have; it costs itself, as an error."""
        self._hear(now)
        events: list[Event] = []
        if not self.closing:
            error = InvalidDataFormat("a text message came; this protocol is binary")
            self._refuse_frame(error, 0, now, events)
        return events

    def heard(self, now: float) -> None:
        """The owner did not read until now, for reasons of its own: what it did not hear is not the peer's silence."""
        self._hear(max(self._heard_at, now))

    def deadline(self) -> float | None:
        """When ``tick`` is next to be called, unless something happens before; None when nothing is awaited."""
        if self.closing:
            return None
        times = [self._silent_after(SILENT_INTERVALS if self._asked else SILENT_INTERVALS - 1)]
        if not self.has_waiting:
            times.append(self._sent_at + self._heartbeat_interval)
        if self._window.is_full:
            times.append(min(self._window.opens_at, self._answers_no_ping_after()))
        if (due := self._unacknowledged.deadline()) is not None:
            times.append(due)
        return min(times)

    def tick(self, now: float) -> list[Event]:
        """Do what is due by now: heartbeats, messages to send again, a silent peer to ask and then to give up."""
        events: list[Event] = []
        if self.closing:
            return events
        if self._is_decoding:  # nothing is read meanwhile
            self.heard(now)
        if now >= self._silent_after(SILENT_INTERVALS):
            self._abandon(CloseCode.INTERNAL, f"not a word for {now - self._heard_at:.0f} s")
            return events
        for waiting in self._unacknowledged.due(now):
            self._send_again(waiting, events)
        if not self._asked and now >= self._silent_after(SILENT_INTERVALS - 1):
            self._asked = True  # an old viewer may have nothing to say, and answers all the same
            self._say(MessageType.PING, None)
        if self._window.is_full:
            self._wait_no_longer(now, events)
        if not self.has_waiting and now >= self._sent_at + self._heartbeat_interval:
            self._say(MessageType.HEARTBEAT, None)
        return events

    def _answers_no_ping_after(self) -> float:
        return self._window.probe_sent_at + SILENT_INTERVALS * self._heartbeat_interval

    def _wait_no_longer(self, now: float, events: list[Event]) -> None:
        """Send data although the peer has not answered, where it never may."""
        if now >= self._answers_no_ping_after():
            events.append(PingUnanswered(now - self._window.probe_sent_at, self.on_its_way))
            self._window.turn_off()
        else:
            self._window.look(now)
        self._note_waiting()

    def lost(self) -> list[Event]:
        """The connection is gone: what nobody acknowledged is given up, and what was sent too late to leave."""
        given_up = [
            Undelivered(waiting.outgoing.timestamp, waiting.outgoing.type, waiting.attempts)
            for waiting in self._unacknowledged
        ]
        self._unacknowledged.clear()
        self.counters.undelivered += len(given_up)
        self._abandon(CloseCode.GOING_AWAY, "the connection is gone")
        return list(given_up)

    # --- what the application calls ---

    def acknowledge(self, message: Message) -> None:
        """The application has the message; the peer is told if it asked for that."""
        if int(message.flags) & _ACK_REQUIRED and message.timestamp is not None:
            self._seen.hand_over(message.timestamp)
            self._say(MessageType.PONG, {"ack": message.timestamp, "type": int(message.type)})

    def answer_subscription(
        self,
        stream: str,
        status: SubscriptionStatus,
        *,
        code: ErrorCode | None = None,
        start: int | None = None,
    ) -> None:
        """Answer SUBSCRIBE or UNSUBSCRIBE.

        Args:
            stream: its name.
            status: what became of it.
            code: why it was denied.
            start: the moment from which messages follow, in microseconds since 1970, where this is a new subscription
                or some message before may be lost.
        """
        answer: dict[str, Any] = {"stream": stream, "status": status}
        if code is not None:
            answer["code"] = int(code)
        if start is not None:
            answer["from"] = seconds(start)
        self._say(MessageType.SUBSCRIPTION_ACK, answer)

    def refuse(self, code: ErrorCode, message: str, *, details: Any = None, close: CloseCode | None = None) -> None:
        """Tell the peer of an error, and close the connection after it if a close code is given."""
        body: dict[str, Any] = {"code": int(code), "message": message[:LONGEST_TEXT]}
        if details is not None:
            body["details"] = details
        self._say(MessageType.ERROR, body)
        if close is not None:
            self.end(close, message)

    def ping(self, now: float) -> None:
        """Ask for a PONG; ``RoundTrip`` follows. A ping that is still on its way counts no more."""
        timestamp = self._wall_clock_us()
        self._ping = (timestamp, now)
        self._say(MessageType.PING, {"ping": timestamp})

    def check_version(self, version: int) -> None:
        """Ask whether the peer speaks the version; ``VersionChecked`` follows."""
        self._say(MessageType.VERSION_CHECK, {"version": version})

    # --- receiving ---

    def _decoding(self, data: Buffer, nbytes: int) -> Decoding:
        self._is_decoding = True
        return Decoding(self._codec, data, nbytes)

    def _make_codec(self, max_payload: int) -> Codec:
        settings = self.settings
        return Codec(
            max_payload=max_payload,
            numeric_lists=settings.numeric_lists,
            validate=settings.validate,
            versions={*settings.versions, VERSION_OF_NEGOTIATION},
        )

    def _hear(self, now: float) -> None:
        self._heard_at = now
        self._asked = False

    def _silent_after(self, intervals: int) -> float:
        """When nothing was heard for so many heartbeat intervals."""
        return self._heard_at + intervals * self._heartbeat_interval

    def _admit(self, nbytes: int, now: float, events: list[Event]) -> bool:
        """Note that a message came; tell whether it is to be decoded."""
        self._hearing = nbytes
        self._heard_at = now
        self._asked = False
        self.counters.received_bytes += nbytes
        if self.closing:
            return False
        if self._admission and not self._admission.admits_message(nbytes, now):
            self._too_fast(nbytes, now, events)
            return False
        if nbytes == 0:
            self._refuse_frame(InvalidDataFormat("a message without any frame", check=Check.HEADER), 0, now, events)
            return False
        return True

    def _receive_frames(self, data: Buffer, nbytes: int, now: float, events: list[Event]) -> None:
        try:
            message = self._codec.decode(data)
        except ProtocolError:  # several frames, or one that is damaged; to find that out so costs little
            self._receive_batch(data, nbytes, now, events)
        else:
            self._receive_frame(message, nbytes, now, events)

    def _receive_batch(self, data: Buffer, nbytes: int, now: float, events: list[Event]) -> None:
        for count, item in enumerate(self._codec.decode_each(data)):
            if not self._receive_item(count, item, nbytes, now, events):
                return

    def _receive_item(
        self, count: int, item: Message | ProtocolError, nbytes: int, now: float, events: list[Event]
    ) -> bool:
        """Accept or refuse what is the next of several frames. Tells whether those behind it are to be looked at."""
        if count == MAX_BATCH_FRAMES:
            item = MessageTooLarge(f"more than {MAX_BATCH_FRAMES} frames in one message", check=Check.LIMIT)
        return self._receive_frame(item, nbytes, now, events)

    def _receive_frame(self, item: Message | ProtocolError, nbytes: int, now: float, events: list[Event]) -> bool:
        """Accept a frame, or refuse it. Tells whether those behind it are to be looked at."""
        if self._admission and not self._admission.admits_frame(now):
            self._too_fast(nbytes, now, events)
            return False
        try:
            if isinstance(item, ProtocolError):
                raise item
            self._accept(item, now, events)
        except ProtocolError as error:
            self._refuse_frame(error, nbytes, now, events)
        return not self.closing

    def _accept(self, message: Message, now: float, events: list[Event]) -> None:
        type = message.type
        spoken = message.version in self.settings.versions
        if not spoken and not (message.version == VERSION_OF_NEGOTIATION and type in _SAID_BEFORE_AGREEING):
            raise InvalidProtocolVersion(
                f"a V{message.version} frame; spoken here: {sorted(self.settings.versions)}", check=Check.VERSION
            )
        if type not in DATA_TYPES and not self.settings.validate:
            message.data = check_received(type, message.data)
        self.counters.received[type] += 1
        if spoken and not self.established and type not in _NO_BEGINNING:
            self._assume(message.version, events)
        if int(message.flags) & _ACK_REQUIRED and self._came_already(message):
            return
        if type in DATA_TYPES:
            events.append(Received(message))
        else:
            _ON_CONTROL[type](self, message.data, message, now, events)
            self.acknowledge(message)

    def _came_already(self, message: Message) -> bool:
        """Tell whether it was sent again. If the application has it, the acknowledgement is sent again, too."""
        timestamp = message.timestamp
        if timestamp is None:
            return False
        if timestamp not in self._seen:
            self._seen.add(timestamp)
            return False
        if self._seen.is_handed_over(timestamp):
            self.acknowledge(message)
        return True

    def _on_ping(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        limit = min(max(SMALL_ECHO, ECHO_GROWTH * self._hearing), self.settings.max_payload)
        try:
            pong = self._encoded(MessageType.PONG, data, limit)
        except ValueError as error:  # too large, or arrays that are too deep in list form
            raise MessageTooLarge("this PING has a payload that cannot be sent back") from error
        self.enqueue(pong)

    def _on_pong(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        if not isinstance(data, dict):
            return
        if _is_number(data.get("ack")):
            if waiting := self._unacknowledged.acknowledged(data["ack"]):
                outgoing = waiting.outgoing
                events.append(Acknowledged(outgoing.timestamp, outgoing.type, now - waiting.sent_at))
        elif self._window.answered(data.get("sent"), now):
            self._note_waiting()
        elif self._ping and _is_number(data.get("ping")) and data["ping"] == self._ping[0]:
            events.append(_round_trip(self._ping, message, now))
            self._ping = None

    def _on_error(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        code = int(data["code"])
        self.counters.errors[code if code in _ERROR_CODES else 0] += 1
        events.append(ErrorReceived(code, data["message"], data.get("details")))

    def _on_version_check(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        version = int(data["version"])
        if data.get("compatible") is not None:
            versions = tuple(int(number) for number in data.get("versions", ()))
            events.append(VersionChecked(version, bool(data["compatible"]), versions))
            return
        answer = {
            "version": version,
            "compatible": version in self.settings.versions,
            "versions": sorted(self.settings.versions),
        }
        self._say(MessageType.VERSION_CHECK, answer)

    @abstractmethod
    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_unsubscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    # --- agreeing ---

    def _refuse_to_agree_again(self) -> None:
        # Frames that wait are encoded already: after a change, the peer would not understand them.
        if self.negotiated:
            raise InvalidDataFormat(
                "version and capabilities are agreed already; they hold to the end", check=Check.FIELDS
            )

    def _assume(self, version: int, events: list[Event]) -> None:
        """Take the peer for an old one that talks in that version and does not negotiate."""
        self._establish(version, implied(self.settings, version), False, events)

    def _establish(
        self, version: int, capabilities: frozenset[Capability], negotiated: bool, events: list[Event]
    ) -> None:
        self._speak(version, usable(capabilities, version))
        self.established = True
        self.negotiated = negotiated
        events.append(Negotiated(version, self.capabilities, negotiated))

    # --- errors ---

    def _refuse_frame(self, error: ProtocolError, nbytes: int, now: float, events: list[Event]) -> None:
        """Tell both sides, and close where no trust is left or the peer was wrong too often."""
        self.counters.refused[error.code] += 1
        _forget_where(error)
        events.append(FrameRefused(error, nbytes))
        close = _close_after(error)
        if not self._budget.spend(now) and close is None:
            close = CloseCode.POLICY if error.code is ErrorCode.RATE_LIMIT_EXCEEDED else CloseCode.PROTOCOL_ERROR
        self.refuse(error.code, str(error), close=close)

    def _too_fast(self, nbytes: int, now: float, events: list[Event]) -> None:
        """Refuse what came. The peer is told once a second at most: telling it of each frame would be a flood, too."""
        if now - self._rate_error_at < RATE_ERROR_PAUSE:
            self.counters.refused[ErrorCode.RATE_LIMIT_EXCEEDED] += 1
            return
        self._rate_error_at = now
        limit = self.settings.rate_limit
        assert limit
        text = f"more than {limit.frames:g} frames or {limit.nbytes:g} bytes a second; what is too much is lost"
        self._refuse_frame(RateLimitExceeded(text), nbytes, now, events)


_ON_CONTROL: Final[dict[MessageType, Callable[[Session, Any, Message, float, list[Event]], None]]] = {
    MessageType.HEARTBEAT: lambda *_: None,  # hearing it was all
    MessageType.PING: lambda session, *args: session._on_ping(*args),
    MessageType.PONG: lambda session, *args: session._on_pong(*args),
    MessageType.SUBSCRIBE: lambda session, *args: session._on_subscribe(*args),
    MessageType.UNSUBSCRIBE: lambda session, *args: session._on_unsubscribe(*args),
    MessageType.SUBSCRIPTION_ACK: lambda session, *args: session._on_subscription_ack(*args),
    MessageType.VERSION_CHECK: lambda session, *args: session._on_version_check(*args),
    MessageType.PROTOCOL_NEGOTIATION: lambda session, *args: session._on_negotiation(*args),
    MessageType.ERROR: lambda session, *args: session._on_error(*args),
}


def _forget_where(error: BaseException | None) -> None:
    """Let go the tracebacks: they hold the message and the events, in a cycle that Python finds only later."""
    if error:
        error.__traceback__ = None
        _forget_where(error.__cause__)
        _forget_where(error.__context__)


def _close_after(error: ProtocolError) -> CloseCode | None:
    """Checks 1 to 6 leave no trust in the stream."""
    if error.check is None or error.check > LAST_FATAL_CHECK:
        return None
    return CloseCode.TOO_LARGE if error.code is ErrorCode.MESSAGE_TOO_LARGE else CloseCode.PROTOCOL_ERROR


def _round_trip(ping: tuple[int, float], pong: Message, now: float) -> RoundTrip:
    timestamp, sent_at = ping
    elapsed = now - sent_at
    if pong.timestamp is None:
        return RoundTrip(elapsed, None)
    return RoundTrip(elapsed, seconds(pong.timestamp - timestamp) - elapsed / 2)


def _is_number(value: Any) -> bool:
    # Packers of JavaScript may write a timestamp as a float; it is exact until the year 2255.
    return isinstance(value, (int, float)) and not isinstance(value, bool)

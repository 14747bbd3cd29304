"""One side of one connection, without I/O and without a clock: bytes in, events and frames out.

The owner has the socket and the clock, and does five things, in any order:

- passes each message that arrives to ``receive``, and handles the events that it returns;
- calls ``tick`` when ``deadline()`` has passed, and handles the events that it returns;
- sends what ``next_message`` returns, as fast as the network takes it, until it returns None;
- closes the WebSocket with the code and reason of ``closing``, once that is set and ``next_message`` returns None;
- calls ``lost`` when the connection is lost.

``now`` is in seconds of any monotonic clock. ``wall_clock_us`` returns microseconds since 1970, always more than the
time before: these are the timestamps of V3 frames, which identify messages.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ..codec import SealedPayload
from ..errors import (
    AuthenticationFailed,
    InvalidDataFormat,
    InvalidProtocolVersion,
    MessageTooLarge,
    PermissionDenied,
)
from ..messages import check_received
from ..messages.rules import is_integer, shown
from ..protocol import (
    DATA_TYPES,
    HEADER_SIZES,
    LARGEST_SEQUENCE,
    LATEST_MOMENT,
    SILENT_INTERVALS,
    Capability,
    Check,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from .acknowledgements import Seen
from .control_numbers import check_numbers
from .control_payloads import new_keys, subscription_answer, version_answer
from .cost import Totals
from .events import (
    Acknowledged,
    ErrorReceived,
    Event,
    Negotiated,
    Numbered,
    OpeningRequested,
    PingUnanswered,
    Received,
    RoundTrip,
    Undelivered,
    VersionChecked,
)
from .frame_reader import is_opening
from .meter import Decoded
from .negotiation import implied, usable
from .receiver import VERSION_OF_NEGOTIATION, Receiver
from .state import TRANSITIONS, Action, Trigger
from .timestamps import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..codec import Message
    from ..messages import SubscriptionStatus
    from ..seal import Key
    from .outgoing import Binding, HistoryPart
    from .settings import Settings

ECHO_GROWTH: Final = 4
"""Maximum size of an answer, as a multiple of the frame that it answers. Old peers are sent arrays in list form, which
takes up to 2.5 times the bytes. Without the limit, it might take all memory: fifty bytes can describe a billion empty
rows."""

SMALL_ECHO: Final = 1024
"""Bytes that an answer may have in addition."""

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
"""Types that are sent in V1 frames until both sides agree. Peers that do not speak V1 accept these types in V1."""

_NO_BEGINNING: Final = (MessageType.PROTOCOL_NEGOTIATION, MessageType.ERROR)
"""Types that do not show which version the peer speaks: a server that refuses a client sends ERROR and closes."""

AGREED_ALREADY: Final = "version and capabilities are agreed already and cannot change"

SEALED_MEMORY: Final = 1024
"""Bytes of memory of the objects around a sealed payload, at most."""

_ERROR_CODES: Final = frozenset(ErrorCode)

_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)  # an int, because arithmetic on enum members is slow


class Session(Receiver):
    """The base of ``ServerSession`` and ``ClientSession``.

    Args:
        settings: those of this side.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        totals: what this peer and others may cost together; None where there are no others.

    Attributes:
        version: protocol version in which this side sends; 1 while the session is opening.
        capabilities: those that both sides have and that the version supports.
        encoding: the encoding that the peer understands; frames for ``enqueue`` need it.
        phase: how far the session has got; see ``ecgframe.session.state``.
        established: whether the peer has shown which version it speaks.
        negotiated: whether the peer has negotiated.
        closing: code and reason with which to close once ``next_message`` returns None; None while it is open.
        has_waiting: whether ``next_message`` would return a message now.
        passed: number of frames that were sent without queueing; see ``record_direct_send``.
        counters: what was received, and what ``next_message`` has sent.
    """

    __slots__ = ("_ping", "_seen")

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int], totals: Totals | None = None) -> None:
        super().__init__(settings, wall_clock_us, totals)
        self._seen = Seen()
        self._ping: tuple[int, float] | None = None

    # --- what the owner's loop calls ---

    def start(self, now: float) -> None:
        """Begin: the connection is open."""
        self._heard_at = self._sent_at = now

    def deadline(self) -> float | None:
        """Return the time of the next call to ``tick``, unless a message comes before; None if closing."""
        if self.closing:
            return None
        times = [self._silent_after(SILENT_INTERVALS if self._asked else SILENT_INTERVALS - 1)]
        if not self.has_waiting:
            times.append(self._sent_at + self._heartbeat_interval)
        if self._window.is_full:
            times.append(min(self._window.opens_at, self._answers_no_ping_after()))
        if (due := self._unacknowledged.deadline()) is not None:
            times.append(due)
        if self._reassembly is not None:
            times.append(self._reassembly.deadline(SILENT_INTERVALS * self._heartbeat_interval))
        return min(times)

    def tick(self, now: float) -> list[Event]:
        """Do what is due: send heartbeats, repeat unacknowledged messages, send a PING to a silent peer, or close."""
        events: list[Event] = []
        if self.closing:
            return events
        if self._is_decoding:  # nothing is read meanwhile
            self.heard(now)
        if now >= self._silent_after(SILENT_INTERVALS):
            self._abandon(CloseCode.INTERNAL, f"nothing received for {now - self._heard_at:.0f} s")
            return events
        for waiting in self._unacknowledged.due(now):
            self._send_again(waiting, events)
        self._drop_unfinished(now, events)
        if self.closing:
            return events
        if not self._asked and now >= self._silent_after(SILENT_INTERVALS - 1):
            self._asked = True  # an old viewer may have nothing to send, but it answers a PING
            self._say(MessageType.PING, None)
        if self._window.is_full:
            self._wait_no_longer(now, events)
        if not self.has_waiting and now >= self._sent_at + self._heartbeat_interval:
            self._say(MessageType.HEARTBEAT, None)
        return events

    def _answers_no_ping_after(self) -> float:
        return self._window.probe_sent_at + SILENT_INTERVALS * self._heartbeat_interval

    def _wait_no_longer(self, now: float, events: list[Event]) -> None:
        """Send data without an answer from the peer, if it seems never to answer.

        A peer that has answered before is most likely slow: it gets one window more, so that alerts still reach it.
        """
        if now >= self._answers_no_ping_after():
            events.append(PingUnanswered(now - self._window.probe_sent_at, self.on_its_way))
            is_slow = self._window.is_on
            self._room = self._window.give_up_on_probe(self._room, now) if is_slow else self._window.turn_off()
        else:
            self._room = self._window.look(self._room, now)
        self._note_waiting()

    def lost(self) -> list[Event]:
        """End the session after its connection. Returns ``Undelivered`` for each message that was not acknowledged."""
        given_up = [
            Undelivered(waiting.outgoing.timestamp, waiting.outgoing.type, waiting.attempts)
            for waiting in self._unacknowledged
        ]
        self._react(Trigger.LOST)
        self._unacknowledged.clear()
        self._reassembly = None
        if self._account is not None:
            self._account.close()
        self.counters.undelivered += len(given_up)
        self._discard(CloseCode.GOING_AWAY, "the connection is lost")
        return list(given_up)

    # --- what the application calls ---

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a message that the application has, if the peer asked for that."""
        if int(message.flags) & _ACK_REQUIRED and message.timestamp is not None:
            self._seen.hand_over(message.timestamp)
            self._say(MessageType.PONG, {"ack": message.timestamp, "type": int(message.type)})

    def give_up(self, timestamp: int) -> None:
        """Do not send a message again that is not acknowledged. Nothing is reported."""
        self._unacknowledged.acknowledged(timestamp)

    def answer_subscription(
        self,
        stream: str,
        status: SubscriptionStatus,
        *,
        code: ErrorCode | None = None,
        start: int | None = None,
        binding: Binding | None = None,
        keys: Sequence[Key] = (),
        reason: str | None = None,
        history: int | None = None,
        part: HistoryPart | None = None,
    ) -> None:
        """Answer SUBSCRIBE or UNSUBSCRIBE.

        Args:
            stream: its name.
            status: "subscribed", "unsubscribed" or "denied".
            code: why it was denied.
            start: the time from which messages follow, in microseconds since 1970, for a new subscription, or if
                earlier messages may be missing.
            binding: of a subscription of version 4: id and numbers of the stream.
            keys: those of a sealed stream, to be handed out.
            reason: why it was denied, for a person.
            history: the request for a history that this answers.
            part: of a history that follows.
        """
        answer = subscription_answer(
            stream,
            status,
            code=code,
            start=start,
            binding=binding,
            keys=keys,
            reason=reason,
            history=history,
            part=part,
        )
        self._say(MessageType.SUBSCRIPTION_ACK, answer)

    def hand_out(self, stream: str, keys: Sequence[Key]) -> None:
        """Send new keys of a stream that the peer has subscribed to, without a request."""
        self._say(MessageType.SUBSCRIPTION_ACK, new_keys(stream, keys))

    def ping(self, now: float) -> None:
        """Send a PING; the event ``RoundTrip`` follows. It replaces a PING that was not answered yet."""
        timestamp = self._wall_clock_us()
        self._ping = (timestamp, now)
        self._say(MessageType.PING, {"ping": timestamp})

    def check_version(self, version: int) -> None:
        """Ask whether the peer speaks the version; the event ``VersionChecked`` follows."""
        self._say(MessageType.VERSION_CHECK, {"version": version})

    # --- what was received ---

    def _accept(self, message: Message, item: Decoded, now: float, events: list[Event]) -> None:
        type = message.type
        if message.version >= 4 and self.version < 4:
            raise InvalidProtocolVersion("a V4 frame, but version 4 was not agreed on", check=Check.VERSION)
        spoken = message.version in self.settings.versions
        if not spoken and not (message.version == VERSION_OF_NEGOTIATION and type in _SAID_BEFORE_AGREEING):
            raise InvalidProtocolVersion(
                f"a V{message.version} frame; supported versions: {sorted(self.settings.versions)}",
                check=Check.VERSION,
            )
        if isinstance(message.data, SealedPayload):
            self._accept_sealed(message, item, events)
            return
        if type not in DATA_TYPES and not self.settings.validate:
            message.data = check_received(type, message.data, message.version)
        check_numbers(type, message.data)
        self.counters.received[type] += 1
        if self._assumes and spoken and type not in _NO_BEGINNING:
            self._react(Trigger.FRAME)
            self._assume(message.version, events)
        if is_opening(message):
            events.append(_opening(message))
            return
        if int(message.flags) & _ACK_REQUIRED and self._came_already(message):
            return
        if type in DATA_TYPES:
            if item.stream is not None and isinstance(message.data, dict):
                message.data.setdefault("stream", item.stream.name)  # the header has only its id
            events.append(Received(message, item.memory, item.stream, item.packed))
        elif item.stream is not None:
            events.append(Numbered(message, item.stream, item.packed, item.memory))
            if not self._takes_openings:
                self.acknowledge(message)
        else:
            self._accept_control(message.data, message, now, events)
            self.acknowledge(message)

    def _accept_sealed(self, message: Message, item: Decoded, events: list[Event]) -> None:
        """Accept a sealed message, which this side hands on unread."""
        if item.stream is None:
            raise AuthenticationFailed("a sealed message of no stream that was opened", check=Check.ENCRYPTION)
        self.counters.received[message.type] += 1
        self.counters.sealed["passed"] += 1
        if int(message.flags) & _ACK_REQUIRED and self._came_already(message):
            return
        memory = message.nbytes + SEALED_MEMORY
        if message.type in DATA_TYPES:
            events.append(Received(message, memory, item.stream))
        else:
            events.append(Numbered(message, item.stream, None, memory))

    def _accept_control(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        match message.type:
            case MessageType.HEARTBEAT:
                pass  # _admit has noted its arrival
            case MessageType.PING:
                self._on_ping(data, message, now, events)
            case MessageType.PONG:
                self._on_pong(data, message, now, events)
            case MessageType.SUBSCRIBE:
                self._on_subscribe(data, message, now, events)
            case MessageType.UNSUBSCRIBE:
                self._on_unsubscribe(data, message, now, events)
            case MessageType.SUBSCRIPTION_ACK:
                self._on_subscription_ack(data, message, now, events)
            case MessageType.VERSION_CHECK:
                self._on_version_check(data, message, now, events)
            case MessageType.PROTOCOL_NEGOTIATION:
                self._on_negotiation(data, message, now, events)
            case MessageType.ERROR:
                self._on_error(data, message, now, events)
            case MessageType.STREAM_ATTESTATION if self._takes_openings:
                raise PermissionDenied("an attestation of no stream that was opened")

    def _came_already(self, message: Message) -> bool:
        """Return whether this message was received before. If the application has it, acknowledge it again."""
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
        size = HEADER_SIZES[self.version]
        limit = min(SMALL_ECHO - size + ECHO_GROWTH * self._hearing, self.settings.max_payload)
        try:
            pong = self._encoded(MessageType.PONG, data, limit)
        except ValueError as error:  # too large, or arrays that are too deep in list form
            raise MessageTooLarge("this PING has a payload that cannot be sent back") from error
        if self._account is not None:
            self._account.charge("nbytes", pong.nbytes)
        self.enqueue(pong)

    def _on_pong(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        if not isinstance(data, dict):
            return
        if _is_number(data.get("ack")):
            if waiting := self._unacknowledged.acknowledged(data["ack"]):
                outgoing = waiting.outgoing
                next, lost = (int(data[name]) if _is_number(data.get(name)) else None for name in ("next", "lost"))
                elapsed = now - waiting.sent_at
                events.append(Acknowledged(outgoing.timestamp, outgoing.type, elapsed, next, lost or 0))
        elif (
            _is_number(data.get("sent"))  # an array cannot be compared
            and (room := self._window.answered(data["sent"], self._room, now)) is not None
        ):
            self._room = room
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
        self._say(MessageType.VERSION_CHECK, version_answer(version, self.settings.versions))

    @abstractmethod
    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_unsubscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    @abstractmethod
    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None: ...

    # --- agreeing ---

    def _require_first_negotiation(self) -> None:
        # Frames that wait are encoded already: after a change, the peer would not understand them.
        if TRANSITIONS[self.phase][Trigger.NEGOTIATION].action is Action.REFUSE:
            raise InvalidDataFormat(AGREED_ALREADY, check=Check.FIELDS)

    def _assume(self, version: int, events: list[Event]) -> None:
        """Treat the peer as an old one, which speaks that version and does not negotiate."""
        self._establish(version, implied(self.settings, version), events)

    def _establish(self, version: int, capabilities: frozenset[Capability], events: list[Event]) -> None:
        if self._reader is not None:
            self._reader.book.is_open = version >= 4
        self._speak(version, usable(capabilities, version))
        events.append(Negotiated(version, self.capabilities, self.negotiated))


def _round_trip(ping: tuple[int, float], pong: Message, now: float) -> RoundTrip:
    timestamp, sent_at = ping
    elapsed = now - sent_at
    if pong.timestamp is None or seconds(pong.timestamp) >= LATEST_MOMENT:  # no clock shows that
        return RoundTrip(elapsed, None)
    return RoundTrip(elapsed, seconds(pong.timestamp - timestamp) - elapsed / 2)


def _opening(message: Message) -> OpeningRequested:
    data = message.data
    first = data.get("first")
    if first is not None and not (is_integer(first) and 1 <= first <= LARGEST_SEQUENCE):
        raise InvalidDataFormat(
            f'data["first"] must be an integer from 1 to {LARGEST_SEQUENCE}; got {shown(first)}',
            check=Check.FIELDS,
            path='data["first"]',
        )
    return OpeningRequested(data["stream"], int(data["epoch"]), message, None if first is None else int(first))


def _is_number(value: Any) -> bool:
    # Packers of JavaScript may write a timestamp as a float; it is exact until the year 2255.
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""The client's side of a connection."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..errors import AuthenticationFailed, InvalidDataFormat, PermissionDenied, ProtocolError
from ..messages.templates import template_number
from ..protocol import DATA_TYPES, LARGEST_LENGTH, Capability, Check, CloseCode, Flag, Form, MessageType
from ..seal import NotOpened
from ..signing import Attested, Signature
from .control_numbers import check_moment
from .decoding import decode_items
from .events import AttestationTaken, Event, FramesUnopened, KeyMissing, KeysRefused, SubscriptionAnswered
from .held_frames import HELD_SECONDS, Held, HeldFrames
from .negotiation import choice, common_capabilities, usable
from .outgoing import encode_outgoing, encoding_for
from .receiver import VERSION_OF_NEGOTIATION
from .sealed_reader import NotYetOpened, SealedReader
from .sealed_streams import KeptMessage, SealedStreams, SignedPlace, can_open, window_of_history
from .session import AGREED_ALREADY, Session
from .state import Phase, Trigger
from .timestamps import microseconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from ..seal import ReplayWindow
    from ..signing import Unattested
    from .frame_reader import StreamEpoch
    from .meter import Decoded
    from .receiver import Refusal
    from .settings import Settings

SHORTEST_HEARTBEAT: Final = 0.05
"""Shortest heartbeat interval in seconds: a server that announces less cannot keep its clients busy."""

LONGEST_HEARTBEAT: Final = 86_400.0
"""Longest heartbeat interval in seconds, for servers that announce more because they mean "never"."""

MOST_KEYS_ASKED_FOR: Final = 64
"""Number of unknown keys of a connection that are reported to the owner."""

_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)
_PRIORITY: Final = int(Flag.PRIORITY)


class ClientSession(Session):
    """The side that chooses from what the server offers, and subscribes.

    Args:
        settings: this side's.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        was_refused: called with the stream and the number of a refused message; returns whether it was refused over an
            earlier connection as well. Such a message does not count among the errors that close the connection, since
            the next connection would get it again.
        sealed: the keys of the application and the positions of sealed streams; without it, there are none. It has an
            effect only with the capability ``encryption``.
    """

    __slots__ = ("_asked_for", "_give_up_waiting_at", "_held", "_is_releasing", "_sealed_streams", "_was_refused")

    def __init__(
        self,
        settings: Settings,
        wall_clock_us: Callable[[], int],
        *,
        was_refused: Callable[[StreamEpoch, int], bool] | None = None,
        sealed: SealedStreams | None = None,
    ) -> None:
        super().__init__(settings, wall_clock_us)
        self._was_refused = was_refused
        self._held = HeldFrames()
        self._is_releasing = False
        self._asked_for: set[int] = set()
        self._sealed_streams = SealedStreams() if sealed is None else sealed
        if {Capability.ENCRYPTION, Capability.SIGNING} & settings.capabilities and can_open():
            self._sealed = SealedReader(self._sealed_streams, self._stream_of)
            if self._reader is not None:
                self._reader.sealed = self._sealed
                self._sealed.templates = self._reader.book
        self._room = self._window.turn_off()  # only the server reads what a client sends, and it reads at once
        self._give_up_waiting_at = inf

    def _passes_over(self, stream: StreamEpoch, number: int) -> bool:
        return self._was_refused is not None and self._was_refused(stream, number)

    def start(self, now: float) -> None:
        """Begin: the connection is open, and the client waits for the server's offer."""
        super().start(now)
        for _, attestations in self._sealed_streams.attested_streams():
            attestations.resume(now)
        self._give_up_waiting_at = now + self.settings.negotiation_timeout

    def deadline(self) -> float | None:
        """The time at which to call ``tick`` next. See ``Session.deadline``."""
        deadline = super().deadline()
        if deadline is not None and (held := self._held.deadline()) is not None:
            deadline = min(deadline, held)
        if deadline is not None and self._sealed_streams.verifier is not None:
            waiting = [attestations.deadline for _, attestations in self._sealed_streams.attested_streams()]
            deadline = min([deadline, *waiting])
        return deadline if deadline is None or self.established else min(deadline, self._give_up_waiting_at)

    def tick(self, now: float) -> list[Event]:
        """Do what is due. See ``Session.tick``."""
        events: list[Event] = []
        if self.phase is Phase.OPENING and now >= self._give_up_waiting_at:
            old = [version for version in self.settings.versions if version < 4]
            if not old:  # version 4 is spoken only after a negotiation
                self.end(CloseCode.PROTOCOL_ERROR, "the server does not negotiate, which version 4 requires")
                return events
            self._react(Trigger.TIMEOUT)
            self._assume(min(old), events)
        if (held := self._held.deadline()) is not None and now >= held and not self.closing:
            self._try_held(now, events)
        if self._sealed_streams.verifier is not None:
            self._look_for_unattested(now, events)
        return events + super().tick(now)

    # --- sealed frames ---

    def _stream_of(self, id: int) -> StreamEpoch | None:
        """Return the stream with an id; None if it is not bound."""
        return None if self._reader is None else self._reader.stream_of(id)

    def _holds(self, item: Decoded, now: float, events: list[Event]) -> bool:
        """Hold a frame that has to wait for earlier ones, and discard one whose counter was entered meanwhile."""
        assert self._sealed is not None
        message, opened = item.result, item.opened
        if isinstance(message, ProtocolError):
            return False
        self._check_signed(message, item)
        if opened is None:
            if item.signature is None or item.stream is None:
                return False
            self._mark_stale(message, item.stream.name, item.stream.history)
            return self._came_signed(message, item)
        is_ahead = bool(int(message.flags) & _PRIORITY) or message.type is MessageType.ANOMALY_ALERT
        group = None if item.stream is None else item.stream.name
        history = None if item.stream is None else item.stream.history
        if history is None and not self._is_releasing and not is_ahead and self._held.blocks(group):
            self._hold(Held(group, item, None, item.nbytes, now + HELD_SECONDS), events, now)
            return True
        if (fault := self._sealed.enter(opened, history)) is not None:
            self.counters.sealed[fault] += 1
            return True
        self.counters.sealed["opened"] += 1
        self._mark_stale(message, opened.key.stream, history)
        return self._came_signed(message, item)

    def _mark_stale(self, message: Message, stream: str, history: int | None) -> None:
        """Mark an old message, but not one of a history, which is old because the past was asked for."""
        assert self._sealed is not None
        if history is None:
            message.stale = message.type in DATA_TYPES and self._sealed.is_stale(stream, message.data)

    def _came_signed(self, message: Message, item: Decoded) -> bool:
        """Return whether a signed message came before under another number."""
        if item.stream is None or item.signed is None:
            return False
        place = SignedPlace(item.stream.epoch, item.number, message.timestamp)
        before = self._sealed_streams.take_signed(item.stream.name, item.signed, place, item.stream.history)
        if before is None:
            return False
        self.counters.sealed[NotOpened.REPEATED] += 1
        is_handed_over = before.timestamp is not None and self._seen.is_handed_over(before.timestamp)
        if int(message.flags) & _ACK_REQUIRED and is_handed_over:
            self._say(MessageType.PONG, {"ack": message.timestamp, "type": int(message.type)})
        return True

    def _check_signed(self, message: Message, item: Decoded) -> None:
        """Note what is known of a signature, and refuse a message that must be signed and is not.

        Raises:
            AuthenticationFailed: (check 14) it is not signed, or by nobody known.
        """
        message.signature = item.signature
        if message.type not in self.settings.require_signature or item.signature is Signature.VALID:
            return
        why = "is not signed" if item.signature is None else "is signed by nobody known"
        error = AuthenticationFailed(f"a message of type {message.type.name} {why}", check=Check.SIGNATURE)
        error.reason = "signature" if item.signature is None else "signer"
        raise error

    def _note_not_opened(self, error: NotYetOpened, now: float, events: list[Event]) -> None:
        """Hold a frame whose key is unknown, and acknowledge a repetition that the application has."""
        if error.why is not NotOpened.UNKNOWN_KEY:
            self.counters.sealed[error.why] += 1
            timestamp = error.timestamp
            if error.flags & _ACK_REQUIRED and timestamp is not None and self._seen.is_handed_over(timestamp):
                self._say(MessageType.PONG, {"ack": timestamp, "type": int(error.type)})
            return
        if error.history is not None:  # nothing waits for the keys of a history, and it holds up nothing
            self.counters.sealed[error.why] += 1
            timestamp = error.timestamp or 0
            events.append(FramesUnopened(error.stream, 1, timestamp, timestamp, True, error.history))
            return
        if error.stream is not None and error.stream not in self._sealed_streams:
            self.counters.sealed[error.why] += 1  # it was in transit when the subscription ended
            return
        self._hold(Held(error.stream, None, error, len(error.frame), now + HELD_SECONDS), events, now)
        if error.key_id not in self._asked_for and len(self._asked_for) < MOST_KEYS_ASKED_FOR:
            self._asked_for.add(error.key_id)
            self.counters.sealed["keys asked for"] += 1
            events.append(KeyMissing(error.key_id, error.stream))

    def _hold(self, held: Held, events: list[Event], now: float) -> None:
        if not self._held:
            self._held.tried_at = now
        self._held.add(held)
        if not self._held.is_over():
            return
        oldest, *others = self._held.take()
        for other in others:
            self._held.add(other)
        self._release(oldest, now, events)

    def _try_held(self, now: float, events: list[Event]) -> None:
        """Hand on the held frames that can be opened now, in order, and discard those that waited too long."""
        assert self._sealed is not None
        self._sealed.has_new_keys = False
        self._held.tried_at = now
        blocked: set[str | None] = set()
        for held in self._held.take():
            if self.closing:
                return
            if held.stream in blocked or (held.sealed is not None and now < held.until and not self._knows(held)):
                blocked.add(held.stream)
                self._held.add(held)
            else:
                self._release(held, now, events)

    def _knows(self, held: Held) -> bool:
        assert self._sealed is not None
        return held.sealed is not None and self._sealed.find(held.sealed.key_id) is not None

    def _release(self, held: Held, now: float, events: list[Event]) -> None:
        """Hand on a held frame, or let it go if its key is still unknown."""
        error = held.sealed
        if error is None:
            items = [] if held.item is None else [held.item]
        elif self._knows(held):
            items = decode_items(self._codec, error.frame, self._meter())
        else:
            self.counters.sealed[error.why] += 1
            timestamp = error.timestamp or 0
            events.append(FramesUnopened(error.stream, 1, timestamp, timestamp, held.stream is not None))
            return
        self._is_releasing = True
        try:
            for item in items:
                self._receive_frame(item, held.nbytes, now, events)
        finally:
            self._is_releasing = False

    def _receive_frame(self, item: Decoded, nbytes: int, now: float, events: list[Event]) -> bool:
        goes_on = super()._receive_frame(item, nbytes, now, events)
        if self._sealed is not None and self._sealed.refused_keys is not None:
            events.append(KeysRefused(*self._sealed.refused_keys))
            self._sealed.refused_keys = None
        if goes_on and self._sealed is not None and self._sealed.has_new_keys and not self._is_releasing:
            self._try_held(now, events)  # after the event of the answer that brought the keys
        return goes_on and not self.closing

    def _establish(self, version: int, capabilities: frozenset[Capability], events: list[Event]) -> None:
        if self._sealed is not None:
            self._sealed.is_agreed = Capability.ENCRYPTION in usable(capabilities, version)
        super()._establish(version, capabilities, events)

    # --- attestations ---

    def _accept(self, message: Message, item: Decoded, now: float, events: list[Event]) -> None:
        """Accept a message, verify an attestation, and note what the next one has to name."""
        found: list[Attested | Unattested] = []
        attestations = None
        if item.stream is not None and item.stream.history is None:
            attestations = self._sealed_streams.attestations_of(item.stream.name)
        if attestations is not None and message.type is MessageType.STREAM_ATTESTATION and item.packed is not None:
            assert item.stream is not None
            try:
                found = attestations.attest(item.stream.epoch, item.number, item.packed, now)
            except AuthenticationFailed:
                self.counters.attestations["refused"] += 1
                raise
            if not found:
                self.counters.attestations["not known"] += 1
        super()._accept(message, item, now, events)
        if item.payload is not None and item.stream is not None:
            self._keep(message, item, item.stream, item.payload)
        if item.stream is None or attestations is None:
            return
        if item.digest is not None:
            late = attestations.note(item.stream.epoch, item.number, item.digest, now)
            found = [] if late is None else [late]
        self._tell_attested(item.stream.name, found, events)

    def _keep(self, message: Message, item: Decoded, stream: StreamEpoch, payload: bytes) -> None:
        """Hand a message as it was packed to who keeps it."""
        keeper = self._sealed_streams.keeper
        if keeper is None or stream.name not in self._sealed_streams:
            return
        template = None
        if int(message.form or 0) & Form.RECORD and self._reader is not None:
            template = self._reader.book.get((message.stream_id or 0, template_number(payload)))
        keeper(KeptMessage(stream.name, stream.epoch, item.number, message, payload, template))

    def _tell_attested(self, stream: str, found: list[Attested | Unattested], events: list[Event]) -> None:
        for one in found:
            kind = "attested" if isinstance(one, Attested) else "unattested"
            self.counters.attestations[kind] += len(one.numbers)
            if isinstance(one, Attested):
                self.counters.attestations["missing"] += one.missing
            events.append(AttestationTaken(stream, one))

    def _look_for_unattested(self, now: float, events: list[Event]) -> None:
        for name, attestations in self._sealed_streams.attested_streams():
            if now >= attestations.deadline and (late := attestations.expire(now)) is not None:
                self._tell_attested(name, [late], events)

    # --- streams ---

    def subscribe(
        self,
        stream: str,
        since: int | datetime | None = None,
        *,
        epoch: int | None = None,
        after: int | None = None,
        catch_up: float | None = None,
        wants_keys: bool = True,
    ) -> None:
        """Subscribe to a stream; the event ``SubscriptionAnswered`` follows.

        Args:
            stream: its name.
            since: where to resume: the timestamp of the last message without PRIORITY that this side has, in
                microseconds since 1970, or a date by the server's clock. The server first sends what followed.
            epoch: the epoch of the stream's numbers that this side knows. Left out before V4.
            after: the number of the last message in line that this side has in that epoch.
            catch_up: age in seconds of the oldest messages that the server is to send first; None for all. Servers
                that do not know it send all.
            wants_keys: False if the server is to hand out no keys, although this side has none.
        """
        request: dict[str, Any] = {"stream": stream}
        if self.version >= 4 and epoch is not None and after is not None:
            request |= {"epoch": epoch, "after": after}
        if since is not None:
            request["since"] = since if isinstance(since, datetime) else seconds(since)
        if catch_up is not None and len(request) > 1:
            request["catch_up"] = catch_up
        has_keys = not wants_keys or self._sealed_streams.has_own_keys(stream)
        if self._sealed is not None and self._sealed.is_agreed and has_keys:
            request["keys"] = False
        if self._reader is not None:
            self._reader.asked.add(stream)
        if len(request) > 1:
            self._forget_unfinished(stream)  # it comes again, whole
        self._say(MessageType.SUBSCRIBE, request)

    def _forget_unfinished(self, stream: str) -> None:
        """Drop an unfinished message of a stream, and ignore its later fragments."""
        if self._reassembly is not None and self._reader is not None:
            book = self._reader.book
            self._reassembly.forget(lambda id: book.is_live(id, stream))

    def ask_history(
        self,
        stream: str,
        number: int,
        start: int,
        stop: int | None = None,
        *,
        window: ReplayWindow | None = None,
        wants_keys: bool = True,
    ) -> None:
        """Ask for messages of a stream that the server keeps; the event ``SubscriptionAnswered`` follows.

        Args:
            stream: its name.
            number: of the request, not in use for another one of the stream.
            start: the time of the first one, in microseconds since 1970.
            stop: the time of the last one; None for now.
            window: the counters of sealed messages of the history that were received before, over an earlier connection
                or in an earlier part; None if there were none.
            wants_keys: False if the server is to hand out no keys, although this side has none.
        """
        request: dict[str, Any] = {"stream": stream, "history": number, "start": seconds(start)}
        if stop is not None:
            request["stop"] = seconds(stop)
        if self._sealed is not None:
            if self._sealed.is_agreed and (not wants_keys or self._sealed_streams.has_own_keys(stream)):
                request["keys"] = False
            self._sealed.begin_history(stream, number, window_of_history() if window is None else window)
        if self._reader is not None:
            self._reader.histories.add((stream, number))
        self._say(MessageType.SUBSCRIBE, request)

    def end_history(self, stream: str, number: int) -> None:
        """Ask for no more of a history; the event ``SubscriptionAnswered`` follows."""
        if self._reader is not None:
            self._reader.histories.discard((stream, number))
        self._say(MessageType.UNSUBSCRIBE, {"stream": stream, "history": number})

    def forget_history(self, stream: str, number: int) -> None:
        """Let go of what is in transit of a history that was ended, unread: it is to be requested again."""
        if self._reader is not None:
            self._reader.book.unbind(stream, number)

    def unsubscribe(self, stream: str) -> None:
        """Unsubscribe from a stream; the event ``SubscriptionAnswered`` follows."""
        if self._reader is not None:
            self._reader.asked.discard(stream)
        self._say(MessageType.UNSUBSCRIBE, {"stream": stream})

    def _on_negotiation(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        self._require_first_negotiation()
        if data.get("versions") is None:
            raise InvalidDataFormat("a server offers a list of versions, not one", check=Check.FIELDS)
        answer = choice(self.settings, data)
        self._react(Trigger.NEGOTIATION)
        # The answer is a V1 frame, even if another version was assumed.
        outgoing = encode_outgoing(
            encoding_for(VERSION_OF_NEGOTIATION, frozenset()),
            MessageType.PROTOCOL_NEGOTIATION,
            answer,
            timestamp=self._wall_clock_us(),
            settings=self.settings,
        )
        self.enqueue(outgoing)
        if data.get("heartbeat_interval") is not None:
            announced = float(data["heartbeat_interval"])
            self._heartbeat_interval = min(max(announced, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)
        if data.get("max_payload") is not None:
            self._max_payload_of_peer = min(int(data["max_payload"]), LARGEST_LENGTH)
        self._establish(answer["version"], common_capabilities(self.settings, data), events)

    def _refusal_of(self, type: MessageType, is_broadcast: bool) -> Refusal | None:
        if type is MessageType.SUBSCRIBE or type is MessageType.UNSUBSCRIBE:
            return PermissionDenied, "a client has no streams to subscribe to"
        if type is MessageType.PROTOCOL_NEGOTIATION and self.negotiated:
            return InvalidDataFormat, AGREED_ALREADY
        return None

    def _on_subscribe(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        raise AssertionError("refused by its header")

    _on_unsubscribe = _on_subscribe

    def _on_subscription_ack(self, data: Any, message: Message, now: float, events: list[Event]) -> None:
        if self._sealed is not None and self._sealed.is_agreed and data.get("rotation") is True:
            return  # it only brings keys, which are taken already
        code, start = data.get("code"), data.get("from")
        reason = data.get("reason")
        if message.version >= 4 and data.get("history") is not None and data["status"] != "subscribed":
            self._note_end_of_history(data["stream"], int(data["history"]))
        events.append(
            SubscriptionAnswered(
                data["stream"],
                data["status"],
                None if code is None else int(code),
                None if start is None else microseconds(start),
                message.timestamp,
                data.get("epoch") if message.version >= 4 else None,
                data.get("next") if message.version >= 4 else None,
                data.get("ended") if message.version >= 4 else None,
                reason if isinstance(reason, str) else None,
                *_history_of(data, message.version),
            )
        )

    def _note_end_of_history(self, stream: str, number: int) -> None:
        if self._reader is not None:
            self._reader.histories.discard((stream, number))
        if self._sealed is not None:
            self._sealed.end_history(stream, number)


def _history_of(data: Any, version: int) -> tuple[int | None, int | None, int | None]:
    """Return what an answer says of a history: the request, the number after its last message, the time of more."""
    if version < 4 or data.get("history") is None:
        return None, None, None
    check_moment(data, "more")
    end, more = data.get("end"), data.get("more")
    return int(data["history"]), None if end is None else int(end), None if more is None else microseconds(more)

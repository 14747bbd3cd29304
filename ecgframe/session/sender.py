"""The sending half of a session: the queue, its order, batches, and messages that need an acknowledgement."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._core import Recipient
from ..protocol import (
    HEADER_SIZES,
    LARGEST_LENGTH,
    MAX_BATCH_FRAMES,
    MAX_BATCH_PAYLOAD,
    Capability,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from .acknowledgements import Unacknowledged, Waiting
from .counters import Counters
from .events import Event, Undelivered
from .outgoing import TIMED_VERSIONS, Encoding, Outgoing, Tier, codec_for, encode_outgoing, encoding_for
from .send_queue import Loss, SendQueue
from .send_window import SendWindow
from .state import TRANSITIONS, Action, Phase, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Settings


_IN_TRANSIT: Final = 5
"""Quarters of a piece that may be in transit for another one to be sent. So two pieces are in transit at most on a slow
path, which keeps it busy: while one arrives, the next is sent."""


STALLED_BYTES: Final = 128 * 1024
"""Bytes of memory that the LIVE frames may take which wait for a peer that has not answered a PING for
``Settings.live_seconds``, such as a tab that is frozen. It will want the present when it goes on."""


class Close(NamedTuple):
    """How a connection is to be closed."""

    code: CloseCode
    reason: str


class Sender(Recipient):
    """The sending half of both kinds of session. ``Session`` documents the attributes."""

    # A server has thousands of sessions and touches each of them for each frame: slots need less memory than a dict.
    __slots__ = (
        "_assumes",
        "_batches",
        "_codec_of_peer",
        "_cut_above",
        "_is_narrow",
        "_max_payload_of_peer",
        "_open_phase",
        "_queue",
        "_receives",
        "_sends",
        "_unacknowledged",
        "_wall_clock_us",
        "_window",
        "capabilities",
        "counters",
        "phase",
        "settings",
        "version",
    )

    version: int
    capabilities: frozenset[Capability]
    closing: Close | None
    encoding: Encoding

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int]) -> None:
        super().__init__()
        self.settings = settings
        self._enter(Phase.OPENING)
        self.counters = Counters()
        self._wall_clock_us = wall_clock_us
        self._queue = SendQueue(settings.queue_frames, settings.queue_bytes)
        self._unacknowledged = Unacknowledged(settings.acknowledgement_timeout, settings.acknowledgement_attempts)
        self._window = SendWindow()
        self._room = self._window.first_room()
        self._max_payload_of_peer: int | None = None
        self._is_narrow = False
        self._speak(1, frozenset())

    def _speak(self, version: int, capabilities: frozenset[Capability]) -> None:
        """Use that version and those capabilities for everything that is sent from now on."""
        self.version = version
        self.capabilities = capabilities
        self.encoding = encoding_for(version, capabilities)
        self._codec_of_peer = codec_for(self.encoding, self.settings.compression, LARGEST_LENGTH)
        self._batches = Capability.BATCH in capabilities
        self._cut_above: float = inf
        if version >= 4 and Capability.FRAGMENTS in capabilities:
            self._cut_above = HEADER_SIZES[version] + self.settings.fragment_bytes

    @property
    def timed(self) -> bool:
        """True if frames have timestamps in their headers."""
        return self.version in TIMED_VERSIONS

    # --- what the owner's loop calls ---

    def next_message(self, now: float) -> bytes | None:
        """The next WebSocket message to send: a frame, or several if both sides support batches; None if none waits."""
        message = self._next_message(now)
        self._note_waiting()
        return message

    def _next_message(self, now: float) -> bytes | None:
        window = self._window
        if self._room < 0 and self._queue.has_data and not (window.is_full and now < window.full_until):
            self._room = window.look(self._room, now)
        if window.is_to_ask:
            return self._send_probe(now)
        if window.is_full:
            urgent = self._queue.pop_urgent()
            return None if urgent is None else self._sent_alone(urgent, now)
        if self.settings.live_seconds < inf:
            self._expire(now)
        if (lost := self._queue.pop_loss()) is not None:
            return self._loss_notice(*lost, now)
        outgoing = self._queue.peek()
        return None if outgoing is None else self._next_of_queue(outgoing, now)

    def _next_of_queue(self, outgoing: Outgoing, now: float) -> bytes | None:
        """The next message of the queue, which begins with that frame. None if it has to wait for the peer."""
        if outgoing.divisible:
            is_cut = outgoing.nbytes > self._cut_above
            is_narrow = is_cut or self._queue.is_cutting or self._queue.has_bulk
            if is_narrow is not self._is_narrow:
                self._set_window(now, is_narrow=is_narrow)
                if self._window.is_to_ask:
                    return self._send_probe(now)
                if self._window.is_full:
                    return None
            if is_cut:
                return self._next_fragment(now)
        self._queue.pop()
        # A deflated frame is sent alone: receivers limit what all frames of one message may inflate to.
        if outgoing.deflated or not (self._batches and self._queue.frames):
            return self._sent_alone(outgoing, now)
        self._note_sent(outgoing, now)
        return self._batch_from(outgoing, now)

    @property
    def holds_data(self) -> bool:
        """True if data waits until the peer confirms how far it has read; see ``SendWindow``."""
        return self._window.is_full

    @property
    def is_to_ask(self) -> bool:
        """True if the next message is a PING that asks how far the peer has read."""
        return self._window.is_to_ask

    @property
    def on_its_way(self) -> int:
        """Bytes that were sent but not confirmed; 0 if the peer has never answered a PING."""
        return self._window.on_its_way(self._room)

    @property
    def max_payload_of_peer(self) -> int | None:
        """Largest payload for the peer, in bytes, as announced; None if it was not. For a server, at most its own."""
        return self._max_payload_of_peer

    @property
    def next_bytes(self) -> int:
        """Bytes of the next frame; 0 if no frame can be sent now."""
        if self._window.is_full and not self._queue.has_urgent:
            return 0
        outgoing = self._queue.peek()
        return 0 if outgoing is None else outgoing.nbytes

    @property
    def queued_frames(self) -> int:
        """Frames that wait to be sent."""
        return self._queue.frames

    @property
    def queued_by_class(self) -> tuple[int, ...]:
        """Frames of each class that wait to be sent, in the order of ``Tier``."""
        return self._queue.by_class

    def oldest_queued_at(self, now: float) -> float:
        """When the oldest waiting frame of the class LIVE was queued, in seconds; ``now`` if none waits."""
        return min(self._queue.oldest_at, now)

    @property
    def has_bulk(self) -> bool:
        """True if messages of the class BULK wait."""
        return self._queue.has_bulk

    @property
    def queued_bulk_bytes(self) -> int:
        """Bytes of the class BULK that wait to be sent."""
        return self._queue.bulk_bytes

    @property
    def queued_answers(self) -> int:
        """Bytes of memory that control messages take which wait to be sent."""
        return self._queue.answers

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._queue.nbytes

    # --- what the application calls ---

    def send(
        self,
        type: MessageType,
        data: Any,
        *,
        flags: Flag | int = 0,
        timestamp: int | None = None,
        stream: str | None = None,
    ) -> Outgoing:
        """Encode a message for this peer and queue it.

        Flags and forms that the peer does not understand are left out. Raises as ``encode_outgoing`` does.
        """
        outgoing = encode_outgoing(
            self.encoding,
            type,
            data,
            timestamp=self._wall_clock_us() if timestamp is None else timestamp,
            settings=self.settings,
            flags=flags,
            stream=stream,
            max_payload=self._limit_of(type),
        )
        self.enqueue(outgoing)
        return outgoing

    def _limit_of(self, type: MessageType) -> int | None:
        """Largest payload of messages of a type for the peer, in bytes; None if it has not announced any."""
        return self._max_payload_of_peer

    def enqueue(self, outgoing: Outgoing, now: float = inf) -> None:
        """Queue a frame that was encoded for this peer's ``encoding``.

        If the queue is full, the oldest waveform frames are dropped, which is reported to the peer. If nothing can be
        dropped, the connection is closed with 1013. A session that is closing discards the frame.

        Args:
            outgoing: the frame.
            now: the time, in seconds, from which on ``Settings.live_seconds`` count; without it, they do not.
        """
        if not self._sends:
            if outgoing.acknowledged and len(self._unacknowledged) < self.settings.max_unacknowledged:
                self._unacknowledged.add(outgoing)  # so that ``lost`` reports it
            return
        if outgoing.acknowledged:
            self._unacknowledged.add(outgoing)
        try:
            self.counters.dropped += self._queue.put(outgoing, now)
        except OverflowError as error:
            self._abandon(CloseCode.TRY_LATER, str(error))
            return
        if self._window.is_full:
            self._keep_little(now)
        self._note_waiting()
        if len(self._unacknowledged) > self.settings.max_unacknowledged:
            self._abandon(CloseCode.TRY_LATER, f"{len(self._unacknowledged)} messages wait for their acknowledgement")

    def first_waiting(self, stream: str, id: int | None = None) -> int | None:
        """Return the number of the first message of a stream that waits and was never sent; None if none waits.

        Args:
            stream: its name.
            id: its number in this direction, if messages of an earlier epoch, which have another one, do not count.
        """
        waiting = (each for each in self._queue.data_of(stream) if id is None or each.stream_id == id)
        numbers = (each.number for each in waiting if not (each.acknowledged and self._unacknowledged.was_sent(each)))
        return next((number for number in numbers if number is not None), None)

    def take_back(self, stream: str) -> list[Event]:
        """Discard the data of a stream that waits to be sent, as its subscription ends or begins anew.

        Otherwise it would arrive after the answer, which is sent before all data, and look like what follows the
        answer. Messages that overtake stay, as they are sent before the answer. Nothing counts as dropped: the peer
        either has no subscription any more, or is answered from which message on it gets the stream.

        Returns:
            ``Undelivered`` for each message that needs an acknowledgement and was never sent. Those that were sent may
            still be acknowledged, but are not sent again.
        """
        self._queue.take_back(stream)
        self._note_waiting()
        unsent = self._unacknowledged.take_back(stream)
        self.counters.undelivered += len(unsent)
        return [Undelivered(one.outgoing.timestamp, one.outgoing.type, 0) for one in unsent]

    def record_direct_send(self, outgoing: Outgoing, now: float) -> bool:
        """Note that the owner sends a frame now, without queueing it. Returns False if it has to be queued instead.

        A frame has to be queued if others wait, if it needs an acknowledgement, or if it is to be cut. This is the
        fast path for streams with thousands of viewers: it touches no object but the session, as each other object
        would be a cache miss. The owner counts these frames by type and size, once for all viewers.
        """
        return not outgoing.queued and self.record_direct_sends(outgoing.nbytes, 1, now)

    def record_direct_sends(self, nbytes: int, frames: int, now: float) -> bool:
        """Note that the owner sends several frames now, in one message. See ``record_direct_send``.

        None of them needs an acknowledgement, or is to be cut.

        Args:
            nbytes: bytes of all of them.
            frames: their number.
            now: in seconds of the owner's clock.
        """
        if self.has_waiting or self.closing:
            return False
        if self._room < 0:
            window = self._window
            if window.is_full and now < window.full_until:
                return False
            self._room = window.look(self._room, now)
            if window.is_full or window.is_to_ask or self._queue.frames:  # data that waited for an answer comes first
                return False
        self.record_sent(nbytes, frames, now)
        return True

    def end(self, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection after urgent and control messages are sent; waiting data is discarded."""
        if self._react(Trigger.END) is Action.FLUSH:
            self._queue.discard_data()
            self._note_waiting()
            self.closing = Close(code, _reason(reason))

    # --- phases ---

    @property
    def established(self) -> bool:
        """True if the peer has shown, by a frame or by negotiating, which version it speaks. Still true once closed."""
        return self._open_phase is not Phase.OPENING

    @property
    def negotiated(self) -> bool:
        """True if the peer has negotiated. Still true once closed."""
        return self._open_phase is Phase.NEGOTIATED

    def _react(self, trigger: Trigger) -> Action:
        """Move to the next phase, and return the action for the trigger. See ``state``."""
        phase, action = TRANSITIONS[self.phase][trigger]
        if phase is not self.phase:
            self._enter(phase)
        return action

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if phase <= Phase.NEGOTIATED:
            self._open_phase = phase
        # Each message needs these three rows of the table: an attribute is faster than a lookup.
        row = TRANSITIONS[phase]
        self._receives = row[Trigger.MESSAGE].action is Action.PROCEED
        self._sends = row[Trigger.SEND].action is Action.PROCEED
        self._assumes = Trigger.FRAME in row and row[Trigger.FRAME].action is Action.ASSUME

    # --- frames on their way ---

    def _say(self, type: MessageType, data: Any) -> None:
        """Queue a control message. These are small, so no limit applies."""
        self.enqueue(self._encoded(type, data))

    def _encoded(self, type: MessageType, data: Any, max_payload: int = LARGEST_LENGTH) -> Outgoing:
        return encode_outgoing(
            self.encoding,
            type,
            data,
            timestamp=self._wall_clock_us(),
            settings=self.settings,
            max_payload=max_payload,
        )

    def _note_waiting(self) -> None:
        queue = self._queue
        window = self._window
        self.has_waiting = window.is_to_ask or (queue.has_urgent if window.is_full else queue.has_waiting)

    def _send_probe(self, now: float) -> bytes:
        """The PING that asks the peer how far it has read. It is not queued, so only its frame is needed."""
        counters = self.counters
        probe, self._room = self._window.asked(self._room, now)
        timestamp = self._wall_clock_us() if self.timed else None
        frame = self._codec_of_peer.encode(MessageType.PING, {"sent": probe}, timestamp=timestamp)
        self._room -= len(frame)
        self._sent_at = now
        counters.sent[MessageType.PING] += 1
        counters.sent_bytes += len(frame)
        return frame

    def _sent_alone(self, outgoing: Outgoing, now: float) -> bytes:
        self._note_sent(outgoing, now)
        return outgoing.frame

    def _note_sent(self, outgoing: Outgoing, now: float) -> None:
        self._room -= outgoing.nbytes
        self._sent_at = now
        self.counters.sent[outgoing.type] += 1
        self.counters.sent_bytes += outgoing.nbytes
        if outgoing.acknowledged:
            self._unacknowledged.sent(outgoing, now)

    def _keep_little(self, now: float) -> None:
        """Drop what has waited for too long, and more if the peer seems to take nothing any more.

        Args:
            now: the time, in seconds; infinity if it is not known.
        """
        seconds = self.settings.live_seconds
        if not now - seconds < inf:
            return
        self._expire(now)
        if self._window.probe is not None and now - self._window.probe_sent_at > seconds:
            self.counters.dropped += self._queue.shrink(STALLED_BYTES)

    def _expire(self, now: float) -> None:
        """Drop data that has waited for too long."""
        if expired := self._queue.expire(now - self.settings.live_seconds):
            self.counters.dropped += expired
            self.counters.expired += expired

    def _next_fragment(self, now: float) -> bytes:
        """The next fragment of the data that is sent next."""
        outgoing, fragment, is_last = self._queue.pop_fragment(self.settings.fragment_bytes)
        self._room -= len(fragment)
        self._sent_at = now
        self.counters.sent_bytes += len(fragment)
        self.counters.fragments_sent += 1
        if is_last:
            self.counters.sent[outgoing.type] += 1
            if outgoing.acknowledged:
                self._unacknowledged.sent(outgoing, now)
            if not self._queue.has_data:
                self._set_window(now, is_narrow=False)
        return fragment

    def _set_window(self, now: float, *, is_narrow: bool) -> None:
        """Allow less in transit while fragments or BULK are sent, as others go between them."""
        self._is_narrow = is_narrow
        if is_narrow:
            self._room = self._window.narrow(_IN_TRANSIT * self.settings.fragment_bytes // 4, self._room, now)
        else:
            self._room = self._window.widen(self._room, now)

    def _batch_from(self, first: Outgoing, now: float) -> bytes:
        frames = [first.frame]
        settings = self.settings
        room = settings.batch_bytes - first.nbytes
        unpacked_room = MAX_BATCH_PAYLOAD
        while (following := self._queue.peek()) and following.nbytes <= room and len(frames) < MAX_BATCH_FRAMES:
            unpacked_room -= following.weight
            if unpacked_room < 0 or following.deflated or (self._queue.losses and following.tier >= Tier.LIVE):
                break  # the notice about dropped frames has to be sent before
            if following.nbytes > self._cut_above and following.divisible:
                break  # a fragment is sent alone
            if following.tier is Tier.BULK and settings.batch_bytes - room + following.nbytes > settings.fragment_bytes:
                break  # what overtakes would wait for all of the batch
            self._queue.pop()
            self._note_sent(following, now)
            frames.append(following.frame)
            room -= following.nbytes
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _loss_notice(self, stream: str | None, loss: Loss, now: float) -> bytes:
        """The ERROR that reports to the peer which frames were dropped."""
        return self._sent_alone(self._encoded(MessageType.ERROR, _loss_error(stream, loss)), now)

    def _send_again(self, waiting: Waiting, events: list[Event]) -> None:
        outgoing = waiting.outgoing
        if self._unacknowledged.is_spent(waiting):
            self._unacknowledged.acknowledged(outgoing.timestamp)
            self.counters.undelivered += 1
            events.append(Undelivered(outgoing.timestamp, outgoing.type, waiting.attempts))
        else:
            self.counters.resent += 1
            self.enqueue(outgoing)

    def _abandon(self, code: CloseCode, reason: str) -> None:
        """Close at once: the peer is silent, or too slow for frames that must not be dropped."""
        self._react(Trigger.ABANDON)
        self._discard(code, reason)

    def _discard(self, code: CloseCode, reason: str) -> None:
        """Discard everything that waits, and close."""
        self._queue.clear()
        self.has_waiting = False
        self.closing = self.closing or Close(code, _reason(reason))


def _loss_error(stream: str | None, loss: Loss) -> dict[str, Any]:
    return {
        "code": int(ErrorCode.RATE_LIMIT_EXCEEDED),
        "message": f"{loss.frames} frames were dropped: they came faster than this connection takes them",
        "details": loss.details(stream),
    }


def _reason(text: str) -> str:
    """The text, cut to the 123 bytes of UTF-8 that fit into a close frame."""
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")

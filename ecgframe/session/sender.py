"""The way out of a session: what waits to be sent, in which order it goes, and what of it is to be acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..protocol import LARGEST_LENGTH, MAX_BATCH_FRAMES, Capability, CloseCode, ErrorCode, Flag, MessageType
from .acknowledgements import Unacknowledged, Waiting
from .counters import Counters
from .events import Event, Undelivered
from .outgoing import TIMED_VERSIONS, Encoding, Outgoing, Tier, codec_for, encode_outgoing, encoding_for
from .send_queue import Loss, SendQueue
from .send_window import SendWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Settings


class Close(NamedTuple):
    """How a connection is to be closed."""

    code: CloseCode
    reason: str


class Sender:
    """What both sides do to send. ``Session`` says what its attributes are."""

    version: int
    capabilities: frozenset[Capability]
    encoding: Encoding

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int]) -> None:
        self.settings = settings
        self.closing: Close | None = None
        self.has_waiting = False
        self.passed = 0
        self.counters = Counters()
        self._wall_clock_us = wall_clock_us
        self._queue = SendQueue(settings.queue_frames, settings.queue_bytes)
        self._unacknowledged = Unacknowledged(settings.acknowledgement_timeout, settings.acknowledgement_attempts)
        self._window = SendWindow()
        self._max_payload_of_peer: int | None = None
        self._sent_at = 0.0
        self._speak(1, frozenset())

    def _speak(self, version: int, capabilities: frozenset[Capability]) -> None:
        """Send in that version from now on, with those capabilities of it."""
        self.version = version
        self.capabilities = capabilities
        self.encoding = encoding_for(version, capabilities)
        self._codec_of_peer = codec_for(self.encoding, self.settings.compression, LARGEST_LENGTH)
        self._batches = Capability.BATCH in capabilities

    @property
    def timed(self) -> bool:
        """Whether frames have timestamps in their headers."""
        return self.version in TIMED_VERSIONS

    # --- what the owner's loop calls ---

    def next_message(self, now: float) -> bytes | None:
        """The next WebSocket message to send: a frame, or several where both sides can batch; None when none waits."""
        message = self._next_message(now)
        self._note_waiting()
        return message

    def _next_message(self, now: float) -> bytes | None:
        window = self._window
        if window.room < 0 and self._queue.has_data:
            window.look(now)
        if window.is_to_ask:
            return self._ask_how_far_it_is(now)
        if window.is_full:
            urgent = self._queue.pop_urgent()
            return None if urgent is None else self._sent_alone(urgent, now)
        if (lost := self._queue.pop_loss()) is not None:
            return self._loss_notice(*lost, now)
        outgoing = self._queue.pop()
        if outgoing is None:
            return None
        # A deflated frame travels alone: a receiver bounds what the frames of one message may inflate to.
        if outgoing.deflated or not (self._batches and self._queue.frames):
            return self._sent_alone(outgoing, now)
        self._note_sent(outgoing, now)
        return self._batch_from(outgoing, now)

    @property
    def holds_data(self) -> bool:
        """Whether data waits for the peer to tell how far it has read; see ``SendWindow``."""
        return self._window.is_full

    @property
    def on_its_way(self) -> int:
        """Bytes that were sent and are not known to have arrived; 0 where the peer has never answered a PING."""
        return self._window.on_its_way

    @property
    def max_payload_of_peer(self) -> int | None:
        """Bytes that a payload for this peer may have; None where it has not said."""
        return self._max_payload_of_peer

    @property
    def next_bytes(self) -> int:
        """Bytes of the frame that goes next; 0 where none waits that may go now."""
        if self._window.is_full and not self._queue.has_urgent:
            return 0
        outgoing = self._queue.peek()
        return 0 if outgoing is None else outgoing.nbytes

    @property
    def queued_frames(self) -> int:
        """Frames that wait to be sent."""
        return self._queue.frames

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
        """Encode a message for this peer and let it wait to be sent.

        Flags and forms that the peer does not understand are left out. See ``encode_outgoing`` for what is raised.
        """
        outgoing = encode_outgoing(
            self.encoding,
            type,
            data,
            timestamp=self._wall_clock_us() if timestamp is None else timestamp,
            settings=self.settings,
            flags=flags,
            stream=stream,
            max_payload=self._max_payload_of_peer,
        )
        self.enqueue(outgoing)
        return outgoing

    def enqueue(self, outgoing: Outgoing) -> None:
        """Let a frame wait that is encoded for this peer's ``encoding``.

        Where there is no room, the oldest waveform frames are dropped and the peer is told; where nothing may be
        dropped any more, the connection is to be closed with 1013. When it is closing already, the frame is let go.
        """
        if self.closing:
            if outgoing.acknowledged and len(self._unacknowledged) < self.settings.max_unacknowledged:
                self._unacknowledged.add(outgoing)  # so that ``lost`` tells of it
            return
        if outgoing.acknowledged:
            self._unacknowledged.add(outgoing)
        try:
            self.counters.dropped += self._queue.put(outgoing)
        except OverflowError as error:
            self._abandon(CloseCode.TRY_LATER, str(error))
            return
        self._note_waiting()
        if len(self._unacknowledged) > self.settings.max_unacknowledged:
            self._abandon(CloseCode.TRY_LATER, f"{len(self._unacknowledged)} messages wait for their acknowledgement")

    def record_direct_send(self, outgoing: Outgoing, now: float) -> bool:
        """Tell whether a frame need not wait; the owner then sends it at once, by itself.

        For a stream's many viewers that keep up. Between two frames of a viewer, thousands of others had theirs, and
        whatever this looks at has left the processor's caches: so it looks at this object alone, and leaves it to the
        owner to count by type and size, once for all viewers. False where the frame is to be queued: something else
        waits, or it is to be acknowledged.
        """
        if self.has_waiting or outgoing.acknowledged or self.closing:
            return False
        window = self._window
        if window.room < 0:
            window.look(now)
            if window.is_full or window.is_to_ask or self._queue.frames:  # data that waited for an answer goes first
                return False
        window.room -= outgoing.nbytes
        self._sent_at = now
        self.passed += 1
        return True

    def end(self, code: CloseCode = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection once urgent and control messages have left; data that waits is let go."""
        if not self.closing:
            self._queue.let_data_go()
            self._note_waiting()
            self.closing = Close(code, _reason(reason))

    # --- frames on their way ---

    def _say(self, type: MessageType, data: Any) -> None:
        """Send a control message. No limit of size applies: it is small."""
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

    def _ask_how_far_it_is(self, now: float) -> bytes:
        """The PING that asks the peer how far it has read. It waits in no queue, so the frame is all that is needed."""
        window, counters = self._window, self.counters
        timestamp = self._wall_clock_us() if self.timed else None
        frame = self._codec_of_peer.encode(MessageType.PING, {"sent": window.asked(now)}, timestamp=timestamp)
        window.room -= len(frame)
        self._sent_at = now
        counters.sent[MessageType.PING] += 1
        counters.sent_bytes += len(frame)
        return frame

    def _sent_alone(self, outgoing: Outgoing, now: float) -> bytes:
        self._note_sent(outgoing, now)
        return outgoing.frame

    def _note_sent(self, outgoing: Outgoing, now: float) -> None:
        self._window.room -= outgoing.nbytes
        self._sent_at = now
        self.counters.sent[outgoing.type] += 1
        self.counters.sent_bytes += outgoing.nbytes
        if outgoing.acknowledged:
            self._unacknowledged.sent(outgoing, now)

    def _batch_from(self, first: Outgoing, now: float) -> bytes:
        frames = [first.frame]
        room = self.settings.batch_bytes - first.nbytes
        while (following := self._queue.peek()) and following.nbytes <= room and len(frames) < MAX_BATCH_FRAMES:
            if following.deflated or (self._queue.losses and following.tier is Tier.DATA):
                break  # of what is lost the peer is to be told before
            self._queue.pop()
            self._note_sent(following, now)
            frames.append(following.frame)
            room -= following.nbytes
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _loss_notice(self, stream: str | None, loss: Loss, now: float) -> bytes:
        """The ERROR that tells the peer of frames it could not take."""
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
        """Close at once: the peer takes nothing, or is no longer there."""
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
    """What a WebSocket close frame has room for: 123 bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:123].decode("utf-8", "ignore")

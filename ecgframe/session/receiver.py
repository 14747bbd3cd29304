"""The receiving half of a session: what a message may cost, which of its frames are accepted, and what is refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .._core import flatten
from .._core.form import version_bits
from ..codec import Codec
from ..errors import InvalidDataFormat, InvalidProtocolVersion, MessageTooLarge, ProtocolError, forget_where
from ..protocol import (
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
from .control_payloads import error_body
from .cost import Account, Totals
from .decoding import Decoding, decode_items
from .events import Event, FrameRefused
from .frame_reader import FrameReader
from .meter import BudgetExceeded, Decoded, FrameMeter, too_much
from .rate_limit import ErrorBudget
from .reassembly import Reassembly, incomplete, is_fragment
from .sealed_reader import NotYetOpened
from .sender import Sender
from .stream_book import FrameOfEndedStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from .._core._header import Header
    from ..codec import Message
    from .frame_reader import StreamEpoch
    from .sealed_reader import SealedReader
    from .settings import Settings

RATE_ERROR_PAUSE: Final = 1.0
"""Seconds between two ERRORs to a peer that sends too fast."""

LONGEST_PAUSE: Final = 0.1
"""Longest time in seconds for which a peer that exceeded its budget is not read."""

VERSION_OF_NEGOTIATION: Final = 1
"""The version of the frames that are sent until both sides agree."""

_ANSWERS: Final = frozenset(
    {MessageType.PONG, MessageType.SUBSCRIPTION_ACK, MessageType.VERSION_CHECK, MessageType.ERROR}
)
"""Types that are sent only as answers to the peer."""

_BROADCAST: Final = int(Flag.BROADCAST)  # an int, because arithmetic on enum members is slow

Refusal = tuple[type[ProtocolError], str]
"""The class and the text of the error for which a frame is refused."""


class Receiver(Sender, ABC):
    """The receiving half of both kinds of session. ``Session`` documents the arguments and attributes."""

    __slots__ = (
        "_account",
        "_asked",
        "_budget",
        "_codec",
        "_denied_at",
        "_heard_at",
        "_hearing",
        "_heartbeat_interval",
        "_is_decoding",
        "_pause",
        "_rate_error_at",
        "_reader",
        "_reassembly",
        "_sealed",
        "_version_bits",
        "_versions",
    )

    def __init__(self, settings: Settings, wall_clock_us: Callable[[], int], totals: Totals | None = None) -> None:
        super().__init__(settings, wall_clock_us)
        self._versions = frozenset({*settings.versions, VERSION_OF_NEGOTIATION})
        self._version_bits = version_bits(self._versions)
        self._codec = self._make_codec(settings.max_payload)
        self._reader: FrameReader | None = None
        if settings.latest_version >= 4:
            self._reader = FrameReader(self._codec, takes_openings=self._takes_openings)
        self._sealed: SealedReader | None = None
        self._reassembly: Reassembly | None = None  # most peers send no fragment
        self._is_decoding = False
        self._account = Account(settings.rate_limit, totals) if settings.rate_limit else None
        self._budget = ErrorBudget()
        self._rate_error_at = self._denied_at = -inf
        self._pause = 0.0
        self._heartbeat_interval = settings.heartbeat_interval
        self._asked = False
        self._hearing = 0
        self._heard_at = 0.0

    # --- what the owner's loop calls ---

    def receive(self, data: Buffer, now: float) -> list[Event]:
        """Process a binary WebSocket message, which holds one frame or several end to end.

        This never raises: for an invalid frame, the peer is sent an ERROR, the events include ``FrameRefused``, and
        ``closing`` may be set. Arrays in binary form are views of ``data``, which must not change afterwards.
        """
        nbytes = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        events: list[Event] = []
        if self._admit(nbytes, now, events) and (whole := self._put_together(data, nbytes, now, events)) is not None:
            self._receive_frames(whole, nbytes if whole is data else memoryview(whole).nbytes, now, events)
        return events

    def begin_to_receive(self, data: Buffer, now: float, at_once: int) -> list[Event] | Decoding:
        """Process a message as ``receive`` does, but leave large ones to a thread.

        Args:
            data: the message.
            now: the time, in seconds.
            at_once: messages of at most this many bytes, as received and inflated, are decoded here.

        Returns:
            The events; or, for a larger message, a ``Decoding`` to run in a thread and then to pass to
            ``finish_receiving``, before anything else is received.
        """
        nbytes = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        events: list[Event] = []
        if not self._admit(nbytes, now, events):
            return events
        if (whole := self._put_together(data, nbytes, now, events)) is None:
            return events
        if whole is not data:
            data, nbytes = whole, memoryview(whole).nbytes
        if nbytes > at_once and not self._refuses_all(data):
            return self._decoding(data, nbytes)
        meter = self._meter(at_once)
        items = decode_items(self._codec, data, meter)
        if meter.is_beyond:
            if self._reader is not None:
                self._reader.take_back()
            return self._decoding(data, nbytes)
        self._receive_items(items, meter, nbytes, now, events)
        return events

    def finish_receiving(self, decoding: Decoding, now: float) -> list[Event]:
        """Process a message that a thread has decoded. The time that this took does not count as silence."""
        events: list[Event] = []
        self._is_decoding = False
        self.heard(now)
        self.charge_time(decoding.seconds, now)
        self._receive_items(decoding.items, decoding.meter, decoding.nbytes, now, events)
        return events

    def take_pause(self) -> float:
        """Return for how many seconds not to read from the peer, because it exceeded its budget; 0 if it did not.

        An owner should stop reading if it can, because reading and refusing messages costs time as well.
        """
        pause, self._pause = self._pause, 0.0
        return pause

    def charge_time(self, seconds: float, now: float) -> None:
        """Charge processor time, in seconds, spent on messages of the peer; ``Decoding.seconds`` is charged already."""
        if self._account is not None:
            self._account.fill(now)
            self._account.charge("seconds", seconds)

    def receive_text(self, now: float) -> list[Event]:
        """Process a text message: text is not part of the protocol, so answer ERROR and keep the connection open."""
        self._hear(now)
        events: list[Event] = []
        if self._receives:
            error = InvalidDataFormat("text messages are not part of this protocol")
            self._handle_bad_frame(error, 0, now, events)
        return events

    def heard(self, now: float) -> None:
        """Restart the measurement of silence: the owner has not read until now, for its own reasons."""
        self._hear(max(self._heard_at, now))

    # --- what the application calls ---

    def refuse(self, code: ErrorCode, message: str, *, details: Any = None, close: CloseCode | None = None) -> None:
        """Send an ERROR, and then close the connection if a close code is given. Nothing is counted."""
        self._say(MessageType.ERROR, error_body(code, message, details))
        if close is not None:
            self.end(close, message)

    # --- receiving ---

    def _decoding(self, data: Buffer, nbytes: int) -> Decoding:
        self._is_decoding = True
        refusals = self._refusals_in(data)
        meter = FrameMeter(
            lambda header: _error_of(refusals.get(_kind(header))),
            self._account,
            measures=self._measures_memory,
            reader=self._reader,
            sealed=self._sealed,
            passes_sealed=self._passes_sealed,
            cuts=Capability.SIGNING in self.capabilities,
        )
        return Decoding(self._codec, data, nbytes, meter)

    def _meter(self, at_once: float = inf) -> FrameMeter:
        return FrameMeter(
            lambda header: _error_of(self._refusal_of(*_kind(header))),
            self._account,
            measures=self._measures_memory,
            at_once=at_once,
            reader=self._reader,
            sealed=self._sealed,
            passes_sealed=self._passes_sealed,
            cuts=Capability.SIGNING in self.capabilities,
        )

    _measures_memory: ClassVar[bool] = False
    """True if events state how much memory a message takes."""

    @property
    def _passes_sealed(self) -> bool:
        """Return whether sealed messages are handed on unread."""
        return False

    _takes_openings: ClassVar[bool] = False
    """True if the peer may open streams, whose messages the application then acknowledges."""

    def _refusal_of(self, type: MessageType, is_broadcast: bool) -> Refusal | None:
        """Return why the peer may not send frames of that type, judged by the header alone; None if it may."""
        return None

    def _refusals_in(self, data: Buffer) -> dict[tuple[MessageType, bool], Refusal | None]:
        """Return for each kind of frame in a message why it is refused: for a thread, which must not call hooks."""
        flat = flatten(data)
        refusals: dict[tuple[MessageType, bool], Refusal | None] = {}
        offset = 0
        while offset < flat.nbytes:
            try:
                flat.check_version(offset, self._version_bits)
                header = flat.whole_frame_at(offset, self.settings.max_payload)
            except ProtocolError:
                break
            kind = _kind(header)
            if kind not in refusals:
                refusals[kind] = self._refusal_of(*kind)
            offset += header.size + header.length
        return refusals

    def _refuses_all(self, data: Buffer) -> bool:
        """Return whether all frames of a message are refused by their headers, so that no thread is needed."""
        return None not in self._refusals_in(data).values()

    def _make_codec(self, max_payload: int) -> Codec:
        settings = self.settings
        return Codec(
            max_payload=max_payload,
            numeric_lists=settings.numeric_lists,
            copy=settings.copy,
            validate=settings.validate,
            versions=self._versions,
        )

    def _hear(self, now: float) -> None:
        self._heard_at = now
        self._asked = False

    def _silent_after(self, intervals: int) -> float:
        """The time at which the peer has been silent for that many heartbeat intervals."""
        return self._heard_at + intervals * self._heartbeat_interval

    def _admit(self, nbytes: int, now: float, events: list[Event]) -> bool:
        """Count a message that arrived. Returns whether to decode it."""
        self._hearing = nbytes
        self._heard_at = now
        self._asked = False
        self.counters.received_bytes += nbytes
        if not self._receives:
            return False
        if self._account is not None:
            self._account.fill(now)
            if (resource := self._account.short_of(nbytes)) is not None:
                self._handle_over_budget(resource, nbytes, now, events)
                return False
            self._account.charge("nbytes", nbytes)
        if nbytes == 0:
            self._handle_bad_frame(InvalidDataFormat("a message without a frame", check=Check.HEADER), 0, now, events)
            return False
        return True

    def _put_together(self, data: Buffer, nbytes: int, now: float, events: list[Event]) -> Buffer | None:
        """Return a message as it came; of a fragment, the whole frame if it is the last one, otherwise None."""
        if self._reader is None or not is_fragment(data):
            return data
        flat = flatten(data)
        try:
            header = flat.only_frame(self.settings.max_payload)
        except ProtocolError:
            return data  # it is damaged, or not alone: refused like any frame
        if self._account is not None:
            if self._account.room_of("frames") < 1:
                self._handle_over_budget("frames", nbytes, now, events)
                return None
            self._account.charge("frames", 1)
        if self._reassembly is None:
            self._reassembly = Reassembly(self.settings.max_payload)
        try:
            if self.version < 4:
                raise InvalidProtocolVersion("a V4 frame, but version 4 was not agreed on", check=Check.VERSION)
            if (denied := _error_of(self._refusal_of(*_kind(header)))) is not None:
                raise denied
            self._reader.book.admit(header)
            flat.check_sum(0, header)
            added = self._reassembly.add(header, flat.view(header.size, nbytes), now)
        except FrameOfEndedStream as error:
            forget_where(error)
            return None
        except ProtocolError as error:
            self._reassembly.refuse(header)
            self._handle_bad_message(error, header, nbytes, now, events)
            return None
        self.counters.fragments_received += 1
        if added.lost is not None:
            fault = incomplete(added.lost, "another one of its class has begun")
            self._handle_bad_message(fault, added.lost.header, nbytes, now, events)
        return None if self.closing else added.frame

    def _handle_bad_message(
        self, error: ProtocolError, header: Header, nbytes: int, now: float, events: list[Event]
    ) -> None:
        """Count a message of which a fragment is missing or invalid, and send an ERROR. See ``_handle_bad_frame``."""
        number = header.sequence or 0
        stream = None if self._reader is None or not number else self._reader.stream_of(header.stream_id or 0)
        comes_again = stream is not None and self._passes_over(stream, number)
        item = Decoded(error, nbytes, 0, stream, number)
        self._handle_bad_frame(error, nbytes, now, events, is_mistake=not comes_again, item=item)

    def _drop_unfinished(self, now: float, events: list[Event]) -> None:
        """Drop messages of which no further fragment has arrived for too long, and report that to the peer."""
        if self._reassembly is None:
            return
        self._forget_unbound()
        timeout = SILENT_INTERVALS * self._heartbeat_interval
        for one in self._reassembly.expire(timeout, now):
            error = incomplete(one, f"nothing more of it came for {now - one.last_at:.0f} s")
            self._handle_bad_message(error, one.header, one.arrived, now, events)

    def _forget_unbound(self) -> None:
        """Drop unfinished messages of streams that are no longer bound."""
        if self._reassembly is not None and self._reader is not None and self._reassembly.has_unfinished:
            book = self._reader.book
            self._reassembly.forget(lambda id: bool(id) and book.name_of(id) is None)

    def _receive_frames(self, data: Buffer, nbytes: int, now: float, events: list[Event]) -> None:
        meter = self._meter()
        self._receive_items(decode_items(self._codec, data, meter), meter, nbytes, now, events)

    def _receive_items(
        self, items: list[Decoded], meter: FrameMeter, nbytes: int, now: float, events: list[Event]
    ) -> None:
        """Accept or refuse the frames of a message, and charge what they cost to decode."""
        if self._account is not None:
            self._account.charge("inflated", meter.inflated)
            self._account.charge("unpacked", meter.unpacked)
        for count, item in enumerate(items):
            if count == MAX_BATCH_FRAMES:
                error = MessageTooLarge(f"more than {MAX_BATCH_FRAMES} frames in one message", check=Check.LIMIT)
                item = Decoded(error, 0, 0)  # noqa: PLW2901
            if self.closing or not self._receive_frame(item, nbytes, now, events):
                break
        self._forget_unbound()

    def _receive_frame(self, item: Decoded, nbytes: int, now: float, events: list[Event]) -> bool:
        """Accept or refuse a frame. Returns whether to process those after it."""
        if self._account is not None:
            if self._account.room_of("frames") < 1:
                self._handle_over_budget("frames", nbytes, now, events)
                return False
            self._account.charge("frames", 1)
        result = item.result
        self._hearing = item.nbytes
        try:
            if isinstance(result, ProtocolError):
                raise result
            if self._sealed is not None and self._holds(item, now, events):
                return True
            self._accept(result, item, now, events)
            if item.fault is not None and not self.closing:
                raise item.fault
        except FrameOfEndedStream as error:
            forget_where(error)
        except NotYetOpened as error:
            forget_where(error)
            self._note_not_opened(error, now, events)
        except BudgetExceeded as error:
            forget_where(error)
            self._handle_over_budget(error.resource, nbytes, now, events)
        except ProtocolError as error:
            comes_again = item.stream is not None and self._passes_over(item.stream, item.number)
            self._handle_bad_frame(error, nbytes, now, events, is_mistake=not comes_again, item=item)
        return not self.closing

    def _holds(self, item: Decoded, now: float, events: list[Event]) -> bool:
        """Return whether a frame is held back: one before it has an unknown key, or it was received before."""
        return False

    def _note_not_opened(self, error: NotYetOpened, now: float, events: list[Event]) -> None:
        """Handle a sealed frame that was not opened."""

    def _passes_over(self, stream: StreamEpoch, number: int) -> bool:
        """Return whether a message that is refused does not count as a mistake, because it would only come again."""
        return False

    @abstractmethod
    def _accept(self, message: Message, item: Decoded, now: float, events: list[Event]) -> None:
        """Accept a message, or raise the ``ProtocolError`` for which it is refused."""

    # --- errors ---

    def _handle_bad_frame(
        self,
        error: ProtocolError,
        nbytes: int,
        now: float,
        events: list[Event],
        *,
        is_mistake: bool = True,
        item: Decoded | None = None,
    ) -> None:
        """Count a frame that is not accepted, report it to the application, and send an ERROR.

        Close if later frames cannot be read either, or after too many errors.
        """
        self.counters.refused[error.code] += 1
        forget_where(error)
        if error.code is ErrorCode.PERMISSION_DENIED:
            if now - self._denied_at < RATE_ERROR_PAUSE:
                return
            self._denied_at = now
            is_mistake = False
        stream = None if item is None else item.stream
        events.append(FrameRefused(error, nbytes, stream, None if item is None or stream is None else item.number))
        close = _close_after(error)
        if is_mistake and not self._budget.spend(now) and close is None:
            close = CloseCode.POLICY if error.code is ErrorCode.RATE_LIMIT_EXCEEDED else CloseCode.PROTOCOL_ERROR
        details = None if error.reason is None else {"reason": error.reason}
        self.refuse(error.code, str(error), details=details, close=close)

    def _handle_over_budget(self, resource: str, nbytes: int, now: float, events: list[Event]) -> None:
        """Count a message that exceeds a budget, and send at most one ERROR a second.

        It does not count as a mistake of the peer if only the budget of all peers together is exhausted.
        """
        self.counters.over_budget[resource] += 1
        if self._account is not None and self._account.is_own_fault(resource, nbytes):
            self._pause = min(self._account.seconds_until(resource), LONGEST_PAUSE)
        if now - self._rate_error_at < RATE_ERROR_PAUSE:
            self.counters.refused[ErrorCode.RATE_LIMIT_EXCEEDED] += 1
            return
        self._rate_error_at = now
        limit, account = self.settings.rate_limit, self._account
        assert limit is not None
        assert account is not None
        error = too_much(resource)
        if resource in ("frames", "nbytes"):
            text = f"more than {limit.frames:g} frames or {limit.nbytes:g} bytes a second; the excess is lost"
            error = BudgetExceeded(text, resource=resource)
        self._handle_bad_frame(error, nbytes, now, events, is_mistake=account.is_own_fault(resource, nbytes))

    def _say(self, type: MessageType, data: Any) -> None:
        """Send a control message. If it answers the peer, its bytes are charged to the peer."""
        outgoing = self._encoded(type, data)
        if self._account is not None and type in _ANSWERS:
            self._account.charge("nbytes", outgoing.nbytes)
        self.enqueue(outgoing)


def _kind(header: Header) -> tuple[MessageType, bool]:
    return header.type, bool(header.bits & _BROADCAST)


def _error_of(refusal: Refusal | None) -> ProtocolError | None:
    return None if refusal is None else refusal[0](refusal[1], check=Check.FIELDS)


def _close_after(error: ProtocolError) -> CloseCode | None:
    """Return the close code for an error, or None. After errors of checks 1 to 6, later frames cannot be read."""
    if error.check is None or error.check > LAST_FATAL_CHECK:
        return None
    return CloseCode.TOO_LARGE if error.code is ErrorCode.MESSAGE_TOO_LARGE else CloseCode.PROTOCOL_ERROR

"""One connection: a session between a WebSocket and the event loop's clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from websockets.exceptions import ConnectionClosed

from ..background.threads import DECODED_AT_ONCE, ENCODED_AT_ONCE, in_thread
from ..foreign_text import gated_logger
from ..protocol import CloseCode
from ..session import (
    Acknowledged,
    Decoding,
    ErrorReceived,
    Event,
    FrameRefused,
    Negotiated,
    RoundTrip,
    Undelivered,
)
from .backoff import as_error
from .message_queue import Pressure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from websockets.asyncio.client import ClientConnection

    from ..codec import Message
    from ..errors import ProtocolError
    from ..session import ClientSession, Close, Outgoing

    OnEvent = Callable[["Connection", Event], None]
    """Called with each event and its connection."""

T = TypeVar("T")

log = gated_logger("ecgframe.client")

FIRST_PING: Final = 1.0
"""Seconds between the first two PINGs, to measure the clock offset soon. It doubles up to the heartbeat interval."""

UNREAD_WARNING: Final = 10.0
"""Seconds without reading, because the application is too slow, after which a warning is logged."""

URGENT_BYTES: Final = ENCODED_AT_ONCE + 1024
"""Bytes of an urgent frame that need not wait for room, as long as the reserve lasts."""

URGENT_RESERVE: Final = 1024 * 1024
"""Bytes of the send queue that only urgent frames may use: an alert never waits for room behind data."""

Receipt = asyncio.Future["int | None"]
"""Its result is None if the message was acknowledged; else how often it was sent without an acknowledgement."""


class Connection:
    """An open WebSocket with its session.

    Args:
        websocket: an open WebSocket.
        session: a new session.
        on_event: called with each event, in order.
        close_timeout: seconds that closing may take.

    Attributes:
        session: the session.
        said: the last error that the server reported, or the error in its last frame.
        over: whether the connection has ended.
        asked: streams whose SUBSCRIBE the server has not answered yet.
        leaving: by stream, the futures that wait for the server to confirm UNSUBSCRIBE.
        obsolete: by stream, the number of expected answers for subscriptions that have ended in the meantime.
    """

    def __init__(
        self, websocket: ClientConnection, session: ClientSession, on_event: OnEvent, *, close_timeout: float
    ) -> None:
        self.session = session
        self.said: ProtocolError | None = None
        self.over = False
        self.asked: set[str] = set()
        self.leaving: dict[str, list[asyncio.Future[None]]] = {}
        self.obsolete: Counter[str] = Counter()
        self._websocket = websocket
        self._on_event = on_event
        self._close_timeout = close_timeout
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # not all handles of uvloop have a ``when()``
        self._closing: Close | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._close_by: float | None = None
        self._next_ping: float | None = None
        self._between_pings = FIRST_PING
        self._established_at: float | None = None
        self._pressure = Pressure.ROOM
        self._awaited = 0
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._receipts: dict[int, Receipt] = {}
        self._pongs: list[asyncio.Future[float | None]] = []

    async def hold(self) -> None:
        """Read and write until the connection ends."""
        self.session.start(self._loop.time())
        self.wake()
        writer = asyncio.create_task(self._write(), name="ecgframe client writer")
        try:
            await self._read()
        finally:
            writer.cancel()
            try:
                await asyncio.wait({writer})
            finally:
                self._hang_up()
        if not writer.cancelled() and (error := writer.exception()):
            raise error

    # --- state ---

    @property
    def timed(self) -> bool:
        """True if the server's messages have timestamps."""
        return self.session.timed

    @property
    def lasted(self) -> float:
        """Seconds since the negotiation; 0 before it."""
        return 0.0 if self._established_at is None else self._loop.time() - self._established_at

    @property
    def ending(self) -> tuple[int | None, str]:
        """How the connection ended: close code, which is None if it broke, and reason."""
        if self._closing:
            return self._closing
        if self._websocket.close_code not in (None, 1005, 1006):
            return self._websocket.close_code, self._websocket.close_reason or ""
        return None, "the connection broke off"

    # --- what the client does ---

    def wake(self) -> None:
        """Send what waits and set the timer, after the session was used."""
        if self.session.closing and not self._closing and not self.over:
            self._begin_to_close()
        if self.session.closing or self.session.has_waiting:
            self._work.set()
        self._set_timer()

    async def end(self) -> None:
        """Send what waits, then close the connection; ``hold`` returns then."""
        self._close_by = self._loop.time() + self._close_timeout
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._close_by):
                while self.session.has_waiting and not self.session.closing:
                    await self.progress()
        self.session.end(CloseCode.NORMAL, "")
        self.wake()

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a message that the application has."""
        if not self.over:
            self.session.acknowledge(message)
            self.wake()

    def has_room_for_data(self) -> bool:
        """Return whether the application may send a message that is not urgent: some space is kept for urgent ones."""
        settings = self.session.settings
        return self._has_room(
            settings.queue_frames // 2,
            settings.queue_bytes - settings.max_payload - URGENT_RESERVE,
            settings.max_unacknowledged - settings.max_unacknowledged // 8,
        )

    def has_room_for_urgent(self) -> bool:
        """Return whether the application may send an urgent message now, of at most ``URGENT_BYTES``."""
        settings = self.session.settings
        return self._has_room(settings.queue_frames, settings.queue_bytes - URGENT_BYTES, settings.max_unacknowledged)

    def _has_room(self, frames: int, nbytes: int, receipts: int) -> bool:
        if self.session.closing or len(self._receipts) >= receipts:
            return False
        return self.session.queued_frames < frames and self.session.queued_bytes < nbytes

    async def progress(self) -> None:
        """Wait until a frame is sent or acknowledged, or the connection ends."""
        self._progress.clear()
        await self._progress.wait()

    def send(self, outgoing: Outgoing) -> Receipt | None:
        """Send a message that is encoded for this connection.

        Returns:
            Its receipt if the server is to acknowledge it, else None.
        """
        timestamp = outgoing.timestamp
        self.session.enqueue(outgoing)
        receipt: Receipt | None = None
        if outgoing.acknowledged:
            receipt = self._receipts[timestamp] = self._loop.create_future()
        self.wake()
        return receipt

    async def ping(self) -> float | None:
        """Measure a round trip in seconds; None if the connection ends before the server answers."""
        pong: asyncio.Future[float | None] = self._loop.create_future()
        self._pongs.append(pong)
        self.session.ping(self._loop.time())
        self.wake()
        try:
            with self.awaiting():
                return await pong
        finally:
            self._pongs.remove(pong)

    def awaiting(self) -> AbstractContextManager[None]:
        """Keep reading in this context, up to a bound: an application that awaits an answer may take no messages."""
        return _Awaiting(self)

    def note_pressure(self, pressure: Pressure) -> None:
        """Stop or resume reading by the pressure of the fullest queue."""
        self._pressure = pressure
        self._regulate()

    # --- reading ---

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                if not self._may_read.is_set() and not await self._wait_for_takers():
                    return
                data = await self._websocket.recv()
                now = self._loop.time()
                if isinstance(data, str):
                    events: list[Event] | Decoding = self.session.receive_text(now)
                else:
                    events = self.session.begin_to_receive(data, now, DECODED_AT_ONCE)
                if isinstance(events, Decoding):
                    await in_thread(events.run)
                    events = self.session.finish_receiving(events, self._loop.time())
                self._handle(events)
                if self.session.has_waiting or self.session.closing:  # otherwise the timer fires early at worst
                    self.wake()

    async def _wait_for_takers(self) -> bool:
        """Wait until the application has taken messages; return False if the connection ends before that."""
        warning = self._loop.call_later(
            UNREAD_WARNING,
            log.warning,
            "reading is paused for %g s: the application does not take its messages",
            UNREAD_WARNING,
        )
        gone = asyncio.ensure_future(self._websocket.wait_closed())
        taken = asyncio.ensure_future(self._may_read.wait())
        try:
            await asyncio.wait({gone, taken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            warning.cancel()
            gone.cancel()
            taken.cancel()
            await asyncio.wait({gone, taken})
        self.session.heard(self._loop.time())
        return self._may_read.is_set()

    def _regulate(self) -> None:
        """Stop or resume reading."""
        may_read = (
            self._pressure is Pressure.ROOM
            or (self._pressure is Pressure.FULL and self._awaited > 0)
            or self.session.closing is not None
        )
        if may_read:
            self._may_read.set()
        else:
            self._may_read.clear()

    # --- events ---

    def _handle(self, events: list[Event]) -> None:
        """Note what concerns this connection, and pass each event to its owner."""
        for event in events:
            if note := _NOTES.get(type(event)):
                note(self, event)
            self._on_event(self, event)

    def _note_established(self, event: Negotiated) -> None:
        self._established_at = self._next_ping = self._loop.time()
        self._set_timer()

    def _note_round_trip(self, event: RoundTrip) -> None:
        for pong in self._pongs:
            _settle(pong, event.seconds)

    def _note_receipt(self, event: Acknowledged | Undelivered) -> None:
        receipt = self._receipts.pop(event.timestamp, None)
        self._progress.set()
        if receipt:
            _settle(receipt, event.attempts if isinstance(event, Undelivered) else None)

    def _note_error(self, event: ErrorReceived) -> None:
        self.said = as_error(event.code, event.message)

    def _note_refused(self, event: FrameRefused) -> None:
        self.said = event.error

    # --- timers ---

    def _set_timer(self) -> None:
        times = [time for time in (self.session.deadline(), self._next_ping) if time is not None]
        if self.over or not times:
            return
        # If the deadline is later now, ``_on_timer`` finds that and sets the timer again.
        if self._timer is None or min(times) < self._timer_at:
            if self._timer:
                self._timer.cancel()
            self._timer_at = min(times)
            self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        if not self._may_read.is_set():
            self.session.heard(now)
        if self._next_ping is not None and now >= self._next_ping:
            self._ping_again(now)
        self._handle(self.session.tick(now))
        self.wake()

    def _ping_again(self, now: float) -> None:
        self._next_ping = now + self._between_pings
        self._between_pings = min(2 * self._between_pings, self.session.settings.heartbeat_interval)
        if not self._pongs:  # the application's own PINGs measure it too
            self.session.ping(now)

    # --- writing ---

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                for message in self._messages():
                    await self._websocket.send(message)
                    self._progress.set()
                    self._set_timer()
                if closing := self.session.closing:
                    await self._websocket.close(closing.code, closing.reason)
                    return
                self._work.clear()
                await self._work.wait()

    def _messages(self) -> Iterator[bytes]:
        while (message := self.session.next_message(self._loop.time())) is not None:
            yield message

    # --- closing ---

    def _begin_to_close(self) -> None:
        """Bound the time that closing takes, whatever the server does."""
        self._closing = self.session.closing
        assert self._closing
        self._regulate()
        silent = self._closing.code == CloseCode.INTERNAL  # the server would not answer the close frame
        now = self._loop.time()
        close_by = now if silent else min(self._close_by or inf, now + self._close_timeout)
        self._abort_timer = self._loop.call_at(close_by, self._websocket.transport.abort)

    def _hang_up(self) -> None:
        self.over = True
        self._websocket.transport.abort()
        for timer in (self._timer, self._abort_timer):
            if timer:
                timer.cancel()
        self._handle(self.session.lost())
        self._progress.set()
        for pong in self._pongs:
            _settle(pong, None)
        for confirmed in (future for futures in self.leaving.values() for future in futures):
            _settle(confirmed, None)
        for receipt in self._receipts.values():
            _settle(receipt, 0)  # the session never got it


def _settle(future: asyncio.Future[T], result: T) -> None:
    """Set the result, unless the future is done or cancelled."""
    if not future.done():
        future.set_result(result)


class _Awaiting:
    """The context in which the application awaits an answer of the server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection._awaited += 1
        self._connection._regulate()

    def __exit__(self, *_: object) -> None:
        self._connection._awaited -= 1
        self._connection._regulate()


_NOTES: Final[dict[type, Callable[[Connection, Any], None]]] = {
    Negotiated: Connection._note_established,
    RoundTrip: Connection._note_round_trip,
    Acknowledged: Connection._note_receipt,
    Undelivered: Connection._note_receipt,
    ErrorReceived: Connection._note_error,
    FrameRefused: Connection._note_refused,
}

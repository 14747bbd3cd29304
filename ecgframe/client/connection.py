"""One connection: a session between a WebSocket and the event loop's clock."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from websockets.exceptions import ConnectionClosed

from ..background.threads import DECODED_AT_ONCE, in_thread
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
    """What is done about an event, and which connection it is of."""

T = TypeVar("T")

log = logging.getLogger("ecgframe.client")

FIRST_PING: Final = 1.0
"""Seconds between the first two pings: a clock is to be known soon. The time doubles up to the heartbeat interval."""

UNREAD_WARNING: Final = 10.0
"""Seconds without reading, because the application takes nothing, after which a log says so."""

Receipt = asyncio.Future["int | None"]
"""What became of a message: None once it is acknowledged, or how often it was sent over this connection in vain."""


class Connection:
    """A connection that stands, for as long as it does.

    Args:
        websocket: open.
        session: new.
        on_event: called with every event, in order.
        close_timeout: seconds that closing may take.

    Attributes:
        session: the protocol's side of it.
        said: what the server last said was wrong, or this side of what the server sent.
        over: whether the connection is gone.
        asked: streams for which an answer of the server is under way.
        leaving: for each stream that was left over this connection, who waits for the server to confirm that.
        unheeded: for each stream, answers under way to subscriptions that were left before they came.
    """

    def __init__(
        self, websocket: ClientConnection, session: ClientSession, on_event: OnEvent, *, close_timeout: float
    ) -> None:
        self.session = session
        self.said: ProtocolError | None = None
        self.over = False
        self.asked: set[str] = set()
        self.leaving: dict[str, list[asyncio.Future[None]]] = {}
        self.unheeded: Counter[str] = Counter()
        self._websocket = websocket
        self._on_event = on_event
        self._close_timeout = close_timeout
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._alarm: asyncio.Handle | None = None
        self._alarm_at = 0.0  # uvloop's handles do not all know when they are due
        self._closing: Close | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
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
        """Talk until the connection is over."""
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

    # --- what it is like ---

    @property
    def timed(self) -> bool:
        """Whether the server's messages have timestamps."""
        return self.session.timed

    @property
    def lasted(self) -> float:
        """Seconds since both sides could talk; 0 if they never could."""
        return 0.0 if self._established_at is None else self._loop.time() - self._established_at

    @property
    def ending(self) -> tuple[int | None, str]:
        """How the connection was closed: code and reason; None where it broke off."""
        if self._closing:
            return self._closing
        if self._websocket.close_code not in (None, 1005, 1006):
            return self._websocket.close_code, self._websocket.close_reason or ""
        return None, "the connection broke off"

    # --- what the client does ---

    def wake(self) -> None:
        """Something was done with the session: what waits is sent, the clock is set anew."""
        if self.session.closing and not self._closing and not self.over:
            self._begin_to_close()
        if self.session.closing or self.session.has_waiting:
            self._work.set()
        self._set_alarm()

    async def end(self) -> None:
        """Close the connection, once what waits has left; ``hold`` returns then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._close_timeout):
                while self.session.has_waiting and not self.session.closing:
                    await self.progress()
        self.session.end(CloseCode.NORMAL, "")
        self.wake()

    def acknowledge(self, message: Message) -> None:
        """The application has the message."""
        if not self.over:
            self.session.acknowledge(message)
            self.wake()

    @property
    def has_room(self) -> bool:
        """Whether a message can be sent: it is not about to close, and not too much waits already."""
        settings = self.session.settings
        return (
            not self.session.closing
            and self.session.queued_frames < settings.queue_frames // 2
            and self.session.queued_bytes < settings.queue_bytes - settings.max_payload
            and len(self._receipts) < settings.max_unacknowledged
        )

    async def progress(self) -> None:
        """Wait until something has been sent, acknowledged or lost."""
        self._progress.clear()
        await self._progress.wait()

    def send(self, outgoing: Outgoing) -> Receipt | None:
        """Send a message that is encoded for this connection.

        Returns:
            What becomes of it, if the server is to acknowledge it.
        """
        timestamp = outgoing.timestamp
        self.session.enqueue(outgoing)
        receipt: Receipt | None = None
        if outgoing.acknowledged:
            receipt = self._receipts[timestamp] = self._loop.create_future()
        self.wake()
        return receipt

    async def ping(self) -> float | None:
        """Seconds of a round trip; None where the connection goes before the server answers."""
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
        """While the application waits for an answer, it may take no messages: they are read on, up to a bound."""
        return _Awaiting(self)

    def note_pressure(self, pressure: Pressure) -> None:
        """Note how full the fullest queue is."""
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
                self._tell(events)
                if self.session.has_waiting or self.session.closing:  # otherwise the alarm is early at worst
                    self.wake()

    async def _wait_for_takers(self) -> bool:
        """Wait until the application has taken messages; False if the connection goes before that."""
        warning = self._loop.call_later(
            UNREAD_WARNING, log.warning, "nothing was read for %g s: messages wait that nobody takes", UNREAD_WARNING
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
        """Read, or do not."""
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

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            if note := _NOTES.get(type(event)):
                note(self, event)
            self._on_event(self, event)

    def _note_established(self, event: Negotiated) -> None:
        self._established_at = self._next_ping = self._loop.time()
        self._set_alarm()

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

    # --- the clock ---

    def _set_alarm(self) -> None:
        times = [time for time in (self.session.deadline(), self._next_ping) if time is not None]
        if self.over or not times:
            return
        # A deadline that has moved on is found out when the alarm rings.
        if self._alarm is None or min(times) < self._alarm_at:
            if self._alarm:
                self._alarm.cancel()
            self._alarm_at = min(times)
            self._alarm = self._loop.call_at(self._alarm_at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._loop.time()
        if not self._may_read.is_set():
            self.session.heard(now)
        if self._next_ping is not None and now >= self._next_ping:
            self._ping_again(now)
        self._tell(self.session.tick(now))
        self.wake()

    def _ping_again(self, now: float) -> None:
        self._next_ping = now + self._between_pings
        self._between_pings = min(2 * self._between_pings, self.session.settings.heartbeat_interval)
        if not self._pongs:  # the application's own pings measure as well
            self.session.ping(now)

    # --- writing ---

    async def _write(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                for message in self._messages():
                    await self._websocket.send(message)
                    self._progress.set()
                    self._set_alarm()
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
        """See to it that closing comes to an end, whatever the server does."""
        self._closing = self.session.closing
        assert self._closing
        self._regulate()
        silent = self._closing.code == CloseCode.INTERNAL  # nobody is there who would say goodbye
        self._abort_timer = self._loop.call_later(0 if silent else self._close_timeout, self._websocket.transport.abort)

    def _hang_up(self) -> None:
        self.over = True
        self._websocket.transport.abort()
        for timer in (self._alarm, self._abort_timer):
            if timer:
                timer.cancel()
        self._tell(self.session.lost())
        self._progress.set()
        for pong in self._pongs:
            _settle(pong, None)
        for confirmed in (future for futures in self.leaving.values() for future in futures):
            _settle(confirmed, None)
        for receipt in self._receipts.values():
            _settle(receipt, 0)  # it never came as far as the session


def _settle(future: asyncio.Future[T], result: T) -> None:
    """Give the result to whoever still waits for it."""
    if not future.done():
        future.set_result(result)


class _Awaiting:
    """The application waits for an answer of the server's."""

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

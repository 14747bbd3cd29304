"""The glue of one connection: a session that knows the protocol, a link that has the network, a clock between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..background.threads import DECODED_AT_ONCE, in_thread
from ..errors import ERRORS, ProtocolError
from ..protocol import CloseCode, ErrorCode
from ..session import (
    Acknowledged,
    Decoding,
    ErrorReceived,
    Event,
    FrameRefused,
    Negotiated,
    PingUnanswered,
    Received,
    ServerSession,
    Settings,
    SubscribeRequested,
    Undelivered,
    UnsubscribeRequested,
)
from .connection_info import ConnectionInfo
from .connection_log import ConnectionLog
from .connection_writer import ConnectionWriter
from .hooks import Hooks
from .inbox import Inbox, Item
from .limits import Limits
from .link import Link
from .pace import Pace
from .stats import ServerStats
from .stream import Stream
from .streams import StreamClock
from .tasks import begin

NO_CLOSE: Final = 1006
"""What RFC 6455 says for a connection that ended without a close frame."""

FOR_THE_APPLICATION: Final = (Received, SubscribeRequested, UnsubscribeRequested)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all connections of a handler have in common.

    Attributes:
        settings: of the sessions.
        limits: of the handler.
        wall_clock_us: gives microseconds since 1970, each time more than the last.
        hooks: the application's.
        stats: where all is counted.
        pace: of those who catch up.
        serve: does what an event asks for; may raise, and the peer is told.
    """

    settings: Settings
    limits: Limits
    wall_clock_us: Callable[[], int]
    hooks: Hooks
    stats: ServerStats
    pace: Pace
    serve: Callable[[Connection, Event], Awaitable[None]]


class Connection:
    """One peer, from the open WebSocket to its end.

    An idle connection costs one task, which reads, and one timer;
    see ``ConnectionWriter`` for one that is sent something.

    Args:
        id: its name.
        link: to the peer.
        shared: with the other connections of the handler.

    Attributes:
        session: its conversation.
        writer: sends what the session has to say; streams know the connection by it.
        info: what the application sees of it.
        identity: what ``authenticate`` returned.
        is_open: whether the peer has been let in, and is there.
        connected_at: microseconds since 1970.
        close_code: with which it was closed; ``NO_CLOSE`` where it just went away, and until then.
        subscriptions: the streams that it watches, by name.
    """

    def __init__(self, id: str, link: Link, shared: Shared) -> None:
        self.id = id
        self.link = link
        self.session = ServerSession(shared.settings, shared.wall_clock_us)
        self.info = ConnectionInfo(self)
        self._log = ConnectionLog(self.info)
        self.writer = ConnectionWriter(
            self.session, link, self._log, shared.pace, rearm=self._rearm, close=self._begin_closing
        )
        self.identity: object = None
        self.is_open = False
        self.connected_at = shared.wall_clock_us()
        self.close_code = NO_CLOSE
        self.subscriptions: dict[str, Stream] = {}
        self._shared = shared
        self._observe_seconds = shared.stats.receive_seconds.observe
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._inbox = Inbox(self._handle, self._give_up_handling, shared.limits)
        self._has_left = False
        self._is_paused = False
        self._closer: asyncio.Task[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # uvloop's handles do not all know when they are due

    async def run(self) -> None:
        """Serve the peer until it is gone. Nothing of the connection is left behind, however it ends."""
        try:
            await self._let_in()
            try:
                await self._read()
            except Exception as error:  # a mistake of ours: it costs this connection, and no other
                self._log.failed("serving a connection", error)
                self.session.end(CloseCode.INTERNAL, "internal error")
            self.leave()
            await self._say_goodbye()
        finally:
            self.leave()
            await self._stop()

    # --- streams ---

    def subscribe(self, stream: Stream, request: SubscribeRequested, clock: StreamClock) -> None:
        """Watch a stream. From here to the end nothing waits, so that no message is missed or sent twice."""
        if not self.is_open:
            return
        name, since = stream.name, request.since
        if name in self.subscriptions and since is None:
            self.session.answer_subscription(name, "subscribed")
        else:
            if since is None:
                start = self._follow(stream, clock)
            elif request.is_moment or not self.session.timed:
                start = stream.resume_at(self.writer, since, clock.now)
            elif clock.is_shared:
                start = stream.resume_shared(self.writer, since, clock.now, is_whole=clock.is_whole)
            else:
                start = stream.resume_after(self.writer, since)
            self.session.answer_subscription(name, "subscribed", start=start)
            self.subscriptions[name] = stream
            if stream.is_behind(self.writer):
                self.writer.bring_up_to_date(stream)
        self.writer.flush()

    def _follow(self, stream: Stream, clock: StreamClock) -> int | None:
        """Watch from now on. A peer that can come back is told its place, which without timestamps is the time."""
        start = stream.follow(self.writer)
        if not self.session.negotiated:
            return None
        if not self.session.timed:
            return max(start, clock.now)
        # Where nothing is kept, other servers may not know that place, but they know the time of this answer.
        return None if clock.is_shared and not stream.ring else start

    def unsubscribe(self, name: str) -> None:
        """Watch it no more."""
        stream = self.subscriptions.pop(name, None)
        if stream is not None:
            stream.remove(self.writer)
        self.session.answer_subscription(name, "unsubscribed")
        self.writer.flush()

    def deny(self, name: str, code: ErrorCode | None) -> None:
        """Answer that a stream cannot be watched."""
        if code is not None:
            self._shared.stats.errors[code] += 1
            self._shared.hooks.report(self.info, ERRORS[code]("a subscription is denied"), None)
        self.session.answer_subscription(name, "denied", code=code)
        self.writer.flush()

    # --- receiving ---

    async def _let_in(self) -> None:
        allowed, self.identity = await self._shared.hooks.identify(self.link.request)
        if not allowed:
            self.refuse(ErrorCode.AUTHENTICATION_FAILED, "authentication failed", close=CloseCode.POLICY)
            return
        if self.session.closing:
            return
        self.is_open = True
        self._log.opened()
        self.session.start(self.now())
        self.writer.flush()
        self._rearm()

    async def _read(self) -> None:
        """Read to the end, also when the session wants no more: the peer's close frame comes that way."""
        session, receive, observe = self.session, self.link.receive, self._shared.stats.received_sizes.observe
        while True:
            try:
                message = await receive()
            except Exception as error:
                self.writer.lose(error)
                return
            if message is None:
                return
            now = self.now()
            if isinstance(message, str):
                self._attend(session.receive_text(now), now, message)
            else:
                observe(len(message))
                events = session.begin_to_receive(message, now, DECODED_AT_ONCE)
                if isinstance(events, Decoding):
                    await in_thread(events.run)
                    now = self.now()
                    events = session.finish_receiving(events, now)
                self._attend(events, now, message)
            if self.writer.has_more or session.closing:
                self.writer.pump(now)
            if self._inbox.is_full and not session.closing:
                await self._wait_for_the_application()

    async def _wait_for_the_application(self) -> None:
        self._is_paused = True
        await self._inbox.room()
        self._is_paused = False
        self.session.heard(self.now())

    def _attend(self, events: list[Event], now: float, message: bytes | str | None = None) -> None:
        for event in events:
            if isinstance(event, FOR_THE_APPLICATION):
                nbytes = event.message.nbytes if isinstance(event, Received) else 0
                self._inbox.put(Item(event, nbytes, now))
            else:
                self._note(event, message)

    def _note(self, event: Event, message: bytes | str | None = None) -> None:
        match event:
            case Negotiated():
                self._log.negotiated(event)
            case FrameRefused(error=error):
                self._log.refused_frame(event)
                self._shared.hooks.report(self.info, error, message)
            case Acknowledged():
                self._shared.stats.acknowledged += 1
            case Undelivered():
                self._log.undelivered(event)
                self._shared.hooks.give_up(self.info, event)
            case PingUnanswered():
                self._log.answers_no_ping(event)
            case ErrorReceived(code=code):
                self._log.reported(code)

    async def _handle(self, item: Item) -> None:
        """Do what an event asks for. Whatever goes wrong, only this peer is told, and only what concerns it."""
        try:
            await self._shared.serve(self, item.event)
        except ProtocolError as error:
            self.refuse(error.code, str(error))
        except Exception as error:
            if not self._has_left:  # else it most likely failed for that reason
                self._log.failed("on_message", error)
            self.refuse(ErrorCode.INVALID_DATA_FORMAT, "the message could not be handled")
        self._finish(item)

    def _give_up_handling(self, item: Item) -> None:
        event = item.event
        self._log.cancelled_hook(self._shared.limits.hook_seconds)
        if isinstance(event, SubscribeRequested):
            self.deny(event.stream, None)
        else:
            self.refuse(ErrorCode.INVALID_DATA_FORMAT, "the message could not be handled in time")
        self._finish(item)

    def _finish(self, item: Item) -> None:
        event, session, now = item.event, self.session, self.now()
        if isinstance(event, Received):
            session.acknowledge(event.message)
            seconds = now - item.received_at
            self._observe_seconds(seconds)
            if seconds > self._shared.limits.slow_message_seconds:
                self._log.slow(event.message.type, seconds)
        if session.has_waiting:
            self.writer.pump(now)

    def refuse(self, code: ErrorCode, text: str, *, close: CloseCode | None = None) -> None:
        """Tell the peer of an error; nothing happens when it is gone."""
        if self.session.closing:
            return
        self._shared.stats.errors[code] += 1
        self.session.refuse(code, text, close=close)
        self._shared.hooks.report(self.info, ERRORS[code](text), None)
        self._log.refused(code)
        self.writer.flush()

    # --- time ---

    def _rearm(self) -> None:
        """Have the session looked at when it wants to be.

        A timer that is early does no harm, it sets itself again. So this is needed only after what brings a deadline
        nearer: a message that is to be acknowledged, and the moment in which nothing waits any more.
        """
        deadline = self.session.deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        now = self.now()
        if self._is_paused:
            self.session.heard(now)
        self._attend(self.session.tick(now), now)
        self.writer.pump(now)
        self._rearm()

    # --- ending ---

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection once what is urgent has left."""
        self.session.end(code, reason)
        self.writer.pump(self.now())

    def leave(self) -> None:
        """The peer is gone: no stream and no timer knows it any more. Calling this again does nothing."""
        if self._has_left:
            return
        self._has_left = True
        self.is_open = False
        closing = self.session.closing
        self.close_code = closing.code if closing else self.link.close_code or NO_CLOSE
        for stream in self.subscriptions.values():
            stream.remove(self.writer)
        self.subscriptions.clear()
        self.writer.forget_streams()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for event in self.session.lost():
            self._note(event)
        self._log.closed(self.close_code, self.session)

    def abort(self) -> None:
        """Drop the connection, and what the application has yet to do for it."""
        self._inbox.stop()
        self.link.abort()

    def _begin_closing(self) -> None:
        if self._closer is None:
            self._closer = begin(self._close())

    async def _close(self) -> None:
        """Close the link behind what still waits, and drop it when that takes too long."""
        closing = self.session.closing
        assert closing is not None
        try:
            async with asyncio.timeout(self._shared.limits.close_seconds):
                if self.writer.task:
                    await asyncio.wait({self.writer.task})
                await self.link.close(closing.code, closing.reason)
        except Exception as error:
            self.writer.lose(error)

    async def _say_goodbye(self) -> None:
        """Let the application finish what came, and the link its closing handshake."""
        try:
            async with asyncio.timeout(self._shared.limits.close_seconds):
                await self._inbox.empty()
        except TimeoutError:
            self._log.left_work()
        self._begin_closing()
        if self._closer:
            await self._closer

    async def _stop(self) -> None:
        tasks = {task for task in (self._inbox.stop(), self.writer.task, self._closer) if task and not task.done()}
        for task in tasks:
            task.cancel()
        self.writer.shut()
        if tasks:
            await asyncio.wait(tasks, timeout=self._shared.limits.close_seconds)

"""Sends the messages of one session: at once if its link can take them, otherwise from a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from .._core import CAN_SEND_TO_ALL
from .portions import LARGE, PORTION, Portions
from .tasks import begin

if TYPE_CHECKING:
    from ..session import Outgoing, ServerSession
    from .connection_log import ConnectionLog
    from .link import Link
    from .pace import Pace

SENT_IN_A_TURN: Final = 16
"""Messages that a viewer that catches up is sent in one turn over a link that can only be awaited."""

MOST_ANSWERS: Final = 8 * 1024
"""Bytes of answers that may wait to be sent to a peer; above that, the connection is not read."""


class Lagging(Protocol):
    """What a writer needs of a stream of which a viewer has a backlog, or of a history."""

    @property
    def is_bulk(self) -> bool:
        """True if its messages are of the class BULK."""

    def is_behind(self, viewer: ConnectionWriter, /) -> bool:
        """Return whether the viewer has a backlog."""

    def catch_up(self, viewer: ConnectionWriter, now: float, /) -> bool:
        """Queue the next piece. Returns True if this has to be called again."""


class ConnectionWriter:
    """Passes the messages of a session to its link.

    While the link can take them, messages are written at once (``pump``). For a viewer that is behind, and for a link
    that can only be awaited, a task writes the waiting messages as fast as the link takes them; it ends when none
    waits. Connections that catch up with a stream take turns.

    Args:
        session: the source of the messages.
        link: writes them.
        log: log of the connection.
        pace: turns of the handler's connections that catch up.
        rearm: called when the session's deadline may have changed.
        close: starts to close the connection; may be called more than once.

    Attributes:
        session: as passed.
        task: the latest task that wrote waiting messages; None if there was none.
    """

    def __init__(
        self,
        session: ServerSession,
        link: Link,
        log: ConnectionLog,
        pace: Pace,
        *,
        rearm: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        self.session = session
        self.task: asyncio.Task[None] | None = None
        self._link = link
        self._log = log
        self._pace = pace
        self._turn: asyncio.Future[bool] | None = None
        self._rearm = rearm
        self._close = close
        self._now = asyncio.get_running_loop().time
        self._lagging: list[Lagging] = []
        self._is_only_awaited = link.is_only_awaited
        self._portions: Portions | None = None
        self._portion: asyncio.Future[bool] | None = None
        self._is_lost = False
        self._answered: asyncio.Future[None] | None = None
        if CAN_SEND_TO_ALL and self._sends_past_link:
            link.share_descriptor(session)

    _sends_past_link = True
    """True if frames may be sent past the link and this writer, when both are free. See ``FanOut``."""

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame that is encoded for this session, or queue it.

        Args:
            outgoing: the frame.
            now: in seconds of the loop's clock.

        Returns:
            True if the frame was sent without queueing.
        """
        # While a viewer is behind, a task writes, so that this cannot overtake it.
        if self.session.is_held:
            self._queue(outgoing, now)
            return False
        if self._link.can_write and self.session.record_direct_send(outgoing, now):
            try:
                self._link.write(outgoing.frame)
            except Exception as error:
                self.lose(error)
            return True
        if self._is_only_awaited and not self._lagging and self.session.record_direct_send(outgoing, now):
            self.session.is_held = True
            self.task = begin(self._send_directly(outgoing.frame))
            return True
        self._queue(outgoing, now)
        return False

    def finish(self, rest: bytes) -> None:
        """Write the rest of a WebSocket frame of which the socket of the link has taken a part.

        Args:
            rest: the bytes that are missing; all of them if it has taken none.
        """
        try:
            self._link.write_rest(rest)
        except Exception as error:
            self.lose(error)

    def release(self) -> None:
        """Send the frames that wait for others, now; see ``lingering``. Here, none does."""

    def renegotiated(self) -> None:
        """Note that the session speaks another version, or with other capabilities."""

    def _queue(self, outgoing: Outgoing, now: float) -> None:
        """Queue a frame, and send what the link takes."""
        self.session.enqueue(outgoing, now)
        self.pump(now)
        if self._portion is not None and not self._next_is_large:
            self._send_ahead(now)
        if outgoing.acknowledged:
            self._rearm()

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame for the task, which waits for a turn from ``portions`` before it writes one."""
        self._portions = portions
        self.session.enqueue(outgoing, self._now())
        if outgoing.acknowledged:
            self._rearm()
        if not self.session.is_held and self.has_more:
            self._begin_to_write()
        if self.session.closing:
            self._close()

    def flush(self) -> None:
        """Send as many waiting messages as the link takes now. See ``pump``."""
        self.pump(self._now())

    def pump(self, now: float) -> None:
        """Send as many waiting messages as the link takes now; start a task for the rest.

        Args:
            now: in seconds of the loop's clock.
        """
        if not self.session.is_held:
            self._send_now(now)
            if self.has_more:
                self._begin_to_write()
            elif self.session.holds_data:
                self._rearm()
                self._log.drops(self.session.counters.dropped, now)
        elif self._turn is not None and not self._turn.done():  # only the backlog waits for the turn
            self._send_now(now)
            if self.session.has_waiting or self.session.closing:
                self._turn.set_result(False)
        if self.session.closing:
            self._wake_reader()
            self._close()

    @property
    def has_more(self) -> bool:
        """True if a message or a part of a backlog can be sent now."""
        return not self._is_lost and (self.session.has_waiting or self._may_catch_up)

    def bring_up_to_date(self, stream: Lagging) -> None:
        """Send the viewer its backlog of a stream, piece by piece. Call ``pump`` afterwards."""
        self._lagging.append(stream)

    def forget_streams(self) -> None:
        """Send no more of any backlog."""
        self._lagging.clear()

    def lose(self, error: Exception) -> None:
        """Log the failure of the link, and stop sending."""
        self._log.broke(error)
        self.shut()

    def shut(self) -> None:
        """Stop sending, and drop the link."""
        self._is_lost = self.session.is_held = True
        self._link.abort()
        self._wake_reader()

    @property
    def has_too_many_answers(self) -> bool:
        """True if so many answers wait to be sent that the connection must not be read (``MOST_ANSWERS``)."""
        return self.session.queued_answers > MOST_ANSWERS and not self._is_lost and self.session.closing is None

    async def wait_for_answers(self) -> None:
        """Wait until the peer has taken enough answers, or the connection is closing."""
        while self.has_too_many_answers:
            self._answered = asyncio.get_running_loop().create_future()
            await self._answered

    def _wake_reader(self) -> None:
        if self._answered is not None and not self._answered.done() and not self.has_too_many_answers:
            self._answered.set_result(None)

    @property
    def _may_catch_up(self) -> bool:
        return bool(self._lagging) and not self.session.holds_data and not self.session.closing

    def _send_ahead(self, now: float) -> None:
        """Send a small message, such as an alert, while a large frame waits for its turn."""
        if self._link.can_write:
            self._send_now(now)
        elif self._portion is not None and not self._portion.done():
            self._portion.set_result(False)  # the task sends it, and asks for another turn

    @property
    def _next_is_large(self) -> bool:
        """True if the next message has to wait for a turn from ``Portions``."""
        return self._portions is not None and self.session.next_bytes > LARGE

    def _send_now(self, now: float, has_portion: bool = False) -> None:
        session, link = self.session, self._link
        if self._lagging and link.can_write:
            self._queue_bulk(now)
        portion = PORTION if has_portion else 0
        while link.can_write and not self._is_lost:
            is_large = self._portions is not None and self._next_is_large
            if is_large and portion <= 0:
                break
            message = session.next_message(now)
            if message is None:
                break
            if is_large:
                portion -= len(message)
            self._write_now(message)
        if self._answered is not None:
            self._wake_reader()

    def _write_now(self, message: bytes) -> None:
        try:
            self._link.write(message)
        except Exception as error:
            self.lose(error)
        else:
            if self._link.is_closing:  # a transport whose peer is gone takes every message and discards it
                self.lose(ConnectionResetError("the peer is gone"))

    def _begin_to_write(self) -> None:
        self.session.is_held = True
        self.task = begin(self._write())

    async def _send_directly(self, frame: bytes) -> None:
        """Send a frame that was not queued over a link that can only be awaited, and what was queued meanwhile."""
        try:
            await self._link.send(frame)
        except Exception as error:
            self.lose(error)
            return
        if self.has_more:
            await self._write()
        else:
            self.session.is_held = self._is_lost

    async def _write(self) -> None:
        """Send the waiting messages as fast as the link takes them."""
        link = self._link
        try:
            while self.has_more:
                await link.writable()  # the next message is chosen after this, so that an alert goes first
                if self._may_catch_up:
                    has_turn = await self._take_turn()
                    if has_turn and self._may_catch_up:
                        self._catch_up(self._now())
                has_portion = False
                if self._portions is not None and self._next_is_large:
                    self._portion = self._portions.ask()
                    has_portion = await self._portion
                    self._portion = None
                    if not has_portion:
                        continue
                if link.can_write:
                    self._send_now(self._now(), has_portion)
                    self._rearm()
                else:
                    await self._send_some()
                self._log.drops(self.session.counters.dropped, self._now())
        except Exception as error:
            self.lose(error)
        else:
            self.session.is_held = self._is_lost
            if self.session.holds_data:  # until the peer answers PING, or the deadline passes
                self._rearm()

    async def _take_turn(self) -> bool:
        """Wait for a turn to catch up, or for a message that needs none. Returns whether it is a turn."""
        self._turn = self._pace.take()
        return self._turn is None or await self._turn

    async def _send_some(self) -> None:
        """Send some messages over a link that can only be awaited."""
        for _ in range(SENT_IN_A_TURN):
            message = self.session.next_message(self._now())
            if message is None:
                break
            await self._link.send(message)
            self._wake_reader()
            self._rearm()
            if self._next_is_large:
                break

    def _queue_bulk(self, now: float) -> None:
        """Queue the next piece of a backlog of the class BULK, which has its part of the bytes beside LIVE."""
        if not self._may_catch_up or self.session.version < 4:
            return
        for stream in list(self._lagging):
            if self.session.has_bulk:
                return
            if stream.is_bulk and stream.is_behind(self):
                self._lagging.remove(stream)
                if stream.catch_up(self, now):
                    self._lagging.append(stream)

    def _catch_up(self, now: float) -> None:
        """Queue the next piece of a backlog, if nothing waits that goes before it."""
        for _ in range(len(self._lagging)):
            stream = self._lagging.pop(0)
            if not stream.is_behind(self):
                continue
            if self._has_to_wait(stream):
                self._lagging.append(stream)
                continue
            before = self.session.queued_frames
            if stream.catch_up(self, now):
                self._lagging.append(stream)
            if self.session.queued_frames > before:
                return

    def _has_to_wait(self, stream: Lagging) -> bool:
        """Return whether a backlog waits for what is queued: LIVE for everything, BULK for BULK, which has its part."""
        if stream.is_bulk and self.session.version >= 4:
            return self.session.has_bulk
        return self.session.has_waiting

"""What goes out to one peer: at once where its link can take it, by a task as fast as the link takes it where not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .portions import LARGE, Portions
from .tasks import begin

if TYPE_CHECKING:
    from ..session import Outgoing, ServerSession
    from .connection_log import ConnectionLog
    from .link import Link
    from .pace import Pace
    from .stream import Stream

SENT_IN_A_TURN: Final = 16
"""Messages that a viewer who catches up is sent in its turn by a link that can only be awaited."""


class ConnectionWriter:
    """The way from a session to its link.

    What is to be sent goes out at once where the link can take it (``pump``). A viewer that is behind, and one whose
    link can only be awaited, has a task that sends what waits as fast as the link takes it; it ends when nothing
    waits. While it catches up with a stream, it takes turns with the others that do.

    Args:
        session: gives what is to be sent, next.
        link: takes it.
        log: is told when the link breaks, and of dropped frames.
        pace: gives the turns, to all connections of the handler.
        rearm: has the session's deadline looked at anew.
        close: begins to close the connection; may be called again.

    Attributes:
        session: as given.
        task: the latest task that sent what waited; None where there was none.
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
        self._turn: asyncio.Future[None] | None = None
        self._rearm = rearm
        self._close = close
        self._now = asyncio.get_running_loop().time
        self._lagging: deque[Stream] = deque()
        self._is_writing = False
        self._portions: Portions | None = None
        self._portion: asyncio.Future[bool] | None = None
        self._is_lost = False

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame that is encoded for this session, or queue it. Tells whether it was sent without queueing."""
        # While a stream lags behind, there is a task that writes.
        if not self._is_writing and self._link.can_write and self.session.record_direct_send(outgoing, now):
            try:
                self._link.write(outgoing.frame)
            except Exception as error:
                self.lose(error)
            return True
        self.session.enqueue(outgoing)
        self.pump(now)
        if self._portion is not None and not self._next_is_large:
            self._send_ahead(now)
        if outgoing.acknowledged:
            self._rearm()
        return False

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame, and leave it to a task, which writes large frames when it is given the turn for it."""
        self._portions = portions
        self.session.enqueue(outgoing)
        if outgoing.acknowledged:
            self._rearm()
        if not self._is_writing and self.has_more:
            self._begin_to_write()
        if self.session.closing:
            self._close()

    def flush(self) -> None:
        """Send what can be sent at once."""
        self.pump(self._now())

    def pump(self, now: float) -> None:
        """Send as much of what waits as the link takes now; leave the rest to a task."""
        if not self._is_writing:
            self._send_now(now)
            if self.has_more:
                self._begin_to_write()
            elif self.session.holds_data:
                self._rearm()
                self._log.drops(self.session.counters.dropped, now)
        elif self._turn is not None and not self._turn.done():  # what waits now does not wait for the turn
            self._send_now(now)
            if self.session.has_waiting or self.session.closing:
                self._turn.set_result(None)
        if self.session.closing:
            self._close()

    @property
    def has_more(self) -> bool:
        """Whether something can be sent now."""
        return not self._is_lost and (self.session.has_waiting or self._may_catch_up)

    def bring_up_to_date(self, stream: Stream) -> None:
        """Send the viewer what it is behind with, piece by piece. Call ``pump`` afterwards."""
        self._lagging.append(stream)

    def forget_streams(self) -> None:
        """Bring up to date no longer."""
        self._lagging.clear()

    def lose(self, error: Exception) -> None:
        """The link is broken: nothing is sent any more."""
        self._log.broke(error)
        self.shut()

    def shut(self) -> None:
        """Send nothing any more, and drop the link."""
        self._is_lost = self._is_writing = True
        self._link.abort()

    @property
    def _may_catch_up(self) -> bool:
        return bool(self._lagging) and not self.session.holds_data and not self.session.closing

    def _send_ahead(self, now: float) -> None:
        """Send an alert at once, while a large frame waits for its turn."""
        if self._link.can_write:
            self._send_now(now)
        elif self._portion is not None and not self._portion.done():
            self._portion.set_result(False)  # the task sends it, and asks for another turn

    @property
    def _next_is_large(self) -> bool:
        """Whether what goes next is to be written in its turn."""
        return self._portions is not None and self.session.next_bytes > LARGE

    def _send_now(self, now: float, has_portion: bool = False) -> None:
        session, link = self.session, self._link
        while link.can_write and not self._is_lost:
            if self._portions is not None and self._next_is_large:
                if not has_portion:
                    break
                has_portion = False
            message = session.next_message(now)
            if message is None:
                break
            self._write_now(message)

    def _write_now(self, message: bytes) -> None:
        try:
            self._link.write(message)
        except Exception as error:
            self.lose(error)
        else:
            if self._link.is_closing:  # a transport takes all that is written to it when its peer has gone
                self.lose(ConnectionResetError("the peer is gone"))

    def _begin_to_write(self) -> None:
        self._is_writing = True
        self.task = begin(self._write())

    async def _write(self) -> None:
        """Send what waits, as fast as the link takes it."""
        link = self._link
        try:
            while self.has_more:
                await link.writable()  # only then is it decided what goes next, so that an alert comes first
                if self._may_catch_up:
                    await self._take_turn()
                    if self._may_catch_up and not self.session.has_waiting:
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
            self._is_writing = self._is_lost
            if self.session.holds_data:  # until the peer answers, or time is up
                self._rearm()

    async def _take_turn(self) -> None:
        """Wait for a turn, or for what is to be sent without one."""
        self._turn = self._pace.take()
        if self._turn is not None:
            await self._turn

    async def _send_some(self) -> None:
        """Send some messages by a link that can only be awaited."""
        for _ in range(SENT_IN_A_TURN):
            message = self.session.next_message(self._now())
            if message is None:
                break
            await self._link.send(message)
            self._rearm()
            if self._next_is_large:
                break

    def _catch_up(self, now: float) -> bool:
        """Queue a piece of what is missing of a stream. Tells whether something waits now."""
        while self._lagging:
            stream = self._lagging.popleft()
            if stream.is_behind(self) and stream.catch_up(self, now):
                self._lagging.append(stream)
            if self.session.has_waiting:
                return True
        return False

"""Lets LIVE frames of a connection wait for others for a moment, so that they leave in one WebSocket message.

A central station that watches 64 beds at 20 frames a second is sent 1,280 messages a second, and each of them costs the
server a system call, and the browser an event. With ``Settings.linger`` of a few milliseconds, frames that are
published together are sent together. Alerts and control messages do not wait, and nothing waits behind a timer that
would otherwise have to wait for the network: such frames are queued, and sent in batches anyway.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..protocol import MAX_BATCH_FRAMES, Capability
from ..session.outgoing import Tier
from .connection_writer import ConnectionWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..session import Outgoing, ServerSession
    from .connection_log import ConnectionLog
    from .link import Link
    from .pace import Pace
    from .portions import Portions

LARGEST: Final = 16 * 1024
"""Most bytes of frames that wait. An alert overtakes none of them, and records of this size stand for no more samples
than a receiver accepts in one message."""


class Linger:
    """The connections of a handler that have frames waiting, and the timer that sends them.

    Args:
        seconds: for which the first frame waits.
    """

    __slots__ = ("_seconds", "_timer", "_writers")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._writers: dict[LingeringWriter | QueueingWriter, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, writer: LingeringWriter | QueueingWriter) -> None:
        """Send the frames of a connection when the time has passed, which may have begun for another one."""
        self._writers[writer] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._send_all)

    def _send_all(self) -> None:
        self._timer = None
        writers, self._writers = self._writers, {}
        frames: list[bytes] = []
        message = b""
        for writer in writers:
            if isinstance(writer, QueueingWriter):
                writer.flush()
                continue
            # Viewers of the same streams have the same frames: they share the message.
            if writer.waiting != frames:
                frames = writer.waiting
                message = frames[0] if len(frames) == 1 else b"".join(frames)
            if frames:
                writer.send_waiting(message)


class LingeringWriter(ConnectionWriter):
    """A writer whose LIVE frames wait for others, if the peer supports batches and the link writes at once.

    Args:
        session: see ``ConnectionWriter``, as all arguments but one.
        link: see there.
        log: see there.
        pace: see there.
        linger: shared by the connections of the handler.
        rearm: see ``ConnectionWriter``.
        close: see there.

    Attributes:
        linger: shared by the connections of the handler.
        waiting: the frames that wait. Their session has recorded them as sent.
    """

    def __init__(
        self,
        session: ServerSession,
        link: Link,
        log: ConnectionLog,
        pace: Pace,
        linger: Linger,
        *,
        rearm: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        super().__init__(session, link, log, pace, rearm=rearm, close=close)
        self.linger = linger
        self.waiting: list[bytes] = []
        self._nbytes = 0

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame, let it wait for others, or queue it. See ``ConnectionWriter.take``."""
        session = self.session
        if outgoing.tier is not Tier.LIVE or outgoing.deflated or outgoing.nbytes > LARGEST - self._nbytes:
            self.release()
            return super().take(outgoing, now)
        if Capability.BATCH not in session.capabilities:
            return super().take(outgoing, now)
        if self._is_writing or not self._link.can_write or not session.record_direct_send(outgoing, now):
            self._queue(outgoing, now)
            return False
        self.waiting.append(outgoing.frame)
        self._nbytes += outgoing.nbytes
        if len(self.waiting) == 1:
            self.linger.add(self)
        elif len(self.waiting) == MAX_BATCH_FRAMES:
            self.release()
        return True

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame, behind those that wait. See ``ConnectionWriter.take_in_turn``."""
        self.release()
        super().take_in_turn(outgoing, portions)

    def pump(self, now: float) -> None:
        """Send what waits, then what is queued. See ``ConnectionWriter.pump``."""
        self.release()
        super().pump(now)

    def release(self) -> None:
        """Send the frames that wait, now."""
        if self.waiting:
            self.send_waiting(self.waiting[0] if len(self.waiting) == 1 else b"".join(self.waiting))

    def send_waiting(self, message: bytes) -> None:
        """Write the frames that wait; ``message`` holds them."""
        self.waiting = []
        self._nbytes = 0
        if not self._is_lost:
            self._write_now(message)


class QueueingWriter(ConnectionWriter):
    """A writer for a link that can only be awaited. Its LIVE frames wait in the queue of the session for others.

    Arguments and attributes are those of ``LingeringWriter``. Whatever else is sent, or received, ends the wait.
    """

    def __init__(
        self,
        session: ServerSession,
        link: Link,
        log: ConnectionLog,
        pace: Pace,
        linger: Linger,
        *,
        rearm: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        super().__init__(session, link, log, pace, rearm=rearm, close=close)
        self.linger = linger

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Queue a frame, and let it wait for others if it may. See ``ConnectionWriter.take``."""
        session = self.session
        if (
            outgoing.tier is not Tier.LIVE
            or outgoing.deflated
            or outgoing.queued
            or self._is_writing
            or session.queued_bytes + outgoing.nbytes > LARGEST
            or session.queued_frames >= MAX_BATCH_FRAMES
            or Capability.BATCH not in session.capabilities
        ):
            return super().take(outgoing, now)
        session.enqueue(outgoing, now)
        if session.closing:
            self.pump(now)
        else:
            self.linger.add(self)
        return False

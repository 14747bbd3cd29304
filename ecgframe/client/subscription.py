"""One stream that the application follows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

from .cursor import Gap, StreamCursor
from .message_queue import MessageQueue, QueuedItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import Self

    from ..codec import Message
    from .connection import Connection
    from .message_queue import Owner

KEPT_GAPS: Final = 1000
"""Gaps that a subscription remembers; it counts them all."""

_STARTED_AT: Final = (time.time_ns() - time.monotonic_ns()) // 1000

Status = Literal["asked", "subscribed", "unsubscribed", "denied", "closed"]


class Subscription(MessageQueue):
    """The messages of one stream, each once and in order, over any number of connections.

    >>> async with client.subscribe("ecg/bed-7") as subscription:
    ...     async for message in subscription:
    ...         show(message.data["signal"])

    ``client.subscribe`` makes it and says what the iterator raises. Urgent messages (alerts, and those with the
    PRIORITY flag) come as soon as they can, ahead of others.

    What can no longer be had is a ``Gap``. It is noted, and told to ``on_gap``, when the iterator passes it: between
    the message before and the one behind. An exception of ``on_gap`` comes out of the iterator.

    Attributes:
        stream: its name.
        status: "asked" until the server has answered, "subscribed", "denied", "unsubscribed" once it was left, "closed"
            with the client.
        gaps: the last gaps, oldest first.
        gap_count: all gaps so far.
        dropped: frames that the server is known to have dropped because they were not taken fast enough.
        duplicates: messages that came again and were not handed over twice.
    """

    def __init__(
        self,
        owner: Owner,
        stream: str,
        *,
        since: int | datetime | None,
        capacity: int,
        on_gap: Callable[[Gap], object] | None,
    ) -> None:
        super().__init__(owner, capacity)
        self.stream = stream
        self.status: Status = "asked"
        self.gaps: deque[Gap] = deque(maxlen=KEPT_GAPS)
        self.gap_count = 0
        self.dropped = 0
        self.duplicates = 0
        self.cursor = StreamCursor(stream, since)
        self._on_gap = on_gap
        self._answered = asyncio.Event()
        self._clock_offset = 0
        """The server's clock minus this machine's steady one, in microseconds, where messages have no timestamps."""
        self._pauses: Iterator[float] | None = None

    def __repr__(self) -> str:
        return f"<Subscription {self.stream!r} {self.status}, {self.waiting} waiting>"

    async def __aenter__(self) -> Self:
        """Wait for the server's answer; a server of old that never negotiated may give none, and is not waited for.

        Raises:
            Exception: as the iterator does; see ``Client.subscribe``.
        """
        try:
            await self._answered.wait()
        except asyncio.CancelledError:
            self._owner.leave(self)
            raise
        if self._failure:
            raise self._failure
        return self

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values."""
        return {
            "status": self.status,
            "received": self.received,
            "waiting": self.waiting,
            "gaps": self.gap_count,
            "dropped": self.dropped,
            "duplicates": self.duplicates,
        }

    # --- the client's side ---

    def deliver(self, message: Message, connection: Connection) -> None:
        """A message of this stream came."""
        items = self.cursor.take(message, self._server_now())
        if not items:
            self.duplicates += 1
            self.came_again(message, connection)
        for item in items:
            if isinstance(item, Gap):
                self._put_gap(item)
            else:
                self.put(QueuedItem(item, item.nbytes, connection))

    @property
    def was_granted(self) -> bool:
        """Whether the server has said yes before."""
        return self._answered.is_set()

    def next_delay(self, delays: Callable[[], Iterator[float]]) -> float:
        """Seconds until it is to be asked for again."""
        if self._pauses is None:
            self._pauses = delays()
        return next(self._pauses)

    def granted(self, start: int | None = None, timestamp: int | None = None) -> None:
        """The server has answered; before V3, its answer has no timestamp. See ``StreamCursor.answered``."""
        self.status = "subscribed"
        self._answered.set()
        self._pauses = None
        if timestamp is not None:
            self._put_gaps(self.cursor.answered(start, timestamp))
            return
        if start is not None:
            self._clock_offset = start - steady_now()
        self._put_gaps(self.cursor.answered_untimed(start, self._server_now()))

    def granted_by_an_old_server(self) -> None:
        """The server has been asked, and may or may not answer; it goes on from now in any case."""
        self.status = "subscribed"
        self._answered.set()
        self._put_gaps(self.cursor.started_anew(self._server_now()))

    def dropped_by_server(self, start: int, stop: int, frames: int, *, timed: bool) -> None:
        """The server has dropped frames. See ``StreamCursor.noticed``."""
        self._put_gap(self.cursor.noticed(start, stop, frames, timed=timed))

    def connection_lost(self) -> None:
        """The connection over which the stream came is gone."""
        self.status = "asked"

    def end(self, failure: Exception | None = None, *, empty: bool = False, status: Status = "closed") -> None:
        """Nothing more will come. See ``MessageQueue.end``."""
        if not self._ended:
            self.status = status
            self._put_gaps(self.cursor.ended())
        super().end(failure, empty=empty)
        self._answered.set()

    def _server_now(self) -> int:
        return steady_now() + self._clock_offset

    def _put_gaps(self, gaps: Iterable[Gap]) -> None:
        for gap in gaps:
            self._put_gap(gap)

    def _put_gap(self, gap: Gap | None) -> None:
        if gap is None:
            return
        if self._queued and isinstance(last := self._queued[-1].item, Gap):
            self._queued[-1] = QueuedItem(last.joined(gap), 0, None)
        else:
            self.put(QueuedItem(gap, 0, None))

    # --- the application's side ---

    def _note_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self.gap_count += 1
        self.dropped += gap.frames or 0
        if self._on_gap:
            self._on_gap(gap)


def steady_now() -> int:
    """Microseconds since 1970, by this machine's clock as it was when the program began: it is never set."""
    return _STARTED_AT + time.monotonic_ns() // 1000

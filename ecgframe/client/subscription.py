"""A subscription of one stream."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

from ..foreign_text import gated_logger
from ..protocol import Form
from ..signing import Unattested
from .callbacks import call_safely
from .cursor import Gap, StreamCursor
from .message_queue import MessageQueue, QueuedItem
from .numbered_cursor import NumberedCursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import Self

    from ..codec import Message
    from ..signing import Attested
    from .connection import Connection
    from .message_queue import Owner

log = gated_logger("ecgframe.client")

KEPT_GAPS: Final = 1000
"""Number of gaps that a subscription remembers; all are counted."""

_RECORD: Final = int(Form.RECORD)

_STARTED_AT: Final = (time.time_ns() - time.monotonic_ns()) // 1000

Status = Literal["asked", "subscribed", "unsubscribed", "denied", "closed"]


class Subscription(MessageQueue):
    """The messages of one stream, each once and in order, over any number of connections.

    >>> async with client.subscribe("ecg/bed-7") as subscription:
    ...     async for message in subscription:
    ...         show(message.data["signal"])

    ``client.subscribe`` creates it, and documents what the iterator raises. Urgent messages (alerts, and messages with
    PRIORITY) overtake others.

    Lost messages are a ``Gap``. It is added to ``gaps`` and passed to ``on_gap`` when the iterator reaches it: after
    the message before it, and before the message after it. Exceptions of ``on_gap`` go to the event loop's exception
    handler.

    Attributes:
        stream: its name.
        status: "asked" until the server has answered, then "subscribed" or "denied"; "unsubscribed" after the
            application has unsubscribed, "closed" after the client is closed.
        gaps: the last gaps, oldest first.
        gap_count: number of all gaps.
        dropped: number of messages known to be lost; mostly frames that the server dropped because this client was too
            slow.
        duplicates: number of messages that arrived again and were not returned twice.
        catch_up: age in seconds of the oldest messages that it gets after an interruption; None for all.
        attested: number of messages that known signers have attested; templates are counted, too.
        unattested: number of messages that none of them attested in time.
    """

    def __init__(
        self,
        owner: Owner,
        stream: str,
        *,
        since: int | datetime | None,
        capacity: int,
        on_gap: Callable[[Gap], object] | None,
        catch_up: float | None = None,
        on_attestation: Callable[[Attested | Unattested], object] | None = None,
    ) -> None:
        super().__init__(owner, capacity)
        self.catch_up = catch_up
        self.stream = stream
        self.status: Status = "asked"
        self.gaps: deque[Gap] = deque(maxlen=KEPT_GAPS)
        self.gap_count = 0
        self.dropped = 0
        self.duplicates = 0
        self.cursor = StreamCursor(stream, since)
        self.numbers = NumberedCursor(stream, self.cursor)
        self.attested = 0
        self.unattested = 0
        self._is_attested = True
        self._on_gap = on_gap
        self._on_attestation = on_attestation
        self._answered = asyncio.Event()
        self._clock_offset = 0
        """The server's clock minus ``steady_now()``, in microseconds; used where messages have no timestamps."""
        self._pauses: Iterator[float] | None = None
        self._pause = 0.0

    def __repr__(self) -> str:
        return f"<Subscription {self.stream!r} {self.status}, {self.waiting} waiting>"

    async def __aenter__(self) -> Self:
        """Wait for the server's answer. An old server that does not negotiate may not answer, so this does not wait.

        Raises:
            Exception: as the iterator; see ``Client.subscribe``.
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
            "attested": self.attested,
            "unattested": self.unattested,
        }

    # --- the client's side ---

    def deliver(self, message: Message, connection: Connection, epoch: int | None = None) -> None:
        """Process a message of this stream; ``epoch`` is that of its number, if it has one."""
        items: list[Message | Gap]
        if epoch is not None:
            items = self.numbers.take(message, epoch)
        elif self.numbers.epoch is not None:
            # It does not belong to the stream, and does not move the position; after a resume, it may come again.
            items = [message] if self.cursor.follow_ahead(message.timestamp or 0) else []
        else:
            items = self.cursor.take(message, self._server_now())
        if not items or items[-1] is not message:
            self.duplicates += 1
            self.came_again(message, connection)
        for item in items:
            if isinstance(item, Gap):
                self._put_gap(item)
            else:
                self.put(QueuedItem(item, size_of(item), connection))

    def pass_template(self, message: Message, epoch: int) -> None:
        """Process a message of this stream that the application does not get."""
        self._put_gaps(self.numbers.pass_template(message, epoch))

    def refused(self, epoch: int, number: int) -> None:
        """Process a message of this stream that was refused."""
        self._put_gaps(self.numbers.refused(epoch, number))

    def note_attested(self, found: Attested | Unattested) -> None:
        """Note that messages were attested, or were not in time. A change is logged."""
        if isinstance(found, Unattested):
            self.unattested += len(found.numbers)
            if self._is_attested:
                log.warning("%r: no known signer has attested %d messages in time", self.stream, len(found.numbers))
            self._is_attested = False
        else:
            self.attested += len(found.numbers)
            if found.missing:
                log.warning("%r: %d attestations are missing", self.stream, found.missing)
            if not self._is_attested:
                log.info("%r: messages are attested again, by %s", self.stream, found.signer.hex())
            self._is_attested = True
        if self._on_attestation:
            call_safely(self._on_attestation, found)

    def changed(self, epoch: int, next: int, timestamp: int, ended: int | None = None) -> None:
        """Note an answer without a request. See ``NumberedCursor.changed``."""
        self.numbers.changed(epoch, next, timestamp, ended)

    @property
    def was_granted(self) -> bool:
        """True if the server has granted the subscription before."""
        return self._answered.is_set()

    def next_delay(self, delays: Callable[[], Iterator[float]]) -> float:
        """Return the seconds to wait before subscribing again."""
        if self._pauses is None:
            self._pauses = delays()
            self._pause = 0.0
        self._pause = next(self._pauses, self._pause)  # after the last delay, it is repeated
        return self._pause

    def granted(
        self,
        start: int | None = None,
        timestamp: int | None = None,
        epoch: int | None = None,
        next: int | None = None,
        ended: int | None = None,
    ) -> None:
        """Note the server's answer, which has no timestamp before V3. See ``StreamCursor.answered``."""
        self.status = "subscribed"
        self._answered.set()
        self._pauses = None
        if timestamp is not None and epoch is not None and next is not None:
            self._put_gaps(self.numbers.answered(epoch, next, start, timestamp, ended))
            return
        self._put_gaps(self.numbers.forget())
        if timestamp is not None:
            self._put_gaps(self.cursor.answered(start, timestamp))
            return
        if start is not None:
            self._clock_offset = start - steady_now()
        self._put_gaps(self.cursor.answered_untimed(start, self._server_now()))

    def granted_by_an_old_server(self) -> None:
        """Note that messages follow from now on: an old server may not answer."""
        self.status = "subscribed"
        self._answered.set()
        self._put_gaps(self.numbers.forget())
        self._put_gaps(self.cursor.started_anew(self._server_now()))

    def dropped_by_server(self, start: int, stop: int, frames: int, *, timed: bool) -> None:
        """Note that the server has dropped frames. See ``StreamCursor.noticed``."""
        self._put_gap(self.cursor.noticed(start, stop, frames, timed=timed))

    def connection_lost(self) -> None:
        """Note that the connection is lost."""
        self.status = "asked"
        self.numbers.connection_lost()

    def end(self, failure: Exception | None = None, *, empty: bool = False, status: Status = "closed") -> None:
        """Note that no more messages will arrive. See ``MessageQueue.end``."""
        if not self._ended:
            self.status = status
            self._put_gaps([*self.numbers.ended(), *self.cursor.ended()])
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
            call_safely(self._on_gap, gap)


def size_of(message: Message) -> int:
    """Return the bytes that a message counts in a queue: its payload or, if larger, the samples of a record."""
    is_record = message.form and int(message.form) & _RECORD
    signal = message.data.get("signal") if is_record and isinstance(message.data, dict) else None
    return max(message.nbytes, getattr(signal, "nbytes", 0))


def steady_now() -> int:
    """Return microseconds since 1970 by the monotonic clock, set by the local clock when this module is imported."""
    return _STARTED_AT + time.monotonic_ns() // 1000

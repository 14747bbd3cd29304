"""The messages of this server that wait to be written to Redis, and the last ones that were written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...codec import EncodedFrame
    from .positions import OwnPlace, Position

BATCH_MESSAGES: Final = 128
BATCH_BYTES: Final = 1024 * 1024


class Message:
    """A message that this server publishes.

    Attributes:
        number: consecutive number over all streams of this server.
        stream: name of the stream.
        encoded: the canonical frame; None for a template or an attestation, which are not delivered before they are
            read from Redis, and for a message of an opened stream, which is delivered as ``frame``.
        own: the number that the publisher of an opened stream has given it; None if Redis numbers it.
        is_bulk: its class; None if it decides nothing.
        link: of an attestation, its place among those of its signer, for the script; empty for anything else.
        frame: the bytes for Redis.
        made_for: the epoch of the stream for which ``frame`` was made; 0 if it fits any.
        position: its number in Redis, once it is known.
        nbytes: bytes that it takes here.
        time: the wanted timestamp, and once it is written, the actual one, in microseconds since 1970.
        published: when it was published, in seconds of the loop's clock.
        written: when Redis confirmed it, in seconds of the loop's clock; None before.
        lost_before: messages of this server before it that will never be written; 0 once it is written.
        delivery: set to the timestamp once the message is delivered on this server.
    """

    __slots__ = (
        "_plain",
        "delivery",
        "encoded",
        "frame",
        "is_bulk",
        "link",
        "lost_before",
        "made_for",
        "nbytes",
        "number",
        "own",
        "position",
        "published",
        "stream",
        "time",
        "written",
    )

    def __init__(
        self,
        number: int,
        stream: str,
        time: int,
        encoded: EncodedFrame | None,
        plain: bytes | None = None,
        record: bytes | None = None,
        made_for: int = 0,
        *,
        own: OwnPlace | None = None,
        is_bulk: bool | None = None,
        link: str = "",
    ) -> None:
        """Make a message.

        Args:
            number: see above.
            stream: see above.
            time: see above.
            encoded: see above.
            plain: the frame for Redis that fits any epoch; that of ``encoded`` if None.
            record: the frame for Redis that fits ``made_for`` alone, a record or a template.
            made_for: see above.
            own: see above.
            is_bulk: see above.
            link: see above.
        """
        loop = asyncio.get_running_loop()
        self.number = number
        self.stream = stream
        self.time = time
        self.encoded = encoded
        self._plain = (b"" if encoded is None else encoded.frame) if plain is None else plain
        self.frame = self._plain if record is None else record
        self.made_for = made_for
        self.own = own
        self.is_bulk = is_bulk
        self.link = link
        self.position: Position | None = None
        self.nbytes = len(self._plain) + (0 if record is None else len(record))
        self.published = loop.time()
        self.written: float | None = None
        self.lost_before = 0
        self.delivery: asyncio.Future[int] = loop.create_future()

    @property
    def is_counted(self) -> bool:
        """False for a template or an attestation that this server has made: nobody misses it."""
        return self.encoded is not None or self.own is not None

    @property
    def class_sent(self) -> str:
        """Its class for the script: empty if it decides nothing, as a message that was delivered already."""
        if self.is_bulk is None or (self.own is None and self.delivery.done()):
            return ""
        return str(int(self.is_bulk))

    def fit_any_epoch(self) -> bool:
        """Let ``frame`` be one that fits any epoch. Returns False if there is none: a template or an attestation."""
        self.frame, self.made_for = self._plain, 0
        return self.encoded is not None


class Outbox:
    """Messages in the order of their numbers: first those that Redis has, then those that wait to be written.

    Written messages are kept for a while, because Redis may lose them when it restarts.

    Args:
        seconds: seconds for which a message is kept.
        max_bytes: bytes of all frames together.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._written: deque[Message] = deque()
        self._waiting: deque[Message] = deque()
        self._written_bytes = 0
        self.waiting_bytes = 0

    @property
    def waiting(self) -> int:
        """Messages that Redis does not have yet."""
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Add a message that waits to be written."""
        self._waiting.append(message)
        self.waiting_bytes += message.nbytes

    def shrink(self, now: float) -> list[Message]:
        """Drop messages that are too old or exceed ``max_bytes``; return those of them that Redis does not have.

        Messages that are not delivered on this server yet are kept.

        Args:
            now: in seconds of the loop's clock.
        """
        oldest = now - self._seconds
        while self._written and (self._written[0].published < oldest or self._too_much()):
            self._written_bytes -= self._written.popleft().nbytes
        lost: list[Message] = []
        while self._waiting and (self._waiting[0].published < oldest or self._too_much()):
            if not self._waiting[0].delivery.done():
                break
            dropped = self._waiting.popleft()
            self.waiting_bytes -= dropped.nbytes
            if dropped.is_counted:
                lost.append(dropped)
        return lost

    def drop_waiting(self) -> list[Message]:
        """Drop the messages that Redis does not have yet; return them."""
        dropped = list(self._waiting)
        self._waiting.clear()
        self.waiting_bytes = 0
        return dropped

    def _too_much(self) -> bool:
        return self._written_bytes + self.waiting_bytes > self._max_bytes

    def batch(self) -> list[Message]:
        """Return the next messages to write, few enough not to delay other clients of Redis."""
        batch: list[Message] = []
        nbytes = 0
        for message in self._waiting:
            nbytes += message.nbytes
            if batch and (len(batch) == BATCH_MESSAGES or nbytes > BATCH_BYTES):
                break
            batch.append(message)
        return batch

    def confirm(self, batch: list[Message], now: float) -> None:
        """Mark messages as written."""
        for message in batch:
            if not self._waiting or self._waiting[0] is not message:
                continue  # dropped meanwhile
            self._waiting.popleft()
            self.waiting_bytes -= message.nbytes
            message.written = now
            self._written.append(message)
            self._written_bytes += message.nbytes

    def forget(self, message: Message) -> None:
        """Forget a message that Redis has refused: it is not written again."""
        if message in self._written:
            self._written.remove(message)
            self._written_bytes -= message.nbytes

    def fit_other_epoch(self, stream: str, epoch: int) -> list[Message]:
        """Make the waiting messages of a stream that were made for an epoch fit any other.

        Returns:
            The templates among them: they are dropped.
        """
        kept: deque[Message] = deque()
        dropped: list[Message] = []
        for message in self._waiting:
            if message.stream == stream and message.made_for == epoch and not message.fit_any_epoch():
                self.waiting_bytes -= message.nbytes
                dropped.append(message)
            else:
                kept.append(message)
        self._waiting = kept
        return dropped

    def last_written(self) -> dict[str, int]:
        """Return the number of the last written message of each stream."""
        return {message.stream: message.number for message in self._written}

    def take_back(self, marks: Mapping[str, int]) -> list[Message]:
        """Let messages that Redis has lost wait to be written again; return them.

        Args:
            marks: by stream, the number of the last message of this server that Redis has.
        """
        lost = [message for message in self._written if message.number > marks.get(message.stream, message.number)]
        if lost:
            gone = {message.number for message in lost}
            self._written = deque(message for message in self._written if message.number not in gone)
            self._waiting.extendleft(reversed(lost))
            nbytes = sum(message.nbytes for message in lost)
            self._written_bytes -= nbytes
            self.waiting_bytes += nbytes
        return lost

"""The messages of this server that wait to be written to Redis, and the last ones that were written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...codec import EncodedFrame

BATCH_MESSAGES: Final = 128
BATCH_BYTES: Final = 1024 * 1024


class Message:
    """A message that this server publishes.

    Attributes:
        number: consecutive number over all streams of this server.
        stream: name of the stream.
        encoded: the canonical frame.
        time: the wanted timestamp, and once it is written, the actual one, in microseconds since 1970.
        published: when it was published, in seconds of the loop's clock.
        written: when Redis confirmed it, in seconds of the loop's clock; None before.
        delivery: set to the timestamp once the message is delivered on this server.
    """

    __slots__ = ("delivery", "encoded", "number", "published", "stream", "time", "written")

    def __init__(self, number: int, stream: str, time: int, encoded: EncodedFrame) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.stream = stream
        self.time = time
        self.encoded = encoded
        self.published = loop.time()
        self.written: float | None = None
        self.delivery: asyncio.Future[int] = loop.create_future()

    @property
    def frame(self) -> bytes:
        """The bytes of the frame."""
        return self.encoded.frame


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
        self.waiting_bytes += len(message.frame)

    def shrink(self, now: float) -> int:
        """Drop messages that are too old or exceed ``max_bytes``; return how many of them Redis does not have.

        Messages that are not delivered on this server yet are kept.

        Args:
            now: in seconds of the loop's clock.
        """
        oldest = now - self._seconds
        while self._written and (self._written[0].published < oldest or self._too_much()):
            self._written_bytes -= len(self._written.popleft().frame)
        lost = 0
        while self._waiting and (self._waiting[0].published < oldest or self._too_much()):
            if not self._waiting[0].delivery.done():
                break
            self.waiting_bytes -= len(self._waiting.popleft().frame)
            lost += 1
        return lost

    def _too_much(self) -> bool:
        return self._written_bytes + self.waiting_bytes > self._max_bytes

    def batch(self) -> list[Message]:
        """Return the next messages to write, few enough not to delay other clients of Redis."""
        batch: list[Message] = []
        nbytes = 0
        for message in self._waiting:
            nbytes += len(message.frame)
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
            self.waiting_bytes -= len(message.frame)
            message.written = now
            self._written.append(message)
            self._written_bytes += len(message.frame)

    def last_written(self) -> dict[str, int]:
        """Return the number of the last written message of each stream."""
        return {message.stream: message.number for message in self._written}

    def take_back(self, marks: Mapping[str, int]) -> int:
        """Let messages that Redis has lost wait to be written again; return how many there are.

        Args:
            marks: by stream, the number of the last message of this server that Redis has.
        """
        lost = [message for message in self._written if message.number > marks.get(message.stream, message.number)]
        if lost:
            gone = {message.number for message in lost}
            self._written = deque(message for message in self._written if message.number not in gone)
            self._waiting.extendleft(reversed(lost))
            nbytes = sum(len(message.frame) for message in lost)
            self._written_bytes -= nbytes
            self.waiting_bytes += nbytes
        return len(lost)

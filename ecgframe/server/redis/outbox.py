"""The messages of one server on their way into Redis, and the last ones that are there already."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

BATCH_MESSAGES: Final = 128
BATCH_BYTES: Final = 1024 * 1024


class Message:
    """A message that this server publishes.

    Attributes:
        number: counts all messages of this server, whatever their stream.
        stream: its name.
        frame: the canonical frame.
        time: the timestamp it shall have, then the one that it has, in microseconds.
        published: by the loop's clock, in seconds.
        written: when Redis said that it has it, by the loop's clock; None before.
        delivery: done with the timestamp as soon as the message was delivered on this server.
    """

    __slots__ = ("delivery", "frame", "number", "published", "stream", "time", "written")

    def __init__(self, number: int, stream: str, time: int, frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.stream = stream
        self.time = time
        self.frame = frame
        self.published = loop.time()
        self.written: float | None = None
        self.delivery: asyncio.Future[int] = loop.create_future()


class Outbox:
    """Messages in the order of their numbers: first those that Redis has, then those that wait for it.

    Those that Redis has are kept for a while, because it may come back without them.

    Args:
        seconds: that a message is kept.
        max_bytes: that all frames in it have together.
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
        """Have a message wait for Redis."""
        self._waiting.append(message)
        self.waiting_bytes += len(message.frame)

    def shrink(self, now: float) -> int:
        """Let go what is too old or too much; return how many of those Redis did not have.

        What was not delivered here yet stays: somebody waits for it.
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
        """The next messages to write: as many as Redis takes without others noticing. They go on waiting."""
        batch: list[Message] = []
        nbytes = 0
        for message in self._waiting:
            nbytes += len(message.frame)
            if batch and (len(batch) == BATCH_MESSAGES or nbytes > BATCH_BYTES):
                break
            batch.append(message)
        return batch

    def confirm(self, batch: list[Message], now: float) -> None:
        """Redis has answered to these."""
        for message in batch:
            if not self._waiting or self._waiting[0] is not message:
                continue  # let go in the meantime
            self._waiting.popleft()
            self.waiting_bytes -= len(message.frame)
            message.written = now
            self._written.append(message)
            self._written_bytes += len(message.frame)

    def last_written(self) -> dict[str, int]:
        """The number of the last message that Redis has, by stream."""
        return {message.stream: message.number for message in self._written}

    def take_back(self, marks: Mapping[str, int]) -> int:
        """Have those wait again that Redis has lost; return how many.

        Args:
            marks: by stream, the number of the last message of this server that Redis still knows of.
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

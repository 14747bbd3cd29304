"""The bounded queue of messages between the connection and the application."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..protocol import Flag
from .cursor import Gap

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..codec import Message

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes of inflated payloads that may wait in one queue before the client stops reading. One payload may be larger."""

OVERDRAFT_BYTES: Final = 16 * 1024 * 1024
OVERDRAFT_MESSAGES: Final = 16 * 1024
"""Additional limits while the application awaits an answer: the answer arrives after everything that is in transit, and
the buffers of both kernels hold several megabytes."""


class Pressure(IntEnum):
    """How full a queue is."""

    ROOM = 0
    FULL = 1
    """The connection is read only while an answer is awaited."""
    OVERFULL = 2
    """The connection is not read."""


_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)  # operations on a Flag are slow

_numbers = count()


class Owner(Protocol):
    """The interface that a queue needs of its client."""

    def pressure_changed(self, queue: MessageQueue) -> None:
        """The pressure of the queue has changed."""

    def leave(self, queue: MessageQueue) -> None:
        """The application does not use the queue any more."""


class Acknowledger(Protocol):
    """The connection over which a message arrived: its acknowledgement can only be sent there."""

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a message that the application has."""


class QueuedItem(NamedTuple):
    """An item of a queue: a message, or a gap."""

    item: Message | Gap
    nbytes: int
    """Size of the inflated payload, which may be a thousand times the size of the frame."""
    connection: Acknowledger | None
    """The connection over which it arrived: its acknowledgement can only be sent there."""


class MessageQueue:
    """An async iterator of messages for the application, in order of arrival.

    It is closed at the end of its ``async with`` block, or when it is garbage collected. A message with ACK_REQUIRED is
    acknowledged when the iterator returns it.

    Attributes:
        received: number of messages that the iterator has returned.
        number: a unique number of the queue.
    """

    def __init__(self, owner: Owner, capacity: int) -> None:
        self.received = 0
        self.number = next(_numbers)
        self._owner = owner
        self._capacity = capacity
        self._queued: deque[QueuedItem] = deque()
        self._nbytes = 0
        self._pressure = Pressure.ROOM
        self._news = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None

    @property
    def waiting(self) -> int:
        """Number of messages that have arrived and were not taken."""
        return len(self._queued)

    @property
    def is_ended(self) -> bool:
        """True if no more messages will arrive."""
        return self._ended

    @property
    def pressure(self) -> Pressure:
        """How full it is."""
        return self._pressure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next message.

        Raises:
            StopAsyncIteration: the client is closed, or the application has unsubscribed.
            Exception: the error that ended the client or this subscription; see ``Client.subscribe``.
        """
        while True:
            while self._queued:
                if (message := self._unwrap(self._take())) is not None:
                    return message
            if self._ended:
                raise self._failure or StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._owner.leave(self)

    # --- the client's side ---

    def put(self, queued: QueuedItem) -> None:
        """Add an item, even to a full queue: the client stops reading rather than discard messages."""
        self._queued.append(queued)
        self._nbytes += queued.nbytes
        self._news.set()
        self._update_pressure()

    def end(self, failure: Exception | None = None, *, empty: bool = False) -> None:
        """End the queue: the iterator returns what waits, unless ``empty``, then stops or raises ``failure``."""
        if self._ended:
            return
        self._ended = True
        self._failure = failure
        if empty:
            self._queued.clear()
            self._nbytes = 0
        self._pressure = Pressure.ROOM
        self._news.set()

    def find(self, timestamp: int) -> int | None:
        """Return the index of the waiting message with that timestamp; None if there is none."""
        for index, queued in enumerate(self._queued):
            if not isinstance(queued.item, Gap) and queued.item.timestamp == timestamp:
                return index
        return None

    def came_again(self, message: Message, connection: Acknowledger) -> None:
        """Acknowledge a duplicate over this connection, at once or when the iterator returns the message that waits."""
        if message.timestamp is None or not int(message.flags) & _ACK_REQUIRED:
            return
        index = self.find(message.timestamp)
        if index is None:
            connection.acknowledge(message)
        else:
            self._queued[index] = self._queued[index]._replace(connection=connection)

    # --- the application's side ---

    def _take(self) -> QueuedItem:
        queued = self._queued.popleft()
        self._nbytes -= queued.nbytes
        if self._pressure:
            self._update_pressure()
        return queued

    def _unwrap(self, queued: QueuedItem) -> Message | None:
        """Return the message in the item and acknowledge it; None if the item is a gap."""
        message = queued.item
        if isinstance(message, Gap):
            self._note_gap(message)
            return None
        self.received += 1
        if queued.connection and int(message.flags) & _ACK_REQUIRED:
            queued.connection.acknowledge(message)
        return message

    def _note_gap(self, gap: Gap) -> None:
        """Only streams have gaps."""

    def _update_pressure(self) -> None:
        pressure = self._current_pressure()
        if pressure is not self._pressure:
            self._pressure = pressure
            if not self._ended:
                self._owner.pressure_changed(self)

    def _current_pressure(self) -> Pressure:
        messages, nbytes = len(self._queued), self._nbytes
        if messages >= self._capacity + OVERDRAFT_MESSAGES or nbytes >= MAX_BYTES + OVERDRAFT_BYTES:
            return Pressure.OVERFULL
        filled = max(messages / self._capacity, nbytes / MAX_BYTES)
        # A full queue stays full until it is half empty, so that reading does not stop and resume with every message.
        return Pressure.FULL if filled >= 1 or (self._pressure and filled > 0.5) else Pressure.ROOM

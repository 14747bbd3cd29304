"""Messages between the connection and the application: bounded, in order, taken one by one."""

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
"""Bytes of payloads, inflated, that may wait in one queue before the client stops reading; a single one may be
larger."""

OVERDRAFT_BYTES: Final = 16 * 1024 * 1024
OVERDRAFT_MESSAGES: Final = 16 * 1024
"""What may wait beyond that while the application awaits an answer: the answer comes behind all that is under way, and
the kernels on both sides hold several megabytes."""


class Pressure(IntEnum):
    """How full a queue is."""

    ROOM = 0
    FULL = 1
    """The connection is not to be read, but for an answer that is awaited."""
    OVERFULL = 2
    """Not even for that."""


_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)  # arithmetic with flags proper takes as long as all the rest

_numbers = count()


class Owner(Protocol):
    """What a queue needs of its client."""

    def pressure_changed(self, queue: MessageQueue) -> None:
        """The queue is fuller or emptier than before."""

    def leave(self, queue: MessageQueue) -> None:
        """The application wants no more of it."""


class Acknowledger(Protocol):
    """What a message came over: an acknowledgement can only go back there."""

    def acknowledge(self, message: Message) -> None:
        """The application has the message."""


class QueuedItem(NamedTuple):
    """What waits in a queue: a message, or the news that some are missing here."""

    item: Message | Gap
    nbytes: int
    """Of the payload, inflated: what waits may be a thousand times what travelled."""
    connection: Acknowledger | None
    """Over which it came; an acknowledgement can only go back there."""


class MessageQueue:
    """Messages for the application, in the order in which they came: an async iterator.

    As a context manager, it is left at the end of the block; otherwise when nothing holds it any more. Messages that
    ask for acknowledgement are acknowledged when the iterator hands them over.

    Attributes:
        received: messages handed over so far.
        number: no other queue has it.
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
        """Messages that have come and were not taken."""
        return len(self._queued)

    @property
    def pressure(self) -> Pressure:
        """How full it is."""
        return self._pressure

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            StopAsyncIteration: the client was closed, or the queue left.
            Exception: what ended the client, or this subscription; see ``Client.subscribe``.
        """
        while True:
            while self._queued:
                if (message := self._opened(self._take())) is not None:
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
        """Have an item wait, however full it is: the client stops reading, it does not throw away."""
        self._queued.append(queued)
        self._nbytes += queued.nbytes
        self._news.set()
        self._update_pressure()

    def end(self, failure: Exception | None = None, *, empty: bool = False) -> None:
        """Nothing more will come; the iterator gives what waits (unless it is to be emptied), then ends or fails."""
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
        """The index of the waiting message of that timestamp."""
        for index, queued in enumerate(self._queued):
            if not isinstance(queued.item, Gap) and queued.item.timestamp == timestamp:
                return index
        return None

    def came_again(self, message: Message, connection: Acknowledger) -> None:
        """A message came that is had already: it is acknowledged over this connection, once it is handed over."""
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

    def _opened(self, queued: QueuedItem) -> Message | None:
        """The message in the item, acknowledged; None if there is none."""
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
        # Once full, it counts as full until half is taken: reading shall not stop and go with every message.
        return Pressure.FULL if filled >= 1 or (self._pressure and filled > 0.5) else Pressure.ROOM

"""Messages between the connection and the application: bounded, in order, taken one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ..protocol import Flag
from .place import Gap

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..codec import Message
    from .conversation import Conversation

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes of payloads, inflated, that may wait in one mailbox before the client stops reading; a single one may be
larger."""

OVERDRAFT_BYTES: Final = 16 * 1024 * 1024
OVERDRAFT_MESSAGES: Final = 16 * 1024
"""What may wait beyond that while the application awaits an answer: the answer comes behind all that is under way, and
the kernels on both sides hold several megabytes."""


class Crowd(IntEnum):
    """How full a mailbox is."""

    ROOM = 0
    FULL = 1
    """The connection is not to be read, but for an answer that is awaited."""
    OVERFULL = 2
    """Not even for that."""


_ACK_REQUIRED: Final = int(Flag.ACK_REQUIRED)  # arithmetic with flags proper takes as long as all the rest

_numbers = count()


class Owner(Protocol):
    """What a mailbox needs of its client."""

    def crowd_changed(self, mailbox: Mailbox) -> None:
        """The mailbox is fuller or emptier than before."""

    def leave(self, mailbox: Mailbox) -> None:
        """The application wants no more of it."""


class Letter(NamedTuple):
    """What waits in a mailbox: a message, or the news that some are missing here."""

    item: Message | Gap
    nbytes: int
    """Of the payload, inflated: what waits may be a thousand times what travelled."""
    conversation: Conversation | None
    """Over which it came; an acknowledgement can only go back there."""


class Mailbox:
    """Messages for the application, in the order in which they came: an async iterator.

    As a context manager, it is left at the end of the block; otherwise when nothing holds it any more. Messages that
    ask for acknowledgement are acknowledged when the iterator hands them over.

    Attributes:
        received: messages handed over so far.
        number: no other mailbox has it.
    """

    def __init__(self, owner: Owner, capacity: int) -> None:
        self.received = 0
        self.number = next(_numbers)
        self._owner = owner
        self._capacity = capacity
        self._letters: deque[Letter] = deque()
        self._nbytes = 0
        self._crowd = Crowd.ROOM
        self._news = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None

    @property
    def waiting(self) -> int:
        """Messages that have come and were not taken."""
        return len(self._letters)

    @property
    def crowd(self) -> Crowd:
        """How full it is."""
        return self._crowd

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message.

        Raises:
            StopAsyncIteration: the client was closed, or the mailbox left.
            Exception: what ended the client, or this subscription; see ``Client.subscribe``.
        """
        while True:
            while self._letters:
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

    def put(self, letter: Letter) -> None:
        """Have a letter wait, however full it is: the client stops reading, it does not throw away."""
        self._letters.append(letter)
        self._nbytes += letter.nbytes
        self._news.set()
        self._look_at_crowd()

    def end(self, failure: Exception | None = None, *, empty: bool = False) -> None:
        """Nothing more will come; the iterator gives what waits (unless it is to be emptied), then ends or fails."""
        if self._ended:
            return
        self._ended = True
        self._failure = failure
        if empty:
            self._letters.clear()
            self._nbytes = 0
        self._crowd = Crowd.ROOM
        self._news.set()

    def find(self, timestamp: int) -> int | None:
        """The index of the waiting message of that timestamp."""
        for index, letter in enumerate(self._letters):
            if not isinstance(letter.item, Gap) and letter.item.timestamp == timestamp:
                return index
        return None

    def came_again(self, message: Message, conversation: Conversation) -> None:
        """A message came that is had already: it is acknowledged over this connection, once it is handed over."""
        if message.timestamp is None or not int(message.flags) & _ACK_REQUIRED:
            return
        index = self.find(message.timestamp)
        if index is None:
            conversation.acknowledge(message)
        else:
            self._letters[index] = self._letters[index]._replace(conversation=conversation)

    # --- the application's side ---

    def _take(self) -> Letter:
        letter = self._letters.popleft()
        self._nbytes -= letter.nbytes
        if self._crowd:
            self._look_at_crowd()
        return letter

    def _opened(self, letter: Letter) -> Message | None:
        """The message in the letter, acknowledged; None if there is none."""
        message = letter.item
        if isinstance(message, Gap):
            self._note_gap(message)
            return None
        self.received += 1
        if letter.conversation and int(message.flags) & _ACK_REQUIRED:
            letter.conversation.acknowledge(message)
        return message

    def _note_gap(self, gap: Gap) -> None:
        """Only streams have gaps."""

    def _look_at_crowd(self) -> None:
        crowd = self._crowd_now()
        if crowd is not self._crowd:
            self._crowd = crowd
            if not self._ended:
                self._owner.crowd_changed(self)

    def _crowd_now(self) -> Crowd:
        messages, nbytes = len(self._letters), self._nbytes
        if messages >= self._capacity + OVERDRAFT_MESSAGES or nbytes >= MAX_BYTES + OVERDRAFT_BYTES:
            return Crowd.OVERFULL
        filled = max(messages / self._capacity, nbytes / MAX_BYTES)
        # Once full, it counts as full until half is taken: reading shall not stop and go with every message.
        return Crowd.FULL if filled >= 1 or (self._crowd and filled > 0.5) else Crowd.ROOM

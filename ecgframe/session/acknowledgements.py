"""Acknowledgements: of the messages that this side sent, and of those that it received."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .outgoing import Tier
from .settings import REMEMBERED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .outgoing import Outgoing


@dataclass(slots=True)
class Waiting:
    """A sent message that is not acknowledged. Times are in seconds of the owner's clock."""

    outgoing: Outgoing
    attempts: int = 0
    sent_at: float = 0.0
    due: float | None = None
    """When it is to be sent again; None while it is in the send queue."""
    is_last: bool = False
    """True if it is not sent again, because its subscription has ended."""


class Unacknowledged:
    """The sent messages that are not acknowledged, by timestamp."""

    __slots__ = ("_attempts", "_timeout", "_waiting")

    def __init__(self, timeout: float, attempts: int) -> None:
        self._timeout = timeout
        self._attempts = attempts
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()  # sent ones are in order of ``due``

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def add(self, outgoing: Outgoing) -> None:
        """Add a message that is in the send queue."""
        waiting = self._waiting.setdefault(outgoing.timestamp, Waiting(outgoing))
        if waiting.is_last:  # a new subscription of its stream includes it
            waiting.is_last, waiting.due = False, None
        self._waiting.move_to_end(outgoing.timestamp)

    def was_sent(self, outgoing: Outgoing) -> bool:
        """Return whether the message was sent before and is not acknowledged."""
        waiting = self._waiting.get(outgoing.timestamp)
        return waiting is not None and waiting.attempts > 0

    def take_back(self, stream: str) -> list[Waiting]:
        """Note that the waiting data of a stream is discarded. Returns the messages that were never sent.

        Those that were sent may still be acknowledged, and are not sent again.
        """
        found = [waiting for waiting in self if waiting.outgoing.stream == stream]
        found = [waiting for waiting in found if waiting.outgoing.tier >= Tier.LIVE]
        for waiting in found:
            timestamp = waiting.outgoing.timestamp
            if not waiting.attempts:
                del self._waiting[timestamp]
                continue
            waiting.is_last = True
            if waiting.due is None:  # it waited to be sent again
                waiting.due = waiting.sent_at + self._timeout
                self._waiting.move_to_end(timestamp, last=False)
        return [waiting for waiting in found if not waiting.attempts]

    def sent(self, outgoing: Outgoing, now: float) -> None:
        """Note that a message was sent. It may be acknowledged already."""
        if waiting := self._waiting.get(outgoing.timestamp):
            waiting.attempts += 1
            waiting.sent_at = now
            waiting.due = now + self._timeout
            self._waiting.move_to_end(outgoing.timestamp)

    def acknowledged(self, timestamp: int) -> Waiting | None:
        """Remove and return the message with that timestamp; None if no such message was sent."""
        waiting = self._waiting.get(timestamp)
        return self._waiting.pop(timestamp) if waiting and waiting.attempts else None

    def clear(self) -> None:
        """Remove all messages."""
        self._waiting.clear()

    def deadline(self) -> float | None:
        """Return when the next message is due; None if none is."""
        return next((waiting.due for waiting in self if waiting.due is not None), None)

    def due(self, now: float) -> list[Waiting]:
        """Return the messages to send again. Each is returned once until ``sent`` is called for it."""
        due = [waiting for waiting in self if waiting.due is not None and waiting.due <= now]
        for waiting in due:
            waiting.due = None
        return due

    def is_spent(self, waiting: Waiting) -> bool:
        """Return whether a message must not be sent again."""
        return waiting.is_last or waiting.attempts >= self._attempts


class Seen:
    """The received messages with ACK_REQUIRED, by timestamp, and whether the application has them.

    There are two lists, so that a message that the application processes slowly is not forgotten because of those that
    it has finished.
    """

    __slots__ = ("_came", "_handed_over")

    def __init__(self) -> None:
        self._came: OrderedDict[int, None] = OrderedDict()
        self._handed_over: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._came) + len(self._handed_over)

    def add(self, timestamp: int) -> None:
        """Note that the message arrived."""
        _remember(self._came, timestamp)

    def hand_over(self, timestamp: int) -> None:
        """Note that the application has the message."""
        self._came.pop(timestamp, None)
        _remember(self._handed_over, timestamp)

    def __contains__(self, timestamp: int) -> bool:
        return timestamp in self._came or timestamp in self._handed_over

    def is_handed_over(self, timestamp: int) -> bool:
        """Return whether the application has the message."""
        return timestamp in self._handed_over


def _remember(book: OrderedDict[int, None], timestamp: int) -> None:
    book[timestamp] = None
    if len(book) > REMEMBERED:
        book.popitem(last=False)

"""Messages that the peer is to acknowledge: waited for, sent again, given up. And those that we have acknowledged."""

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
    """A message of ours that is not acknowledged. Times are in seconds of the owner's clock."""

    outgoing: Outgoing
    attempts: int = 0
    sent_at: float = 0.0
    due: float | None = None
    """When it is to be sent again; None while it waits to be sent."""
    is_last: bool = False
    """Whether it is not to be sent again, as its subscription has ended."""


class Unacknowledged:
    """The sender's book, by timestamp."""

    __slots__ = ("_attempts", "_timeout", "_waiting")

    def __init__(self, timeout: float, attempts: int) -> None:
        self._timeout = timeout
        self._attempts = attempts
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()  # those that are sent stand in order of their due time

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting.values())

    def add(self, outgoing: Outgoing) -> None:
        """Note that the message waits to be sent."""
        waiting = self._waiting.setdefault(outgoing.timestamp, Waiting(outgoing))
        if waiting.is_last:  # its stream is subscribed to again, from before it
            waiting.is_last, waiting.due = False, None
        self._waiting.move_to_end(outgoing.timestamp)

    def was_sent(self, outgoing: Outgoing) -> bool:
        """Tell whether the message has been sent before, and is not acknowledged."""
        waiting = self._waiting.get(outgoing.timestamp)
        return waiting is not None and waiting.attempts > 0

    def take_back(self, stream: str) -> list[Waiting]:
        """Note that the waiting data of a stream is discarded. Returns the messages that were never sent.

        Those that were sent may still be acknowledged, and are not sent again.
        """
        found = [waiting for waiting in self if waiting.outgoing.stream == stream]
        found = [waiting for waiting in found if waiting.outgoing.tier is Tier.DATA]
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
        """Note that it has been sent; nothing happens if it was acknowledged meanwhile."""
        if waiting := self._waiting.get(outgoing.timestamp):
            waiting.attempts += 1
            waiting.sent_at = now
            waiting.due = now + self._timeout
            self._waiting.move_to_end(outgoing.timestamp)

    def acknowledged(self, timestamp: int) -> Waiting | None:
        """Take out the message of that timestamp; None if none waits that was sent."""
        waiting = self._waiting.get(timestamp)
        return self._waiting.pop(timestamp) if waiting and waiting.attempts else None

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()

    def deadline(self) -> float | None:
        """When the first is due."""
        return next((waiting.due for waiting in self if waiting.due is not None), None)

    def due(self, now: float) -> list[Waiting]:
        """Those that are to be sent again; each once, until ``sent`` is told of it."""
        due = [waiting for waiting in self if waiting.due is not None and waiting.due <= now]
        for waiting in due:
            waiting.due = None
        return due

    def is_spent(self, waiting: Waiting) -> bool:
        """Tell whether it has been sent as often as it may be."""
        return waiting.is_last or waiting.attempts >= self._attempts


class Seen:
    """The receiver's book: which messages came already, and whether the application has them.

    Two lists, so that a message on which the application works for long is not forgotten for those it has done with.
    """

    __slots__ = ("_came", "_handed_over")

    def __init__(self) -> None:
        self._came: OrderedDict[int, None] = OrderedDict()
        self._handed_over: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._came) + len(self._handed_over)

    def add(self, timestamp: int) -> None:
        """Note that the message came."""
        _remember(self._came, timestamp)

    def hand_over(self, timestamp: int) -> None:
        """Note that the application has it."""
        self._came.pop(timestamp, None)
        _remember(self._handed_over, timestamp)

    def __contains__(self, timestamp: int) -> bool:
        return timestamp in self._came or timestamp in self._handed_over

    def is_handed_over(self, timestamp: int) -> bool:
        """Tell whether the application has it."""
        return timestamp in self._handed_over


def _remember(book: OrderedDict[int, None], timestamp: int) -> None:
    book[timestamp] = None
    if len(book) > REMEMBERED:
        book.popitem(last=False)

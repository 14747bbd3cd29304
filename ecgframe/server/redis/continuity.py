"""Shows that a server has read each message of a stream in Redis, over changes of the epoch.

Within an epoch, the numbers show what is missing. Where one ends, they do not: Redis may have dropped its last messages
before they were read. It drops the oldest first, so it has not if the last entry that was read is still there.
"""

from __future__ import annotations

from .positions import Position


class Continuity:
    """What is known of one followed stream.

    Attributes:
        is_unbroken: whether each message was read and delivered here since the present epoch of Redis began here.
    """

    def __init__(self) -> None:
        self.is_unbroken = False
        self._last: Position | None = None
        self._lost = 0  # messages that have numbers, and were never written
        self._is_verified = False

    def begin(self, position: Position) -> int | None:
        """Note that messages are delivered by the numbers of an epoch, after that one or from it on.

        Returns:
            The number of messages that are lost before it; None if that is not known.
        """
        lost = self._lost if self.is_unbroken else None
        self.is_unbroken, self._last, self._lost = True, position, 0
        return lost

    def crosses(self, first: Position) -> bool:
        """Return whether an entry that was read is of another epoch than the one before it."""
        self._is_verified = False
        return self.is_unbroken and self._last is not None and first.epoch != self._last.epoch

    def verify(self) -> None:
        """Note that the last entry that was read was still there after the next ones were read."""
        self._is_verified = True

    def note(self, position: Position | None, *, by_number: bool) -> None:
        """Note an entry that was read, and is or was delivered.

        Args:
            position: its number; None if no server has numbered it.
            by_number: whether messages are delivered by the numbers of Redis, so that these show what is lost.
        """
        last, self._last = self._last, position
        if position is None or last is None:
            self.is_unbroken = False
        elif position.epoch == last.epoch:
            self.is_unbroken = self.is_unbroken and position.number == last.number + 1
        else:
            is_counted = by_number or position.number == 1
            self.is_unbroken = self.is_unbroken and self._is_verified and is_counted
            self._lost += position.number - 1
        self._is_verified = True  # the next one was read together with it

    def end(self) -> None:
        """Note that a message may be missing."""
        self.is_unbroken = False

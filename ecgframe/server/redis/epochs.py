"""By which numbers a server passes on the messages of a stream that it reads from Redis.

Redis numbers the messages of a stream in an epoch. A server hands a number on only if it says exactly which messages
its viewers have: in an epoch, each message is delivered once, in the order of the numbers. Where that cannot be,
because the server delivered a message before it was numbered, or Redis went back, the server delivers without numbers
(its handler numbers the messages in an epoch of its own), and Redis is told to begin another epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ...protocol import LARGEST_SEQUENCE
from .positions import NOTHING, Position

REMEMBERED_EPOCHS: Final = 64
"""Epochs of a stream that a server knows to be over."""


class Epochs:
    """The epochs of one followed stream.

    Args:
        note_change: called with ``epoch`` when it changes, except at the first message.

    Attributes:
        epoch: the epoch in which messages are delivered; None if they are delivered without numbers.
        delivered: the largest number delivered in it.
    """

    def __init__(self, note_change: Callable[[int | None], None]) -> None:
        self.epoch: int | None = None
        self._note_change = note_change
        self._has_begun = False
        self.delivered = 0
        self._seen = NOTHING  # the present epoch, as Redis has said, and the largest number known of it
        self._read = NOTHING  # the largest number of it that was read
        self._over: deque[int] = deque(maxlen=REMEMBERED_EPOCHS)
        self._unread = 0  # number of the last message of this server that was delivered, and is to be read from Redis
        self._to_end = 0  # the epoch that Redis has to end; 0 for none

    @property
    def must_tell(self) -> bool:
        """True if Redis has to end an epoch."""
        return self._to_end != 0

    @property
    def known(self) -> Position:
        """What to tell Redis: the largest number that this server knows, larger than any if the epoch has to end."""
        return Position(self._to_end, LARGEST_SEQUENCE) if self._to_end else self._seen

    def is_strange(self, position: Position) -> bool:
        """True if Redis has to be asked which epoch is the present one, before a message is taken."""
        return position.epoch not in {self._seen.epoch, self.epoch} and position.epoch not in self._over

    def tell(self, position: Position) -> None:
        """Note what Redis answered: the present epoch, and a number in it."""
        if position.epoch != self._to_end:
            self._to_end = 0
        if position.epoch == self._seen.epoch:
            self._seen = max(self._seen, position)
        elif position.epoch in self._over:
            self._to_end = position.epoch  # Redis went back: an epoch that has ended does not come again
        elif position.epoch != self.epoch:
            if self._seen.epoch not in {0, self.epoch}:
                self._over.append(self._seen.epoch)
            self._seen = position

    def begin_reading(self, position: Position) -> None:
        """Note how far the stream has got, according to Redis, before it is read."""
        self.tell(position)
        self._read = position

    def take_up(self) -> Position | None:
        """Deliver in the present epoch, as far as it was read, from now on. Call this once all entries were read.

        Returns:
            The epoch and the number of its last message; None if messages are delivered without numbers.
        """
        if self._unread or self._seen == NOTHING or self._seen.epoch in self._over:
            return None
        number = self._read.number if self._read.epoch == self._seen.epoch else 0
        if self.epoch == self._seen.epoch:
            number = max(number, self.delivered)
        self._change_to(self._seen.epoch, number)
        return Position(self._seen.epoch, number)

    def end(self) -> None:
        """Note that Redis was restarted or replaced: what it says of the epoch may not be what it said before."""
        if self._seen.epoch and self._seen.epoch not in self._over:
            self._to_end = self._seen.epoch

    def own_was_read(self, number: int) -> None:
        """Note that a message of this server was read from Redis, or will never be, and so were those before it."""
        if number >= self._unread:
            self._unread = 0

    def own_was_taken_back(self, number: int) -> None:
        """Note that a message of this server that its viewers have had will be written to Redis again."""
        self._unread = max(self._unread, number)

    def deliver(self, position: Position | None) -> Position | None:
        """Note a message from Redis that is delivered now. Returns the position to deliver it with, if it has one."""
        if position is not None:
            self._note_read(position)
        if position is None or self._unread or position.epoch in self._over:
            self._deliver_unnumbered()
            return None
        if position.epoch == self.epoch and position.number <= self.delivered:
            self._deliver_unnumbered()
            return None
        self._change_to(position.epoch, position.number)
        return position

    @property
    def seen(self) -> int:
        """The present epoch, as Redis has said; 0 if it has not."""
        return self._seen.epoch

    def deliver_opened(self, epoch: int) -> None:
        """Note a message that is delivered under the number of its publisher, in that epoch."""
        if epoch in self._over:
            self._over.remove(epoch)  # Redis had forgotten the publisher, and has learned of it again
        if self._to_end == epoch:
            self._to_end = 0
        self._change_to(epoch, self.delivered if epoch == self.epoch else 0)

    def skip(self, position: Position | None) -> None:
        """Note a message from Redis that was delivered before. Its viewers would take its new number for a loss."""
        if position is None:
            return
        self._note_read(position)
        if position.epoch == self.epoch and position.number > self.delivered:
            self._deliver_unnumbered()

    def deliver_own(self, number: int, position: Position | None, *, will_be_read: bool) -> Position | None:
        """Note a message of this server that is delivered before it was read from Redis.

        Args:
            number: of the message, on this server.
            position: its position, if Redis has given it one.
            will_be_read: whether it may still be read from Redis.

        Returns:
            The position to deliver it with, if no message is missing before it.
        """
        if position is not None and (position.epoch, position.number - 1) == (self.epoch, self.delivered):
            self.delivered = position.number
            return position
        if will_be_read:
            self._unread = max(self._unread, number)
        self._deliver_unnumbered()
        return None

    def _note_read(self, position: Position) -> None:
        if position.epoch == self._seen.epoch:
            self._seen = max(self._seen, position)
            self._read = max(self._read, position) if self._read.epoch == position.epoch else position

    def _change_to(self, epoch: int, number: int) -> None:
        if epoch != self.epoch:
            if self.epoch is not None:
                self._over.append(self.epoch)
            self._set(epoch)
        self.delivered = number

    def _deliver_unnumbered(self) -> None:
        if self.epoch is not None:
            self._over.append(self.epoch)
            self._to_end = self.epoch
        if self.epoch is not None or not self._has_begun:
            self._set(None)

    def _set(self, epoch: int | None) -> None:
        self.epoch = epoch
        if self._has_begun:
            self._note_change(epoch)
        self._has_begun = True

"""How far a viewer has got in a stream whose messages are numbered, from version 4 on.

Numbers say exactly which messages are lost and which came before, whatever any clock shows. The times of the messages
are noted beside them, for a next connection to a server that does not know the epoch, or has no numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from ..protocol import MessageType
from .cursor import OUT_OF_LINE, REMEMBERED, Gap, StreamCursor

if TYPE_CHECKING:
    from ..codec import Message

MAX_REFUSED: Final = 1024
"""Refused messages of one stream whose numbers are remembered."""


class NumberedCursor:
    """How far one viewer has got in one stream.

    Args:
        stream: its name.
        times: the same by times. It is written here while messages are numbered.

    Attributes:
        epoch: the epoch of the numbers; None if none are known.
        line: the viewer has, or will never get, every message up to this number.
    """

    __slots__ = ("_ahead", "_refused", "_refused_before", "_stream", "_times", "epoch", "line")

    def __init__(self, stream: str, times: StreamCursor) -> None:
        self.epoch: int | None = None
        self.line = 0
        self._stream = stream
        self._times = times
        self._ahead: set[int] = set()
        """Numbers after ``line`` of messages that overtook."""
        self._refused: OrderedDict[tuple[int, int], None] = OrderedDict()
        """Epoch and number of messages that were refused over this connection."""
        self._refused_before: frozenset[tuple[int, int]] = frozenset()
        """The same of earlier connections."""

    def place(self) -> tuple[int, int] | None:
        """Return the epoch and the number after which to resume; None if no numbers are known."""
        return None if self.epoch is None else (self.epoch, self.line)

    def forget(self) -> None:
        """Note that a server without numbers continues the stream."""
        self.epoch = None
        self._ahead.clear()

    def answered(self, epoch: int, next: int, start: int | None, timestamp: int) -> list[Gap]:
        """Note that the server granted the subscription over a new connection.

        Args:
            epoch: of the numbers that follow.
            next: the number of the first message that follows.
            start: the time from which messages follow, if some before may be missing and the server does not know how
                many.
            timestamp: of the answer.

        Returns:
            The messages that are lost.
        """
        if epoch == self.epoch and next > self.line:
            self._times.ended()  # what was dropped is sent again, or counted here
            lost = self._lost_before(next)
            gaps = [self._gap(timestamp, lost)] if lost else []
            self._go_on_from(next - 1)
            return gaps
        # Another numbering, or the same one set back, which no server does that keeps to the protocol.
        before, had_numbers = self._times.until, self.epoch is not None
        gaps = self._times.answered(start, timestamp)
        if had_numbers and not gaps:
            gaps = [Gap(self._stream, timestamp if before is None else before, timestamp, None)]
        self._begin(epoch, next)
        return gaps

    def changed(self, epoch: int, next: int, timestamp: int) -> list[Gap]:
        """Note an answer that nobody asked for: the stream may have begun another epoch. Returns what is lost.

        Messages before ``next`` of the present epoch may still arrive, so an answer about that changes nothing.
        """
        if epoch == self.epoch:
            return []
        until, had_numbers = self._times.until, self.epoch is not None
        self._begin(epoch, next)
        return [Gap(self._stream, timestamp if until is None else until, timestamp, None)] if had_numbers else []

    def _begin(self, epoch: int, next: int) -> None:
        self.epoch = epoch
        self._ahead.clear()
        self.line = next - 1

    def take(self, message: Message, epoch: int) -> list[Message | Gap]:
        """Note that a message arrived.

        Args:
            message: with its number in the header.
            epoch: of its number.

        Returns:
            The gaps before the message, then the message; an empty list if it is a duplicate.
        """
        number, timestamp = message.sequence, message.timestamp
        assert number is not None, "messages of a stream are numbered"
        assert timestamp is not None, "and timed"
        if epoch != self.epoch:
            return [message]  # on its way when another epoch began
        if number <= self.line or number in self._ahead:
            return []
        if int(message.flags) & OUT_OF_LINE or message.type is MessageType.ANOMALY_ALERT:
            return self._take_ahead(message, number, timestamp)
        gaps = self._reach(number, timestamp)
        self._times.follow(timestamp)
        return [*gaps, message]

    def pass_template(self, message: Message, epoch: int) -> list[Gap]:
        """Note that a message arrived that is not for the application. Returns the gaps before it."""
        number, timestamp = message.sequence, message.timestamp
        assert number is not None, "messages of a stream are numbered"
        assert timestamp is not None, "and timed"
        if epoch != self.epoch or number <= self.line or number in self._ahead:
            return []
        return self._reach(number, timestamp)

    def refused(self, epoch: int, number: int) -> list[Gap]:
        """Note that a message was refused: it was not had, and comes again over the next connection.

        If it was refused over an earlier connection, too, it is given up. Returns the gap, if it is.
        """
        if epoch != self.epoch or number <= self.line or number in self._ahead:
            return []
        if self.was_refused(epoch, number):
            self._ahead.add(number)
            self._go_on_from(self.line)
            until = self._times.until or 0
            return [Gap(self._stream, until, until, 1)]
        self._refused[epoch, number] = None
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)
        return []

    def was_refused(self, epoch: int, number: int) -> bool:
        """Tell whether a message was refused over an earlier connection: then it is passed over, as a gap."""
        return (epoch, number) in self._refused_before

    def connection_lost(self) -> None:
        """Note that the connection is lost."""
        self._refused_before |= frozenset(self._refused)
        if len(self._refused_before) > MAX_REFUSED:
            self._refused_before = frozenset(self._refused)
        self._refused.clear()

    def _take_ahead(self, message: Message, number: int, timestamp: int) -> list[Message | Gap]:
        if not self._times.follow_ahead(timestamp):
            return []  # it came over a connection without numbers
        self._ahead.add(number)
        self._go_on_from(self.line)
        if len(self._ahead) <= REMEMBERED:
            return [message]
        oldest = min(self._ahead)
        lost = self._lost_before(oldest)
        self._go_on_from(oldest)
        return [self._gap(timestamp, lost), message] if lost else [message]

    def _reach(self, number: int, timestamp: int) -> list[Gap]:
        """Note that a message arrived in line: what is missing before it will not come."""
        lost = self._lost_before(number)
        gaps = [self._gap(timestamp, lost)] if lost else []
        self._go_on_from(number)
        self._times.forget_notices(timestamp)
        return gaps

    def _lost_before(self, number: int) -> int:
        between = sum(self.line < ahead < number for ahead in self._ahead)
        return max(0, number - self.line - 1 - between)

    def _gap(self, timestamp: int, lost: int) -> Gap:
        until = self._times.until
        return Gap(self._stream, timestamp if until is None else until, timestamp, lost)

    def _go_on_from(self, number: int) -> None:
        self.line = number
        if self._ahead:
            self._ahead = {ahead for ahead in self._ahead if ahead > number}
            while self.line + 1 in self._ahead:
                self.line += 1
                self._ahead.remove(self.line)

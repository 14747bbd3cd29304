"""The position of a viewer in a stream whose messages are numbered, from version 4 on.

Numbers show exactly which messages are lost and which are duplicates; clocks are not compared. Times of messages are
noted as well, for a connection to a server that does not know the epoch, or has no numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ..protocol import Flag, MessageType
from .cursor import REMEMBERED, Gap, StreamCursor
from .message_mark import MessageMark, mark_of

if TYPE_CHECKING:
    from ..codec import Message

MAX_REFUSED: Final = 1024
"""Number of refused messages of one stream that are remembered."""

EPOCHS: Final = 2
"""Number of epochs whose messages may arrive: the current one, and the one before it."""

MAX_SAME_KEY: Final = 4
"""Number of messages with the same timestamp, or the same key of their content, that are remembered."""

RESTAMPED_WITHIN: Final = 60_000_000
"""Microseconds by which the timestamps may differ that two servers have given to one message."""

_PRIORITY: Final = int(Flag.PRIORITY)

_Key = TypeVar("_Key")


class _Numbering:
    """The position of the viewer in one epoch.

    Attributes:
        epoch: of the numbers.
        after: the viewer has, or will never get, every message up to this number.
        until: time of the last message in order, in microseconds since 1970. In the current epoch, it is
            ``StreamCursor.until``.
        ahead: numbers after ``after`` of messages that overtook.
        end: number of the message that would have been next when the epoch ended; None as long as that is not known.
    """

    __slots__ = ("after", "ahead", "end", "epoch", "until")

    def __init__(self, epoch: int, after: int) -> None:
        self.epoch = epoch
        self.after = after
        self.until: int | None = None
        self.end: int | None = None
        self.ahead: set[int] = set()

    def has(self, number: int) -> bool:
        return number <= self.after or number in self.ahead

    def lost_before(self, number: int) -> int:
        between = sum(self.after < ahead < number for ahead in self.ahead)
        return max(0, number - self.after - 1 - between)

    def go_on_from(self, number: int) -> None:
        self.after = number
        if self.ahead:
            self.ahead = {ahead for ahead in self.ahead if ahead > number}
            while self.after + 1 in self.ahead:
                self.after += 1
                self.ahead.remove(self.after)


class NumberedCursor:
    """The position of one viewer in one stream.

    Args:
        stream: its name.
        times: the position by time. This class updates it while messages are numbered.
    """

    __slots__ = (
        "_by_content",
        "_by_timestamp",
        "_change",
        "_ending",
        "_numberings",
        "_refused",
        "_refused_before",
        "_stream",
        "_times",
    )

    def __init__(self, stream: str, times: StreamCursor) -> None:
        self._stream = stream
        self._times = times
        self._numberings: list[_Numbering] = []
        """One for each epoch; the current epoch is the last."""
        self._change: Gap | None = None
        """The gap at the last change of the epoch, reported before the next message in order; None without one."""
        self._ending: list[tuple[_Numbering, int]] = []
        """Epochs whose end is known, and when they ended; reported in the same way."""
        self._by_timestamp: OrderedDict[int, list[_ReceivedMessage]] = OrderedDict()
        """The latest messages that the viewer has, by their timestamps."""
        self._by_content: OrderedDict[tuple[int, int], list[_ReceivedMessage]] = OrderedDict()
        """The same, by the first key of their content."""
        self._refused: OrderedDict[tuple[int, int], None] = OrderedDict()
        """Epoch and number of messages that were refused over this connection."""
        self._refused_before: frozenset[tuple[int, int]] = frozenset()
        """The same of earlier connections."""

    @property
    def epoch(self) -> int | None:
        """The current epoch; None if no numbers are known."""
        return self._numberings[-1].epoch if self._numberings else None

    @property
    def position(self) -> tuple[int, int] | None:
        """The epoch and the number after which to resume; None if no numbers are known."""
        return (self._numberings[-1].epoch, self._numberings[-1].after) if self._numberings else None

    def forget(self) -> list[Gap]:
        """Note that a server without numbers continues the stream. Returns the gaps that were not reported yet."""
        self._numberings.clear()
        return self.ended()

    def ended(self) -> list[Gap]:
        """Note that no more messages will arrive. Returns the gaps that were not reported yet."""
        change, self._change = self._change, None
        ending, self._ending = self._ending, []
        gaps = [] if change is None else [change]
        for numbering, timestamp in ending:
            assert numbering.end is not None
            if lost := numbering.lost_before(numbering.end):
                gaps.append(
                    Gap(self._stream, timestamp if numbering.until is None else numbering.until, timestamp, lost)
                )
            numbering.go_on_from(numbering.end - 1)
        return gaps

    def answered(self, epoch: int, next: int, start: int | None, timestamp: int, ended: int | None = None) -> list[Gap]:
        """Note that the server granted the subscription over a new connection.

        Args:
            epoch: of the numbers that follow.
            next: the number of the first message that follows.
            start: the time from which messages follow, if the server knows it and some before may be missing.
            timestamp: of the answer.
            ended: the number of the message that would have been next in the epoch in which this side resumes, if that
                has ended and is the one before.

        Returns:
            The messages that are lost.
        """
        gaps = self.ended()
        numbering = self._numberings[-1] if self._numberings else None
        if numbering is not None and epoch == numbering.epoch and next > numbering.after:
            self._times.ended()  # what was dropped is sent again, or counted here
            if lost := numbering.lost_before(next):
                until = timestamp if self._times.until is None else self._times.until
                stop = timestamp if start is None else max(start, until)
                unsure = Gap(self._stream, until, stop, None)
                gaps.append(unsure if self._has_of_other_epochs(numbering) else self._gap(numbering, stop, lost))
            numbering.go_on_from(next - 1)
            self._numberings = [numbering]
            return gaps
        # Another epoch, or the same one with smaller numbers, which the protocol forbids.
        before = self._times.until
        missing = self._times.answered(start, timestamp)
        since = timestamp if before is None else before
        if numbering is not None and numbering.epoch != epoch and ended is not None:
            lost = numbering.lost_before(ended) + next - 1
            missing = [Gap(self._stream, since, timestamp, lost)] if lost else []
        elif numbering is not None and not missing:
            missing = [Gap(self._stream, since, timestamp, None)]
        # A publisher may go on in its epoch when the server has forgotten it, and send again what the viewer has.
        earlier = [one for one in self._numberings[-1:] if one.epoch != epoch]
        self._numberings = [*earlier, _Numbering(epoch, next - 1)]
        return [*gaps, *missing]

    def changed(self, epoch: int, next: int, timestamp: int, ended: int | None = None) -> None:
        """Note an answer without a request: the stream may have begun another epoch.

        Messages of the previous epoch may still arrive, so the gap is reported with the first message in order of the
        new one. An answer about the current epoch changes nothing, as messages before ``next`` may still arrive.

        Args:
            epoch: that begins, or goes on.
            next: the number of the first message that follows in it.
            timestamp: of the answer.
            ended: the number of the message that would have been next in the previous epoch; None if that is unknown.
        """
        known = self._numbering_of(epoch)
        if known is not None and self._is_current(known):
            return
        if self._numberings:
            numbering, until = self._numberings[-1], self._times.until
            numbering.until = until
            since = timestamp if until is None else until
            if ended is not None and len(self._ending) < EPOCHS:
                numbering.end = ended
                self._ending.append((numbering, timestamp))
            else:
                self._change = Gap(self._stream, since if self._change is None else self._change.start, timestamp, None)
        if known is not None and next > known.after:
            # Servers go back to an epoch after they could not reach Redis. What they delivered of it meanwhile has come
            # in another one; if they do not know that nothing is missing, there is a gap without a count.
            known.go_on_from(next - 1)
        others = [numbering for numbering in self._numberings if numbering is not known]
        self._numberings = [*others, known or _Numbering(epoch, next - 1)][-EPOCHS:]

    def take(self, message: Message, epoch: int) -> list[Message | Gap]:
        """Note that a message arrived.

        Args:
            message: with its number in the header.
            epoch: of its number.

        Returns:
            The gaps before the message, then the message. Without the message, if it is a duplicate: its number was
            received before, or the message came before in another epoch.
        """
        number, timestamp = _number_and_time(message)
        numbering = self._numbering_of(epoch)
        if numbering is not None and numbering.has(number):
            return []
        if self._was_received(message, numbering, timestamp):
            return [] if numbering is None else [*self._reach_again(message, numbering, number)]
        # An epoch that is not remembered: the message was on its way when the epoch after the next began.
        return [message] if numbering is None else self._place(message, numbering, number, timestamp)

    def _was_received(self, message: Message, numbering: _Numbering | None, timestamp: int) -> bool:
        """Return whether the viewer has a message from another epoch, and note it if not.

        Servers that are cut off from each other may give one message two timestamps, and two messages the same one. So
        a message came before if another one has the same content, and the same timestamp, or one near it and a time of
        its own.
        """
        mark = mark_of(message)
        keys = mark.keys
        same = [*self._by_timestamp.get(timestamp, ()), *(one for key in keys for one in self._by_content.get(key, ()))]
        for one in same:
            is_near = abs(one.timestamp - timestamp) <= RESTAMPED_WITHIN
            if one.numbering is not numbering and is_near and not mark.differs(one.mark):
                return True
        received = _ReceivedMessage(numbering, mark, timestamp)
        _remember(self._by_timestamp, timestamp, received)
        if keys:
            _remember(self._by_content, keys[0], received)
        return False

    def _has_of_other_epochs(self, numbering: _Numbering) -> bool:
        """Return whether the viewer has messages from other epochs, which may be those missing in this one."""
        return any(one.numbering is not numbering for same in self._by_timestamp.values() for one in same)

    def _reach_again(self, message: Message, numbering: _Numbering, number: int) -> list[Gap]:
        """Note the number of a message that the viewer has from another epoch; nothing else changes."""
        if int(message.flags) & _PRIORITY or message.type is MessageType.ANOMALY_ALERT:
            numbering.ahead.add(number)
            numbering.go_on_from(numbering.after)
            return []
        return self._reach(numbering, number, _number_and_time(message)[1])

    def _place(self, message: Message, numbering: _Numbering, number: int, timestamp: int) -> list[Message | Gap]:
        if int(message.flags) & _PRIORITY or message.type is MessageType.ANOMALY_ALERT:
            return self._take_ahead(message, numbering, number, timestamp)
        gaps = self._reach(numbering, number, timestamp)
        numbering.until = timestamp
        # Otherwise, the current epoch sets the time.
        if self._is_current(numbering) or self._change is not None or self._ending:
            self._times.follow(timestamp)
        return [*gaps, message]

    def pass_template(self, message: Message, epoch: int) -> list[Gap]:
        """Note a numbered message that the application does not get. Returns the gaps before it."""
        number, timestamp = _number_and_time(message)
        numbering = self._numbering_of(epoch)
        return [] if numbering is None or numbering.has(number) else self._reach(numbering, number, timestamp)

    def refused(self, epoch: int, number: int) -> list[Gap]:
        """Note that a message was refused. The next connection gets it again.

        If it was refused over an earlier connection as well, it is lost. Returns the gap if it is.
        """
        numbering = self._numbering_of(epoch)
        if numbering is None or not self._is_current(numbering) or numbering.has(number):
            return []
        if self.was_refused(epoch, number):
            numbering.ahead.add(number)
            numbering.go_on_from(numbering.after)
            until = self._times.until or 0
            return [Gap(self._stream, until, until, 1)]
        self._refused[epoch, number] = None
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)
        return []

    def was_refused(self, epoch: int, number: int) -> bool:
        """Return whether a message was refused over an earlier connection. If it is refused again, it is lost."""
        return (epoch, number) in self._refused_before

    def connection_lost(self) -> None:
        """Note that the connection is lost."""
        self._refused_before |= frozenset(self._refused)
        if len(self._refused_before) > MAX_REFUSED:
            self._refused_before = frozenset(self._refused)
        self._refused.clear()

    def _numbering_of(self, epoch: int) -> _Numbering | None:
        return next((numbering for numbering in self._numberings if numbering.epoch == epoch), None)

    def _is_current(self, numbering: _Numbering) -> bool:
        return numbering is self._numberings[-1]

    def _take_ahead(self, message: Message, numbering: _Numbering, number: int, timestamp: int) -> list[Message | Gap]:
        if not self._times.follow_ahead(timestamp):
            return []  # it came over a connection without numbers
        numbering.ahead.add(number)
        numbering.go_on_from(numbering.after)
        if len(numbering.ahead) <= REMEMBERED:
            return [message]
        oldest = min(numbering.ahead)
        lost = numbering.lost_before(oldest)
        numbering.go_on_from(oldest)
        return [self._gap(numbering, timestamp, lost), message] if lost else [message]

    def _reach(self, numbering: _Numbering, number: int, timestamp: int) -> list[Gap]:
        """Note that a message arrived in order. Missing messages before it are lost."""
        gaps = self.ended() if self._is_current(numbering) else []
        if lost := numbering.lost_before(number):
            gaps.append(self._gap(numbering, timestamp, lost))
        numbering.go_on_from(number)
        self._times.forget_notices(timestamp)
        return gaps

    def _gap(self, numbering: _Numbering, timestamp: int, lost: int) -> Gap:
        until = self._times.until if self._is_current(numbering) else numbering.until
        return Gap(self._stream, timestamp if until is None else until, timestamp, lost)


class _ReceivedMessage(NamedTuple):
    """A message that the viewer has.

    Attributes:
        numbering: the position in its epoch; None if that was not known any more.
        mark: identifies its content.
        timestamp: in microseconds since 1970.
    """

    numbering: _Numbering | None
    mark: MessageMark
    timestamp: int


def _remember(kept: OrderedDict[_Key, list[_ReceivedMessage]], key: _Key, message: _ReceivedMessage) -> None:
    same = kept.setdefault(key, [])
    if len(same) < MAX_SAME_KEY:
        same.append(message)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _number_and_time(message: Message) -> tuple[int, int]:
    """Return number and time of a numbered message."""
    assert message.sequence is not None, "version 4 numbers the messages of streams"
    assert message.timestamp is not None, "version 4 has timestamps"
    return message.sequence, message.timestamp

"""The position of a viewer in a stream: which messages it has, and which ones it will never get.

The messages of a stream have rising timestamps and arrive in that order, except for urgent ones, which overtake. So a
cursor consists of the timestamp of the last message in order, and the timestamps of urgent messages after it.

A message counts as received before only if its exact timestamp is remembered. Clocks are not compared: if the
timestamps of a stream go back, because the server restarted with another clock, the cursor reports a gap and continues
from there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ..protocol import Flag, MessageType
from ..session import microseconds

if TYPE_CHECKING:
    from ..codec import Message

MARGIN: Final = 1_000_000
"""Microseconds to go back where the position is only a time by a clock: the network delays messages."""

REMEMBERED: Final = 1024
"""Number of messages in order, and of urgent messages after them, whose timestamps are remembered."""

MAX_NOTICES: Final = 64
"""Number of drop notices that may wait for a message after the dropped frames."""

OUT_OF_LINE: Final = int(Flag.PRIORITY | Flag.BROADCAST)
"""Flags of messages that overtake. Like those of alerts, their timestamps do not move the position in the stream."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_DATE: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of a stream that this viewer will not get. Times are in microseconds since 1970.

    Attributes:
        stream: its name.
        start: timestamp of the first lost message, or of the last message before the gap.
        stop: timestamp of the last lost message, or of the first message after the gap. It is earlier than ``start`` if
            the server's clock went back in between.
        frames: number of lost messages; None if the server cannot know it.
    """

    stream: str
    start: int
    stop: int
    frames: int | None

    @property
    def clock_went_back(self) -> bool:
        """True if the stream continues with earlier timestamps, because the server's clock was set back."""
        return self.stop < self.start

    def joined(self, other: Gap) -> Gap:
        """Join this gap and ``other``, which was reported later, to one."""
        frames = None if self.frames is None or other.frames is None else self.frames + other.frames
        if self.clock_went_back or other.clock_went_back:
            return Gap(self.stream, self.start, other.stop, frames)
        return Gap(self.stream, min(self.start, other.start), max(self.stop, other.stop), frames)


class StreamCursor:
    """The position of one viewer in one stream.

    Args:
        stream: its name.
        since: timestamp of the last message that the viewer has, in microseconds since 1970; or a time by the server's
            clock.
    """

    __slots__ = ("_ahead", "_exact", "_forgotten", "_is_moment", "_margin", "_notices", "_seen", "_stream", "_until")

    def __init__(self, stream: str, since: int | datetime | None = None) -> None:
        self._stream = stream
        self._until = microseconds(since) if isinstance(since, datetime) else since
        """The viewer has everything up to this timestamp, in microseconds since 1970."""
        self._exact = False
        """True if ``_until`` is the timestamp of a received message, or one that the server has named."""
        self._is_moment = isinstance(since, datetime)
        """True if ``_until`` is only a time by a clock."""
        self._margin = 0
        self._seen: deque[int] = deque(maxlen=REMEMBERED)
        """Timestamps of the last messages in order, since the clock last went back."""
        self._ahead: dict[int, None] = {}
        """Timestamps of urgent messages after ``_until``, in the order of arrival."""
        self._forgotten: int | None = None
        """The last timestamp that was removed from ``_ahead`` because there were too many."""
        self._notices: list[Gap] = []

    def since(self) -> int | None:
        """Return the timestamp after which to resume over a new connection; None if nothing has arrived."""
        if self._until is None:  # only alerts have arrived
            return self._forgotten
        return max(self._until - self._margin, 0)

    @property
    def until(self) -> int | None:
        """The timestamp up to which the viewer has everything, in microseconds since 1970; None before the first."""
        return self._until

    def follow(self, timestamp: int) -> None:
        """Note a message in order, whose number has shown that it is new; see ``NumberedCursor``."""
        self._reach(timestamp)

    def follow_ahead(self, timestamp: int) -> bool:
        """Note an urgent message whose number has shown that it is new. Returns False if it is remembered already."""
        return self._goes_ahead(timestamp)

    def forget_notices(self, timestamp: int) -> None:
        """Forget the drop notices before a message: its number has shown the gap."""
        if self._notices:
            self._notices = [gap for gap in self._notices if gap.stop >= timestamp]

    def asks_since(self) -> int | datetime | None:
        """Return ``since`` for SUBSCRIBE: an int is the timestamp of a message, a datetime is a time by a clock."""
        since = self.since()
        if since is None or not self._is_moment:
            return since
        return _EPOCH + timedelta(microseconds=min(since, _LATEST_DATE))

    def take(self, message: Message, now: int) -> list[Message | Gap]:
        """Note that a message arrived at ``now``, in microseconds since 1970 by the server's clock.

        Returns:
            The gaps before the message, then the message; an empty list if it is a duplicate.
        """
        timestamp = message.timestamp
        if timestamp is None:
            self._reach_moment(now)
            return [message]
        if int(message.flags) & OUT_OF_LINE or message.type is MessageType.ANOMALY_ALERT:
            return [message] if self._goes_ahead(timestamp) else []
        if self._exact and self._until is not None and timestamp <= self._until:
            if timestamp in self._seen:
                return []
            gaps = [*self.ended(), Gap(self._stream, self._until, timestamp, None)]
            self._seen.clear()  # earlier timestamps say nothing about the messages that follow
            self._ahead.clear()
            self._reach(timestamp)
            return [*gaps, message]
        self._reach(timestamp)
        return [*self._passed_notices(), message]

    def answered(self, start: int | None, timestamp: int) -> list[Gap]:
        """Note that the server granted the subscription over a new connection.

        Args:
            start: the time from which messages follow: the beginning of the stream for a new viewer, or, after a
                resume, the time after which no message is missing.
            timestamp: of the server's answer.

        Returns:
            The messages that are lost.
        """
        gaps = self._half_passed_notices()
        if self._until is None:
            # Resume from here if the connection is lost before the first message arrives.
            if start is None:
                self._reach_moment(timestamp)
            else:
                self._go_on_after(start - 1)
        elif start is not None:
            went_back = start <= self._until - self._margin
            if went_back or start > self._until + 1:
                gaps.append(Gap(self._stream, self._until, start, None))
            if went_back:
                self._ahead.clear()
            self._seen.clear()
            self._go_on_after(start - 1)
        return gaps

    def answered_untimed(self, start: int | None, now: int) -> list[Gap]:
        """Note the same over a connection whose messages have no timestamps, at ``now`` by the server's clock."""
        was_new = self._until is None
        gaps = self.answered(start, now)
        if was_new:
            self._reach_moment(now)
        return gaps

    def started_anew(self, now: int) -> list[Gap]:
        """Note that a server that does not resume continues the stream at ``now``, over a new connection.

        Returns:
            The messages that are lost, if any arrived before.
        """
        gaps = self._half_passed_notices()
        if self._until is not None:
            gaps.append(Gap(self._stream, self._until, max(now, self._until), None))
        self._reach_moment(now)
        return gaps

    def noticed(self, start: int, stop: int, frames: int, *, timed: bool) -> Gap | None:
        """Note that the server has dropped frames.

        Frames that were not dropped may still arrive between the first and the last dropped one. And if the connection
        is lost now, the dropped frames arrive after the resume. So the gap is reported with the first message after it.

        Args:
            start: timestamp of the first dropped frame.
            stop: timestamp of the last.
            frames: how many.
            timed: whether messages have timestamps on this connection.

        Returns:
            The gap, if it is to be reported at once because messages have no timestamps.
        """
        gap = Gap(self._stream, start, stop, frames)
        if not timed:
            return gap
        if len(self._notices) == MAX_NOTICES:
            gap = self._notices.pop().joined(gap)
        self._notices.append(gap)
        return None

    def ended(self) -> list[Gap]:
        """Note that no more messages will arrive.

        Returns:
            The gaps that were not reported yet.
        """
        notices, self._notices = self._notices, []
        return notices

    def _reach(self, until: int) -> None:
        """Note that a message arrived in order."""
        self._seen.append(until)
        self._go_on_after(until)

    def _reach_moment(self, until: int) -> None:
        """Move the position to a time by the server's clock."""
        self._until = until
        self._exact = False
        self._is_moment = True
        self._margin = MARGIN

    def _go_on_after(self, until: int) -> None:
        """Note that everything up to a timestamp has arrived, or is reported as lost."""
        self._until = until
        self._exact = True
        self._is_moment = False
        self._margin = 0
        if self._ahead:
            self._ahead = {ahead: None for ahead in self._ahead if ahead > until}

    def _goes_ahead(self, timestamp: int) -> bool:
        """Remember an urgent message; return False if it is remembered already."""
        if timestamp in self._ahead:
            return False
        self._ahead[timestamp] = None
        # ``_until`` stays as it is, however many messages overtake: those in order are still to come.
        if len(self._ahead) > REMEMBERED:
            self._forgotten = next(iter(self._ahead))
            del self._ahead[self._forgotten]
        return True

    def _passed_notices(self) -> list[Gap]:
        if not self._notices:
            return []
        passed = [gap for gap in self._notices if self._until is not None and gap.stop < self._until]
        self._notices = [gap for gap in self._notices if gap not in passed]
        return passed

    def _half_passed_notices(self) -> list[Gap]:
        """Return the gaps that begin before ``_until``, cut off there: the server sends again what follows."""
        until = self._until
        notices = self.ended()
        if until is None:
            return []
        return [Gap(self._stream, gap.start, min(gap.stop, until), None) for gap in notices if gap.start <= until]

"""Where a viewer is in a stream: up to where it has everything, what it has beyond that, what it will never have.

The messages of a stream have rising timestamps, and arrive in that order but for the urgent ones, which overtake.
So the place is the timestamp of the last message in line, and the timestamps of those that came ahead of it.

Only a message whose very timestamp is remembered counts as one that came before. A clock decides nothing: where the
timestamps of a stream go back, because the server was started again with another clock, a gap is told and the stream
goes on there.
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
"""Microseconds by which to go back where the place is only known by a clock: the network delays."""

REMEMBERED: Final = 1024
"""Messages in line, and as many ahead of it, whose timestamps are remembered."""

MAX_NOTICES: Final = 64
"""Notices of dropped frames that may wait until the line has passed them."""

OUT_OF_LINE: Final = int(Flag.PRIORITY | Flag.BROADCAST)
"""Flags of messages whose timestamps do not tell how far the stream has come; nor do those of alerts."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_DATE: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of a stream that this viewer will not get. Times are in microseconds since 1970.

    Attributes:
        stream: its name.
        start: none is missing before. The timestamp of the first lost message, or of the last one before the gap.
        stop: none is missing after. The timestamp of the last lost message, or of the first one behind the gap. Where
            the server's clock went back in between, it is earlier than ``start``.
        frames: how many are missing; None where the server cannot know.
    """

    stream: str
    start: int
    stop: int
    frames: int | None

    @property
    def clock_went_back(self) -> bool:
        """Whether the stream goes on with earlier timestamps than before: its server has another clock now."""
        return self.stop < self.start

    def joined(self, other: Gap) -> Gap:
        """One gap in place of two, of which ``other`` is the later one to be told."""
        frames = None if self.frames is None or other.frames is None else self.frames + other.frames
        if self.clock_went_back or other.clock_went_back:
            return Gap(self.stream, self.start, other.stop, frames)
        return Gap(self.stream, min(self.start, other.start), max(self.stop, other.stop), frames)


class StreamCursor:
    """One viewer's place in one stream.

    Args:
        stream: its name.
        since: timestamp of the last message that the viewer has already, in microseconds since 1970; or a moment by the
            server's clock.
    """

    __slots__ = ("_ahead", "_exact", "_is_moment", "_margin", "_notices", "_seen", "_stream", "_until")

    def __init__(self, stream: str, since: int | datetime | None = None) -> None:
        self._stream = stream
        self._until = microseconds(since) if isinstance(since, datetime) else since
        """Everything up to here is had. In microseconds since 1970."""
        self._exact = False
        """Whether that is the timestamp of a message that came, or a place that the server has named."""
        self._is_moment = isinstance(since, datetime)
        """Whether that is known by a clock only."""
        self._margin = 0
        self._seen: deque[int] = deque(maxlen=REMEMBERED)
        """Timestamps of the last messages in line, since the clock last went back."""
        self._ahead: set[int] = set()
        self._notices: list[Gap] = []

    def since(self) -> int | None:
        """From where to go on over a new connection; None where nothing is known yet."""
        return None if self._until is None else max(self._until - self._margin, 0)

    def asks_since(self) -> int | datetime | None:
        """``since`` as the server is to be asked: a number names a message, a date is a moment."""
        since = self.since()
        if since is None or not self._is_moment:
            return since
        return _EPOCH + timedelta(microseconds=min(since, _LATEST_DATE))

    def take(self, message: Message, now: int) -> list[Message | Gap]:
        """Note that a message came, at ``now``, in microseconds since 1970 by the server's clock.

        Returns:
            The message, behind the gap that it comes after, if it comes after one; nothing if it came before.
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
            self._seen.clear()  # no timestamp from before tells anything of what comes now
            self._ahead.clear()
            self._reach(timestamp)
            return [*gaps, message]
        self._reach(timestamp)
        return [*self._passed_notices(), message]

    def answered(self, start: int | None, timestamp: int) -> list[Gap]:
        """Note that the server has granted the subscription, over a new connection.

        Args:
            start: the moment from which messages follow: where the stream begins for this viewer, or, where it was had
                before, from where the server can vouch for it again.
            timestamp: of the server's answer.

        Returns:
            What is lost.
        """
        gaps = self._half_passed_notices()
        if self._until is None:
            # Whatever is published from now on is this viewer's, even if the connection goes before the first came.
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
        """Note that the stream goes on at ``now``, over a new connection, from a server that does not resume.

        Returns:
            What is lost, if anything was had before.
        """
        gaps = self._half_passed_notices()
        if self._until is not None:
            gaps.append(Gap(self._stream, self._until, max(now, self._until), None))
        self._reach_moment(now)
        return gaps

    def noticed(self, start: int, stop: int, frames: int, *, timed: bool) -> Gap | None:
        """Note that the server has dropped frames.

        Frames that were not dropped may still come between the first and the last that were, and on a connection that
        breaks now the dropped ones come after all. So the gap counts once the line has passed it.

        Args:
            start: timestamp of the first dropped frame.
            stop: timestamp of the last.
            frames: how many.
            timed: whether messages have timestamps on this connection.

        Returns:
            The gap, where nobody could tell later that it is passed.
        """
        gap = Gap(self._stream, start, stop, frames)
        if not timed:
            return gap
        if len(self._notices) == MAX_NOTICES:
            gap = self._notices.pop().joined(gap)
        self._notices.append(gap)
        return None

    def ended(self) -> list[Gap]:
        """Note that nothing more will come.

        Returns:
            What is known to be lost and was not told.
        """
        notices, self._notices = self._notices, []
        return notices

    def _reach(self, until: int) -> None:
        """A message in line came."""
        self._seen.append(until)
        self._go_on_after(until)

    def _reach_moment(self, until: int) -> None:
        """The stream has come so far, by the server's clock."""
        self._until = until
        self._exact = False
        self._is_moment = True
        self._margin = MARGIN

    def _go_on_after(self, until: int) -> None:
        """All up to here is had or told as lost."""
        self._until = until
        self._exact = True
        self._is_moment = False
        self._margin = 0
        if self._ahead:
            self._ahead = {ahead for ahead in self._ahead if ahead > until}

    def _goes_ahead(self, timestamp: int) -> bool:
        """Remember a message ahead of the line; False if it is remembered already."""
        if timestamp in self._ahead:
            return False
        self._ahead.add(timestamp)
        if len(self._ahead) > REMEMBERED:
            # That many overtook a message that still waits? Rather, nothing is in line: the stream is all alerts.
            oldest = min(self._ahead)
            self._ahead.remove(oldest)
            if self._until is None or oldest > self._until:
                self._reach(oldest)
        return True

    def _passed_notices(self) -> list[Gap]:
        if not self._notices:
            return []
        passed = [gap for gap in self._notices if self._until is not None and gap.stop < self._until]
        self._notices = [gap for gap in self._notices if gap not in passed]
        return passed

    def _half_passed_notices(self) -> list[Gap]:
        """Gaps that the line was in the middle of when the connection broke. What lay behind it will come again."""
        until = self._until
        notices = self.ended()
        if until is None:
            return []
        return [Gap(self._stream, gap.start, min(gap.stop, until), None) for gap in notices if gap.start <= until]

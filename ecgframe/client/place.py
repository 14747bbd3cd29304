"""Where a viewer is in a stream: up to where it has everything, what it has beyond that, what it will never have.

The messages of a stream have rising timestamps, and arrive in that order but for the urgent ones, which overtake.
So the place is the timestamp of the last message in line, and the timestamps of those that came ahead of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..protocol import Flag, MessageType

if TYPE_CHECKING:
    from ..codec import Message

MARGIN: Final = 1_000_000
"""Microseconds by which to go back where the place is only known by a clock: the clocks differ, the network delays."""

REMEMBERED: Final = 1024
"""Messages ahead of the line whose timestamps are remembered."""

MAX_NOTICES: Final = 64
"""Notices of dropped frames that may wait until the line has passed them."""

OUT_OF_LINE: Final = int(Flag.PRIORITY | Flag.BROADCAST)
"""Flags of messages whose timestamps do not tell how far the stream has come; nor do those of alerts."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of a stream that this viewer will not get. Times are in microseconds since 1970.

    Attributes:
        stream: its name.
        start: none is missing before. The timestamp of the first lost message, or of the last one before the gap.
        stop: none is missing after. The timestamp of the last lost message, or of the first one behind the gap.
        frames: how many are missing; None where the server cannot know.
    """

    stream: str
    start: int
    stop: int
    frames: int | None

    def joined(self, other: Gap) -> Gap:
        """One gap in place of two."""
        frames = None if self.frames is None or other.frames is None else self.frames + other.frames
        return Gap(self.stream, min(self.start, other.start), max(self.stop, other.stop), frames)


class Place:
    """One viewer's place in one stream.

    Args:
        stream: its name.
        since: timestamp of the last message that the viewer has already, in microseconds since 1970.
    """

    __slots__ = ("_ahead", "_exact", "_margin", "_notices", "_stream", "_until")

    def __init__(self, stream: str, since: int | None = None) -> None:
        self._stream = stream
        self._until = since
        """Everything up to here is had. In microseconds since 1970."""
        self._exact = False
        """Whether that is the timestamp of a message that came, so that no other is to come before it."""
        self._margin = 0
        self._ahead: set[int] = set()
        self._notices: list[Gap] = []

    def since(self) -> int | None:
        """From where to go on over a new connection; None where nothing is known yet."""
        return None if self._until is None else max(self._until - self._margin, 0)

    def take(self, message: Message, now: int) -> list[Message | Gap]:
        """Note that a message came, at ``now``, in microseconds since 1970.

        Returns:
            The message, behind the gap that it comes after, if it comes after one; nothing if it came before.
        """
        timestamp = message.timestamp
        if timestamp is None:
            self._reach(now, exact=False)
            return [message]
        if int(message.flags) & OUT_OF_LINE or message.type is MessageType.ANOMALY_ALERT:
            return [message] if self._goes_ahead(timestamp) else []
        if self._exact and self._until is not None and timestamp <= self._until:
            return []
        self._reach(timestamp, exact=True)
        return [*self._passed_notices(), message]

    def answered(self, start: int | None, timestamp: int) -> list[Gap]:
        """Note that the server has granted the subscription, over a new connection.

        Args:
            start: the moment from which messages follow, where some before it are lost.
            timestamp: of the server's answer.

        Returns:
            What is lost.
        """
        gaps = self._half_passed_notices()
        if self._until is None:
            # Whatever is published from now on is this viewer's, even if the connection goes before the first came.
            self._until, self._margin = timestamp, MARGIN
        elif start is not None and start > self._until + 1:
            gaps.append(Gap(self._stream, self._until, start, None))
            self._until, self._margin = start - 1, 0
            self._ahead = {ahead for ahead in self._ahead if ahead >= start}
        return gaps

    def started_anew(self, now: int) -> list[Gap]:
        """Note that the stream goes on at ``now``, over a new connection, from a server that does not resume.

        Returns:
            What is lost, if anything was had before.
        """
        gaps = self._half_passed_notices()
        if self._until is not None:
            gaps.append(Gap(self._stream, self._until, max(now, self._until), None))
        self._reach(now, exact=False)
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

    def _reach(self, until: int, *, exact: bool) -> None:
        self._until = until
        self._exact = exact
        self._margin = 0 if exact else MARGIN
        if exact and self._ahead:
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
                self._reach(oldest, exact=True)
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

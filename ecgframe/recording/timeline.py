"""The position of messages and of times in a recording, from sequence numbers and timestamps."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from ..messages.times import unix_seconds

if TYPE_CHECKING:
    from ..codec import Message

LONGEST_JITTER: Final = 1.0
"""Jitter in seconds that is accepted between the times of two consecutive messages; ``JITTER_FRAMES`` messages if
those are longer."""

FARTHEST: Final = 1e11
"""Largest time that is accepted, in seconds since 1970."""

JITTER_FRAMES: Final = 10

REMEMBERED: Final = 4096
"""Number of messages whose times are kept, to find the position of alerts about the past."""


class Break(Enum):
    """Why the time between a message and the one before it is unknown."""

    REPEATED = "the message has been received before"
    RESTARTED = "the stream started again, or its clock was set back"
    UNCOUNTED = "messages were lost, and neither numbers nor times show how many samples"


@dataclass(frozen=True, slots=True)
class Moment:
    """What a message says about its position.

    Attributes:
        samples: number of samples per lead.
        rate: sampling rate in Hz.
        sequence: sequence number, or None.
        measured: time of the first sample, in Unix seconds or in seconds from the start; None if the message has none.
        sent: time of publication in Unix seconds; None before V3.
    """

    samples: int
    rate: float
    sequence: int | None
    measured: float | None
    sent: float | None


def moment_of(message: Message, samples: int, rate: float) -> Moment:
    """Return what an ECG_DATA message with this number of samples per lead says about its position."""
    return Moment(
        samples,
        rate,
        message.data.get("sequence"),
        _time(message.data.get("timestamp")),
        None if message.timestamp is None else _time(message.timestamp / 1e6),
    )


def _time(value: object) -> float | None:
    at = unix_seconds(value)
    return at if at is not None and abs(at) < FARTHEST else None


class Timeline:
    """Positions of the messages of one stream."""

    def __init__(self) -> None:
        self._last: Moment | None = None
        self._known: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)

    def missing_before(self, now: Moment, *, is_told: bool) -> int | Break:
        """Return the number of samples that are missing per lead between the last message and this one.

        Args:
            now: the message.
            is_told: whether it is known that messages were lost since the last message.

        Returns:
            The number of samples, or a ``Break`` if it is unknown or the message is a repetition.
        """
        last = self._last
        if last is None:
            return 0
        by_time = self._by_time(last, now)
        jitter = max(LONGEST_JITTER * now.rate, JITTER_FRAMES * now.samples)
        if now.sequence is not None and last.sequence is not None:
            return _by_sequence(now.sequence - last.sequence - 1, last, now, by_time, jitter)
        if by_time is None:
            return Break.UNCOUNTED if is_told else 0
        if not is_told and abs(by_time) <= now.samples:
            return 0
        return max(by_time, 0) if by_time > -jitter else Break.RESTARTED

    def add(self, now: Moment, position: int) -> None:
        """Add a message whose first sample is at this position."""
        self._last = now
        moment = now.measured if now.measured is not None else now.sent
        if moment is not None:
            if self._known and moment < self._known[-1][0]:
                self._known.clear()
            self._known.append((moment, position))

    def position(self, moment: float) -> float | None:
        """Return the position of a time, in samples; None if no message has a time."""
        if not self._known or self._last is None:
            return None
        number = max(bisect_right(self._known, (moment, 1 << 62)) - 1, 0)
        at, position = self._known[number]
        found = position + (moment - at) * self._last.rate
        if number + 1 < len(self._known) and moment >= at:
            found = min(found, self._known[number + 1][1])
        return found

    @staticmethod
    def _by_time(last: Moment, now: Moment) -> int | None:
        if now.measured is not None and last.measured is not None:
            return round((now.measured - last.measured) * now.rate) - last.samples
        if now.sent is not None and last.sent is not None:  # a message is sent once its last sample is measured
            return round((now.sent - last.sent) * now.rate) - now.samples
        return None


def _by_sequence(lost: int, last: Moment, now: Moment, by_time: int | None, jitter: float) -> int | Break:
    """Return the same for numbered messages. ``lost`` is the count of missing numbers; negative if they decreased."""
    if lost == 0:
        is_pause = by_time is not None and now.measured is not None and by_time > jitter
        return by_time if is_pause and by_time is not None else 0
    if lost > 0:
        counted = lost * last.samples
        is_alike = by_time is not None and abs(by_time - counted) <= max(last.samples, now.samples)
        return max(by_time, 0) if is_alike and by_time is not None else counted
    if by_time is not None and by_time > -now.samples / 2:
        return max(by_time, 0)
    is_repeated = by_time is not None and now.sent is None and -lost <= JITTER_FRAMES * now.rate
    return Break.REPEATED if is_repeated else Break.RESTARTED

"""The rate that some intervals between beats come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

REMEMBERED = 8
"""Intervals of which the mean is taken."""
TRIMMED = 5
"""Intervals from which on the longest and the shortest but the newest are left out: a beat missed or one too many."""
FASTER, FASTER_IN = 0.8, 3
"""So many intervals below this share of those before are a new rate."""
SLOWER, SLOWER_IN = 1.25, 2
"""So many intervals above this share of those before are a new rate."""


class HeartRate:
    """The mean of the last intervals, a bigeminy's too. A new rate takes its place within three beats."""

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)

    def add(self, interval: int) -> None:
        """One more interval, in samples."""
        self._intervals.append(interval)
        if self._is_new(FASTER_IN, lambda mean, last: max(last) < FASTER * mean):
            self._keep(FASTER_IN)
        elif self._is_new(SLOWER_IN, lambda mean, last: min(last) > SLOWER * mean):
            self._keep(SLOWER_IN)

    def clear(self) -> None:
        """What comes has nothing to do with what was."""
        self._intervals.clear()

    @property
    def last(self) -> list[int]:
        """The intervals that count, the newest last."""
        return list(self._intervals)

    @property
    def interval(self) -> float | None:
        """The mean interval in samples; None with fewer than two."""
        if len(self._intervals) < 2:
            return None
        intervals = list(self._intervals)
        if len(intervals) >= TRIMMED:
            intervals = [*sorted(intervals[:-1])[1:-1], intervals[-1]]
        return sum(intervals) / len(intervals)

    def _is_new(self, count: int, differs: Callable[[float, list[int]], bool]) -> bool:
        intervals = list(self._intervals)
        before, last = intervals[:-count], intervals[-count:]
        return bool(before) and differs(sum(before) / len(before), last)

    def _keep(self, count: int) -> None:
        self._intervals = deque(list(self._intervals)[-count:], maxlen=REMEMBERED)

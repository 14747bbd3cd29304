"""Computation of the heart rate from the intervals between beats."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

REMEMBERED = 8
"""Largest number of intervals in the mean."""
TRIMMED = 5
"""From this many intervals on, the longest and the shortest do not count, as beats may be missed or extra. The newest
always counts."""
FASTER, FASTER_IN = 0.8, 3
"""The rate is new if the last ``FASTER_IN`` intervals are all below this fraction of the mean before them."""
SLOWER, SLOWER_IN = 1.25, 2
"""The rate is new if the last ``SLOWER_IN`` intervals are all above this multiple of the mean before them."""


class HeartRate:
    """The mean of the last intervals, also in bigeminy.

    If the rate changes, only the new intervals count, after three at most.
    """

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)

    def add(self, interval: int) -> None:
        """Add an interval, in working samples."""
        self._intervals.append(interval)
        if self._is_new(FASTER_IN, lambda mean, last: max(last) < FASTER * mean):
            self._keep(FASTER_IN)
        elif self._is_new(SLOWER_IN, lambda mean, last: min(last) > SLOWER * mean):
            self._keep(SLOWER_IN)

    def clear(self) -> None:
        """Remove all intervals."""
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

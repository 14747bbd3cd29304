"""Numbers about a running program that cost next to nothing to keep: histograms with percentiles.

Plain counters need no help: they are integers. What is kept here becomes what a monitoring system wants only when that
system asks. Prometheus' own client takes six times as long to feed and gives no percentiles; hdrhistogram takes four
times as long, and its buckets are not Prometheus'.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from math import inf, isfinite
from typing import Final, TypedDict

PERCENTILES: Final = (50, 90, 99)
"""Those of a snapshot."""


def steps(first: float, last: float) -> tuple[float, ...]:
    """Bounds at 1, 2 and 5 of each power of ten, from ``first`` to ``last``, both of which are among them.

    Raises:
        ValueError: they are not 1, 2 or 5 times a power of ten, or in the wrong order.
    """
    bounds = tuple(
        bound
        for exponent in range(-15, 16)
        for digit in (1, 2, 5)
        if first <= (bound := float(f"{digit}e{exponent}")) <= last
    )
    if not bounds or (bounds[0], bounds[-1]) != (first, last):
        raise ValueError(f"no steps of 1, 2 and 5 lead from {first:g} to {last:g}")
    return bounds


SECONDS: Final = steps(1e-6, 10)
"""Bounds for how long something took, in seconds: 1 microsecond to 10 s."""

BYTES: Final = (*(float(1 << power) for power in range(4, 25)),)
"""Bounds for how large something is, in bytes: 16 B to 16 MiB, doubling."""


class Snapshot(TypedDict):
    """What a histogram holds at one moment.

    Attributes:
        count: observations.
        sum: of all their values.
        mean: their average; None where there are none, as in the percentiles.
        percentiles: for each of ``PERCENTILES``, the value that so many percent do not pass. See ``Histogram``.
        largest: the largest value; None where there are none.
        buckets: for each bound, and infinity at the end, how many values are at most that.
    """

    count: int
    sum: float
    mean: float | None
    percentiles: dict[int, float | None]
    largest: float | None
    buckets: list[tuple[float, int]]


class Histogram:
    """How values are spread, by counting those in each bucket. Not for several threads at once.

    A percentile is found by going linearly through the bucket that it falls into, so it is off by at most the width of
    that bucket: above the first bound, by a factor of 2.5 at most with ``SECONDS``, of 2 with ``BYTES``. What lies
    above all bounds is counted in a last bucket, which ends at the largest value seen.

    Args:
        bounds: upper bounds of the buckets, each larger than the one before. A value equal to a bound is below it.

    Raises:
        ValueError: the bounds are none, not finite, or not rising.
    """

    __slots__ = ("_counts", "bounds", "largest", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        rising = all(low < high for low, high in pairwise(bounds))
        if not (bounds and rising and all(map(isfinite, bounds))):
            raise ValueError(f"bounds of buckets are finite numbers, each larger than the one before, not {bounds!r}")
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self.largest = -inf

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, once or several times (a frame that went to so many viewers)."""
        self._counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
        if value > self.largest:  # noqa: PLR1730 - max() would take as long as all the rest
            self.largest = value

    @property
    def count(self) -> int:
        """Observations."""
        return sum(self._counts)

    @property
    def mean(self) -> float | None:
        """The average of all values; None without any."""
        count = self.count
        return self.sum / count if count else None

    def percentile(self, percent: float) -> float | None:
        """The value that ``percent`` of all values (0 to 100) do not pass; None without any.

        Values are taken to be 0 or more. The class says how exact it is.

        Raises:
            ValueError: ``percent`` is not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent}")
        rank = self.count * percent / 100
        below = 0
        for low, high, count in self._buckets():
            if count and below + count >= rank:
                return low + (high - low) * (rank - below) / count
            below += count
        return None

    def _buckets(self) -> Iterator[tuple[float, float, int]]:
        """From where to where each reaches, as far as there are values, and how many are in it."""
        ends = [min(bound, self.largest) for bound in self.bounds]
        return zip([0.0, *self.bounds], [*ends, self.largest], self._counts, strict=True)

    def merge(self, other: Histogram) -> None:
        """Count all that another one of the same bounds has counted.

        Raises:
            ValueError: its bounds differ.
        """
        if self.bounds != other.bounds:
            raise ValueError("only histograms of the same bounds merge")
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.sum += other.sum
        self.largest = max(self.largest, other.largest)

    def snapshot(self) -> Snapshot:
        """Everything, as plain numbers."""
        count = self.count
        return {
            "count": count,
            "sum": self.sum,
            "mean": self.mean,
            "percentiles": {percent: self.percentile(percent) for percent in PERCENTILES},
            "largest": self.largest if count else None,
            "buckets": list(zip((*self.bounds, inf), accumulate(self._counts), strict=True)),
        }

"""Histograms with percentiles, fast enough to update for every message.

Counters need no class: they are integers. A histogram is converted to a metric only when a monitoring system asks for
it. An update takes a sixth of the time of Prometheus' own client, which has no percentiles, and a quarter of that of
hdrhistogram, whose buckets Prometheus cannot use.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from math import inf, isfinite
from typing import Final, TypedDict

from . import _signatures

PERCENTILES: Final = (50, 90, 99)
"""Percentiles in a ``Snapshot``."""


def steps(first: float, last: float) -> tuple[float, ...]:
    """Return the bounds 1, 2 and 5 times each power of ten, from ``first`` to ``last`` inclusive.

    Raises:
        ValueError: ``first`` or ``last`` is not 1, 2 or 5 times a power of ten, or ``first`` is larger than ``last``.
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
"""Bounds for durations, in seconds: 1 microsecond to 10 s."""

BYTES: Final = (*(float(1 << power) for power in range(4, 25)),)
"""Bounds for sizes, in bytes: powers of two from 16 B to 16 MiB."""


class Snapshot(TypedDict):
    """The state of a histogram at one time.

    Attributes:
        count: number of values.
        sum: sum of all values.
        mean: average of all values; None without values.
        percentiles: for each of ``PERCENTILES``, the value that this percentage of values does not exceed; None without
            values. See ``Histogram`` for the error.
        largest: the largest value; None without values.
        buckets: for each bound, and infinity as the last one, the number of values up to it.
    """

    count: int
    sum: float
    mean: float | None
    percentiles: dict[int, float | None]
    largest: float | None
    buckets: list[tuple[float, int]]


_signatures.describe_typed_dicts(globals())


class Histogram:
    """The distribution of values, counted in buckets. Not thread-safe.

    A percentile is interpolated linearly within its bucket, so its error is at most the width of the bucket: above the
    first bound, a factor of at most 2.5 with ``SECONDS`` and of 2 with ``BYTES``. Values above all bounds are counted
    in a last bucket, which ends at the largest value.

    Args:
        bounds: upper bounds of the buckets, strictly increasing. A value equal to a bound is in the bucket below it.

    Attributes:
        bounds: as passed.
        sum: sum of all values.
        largest: the largest value; minus infinity without values.

    Raises:
        ValueError: there are no bounds, or they are not finite or not strictly increasing.
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
        """Count a value, once or ``times`` times (such as a frame that was sent to several viewers)."""
        self._counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times
        if value > self.largest:  # noqa: PLR1730 - max() would double the time of this method
            self.largest = value

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self._counts)

    @property
    def mean(self) -> float | None:
        """Average of all values; None without values."""
        count = self.count
        return self.sum / count if count else None

    def percentile(self, percent: float) -> float | None:
        """Return the value that ``percent`` percent of all values do not exceed; None without values.

        Values are assumed not to be negative. See the class for the error.

        Args:
            percent: 0 to 100.

        Raises:
            ValueError: ``percent`` is not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile is from 0 to 100, not {percent}")
        rank = self.count * percent / 100
        below = 0
        for low, high, count in self._buckets():
            if count and below + count >= rank:
                return min(low + (high - low) * (rank - below) / count, high)  # rounding may exceed it by a digit
            below += count
        return None

    def _buckets(self) -> Iterator[tuple[float, float, int]]:
        """Return lower end, upper end and number of values of each bucket. The last one ends at the largest value."""
        ends = [min(bound, self.largest) for bound in self.bounds]
        return zip([0.0, *self.bounds], [*ends, self.largest], self._counts, strict=True)

    def merge(self, other: Histogram) -> None:
        """Add the values of another histogram with the same bounds.

        Raises:
            ValueError: its bounds differ.
        """
        if self.bounds != other.bounds:
            raise ValueError("only histograms with the same bounds can be merged")
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.sum += other.sum
        self.largest = max(self.largest, other.largest)

    def snapshot(self) -> Snapshot:
        """Return the current state as plain numbers."""
        count = self.count
        return {
            "count": count,
            "sum": self.sum,
            "mean": self.mean,
            "percentiles": {percent: self.percentile(percent) for percent in PERCENTILES},
            "largest": self.largest if count else None,
            "buckets": list(zip((*self.bounds, inf), accumulate(self._counts), strict=True)),
        }

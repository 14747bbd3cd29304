"""The time by Redis' clock, from which the messages of all servers take their timestamps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ..logs import logger

KEPT: Final = 8
"""Recent answers of Redis; the fastest of them is used, since network delay makes an answer uncertain."""

LONGEST_USE: Final = 10.0
"""Seconds after which Redis is asked for its time again."""

TOLERANCE: Final = 100_000
"""Microseconds by which a timestamp may differ from the time by Redis' clock."""

SKEW: Final = 1.0
"""Seconds by which this server's clock may differ from Redis' without a warning."""


class _Sample(NamedTuple):
    offset: int  # Redis' clock minus the event loop's, in microseconds
    uncertainty: int  # in microseconds


class RedisClock:
    """An estimate of Redis' clock, from its answers and the event loop's monotonic clock.

    Args:
        wall_clock_us: returns microseconds since 1970 by this server's clock.
    """

    def __init__(self, wall_clock_us: Callable[[], int]) -> None:
        self._wall_clock_us = wall_clock_us
        self._samples: deque[_Sample] = deque(maxlen=KEPT)
        self._offset = 0
        self._noted_at = 0.0
        self._is_skewed = False

    @property
    def is_known(self) -> bool:
        """True if Redis has answered with its time."""
        return bool(self._samples)

    @property
    def is_stale(self) -> bool:
        """True if Redis has to be asked for its time again."""
        return _loop_seconds() > self._noted_at + LONGEST_USE

    def now(self) -> int:
        """Return microseconds since 1970 by Redis' clock, or by this server's while Redis' is unknown."""
        return self._offset + _loop_microseconds() if self._samples else self._wall_clock_us()

    def corrected(self, timestamp: int) -> int:
        """Return ``timestamp``, or the time by Redis' clock if they differ by more than ``TOLERANCE``."""
        now = self.now()
        return timestamp if abs(timestamp - now) < TOLERANCE else now

    @property
    def skew(self) -> float:
        """The server's clock minus Redis', in seconds; 0 while Redis' is unknown."""
        return (self._wall_clock_us() - self.now()) / 1_000_000 if self._samples else 0.0

    def note(self, redis_now: int, asked_at: float) -> None:
        """Take an answer of Redis with its time.

        Args:
            redis_now: the time by Redis' clock, in microseconds since 1970.
            asked_at: when Redis was asked, in seconds of the event loop's clock.
        """
        answered_at = _loop_seconds()
        sample = _Sample(
            redis_now - round((asked_at + answered_at) * 500_000), round((answered_at - asked_at) * 500_000) + 1000
        )
        known = min(self._samples, key=_uncertainty, default=sample)
        if abs(sample.offset - known.offset) > sample.uncertainty + known.uncertainty + TOLERANCE:
            logger.warning("Redis' clock was set by %+.3f s", (sample.offset - known.offset) / 1_000_000)
            self._samples.clear()
        self._samples.append(sample)
        self._offset = min(self._samples, key=_uncertainty).offset
        self._noted_at = answered_at
        self._tell_skew()

    def _tell_skew(self) -> None:
        skew = self.skew
        if abs(skew) > SKEW and not self._is_skewed:
            self._is_skewed = True
            logger.warning(
                "this server's clock is %.3f s %s Redis', which gives messages their timestamps: check both clocks",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
            )
        elif abs(skew) < SKEW / 2:
            self._is_skewed = False


def _uncertainty(sample: _Sample) -> int:
    return sample.uncertainty


def _loop_seconds() -> float:
    return asyncio.get_running_loop().time()


def _loop_microseconds() -> int:
    return round(_loop_seconds() * 1_000_000)

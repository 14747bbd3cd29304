"""The time by Redis' clock, which gives the messages of all servers their timestamps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ..logs import logger

KEPT: Final = 8
"""Answers of Redis among which the quickest counts: what the network delays by, it makes uncertain."""

LONGEST_USE: Final = 10.0
"""Seconds after which the time is asked for again."""

TOLERANCE: Final = 100_000
"""Microseconds by which a timestamp may differ from the time by Redis' clock."""

SKEW: Final = 1.0
"""Seconds by which the two clocks may differ until a log says so."""


class _Sample(NamedTuple):
    offset: int  # Redis' clock minus the event loop's, in microseconds
    uncertainty: int  # in microseconds


class RedisClock:
    """Redis' clock, as its answers tell it; between two of them the event loop's clock, which is never set, goes on.

    Args:
        wall_clock_us: this server's clock, in microseconds since 1970.
    """

    def __init__(self, wall_clock_us: Callable[[], int]) -> None:
        self._wall_clock_us = wall_clock_us
        self._samples: deque[_Sample] = deque(maxlen=KEPT)
        self._offset = 0
        self._noted_at = 0.0
        self._is_skewed = False

    @property
    def is_known(self) -> bool:
        """Whether Redis has told its time."""
        return bool(self._samples)

    @property
    def is_stale(self) -> bool:
        """Whether Redis is to be asked for its time again."""
        return _loop_seconds() > self._noted_at + LONGEST_USE

    def now(self) -> int:
        """Microseconds since 1970: by Redis' clock, or by this server's as long as Redis' is not known."""
        return self._offset + _loop_microseconds() if self._samples else self._wall_clock_us()

    def corrected(self, timestamp: int) -> int:
        """A timestamp of now, given by the server; the time by Redis' clock where it is far from that."""
        now = self.now()
        return timestamp if abs(timestamp - now) < TOLERANCE else now

    @property
    def skew(self) -> float:
        """The server's clock minus Redis', in seconds; 0 as long as Redis' is not known."""
        return (self._wall_clock_us() - self.now()) / 1_000_000 if self._samples else 0.0

    def note(self, redis_now: int, asked_at: float) -> None:
        """Redis has told its time, in microseconds since 1970.

        Args:
            redis_now: by its clock.
            asked_at: when it was asked, in seconds of the event loop's clock.
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
                "this server's clock is %.3f s %s Redis', which gives messages their timestamps: see to both",
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

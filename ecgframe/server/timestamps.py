"""Timestamps of a server: they increase strictly even if the clock is set, and a clock that was set is logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .._core import Clock
from .logs import logger

if TYPE_CHECKING:
    from .backplane import Backplane

LOOK_EVERY: Final = 1.0
"""Seconds from one check of the clock to the next."""

STEP: Final = 0.1
"""Seconds by which the clock differs from one check to the next if it was set; slow adjustment changes far less."""


class Timestamps:
    """Generates the timestamps of a server's messages, in microseconds since 1970, strictly increasing.

    After the clock was set back, each timestamp is one microsecond more than the last, until the clock has caught up.

    Args:
        clock: returns microseconds since 1970; None for the system's clock.
        backplane: its clock is used instead if it has one.

    Attributes:
        next: returns the next timestamp.
        steps: how often the clock was set since the server began.
    """

    def __init__(self, clock: Callable[[], int] | None, backplane: Backplane) -> None:
        self.steps = 0
        self._wall_clock_us = clock or system_clock
        self._last = 0
        self._source = self._wall_clock_us if backplane.now() is None else self._shared(backplane)
        self.next: Callable[[], int] = self._rising
        if clock is None and backplane.now() is None:
            self.next = Clock().next
        self._offset: float | None = None
        self._look_at = 0.0

    @property
    def ahead(self) -> float:
        """Seconds by which timestamps are ahead of their clock."""
        return max(0, self.next() - self._source()) / 1_000_000

    def watch(self, now: float) -> None:
        """Check whether the clock was set, at most once every ``LOOK_EVERY`` seconds.

        Args:
            now: in seconds of a monotonic clock.
        """
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        offset = self._wall_clock_us() / 1_000_000 - now
        if self._offset is not None and abs(offset - self._offset) > STEP:
            self._tell(offset - self._offset)
        self._offset = offset

    def _tell(self, seconds: float) -> None:
        self.steps += 1
        direction = "forward" if seconds > 0 else "back"
        ahead = self.ahead
        logger.warning(
            "the clock of this machine was set %s by %.3f s; timestamps are ahead of it by %.3f s",
            direction,
            abs(seconds),
            ahead,
            extra={"clock_step_seconds": seconds, "timestamps_ahead_seconds": ahead},
        )

    def _rising(self) -> int:
        self._last = max(self._source(), self._last + 1)
        return self._last

    def _shared(self, backplane: Backplane) -> Callable[[], int]:
        def now() -> int:
            shared = backplane.now()
            return self._wall_clock_us() if shared is None else shared

        return now


def system_clock() -> int:
    """Return microseconds since 1970 by the system's clock."""
    return time.time_ns() // 1000

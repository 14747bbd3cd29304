"""The timestamps of a server: strictly rising, whatever is done to the clock, and what is done to it is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .._core import Clock
from .logs import logger

if TYPE_CHECKING:
    from .backplane import Backplane

LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the clock was set."""

STEP: Final = 0.1
"""Seconds within one such time by which the clock goes wrong when it is set; adjusting it slowly does far less."""


class Timestamps:
    """Microseconds since 1970 for what a server sends, each more than the last.

    When the clock is set back while the server runs, timestamps go on from where they were, a microsecond for each
    message, until the clock has caught up with them.

    Args:
        clock: gives microseconds since 1970; None for the system's clock.
        backplane: whose clock counts, where it has one.

    Attributes:
        next: gives the next timestamp.
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
        """Seconds by which timestamps are ahead of the clock that gives them."""
        return max(0, self.next() - self._source()) / 1_000_000

    def watch(self, now: float) -> None:
        """See whether the clock was set; may be called as often as is convenient.

        Args:
            now: in seconds of a clock that is never set.
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
    """Microseconds since 1970."""
    return time.time_ns() // 1000

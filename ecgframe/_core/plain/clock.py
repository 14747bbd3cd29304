"""The timestamps of frames.

The plain twin of ``clock.pyx``.
"""

from __future__ import annotations

from threading import Lock
from time import time_ns
from typing import final

__all__ = ["Clock"]


@final
class Clock:
    """Returns strictly increasing microseconds since the Unix epoch, so that a timestamp identifies its message."""

    __slots__ = ("_last", "_lock")

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def next(self) -> int:
        """Return the current time, or the previous result plus one if the clock has not advanced since."""
        with self._lock:
            self._last = max(time_ns() // 1000, self._last + 1)
            return self._last

"""The time, as frames tell it.

The plain twin of ``clock.pyx``.
"""

from __future__ import annotations

from threading import Lock
from time import time_ns
from typing import final

__all__ = ["Clock"]


@final
class Clock:
    """Microseconds since the Unix epoch, never the same twice: a timestamp names its message."""

    __slots__ = ("_last", "_lock")

    def __init__(self) -> None:
        self._last = 0
        self._lock = Lock()

    def next(self) -> int:
        """Now, or a microsecond after the last answer where the clock has not moved on."""
        with self._lock:
            self._last = max(time_ns() // 1000, self._last + 1)
            return self._last

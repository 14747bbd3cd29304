"""Limits the rate of errors of a peer."""

from __future__ import annotations

from collections import deque

from ..protocol import ERROR_BUDGET, ERROR_WINDOW


class ErrorBudget:
    """The errors of a peer, of which ``ERROR_BUDGET`` within ``ERROR_WINDOW`` seconds are too many."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] | None = None  # most peers make no error

    def spend(self, now: float) -> bool:
        """Count an error. Returns False if there are too many."""
        if self._times is None:
            self._times = deque(maxlen=ERROR_BUDGET)
        self._times.append(now)
        return len(self._times) < ERROR_BUDGET or now - self._times[0] > ERROR_WINDOW

"""How often a peer may be wrong."""

from __future__ import annotations

from collections import deque

from ..protocol import ERROR_BUDGET, ERROR_WINDOW


class ErrorBudget:
    """Five errors within ten seconds are too many."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=ERROR_BUDGET)

    def spend(self, now: float) -> bool:
        """Count an error; False when it was one too many."""
        self._times.append(now)
        return len(self._times) < ERROR_BUDGET or now - self._times[0] > ERROR_WINDOW

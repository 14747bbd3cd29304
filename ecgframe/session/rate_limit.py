"""How fast a peer may send, and how often it may be wrong."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from ..protocol import ERROR_BUDGET, ERROR_WINDOW

if TYPE_CHECKING:
    from .settings import RateLimit


class TokenBucket:
    """Tokens that flow in at a rate, up to a burst, and are taken out by what arrives."""

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = -inf

    def take(self, tokens: float, now: float) -> bool:
        """Take that many, or none at all and return False where there are fewer."""
        if now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + self._rate * (now - self._filled_at))
            self._filled_at = now
        if tokens > self._tokens:
            return False
        self._tokens -= tokens
        return True


class ErrorBudget:
    """Five errors within ten seconds are too many."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=ERROR_BUDGET)

    def spend(self, now: float) -> bool:
        """Count an error; False when it was one too many."""
        self._times.append(now)
        return len(self._times) < ERROR_BUDGET or now - self._times[0] > ERROR_WINDOW


class Admission:
    """What a rate limit lets through, in frames and in bytes."""

    __slots__ = ("_frames", "_nbytes")

    def __init__(self, limit: RateLimit) -> None:
        self._frames = TokenBucket(limit.frames, limit.frames_burst)
        self._nbytes = TokenBucket(limit.nbytes, limit.nbytes_burst)

    def admits_message(self, nbytes: int, now: float) -> bool:
        """Tell whether a WebSocket message of that size may come in now."""
        return self._nbytes.take(nbytes, now)

    def admits_frame(self, now: float) -> bool:
        """Tell whether one more frame may come in now."""
        return self._frames.take(1, now)

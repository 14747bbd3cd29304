"""Limits the cost of a peer: an account with a budget for each resource that it uses.

The resources are those of ``RateLimit``: frames, bytes on the wire in both directions, inflated bytes, bytes of memory
that the values of payloads take, and seconds of processor time. Each budget is a token bucket. ``Totals`` has the same
buckets for all peers of a server together. As long as it has tokens of a resource, each peer may use up its own; when
it has none, each peer still gets an equal share of the rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .settings import RateLimit

WINDOW: Final = 1.0
"""Length in seconds of the window over which the use of a peer is compared with its share of the totals."""

_REFILL_PAUSE: Final = 0.001
"""Shortest time in seconds between two refills of the buckets, so that a burst of frames costs one refill."""


class Bucket:
    """A token bucket for one resource: tokens are added at a rate, up to a burst.

    Attributes:
        rate: tokens per second.
        burst: maximum number of tokens.
        tokens: tokens left; negative if a cost was known only afterwards.
        used: tokens used since the window began.
    """

    __slots__ = ("burst", "rate", "tokens", "used")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.used = 0.0


class Budget:
    """A bucket for each resource of a limit.

    Args:
        limit: rate and burst of each resource.

    Attributes:
        frames, nbytes, inflated, unpacked, seconds: the buckets.
    """

    __slots__ = ("_buckets", "_filled_at", "frames", "inflated", "nbytes", "seconds", "unpacked")

    def __init__(self, limit: RateLimit) -> None:
        self.frames = Bucket(limit.frames, limit.frames_burst)
        self.nbytes = Bucket(limit.nbytes, limit.nbytes_burst)
        self.inflated = Bucket(limit.inflated, limit.inflated_burst)
        self.unpacked = Bucket(limit.unpacked, limit.unpacked_burst)
        self.seconds = Bucket(limit.seconds, limit.seconds_burst)
        self._buckets = (self.frames, self.nbytes, self.inflated, self.unpacked, self.seconds)
        self._filled_at = 0.0

    def fill(self, now: float) -> bool:
        """Refill the buckets. Returns False if the last refill was too recent."""
        elapsed = now - self._filled_at
        if elapsed < _REFILL_PAUSE:
            return False
        self._filled_at = now
        for bucket in self._buckets:
            bucket.tokens = min(bucket.burst, bucket.tokens + bucket.rate * elapsed)
        return True


class Totals(Budget):
    """The common budget of all peers of a server.

    Args:
        limit: rate and burst of each resource.

    Attributes:
        peers: number of peers that have an account.
    """

    __slots__ = ("peers",)

    def __init__(self, limit: RateLimit) -> None:
        super().__init__(limit)
        self.peers = 0


class Account(Budget):
    """The budget of one peer.

    Args:
        limit: rate and burst of each resource.
        totals: the common budget of all peers; None if there is none.
    """

    __slots__ = ("_totals", "_window_at")

    def __init__(self, limit: RateLimit, totals: Totals | None = None) -> None:
        super().__init__(limit)
        self._totals = totals
        self._window_at = 0.0
        if totals is not None:
            totals.peers += 1

    def close(self) -> None:
        """Note that the peer is gone, so that the others get its share."""
        if self._totals is not None:
            self._totals.peers -= 1
            self._totals = None

    def fill(self, now: float) -> bool:
        """Refill the buckets, also those of the totals, and begin a new window if the current one is over."""
        if self._totals is not None:
            self._totals.fill(now)
        if not super().fill(now):
            return False
        if now - self._window_at >= WINDOW:
            self._window_at = now
            for bucket in self._buckets:
                bucket.used = 0.0
        return True

    def short_of(self, nbytes: int) -> str | None:
        """Return the resource that is exhausted, so that a message of ``nbytes`` cannot be read; None if it can."""
        if self.room_of("nbytes") < nbytes:
            return "nbytes"
        if self.room_of("seconds") <= 0:
            return "seconds"
        return None

    def is_own_fault(self, name: str, cost: float = 0.0) -> bool:
        """Return whether the peer's own budget is exhausted, and not only the common one."""
        bucket: Bucket = getattr(self, name)
        return bucket.tokens < cost or bucket.tokens <= 0

    def seconds_until(self, name: str) -> float:
        """Return the seconds until the peer's own budget has a token of the resource."""
        bucket: Bucket = getattr(self, name)
        return max(0.0, (1 - bucket.tokens) / bucket.rate)

    def room_of(self, name: str) -> float:
        """Return how much of a resource may be used now. It changes nothing, so any thread may call it."""
        own: Bucket = getattr(self, name)
        totals = self._totals
        if totals is None:
            return own.tokens
        whole: Bucket = getattr(totals, name)
        if whole.tokens >= own.tokens:
            return own.tokens
        return min(own.tokens, max(whole.tokens, whole.rate / max(totals.peers, 1) * WINDOW - own.used))

    def charge(self, name: str, cost: float) -> None:
        """Subtract a cost from the budgets, which may become negative."""
        own: Bucket = getattr(self, name)
        own.tokens -= cost
        own.used += cost
        if self._totals is not None:
            whole: Bucket = getattr(self._totals, name)
            whole.tokens -= cost

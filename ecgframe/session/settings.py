"""What one side of a conversation can do, and what it puts up with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ..codec import NumericLists
from ..compression import Compression
from ..protocol import (
    DEFAULT_MAX_PAYLOAD,
    HEADER_SIZES,
    HEARTBEAT_INTERVAL,
    LARGEST_LENGTH,
    LATEST_VERSION,
    MAX_BATCH_PAYLOAD,
    VERSIONS,
    Capability,
)

MiB: Final = 1024 * 1024

REMEMBERED: Final = 1024
"""Messages whose timestamps a receiver remembers, to tell one that was sent again: of those that the application
works on, and of those that it has. So no more may wait for their acknowledgement at once."""

EVERYTHING: Final = frozenset(Capability) - {Capability.ENCRYPTION}
"""The capabilities that this package has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How fast a peer may send, as two token buckets.

    Attributes:
        frames: frames a second, in the long run.
        frames_burst: frames at once.
        nbytes: bytes a second, in the long run.
        nbytes_burst: bytes at once; it must hold the largest message that is to be let through.

    Raises:
        ValueError: a number that is not above 0.
    """

    frames: float = 1000
    frames_burst: int = 4000
    nbytes: float = 8 * MiB
    nbytes_burst: int = 32 * MiB

    def __post_init__(self) -> None:
        for name in ("frames", "frames_burst", "nbytes", "nbytes_burst"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of a rate limit is a number above 0, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One side of a conversation.

    Attributes:
        versions: protocol versions that it speaks.
        capabilities: what it offers when negotiating.
        max_payload: bytes of a payload that it accepts, as it travels and inflated. A server announces it.
        heartbeat_interval: seconds without anything sent after which a HEARTBEAT goes out; three of them without
            anything received are a dead peer. A client takes the interval that its server announces.
        negotiation_timeout: seconds that a client waits for the server's first word before it takes it for an old one.
        acknowledgement_timeout: seconds before a message that nobody acknowledged is sent again.
        acknowledgement_attempts: how often it is sent, the first time included, before it is given up.
        max_unacknowledged: messages that may wait for their acknowledgement at once; at most as many as a receiver
            remembers.
        queue_frames: frames that may wait to be sent.
        queue_bytes: bytes that may wait to be sent, besides one frame that is larger than this by itself.
        batch_bytes: bytes up to which waiting frames are joined to one WebSocket message, for peers that can take it.
        rate_limit: how fast the peer may send, or None for any rate.
        validate: check the fields of data messages as well; those of control messages always are.
        numeric_lists: "ndarray" reads plain lists of numbers in data messages as arrays.
        compression: when to deflate, towards peers that can inflate, or None for never.

    Raises:
        ValueError: a value that cannot be, or a rate limit that would refuse the largest payload.
    """

    versions: tuple[int, ...] = VERSIONS
    capabilities: frozenset[Capability] = EVERYTHING
    max_payload: int = DEFAULT_MAX_PAYLOAD
    heartbeat_interval: float = HEARTBEAT_INTERVAL
    negotiation_timeout: float = 5.0
    acknowledgement_timeout: float = 2.0
    acknowledgement_attempts: int = 5
    max_unacknowledged: int = 1024
    queue_frames: int = 1024
    queue_bytes: int = 4 * MiB
    batch_bytes: int = 64 * 1024
    rate_limit: RateLimit | None = None
    validate: bool = False
    numeric_lists: NumericLists = "list"
    compression: Compression | None = Compression()

    def __post_init__(self) -> None:
        if not self.versions or not set(self.versions) <= set(VERSIONS):
            raise ValueError(f"versions are some of {VERSIONS}, not {self.versions}")
        if unknown := self.capabilities - EVERYTHING:
            raise ValueError(f"this package does not have {', '.join(sorted(unknown))}")
        if not 0 < self.max_payload <= LARGEST_LENGTH:
            raise ValueError(f"max_payload is a number of bytes from 1 to {LARGEST_LENGTH}, not {self.max_payload}")
        for name in (
            "heartbeat_interval",
            "negotiation_timeout",
            "acknowledgement_timeout",
            "acknowledgement_attempts",
            "max_unacknowledged",
            "queue_frames",
            "queue_bytes",
            "batch_bytes",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a finite number above 0, not {getattr(self, name)}")
        if self.batch_bytes > MAX_BATCH_PAYLOAD:
            raise ValueError(f"batch_bytes is at most {MAX_BATCH_PAYLOAD}, not {self.batch_bytes}")
        if self.max_unacknowledged > REMEMBERED:
            raise ValueError(f"max_unacknowledged is at most {REMEMBERED}, not {self.max_unacknowledged}")
        largest = self.max_payload + HEADER_SIZES[LATEST_VERSION]
        if self.rate_limit and self.rate_limit.nbytes_burst < largest:
            raise ValueError(
                f"a frame may have {largest} bytes, and the rate limit lets {self.rate_limit.nbytes_burst} through at "
                "once: lower max_payload or raise nbytes_burst"
            )

    @property
    def latest_version(self) -> int:
        """The highest version spoken."""
        return max(self.versions)

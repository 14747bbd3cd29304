"""Limits of a server: they bound its memory and processor time, whatever peers do."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from ..protocol import MAX_STREAM_NAME
from ..session import RateLimit

MiB: Final = 1024 * 1024

TOGETHER: Final = RateLimit(
    frames=20_000,
    frames_burst=80_000,
    nbytes=128 * MiB,
    nbytes_burst=512 * MiB,
    inflated=64 * MiB,
    inflated_burst=128 * MiB,
    unpacked=64 * MiB,
    unpacked_burst=128 * MiB,
    seconds=0.5,
    seconds_burst=4.0,
)
"""Default rate limit of all peers of a server together: in the long run, half of one processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one handler. The limits of a single session (payload, rate, queue) are in ``Settings``.

    Attributes:
        connections: open connections; the next one is closed with 1013.
        streams_per_connection: subscriptions of one connection; the next one is denied with 0x204.
        stream_name: characters in the name of a stream.
        streams: streams kept in memory: those with viewers, and those with messages in their ring.
        ring_seconds: seconds for which a stream keeps its messages for viewers that resume.
        ring_bytes: bytes of messages that one stream keeps, in all encodings together.
        rings_bytes: bytes of messages that all streams together keep.
        inbox_messages: messages of one connection that wait for the application; at this number it is not read.
        inbox_bytes: bytes of memory that these messages take; at this number it is not read. One message may take more.
        inboxes_bytes: bytes of memory of the waiting messages of all connections; at this number no data is read.
        rate_limit: the rate limit of all peers together; None for no limit. ``Settings.rate_limit`` limits each peer.
        hook_seconds: seconds after which a hook is cancelled.
        close_seconds: seconds that a connection has to close before it is dropped.
        slow_message_seconds: a message that takes longer to handle is logged.

    Raises:
        ValueError: a limit is not a finite number above 0.
    """

    connections: int = 4096
    streams_per_connection: int = 256
    stream_name: int = MAX_STREAM_NAME
    streams: int = 16_384
    ring_seconds: float = 30.0
    ring_bytes: int = 8 * MiB
    rings_bytes: int = 512 * MiB
    inbox_messages: int = 64
    inbox_bytes: int = MiB
    inboxes_bytes: int = 16 * MiB
    rate_limit: RateLimit | None = TOGETHER
    hook_seconds: float = 10.0
    close_seconds: float = 5.0
    slow_message_seconds: float = 0.25

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "rate_limit":
                continue
            if not 0 < value < math.inf:
                raise ValueError(f"{field.name} is a finite number above 0, not {value}")

"""What a server allows, so that nothing that peers do makes it grow without bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from ..protocol import MAX_STREAM_NAME

MiB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one handler. Those of a single conversation (payload, rate, queue) are in its ``Settings``.

    Attributes:
        connections: open at once; one more is closed with 1013.
        streams_per_connection: subscriptions of one connection; one more is denied with 0x204.
        stream_name: characters in the name of a stream.
        streams: that are remembered at once: those that have viewers, and those with messages in their ring.
        ring_seconds: for which a stream keeps its messages, for viewers that come back.
        ring_bytes: that a stream keeps at most, in all encodings together.
        rings_bytes: that all streams together keep at most.
        inbox_messages: of one connection that may wait for the application; then the connection is not read.
        inbox_bytes: the same in bytes of inflated payloads; a single one may be larger.
        hook_seconds: that a hook may take; then it is cancelled.
        close_seconds: from the wish to close a connection until it is dropped.
        slow_message_seconds: handling of a message that takes longer is logged.

    Raises:
        ValueError: a limit that is not a finite number above 0.
    """

    connections: int = 4096
    streams_per_connection: int = 64
    stream_name: int = MAX_STREAM_NAME
    streams: int = 16_384
    ring_seconds: float = 30.0
    ring_bytes: int = 8 * MiB
    rings_bytes: int = 512 * MiB
    inbox_messages: int = 64
    inbox_bytes: int = MiB
    hook_seconds: float = 10.0
    close_seconds: float = 5.0
    slow_message_seconds: float = 0.25

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ValueError(f"{field.name} is a finite number above 0, not {value}")

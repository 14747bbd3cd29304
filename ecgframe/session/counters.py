"""Plain counters of one connection."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What has passed, since the connection began.

    Attributes:
        sent: frames by message type.
        sent_bytes: of those frames.
        received: accepted frames by message type.
        received_bytes: of all WebSocket messages that came, accepted or not.
        refused: frames of the peer's that were not accepted, by error code.
        errors: ERROR messages of the peer's, by code; 0 for all codes that the specification does not have, of which
            a peer could make up as many as it likes.
        dropped: frames of ours that gave way because the peer did not keep up.
        resent: frames sent again for want of an acknowledgement.
        undelivered: messages given up for want of one.
    """

    sent: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))  # half the time of a Counter
    sent_bytes: int = 0
    received: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    received_bytes: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    errors: Counter[int] = field(default_factory=Counter)
    dropped: int = 0
    resent: int = 0
    undelivered: int = 0

    def add(self, other: Counters) -> None:
        """Add what another connection counted."""
        _add(self.sent, other.sent)
        self.sent_bytes += other.sent_bytes
        _add(self.received, other.received)
        self.received_bytes += other.received_bytes
        self.refused.update(other.refused)
        self.errors.update(other.errors)
        self.dropped += other.dropped
        self.resent += other.resent
        self.undelivered += other.undelivered


def _add(to: defaultdict[int, int], counts: Mapping[int, int]) -> None:
    for number, count in counts.items():
        to[number] += count

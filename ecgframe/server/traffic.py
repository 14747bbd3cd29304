"""What a handler counts, and the plain ``stats()`` that it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..codec import Codec
from ..metrics import BYTES, SECONDS, Histogram
from ..protocol import LARGEST_LENGTH, MessageType
from ..session import Outgoing, PreparedOutgoing, Tally
from .open_files import failed_accepts

if TYPE_CHECKING:
    from .connection import Connection

_codec = Codec(max_payload=LARGEST_LENGTH, ndarray="binary")


@dataclass(slots=True)
class Traffic:
    """Counters of one handler, of connections that are closed included.

    Attributes:
        accepted: connections.
        failed_accepts: of the process, before the handler was made.
        refused: connections that were refused: too many, a name that is taken, or not authenticated.
        closed: connections by close code, as text.
        tally: of the sessions that are over, and what has passed the queues of all.
        errors: that the handler answered on its own account, by code.
        acknowledged: messages.
        sent_sizes: bytes of the data frames that were queued, for each viewer that got them.
        received_sizes: bytes of the WebSocket messages that came.
        receive_seconds: from the arrival of a message until the application has handled it.
        publish_seconds: from the call until the last viewer's frame is queued.
        encoded: frames that were made of what was published or broadcast: one for each encoding, not for each viewer.
        deflated: of these, those that were deflated in the encoding that the server keeps.
        before: bytes of their payloads.
        after: bytes of their payloads, deflated.
    """

    accepted: int = 0
    refused: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    errors: Counter[int] = field(default_factory=Counter)
    acknowledged: int = 0
    sent_sizes: Histogram = field(default_factory=lambda: Histogram(BYTES))
    received_sizes: Histogram = field(default_factory=lambda: Histogram(BYTES))
    receive_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    publish_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    encoded: int = 0
    deflated: int = 0
    before: int = 0
    after: int = 0
    failed_accepts: int = field(default_factory=lambda: failed_accepts.count)
    started_at: float = field(default_factory=monotonic)

    def note_sent(self, outgoing: Outgoing, viewers: int, passed: int) -> None:
        """Count a data frame that went to so many viewers, to some of them without being queued."""
        self.sent_sizes.observe(outgoing.nbytes, viewers)
        if passed:
            self.tally.sent[outgoing.type] += passed
            self.tally.sent_bytes += passed * outgoing.nbytes

    def note_encoded(self, outgoing: Outgoing, data: Any) -> None:
        """Count how much smaller a frame became, if it was deflated. Packing once more costs little beside that."""
        if outgoing.deflated:
            self.deflated += 1
            self.before += len(_codec.pack(data))
            self.after += _codec.split(outgoing.frame)[1].nbytes

    def note_prepared(self, prepared: PreparedOutgoing) -> None:
        """Count how much smaller a large frame became, if it was deflated."""
        if prepared.deflated:
            self.deflated += 1
            self.before += prepared.packed
            self.after += prepared.nbytes

    def note_other_encoding(self) -> None:
        """Count a frame that was made of a large publication for viewers that need another encoding."""
        self.encoded += 1

    def stats(self, open_connections: Collection[Connection]) -> dict[str, Any]:
        """All of it as plain numbers, together with what the open connections have counted so far."""
        tally = self._total(connection.session.tally for connection in open_connections)
        return {
            "uptime": monotonic() - self.started_at,
            "connections": {
                "open": len(open_connections),
                "accepted": self.accepted,
                "refused": self.refused,
                "accepts_failed": failed_accepts.count - self.failed_accepts,
                "closed": dict(self.closed),
                "by_version": _by_version(open_connections),
            },
            "messages": {"sent": _named(tally.sent), "received": _named(tally.received)},
            "bytes": {"sent": tally.sent_bytes, "received": tally.received_bytes},
            "sizes": {"sent": self.sent_sizes.snapshot(), "received": self.received_sizes.snapshot()},
            "compression": {"sent": {"frames": self.deflated, "before": self.before, "after": self.after}},
            "encoded": self.encoded,
            "errors": {"sent": _coded(tally.refused + self.errors), "received": _coded(tally.errors)},
            "latency": {"receive": self.receive_seconds.snapshot(), "publish": self.publish_seconds.snapshot()},
            "queues": _queues(open_connections),
            "dropped": tally.dropped,
            "resent": tally.resent,
            "undelivered": tally.undelivered,
            "acknowledged": self.acknowledged,
        }

    def _total(self, tallies: Iterable[Tally]) -> Tally:
        total = Tally()
        total.add(self.tally)
        for tally in tallies:
            total.add(tally)
        return total


def _by_version(connections: Iterable[Connection]) -> dict[str, int]:
    return dict(Counter(str(connection.session.version) for connection in connections))


def _named(counts: Mapping[int, int]) -> dict[str, int]:
    return {MessageType(number).name: count for number, count in counts.items()}


def _coded(counts: Counter[int]) -> dict[str, int]:
    return {f"0x{code:03x}": count for code, count in counts.items()}


def _queues(connections: Collection[Connection]) -> dict[str, int]:
    frames = [connection.session.queued_frames for connection in connections]
    nbytes = [connection.session.queued_bytes for connection in connections]
    return {
        "frames": sum(frames),
        "bytes": sum(nbytes),
        "longest_frames": max(frames, default=0),
        "longest_bytes": max(nbytes, default=0),
        "on_their_way_bytes": sum(connection.session.on_its_way for connection in connections),
        "held": sum(connection.session.holds_data for connection in connections),
    }

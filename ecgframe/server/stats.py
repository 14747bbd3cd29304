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
from ..session import Counters, Outgoing, PreparedOutgoing
from .open_files import failed_accepts

if TYPE_CHECKING:
    from ..session import ServerSession

_codec = Codec(max_payload=LARGEST_LENGTH, ndarray="binary")


@dataclass(slots=True)
class ServerStats:
    """Counters of one handler, of connections that are closed included.

    Attributes:
        accepted: connections.
        failed_accepts: of the process, before the handler was made.
        refused: connections that were refused: too many, a name that is taken, or not authenticated.
        closed: connections by close code, as text.
        counters: of the sessions that are over, and what has passed the queues of all.
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
    counters: Counters = field(default_factory=Counters)
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
            self.counters.sent[outgoing.type] += passed
            self.counters.sent_bytes += passed * outgoing.nbytes

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

    def stats(self, sessions: Collection[ServerSession]) -> dict[str, Any]:
        """All of it as plain numbers, together with what the open sessions have counted so far."""
        counters = self._total(session.counters for session in sessions)
        return {
            "uptime": monotonic() - self.started_at,
            "connections": {
                "open": len(sessions),
                "accepted": self.accepted,
                "refused": self.refused,
                "accepts_failed": failed_accepts.count - self.failed_accepts,
                "closed": dict(self.closed),
                "by_version": _by_version(sessions),
            },
            "messages": {"sent": _named(counters.sent), "received": _named(counters.received)},
            "bytes": {"sent": counters.sent_bytes, "received": counters.received_bytes},
            "sizes": {"sent": self.sent_sizes.snapshot(), "received": self.received_sizes.snapshot()},
            "compression": {"sent": {"frames": self.deflated, "before": self.before, "after": self.after}},
            "encoded": self.encoded,
            "errors": {"sent": _coded(counters.refused + self.errors), "received": _coded(counters.errors)},
            "latency": {"receive": self.receive_seconds.snapshot(), "publish": self.publish_seconds.snapshot()},
            "queues": _queues(sessions),
            "dropped": counters.dropped,
            "resent": counters.resent,
            "undelivered": counters.undelivered,
            "acknowledged": self.acknowledged,
        }

    def _total(self, counted: Iterable[Counters]) -> Counters:
        total = Counters()
        total.add(self.counters)
        for counters in counted:
            total.add(counters)
        return total


def _by_version(sessions: Iterable[ServerSession]) -> dict[str, int]:
    return dict(Counter(str(session.version) for session in sessions))


def _named(counts: Mapping[int, int]) -> dict[str, int]:
    return {MessageType(number).name: count for number, count in counts.items()}


def _coded(counts: Counter[int]) -> dict[str, int]:
    return {f"0x{code:03x}": count for code, count in counts.items()}


def _queues(sessions: Collection[ServerSession]) -> dict[str, int]:
    frames = [session.queued_frames for session in sessions]
    nbytes = [session.queued_bytes for session in sessions]
    return {
        "frames": sum(frames),
        "bytes": sum(nbytes),
        "longest_frames": max(frames, default=0),
        "longest_bytes": max(nbytes, default=0),
        "on_their_way_bytes": sum(session.on_its_way for session in sessions),
        "held": sum(session.holds_data for session in sessions),
    }

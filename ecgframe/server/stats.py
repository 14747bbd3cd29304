"""Counters of a handler, and its ``stats()``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..codec import EncodedFrame
from ..metrics import BYTES, SECONDS, Histogram
from ..protocol import Algorithm, Form, MessageType
from ..session import Counters, Outgoing
from ..session.outgoing import Tier
from .open_files import failed_accepts

if TYPE_CHECKING:
    from ..session import ServerSession

_FORM_AT = 19  # byte of the form in a header of V4
_FORMED_SINCE = 4


@dataclass(slots=True)
class ServerStats:
    """Counters of one handler; they include closed connections.

    Attributes:
        accepted: accepted connections.
        failed_accepts: failed attempts to accept a connection, in this process, before the handler was created.
        refused: refused connections: too many, the same id as another, or the handler is closed.
        closed: closed connections by close code, as text.
        counters: counters of the closed sessions, and frames of all sessions that were sent without queueing.
        errors: errors that the handler itself answered, by code.
        acknowledged: messages that peers acknowledged.
        sent_sizes: bytes of the data frames, one observation for each viewer.
        received_sizes: bytes of the received WebSocket messages.
        receive_seconds: seconds from the arrival of a message until the application has handled it.
        publish_seconds: seconds from the call of ``publish`` until the last viewer's frame is queued.
        encoded: frames encoded of published and broadcast messages: one for each encoding, not for each viewer.
        deflated: those of them in the canonical encoding that were deflated.
        before: bytes of the payloads of these, before deflating.
        after: bytes of the payloads of these, deflated.
        compressed: compressed data frames by algorithm, one for each viewer.
        keys_handed_out: keys of sealed streams that viewers were sent.
        histories: histories that viewers were sent on request.
        resumes: subscriptions that name a place in the stream, by whether it is known here; if not, a gap is reported.
        proxied: requests by where the address of the peer comes from, if the operator has named proxies.
        started_at: when the handler was created, in seconds of the monotonic clock.
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
    compressed: Counter[Algorithm] = field(default_factory=Counter)
    keys_handed_out: int = 0
    histories: int = 0
    resumes: Counter[str] = field(default_factory=lambda: Counter(known=0, unknown=0))
    proxied: Counter[str] = field(default_factory=Counter)
    failed_accepts: int = field(default_factory=lambda: failed_accepts.count)
    started_at: float = field(default_factory=monotonic)

    def note_sent(self, outgoing: Outgoing, viewers: int, passed: int) -> None:
        """Count a data frame that was sent to ``viewers`` viewers, to ``passed`` of them without queueing."""
        self.sent_sizes.observe(outgoing.nbytes, viewers)
        if outgoing.deflated:
            self.compressed[_algorithm_of(outgoing.frame)] += viewers
        if passed:
            self.counters.sent[outgoing.type] += passed
            self.counters.sent_bytes += passed * outgoing.nbytes

    def note_encoded(self, encoded: EncodedFrame) -> None:
        """Count a frame of a published message, and its bytes before and after if it was deflated."""
        if encoded.packed is not None and encoded.packed != encoded.nbytes:
            self.deflated += 1
            self.before += encoded.packed
            self.after += encoded.nbytes

    def note_other_encoding(self) -> None:
        """Count a large publication that was encoded in another encoding."""
        self.encoded += 1

    def stats(self, sessions: Collection[ServerSession], now: float) -> dict[str, Any]:
        """Return all counters as plain numbers, those of the open sessions included; ``now`` by the sessions' clock."""
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
                "by_origin": dict(self.proxied),
            },
            "messages": {"sent": _named(counters.sent), "received": _named(counters.received)},
            "bytes": {"sent": counters.sent_bytes, "received": counters.received_bytes},
            "sizes": {"sent": self.sent_sizes.snapshot(), "received": self.received_sizes.snapshot()},
            "compression": {"sent": {"frames": self.deflated, "before": self.before, "after": self.after}},
            "compressed": {one.name.lower(): self.compressed[one] for one in Algorithm},
            "encoded": self.encoded,
            "sealing": {
                "sealed": 0,
                "passed": counters.sealed["passed"],
                "keys_handed_out": self.keys_handed_out,
                "attestations": 0,
            },
            "errors": {"sent": _coded(counters.refused + self.errors), "received": _coded(counters.errors)},
            "latency": {"receive": self.receive_seconds.snapshot(), "publish": self.publish_seconds.snapshot()},
            "queues": _queues(sessions, now),
            "over_budget": dict(counters.over_budget),
            "dropped": counters.dropped,
            "expired": counters.expired,
            "histories": self.histories,
            "resumes": dict(self.resumes),
            "fragments": {"sent": counters.fragments_sent, "received": counters.fragments_received},
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


def _algorithm_of(frame: bytes) -> Algorithm:
    """The algorithm with which the payload of a frame is compressed, by its header."""
    return Algorithm(frame[_FORM_AT] & Form.ALGORITHM) if frame[0] >= _FORMED_SINCE else Algorithm.ZLIB


def _by_version(sessions: Iterable[ServerSession]) -> dict[str, int]:
    return dict(Counter(str(session.version) for session in sessions))


def _named(counts: Mapping[int, int]) -> dict[str, int]:
    return {MessageType(number).name: count for number, count in counts.items()}


def _coded(counts: Counter[int]) -> dict[str, int]:
    return {f"0x{code:03x}": count for code, count in counts.items()}


_CLASSES: Final = {Tier.URGENT: "alarm", Tier.CONTROL: "control", Tier.LIVE: "live", Tier.BULK: "bulk"}
"""The classes of service, as the protocol's page names them."""


def _by_class(sessions: Collection[ServerSession]) -> dict[str, int]:
    waiting = [session.queued_by_class for session in sessions if session.queued_frames]
    return {name: sum(each[tier] for each in waiting) for tier, name in _CLASSES.items()}


def _queues(sessions: Collection[ServerSession], now: float) -> dict[str, Any]:
    frames = [session.queued_frames for session in sessions]
    nbytes = [session.queued_bytes for session in sessions]
    return {
        "frames": sum(frames),
        "bytes": sum(nbytes),
        "by_class": _by_class(sessions),
        "longest_frames": max(frames, default=0),
        "longest_bytes": max(nbytes, default=0),
        "longest_wait_seconds": max((now - session.oldest_queued_at(now) for session in sessions), default=0.0),
        "on_their_way_bytes": sum(session.on_its_way for session in sessions),
        "held": sum(session.holds_data for session in sessions),
    }

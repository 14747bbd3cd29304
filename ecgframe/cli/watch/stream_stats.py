"""Statistics of a stream: counts, rates and latencies."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ...protocol import Check, Flag, MessageType
from ...signing import Signature, Unattested
from ...signing.digests import SIGNED_TYPES

if TYPE_CHECKING:
    from ...client import Gap
    from ...codec import Message
    from ...errors import ProtocolError
    from ...signing import Attested

NOW: Final = 3.0
"""Seconds over which a rate is averaged."""

_ENCRYPTED: Final = int(Flag.ENCRYPTED)

TIMED: Final = 100_000
"""Latencies that are kept, for the summary."""

NUMBERED: Final = 4
"""First version whose messages can be signed and attested."""

RECENT: Final = 200
"""Number of the latest latencies that count as recent."""


class Totals(NamedTuple):
    """Totals at a time: seconds of a monotonic clock, messages, samples of all leads, and bytes received."""

    time: float
    messages: int
    samples: int
    nbytes: int


class Rates(NamedTuple):
    """Mean rates, per second."""

    messages: float
    samples: float
    nbytes: float


class Latency(NamedTuple):
    """Latencies of a number of messages, in seconds."""

    median: float
    p99: float
    largest: float


class StreamStats:
    """What was received of a stream so far.

    Attributes:
        messages: number of messages.
        samples: number of samples in them, over all leads.
        nbytes: number of bytes received over the network.
        leads: number of leads in the latest signal.
        sampling_rate: sampling rate of the latest signal in Hz; 0 before the first.
        gaps: number of gaps.
        dropped: number of frames in the gaps, as far as the server reported it.
        reconnections: number of connections after the first.
        alerts: number of ANOMALY_ALERT messages.
        last_alert: payload of the latest of those.
        sealed: number of messages that came sealed, and were opened.
        unopened: number of those that were not opened, since their key is unknown.
        verifies: whether signatures are verified.
        proofs: with ``verifies``, number of messages by what is known of them: "signed" and "attested" by a known
            signer; and "unattested", "unsigned" (alerts and predictions), "refused" (a signature that is not right) and
            "unverifiable" (received before version 4).
    """

    def __init__(self, now: float, *, verifies: bool = False) -> None:
        self.verifies = verifies
        self.proofs: Counter[str] = Counter()
        self._is_numbered = True
        self.messages = 0
        self.sealed = 0
        self.unopened = 0
        self.samples = 0
        self.nbytes = 0
        self.leads = 0
        self.sampling_rate = 0.0
        self.gaps = 0
        self.dropped = 0
        self.reconnections = 0
        self.alerts = 0
        self.last_alert: dict[str, Any] = {}
        self._begun = now
        self._latencies: deque[float] = deque(maxlen=TIMED)
        self._past: deque[Totals] = deque([Totals(now, 0, 0, 0)])

    @property
    def unproven(self) -> int:
        """Number of messages that no known signer has signed, as far as that is known; 0 if nothing is verified."""
        return self.proofs.total() - self.proofs["signed"] - self.proofs["attested"]

    def note_version(self, version: int | None) -> None:
        """Note which version the connection speaks."""
        self._is_numbered = version is None or version >= NUMBERED

    def note_attestation(self, found: Attested | Unattested) -> None:
        """Count messages that were attested, or were not in time."""
        self.proofs["unattested" if isinstance(found, Unattested) else "attested"] += len(found.numbers)

    def note_error(self, error: ProtocolError) -> None:
        """Count a message that was refused, if that was for its signature."""
        self.proofs["refused"] += self.verifies and error.check is Check.SIGNATURE

    def _note_signature(self, message: Message) -> None:
        if not self._is_numbered:
            self.proofs["unverifiable"] += 1
        elif message.signature == Signature.VALID:
            self.proofs["signed"] += 1
        elif message.type in SIGNED_TYPES or message.signature is not None:
            self.proofs["unsigned"] += 1

    def note(self, message: Message, latency: float | None) -> None:
        """Count a message. ``latency`` is in seconds; None if unknown."""
        self.messages += 1
        self.sealed += bool(int(message.flags) & _ENCRYPTED)
        if self.verifies:
            self._note_signature(message)
        if latency is not None:
            self._latencies.append(latency)
        data = message.data if isinstance(message.data, dict) else {}
        if message.type is MessageType.ECG_DATA:
            self._note_signal(data)
        elif message.type is MessageType.ANOMALY_ALERT:
            self.alerts += 1
            self.last_alert = data

    def note_gap(self, gap: Gap) -> None:
        """Count a gap."""
        self.gaps += 1
        self.dropped += gap.frames or 0

    def elapsed(self, now: float) -> float:
        """Seconds since the beginning."""
        return now - self._begun

    def rates(self, now: float) -> Rates:
        """Mean rates over the last ``NOW`` seconds."""
        while len(self._past) > 1 and self._past[1].time <= now - NOW:
            self._past.popleft()
        totals = Totals(now, self.messages, self.samples, self.nbytes)
        self._past.append(totals)
        return _rates(self._past[0], totals)

    def average(self, now: float) -> Rates:
        """Mean rates since the beginning."""
        return _rates(Totals(self._begun, 0, 0, 0), Totals(now, self.messages, self.samples, self.nbytes))

    def latency(self, *, recent: bool = False) -> Latency | None:
        """Latencies of the recent messages, or of all; None if unknown."""
        if not self._latencies:
            return None
        count = RECENT if recent else TIMED
        values = np.array(list(self._latencies)[-count:])
        median, p99 = np.percentile(values, (50, 99))
        return Latency(float(median), float(p99), float(values.max()))

    def _note_signal(self, data: dict[str, Any]) -> None:
        try:
            signal = np.asarray(data.get("signal", ()))
        except ValueError:  # lists of unequal lengths
            return
        self.leads = signal.shape[0] if signal.ndim == 2 else 1
        self.samples += signal.size
        rate = data.get("sampling_rate", data.get("samplingRate"))
        self.sampling_rate = float(rate) if isinstance(rate, int | float) else 0.0


def _rates(before: Totals, after: Totals) -> Rates:
    span = after.time - before.time
    if span <= 0:
        return Rates(0, 0, 0)
    return Rates(
        (after.messages - before.messages) / span,
        (after.samples - before.samples) / span,
        (after.nbytes - before.nbytes) / span,
    )

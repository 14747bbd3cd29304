"""What was seen of a stream: counted, timed, and how fast it comes just now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ...protocol import MessageType

if TYPE_CHECKING:
    from ...client import Gap
    from ...codec import Message

NOW: Final = 3.0
"""Seconds over which a rate is averaged."""

TIMED: Final = 100_000
"""Latencies that are remembered, for the summary."""

RECENT: Final = 200
"""Latencies that count as recent."""


class Totals(NamedTuple):
    """What had come by a moment: in seconds of a steady clock, numbers, and bytes as they travelled."""

    time: float
    messages: int
    samples: int
    nbytes: int


class Rates(NamedTuple):
    """A second, on average."""

    messages: float
    samples: float
    nbytes: float


class Latency(NamedTuple):
    """Of a number of messages, in seconds."""

    median: float
    p99: float
    largest: float


class Observation:
    """All that was seen so far.

    Attributes:
        messages: that came.
        samples: in them, of all leads together.
        nbytes: that came over the network.
        leads: in the last signal.
        sampling_rate: of the last signal, in Hz; 0 before any.
        gaps: stretches that are lost.
        dropped: frames in them, as far as the server counted.
        reconnections: connections after the first one.
        alerts: ANOMALY_ALERT messages.
        last_alert: the payload of the last one.
    """

    def __init__(self, now: float) -> None:
        self.messages = 0
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

    def note(self, message: Message, latency: float | None) -> None:
        """A message came, so many seconds after it was sent; None where that is not known."""
        self.messages += 1
        if latency is not None:
            self._latencies.append(latency)
        data = message.data if isinstance(message.data, dict) else {}
        if message.type is MessageType.ECG_DATA:
            self._note_signal(data)
        elif message.type is MessageType.ANOMALY_ALERT:
            self.alerts += 1
            self.last_alert = data

    def note_gap(self, gap: Gap) -> None:
        """Messages are lost."""
        self.gaps += 1
        self.dropped += gap.frames or 0

    def elapsed(self, now: float) -> float:
        """Seconds since it began."""
        return now - self._begun

    def rates(self, now: float) -> Rates:
        """How fast it comes of late."""
        while len(self._past) > 1 and self._past[1].time <= now - NOW:
            self._past.popleft()
        totals = Totals(now, self.messages, self.samples, self.nbytes)
        self._past.append(totals)
        return _rates(self._past[0], totals)

    def average(self, now: float) -> Rates:
        """How fast it came on the whole."""
        return _rates(Totals(self._begun, 0, 0, 0), Totals(now, self.messages, self.samples, self.nbytes))

    def latency(self, *, recent: bool = False) -> Latency | None:
        """Of the recent messages, or of all; None where it is not known."""
        if not self._latencies:
            return None
        count = RECENT if recent else TIMED
        values = np.array(list(self._latencies)[-count:])
        median, p99 = np.percentile(values, (50, 99))
        return Latency(float(median), float(p99), float(values.max()))

    def _note_signal(self, data: dict[str, Any]) -> None:
        signal = np.asarray(data.get("signal", ()))
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

"""Heartbeats, heart rate and alarms of the streams that a server publishes, as messages on the same streams."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..features import Beat, HeartDetector
from ..protocol import MessageType
from .ecg_payload import Frame, Moments, NotDetectable, millivolts, seconds
from .findings import Finding, Findings

Publish = Callable[[str, MessageType, dict[str, Any]], Awaitable[object]]
"""``WebSocketBinaryHandler.publish``, or anything called like it."""

Message = tuple[MessageType, dict[str, Any]]
"""A message to be published: its type and its payload, without "stream"."""

FEATURE_SECONDS: Final = 1.0
"""Of signal, at the most, from one FEATURE_DATA to the next: a rate that is gone is told as well."""

JUMP_SECONDS: Final = 1.0
"""Timestamps of a stream without sequence numbers that go on by so much more than its samples tell of a gap."""

LONGEST_GAP: Final = 60.0
"""Seconds. After a longer gap the signal begins anew."""

SEVERITIES: Final = {"asystole": "critical", "ventricular_fibrillation": "critical", "lead_off": "warning"}


class HeartDetection:
    """Publishes what it is given, and the heartbeats and alarms that it finds in it.

    Call :meth:`publish` in the place of the handler's: ECG_DATA goes out first and unchanged. Then come, on the same
    stream, FEATURE_DATA with the heart rate and the R peaks, and ANOMALY_ALERT where asystole, fibrillation or a lead
    that is off begins or ends. All other messages pass. Messages of one stream are to be published one after the other.

    A stream whose signal cannot be judged is published all the same; ``on_refused`` tells why, once.

    Args:
        publish: takes a stream, a message type and the data; ``WebSocketBinaryHandler.publish``.
        on_refused: called with the stream and the reason, once for each stream.
        wall_clock: Unix seconds, for alerts of streams whose messages have no timestamp.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        on_refused: Callable[[str, str], object] = lambda stream, why: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._on_refused = on_refused
        self._wall_clock = wall_clock
        self._streams: dict[str, StreamDetection] = {}
        self._refused: set[str] = set()

    async def publish(self, stream: str, message_type: MessageType, data: dict[str, Any]) -> object:
        """Publish a message, and what is found in it.

        Returns:
            What the handler returns for the message itself.

        Raises:
            Exception: whatever ``publish`` raises.
        """
        result = await self._publish(stream, message_type, data)
        if message_type == MessageType.ECG_DATA:
            for found, message in self._found(stream, data):
                await self._publish(stream, found, message)
        return result

    def _found(self, stream: str, data: Mapping[str, Any]) -> list[tuple[MessageType, dict[str, Any]]]:
        if (detection := self._streams.get(stream)) is None:
            detection = self._streams[stream] = StreamDetection(self._wall_clock)
        try:
            return detection.take(data)
        except NotDetectable as error:
            if stream not in self._refused:
                self._refused.add(stream)
                self._on_refused(stream, str(error))
            return []

    def forget(self, stream: str) -> None:
        """The stream is over; a later one of that name begins anew."""
        self._streams.pop(stream, None)
        self._refused.discard(stream)


@dataclass(frozen=True, slots=True)
class _Signal:
    """What a detector is for."""

    sampling_rate: float
    leads: tuple[str, ...]


class StreamDetection:
    """The detector of one stream: payloads of ECG_DATA in, payloads of FEATURE_DATA and ANOMALY_ALERT out. No I/O.

    Args:
        wall_clock: Unix seconds, for alerts where the messages have no timestamp.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._signal: _Signal | None = None
        self._heart: _Heart | None = None

    def take(self, data: Mapping[str, Any]) -> list[Message]:
        """Take the payload of an ECG_DATA message, with the fields of the protocol.

        What the device says of leads in ``lead_status`` and of pacing spikes in ``pacing`` is heeded where it is there.

        Returns:
            What is to be published on the same stream, in this order.

        Raises:
            NotDetectable: the units are no voltage, or the sampling rate is out of the detector's range.
        """
        values = millivolts(data)
        rows, samples = values.shape
        names = data.get("leads") or [str(row + 1) for row in range(rows)]
        signal = _Signal(float(data["sampling_rate"]), tuple(map(str, names)))
        ended: list[Message] = []
        if self._heart is None or signal != self._signal:
            ended = self._begin(signal, "the signal is another one from here on")
        assert self._heart is not None
        if samples == 0:
            return ended
        sequence = data.get("sequence")
        frame = Frame(0, samples, seconds(data.get("timestamp")), sequence if isinstance(sequence, int) else None)
        if self._heart.missing(frame) > LONGEST_GAP * signal.sampling_rate:
            ended += self._begin(signal, "the signal was interrupted")
        return ended + self._heart.follow(frame, _without_off(values, data), _spikes(data, samples))

    def _begin(self, signal: _Signal, why: str) -> list[Message]:
        ended = [] if self._heart is None else self._heart.end(why)
        self._heart, self._signal = None, signal
        try:
            self._heart = _Heart(signal, self._wall_clock)
        except ValueError as error:
            raise NotDetectable(str(error)) from error
        return ended


class _Heart:
    """A signal that stays the same one: its detector, its beats and its episodes."""

    def __init__(self, signal: _Signal, wall_clock: Callable[[], float]) -> None:
        self._signal = signal
        self._wall_clock = wall_clock
        self._detector = HeartDetector(signal.sampling_rate, signal.leads)
        self._findings = Findings(signal.leads)
        self._moments = Moments(signal.sampling_rate)
        self._samples = 0
        self._beats: list[Beat] = []
        self._told = 0
        self._rate: float | None = None
        self._starts: dict[tuple[str, float], float | None] = {}

    def end(self, why: str) -> list[Message]:
        """Nothing more comes: end all episodes, for this reason."""
        return [self._alert(finding) for finding in self._findings.close(why, self._now)]

    def follow(self, frame: Frame, signal: npt.NDArray[np.float64], spikes: list[int] | None) -> list[Message]:
        """Take the next message, in mV."""
        if missing := self.missing(frame):
            self._beats += self._detector.skip(missing)
            self._samples += missing
        self._moments.add(Frame(self._samples, frame.samples, frame.timestamp, frame.sequence))
        self._beats += self._detector.feed(signal, pacing=spikes)
        self._samples += frame.samples
        alerts = [self._alert(finding) for finding in self._findings.update(self._detector.status, self._now)]
        return [*alerts, *self._features()]

    def missing(self, frame: Frame) -> int:
        """Samples that are missing before a message: by the sequence numbers, or else by the timestamps."""
        if (last := self._moments.last) is None:
            return 0
        if frame.sequence is not None and last.sequence is not None:
            return max(0, frame.sequence - last.sequence - 1) * last.samples
        if frame.timestamp is None or last.timestamp is None:
            return 0
        more = (frame.timestamp - last.timestamp) * self._signal.sampling_rate - last.samples
        return round(more) if more > JUMP_SECONDS * self._signal.sampling_rate else 0

    @property
    def _now(self) -> float:
        return self._samples / self._signal.sampling_rate

    def _features(self) -> list[Message]:
        """The beats since the last time, at once where there are any; else once a second, and when the rate is gone."""
        status = self._detector.status
        is_due = self._samples - self._told >= FEATURE_SECONDS * self._signal.sampling_rate
        is_gone = status.rate_bpm is None and self._rate is not None
        if not (self._beats or is_due or is_gone):
            return []
        peaks = [moment for beat in self._beats if (moment := self._moments.of(beat.sample)) is not None]
        intervals = [math.nan if beat.interval is None else beat.interval for beat in self._beats]
        message: dict[str, Any] = {
            "features": {
                "heart_rate": math.nan if status.rate_bpm is None else status.rate_bpm,
                "r_peaks": np.array(peaks, np.float64),
                "rr_intervals": np.array(intervals, np.float64),
            },
            "window": (self._samples - self._told) / self._signal.sampling_rate,
            "lead": self._signal.leads[status.lead],
        }
        if (timestamp := self._moments.of(self._told)) is not None:
            message["timestamp"] = timestamp
        self._told, self._rate, self._beats = self._samples, status.rate_bpm, []
        return [(MessageType.FEATURE_DATA, message)]

    def _alert(self, finding: Finding) -> Message:
        at = self._moments.of(finding.at * self._signal.sampling_rate)
        alert: dict[str, Any] = {
            "kind": finding.kind,
            "timestamp": self._wall_clock() if at is None else at,
            "severity": SEVERITIES[finding.kind] if finding.end is None else "info",
            "message": finding.message,
        }
        # The beginning is told again at the end, to the digit: by it a receiver knows which episode is over.
        begun = (finding.kind, finding.start)
        if finding.end is None:
            self._starts[begun] = self._moments.of(finding.start * self._signal.sampling_rate)
            start = self._starts[begun]
        else:
            start = self._starts.pop(begun, None)
            alert["end"] = alert["timestamp"]
        if start is not None:
            alert["start"] = start
        if len(finding.leads) == 1:
            alert["lead"] = finding.leads[0]
        return MessageType.ANOMALY_ALERT, alert


def _without_off(signal: npt.NDArray[np.float64], data: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """The signal without the leads that the device calls off, whatever it sends of them."""
    words = data.get("lead_status")
    if not isinstance(words, list | tuple) or len(words) != len(signal):
        return signal
    off = [str(word).strip().lower() == "off" for word in words]
    return np.where(np.array(off)[:, None], np.nan, signal)


def _spikes(data: Mapping[str, Any], samples: int) -> list[int] | None:
    """The samples of the message at which the device has seen pacing spikes; None where it does not say."""
    places = data.get("pacing")
    if not isinstance(places, list | tuple | np.ndarray):
        return None
    return [int(place) for place in places if 0 <= place < samples]

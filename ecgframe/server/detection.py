"""Detects heartbeats, heart rate and alarms in the streams of a server, and publishes them on the same streams."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..background.threads import in_thread
from ..codec import Message as Received
from ..features import Beat, HeartDetector, PacingSpike
from ..messages.times import unix_seconds
from ..protocol import MessageType
from .connection_info import ConnectionInfo
from .ecg_payload import Frame, Moments, NotDetectable, ecg_in_millivolts, samples_of
from .findings import Finding, Findings

__all__ = ["HeartDetection", "Publish"]

Publish = Callable[[str, MessageType, dict[str, Any]], Awaitable[object]]
"""``WebSocketBinaryHandler.publish``, or a callable with the same arguments."""

Message = tuple[MessageType, dict[str, Any]]
"""A message to publish: its type and its payload without "stream"."""

FEATURE_SECONDS: Final = 1.0
"""Most seconds of signal from one FEATURE_DATA to the next, also while no heart rate can be determined."""

JUMP_SECONDS: Final = 1.0
"""In a stream without sequence numbers, timestamps that jump this many seconds past the samples indicate a gap."""

LONGEST_GAP: Final = 60.0
"""Seconds of missing signal after which detection starts again."""

MOST_LEADS: Final = 64
"""Signals with more leads are not analyzed: a detector keeps ten kilobytes for each lead."""

MOST_STREAMS: Final = 64
"""Default number of streams that are analyzed at the same time."""

IDLE_SECONDS: Final = 60.0
"""Seconds without a message after which another stream may take the place of a stream."""

REFUSALS_KEPT: Final = 1024
"""Streams whose refusal is remembered, so that it is reported only once."""

EFFORT_AT_ONCE: Final = 8.0
"""Seconds of one lead that are analyzed on the event loop (about 4 ms); longer messages are analyzed in a thread."""

EFFORT_OF_ALL: Final = 5.0
"""Effort that does not depend on the number of leads, in leads."""

SEVERITIES: Final = {"asystole": "critical", "ventricular_fibrillation": "critical", "lead_off": "warning"}


class HeartDetection:
    """Publishes messages, and the heartbeats and alarms that it detects in their signals.

    Call :meth:`publish` instead of the handler's method. It publishes an ECG_DATA message unchanged; then, on the same
    stream, FEATURE_DATA with the heart rate and the R peaks, and an ANOMALY_ALERT when asystole, fibrillation or a lead
    that is off begins or ends. Messages of other types are only published. Publish the messages of one stream one
    after the other.

    Messages of peers are published by the handler itself. Pass :meth:`on_message` to it, to publish results for their
    ECG_DATA as well.

    A stream whose signal cannot be analyzed is published without results, and ``on_refused`` is called once with the
    reason. The same applies to streams beyond ``max_streams``, until another stream had no message for a minute. Long
    messages are analyzed in a thread.

    Args:
        publish: takes a stream, a message type and the data; ``WebSocketBinaryHandler.publish``.
        on_refused: called with the name of the stream and the reason, once for each stream.
        wall_clock: returns Unix seconds, for alerts of streams whose messages have no timestamp.
        max_streams: number of streams that are analyzed at the same time.

    Raises:
        ValueError: ``max_streams`` is less than one.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        on_refused: Callable[[str, str], object] = lambda stream, why: None,
        wall_clock: Callable[[], float] = time.time,
        max_streams: int = MOST_STREAMS,
    ) -> None:
        if max_streams < 1:
            raise ValueError(f"max_streams must be at least 1, not {max_streams}")
        self._publish = publish
        self._on_refused = on_refused
        self._wall_clock = wall_clock
        self._max_streams = max_streams
        self._streams: OrderedDict[str, _Analyzed] = OrderedDict()
        """Sorted by the time of the last message."""
        self._refused: OrderedDict[str, None] = OrderedDict()

    async def publish(self, stream: str, message_type: MessageType, data: dict[str, Any]) -> object:
        """Publish a message, and the results of its analysis.

        Returns:
            The result of the handler's ``publish`` for this message.

        Raises:
            Exception: an error of the handler's ``publish``.
        """
        result = await self._publish(stream, message_type, data)
        if message_type == MessageType.ECG_DATA:
            await self._analyze(stream, data)
        return result

    async def on_message(self, connection: ConnectionInfo, message: Received) -> None:
        """Analyze a message of a peer: the ``on_message`` hook of a handler that also has ``authorize``.

        Without ``authorize`` the handler does not publish messages of peers, so viewers would get results without the
        signal. Messages without a stream, and those of other types than ECG_DATA, are ignored.

        Raises:
            Exception: an error of the handler's ``publish``.
        """
        stream = message.data.get("stream") if isinstance(message.data, Mapping) else None
        if message.type == MessageType.ECG_DATA and isinstance(stream, str):
            await self._analyze(stream, message.data)

    async def _analyze(self, stream: str, data: Mapping[str, Any]) -> None:
        if (analyzed := self._detection_of(stream)) is None:
            self._refuse(stream, f"{self._max_streams} streams are analyzed already, the most that max_streams allows")
            return
        async with analyzed.turn:  # in the order of arrival, even if several peers publish on the stream
            try:
                if analyzed.detection.effort(data) <= EFFORT_AT_ONCE:
                    found = analyzed.detection.take(data)
                else:
                    found = await in_thread(analyzed.detection.take, data)
            except NotDetectable as error:
                self._refuse(stream, str(error))
                return
            for message_type, message in found:
                await self._publish(stream, message_type, message)

    def _detection_of(self, stream: str) -> _Analyzed | None:
        now = time.monotonic()
        if (analyzed := self._streams.get(stream)) is None:
            if len(self._streams) >= self._max_streams:
                longest = next(iter(self._streams))
                if now - self._streams[longest].heard < IDLE_SECONDS:
                    return None
                del self._streams[longest]
            analyzed = self._streams[stream] = _Analyzed(StreamDetection(self._wall_clock))
        analyzed.heard = now
        self._streams.move_to_end(stream)
        return analyzed

    def _refuse(self, stream: str, why: str) -> None:
        if stream not in self._refused:
            self._refused[stream] = None
            if len(self._refused) > REFUSALS_KEPT:
                self._refused.popitem(last=False)
            self._on_refused(stream, why)

    def forget(self, stream: str) -> None:
        """Forget a stream that has ended; a later stream of that name starts again."""
        self._streams.pop(stream, None)
        self._refused.pop(stream, None)


@dataclass(slots=True, eq=False)
class _Analyzed:
    """A stream that is analyzed.

    Attributes:
        detection: detector of the stream.
        turn: held while a message is analyzed, one at a time.
        heard: when the last message arrived, in seconds of the monotonic clock.
    """

    detection: StreamDetection
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    heard: float = 0.0


@dataclass(frozen=True, slots=True)
class _Signal:
    """The properties of a signal that a detector depends on."""

    sampling_rate: float
    leads: tuple[str, ...]


class StreamDetection:
    """The detector of one stream: ECG_DATA payloads in, FEATURE_DATA and ANOMALY_ALERT payloads out. No I/O.

    Args:
        wall_clock: returns Unix seconds, for alerts if the messages have no timestamp.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._signal: _Signal | None = None
        self._heart: _Heart | None = None

    def take(self, data: Mapping[str, Any]) -> list[Message]:
        """Analyze the payload of an ECG_DATA message: of its leads, those that are an ECG.

        The optional fields ``lead_status`` and ``pacing`` are used if the message has them.

        Returns:
            The messages to publish on the same stream, in this order.

        Raises:
            NotDetectable: no lead is an ECG in a voltage, the sampling rate is out of the detector's range, or the
                fields are not a signal.
        """
        found = samples_of(data)
        samples = found.shape[1]
        names = _names(data, len(found))
        values, rows = ecg_in_millivolts(data, found, names)
        signal = _Signal(_sampling_rate(data), tuple(names[row] for row in rows))
        ended: list[Message] = []
        if self._heart is None or signal != self._signal:
            ended = self._begin(signal, "the signal has changed")
        assert self._heart is not None
        if samples == 0:
            return ended
        frame = _frame(data, samples)
        if self._heart.missing(frame) > LONGEST_GAP * signal.sampling_rate:
            ended += self._begin(signal, "the signal was interrupted")
        return ended + self._heart.follow(frame, _without_off(values, rows, data), _spikes(data, samples))

    def effort(self, data: Mapping[str, Any]) -> float:
        """Estimate the effort of :meth:`take` for this payload, in seconds of one lead; a gap before it counts."""
        signal, rate = data.get("signal"), data.get("sampling_rate")
        shape = np.shape(signal) if isinstance(signal, np.ndarray) else _lengths(signal)
        if len(shape) not in (1, 2) or not isinstance(rate, int | float) or not rate > 0:
            return 0.0  # take() refuses it
        leads, samples = (1, *shape)[-2:]
        missing = 0 if self._heart is None else self._heart.missing(_frame(data, samples))
        seconds = samples / rate + (missing / rate if missing / rate <= LONGEST_GAP else 0.0)
        return float(seconds * (leads + EFFORT_OF_ALL))

    def _begin(self, signal: _Signal, why: str) -> list[Message]:
        ended = [] if self._heart is None else self._heart.end(why)
        self._heart, self._signal = None, signal
        try:
            self._heart = _Heart(signal, self._wall_clock)
        except ValueError as error:
            raise NotDetectable(str(error)) from error
        return ended


class _Heart:
    """The detector, the beats and the episodes of a signal whose sampling rate and leads stay the same."""

    def __init__(self, signal: _Signal, wall_clock: Callable[[], float]) -> None:
        self._signal = signal
        self._wall_clock = wall_clock
        self._detector = HeartDetector(signal.sampling_rate, signal.leads)
        self._findings = Findings(signal.leads)
        self._moments = Moments(signal.sampling_rate)
        self._samples = 0
        self._beats: list[Beat] = []
        self._spikes: list[PacingSpike] = []
        self._told = 0
        self._rate: float | None = None
        self._starts: dict[tuple[str, float], float | None] = {}

    def end(self, why: str) -> list[Message]:
        """End all episodes because the signal has ended; ``why`` is the text of their alerts."""
        return [self._alert(finding) for finding in self._findings.close(why, self._now)]

    def follow(self, frame: Frame, signal: npt.NDArray[np.float64], spikes: list[int] | None) -> list[Message]:
        """Analyze the next message.

        Args:
            frame: position of the message in the stream.
            signal: in mV, [leads, samples].
            spikes: samples at which the device reports pacing spikes; None if it does not report them.
        """
        if missing := self.missing(frame):
            self._beats += self._detector.skip(missing)
            self._samples += missing
        self._moments.add(Frame(self._samples, frame.samples, frame.timestamp, frame.sequence))
        self._beats += self._detector.feed(signal, pacing=spikes)
        self._spikes += self._detector.take_pacing_spikes()
        self._samples += frame.samples
        alerts = [self._alert(finding) for finding in self._findings.update(self._detector.status, self._now)]
        return [*alerts, *self._features()]

    def missing(self, frame: Frame) -> int:
        """Samples missing before a message, by the sequence numbers, or by the timestamps if there are none."""
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
        """Return FEATURE_DATA if there are new beats, a second has passed, or the heart rate has become unknown."""
        status = self._detector.status
        is_due = self._samples - self._told >= FEATURE_SECONDS * self._signal.sampling_rate
        is_gone = status.rate_bpm is None and self._rate is not None
        if not (self._beats or is_due or is_gone):
            return []
        peaks = [moment for beat in self._beats if (moment := self._moments.of(beat.sample)) is not None]
        spikes = [moment for spike in self._spikes if (moment := self._moments.of(spike.sample)) is not None]
        intervals = [math.nan if beat.interval is None else beat.interval for beat in self._beats]
        message: dict[str, Any] = {
            "features": {
                "heart_rate": math.nan if status.rate_bpm is None else status.rate_bpm,
                "r_peaks": np.array(peaks, np.float64),
                "rr_intervals": np.array(intervals, np.float64),
                "pacing_spikes": np.array(spikes, np.float64),
            },
            "window": (self._samples - self._told) / self._signal.sampling_rate,
            "lead": self._signal.leads[status.lead],
        }
        if (timestamp := self._moments.of(self._told)) is not None:
            message["timestamp"] = timestamp
        self._told, self._rate, self._beats, self._spikes = self._samples, status.rate_bpm, [], []
        return [(MessageType.FEATURE_DATA, message)]

    def _alert(self, finding: Finding) -> Message:
        at = self._moments.of(finding.at * self._signal.sampling_rate)
        alert: dict[str, Any] = {
            "kind": finding.kind,
            "timestamp": self._wall_clock() if at is None else at,
            "severity": SEVERITIES[finding.kind] if finding.end is None else "info",
            "message": finding.message,
        }
        # The end repeats the exact start, by which a receiver recognizes the episode.
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


def _sampling_rate(data: Mapping[str, Any]) -> float:
    try:
        return float(data["sampling_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotDetectable(f"it has no valid sampling rate: {error}") from error


def _names(data: Mapping[str, Any], rows: int) -> tuple[str, ...]:
    """The name of each row; rows are numbered from 1 if the message has no names for them."""
    if rows > MOST_LEADS:
        raise NotDetectable(f"it has {rows} leads; at most {MOST_LEADS} are analyzed")
    names = data.get("leads")
    is_one_each = isinstance(names, list | tuple) and len(names) == rows
    return tuple(map(str, names if is_one_each and names is not None else range(1, rows + 1)))


def _frame(data: Mapping[str, Any], samples: int) -> Frame:
    """The position of a message in its stream, by its sequence number and timestamp."""
    sequence, timestamp = data.get("sequence"), unix_seconds(data.get("timestamp"))
    is_moment = timestamp is not None and math.isfinite(timestamp)
    is_number = isinstance(sequence, int) and 0 <= sequence < 2**63
    return Frame(0, samples, timestamp if is_moment else None, sequence if is_number else None)


def _lengths(signal: object) -> tuple[int, ...]:
    """The shape of a list, by its first row."""
    if not isinstance(signal, list | tuple):
        return ()
    inner = signal[0] if signal else None
    return (len(signal), len(inner)) if isinstance(inner, list | tuple) else (len(signal),)


def _without_off(
    signal: npt.NDArray[np.float64], rows: Sequence[int], data: Mapping[str, Any]
) -> npt.NDArray[np.float64]:
    """The signal with NaN for each lead whose ``lead_status`` is "off".

    Args:
        signal: [leads, samples].
        rows: which leads of the message they are.
        data: the payload.
    """
    words, leads = data.get("lead_status"), np.shape(data["signal"])
    if not isinstance(words, list | tuple) or len(words) != (1 if len(leads) == 1 else leads[0]):
        return signal
    off = [str(words[row]).strip().lower() == "off" for row in rows]
    return np.where(np.array(off)[:, None], np.nan, signal)


def _spikes(data: Mapping[str, Any], samples: int) -> list[int] | None:
    """The samples of the message at which the device reports pacing spikes; None if it does not report them."""
    places = data.get("pacing")
    if isinstance(places, np.ndarray):
        places = places.ravel().tolist()
    if not isinstance(places, list | tuple):
        return None
    return [int(place) for place in places if isinstance(place, int | float) and 0 <= place < samples]

"""One LSL stream: what its description says, and its samples as payloads of ECG_DATA."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...frame_file import ANNOTATION_KIND, LONGEST_TEXT
from ...recording.remarks import HasRemarks
from .errors import BridgeError
from .framing import Framing
from .limits import RATES, rate_problem
from .server_clock import ServerClock
from .units import UNKNOWN, CommonUnit, common_unit, unit_name

PULLED: Final = 4096
"""Maximum number of samples that are taken from LSL at once."""

PULLED_VALUES: Final = 1_000_000
"""The same in values of all channels."""

BUFFERED: Final = 120
"""Seconds that LSL keeps while the server cannot be reached."""

BUFFERED_SAMPLES: Final = 5_000_000
"""The same in samples, if that is less."""

LATEST: Final = 1e11
"""Largest timestamp that is accepted, in seconds."""

LONGEST_NAME: Final = 200
"""Maximum number of characters of a channel's name; longer ones are cut."""

_DTYPES: Final = {1: np.float32, 2: np.float64, 4: np.int32, 5: np.int16, 6: np.int8, 7: np.int64}
"""Types of samples by LSL's number of the channel format."""

STRING: Final = 3
"""LSL's number of the channel format of texts."""


@dataclass(slots=True)
class FromLslSummary(HasRemarks):
    """What was published of an LSL stream.

    Attributes:
        name: name of the LSL stream.
        stream: name of the published stream.
        units: unit of the published samples; "unknown" if the LSL stream states none.
        samples: number of samples of each channel that were received and published.
        missing: number of samples of each channel that were inserted for gaps, as NaN.
        gaps: number of gaps that were filled with them.
        breaks: number of times that the timestamps jumped, back or by more than a minute, which is not filled.
        frames: number of messages that were published.
        refused: number of samples and markers that were not published, as their timestamps are invalid or their texts
            not UTF-8.
        markers: number of markers that were published as alerts on this stream.
        remarks: a sentence on each thing that was not published as it was received.
    """

    name: str
    stream: str
    units: str = UNKNOWN
    samples: int = 0
    missing: int = 0
    gaps: int = 0
    breaks: int = 0
    frames: int = 0
    refused: int = 0
    markers: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """True if there was no gap, no break and no refused sample."""
        return not (self.gaps or self.breaks or self.refused)


@dataclass(frozen=True, slots=True)
class Channel:
    """What the description of an LSL stream says of a channel; empty where it says nothing."""

    label: str
    unit: str
    kind: str


class LslReceiver:
    """Receives one LSL stream, and maps its timestamps to the server's clock.

    Args:
        pylsl: the library.
        info: the stream, as it was found.
        clock: the server's clock.

    Attributes:
        name: name of the stream.
        rate: nominal sampling rate in Hz; 0 for texts.
        dtype: type of the samples; None for texts.
        unreadable: number of texts that were left out, as they are not UTF-8 or their timestamps are invalid.

    Raises:
        BridgeError: the stream has no regular rate, or its rate or channels exceed the limits.
    """

    def __init__(self, pylsl: Any, info: Any, clock: ServerClock) -> None:
        self.name: str = info.name()
        self.rate: float = info.nominal_srate()
        is_string = info.channel_format() == STRING
        self.dtype = None if is_string else np.dtype(_DTYPES[info.channel_format()])
        self.unreadable = 0
        self._channels: int = info.channel_count()
        self._check(is_string)
        self._pylsl = pylsl
        self._clock = clock
        self._correction: float | None = None
        self._lsl_clock = ServerClock()  # of the LSL sender, which is followed by the same rule
        buffered = max(1, min(BUFFERED, int(BUFFERED_SAMPLES / max(self.rate, 100.0))))
        self._inlet = pylsl.StreamInlet(info, max_buflen=buffered)
        self._pulled = max(1, min(PULLED, PULLED_VALUES // self._channels))
        self._buffer = np.empty((0 if is_string else self._pulled, self._channels), self.dtype)

    def _check(self, is_string: bool) -> None:
        where = f"the LSL stream {self.name!r}"
        if self.rate <= 0 and not is_string:
            raise BridgeError(f"{where} has no regular sampling rate, so it cannot be published as ECG_DATA")
        if (problem := rate_problem(RATES[0] if is_string else self.rate, self._channels)) is not None:
            raise BridgeError(f"{where}: {problem}")

    def open(self, seconds: float) -> tuple[Channel, ...]:
        """Connect, and return what the description says of the channels. Blocks.

        Raises:
            BridgeError: the sender does not answer in this time.
        """
        try:
            # Before anything is pulled: otherwise liblsl 1.18 never returns from pulling when the sender is gone.
            info = self._inlet.info(seconds)
            self._inlet.open_stream(seconds)
            self._inlet.time_correction(seconds)
        except (self._pylsl.util.TimeoutError, self._pylsl.util.LostError) as error:
            raise BridgeError(f"the LSL stream {self.name!r} does not answer within {seconds:g} s") from error
        self._correct()
        return self._described(info)

    def pull(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """Return the samples that have arrived, [samples, channels], and their timestamps, by the sender's clock.

        Raises:
            EOFError: the sender is gone, and LSL cannot recognize its successor.
        """
        if not self._correct():
            return self._buffer[:0], np.empty(0)
        try:
            _, stamps = self._inlet.pull_chunk(0.0, self._pulled, self._buffer)
        except self._pylsl.util.LostError as error:
            raise EOFError(self.name) from error
        return self._buffer[: len(stamps)].copy(), np.array(stamps, np.float64)

    def pull_texts(self) -> list[tuple[str, float]]:
        """Return the markers that have arrived, and their timestamps, by the sender's clock.

        Raises:
            EOFError: as ``pull``.
        """
        found: list[tuple[str, float]] = []
        try:
            while self._correct() and len(found) < PULLED:
                try:
                    texts, stamp = self._inlet.pull_sample(0.0)
                except UnicodeDecodeError:
                    self.unreadable += 1
                    continue
                if stamp is None:
                    break
                if abs(stamp) < LATEST:
                    found.append((" ".join(text for text in texts if text), stamp))
                else:
                    self.unreadable += 1
        except self._pylsl.util.LostError as error:
            raise EOFError(self.name) from error
        return found

    def server_time(self, stamp: float) -> float:
        """Map a timestamp of the sender to the server's clock, in Unix seconds."""
        now = self._pylsl.local_clock()
        here = stamp + self._lsl_clock.difference(now)
        if not self._clock.is_measured:
            return float(here + time.time() - now)
        return float(here + self._clock.difference(now))

    def now(self) -> float:
        """Return the time by LSL's clock."""
        return float(self._pylsl.local_clock())

    def _correct(self) -> bool:
        """Ask LSL for its time correction; return False while it is unknown, after the sender was restarted."""
        try:
            correction = float(self._inlet.time_correction(0.0))
        except self._pylsl.util.TimeoutError:
            return False
        except self._pylsl.util.LostError as error:
            raise EOFError(self.name) from error
        if correction != self._correction:
            self._correction = correction
            self._lsl_clock.measure(correction, self._pylsl.local_clock())
        return True

    def _described(self, info: Any) -> tuple[Channel, ...]:
        channels: list[Channel] = []
        element = info.desc().child("channels").child("channel")
        while not element.empty() and len(channels) < self._channels:
            label, unit, kind = (element.child_value(name)[:LONGEST_NAME] for name in ("label", "unit", "type"))
            channels.append(Channel(label, unit, kind or info.type()))
            element = element.next_sibling("channel")
        channels += [Channel("", "", info.type())] * (self._channels - len(channels))
        return tuple(channels)


class IncomingStream:
    """Turns the samples of one LSL stream into payloads of ECG_DATA.

    Args:
        receiver: receives the stream; it is open.
        channels: what its description says.
        stream: name of the stream to publish.
        chosen: labels of the channels to publish, in this order; None for all.
        units: unit of the samples if the LSL stream states none.
        frame_seconds: seconds of signal in each message.

    Raises:
        BridgeError: the stream cannot be published as ECG_DATA.
    """

    def __init__(
        self,
        receiver: LslReceiver,
        channels: Sequence[Channel],
        stream: str,
        *,
        chosen: Sequence[str] | None,
        units: str | None,
        frame_seconds: float,
    ) -> None:
        where = f"the LSL stream {receiver.name!r}"
        names = [channel.label or f"ch{number}" for number, channel in enumerate(channels, 1)]
        self._rows = list(range(len(names))) if chosen is None else _rows(names, chosen, where)
        self._leads = [names[row] for row in self._rows]
        self.summary = FromLslSummary(receiver.name, stream)
        self._unit = self._choose_unit([channels[row] for row in self._rows], units, where)
        self.summary.units = self._unit.name or UNKNOWN
        self._receiver = receiver
        self._sequence = 0
        assert receiver.dtype is not None
        self._dtype = np.result_type(receiver.dtype, np.float32)  # int8, int16: float32; int32, int64: float64
        samples = max(round(frame_seconds * receiver.rate), 1)
        self._framing = Framing(receiver.rate, len(self._rows), samples, self._dtype, receiver.now())

    def payloads(self) -> Iterator[dict[str, Any]]:
        """Receive, and yield the payloads that are complete.

        Raises:
            EOFError: the sender is gone for good.
        """
        values, times = self._receiver.pull()
        is_valid = np.isfinite(times) & (np.abs(times) < LATEST)
        if not is_valid.all():
            self.summary.refused += int(np.count_nonzero(~is_valid))
            self.summary.remark("samples with an invalid timestamp were not published")
            values, times = values[is_valid], times[is_valid]
        self.summary.samples += len(times)
        taken = values[:, self._rows].astype(self._dtype)
        if self._unit.is_converted:
            taken *= np.array(self._unit.factors, self._dtype)
        for begin, signal in self._framing.add(taken, times, self._receiver.now()):
            self._count()
            yield self._payload(begin, signal)
        self._count()

    def rest(self) -> Iterator[dict[str, Any]]:
        """Yield the samples of the last, incomplete frame."""
        for begin, signal in self._framing.rest():
            yield self._payload(begin, signal)

    def _payload(self, begin: float, signal: npt.NDArray[Any]) -> dict[str, Any]:
        payload = {
            "signal": signal,
            "sampling_rate": self._receiver.rate,
            "leads": self._leads,
            "units": self.summary.units,
            "timestamp": round(self._receiver.server_time(begin), 6),
            "sequence": self._sequence,
            "stream": self.summary.stream,
        }
        self._sequence += 1
        return payload

    def _count(self) -> None:
        summary, framing = self.summary, self._framing
        summary.gaps, summary.missing = framing.gaps, framing.missing
        if framing.breaks > summary.breaks:
            summary.breaks = framing.breaks
            summary.remark("its timestamps jumped back, or by more than a minute; the gap was not filled")

    def _choose_unit(self, channels: Sequence[Channel], given: str | None, where: str) -> CommonUnit:
        unit = common_unit([unit_name(channel.unit, channel.kind) for channel in channels], self._leads, where)
        named = None if given is None else (unit_name(given, "") or given)
        if unit.name is None and named is None:
            self.summary.remark(f"it states no unit, so it was published with the unit {UNKNOWN!r}; --units states it")
        elif unit.name is None:
            return unit._replace(name=named)
        elif named not in (None, unit.name):
            raise BridgeError(f"{where} states the unit {unit.name!r}, against the {given!r} given; leave the unit out")
        if unit.is_converted:
            self.summary.remark("its channels have different units; they were converted to mV")
        return unit


def alert_of(text: str, at: float) -> dict[str, Any]:
    """Return the payload of ANOMALY_ALERT for a marker: an annotation, so a recording of it has the same text."""
    return {"kind": ANNOTATION_KIND, "severity": "info", "message": text[:LONGEST_TEXT], "timestamp": at}


def _rows(names: Sequence[str], chosen: Sequence[str], where: str) -> list[int]:
    for name in chosen:
        if name not in names:
            raise BridgeError(f"{where} has no channel {name!r}; it has {', '.join(names)}")
    return [names.index(name) for name in chosen]

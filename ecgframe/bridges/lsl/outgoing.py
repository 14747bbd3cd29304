"""One stream of a server, sent to LSL: its samples as one LSL stream, its alerts as another one, of markers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolError
from ...foreign_text import printable
from ...frame_file import LONGEST_TEXT, alert_annotation
from ...messages.times import unix_seconds
from ...protocol import MessageType
from ...recording.remarks import HasRemarks
from ...recording.timeline import Break, Moment, Timeline
from ...samples import physical
from ...signal_fields import SignalFormat, format_of
from .errors import BridgeError
from .limits import LONGEST_FILL, FillBudget, rate_problem
from .sample_times import SampleTimes
from .server_clock import ServerClock

if TYPE_CHECKING:
    from ...client import Gap
    from ...codec import Message

OLDEST: Final = 10.0
"""Seconds by which a time of measurement may be before the time of publication. A clock that says more is wrong."""

AHEAD: Final = 1.0
"""Seconds by which it may be after the time of publication."""

FARTHEST: Final = 600.0
"""Seconds by which the time of an alert may differ from that of its publication."""

BUFFERED: Final = 60
"""Seconds that LSL keeps for a receiver that is slow."""

MOST_FORMATS: Final = 100
"""Maximum number of times that a stream may change its leads, units or sampling rate."""

NOT_THE_SERVERS_CLOCK: Final = (
    "the times of measurement in its messages are not by the server's clock; those of publication are used"
)


@dataclass(slots=True)
class ToLslSummary(HasRemarks):
    """What was sent to LSL of one stream.

    Attributes:
        stream: name of the stream.
        samples: number of samples per lead that were received and sent.
        missing: number of missing samples per lead that were sent for gaps, as NaN.
        gaps: number of gaps that were filled with them.
        unfilled: number of gaps that were not filled, as they are longer than a minute or of unknown length; the
            timestamps jump there.
        jumps: number of other jumps of the timestamps, because the times in the messages jumped.
        markers: number of alerts that were sent.
        formats: number of LSL streams that were opened, one after the other; more than one if the stream changed its
            leads, units or sampling rate.
        repeated: number of messages that were received twice and sent once.
        refused: number of ECG_DATA messages that cannot be sent.
        left_out: number of messages that are neither signal nor alert and were not sent, by type.
        remarks: a sentence on each thing that was not sent as it was received.
    """

    stream: str
    samples: int = 0
    missing: int = 0
    gaps: int = 0
    unfilled: int = 0
    jumps: int = 0
    markers: int = 0
    formats: int = 0
    repeated: int = 0
    refused: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """True if there was no gap, no jump and no refused message."""
        return not (self.gaps or self.unfilled or self.jumps or self.refused)


class OutgoingStream:
    """Sends one stream to LSL.

    Args:
        pylsl: the library.
        stream: name of the stream; also that of the LSL stream. The markers are in ``STREAM alerts``.
        source_id: identifies the stream for receivers, also after the bridge was restarted.
        kind: type of the LSL stream.
        clock: the server's clock.
    """

    def __init__(self, pylsl: Any, stream: str, source_id: str, kind: str, clock: ServerClock) -> None:
        self.summary = ToLslSummary(stream)
        self._pylsl = pylsl
        self._source_id = source_id
        self._kind = kind
        self._clock = clock
        self._format: SignalFormat | None = None
        self._signal: Any = None
        self._markers: Any = self._open_markers()
        self._timeline = Timeline()
        self._times = SampleTimes()
        self._position = 0
        self._is_gap_told = False
        self._budget = FillBudget(pylsl.local_clock())

    def close(self) -> None:
        """Close the LSL streams."""
        self._signal = self._markers = None  # pylsl closes a stream when its object is deleted

    def take_gap(self, gap: Gap) -> None:
        """Note that the client lost messages. The next message shows how many samples are missing."""
        self._is_gap_told = True

    def take(self, message: Message) -> None:
        """Send the next message of the stream.

        Raises:
            BridgeError: the stream changed its format too often.
        """
        if message.type is MessageType.ANOMALY_ALERT:
            self._take_alert(message)
        elif message.type is MessageType.ECG_DATA:
            try:
                values = physical(message)
                wanted = format_of(message.data, len(values))
            except (ProtocolError, KeyError, TypeError, ValueError) as error:
                self._refuse(str(error))
                return
            if (problem := rate_problem(wanted.rate, len(wanted.leads))) is not None:
                self._refuse(problem)
            elif values.size:
                self._take_signal(message, values, wanted)
        else:
            name = message.type.name
            self.summary.left_out[name] = self.summary.left_out.get(name, 0) + 1

    def _refuse(self, why: str) -> None:
        self.summary.refused += 1
        self.summary.remark(f"a message of {self.summary.stream!r} cannot be sent to LSL: {why}")

    # --- samples ---

    def _take_signal(self, message: Message, values: npt.NDArray[np.float64], wanted: SignalFormat) -> None:
        if wanted != self._format:
            self._open_signal(wanted)
        samples, rate = values.shape[1], wanted.rate
        now = self._pylsl.local_clock()
        begin, is_measured = self._begin(message, samples / rate, now)
        moment = Moment(
            samples,
            rate,
            message.data.get("sequence"),
            unix_seconds(message.data.get("timestamp")) if is_measured else None,
            None if message.timestamp is None else message.timestamp / 1e6,
        )
        missing = self._timeline.missing_before(moment, is_told=self._is_gap_told)
        self._is_gap_told = False
        if missing is Break.REPEATED:
            self.summary.repeated += 1
            return
        if isinstance(missing, Break):
            self._restart("the stream started again, or its clock was set back; its timestamps continue from there")
        elif missing:
            self._fill(missing, rate, now)
        jumps = self._times.jumps
        first = self._times.place(begin, samples, rate)
        if self._times.jumps > jumps:
            self.summary.jumps += 1
            self.summary.remark("the times in its messages jumped by more than a second, and so do the timestamps")
        self._timeline.add(moment, self._position)
        self._push(values.T, first, rate)
        self._position += samples
        self.summary.samples += samples

    def _begin(self, message: Message, seconds: float, now: float) -> tuple[float, bool]:
        """Return the time of the first sample by LSL's clock, and whether it is the time of measurement."""
        if message.timestamp is None or not self._clock.is_measured:
            self.summary.remark("the server does not state its time (before V3): the timestamps are those of arrival")
            return now - seconds, False
        sent = message.timestamp / 1e6
        stated = message.data.get("timestamp")
        measured = unix_seconds(stated)
        is_plausible = measured is not None and -AHEAD - seconds <= sent - (measured + seconds) <= OLDEST
        if measured is None or not is_plausible:
            if stated is not None:
                self.summary.remark(NOT_THE_SERVERS_CLOCK)
            measured = sent - seconds
        return measured - self._clock.difference(now), is_plausible

    def _fill(self, missing: int, rate: float, now: float) -> None:
        seconds = missing / rate
        if self._times.next is None:
            return
        if seconds > LONGEST_FILL or not self._budget.spend(seconds, now):
            self._restart(f"a gap of {seconds:,.0f} s was not filled; the timestamps jump there")
            return
        first = self._times.skip(missing, rate)
        assert self._format is not None
        piece = max(round(rate), 1)
        hole = np.full((min(missing, piece), len(self._format.leads)), np.nan)
        for start in range(0, missing, piece):
            self._push(hole[: missing - start], first + start / rate, rate)
        self._position += missing
        self.summary.gaps += 1
        self.summary.missing += missing

    def _restart(self, why: str) -> None:
        self.summary.unfilled += 1
        self.summary.remark(why)
        self._times.restart()
        self._timeline = Timeline()

    def _push(self, samples: npt.NDArray[np.float64], first: float, rate: float) -> None:
        """Send samples, [samples, leads]. LSL counts back from the time of the last one."""
        self._signal.push_chunk(np.ascontiguousarray(samples), first + (len(samples) - 1) / rate)

    # --- alerts ---

    def _take_alert(self, message: Message) -> None:
        alert = message.data
        note = alert_annotation(alert) if isinstance(alert, dict) else None
        if note is None:
            self.summary.refused += 1
            self.summary.remark("alerts without a time were not sent")
            return
        text = note.text if note.lead is None else f"{note.text}, lead {note.lead}"
        self._markers.push_sample([printable(text[:LONGEST_TEXT])], self._time_of(note.time, message))
        self.summary.markers += 1

    def _time_of(self, moment: float, message: Message) -> float:
        """Return the time of an alert by LSL's clock: that of its sample, if the signal has one."""
        now: float = self._pylsl.local_clock()
        if self._times.next is not None and self._format is not None:
            position = self._timeline.position(moment)
            late = None if position is None else (self._position - position) / self._format.rate
            if late is not None and abs(late) <= FARTHEST:
                return self._times.next - late
        sent = None if message.timestamp is None else message.timestamp / 1e6
        if sent is None or not self._clock.is_measured:
            return now
        return (moment if abs(moment - sent) <= FARTHEST else sent) - self._clock.difference(now)

    # --- LSL streams ---

    def _open_signal(self, wanted: SignalFormat) -> None:
        self.summary.formats += 1
        if self.summary.formats > 1:
            self.summary.remark("it changed its leads, units or sampling rate: a new LSL stream was opened")
        if self.summary.formats > MOST_FORMATS:
            raise BridgeError(
                f"{self.summary.stream}: it changed its leads, units or sampling rate more than {MOST_FORMATS} times"
            )
        self._signal = None  # closes the former one, before another one with the same name is opened
        info = self._pylsl.StreamInfo(
            self.summary.stream, self._kind, len(wanted.leads), wanted.rate, "double64", self._source_id
        )
        channels = info.desc().append_child("channels")
        for number, lead in enumerate(wanted.leads):
            channel = channels.append_child("channel")
            for name, value in (("label", lead), ("unit", wanted.unit(number)), ("type", self._kind)):
                channel.append_child_value(name, printable(value))
        _describe(info)
        self._signal = self._pylsl.StreamOutlet(info, max_buffered=BUFFERED)
        self._format = wanted
        self._timeline, self._position = Timeline(), 0
        self._times.restart()

    def _open_markers(self) -> Any:
        name, source_id = f"{self.summary.stream} alerts", f"{self._source_id}:alerts"
        info = self._pylsl.StreamInfo(name, "Markers", 1, self._pylsl.IRREGULAR_RATE, "string", source_id)
        channel = info.desc().append_child("channels").append_child("channel")
        channel.append_child_value("label", "alert")
        channel.append_child_value("type", "Markers")
        _describe(info)
        return self._pylsl.StreamOutlet(info, max_buffered=BUFFERED)


def _describe(info: Any) -> None:
    info.desc().append_child("acquisition").append_child_value("manufacturer", "ecgframe")

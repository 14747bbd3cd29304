"""Recording one stream: takes its messages and writes files. Uses no network, and only the times of the messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from ..frame_file import FIRST_DATE, LONGEST_TEXT, alert_annotation
from ..messages.times import unix_seconds
from ..other_signals import ecg_rows, lead_units
from ..protocol import MessageType
from ..records import Annotation, Record, RecordError
from ..records.record import portion
from ..records.scaling import Range
from ..signal_fields import lead_names, one_for_each, unit_of
from .remarks import HasRemarks
from .timeline import Break, Moment, Timeline, moment_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..client import Gap
    from ..codec import Message
    from .outputs import MessageWriter, Outputs, Writer

LONGEST_FILL: Final = 600.0
"""Longest gap, in seconds, that is filled with missing samples; after a longer one, a new file is started."""

FULL_OF_ALERTS: Final = 50_000
"""Number of alerts in a file after which a new one is started."""

MOST_CHANGES: Final = 1000
"""Maximum number of changes of a stream, each of which starts a new file: no sender can fill a folder with files."""

MOST_LEADS: Final = 4096
"""Maximum number of leads that are recorded."""

RATES: Final = (1e-3, 1e7)
"""Lowest and highest sampling rate that are recorded, in Hz."""

MOST_WAITING: Final = 1000
"""Maximum number of alerts, and of other messages, that are kept until the first sample of their stream arrives."""

_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
"""Unix seconds from which on a time counts as wrong."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Limits at which a new file is started.

    Attributes:
        seconds: seconds of signal in each file; None for no limit.
        nbytes: approximate bytes of samples in each file; None for no limit.
    """

    seconds: float | None = None
    nbytes: int | None = None


@dataclass(slots=True)
class StreamSummary(HasRemarks):
    """What has been recorded of a stream.

    Attributes:
        stream: name of the stream.
        samples: number of samples per lead that were received and recorded.
        missing: number of missing samples per lead that were written to fill gaps.
        seconds: duration of the recording, missing samples included.
        gaps: number of gaps that were filled with missing samples.
        unfilled: number of gaps that were not filled, as they are longer than ten minutes or of unknown length; a new
            file was started after each.
        alerts: number of alerts that were received.
        annotated: number of alerts that were written to the files.
        repeated: number of messages that were received twice and written once.
        refused: number of ECG_DATA messages that cannot be recorded.
        messages: number of messages that are neither signal nor alert and were recorded as received, by type. MCAP
            and files of frames hold them.
        left_out: number of messages that are neither signal nor alert and were not recorded, by type.
        signatures: number of recorded messages that have a signature; only a recording with signatures has them.
        attestations: number of recorded attestations.
        files: files that have been closed, in order.
        nbytes: bytes of all files.
        remarks: a sentence about each thing that could not be stored, or not exactly.
    """

    stream: str
    samples: int = 0
    missing: int = 0
    seconds: float = 0.0
    gaps: int = 0
    unfilled: int = 0
    alerts: int = 0
    annotated: int = 0
    repeated: int = 0
    refused: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    signatures: int = 0
    attestations: int = 0
    files: list[Path] = field(default_factory=list)
    nbytes: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """True if the recording has no gap and no rejected message."""
        return not (self.gaps or self.unfilled or self.refused)


class StreamRecorder:
    """Records one stream.

    Args:
        stream: name of the stream.
        outputs: opens the files.
        rotation: limits at which a new file is started.
    """

    def __init__(self, stream: str, outputs: Outputs, rotation: Rotation | None = None) -> None:
        self.summary = StreamSummary(stream)
        self._outputs = outputs
        self._rotation = rotation or Rotation()
        self._writer: Writer | None = None
        self._reach: Range | None = None
        self._timeline = Timeline()
        self._position = 0  # in samples since the last break, missing samples included, across files
        self._file_begins = 0
        self._is_gap_reported = False
        self._waiting: list[tuple[Annotation, Mapping[str, Any]]] = []
        self._waiting_messages: list[Message] = []
        self._nbytes_before = 0
        self._notes = 0
        self._changes = 0

    # --- input ---

    def take(self, message: Message) -> None:
        """Record the next message of the stream.

        Raises:
            RecordError: the format cannot store its samples.
            OSError: a file cannot be written.
        """
        if message.type is MessageType.ANOMALY_ALERT:
            self._take_alert(message.data)
        elif message.type is MessageType.ECG_DATA:
            try:
                record = self._record_of(message)
            except (KeyError, TypeError, ValueError) as error:
                self.summary.refused += 1
                self.summary.remark(f"a message of {self.summary.stream!r} cannot be recorded: {error}")
            else:
                self._place(record, moment_of(message, record.samples, record.sampling_rate))
        else:
            self._take_other(message)

    def take_gap(self, gap: Gap | None = None) -> None:
        """Note that messages were lost. The next message shows how many samples are missing."""
        self._is_gap_reported = True

    def flush(self) -> None:
        """Make what was received readable, except for an incomplete data record of EDF+ or BDF+."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the current file."""
        self._close_file()
        waiting, self._waiting_messages = self._waiting_messages, []
        for message in waiting:
            _count(message, self.summary.left_out)

    # --- position ---

    def _place(self, record: Record, moment: Moment) -> None:
        if self._writer is not None and _file_key(self._writer.record) != _file_key(record):
            self._end_part(f"the stream changed its leads, units, calibration or sampling rate; {self._started}")
        missing = self._timeline.missing_before(moment, is_told=self._is_gap_reported)
        self._is_gap_reported = False
        if missing is Break.REPEATED:
            self.summary.repeated += 1
            return
        if isinstance(missing, Break):
            self.summary.unfilled += 1
            self._end_part(f"{missing.value}; {self._started}")
        elif missing > LONGEST_FILL * record.sampling_rate:
            self.summary.unfilled += 1
            self._end_part(f"a gap of {missing / record.sampling_rate:,.0f} s was not filled; {self._started} after it")
        elif missing:
            self._append_missing(missing)
        self._timeline.add(moment, self._position)
        for start, stop in self._pieces(record):
            self._append(portion(record, start, stop), start)

    def _end_part(self, why: str) -> None:
        """Close the file, as the next message cannot continue it."""
        if self._writer is None:
            return
        self._note_change(why)
        self._close_file()
        self._timeline, self._position, self._reach = Timeline(), 0, None

    def _note_change(self, why: str) -> None:
        """Count a change that starts a new file; at ``MOST_CHANGES`` the recording fails."""
        self.summary.remark(why)
        self._changes += 1
        if self._changes > MOST_CHANGES:
            raise RecordError(
                f"{self.summary.stream}: the stream changed more than {MOST_CHANGES:,} times, "
                f"each with a new {self._outputs.part}"
            )

    def _pieces(self, record: Record) -> Iterable[tuple[int, int]]:
        """Split the record at file limits: the first sample of each piece, and the sample after its last."""
        start = 0
        while start < record.samples:
            count = record.samples - start
            if self._rotation.seconds is not None:
                most = max(round(self._rotation.seconds * record.sampling_rate), 1)
                if self._writer is not None and self._writer.samples >= most:
                    self._close_file()
                count = min(count, most - (0 if self._writer is None else self._writer.samples))
            yield start, start + count
            start += count

    # --- writing ---

    def _append(self, piece: Record, late: int) -> None:
        reach = Range.of(piece)
        if self._writer is not None and self._is_full():
            self._close_file()
        if self._writer is not None and not self._writer.fits(reach):
            self._note_change(f"samples were out of the range of a file; {self._started} with them")
            self._close_file()
        if self._writer is None:
            self._reach = reach if self._reach is None else self._reach.joined(reach)
            self._open(piece, late)
        assert self._writer is not None
        if not self._writer.fits(reach):
            raise RecordError(f"{self._cannot_store} samples")
        self._writer.append(piece)
        self._position += piece.samples
        self.summary.samples += piece.samples
        self._count(piece.samples, piece.sampling_rate)

    def _append_missing(self, samples: int) -> None:
        assert self._writer is not None
        rate = self._writer.record.sampling_rate
        self._writer.append_missing(samples)
        self._position += samples
        self.summary.gaps += 1
        self.summary.missing += samples
        self._count(samples, rate)

    def _count(self, samples: int, rate: float) -> None:
        assert self._writer is not None
        self.summary.seconds = round(self.summary.seconds + samples / rate, 9)
        self.summary.nbytes = self._nbytes_before + self._writer.nbytes

    def _is_full(self) -> bool:
        assert self._writer is not None
        is_large = self._rotation.nbytes is not None and self._writer.nbytes >= self._rotation.nbytes
        is_full = self._message_writer is not None and self._message_writer.is_full
        return is_large or is_full or self._notes >= FULL_OF_ALERTS

    def _open(self, piece: Record, late: int) -> None:
        assert self._reach is not None
        if piece.start is not None and late:
            piece = replace(piece, start=_later(piece.start, late / piece.sampling_rate))
        try:
            self._writer = self._outputs.open(piece, self._reach)
        except ArithmeticError as error:
            raise RecordError(f"{self._cannot_store} calibration or sampling rate") from error
        self._file_begins = self._position
        self._notes = 0
        waiting, self._waiting = self._waiting, []
        for note, alert in waiting:
            self._annotate(note, alert)
        messages, self._waiting_messages = self._waiting_messages, []
        for message in messages:
            self._take_other(message)

    @property
    def _message_writer(self) -> MessageWriter | None:
        """The current writer, if it holds messages."""
        return cast("MessageWriter | None", self._writer) if self._outputs.keeps_messages else None

    @property
    def _started(self) -> str:
        return f"a new {self._outputs.part} was started"

    @property
    def _cannot_store(self) -> str:
        return f"{self.summary.stream}: the format {self._outputs.form} cannot store its"

    def _close_file(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        for remark in writer.close():
            self.summary.remark(remark)
        self._nbytes_before += writer.nbytes
        self.summary.files += writer.files
        self.summary.nbytes = self._nbytes_before

    # --- alerts ---

    def _take_alert(self, alert: Any) -> None:
        self.summary.alerts += 1
        note = alert_annotation(alert) if isinstance(alert, dict) else None
        if note is None:
            self.summary.remark("alerts without a time were not written")
        elif self._writer is None and self._position == 0:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((note, alert))
        else:
            self._annotate(note, alert)

    def _annotate(self, note: Annotation, alert: Mapping[str, Any]) -> None:
        """Write an alert, whose time is in Unix seconds, at its position."""
        position = self._timeline.position(note.time)
        if position is None or self._writer is None:
            self.summary.remark("alerts whose position in the signal is unknown were not written")
            return
        rate = self._writer.record.sampling_rate
        time = (position - self._file_begins) / rate
        if abs(time) > LONGEST_FILL + self._writer.samples / rate:
            self.summary.remark("alerts whose time is far outside the signal were not written")
            return
        if self._notes >= 2 * FULL_OF_ALERTS:
            self.summary.remark(f"a file had more than {2 * FULL_OF_ALERTS:,} alerts; the others were not written")
            return
        self._notes += 1
        placed = note._replace(time=time, text=note.text[:LONGEST_TEXT])
        if self._message_writer is not None:
            self._message_writer.write_alert(placed, alert)
        else:
            self._writer.annotate([placed])
        self.summary.annotated += 1

    # --- other messages ---

    def _take_other(self, message: Message) -> None:
        """Write a message that is neither signal nor alert, if the format holds it."""
        is_early = self._writer is None and self._position == 0
        if self._message_writer is not None:
            self._message_writer.write_message(message)
            _count(message, self.summary.messages)
        elif is_early and self._outputs.keeps_messages and len(self._waiting_messages) < MOST_WAITING:
            self._waiting_messages.append(message)
        else:
            _count(message, self.summary.left_out)

    # --- conversion ---

    def _record_of(self, message: Message) -> Record:
        """Turn an ECG_DATA message into a record.

        Raises:
            KeyError, TypeError, ValueError: the message cannot be recorded.
        """
        data = self._in_one_unit(message.data)
        signal = np.atleast_2d(np.asarray(data["signal"]))
        rate = data["sampling_rate"]
        if len(signal) > MOST_LEADS or not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"{len(signal):,} leads at {rate:g} Hz are not recorded")
        gain, baseline = one_for_each(data.get("gain"), len(signal)), one_for_each(data.get("baseline"), len(signal))
        is_float = self._writer is not None and not self._writer.record.is_counts
        if signal.dtype.kind in "iu" and gain is None and is_float:  # a list of physical values that are all integers
            signal = signal.astype(np.float64)
        is_counts = signal.dtype.kind in "iu"
        missing = data.get("missing") if is_counts else None
        if missing is not None and not np.iinfo(signal.dtype).min <= missing <= np.iinfo(signal.dtype).max:
            missing = None
        if is_counts and gain is not None and baseline is None:
            baseline = (0.0,) * len(signal)
        return Record(
            signal=signal,
            sampling_rate=rate,
            leads=lead_names(data.get("leads"), len(signal)),
            units=unit_of(data.get("units"), is_counts=is_counts and gain is None),
            gain=gain if is_counts else None,
            baseline=baseline if is_counts and gain is not None else None,
            source=self.summary.stream,
            missing=missing,
            start=_start(message, signal.shape[1] / rate),
        )

    def _in_one_unit(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the payload without the leads in other units than the ECG: not all formats have several units."""
        leads = np.atleast_2d(np.asarray(data["signal"])).shape[0]
        units = lead_units(data, leads)
        if len(set(units)) == 1:
            return data
        names = lead_names(data.get("leads"), leads)
        unit = units[next(iter(ecg_rows(names, units)), 0)]
        rows = [row for row in range(leads) if units[row] == unit]
        listed = ", ".join(f"{names[row]} ({units[row]})" for row in range(leads) if row not in rows)
        self.summary.remark(f"signals of other units than {unit} were not written: {listed}")
        numbers = {name: one_for_each(data.get(name), leads) for name in ("gain", "baseline")}
        return {
            **data,
            "signal": np.asarray(data["signal"])[rows],
            "leads": [names[row] for row in rows],
            "units": unit,
            **{name: each if each is None else [each[row] for row in rows] for name, each in numbers.items()},
        }


def _count(message: Message, counts: dict[str, int]) -> None:
    counts[message.type.name] = counts.get(message.type.name, 0) + 1


def _start(message: Message, seconds: float) -> datetime | None:
    """Return the time of the first sample: as the message states it, or else by the time of publication."""
    at = unix_seconds(message.data.get("timestamp"))
    if (at is None or at < FIRST_DATE) and message.timestamp is not None:
        at = message.timestamp / 1e6 - seconds
    if at is None or not FIRST_DATE <= at < _LATEST:
        return None
    return datetime.fromtimestamp(at, UTC)


def _later(start: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(start.timestamp() + seconds, UTC)


def _file_key(record: Record) -> object:
    """Return what all records in one file have in common."""
    return (
        record.sampling_rate,
        record.leads,
        record.units,
        record.gain,
        record.baseline,
        record.is_counts or record.signal.dtype,
    )

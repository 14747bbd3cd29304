"""Writing recordings as files of consecutive ECG_DATA frames, and reading them back without loss."""

from __future__ import annotations

import datetime
import math
import mmap
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import numpy as np
import numpy.typing as npt

from ._core import Header, build_frame, flatten, unpack_payload
from .codec import Codec, Message
from .compression import HIGHEST_RATIOS as _HIGHEST_RATIOS
from .compression import inflate
from .errors import MessageTooLarge, ProtocolError
from .messages.templates import Template
from .messages.times import unix_seconds
from .other_signals import LEAD_UNITS as _LEAD_UNITS
from .plural import counted
from .protocol import DATA_TYPES as _DATA_TYPES
from .protocol import DEFAULT_MAX_PAYLOAD as _MAX_PAYLOAD
from .protocol import LARGEST_LENGTH, TEMPLATES_KEPT, Flag, MessageType
from .protocol import Algorithm as _Algorithm
from .protocol import Form as _Form
from .records import Annotation, Record, RecordError
from .records.bounds import MOST_LEADS as _MOST_LEADS
from .records.bounds import most_bytes, most_inflated
from .records.compressed import compression_of
from .records.mapped import HELD as _HELD
from .records.mapped import MappedFile, Reading
from .records.sample_buffer import SampleBuffer
from .signal_fields import lead_names, one_for_each, units_of
from .signing import without_trailer
from .value_count import MOST_OTHERS as _MOST_OTHERS
from .value_count import count_numbers

READER = Codec(numeric_lists="ndarray", validate=True)
"""Reads frames of other programs as well, which may contain plain lists, and validates the fields."""

FIRST_DATE: Final = 1e8
"""Smallest timestamp, in seconds, that is a time since 1970 (in 1973); smaller ones count from the first sample."""

CONSTANT_FIELDS = ("sampling_rate", "leads", "units", "lead_units", "gain", "baseline", "missing")
"""Fields that are the same in every frame of a recording."""


_LARGEST_LIST: Final = 6_000_000
"""Maximum number of numbers in list form in a frame."""

_HEADER_BYTES: Final = 32
"""Bytes of a file that hold the header of a frame of any version."""

ANNOTATION_KIND: Final = "annotation"
"""``kind`` of an alert that stands for an annotation, whose text is the ``message``."""

MOST_ALERTS: Final = 1_000_000
"""Maximum number of alerts in a file."""

LONGEST: Final = 1e9
"""Seconds by which an alert may be away from the beginning of its recording."""

LONGEST_TEXT: Final = 1000
"""Maximum number of characters of an alert that are kept."""

_BYTES_AN_OBJECT: Final = 16
"""Bytes of the limit of the samples for each text, array or map in compressed or large payloads. A frame of a recording
has some dozens of them, and more samples."""

_STEP: Final = 6e-7
"""Seconds by which the difference of two times in Unix seconds may be away from the exact one: more than two steps of
float64 until 2038."""

_NUMBERED: Final = 4
"""First version with records, templates and signatures."""

_OF_SIGNED_RECORDINGS: Final = frozenset({MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION})
"""Types of the messages in a recording with signatures, besides data messages."""

_UNCOUNTED: Final = 1 << 20
"""Bytes of a payload whose numbers need not be counted before it is unpacked."""


class FrameFileError(ValueError):
    """A file of frames is not a complete recording.

    Attributes:
        frame: number of the frame with the error, from 0. All frames before it are valid.
        offset: position of that frame in the file, in bytes.
        code: error code of the protocol; None if the frame is valid but does not belong to the recording.
    """

    def __init__(self, message: str, *, frame: int, offset: int, code: int | None = None) -> None:
        super().__init__(message)
        self.frame = frame
        self.offset = offset
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return _frame_file_error, (type(self), str(self), self.frame, self.offset, self.code), self.__dict__


def _frame_file_error(
    cls: type[FrameFileError], message: str, frame: int, offset: int, code: int | None
) -> FrameFileError:
    """Unpickle an error; pickle cannot pass keyword arguments."""
    return cls(message, frame=frame, offset=offset, code=code)


@dataclass(frozen=True, eq=False, slots=True)
class FrameFile:
    """The contents of a file of frames.

    Attributes:
        record: the recording.
        frames: number of frames.
        compressed: number of compressed frames.
        versions: protocol versions of the frames, in ascending order.
    """

    record: Record
    frames: int
    compressed: int
    versions: tuple[int, ...]


def samples_per_frame(record: Record, seconds: float) -> int:
    """Return the number of samples in a frame of this duration, rounded, at most all.

    Raises:
        RecordError: a frame would have no sample.
    """
    samples = round(min(seconds * record.sampling_rate, record.samples)) if seconds > 0 else 0
    if samples < 1:
        raise RecordError(f"{record.source}: a frame of {seconds:g} s holds no sample at {record.sampling_rate:g} Hz")
    return samples


def ecg_messages(record: Record, samples: int, signal: npt.NDArray[Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the recording as payloads of ECG_DATA. The last one may be shorter.

    Args:
        record: the recording.
        samples: number of samples of each lead in a message.
        signal: replaces ``record.signal``, [leads, samples]: the same samples in another dtype.
    """
    signal = record.signal if signal is None else signal
    reading = Reading(signal)
    constant = constant_fields(record, calibrated=signal.dtype.kind in "iu")
    begin = 0.0 if record.start is None else unix_seconds(record.start) or 0.0
    for sequence, start in enumerate(range(0, record.samples, samples)):
        yield {
            "signal": reading.samples(start, start + samples),
            **constant,
            "sequence": sequence,
            "timestamp": begin + start / record.sampling_rate,
        }


def constant_fields(record: Record, *, calibrated: bool) -> dict[str, Any]:
    """Return the fields that all ECG_DATA messages of a recording share.

    Args:
        record: the recording.
        calibrated: whether gain, baseline and missing are included, as for ADC counts.
    """
    fields: dict[str, Any] = {
        "sampling_rate": record.sampling_rate,
        "leads": list(record.leads),
        "units": record.units,
    }
    if record.lead_units is not None:
        fields[_LEAD_UNITS] = list(record.lead_units)
    if calibrated and record.gain is not None and record.baseline is not None:
        fields |= {"gain": _one_or_each(record.gain), "baseline": _one_or_each(record.baseline)}
    if calibrated and record.missing is not None:
        fields["missing"] = record.missing
    return fields


def _one_or_each(numbers: Sequence[float]) -> float | list[float]:
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)


def annotation_messages(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the annotations of the recording as payloads of ANOMALY_ALERT, in order of time.

    What ``read_frames`` would not read is left out: texts beyond ``LONGEST_TEXT`` characters, annotations beyond
    ``MOST_ALERTS``, and those ``LONGEST`` seconds away or further. ``annotations_not_kept`` describes it.
    """
    begin = 0.0 if record.start is None else unix_seconds(record.start) or 0.0
    for note in sorted(_that_are_read(record.annotations), key=attrgetter("time")):
        yield annotation_alert(note._replace(text=note.text[:LONGEST_TEXT]), begin + note.time)


def annotations_not_kept(record: Record) -> tuple[str, ...]:
    """Describe which parts of the annotations ``annotation_messages`` leaves out or cuts off."""
    kept = _that_are_read(record.annotations)
    cut = sum(len(note.text) > LONGEST_TEXT for note in kept)
    found = ((len(record.annotations) - len(kept), "left out"), (cut, f"cut to {LONGEST_TEXT:,} characters"))
    return tuple(f"{count:,} {what}" for count, what in found if count)


def _that_are_read(annotations: Sequence[Annotation]) -> Sequence[Annotation]:
    return [note for note in annotations if abs(note.time) < LONGEST][:MOST_ALERTS]


def write_frames(
    file: BinaryIO, codec: Codec, messages: Iterable[dict[str, Any]], alerts: Iterable[dict[str, Any]] = ()
) -> int:
    """Write a frame for each message, and return the bytes written.

    Args:
        file: file opened for writing bytes.
        codec: encodes the frames.
        messages: payloads of ECG_DATA, as of ``ecg_messages``.
        alerts: payloads of ANOMALY_ALERT in order of time, as of ``annotation_messages``. Each is written after the
            frame with the samples of its time.

    Raises:
        ProtocolError: a message cannot be encoded; see ``Codec.encode``.
    """

    def write(kind: MessageType, message: dict[str, Any]) -> int:
        encoded = codec.encode_frame(kind, message)
        begin = unix_seconds(message.get("timestamp"))
        if encoded.timestamp is not None and begin is not None and begin >= FIRST_DATE:
            encoded = encoded.with_timestamp(round(begin * 1e6))  # before V3, only the message has a time
        return file.write(encoded.frame)

    written, waiting = 0, iter(alerts)
    alert = next(waiting, None)
    for message in messages:
        written += write(MessageType.ECG_DATA, message)
        while alert is not None and alert["timestamp"] < _end(message):
            written += write(MessageType.ANOMALY_ALERT, alert)
            alert = next(waiting, None)
    while alert is not None:
        written += write(MessageType.ANOMALY_ALERT, alert)
        alert = next(waiting, None)
    return written


def _end(message: Mapping[str, Any]) -> float:
    """Return the time of the sample after the last, in Unix seconds; infinite for a message without a time."""
    begin = unix_seconds(message.get("timestamp"))
    return math.inf if begin is None else begin + np.shape(message["signal"])[-1] / float(message["sampling_rate"])


def read_frames(
    path: Path, watch: Callable[[Iterator[Message]], Iterable[Message]] = iter, *, max_bytes: int | None = None
) -> FrameFile:
    """Read the recording in a file of frames.

    Args:
        path: the file. It is memory-mapped, so that binary samples are copied only once, into the recording.
        watch: wraps the iterator of messages, for progress.
        max_bytes: limit of the samples in bytes. Default: nine times the size of the file, at least 80 MiB.

    Raises:
        FrameFileError: a frame is broken, missing, or of another recording than the previous ones.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise FrameFileError(f"{path}: empty, it holds no frames", frame=0, offset=0)
        if packed := compression_of(file.read(_HEADER_BYTES)):
            raise FrameFileError(f"{path}: {packed}", frame=0, offset=0)
        # Not closed explicitly: arrays may be views of it, and it is closed with the last of them.
        buffer = MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)
    joining = Joining(path, max_bytes or most_bytes(len(buffer)))
    try:
        for message in watch(_messages(buffer, joining)):
            joining.add(message)
    except ProtocolError as error:
        joining.fail(f"0x{error.code:03x} {error.code.name}: {error}", error, offset=_offset(buffer, joining.frames))
    except FrameFault as fault:
        joining.fail(str(fault), offset=_offset(buffer, joining.frames))
    return joining.whole()


def is_frame_file(path: Path) -> bool:
    """Return True if a file begins with a frame of a recording, according to the header and the size of the file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    try:
        header = flatten(start).header_at(0, _MAX_PAYLOAD)
    except ProtocolError:
        return False
    begins_one = header.type in _DATA_TYPES or header.type is MessageType.STREAM_TEMPLATE
    return begins_one and header.size + header.length <= path.stat().st_size


def _messages(buffer: MappedFile, joining: Joining) -> Iterator[Message]:
    flat = flatten(buffer)
    offset = released = 0
    while offset < flat.nbytes:
        header = flat.whole_frame_at(offset, _MAX_PAYLOAD)
        stop = offset + header.size + header.length
        yield joining.decode(flat.view(offset, stop), header)
        offset = stop
        if offset - released > _HELD:
            released = offset
            buffer.release()


def _offset(buffer: mmap.mmap, number: int) -> int:
    """Return the position of a frame in the file. All frames before it are valid."""
    frames = flatten(buffer)
    offset = 0
    for _ in range(number):
        header = frames.frame_at(offset, LARGEST_LENGTH)
        offset += header.size + header.length
    return offset


def pause(samples: int, rate: float, *, is_numbered: bool) -> float:
    """Return the distance of two frames in samples from which on it is a gap, although no number is missing.

    Timestamps may jitter by a frame; those of frames with consecutive numbers by a second, or by ten frames if these
    are longer.
    """
    return max(rate, 10 * samples) if is_numbered else samples


class FrameFault(ValueError):
    """A valid frame does not belong to the recording. ``missing`` is the number of missing frames before it."""

    def __init__(self, problem: str, *, missing: int = 0) -> None:
        super().__init__(problem)
        self.missing = missing


class _Templates:
    """The templates of a recording with signatures, by which its records are read: the latest ones of each epoch."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], Template] = OrderedDict()

    def decode(self, header: Header, payload: memoryview) -> Message | None:
        """Decode a frame that is a record, a template or signed; the signature is cut off, and not verified.

        Returns:
            None for any other frame.

        Raises:
            ProtocolError: the frame is broken, or its template is not there.
        """
        if header.version < _NUMBERED or not header.stream_id:
            return None
        bits = header.bits
        if bits & Flag.SIGNED and not bits & (Flag.COMPRESSED | Flag.ENCRYPTED):
            payload, bits = without_trailer(payload), bits & ~Flag.SIGNED
        elif header.type is MessageType.STREAM_TEMPLATE:
            if int(unpack_payload(flatten(payload), 0, len(payload), False, True).get("template", 0)):
                self._add(header.stream_id, Template.unpack(payload))
        elif not header.form_bits & _Form.RECORD:
            return None
        place = header.form_bits, header.stream_id, header.sequence or 0
        frame = build_frame(header.version, int(header.type), bits, header.timestamp or 0, payload, *place)
        return READER.decode(frame, templates=self._kept)

    def _add(self, stream_id: int, template: Template) -> None:
        self._kept[stream_id, template.number] = template
        self._kept.move_to_end((stream_id, template.number))
        if len(self._kept) > TEMPLATES_KEPT:
            self._kept.popitem(last=False)


class Joining:
    """Joins the frames of a recording.

    Args:
        path: the file, for error messages.
        max_bytes: limit of the samples in bytes.

    Attributes:
        frames: how many frames were added, those without signal included.
        buffer: the samples so far; None before the first frame.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.frames = 0
        self.buffer: SampleBuffer | None = None
        self.constant: dict[str, Any] = {}
        self.start: datetime.datetime | None = None
        self._alerts: list[Annotation] = []
        self._others: Counter[str] = Counter()
        self._attestations = 0
        self._begin: float | None = None
        self._inflated = 0
        self._others_left = max_bytes // _BYTES_AN_OBJECT
        self._next_sequence = 0
        self._ends: float | None = None
        self.versions: set[int] = set()
        self.compressed = 0
        self._signal_dtype: np.dtype[Any] = np.dtype(float)
        self._templates = _Templates()

    def decode(self, frame: memoryview, header: Header) -> Message:
        """Decode a frame, unless that would take too much memory.

        Raises:
            ProtocolError: the frame is broken.
            FrameFault: the frame contains more than a frame of a recording may.
        """
        compressed = header.bits & Flag.COMPRESSED and not header.bits & Flag.ENCRYPTED
        if not compressed and header.length <= _UNCOUNTED:
            return self._decode(frame)
        header, payload = READER.split(frame)
        plain = self._inflate(payload, header.form_bits & _Form.ALGORITHM) if compressed else payload
        numbers, others, containers = count_numbers(plain)
        if numbers > _LARGEST_LIST or others > _MOST_OTHERS:
            what = f"{numbers:,} numbers in list form" if numbers > _LARGEST_LIST else f"{others:,} texts"
            raise FrameFault(f"it holds {what}, more than a frame of a recording is believed to")
        self._others_left -= others + containers
        if self._others_left < 0:
            raise FrameFault(
                "with it the frames hold more texts, arrays and maps than a file of this size is believed to "
                "(--max-bytes allows more)"
            )
        if len(plain) > _UNCOUNTED:
            self._check_room(8 * numbers)
        return self._decode(frame)

    def _decode(self, frame: memoryview) -> Message:
        found = None
        if frame[0] >= _NUMBERED:
            found = self._templates.decode(*READER.split(frame))
        return READER.decode(frame) if found is None else found

    def _inflate(self, payload: memoryview, algorithm: int) -> bytes | bytearray:
        """Inflate a payload, unless the file inflates to more than its samples could take."""
        left = max(most_inflated(self.max_bytes) - self._inflated, 0)
        limit = min(left, _MAX_PAYLOAD)
        try:
            plain = inflate(payload, limit, algorithm)
        except ProtocolError as error:
            self._inflated += min(limit, _HIGHEST_RATIOS[_Algorithm(algorithm)] * len(payload))
            if isinstance(error, MessageTooLarge) and left < _MAX_PAYLOAD:
                raise FrameFault(
                    f"with it the file inflates to more than {most_inflated(self.max_bytes):,} bytes, which is more "
                    "than a recording of this size is believed to (--max-bytes allows more)"
                ) from error
            raise
        self._inflated += len(plain)
        return plain

    def add(self, message: Message) -> None:
        """Add the next frame.

        Raises:
            FrameFault: the frame does not belong to the recording, or frames before it are missing.
        """
        if self.note(message):
            return
        sequence = message.data.get("sequence")
        if self.buffer is None and message.sequence and sequence is not None:
            self._next_sequence = sequence  # of a live stream, whose recording begins anywhere
        self._check_sequence(sequence)
        self._check_time(message)
        self.join(message)

    def note(self, message: Message) -> bool:
        """Take a frame that is no signal: an alert becomes an annotation, others are counted.

        Returns:
            False where it is a signal.

        Raises:
            FrameFault: it is of no recording.
        """
        if message.type is MessageType.ECG_DATA:
            return False
        if message.type in _OF_SIGNED_RECORDINGS:
            self.frames += 1
            self.versions.add(message.version)
            self._attestations += message.type is MessageType.STREAM_ATTESTATION
            return True
        if message.type not in _DATA_TYPES:
            raise FrameFault(f"it is {message.type.name}, and only messages of data make a recording")
        if message.type is not MessageType.ANOMALY_ALERT:
            self._others[message.type.name] += 1
        elif len(self._alerts) == MOST_ALERTS:
            raise FrameFault(f"more than {MOST_ALERTS:,} alerts are not believed")
        else:
            self._note_alert(message.data)
        self.frames += 1
        self.versions.add(message.version)
        return True

    def _note_alert(self, data: Mapping[str, Any]) -> None:
        alert = alert_annotation(data)
        if alert is not None:  # the check of fields lets none come without a time
            self._alerts.append(alert._replace(text=alert.text[:LONGEST_TEXT]))

    def join(self, message: Message) -> None:
        """Append a frame without checking its sequence number. Raises the same as ``check``."""
        signal, constant = self.check(message)
        if not self.constant:
            self.start = _date(message.data.get("timestamp"))
            self._begin = unix_seconds(message.data.get("timestamp"))
        if self.buffer is None:
            self.begin(signal)
        assert self.buffer is not None
        self.constant = constant
        self.buffer.add(signal)
        self.frames += 1
        self._next_sequence += 1
        at = unix_seconds(message.data.get("timestamp"))
        self._ends = None if at is None else at + signal.shape[1] / message.data["sampling_rate"]
        self.versions.add(message.version)
        self.compressed += Flag.COMPRESSED in message.flags

    def check(self, message: Message) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Return the signal of a message, and the fields that all frames share.

        Raises:
            FrameFault: the message does not belong to the recording, or is too large.
        """
        signal = np.atleast_2d(message.data["signal"])
        constant = _as_lists({name: message.data.get(name) for name in CONSTANT_FIELDS})
        if len(signal) > _MOST_LEADS:
            raise FrameFault(f"it holds {len(signal):,} leads; more than {_MOST_LEADS:,} are not believed")
        if self.constant:
            self._check_same(constant, signal)
        self._check_room(signal.nbytes)
        return signal, constant

    def begin(self, signal: npt.NDArray[Any]) -> None:
        """Begin a recording with as many leads, and of the same dtype, as the signal."""
        self.buffer = SampleBuffer(len(signal), signal.dtype)
        self._signal_dtype = signal.dtype

    def _check_room(self, nbytes: int) -> None:
        if (self.buffer.nbytes if self.buffer else 0) + nbytes > self.max_bytes:
            raise FrameFault(
                f"with it the samples take more than {self.max_bytes:,} bytes, "
                "which is more than a file of this size is believed to hold (--max-bytes allows more)"
            )

    def _check_sequence(self, sequence: int | None) -> None:
        expected = self._next_sequence
        if sequence is None or sequence == expected:
            return
        if sequence > expected:
            missing = f"{expected} is" if sequence == expected + 1 else f"{expected} to {sequence - 1} are"
            problem = f"a gap: its sequence number is {sequence}, so {missing} missing"
            raise FrameFault(problem, missing=sequence - expected)
        raise FrameFault(f"its sequence number is {sequence}, where {expected} comes next")

    def _check_time(self, message: Message) -> None:
        """Refuse a frame that begins long after the end of the one before it, by their timestamps."""
        at = unix_seconds(message.data.get("timestamp"))
        if at is None or self._ends is None:
            return
        late = at - self._ends
        samples, rate = np.atleast_2d(message.data["signal"]).shape[1], message.data["sampling_rate"]
        if late * rate > pause(samples, rate, is_numbered=message.data.get("sequence") is not None):
            raise FrameFault(f"a gap: it begins {late:g} s after the end of the frame before it", missing=1)

    def _check_same(self, constant: dict[str, Any], signal: npt.NDArray[Any]) -> None:
        for name in CONSTANT_FIELDS:
            if constant[name] != self.constant[name]:
                raise FrameFault(f"its {name} is {constant[name]}, and {self.constant[name]} in the frames before it")
        assert self.buffer is not None
        if len(signal) != self.buffer.leads or signal.dtype != self._signal_dtype:
            raise FrameFault(
                f"it holds {len(signal)} leads of {signal.dtype}, "
                f"and the frames before it {self.buffer.leads} of {self._signal_dtype}"
            )

    def fail(self, problem: str, cause: ProtocolError | None = None, *, offset: int) -> NoReturn:
        """Raise a FrameFileError for the current frame."""
        number = self.frames
        before = f"the {counted(number, 'frame')} before it {'is' if number == 1 else 'are'} good"
        raise FrameFileError(
            f"{self.path}: frame {number}, at byte {offset}: {problem}; "
            f"{before if number else 'is this a file of frames?'} (--skip-broken reads what is good)",
            frame=number,
            offset=offset,
            code=None if cause is None else cause.code,
        ) from cause

    def whole(self) -> FrameFile:
        """Return the complete recording.

        Raises:
            FrameFileError: it has no samples.
        """
        if self.buffer is None:
            problem = f"{self.path}: it holds {counted(self.frames, 'message')} and no signal"
            raise FrameFileError(problem, frame=0, offset=0)
        signal = self.buffer.signal()
        is_counts = self.constant["gain"] is None and signal.dtype.kind != "f"
        annotations = self._annotations()
        units, lead_units = units_of(self.constant, len(signal), is_counts=is_counts)
        record = Record(
            signal=signal,
            sampling_rate=self.constant["sampling_rate"],
            leads=lead_names(self.constant["leads"], len(signal)),
            units=units,
            lead_units=lead_units,
            gain=one_for_each(self.constant["gain"], len(signal)),
            baseline=one_for_each(self.constant["baseline"], len(signal)),
            source=str(self.path),
            missing=self.constant["missing"] if signal.dtype.kind in "iu" else None,
            start=self.start,
            annotations=annotations,
            left_out=self._left_out(len(annotations)),
        )
        return FrameFile(record, self.frames, self.compressed, tuple(sorted(self.versions)))

    def _annotations(self) -> tuple[Annotation, ...]:
        if self._begin is None:  # where they belong is unknown
            return ()
        rate = float(self.constant["sampling_rate"])
        notes = [_placed(alert, self._begin, rate) for alert in self._alerts]
        return tuple(sorted((note for note in notes if abs(note.time) < LONGEST), key=attrgetter("time")))

    def _left_out(self, placed: int) -> tuple[str, ...]:
        others = tuple(counted(count, f"{kind} message") for kind, count in self._others.items())
        if self._attestations:
            signed = counted(self._attestations, "attestation")
            others = (*others, f"signatures and {signed} (ecgframe verify verifies them)")
        if count := len(self._alerts) - placed:
            return (f"{counted(count, 'alert')} without a place in the signal", *others)
        return others


def _placed(alert: Annotation, begin: float, rate: float) -> Annotation:
    """Return an annotation, whose time is that of its alert, by its time in the recording.

    Unix seconds in float64 have steps of 0.24 us. These are undone: times are at a sample, or else at a microsecond.
    """
    time, duration = alert.time - begin, alert.duration
    if begin >= FIRST_DATE:
        time = _without_step(time, rate)
    return alert._replace(time=time, duration=None if duration is None else _without_step(duration, rate))


def _without_step(seconds: float, rate: float) -> float:
    at_sample = round(seconds * rate) / rate
    return at_sample if abs(at_sample - seconds) < _STEP else round(seconds, 6)


def annotation_alert(annotation: Annotation, timestamp: float, speed: float = 1) -> dict[str, Any]:
    """Return the payload of ANOMALY_ALERT for an annotation. ``alert_annotation`` is the reverse.

    Args:
        annotation: what was noted.
        timestamp: its time, in Unix seconds; when it is played.
        speed: how many times as fast as it was recorded.
    """
    alert: dict[str, Any] = {
        "kind": ANNOTATION_KIND,
        "severity": "info",
        "message": annotation.text,
        "timestamp": timestamp,
        "start": timestamp,
    }
    if annotation.duration is not None:
        alert["end"] = timestamp + annotation.duration / speed
    if annotation.lead is not None:
        alert["lead"] = annotation.lead
    return alert


def alert_annotation(alert: Mapping[str, Any], begin: float = 0.0) -> Annotation | None:
    """Convert an ANOMALY_ALERT to an annotation of a recording.

    The annotation has the start of the alert, or its timestamp if it has no start, and lasts until its end.

    Args:
        alert: data of the message.
        begin: start of the recording, in Unix seconds.

    Returns:
        None for an alert without a time.
    """
    end = unix_seconds(alert.get("end"))
    start = unix_seconds(alert.get("start"))
    at = unix_seconds(alert.get("timestamp")) if start is None else start
    if at is None:
        return None
    lead = alert.get("lead")
    return Annotation(
        at - begin,
        _annotation_text(alert),
        lead if isinstance(lead, str) else None,
        None if start is None or end is None or end < start else end - start,
    )


def _annotation_text(alert: Mapping[str, Any]) -> str:
    kind, severity, message = alert.get("kind"), alert.get("severity"), alert.get("message")
    if kind == ANNOTATION_KIND and isinstance(message, str):
        return message
    text = str(kind) if severity is None else f"{kind} ({severity})"
    return f"{text}: {message}" if message else text


def _date(timestamp: float | datetime.datetime | None) -> datetime.datetime | None:
    """Convert a timestamp to a date; None if it counts from the start of the recording."""
    if timestamp is None or isinstance(timestamp, datetime.datetime):
        return timestamp
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC) if timestamp >= FIRST_DATE else None


def _as_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}

"""Writing EDF+ and BDF+, one data record after the other, so that the file can be read while it is written.

The edfio library cannot do this: it writes whole files at once, of complete data records.

A missing sample is stored as the least count of the format, which is outside the digital range of the header. A stretch
in which all leads are missing has an annotation. So a file with gaps is EDF+C, every sample is at its time, and other
programs can read it: EDFlib refuses EDF+D, and MNE reads EDF+D as if there were no gaps.
"""

from __future__ import annotations

import math
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .annotation import Annotation
from .edf_about import equipment
from .edf_gaps import MOST_GAPS, Gaps
from .edf_header import MONTHS, WIDTHS
from .edf_marks import ENDS, EQUIPMENT, GAP
from .new_files import NewFile
from .record import PORTION, Record, RecordError, portions
from .scaling import LeadScale, Range, Scaler, octets_of, scales

ANNOTATION_BYTES: Final = 480
"""Bytes for annotations in each data record, if the annotations are not known in advance."""

_LARGEST_RECORD: Final = 61_440
"""Largest data record in bytes, as EDF+ recommends; exceeded if there are too many leads to keep to it."""

_LONGEST_RECORD: Final = 60
"""Longest data record in seconds, for sampling rates at which a second has no whole number of samples."""

_DURATIONS_TRIED: Final = 10_000
_LONGEST_DURATION: Final = 86_400

_MOST_LEADS: Final = 9998
"""The header has four characters for the number of signals, and one signal holds the annotations."""

_ONSET_BYTES: Final = 26
"""Maximum bytes of the annotation that states when a data record begins."""

_TEXT: Final = 80
"""Characters of the fields "patient" and "recording"."""

_LONGEST_LABEL: Final = 16
_RANGES_TRIED: Final = 400
"""Number of ends of the digital range that are tried to find one with an exact physical value of eight characters."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """Digital and physical range of a lead in the header. ``error`` is the largest rounding error of a physical end."""

    digital: tuple[int, int]
    physical: tuple[str, str]
    error: float


class EdfWriter:
    """Writes EDF+ piece by piece; BDF+ if the name ends in ``.bdf``.

    After each complete data record, usually one second, the file is valid, even if the process is killed.

    Args:
        path: the path, where nothing may exist.
        record: the recording, or its beginning; the constructor writes none of its samples.
        reach: the range of its samples.
        is_whole: whether ``record`` is the whole recording, whose annotations are then written.
        patient: patient code.

    Raises:
        RecordError: the format cannot store the samples.
        OSError: the path exists, or the file cannot be created.
    """

    def __init__(self, path: Path, record: Record, reach: Range, *, is_whole: bool = False, patient: str = "") -> None:
        self.record = record
        self.samples = 0
        if len(record.leads) > _MOST_LEADS:
            raise RecordError(f"{path}: {len(record.leads):,} leads; EDF has room for {_MOST_LEADS:,}")
        self._width = 3 if path.suffix.lower() == ".bdf" else 2
        limit = (1 << (8 * self._width - 1)) - 1
        leads = scales(record, reach, limit, is_whole=is_whole)
        self._scaler = Scaler(record, leads, -limit - 1)
        self._ends = [
            _ends(lead, low, high, limit) for lead, low, high in zip(leads, reach.low, reach.high, strict=True)
        ]
        self._each, self._duration, self._is_even = _data_record(record, self._width)
        self._start, self._late = _whole_seconds(record.start)
        self._noted: deque[bytes] = deque()
        self._labels, self._renamed = _labels(record.leads)
        self._cut = 0
        self._room = ANNOTATION_BYTES
        self._gaps = Gaps()
        self._notes_gaps = not is_whole
        if is_whole:
            found = [gap for part in portions(record) for gap in self._gaps.take(part.is_missing().all(axis=0))]
            found += self._gaps.finish()
            noted = [*record.annotations, *(self._gap(*gap) for gap in found)]
            self._room = self._room_for(record, noted)
            self.annotate(noted)
        self._room += -self._room % self._width
        self._count = 0
        self._held: list[npt.NDArray[np.int64]] = []
        self._held_samples = 0
        self._file = NewFile(path)
        self._begin = self._header(patient)  # written with the first data record, as every EDF file has one

    @property
    def files(self) -> tuple[Path, ...]:
        """The path of the file."""
        return (self._file.path,)

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return self._file.nbytes

    def fits(self, reach: Range) -> bool:
        """Return True if this file can store samples of this range."""
        return all(
            low <= lead.stored(end) <= high
            for lead, (low, high), *ends in zip(
                self._scaler.leads, (ends.digital for ends in self._ends), reach.low, reach.high, strict=True
            )
            for end in ends
            if end is not None
        )

    def append(self, record: Record) -> None:
        """Append samples of the same leads. The caller has checked ``fits``."""
        for part in portions(record):
            self._note_gaps(part.is_missing().all(axis=0))
            self._append(self._scaler.stored(part))

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead."""
        for start in range(0, samples, PORTION):
            count = min(samples - start, PORTION)
            self._note_gaps(np.ones(count, np.bool_))
            self._append(np.full((len(self._labels), count), self._scaler.mark, np.int64))

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Write annotations with the next data records. Their times count from the first sample of the file."""
        for note in annotations:
            self._noted.append(self._list(note))

    def flush(self) -> None:
        """Do nothing: a data record is written as soon as it is complete."""

    def close(self) -> tuple[str, ...]:
        """Fill up the last data record and close the file. Returns a sentence on each thing that is not exact."""
        end = self.samples
        if self._notes_gaps:
            self.annotate(self._gap(*gap) for gap in self._gaps.finish())
        if self._held_samples or self._noted or not self._count:
            self._noted.append(self._list(Annotation(end / self.record.sampling_rate, ENDS)))
        while self._held_samples or self._noted or not self._count:
            lacking = self._each - self._held_samples
            self._held.append(np.full((len(self._labels), lacking), self._scaler.mark, np.int64))
            self._held_samples += lacking
            self._write_records()
        self._file.close()
        return self._remarks()

    def abandon(self) -> None:
        """Close the file as it is, after an error."""
        self._file.close(sync=False)

    # --- data records ---

    def _append(self, stored: npt.NDArray[np.int64]) -> None:
        self.samples += stored.shape[1]
        self._held.append(stored)
        self._held_samples += stored.shape[1]
        if self._held_samples >= self._each:
            self._write_records()

    def _write_records(self) -> None:
        held = np.concatenate(self._held, axis=1)
        whole = held.shape[1] // self._each
        for number in range(whole):
            self._write_record(held[:, number * self._each : (number + 1) * self._each])
        rest = held[:, whole * self._each :]
        self._held, self._held_samples = ([rest.copy()] if rest.size else []), rest.shape[1]
        # After the samples: a count above the number of data records would make the file invalid.
        self._file.write_at(236, _field(str(self._count), 8))

    def _write_record(self, stored: npt.NDArray[np.int64]) -> None:
        self._file.append(self._begin + octets_of(stored, self._width) + self._annotations())
        self._begin = b""
        self._count += 1

    def _annotations(self) -> bytes:
        """Return the start of this data record, and as many annotations as fit."""
        octets = _onset(self._late + self._count * Fraction(self._duration)) + b"\x14\x14\0"
        while self._noted and len(octets) + len(self._noted[0]) <= self._room:
            octets += self._noted.popleft()
        return octets.ljust(self._room, b"\0")

    def _list(self, note: Annotation) -> bytes:
        """Return a time-stamped annotation list with one text, cut to the available bytes."""
        at = _onset(self._late + Fraction(note.time))
        lasting = b"" if note.duration is None else b"\x15" + _onset(Fraction(note.duration))[1:]
        text = " ".join(note.text.replace("\x14", " ").replace("\x15", " ").replace("\0", " ").split("\n"))
        label = self._labels[self.record.leads.index(note.lead)] if note.lead in self.record.leads else ""
        said = f"{text}@@{label}" if label else text
        octets = said.encode()
        room = self._room - _ONSET_BYTES - len(at) - len(lasting) - 3
        if len(octets) > room:
            self._cut += 1
            octets = octets[:room].decode(errors="ignore").encode()
        return at + lasting + b"\x14" + octets + b"\x14\0"

    def _room_for(self, record: Record, noted: Sequence[Annotation]) -> int:
        """Bytes per data record in which all annotations of a whole recording fit."""
        self._room = _LARGEST_RECORD
        sizes = [*(len(self._list(note)) for note in noted), _ONSET_BYTES + len(ENDS) + 3]
        records = -(-record.samples // self._each)
        return min(_ONSET_BYTES + max(sizes) + -(-sum(sizes) // records), _LARGEST_RECORD)

    # --- gaps ---

    def _note_gaps(self, is_missing: npt.NDArray[np.bool_]) -> None:
        """Annotate each stretch in which all leads are missing, once its end is known."""
        if self._notes_gaps:
            self.annotate(self._gap(*gap) for gap in self._gaps.take(is_missing))

    def _gap(self, start: int, stop: int) -> Annotation:
        rate = self.record.sampling_rate
        return Annotation(start / rate, GAP, None, (stop - start) / rate)

    # --- the header ---

    def _header(self, patient: str) -> bytes:
        count = len(self._labels) + 1
        name = "EDF" if self._width == 2 else "BDF"
        least = -(1 << (8 * self._width - 1))
        day = self._start
        long_day = "X" if day is None else f"{day.day:02}-{MONTHS[day.month - 1]}-{day.year:04}"
        recording = f"Startdate {long_day} X X "
        fixed = (
            (b"0" if self._width == 2 else b"\xffBIOSEMI").ljust(8),
            _field(f"{_word(patient)} X X X", _TEXT),
            _field(recording + equipment(_ascii(self.record.device), _TEXT - len(recording))[0], _TEXT),
            _field("01.01.85" if day is None else f"{day:%d.%m.}{day.year % 100:02}", 8),
            _field("00.00.00" if day is None else f"{day:%H.%M.%S}", 8),
            _field(str(256 * (count + 1)), 8),
            _field(f"{name}+C", 44),
            _field("1", 8),
            _field(self._duration, 8),
            _field(str(count), 4),
        )
        ranges = [(*ends.physical, *map(str, ends.digital)) for ends in self._ends]
        signals = [
            (label, "", _dimension(self.record.unit(lead)), *ends, "", str(self._each), "")
            for lead, (label, ends) in enumerate(zip(self._labels, ranges, strict=True))
        ]
        of_notes = ("-1", "1", str(least), str(-least - 1))
        signals.append((f"{name} Annotations", "", "", *of_notes, "", str(self._room // self._width), ""))
        fields = [_field(signal[kind], width) for kind, width in enumerate(WIDTHS) for signal in signals]
        return b"".join((*fixed, *fields))

    def _remarks(self) -> tuple[str, ...]:
        record = self.record
        remarks = list(self._scaler.remarks(record.leads, record.units))
        if worst := max(ends.error for ends in self._ends):
            remarks.append(
                f"the calibration is rounded to eight characters in the header, by {worst:.2g} {record.units} at most"
            )
        if not self._is_even:
            rate = f"{record.sampling_rate:g} Hz"
            remarks.append(f"the duration of data records at {rate} is rounded to eight characters")
        remarks += [
            f"the lead {old!r} is written as {new!r}: EDF has 16 ASCII characters for it" for old, new in self._renamed
        ]
        remarks += [
            f"the units {stated!r} are written as {_dimension(stated)!r}: EDF has 8 ASCII characters for them"
            for stated in dict.fromkeys(record.unit(lead) for lead in range(len(record.leads)))
            if _dimension(stated) != stated
        ]
        long_day = "Startdate 01-JAN-2026 X X "
        written, is_kept = equipment(_ascii(record.device), _TEXT - len(long_day))
        if record.device and not (is_kept and _ascii(record.device) == record.device):
            remarks.append(f"the device {record.device!r} is written as {written.removeprefix(EQUIPMENT).strip()!r}")
        if record.comments:
            count = len(record.comments)
            what = "comment is" if count == 1 else "comments are"
            remarks.append(f"{count:,} {what} left out, which EDF has no field for")
        if self._cut:
            remarks.append(f"{self._cut:,} annotations are cut to {self._room} bytes")
        if self._gaps.left_out:
            remarks.append(
                f"{self._gaps.left_out:,} gaps are not annotated, only the first {MOST_GAPS:,}; their samples are "
                "marked as missing"
            )
        return tuple(remarks)


def _data_record(record: Record, width: int) -> tuple[int, str, bool]:
    """Samples per lead in a data record, its duration, and whether the duration is exact."""
    rate = Fraction(str(record.sampling_rate))
    room = max(_LARGEST_RECORD // (len(record.leads) * width), 1)
    # The duration has a finite number of digits if the number of samples is a multiple of the rate without its
    # factors 2 and 5.
    step = rate.numerator
    for factor in (2, 5):
        while step % factor == 0:
            step //= factor
    most = min(math.floor(rate) or 1, room)
    shorter, longer = range(most // step * step, 0, -step), range(step, math.ceil(_LONGEST_RECORD * rate) + 1, step)
    for samples in chain(islice(shorter, _DURATIONS_TRIED), islice(longer, _DURATIONS_TRIED)):
        text = _short(samples / rate)
        if text is not None:
            return samples, text, True
    text, _ = _rounded(most / rate)
    if not 0 < Fraction(text) <= _LONGEST_DURATION:
        raise RecordError(f"{record.source or 'record'}: {record.sampling_rate:g} Hz cannot be written in EDF")
    return most, text, False


def _ends(lead: LeadScale, low: float | None, high: float | None, limit: int) -> _Ends:
    """Return the widest digital range whose physical ends can be written, if possible exactly."""
    least = min(lead.stored(0 if low is None else low), 0)
    most = max(lead.stored(0 if high is None else high), 0)

    def physical(count: int) -> Fraction:
        return (count - lead.baseline) / lead.gain

    lowest = range(-limit, min(least, -limit + _RANGES_TRIED) + 1)
    highest = range(limit, max(most, limit - _RANGES_TRIED) - 1, -1)
    first = next(((count, text) for count in lowest if (text := _short(physical(count))) is not None), None)
    last = next(((count, text) for count in highest if (text := _short(physical(count))) is not None), None)
    if first is None:
        first = min(((count, _rounded(physical(count))[0]) for count in lowest), key=lambda end: _off(physical, *end))
    if last is None:
        last = min(((count, _rounded(physical(count))[0]) for count in highest), key=lambda end: _off(physical, *end))
    if first[1] == last[1]:
        raise RecordError(f"the calibration of {float(lead.gain):g} counts a unit cannot be written in EDF")
    error = max(_off(physical, *first), _off(physical, *last))
    return _Ends((first[0], last[0]), (first[1], last[1]), error)


def _off(physical: Callable[[int], Fraction], count: int, text: str) -> float:
    return abs(float(Fraction(text) - physical(count)))


def _short(number: Fraction) -> str | None:
    """Return a number in at most eight characters; None if that is not exact."""
    text, error = _rounded(number)
    return None if error else text


def _rounded(number: Fraction) -> tuple[str, Fraction]:
    """Return a number in at most eight characters, and the rounding error.

    Raises:
        OverflowError: the rounded number is too large for a float64, so nobody could read it.
    """
    whole = len(str(abs(int(number)))) + (number < 0)
    decimals = max(7 - whole, 0)
    text = f"{float(number):.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if len(text) > 8:
        text = next(short for digits in range(4, -1, -1) if len(short := f"{float(number):.{digits}E}") <= 8)
        if math.isinf(float(text)):
            raise OverflowError(f"{float(number):g} is too large for eight characters")
    return text, abs(Fraction(text) - number)


def _whole_seconds(start: datetime | None) -> tuple[datetime | None, Fraction]:
    """Return the start in whole seconds, in UTC if it has a time zone, and the fraction of a second."""
    if start is None:
        return None, Fraction(0)
    when = (start.astimezone(UTC) if start.tzinfo else start).replace(tzinfo=None)
    return when.replace(microsecond=0), Fraction(when.microsecond, 1_000_000)


def _onset(seconds: Fraction) -> bytes:
    """Seconds with sign, rounded to nanoseconds."""
    nanoseconds = round(seconds * 1_000_000_000)
    whole, part = divmod(abs(nanoseconds), 1_000_000_000)
    text = f"{whole}.{part:09}".rstrip("0").rstrip(".") if part else str(whole)
    return f"{'-' if nanoseconds < 0 else '+'}{text}".encode()


def _field(text: str, width: int) -> bytes:
    octets = text.encode("ascii", "replace")
    return octets[:width].ljust(width)


def _word(text: str) -> str:
    """Return a text as a subfield of the header, without spaces."""
    return "_".join(_ascii(text).split()) or "X"


def _dimension(units: str) -> str:
    """Units in eight characters of ASCII."""
    return _ascii(units.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u"))[:8]


def _labels(names: tuple[str, ...]) -> tuple[list[str], list[tuple[str, str]]]:
    labels = [_ascii(name)[:_LONGEST_LABEL].strip() for name in names]
    return labels, [(name, label) for name, label in zip(names, labels, strict=True) if name != label]


def _ascii(text: str) -> str:
    """Remove accents, and replace all other characters outside ASCII by question marks."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(char if " " <= char <= "~" else "?" for char in plain)

"""Reading and repairing the headers of EDF and BDF files.

The edfio library rejects headers with minor errors even if all samples are present. This module repairs the fields
that locate the samples: NUL bytes instead of blanks, decimal commas, and a wrong number of records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from fractions import Fraction
from typing import Final

from .record import RecordError

FIXED: Final = 256
"""Bytes of the fixed part of the header, and of the part for each signal."""

_RECORDS: Final = slice(236, 244)
_FIXED_NUMBERS: Final = (slice(184, 192), _RECORDS, slice(244, 252), slice(252, 256))
WIDTHS: Final = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Field widths for each signal: label, transducer, unit, physical and digital range, filter, samples, reserved."""

_NUMBERS: Final = (3, 4, 5, 6, 8)
"""Indices of the numeric fields in ``_WIDTHS``."""

TRANSDUCER: Final = 1
FILTER: Final = 7
"""Indices of the fields of transducer and filter in ``WIDTHS``."""

LARGEST: Final = 10**9
"""Largest number of a header, and largest denominator of one. Eight letters can say 10 to the power of 999,999."""

CONTINUOUS: Final = (b"EDF+C", b"BDF+C")
DISCONTINUOUS: Final = (b"EDF+D", b"BDF+D")
MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """The repaired header of a file.

    Attributes:
        raw: bytes of the repaired header.
        labels: labels of all signals, including annotation signals.
        samples: number of samples of each signal in a data record.
        width: bytes of a sample: 2 in EDF, 3 in BDF.
        records: number of complete data records in the file.
        left_over: bytes of an incomplete record after the last complete one.
        duration: duration of a data record, in seconds.
        is_continuous: whether the file states that its data records follow each other (EDF+C, BDF+C).
        patient: the field "patient".
        recording: the field "recording"; in EDF+, the date, who recorded it and the equipment.
        start: start of the recording, without a time zone; None if the date is invalid.
        repaired: what was repaired, one sentence each.
        not_a_start: date and time in the header, if they are not valid; empty otherwise.
        has_gaps: whether the file states that there may be gaps between its data records (EDF+D, BDF+D).
    """

    raw: bytes
    labels: tuple[str, ...]
    samples: tuple[int, ...]
    width: int
    records: int
    left_over: int
    duration: Fraction
    is_continuous: bool
    patient: str
    recording: str
    start: datetime | None
    repaired: tuple[str, ...]
    not_a_start: str
    has_gaps: bool

    @property
    def record_bytes(self) -> int:
        """Bytes of a data record."""
        return sum(self.samples) * self.width

    @property
    def all_records(self) -> int:
        """Number of data records, an incomplete one included."""
        return self.records + bool(self.left_over)

    def without_records(self) -> bytes:
        """The bytes of a valid file with this header and no data records."""
        return self.raw[: _RECORDS.start] + b"0".ljust(8) + self.raw[_RECORDS.stop :]

    def texts(self, field: int) -> list[str]:
        """Return a field of ``WIDTHS``, for each signal that is not of annotations."""
        places = zip(_places(len(self.labels))[field], self.labels, strict=True)
        return [self.raw[place].decode("latin-1").strip() for place, label in places if label not in ANNOTATIONS]

    @property
    def annotations(self) -> tuple[int, ...]:
        """Numbers of the annotation signals."""
        return tuple(number for number, label in enumerate(self.labels) if label in ANNOTATIONS)

    @property
    def samples_of_leads(self) -> tuple[int, ...]:
        """Number of samples in a data record, of each signal that is not of annotations."""
        pairs = zip(self.samples, self.labels, strict=True)
        return tuple(count for count, label in pairs if label not in ANNOTATIONS)


NO_DATE: Final = "Startdate X "
"""Beginning of the field "recording" in EDF+ if the date is not given."""

ANNOTATIONS: Final = ("EDF Annotations", "BDF Annotations")


def read_edf_header(path: str, raw: bytes, width: int, nbytes: int) -> EdfHeader:
    """Read the header of a file, and repair it if possible.

    Args:
        path: name of the file, for messages.
        raw: the first bytes of the file, at least the whole header.
        width: bytes of a sample: 2 in EDF, 3 in BDF.
        nbytes: size of the file.

    Raises:
        RecordError: the header is damaged beyond repair.
    """
    if len(raw) < FIXED:
        raise RecordError(
            f"{path}: not readable as EDF, its {len(raw)} bytes are less than a header has; is it cut short?"
        )
    repaired: list[str] = []
    fixed = bytearray(raw[:FIXED])
    for place in _FIXED_NUMBERS:
        fixed[place] = _plain_number(bytes(fixed[place]))
    signals = _whole(path, "number of signals", fixed[252:256])
    size = FIXED * (signals + 1)
    if signals < 1 or len(raw) < size:
        raise RecordError(f"{path}: its header announces {signals} signals and has {len(raw)} bytes; is it cut short?")
    header = fixed + bytearray(raw[FIXED:size])
    places = _places(signals)
    for kind in _NUMBERS:
        for place in places[kind]:
            header[place] = _plain_number(bytes(header[place]))
    for place in (place for kind in places for place in kind):
        header[place] = header[place].replace(b"\0", b" ")
    header[8:236] = header[8:236].replace(b"\0", b" ")
    if bytes(header) != raw[:size]:
        repaired.append("its header had NUL bytes or decimal commas in its fields")
    samples = tuple(_whole(path, "number of samples", header[place]) for place in places[8])
    record_bytes = sum(samples) * width
    if min(samples) < 0 or record_bytes == 0:
        raise RecordError(f"{path}: its header says that a record holds no samples")
    records, left_over = divmod(nbytes - size, record_bytes)
    said = _whole(path, "number of records", header[_RECORDS])
    if said not in (-1, records) or (said == -1 and left_over):
        cut = f" and {left_over} bytes of another" if left_over else ""
        repaired.append(f"its header announces {said} records, and it holds {records}{cut}")
    elif left_over:
        repaired.append(f"{left_over} bytes of a record that is cut short follow its {records} records")
    whole = records + bool(left_over)
    header[_RECORDS] = str(whole).encode().ljust(8)
    header[184:192] = str(size).encode().ljust(8)
    duration = _number(path, "duration of a record", header[244:252])
    text = header.decode("latin-1")
    start, labels = _start(text), tuple(header[place].decode("latin-1").strip() for place in places[0])
    if duration <= 0 and any(count for count, label in zip(samples, labels, strict=True) if label not in ANNOTATIONS):
        raise RecordError(
            f"{path}: its header says that a data record lasts {float(duration):g} s, which no signal does"
        )
    is_hidden = text.startswith(NO_DATE, 88)
    return EdfHeader(
        raw=bytes(header),
        labels=labels,
        samples=samples,
        width=width,
        records=records,
        left_over=left_over,
        duration=duration,
        is_continuous=bytes(header[192:197]) in CONTINUOUS,
        patient=header[8:88].decode("latin-1").strip(),
        recording=header[88:168].decode("latin-1").strip(),
        start=start,
        repaired=tuple(repaired),
        not_a_start="" if start is not None or is_hidden else " ".join(text[168:184].split()),
        has_gaps=bytes(header[192:197]) in DISCONTINUOUS,
    )


def _places(signals: int) -> list[list[slice]]:
    """Return the position of each field of each signal, as [field][signal]."""
    places: list[list[slice]] = []
    begin = FIXED
    for width in WIDTHS:
        places.append([slice(begin + number * width, begin + (number + 1) * width) for number in range(signals)])
        begin += signals * width
    return places


def _plain_number(field: bytes) -> bytes:
    return field.replace(b"\0", b" ").replace(b",", b".")


def _whole(path: str, what: str, field: bytes | bytearray) -> int:
    return int(_number(path, what, field))


def _number(path: str, what: str, field: bytes | bytearray) -> Fraction:
    """Parse a number of the header, such as 1, 0.5 or 1e3."""
    text = field.decode("latin-1").strip()
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise RecordError(f"{path}: its header has {text!r} for the {what}") from None
    if abs(number) > LARGEST or number.denominator > LARGEST:
        raise RecordError(f"{path}: its header has {text!r} for the {what}, which is not believed")
    return number


def _start(header: str) -> datetime | None:
    """Return the start date of EDF+, with four digits of the year, or else that of EDF, from 1985 to 2084."""
    clock = re.fullmatch(r"\s*(\d{1,2})\D(\d{1,2})\D(\d{1,2})\s*", header[176:184])
    day = re.fullmatch(r"\s*(\d{1,2})\D(\d{1,2})\D(\d{1,2})\s*", header[168:176])
    if header.startswith(NO_DATE, 88):  # what stands in the short field then is no date
        return None
    long = re.match(r"Startdate (\d{1,2})-([A-Z]{3})-(\d{4})", header[88:168])
    try:
        if long:
            when = date(int(long[3]), MONTHS.index(long[2]) + 1, int(long[1]))
        elif day:
            year = int(day[3])
            when = date(year + (1900 if year >= 85 else 2000), int(day[2]), int(day[1]))
        else:
            return None
        return datetime.combine(when, time(int(clock[1]), int(clock[2]), int(clock[3])) if clock else time())
    except ValueError:  # an invalid date does not prevent reading the samples
        return None

"""Writing WFDB piece by piece: samples are appended, and the header is rewritten with their number.

The wfdb library cannot do this: it writes whole records at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .annotation import Annotation
from .new_files import NewFile, replace_file
from .record import PORTION, Record, RecordError, portions
from .scaling import LeadScale, Range, Scaler, octets_of, scales
from .wfdb_annotations import AnnotationFile
from .wfdb_header import DEVICE

_WIDTHS: Final = (2, 3, 4)
"""Bytes of a sample, in formats 16, 24 and 32."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


class WfdbWriter:
    """Writes a WFDB record piece by piece: ``.dat``, ``.hea`` and, with the first annotation, ``.atr``.

    After each ``flush`` the three are consistent, even if the process is killed.

    Args:
        path: path of the record, with or without ``.hea``; none of its files may exist.
        record: the recording, or its beginning; the constructor writes none of its samples.
        reach: the range of its samples.
        is_whole: whether ``record`` is the whole recording.
        comments: comments for the header, besides those of the record.

    Raises:
        RecordError: WFDB does not allow the name, or cannot store the samples.
        OSError: a file exists, or cannot be created.
    """

    suffix: Final = ".hea"

    def __init__(
        self, path: Path, record: Record, reach: Range, *, is_whole: bool = False, comments: Iterable[str] = ()
    ) -> None:
        self.record = record
        self.samples = 0
        self._base = check_name(path)
        self._width, leads = _width(record, reach, is_whole=is_whole)
        self._limit = (1 << (8 * self._width - 1)) - 1
        self._scaler = Scaler(record, leads, -self._limit - 1)
        self._sums = np.zeros(len(leads), np.int64)
        self._first: list[int] | None = None
        device = (f"{DEVICE} {record.device}",) if record.device else ()
        self._comments = tuple(filter(None, map(_one_line, (*device, *record.comments, *comments))))
        self._start = _wall_clock(record.start)
        stated = [record.unit(lead) for lead in range(len(leads))]
        self._units = [_one_line(unit).replace(" ", "_") or "unknown" for unit in stated]
        self._rounded_baselines = [
            abs(float((round(lead.baseline) - lead.baseline) / lead.gain))
            for lead in leads
            if lead.baseline.denominator > 1
        ]
        self._data = NewFile(self._base.with_suffix(".dat"))
        self._notes = AnnotationFile(self._base.with_suffix(".atr"), record.sampling_rate, record.leads)
        self._flushed = 0  # no header is written before the first sample, as every record has samples

    @property
    def files(self) -> tuple[Path, ...]:
        """Paths of the files, the header first."""
        found = [self._base.with_suffix(suffix) for suffix in (".hea", ".dat")]
        return (*found, self._notes.path) if self._notes.is_there else tuple(found)

    @property
    def nbytes(self) -> int:
        """Size of the samples in bytes."""
        return self._data.nbytes

    def fits(self, reach: Range) -> bool:
        """Return True if this record can store samples of this range."""
        return all(
            abs(lead.stored(end)) <= self._limit
            for lead, *ends in zip(self._scaler.leads, reach.low, reach.high, strict=True)
            for end in ends
            if end is not None
        )

    def append(self, record: Record) -> None:
        """Append samples of the same leads. The caller has checked ``fits``."""
        for part in portions(record):
            self._append(self._scaler.stored(part))

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead."""
        for start in range(0, samples, PORTION):
            count = min(samples - start, PORTION)
            self._append(np.full((len(self._sums), count), self._scaler.mark, np.int64))

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Add annotations. Their times count in seconds from the first sample of the record."""
        self._notes.add(annotations)

    def flush(self) -> None:
        """Rewrite the header, so that it includes everything that was appended."""
        self._notes.flush()
        if self._flushed != self.samples:
            self._flushed = self.samples
            replace_file(self._base.with_suffix(".hea"), self._text())

    def close(self) -> tuple[str, ...]:
        """Close the files. Returns a sentence on each thing that could not be stored exactly."""
        self._notes.close()
        self._data.close()
        replace_file(self._base.with_suffix(".hea"), self._text(), sync=True)
        remarks = list(self._scaler.remarks(self.record.leads, self.record.units))
        if self._rounded_baselines:
            worst = max(self._rounded_baselines)
            remarks.append(
                f"baselines are rounded to whole counts, as in WFDB, by {worst:.3g} {self.record.units} at most"
            )
        stated = [self.record.unit(lead) for lead in range(len(self._units))]
        names = zip((*self.record.leads, *stated), (*map(_one_line, self.record.leads), *self._units), strict=True)
        changed = dict.fromkeys((old, new) for old, new in names if old != new)
        remarks += [f"{old!r} is written as {new!r} in the header" for old, new in changed]
        texts = [text for text in (self.record.device, *self.record.comments) if _one_line(text) != text]
        remarks += [f"{text!r} is written as {_one_line(text)!r} in a comment" for text in texts]
        return (*remarks, *self._notes.remarks())

    def abandon(self) -> None:
        """Close the files as they are, after an error."""
        self._notes.abandon()
        self._data.close(sync=False)

    def _append(self, stored: npt.NDArray[np.int64]) -> None:
        if self._first is None and stored.shape[1]:
            self._first = stored[:, 0].tolist()
        self._sums += stored.sum(axis=1)
        self._data.append(octets_of(stored.T, self._width))
        self.samples += stored.shape[1]
        if not self._flushed:
            self.flush()

    def _text(self) -> bytes:
        record, base = self.record, self._base.name
        lines = [f"{base} {len(record.leads)} {_number(record.sampling_rate)} {self.samples}{self._start}"]
        sums = ((self._sums + (1 << 15)) % (1 << 16) - (1 << 15)).tolist()
        for row, (name, lead) in enumerate(zip(record.leads, self._scaler.leads, strict=True)):
            first = self._first[row] if self._first else 0
            gain = f"{_number(float(lead.gain))}({round(lead.baseline)})/{self._units[row]}"
            bits = 8 * self._width
            lines.append(f"{base}.dat {bits} {gain} {bits} 0 {first} {sums[row]} 0 {_one_line(name)}".rstrip())
        lines += [f"# {comment}" for comment in self._comments]
        return ("\n".join(lines) + "\n").encode()


def check_name(path: Path) -> Path:
    """Return the path of a record without its suffix.

    Raises:
        RecordError: WFDB does not allow the name.
    """
    base = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    if not _NAME.fullmatch(base.name):
        raise RecordError(
            f"{path}: the name of a WFDB record may have letters, digits, - and _ only; got {base.name!r}"
        )
    return base


def _width(record: Record, reach: Range, *, is_whole: bool) -> tuple[int, tuple[LeadScale, ...]]:
    """Return bytes per sample and scales of the smallest format that stores all samples exactly, or of the largest."""
    is_open = not is_whole and (record.signal.dtype.kind == "f" or record.signal.dtype.itemsize > 2)
    for width in _WIDTHS[-1:] if is_open else _WIDTHS:
        leads = scales(record, reach, (1 << (8 * width - 1)) - 1, is_whole=is_whole)
        if all(lead.keeps and lead.shift == 0 for lead in leads):
            return width, leads
    return width, leads


def _one_line(text: str) -> str:
    """Remove outer blanks, line breaks and control characters, which header fields cannot contain."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def _wall_clock(start: datetime | None) -> str:
    """Base time and base date, in UTC if the start has a time zone; empty if it is not known."""
    if start is None:
        return ""
    when = start.astimezone(UTC) if start.tzinfo else start
    fraction = f".{when.microsecond:06}".rstrip("0") if when.microsecond else ""
    return f" {when:%H:%M:%S}{fraction} {when.day:02}/{when.month:02}/{when.year:04}"


def _number(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))

"""A recording: samples, calibration and metadata."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .annotation import Annotation
from .mapped import Reading
from .sample_buffer import rows_of

COUNTS = "counts"
"""Units of integer samples without calibration."""

UNKNOWN = "unknown"
"""Units of calibrated samples whose source states none."""

PORTION: Final = 1 << 16
"""Samples of each lead that are processed at a time."""

MARKS_TRIED: Final = 256
"""Counts that are tried as the marker of missing samples before the dtype is widened."""


class RecordError(ValueError):
    """A recording cannot be read, or is invalid. The message names the file, the problem and how to solve it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """A recording: leads that are sampled together at one rate, nearly always in one unit.

    Attributes:
        signal: samples of shape [leads, samples], of up to 64 bits. Integers are ADC counts, floats are physical values
            in ``units``. A large signal that was read from a file may be mapped from it: then it is read-only, and is
            valid as long as nobody shortens the file.
        sampling_rate: sampling rate in Hz.
        leads: names of the leads.
        units: unit of the physical values; "mV" if the source states any voltage, "counts" without calibration.
        gain: ADC counts per unit, for each lead; None if the samples are physical values or have no calibration.
        baseline: ADC count of 0 units, for each lead; None if ``gain`` is.
        source: description of the source, usually a path.
        left_out: names of signals in the source that were not read, such as respiration.
        missing: ADC count of missing samples; None if no sample is missing. In floats, missing samples are NaN.
        start: time of the first sample; None if unknown. Without a time zone if the source states none.
        annotations: annotations in order of time.
        repaired: problems of the source that were repaired, one sentence each.
        device: what recorded it, such as manufacturer and model; empty if unknown.
        comments: comments of the source, one line each.
        lead_units: unit of each lead if they differ, as of respiration beside an ECG; then ``units`` is that of the
            ECG. None if all leads are in ``units``. WFDB, EDF and BDF can be written with it.

    Raises:
        RecordError: the attributes contradict each other.
    """

    signal: npt.NDArray[Any]
    sampling_rate: float
    leads: tuple[str, ...]
    units: str = "mV"
    gain: tuple[float, ...] | None = None
    baseline: tuple[float, ...] | None = None
    source: str = ""
    left_out: tuple[str, ...] = ()
    missing: int | None = None
    start: datetime | None = None
    annotations: tuple[Annotation, ...] = ()
    repaired: tuple[str, ...] = ()
    device: str = ""
    comments: tuple[str, ...] = ()
    lead_units: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if problem := self._signal_problem() or self._calibration_problem() or self._missing_problem():
            raise RecordError(f"{self.source or 'record'}: {problem}")
        object.__setattr__(self, "sampling_rate", _plain(self.sampling_rate))
        if self.gain is not None and self.baseline is not None:
            object.__setattr__(self, "gain", tuple(map(float, self.gain)))
            object.__setattr__(self, "baseline", tuple(map(_plain, self.baseline)))

    def _signal_problem(self) -> str | None:
        signal = self.signal
        if signal.ndim != 2 or signal.dtype.kind not in "iuf" or signal.dtype.itemsize > 8:
            form = f"{signal.dtype} of shape {list(signal.shape)}"
            return f"the signal must be [leads, samples] integers or floats of at most 64 bits, and is {form}"
        if signal.size == 0:
            return "it holds no samples"
        if len(self.leads) != len(signal):
            return f"{len(self.leads)} lead names for {len(signal)} leads"
        if self.lead_units is not None and len(self.lead_units) != len(signal):
            return f"{len(self.lead_units)} units for {len(signal)} leads"
        if not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            return f"the sampling rate must be above 0 Hz, and is {self.sampling_rate:g}"
        return None

    def _calibration_problem(self) -> str | None:
        if self.gain is None and self.baseline is None:
            return None
        if self.gain is None or self.baseline is None:
            return "gain and baseline go together"
        if not self.is_counts:
            return "gain and baseline belong to integer counts, and the signal is physical already"
        if not len(self.gain) == len(self.baseline) == len(self.signal):
            return f"{len(self.gain)} gains and {len(self.baseline)} baselines for {len(self.signal)} leads"
        if 0 in self.gain or not all(map(math.isfinite, (*self.gain, *self.baseline))):
            return "gains must be finite and not zero, baselines finite"
        return None

    def _missing_problem(self) -> str | None:
        if self.missing is None:
            return None
        if not self.is_counts:
            return "a count that stands for missing samples belongs to integers; in floats NaN stands for them"
        limits = np.iinfo(self.signal.dtype)
        if not limits.min <= self.missing <= limits.max:
            return f"missing samples have the count {self.missing}, which is none of {self.signal.dtype}"
        return None

    @property
    def is_counts(self) -> bool:
        """True if the samples are ADC counts, not physical values."""
        return self.signal.dtype.kind in "iu"

    def unit(self, lead: int) -> str:
        """Return the unit of a lead."""
        return self.units if self.lead_units is None else self.lead_units[lead]

    @property
    def samples(self) -> int:
        """Number of samples of each lead."""
        return int(self.signal.shape[1])

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sampling_rate

    def is_missing(self) -> npt.NDArray[np.bool_]:
        """Return which samples are missing, as booleans of shape [leads, samples]."""
        if self.is_counts:
            if self.missing is None:
                return np.zeros(self.signal.shape, np.bool_)
            marked: npt.NDArray[np.bool_] = self.signal == self.missing
            return marked
        return np.isnan(self.signal)

    def physical(self) -> npt.NDArray[np.float64]:
        """Return the samples as physical values in ``units``, as float64 of shape [leads, samples].

        A lead that has a unit of its own in ``lead_units`` is in that one. A value is ``(count - baseline) / gain``, or
        the count itself without calibration. Missing samples are NaN.
        """
        if self.gain is None or self.baseline is None:
            physical = self.signal.astype(np.float64)
        else:
            offset, scale = np.array(self.baseline, np.float64), np.array(self.gain, np.float64)
            physical = (self.signal - offset[:, None]) / scale[:, None]
        if self.missing is not None:
            physical[self.signal == self.missing] = np.nan
        return physical

    def take(self, names: Sequence[str]) -> Record:
        """Return a record of these leads only, in this order.

        Raises:
            RecordError: a name is not that of a lead.
        """
        for name in names:
            if name not in self.leads:
                raise RecordError(f"{self.source}: no lead {name!r} there; it has {', '.join(map(repr, self.leads))}")
        rows = [row for name in names for row, lead in enumerate(self.leads) if lead == name]
        return replace(
            self,
            signal=rows_of(self.signal, rows),
            leads=tuple(self.leads[row] for row in rows),
            gain=self.gain and tuple(self.gain[row] for row in rows),
            baseline=self.baseline and tuple(self.baseline[row] for row in rows),
            lead_units=self.lead_units and tuple(self.lead_units[row] for row in rows),
            left_out=self.left_out + tuple(lead for lead in self.leads if lead not in names),
            annotations=tuple(note for note in self.annotations if note.lead is None or note.lead in names),
        )


def check_one_unit(record: Record, target: str) -> None:
    """Check that all leads of a record are in one unit, for what has one unit for all.

    Args:
        record: the record.
        target: what it is for, such as "CSV".

    Raises:
        RecordError: they are not. The message names the leads of other units.
    """
    if record.lead_units is None:
        return
    other = [lead for lead, unit in zip(record.leads, record.lead_units, strict=True) if unit != record.units]
    if other:
        raise RecordError(
            f"{record.source or 'record'}: {target} has one unit for all leads, and {', '.join(other)} "
            f"{'is' if len(other) == 1 else 'are'} not in {record.units}; take() the leads of one unit, or write WFDB"
        )


def portion(record: Record, start: int, stop: int) -> Record:
    """Return a record with these samples only. Everything else is the same."""
    return replace(record, signal=record.signal[:, start:stop])


def portions(record: Record) -> Iterator[Record]:
    """Yield the record in portions of ``PORTION`` samples, so that a mapped one is never in memory as a whole."""
    reading = Reading(record.signal)
    for start in range(0, record.samples, PORTION):
        yield replace(record, signal=reading.samples(start, start + PORTION))


def missing_samples(record: Record) -> int:
    """Count the missing samples of all leads."""
    if record.is_counts and record.missing is None:
        return 0
    missing = 0
    for part in portions(record):
        if record.is_counts or np.isnan(part.signal.min()):  # the minimum takes less time than the count
            missing += int(np.count_nonzero(part.is_missing()))
    return missing


def has_missing(record: Record) -> bool:
    """Return whether a sample of the record is missing."""
    return any(part.is_missing().any() for part in portions(record))


def _plain(number: float) -> float:
    """Convert an integral number to int, so that 360 Hz is printed and packed as 360."""
    return int(number) if float(number).is_integer() and abs(number) < 1 << 63 else float(number)


def narrowest(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert counts to the smallest of int16, int32 and int64 that can represent them."""
    return counts.astype(_narrowest_dtype(counts, spare=0))


def with_missing(counts: npt.NDArray[Any], is_missing: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], int | None]:
    """Mark all missing samples by one count.

    Args:
        counts: integers of any shape; the values of missing samples are ignored.
        is_missing: which samples are missing, of the same shape.

    Returns:
        The counts in the smallest of int16, int32 and int64 whose minimum no sample has, with that minimum for missing
        samples; and that minimum. If no sample is missing, the counts as ``narrowest`` returns them, and None.
    """
    if not is_missing.any():
        return narrowest(counts), None
    there = np.where(is_missing, 0, counts)
    dtype = _narrowest_dtype(there, spare=1)
    mark = int(np.iinfo(dtype).min)
    marked = there.astype(dtype)
    marked[is_missing] = mark
    return marked, mark


def mark_missing(record: Record, is_missing: npt.NDArray[np.bool_]) -> Record:
    """Mark the missing samples of a record of counts by a count that no sample has.

    Args:
        record: the record, whose signal can be written to. It is changed.
        is_missing: which samples are missing, [leads, samples]; their counts are ignored.

    Returns:
        The record with its own count of missing samples, if it has one that no sample has; or else with another count
        near an end of its dtype; or, if samples have those, in a wider dtype.
    """
    signal = record.signal
    there = signal[~is_missing]
    for mark in marks_to_try(record.missing, signal.dtype):
        if not (there == mark).any():
            signal[is_missing] = mark
            return replace(record, missing=int(mark))
    wider, mark_of_wider = with_missing(signal, is_missing)
    return replace(record, signal=wider, missing=mark_of_wider)


def marks_to_try(given: int | None, dtype: np.dtype[Any]) -> Iterator[int]:
    """Yield candidates for the count of missing samples: the one of the record, then from an end of the dtype."""
    if given is not None:
        yield given
    limits = np.iinfo(dtype)
    step, first = (-1, limits.max) if dtype.kind == "u" else (1, limits.min)
    yield from (int(first) + step * number for number in range(min(MARKS_TRIED, int(limits.max) - int(limits.min) + 1)))


def _narrowest_dtype(counts: npt.NDArray[Any], spare: int) -> type[np.signedinteger[Any]]:
    low, high = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min + spare <= low and high <= limits.max:
            return dtype
    return np.int64

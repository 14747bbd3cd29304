"""Converting samples to the integers that a format stores, exactly if they fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .mapped import Reading
from .record import PORTION, Record, portions

GAINS: Final = (1000, 200, 100, 400, 500, 800, 250, 1024, 2000, 2500, 5000, 10_000, 20_000, 100_000, 1_000_000)
"""Common gains of converters in counts per unit, tried in this order for physical values that may be whole counts."""

FINEST: Final = 1_000_000_000
"""Largest gain for physical values, in counts per unit."""

COMMON_GAIN: Final = 1000
"""Gain for physical values that are not known in advance, in counts per unit: 1 µV per count if the unit is mV."""

FINE_GAIN: Final = 1_000_000
"""The same for a format with enough bits: 1 nV per count."""

SPARE: Final = 4
"""Factor by which later samples may exceed the first ones."""

FARTHEST: Final = 8
"""Largest shift of the samples of a lead, in multiples of the largest stored count."""


@dataclass(frozen=True, eq=False, slots=True)
class Range:
    """The least and the largest sample of each lead; None for a lead whose samples are all missing.

    Attributes:
        low: [leads], as Python numbers, which hold 64-bit integers exactly.
        high: the same.
    """

    low: tuple[float | None, ...]
    high: tuple[float | None, ...]

    @classmethod
    def of(cls, record: Record) -> Range:
        """Range of the samples of a record, without missing and infinite ones."""
        nothing = (None,) * len(record.leads)
        found = cls(nothing, nothing)
        for part in portions(record):
            ends = [_ends(row[there]) for row, there in zip(part.signal, _is_there(part), strict=True)]
            found = found.joined(cls(tuple(low for low, _ in ends), tuple(high for _, high in ends)))
        return found

    def joined(self, other: Range) -> Range:
        """Return the smallest range that contains both."""
        lows = [_of_both(min, *pair) for pair in zip(self.low, other.low, strict=True)]
        highs = [_of_both(max, *pair) for pair in zip(self.high, other.high, strict=True)]
        return Range(tuple(lows), tuple(highs))


def _is_there(record: Record) -> npt.NDArray[np.bool_]:
    """Which samples are neither missing nor infinite, [leads, samples]."""
    if record.is_counts:
        return ~record.is_missing()
    return np.isfinite(record.signal)


def _ends(there: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    return (there.min().item(), there.max().item()) if there.size else (None, None)


def _of_both(choose: Any, one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else choose(one, other)


@dataclass(frozen=True, slots=True)
class LeadScale:
    """How one lead is stored: ``round((sample - shift) * factor)``.

    Attributes:
        shift: count that is subtracted.
        factor: stored counts per count, or per unit for physical values; 1 if counts are stored unchanged.
        gain: stored counts per unit.
        baseline: stored count of 0 units.
        keeps: whether all samples known so far are stored exactly.
    """

    shift: int
    factor: Fraction
    gain: Fraction
    baseline: Fraction
    keeps: bool

    def stored(self, value: float) -> int:
        """Return the stored count of a sample."""
        return round((Fraction(value) - self.shift) * self.factor)


def scales(record: Record, reach: Range, limit: int, *, is_whole: bool) -> tuple[LeadScale, ...]:
    """Choose a scale for each lead.

    Args:
        record: the recording, or its beginning.
        reach: the range that must fit.
        limit: the largest count that the format stores; the least is ``-limit``.
        is_whole: whether ``record`` is the whole recording. If not, the scales leave room for larger samples.

    Raises:
        RecordError: no scale holds the samples.
    """
    if not record.is_counts:
        return tuple(
            _of_floats(record, row, low, high, limit, is_whole=is_whole)
            for row, (low, high) in enumerate(zip(reach.low, reach.high, strict=True))
        )
    return tuple(
        _of_counts(record, row, low, high, limit, is_whole=is_whole)
        for row, (low, high) in enumerate(zip(reach.low, reach.high, strict=True))
    )


def _of_counts(
    record: Record, row: int, low: float | None, high: float | None, limit: int, *, is_whole: bool
) -> LeadScale:
    gain = Fraction(1) if record.gain is None else Fraction(str(record.gain[row]))
    baseline = Fraction(0) if record.baseline is None else Fraction(str(record.baseline[row]))
    first, last = int(low or 0), int(high or 0)
    if not is_whole:
        spare, info = (SPARE - 1) * max(abs(first), abs(last)), np.iinfo(record.signal.dtype)
        # no sample is beyond the dtype, and its least count usually marks missing samples
        wide = min(first, max(first - spare, int(info.min) + 1)), max(last, min(last + spare, int(info.max)))
        scale = _of_range(*wide, gain, baseline, limit)
        if scale.keeps:
            return scale
        exact = _of_range(first, last, gain, baseline, limit)
        return exact if exact.keeps else scale
    return _of_range(first, last, gain, baseline, limit)


def _of_range(first: int, last: int, gain: Fraction, baseline: Fraction, limit: int) -> LeadScale:
    """Store counts unchanged if they fit, else shifted if their range fits, else halved until they fit."""
    if -limit <= first and last <= limit:
        return LeadScale(0, Fraction(1), gain, baseline, keeps=True)
    shift = (first + last + 1) // 2
    if abs(shift) > FARTHEST * limit:  # too far from zero for the few digits of a header
        shift = 0
    factor = Fraction(1)
    while (last - shift) * factor > limit or (first - shift) * factor < -limit:
        factor /= 2
    return LeadScale(shift, factor, gain * factor, (baseline - shift) * factor, keeps=factor == 1)


def _of_floats(
    record: Record, row: int, low: float | None, high: float | None, limit: int, *, is_whole: bool
) -> LeadScale:
    peak = max(abs(low or 0.0), abs(high or 0.0))
    if is_whole:
        for gain in _gains(limit, peak):
            if _is_kept(record, row, gain):
                return LeadScale(0, gain, gain, Fraction(0), keeps=True)
    else:
        peak *= SPARE
        for common in (FINE_GAIN, COMMON_GAIN):
            if peak * common <= limit:
                return LeadScale(0, Fraction(common), Fraction(common), Fraction(0), keeps=False)
    gain = _round_gain(limit, peak)
    return LeadScale(0, gain, gain, Fraction(0), keeps=peak == 0)


def _gains(limit: int, peak: float) -> Iterator[Fraction]:
    for gain in GAINS:
        if peak * gain <= limit:
            yield Fraction(gain)


def _is_kept(record: Record, row: int, gain: Fraction) -> bool:
    """Return True if each value of a lead is exactly an integral count at this gain, in the precision of its dtype."""
    per_unit = float(gain)
    reading = Reading(record.signal[row : row + 1])
    for start, stop in pairwise((0, 1024, *range(PORTION, record.samples, PORTION), record.samples)):
        values = reading.samples(start, stop)
        values = values[np.isfinite(values)]
        if not (_back(values, per_unit) == values).all():
            return False
    return True


def _back(values: npt.NDArray[Any], gain: float) -> npt.NDArray[Any]:
    return (np.rint(values.astype(np.float64) * gain) / gain).astype(values.dtype)


def _round_gain(limit: int, peak: float) -> Fraction:
    """Return the largest gain of 1, 2 or 5 times a power of ten at which the peak fits, up to ``FINEST``."""
    if peak == 0:
        return Fraction(COMMON_GAIN)
    most = min(limit / Fraction(peak), Fraction(FINEST))
    power = Fraction(10) ** (math.floor(math.log10(most)) + 1)
    while True:
        power /= 10
        for digit in (5, 2, 1):
            if digit * power <= most:
                return digit * power


def octets_of(stored: npt.NDArray[np.int64], width: int) -> bytes:
    """Return stored counts as little-endian integers of 2, 3 or 4 bytes, in C order."""
    if width != 3:
        return stored.astype(f"<i{width}").tobytes()
    return np.ascontiguousarray(stored).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


class Scaler:
    """Converts samples to stored counts, and records rounding errors.

    Args:
        record: the recording, or its beginning.
        leads: scale of each lead.
        mark: stored count that marks a missing sample.

    Attributes:
        errors: largest rounding error of each lead, in its units.
        infinite: number of infinite samples, which are stored as missing.
    """

    def __init__(self, record: Record, leads: tuple[LeadScale, ...], mark: int) -> None:
        self.leads = leads
        self.mark = mark
        self.errors = [0.0] * len(leads)
        self.infinite = 0
        self._is_identity = all(lead.factor == 1 and lead.shift == 0 for lead in leads) and record.is_counts
        self._gains = record.gain

    def stored(self, record: Record) -> npt.NDArray[np.int64]:
        """Return the stored counts of a record of the same leads, [leads, samples]."""
        is_missing = record.is_missing()
        if self._is_identity:
            stored = record.signal.astype(np.int64)
        else:
            stored = np.empty(record.signal.shape, np.int64)
            if not record.is_counts:
                infinite = np.isinf(record.signal)
                self.infinite += int(np.count_nonzero(infinite))
                is_missing |= infinite
            for row, lead in enumerate(self.leads):
                stored[row] = self._row(row, lead, record.signal[row], is_missing[row])
        stored[is_missing] = self.mark
        return stored

    def _row(
        self, row: int, lead: LeadScale, samples: npt.NDArray[Any], is_missing: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        if samples.dtype.kind == "f":
            there = np.where(is_missing, 0.0, samples.astype(np.float64))
            scaled = np.rint(there * float(lead.factor))
            back = (scaled / float(lead.factor)).astype(samples.dtype).astype(np.float64)
            self._note_error(row, np.abs(back - there), 1.0)
            return scaled.astype(np.int64)
        # differences of 64-bit integers may need 65 bits; they are rounded anyway
        moved = samples.astype(np.int64) - lead.shift if samples.dtype.itemsize < 8 else samples - float(lead.shift)
        if lead.factor == 1:
            return moved.astype(np.int64)
        scaled = np.rint(moved * float(lead.factor))
        error = np.where(is_missing, 0.0, np.abs(scaled / float(lead.factor) - moved))
        self._note_error(row, error, 1.0 if self._gains is None else abs(self._gains[row]))
        return scaled.astype(np.int64)

    def _note_error(self, row: int, error: npt.NDArray[np.float64], per_unit: float) -> None:
        self.errors[row] = max(self.errors[row], float(np.max(error, initial=0.0)) / per_unit)

    def remarks(self, names: tuple[str, ...], units: str) -> tuple[str, ...]:
        """Return a sentence for each kind of values that could not be stored exactly."""
        rounded = {name: error for name, error in zip(names, self.errors, strict=True) if error > 0}
        remarks = []
        if rounded:
            worst = max(rounded.values())
            remarks.append(f"samples of {', '.join(rounded)} are rounded, by {worst:.3g} {units} at most")
        if self.infinite:
            remarks.append(f"{self.infinite:,} infinite samples are written as missing")
        return tuple(remarks)

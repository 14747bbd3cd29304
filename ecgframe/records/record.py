"""What every reader returns: the samples of one recording and what turns counts into millivolts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

COUNTS = "counts"
"""The units of integer samples whose calibration is not known."""


class RecordError(ValueError):
    """A recording that cannot be read, or is no recording. The message names the file, the place and the way out."""


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One recording: leads sampled together at one rate, in one unit.

    Attributes:
        signal: [leads, samples]; integers are ADC counts, floats are physical values in ``units``.
        sampling_rate: samples a second, in Hz.
        leads: the name of each lead.
        units: of the physical values; "mV" whenever the source names a voltage, "counts" when nothing is known.
        gain: counts per unit, one a lead; None when the signal is physical already or its calibration is unknown.
        baseline: the count that stands for zero, one a lead; None together with ``gain``.
        source: where it came from, for people: a path, or a word.
        left_out: names of signals that stood in the source and were not taken, such as respiration.

    Raises:
        RecordError: the parts do not fit one another.
    """

    signal: npt.NDArray[Any]
    sampling_rate: float
    leads: tuple[str, ...]
    units: str = "mV"
    gain: tuple[float, ...] | None = None
    baseline: tuple[float, ...] | None = None
    source: str = ""
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problem := self._signal_problem() or self._calibration_problem():
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

    @property
    def is_counts(self) -> bool:
        """Whether the samples are integers from a converter rather than physical values."""
        return self.signal.dtype.kind in "iu"

    @property
    def samples(self) -> int:
        """Samples of each lead."""
        return int(self.signal.shape[1])

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.sampling_rate

    def physical(self) -> npt.NDArray[np.float64]:
        """The samples as physical values in ``units``, ``(count - baseline) / gain``: float64, [leads, samples].

        Counts of unknown calibration come back as they are. A count by which a format marks a missing sample is
        converted like any other.
        """
        if self.gain is None or self.baseline is None:
            return self.signal.astype(np.float64)
        offset, scale = np.array(self.baseline, np.float64), np.array(self.gain, np.float64)
        physical: npt.NDArray[np.float64] = (self.signal - offset[:, None]) / scale[:, None]
        return physical

    def take(self, names: Sequence[str]) -> Record:
        """The record of these leads alone, in this order.

        Raises:
            RecordError: no lead has that name.
        """
        for name in names:
            if name not in self.leads:
                raise RecordError(f"{self.source}: no lead {name!r} there; it has {', '.join(map(repr, self.leads))}")
        rows = [row for name in names for row, lead in enumerate(self.leads) if lead == name]
        return replace(
            self,
            signal=self.signal[rows],
            leads=tuple(self.leads[row] for row in rows),
            gain=self.gain and tuple(self.gain[row] for row in rows),
            baseline=self.baseline and tuple(self.baseline[row] for row in rows),
            left_out=self.left_out + tuple(lead for lead in self.leads if lead not in names),
        )


def _plain(number: float) -> float:
    """A whole number as int, so that 360 Hz stays 360 wherever it is printed or packed."""
    return int(number) if float(number).is_integer() else float(number)


def narrowest(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same counts in the first of int16, int32 and int64 that holds them all."""
    low, high = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return counts.astype(dtype)
    return counts.astype(np.int64)

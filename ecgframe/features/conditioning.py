"""Converts millivolts to integral microvolts at about 250 Hz, and removes pacing spikes and steps at gaps.

All later stages compute with integers, so that the results do not depend on the order of additions or the language.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .pacing_spikes import PacingSpike, PacingSpikes

WORKING_RATE = 250
"""Desired working rate in Hz. Samples are averaged in groups of an integral size that comes closest to this rate."""
MEAN = 0.02
"""Length of the shortest mean in seconds: one period of 50 Hz."""
MEANS_IN_A_HOP = 3
"""Number of such means that are processed at once: 60 ms, however the samples are fed."""
LARGEST = 1_000_000
"""Largest value in microvolts; others are clipped."""
FAR = 100_000
"""Distance from zero in microvolts beyond which a lead gets a new zero, because an electrode was moved."""
BRIDGED = 0.02
"""Longest run of missing samples in seconds that is replaced by the last value; a longer one is a gap."""
SPIKE = 0.003
"""Longest pacing spike in seconds. Every deflection that is not longer is removed."""
SPIKE_RATE = 200
"""Sampling rate in Hz below which spikes are not removed, because a single sample may be the top of an R wave."""
BLANKED = 0.012
"""Seconds of signal that are replaced after the start of a marked pacing spike."""


class Conditioner:
    """Converts the raw samples of one hop to working samples, for all leads.

    Pacing spikes are removed by an opening and a closing (Chu and Delp, IEEE Trans. Biomed. Eng. 36:262, 1989), which
    remove deflections of either sign that are narrower than the operators, and do not change wider ones.
    """

    def __init__(self, sampling_rate: float, leads: int) -> None:
        self.factor = max(1, int(sampling_rate / WORKING_RATE + 0.5))
        self.rate = sampling_rate / self.factor
        self.mean = max(1, int(MEAN * self.rate + 0.5))
        """Number of working samples in 20 ms."""
        self.hop = MEANS_IN_A_HOP * self.mean
        width = int(SPIKE * sampling_rate) + 1 if sampling_rate >= SPIKE_RATE else 0
        self._reach = width + 1
        self.delay = 2 * width
        """Delay of the output in raw samples."""
        self._bridged = max(1, int(BRIDGED * sampling_rate + 0.5))
        self.blanked = max(1, int(BLANKED * sampling_rate + 0.5))
        """Number of raw samples that are replaced after the start of a marked spike."""
        self._tail = np.zeros((leads, 4 * width), np.int64)
        self._last = np.zeros(leads, np.int64)
        self._offset = np.zeros(leads, np.int64)
        self._missing = np.full(leads, self._bridged + 1, np.int64)
        self._spikes = PacingSpikes(sampling_rate, leads)
        self._worked = 0
        """Number of raw samples so far."""

    def work(
        self, raw: NDArray[np.float32], blanked: Iterable[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[PacingSpike]]:
        """Convert one hop.

        Args:
            raw: samples in mV, [leads, hop * factor]; NaN for missing ones.
            blanked: positions in ``raw`` of samples to replace, because a pacing spike is marked there.

        Returns:
            The working samples in microvolts, [leads, hop], relative to a zero of each lead; the lowest and the highest
            value in microvolts, [leads, 2]; the number of raw samples in gaps, [leads]; and the pacing spikes that are
            certain now.
        """
        valid = np.abs(raw) < 1e6
        microvolts = (
            np.floor(np.where(valid, raw, 0.0).astype(np.float64) * 1000 + 0.5).clip(-LARGEST, LARGEST).astype(np.int64)
        )
        extremes = np.stack(
            [np.where(valid, microvolts, LARGEST + 1).min(1), np.where(valid, microvolts, -LARGEST - 1).max(1)], axis=1
        )
        for sample in blanked:
            valid[:, sample] = False
        lost = np.zeros(len(raw), np.int64)
        shifted = microvolts - self._offset[:, None]
        plain = valid.all(1) & (self._missing == 0) & (np.abs(shifted) <= FAR).all(1)
        for lead in np.flatnonzero(~plain).tolist():
            lost[lead] = self._bridge(lead, microvolts[lead], valid[lead], shifted[lead])
        self._last[plain] = shifted[plain, -1]
        clean, spikes = self._without_spikes(shifted)
        return clean.reshape(len(raw), self.hop, self.factor).sum(2) // self.factor, extremes, lost, spikes

    def skip(self, samples: int) -> None:
        """Count lost samples, which are not converted."""
        self._worked += samples

    def _bridge(
        self, lead: int, values: NDArray[np.int64], valid: NDArray[np.bool_], bridged: NDArray[np.int64]
    ) -> int:
        """Replace missing samples by the last value, and shift the zero after a gap. Returns the samples in gaps."""
        last, offset, missing = int(self._last[lead]), int(self._offset[lead]), int(self._missing[lead])
        lost = 0
        for sample, (value, is_valid) in enumerate(zip(values.tolist(), valid.tolist(), strict=True)):
            if is_valid:
                if missing > self._bridged:
                    offset = value - last
                    lost += 1
                elif abs(value - offset) > FAR:
                    offset = value
                last, missing = value - offset, 0
            else:
                missing += 1
                lost += missing > self._bridged
            bridged[sample] = last
        self._last[lead], self._offset[lead], self._missing[lead] = last, offset, missing
        return lost

    def _without_spikes(self, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[PacingSpike]]:
        if self._reach == 1:
            return values, []
        count = values.shape[1]
        longer = np.concatenate([self._tail, values], axis=1)
        self._tail = longer[:, count:]
        opened = _running(np.maximum, _running(np.minimum, longer, self._reach), self._reach)
        clean = _running(np.minimum, _running(np.maximum, opened, self._reach), self._reach)
        spikes = self._spikes.find(clean, longer[:, self.delay : self.delay + count] - clean, self._worked - self.delay)
        self._worked += count
        return clean, spikes


def _running(extreme: np.ufunc, values: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Return the extreme of each window of `reach` samples; the result is shorter by `reach - 1`."""
    length = values.shape[1] - reach + 1
    result = values[:, :length]
    for shift in range(1, reach):
        result = extreme(result, values[:, shift : shift + length])
    return result

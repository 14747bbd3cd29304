"""From millivolts to whole microvolts at about 250 Hz, without pacing spikes and without steps at gaps.

All that follows counts in whole numbers, which have one sum in whatever order and language they are added up.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WORKING_RATE = 250
"""Hz that the samples are averaged down to, as near as a whole factor comes."""
MEAN = 0.02
"""Seconds of the shortest mean that is taken of the working samples: one period of 50 Hz."""
MEANS_IN_A_HOP = 3
"""What is looked at in one go: 60 ms, whatever the samples are fed in."""
LARGEST = 1_000_000
"""Microvolts beyond which a value is cut."""
FAR = 100_000
"""Microvolts from where a lead began at which it begins anew: an electrode has been moved."""
BRIDGED = 0.02
"""Seconds of missing samples that are bridged by the last value; more is a gap."""
SPIKE = 0.003
"""Seconds that a pacing spike lasts at the most; whatever is as short is taken out."""
SPIKE_RATE = 200
"""Hz below which one sample is longer than a spike, and may be the top of an R wave."""
BLANKED = 0.012
"""Seconds that are bridged from a pacing spike on that the device has marked."""


class Conditioner:
    """Takes the raw samples of one hop, and gives the working samples of all leads.

    Pacing spikes are taken out by an opening and a closing (Chu and Delp, IEEE Trans. Biomed. Eng. 36:262, 1989), which
    cut off what is narrower than they are, of either sign, and leave what is wider as it is.
    """

    def __init__(self, sampling_rate: float, leads: int) -> None:
        self.factor = max(1, int(sampling_rate / WORKING_RATE + 0.5))
        self.rate = sampling_rate / self.factor
        self.mean = max(1, int(MEAN * self.rate + 0.5))
        """Working samples of 20 ms."""
        self.hop = MEANS_IN_A_HOP * self.mean
        width = int(SPIKE * sampling_rate) + 1 if sampling_rate >= SPIKE_RATE else 0
        self._reach = width + 1
        self.delay = 2 * width
        """Raw samples by which what comes out is late."""
        self._bridged = max(1, int(BRIDGED * sampling_rate + 0.5))
        self.blanked = max(1, int(BLANKED * sampling_rate + 0.5))
        """Raw samples to be bridged from a marked spike on."""
        self._tail = np.zeros((leads, 4 * width), np.int64)
        self._last = np.zeros(leads, np.int64)
        self._offset = np.zeros(leads, np.int64)
        self._missing = np.full(leads, self._bridged + 1, np.int64)

    def work(
        self, raw: NDArray[np.float64], blanked: Iterable[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What one hop of samples in mV, [leads, hop * factor], comes to.

        Returns:
            The working samples in microvolts, [leads, hop], each lead from a zero of its own; the lowest and highest
            value there was in microvolts, [leads, 2]; and how many raw samples were in a gap, [leads].
        """
        valid = np.abs(raw) < 1e6
        microvolts = np.floor(np.where(valid, raw, 0.0) * 1000 + 0.5).clip(-LARGEST, LARGEST).astype(np.int64)
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
        clean = self._without_spikes(shifted)
        return clean.reshape(len(raw), self.hop, self.factor).sum(2) // self.factor, extremes, lost

    def _bridge(
        self, lead: int, values: NDArray[np.int64], valid: NDArray[np.bool_], bridged: NDArray[np.int64]
    ) -> int:
        """Hold the last value where one is missing, and go on from it after a gap. Gives the samples in the gap."""
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

    def _without_spikes(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._reach == 1:
            return values
        longer = np.concatenate([self._tail, values], axis=1)
        self._tail = longer[:, values.shape[1] :]
        opened = _running(np.maximum, _running(np.minimum, longer, self._reach), self._reach)
        return _running(np.minimum, _running(np.maximum, opened, self._reach), self._reach)


def _running(extreme: np.ufunc, values: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """The extreme of each sample and those before it, `reach` in all; shorter by `reach - 1`."""
    length = values.shape[1] - reach + 1
    result = values[:, :length]
    for shift in range(1, reach):
        result = extreme(result, values[:, shift : shift + length])
    return result

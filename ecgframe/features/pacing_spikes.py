"""Detection of pacing spikes in what the conditioner removes: they are much larger than noise or the top of a QRS."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = 250
"""Smallest amplitude of a spike in the removed signal, in microvolts."""
OUT_OF_NOISE = 5
"""The same, relative to the largest amplitude that is usually removed in a hop."""
NOISE_HOPS = 8
"""Number of hops (0.48 s) whose median is the usual amplitude."""
WIDTH = 0.003
"""Seconds on both sides that may belong to the same spike."""
ALONE = 3
"""Smallest amplitude of a spike, relative to the other removed peaks around it: muscle noise has many peaks."""
AROUND = 0.012
"""Seconds on both sides in which the range of the remaining signal must be at most twice the spike. Around the top of a
QRS it is larger."""
SAME = 0.01
"""Seconds within which spikes in several leads are the same spike."""
KEPT = 256

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PacingSpike:
    """A pacing spike, or a glitch that is as short and steep. The detector removes it before it detects beats."""

    sample: int
    """Number of the sample, counted from the first sample fed or skipped; exact to 3 ms."""
    lead: int
    """Index of the lead in which it is largest."""
    amplitude: float
    """Amplitude in mV as sampled, negative if it points down. The real amplitude may be much larger."""


class PacingSpikes:
    """Detects pacing spikes in what the conditioner removed, in all leads together."""

    def __init__(self, sampling_rate: float, leads: int) -> None:
        self._around = max(2, int(AROUND * sampling_rate + 0.5))
        self._width = int(WIDTH * sampling_rate) + 1
        self._same = max(1, int(SAME * sampling_rate + 0.5))
        self._clean: Integers = np.zeros((leads, 2 * self._around), np.int64)
        self._cut: Integers = np.zeros((leads, 2 * self._around), np.int64)
        self._largest: deque[Integers] = deque(maxlen=NOISE_HOPS)
        """Largest amplitude that was removed in each hop, [leads]."""
        self._last = -self._same - 1
        self.delay = self._around
        """Delay of the detection, in raw samples."""

    def find(self, clean: Integers, cut: Integers, first: int) -> list[PacingSpike]:
        """Process one hop.

        Args:
            clean: the signal without spikes, in microvolts, [leads, samples].
            cut: the removed signal, in microvolts, [leads, samples].
            first: number of the first of these samples.
        """
        count, around = clean.shape[1], self._around
        clean = np.concatenate([self._clean, clean], axis=1)
        cut = np.concatenate([self._cut, cut], axis=1)
        self._clean, self._cut = clean[:, count:], cut[:, count:]
        self._largest.append(np.abs(cut[:, -count:]).max(1))
        if max(int(np.max(largest)) for largest in list(self._largest)[-2:]) < SMALLEST:
            return []
        sizes = np.abs(cut)
        large = sizes[:, around : around + count]
        found = []
        for lead in np.flatnonzero(large.max(1) >= SMALLEST).tolist():
            usual = sorted(int(largest[lead]) for largest in self._largest)[len(self._largest) // 2]
            for at in np.flatnonzero(large[lead] >= max(SMALLEST, OUT_OF_NOISE * usual)).tolist():
                size, window = int(large[lead, at]), slice(at, at + 2 * around + 1)
                others = sizes[lead, window].copy()
                others[max(0, around - self._width) : around + self._width + 1] = 0
                if 2 * size >= int(np.ptp(clean[lead, window])) and size >= ALONE * int(others.max()):
                    found.append((first - around + at, -size, lead, int(cut[lead, at + around])))
        return self._merged(found)

    def _merged(self, found: list[tuple[int, int, int, int]]) -> list[PacingSpike]:
        """Return the largest of spikes that are close together. Spikes close after a reported one belong to it."""
        spikes: list[PacingSpike] = []
        while found:
            begin = min(sample for sample, *_ in found)
            together = [one for one in found if one[0] <= begin + self._same]
            found = [one for one in found if one[0] > begin + self._same]
            sample, _, lead, cut = min(together, key=lambda one: (one[1], one[0], one[2]))
            if begin > self._last + self._same:
                spikes.append(PacingSpike(max(0, sample), lead, cut / 1000))
            self._last = max(one[0] for one in together)
        return spikes

"""Test of three seconds of a lead for ventricular fibrillation.

Fibrillation has no isoelectric stretches (Thakor et al., IEEE Trans. Biomed. Eng. 37:837, 1990; Arafat et al., Signal
Image Video Process. 5:331, 2011), no steep complexes, and most of its power between 3 and 9 Hz (Kuo and Dillman,
Computers in Cardiology 1978:347). Unlike ventricular tachycardia it is not periodic, which autocorrelation shows (Chen
et al., IEEE Trans. Biomed. Eng. 34:909, 1987).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SECONDS = 3.0
"""Seconds of signal that are examined."""
WIDE = 4
"""Blocks of 20 ms in each of the two means whose difference is the band-pass of 3 to 9 Hz: 80 ms."""
SMALLEST = 0.09
"""Smallest mean amplitude in this band, in mV."""
LOWEST, HIGHEST = 3.0, 9.5
"""Frequencies of fibrillation in Hz: lowest and highest."""
STEEP = 1.2
"""The signal has QRS complexes from this ratio on: steepest change in 20 ms to largest amplitude in the band."""
STRETCHES = 6
"""Number of parts for each of which this ratio is computed. QRS complexes in two of them are enough."""
ISOELECTRIC = 0.15
"""Range of a stretch of 100 ms below which it is isoelectric, relative to the range of the signal."""
STRETCH = 5
"""Number of blocks in such a stretch."""
PAUSES = 0.3
"""Fraction of isoelectric stretches from which the signal has pauses."""
PAUSES_OF_IRREGULAR = 0.45
"""The same if the detected beats come at irregular intervals."""
REGULAR = 0.6
"""The rhythm is regular from this correlation on, with the waves one and two periods before."""
FAST, VERY_REGULAR = 3.6, 0.85
"""Frequency in Hz from which a regular rhythm needs a higher correlation, and that correlation."""
FLUTTER = 4.4
"""Frequency in Hz above which waves do not count as beats, however regular they are."""
SHORTEST_PERIOD, LONGEST_PERIOD = 6, 50
"""Shortest and longest period, in blocks."""


class FibrillationTest:
    """Keeps the last seconds of all leads in blocks of 20 ms, and tests one lead on request."""

    def __init__(self, block_rate: float, mean: int, leads: int) -> None:
        self._rate = block_rate
        self._scale = 1000.0 * mean
        self._count = int(SECONDS * block_rate + 0.5)
        self._blocks = np.zeros((leads, self._count + 2 * WIDE), np.int64)

    def take(self, blocks: NDArray[np.int64]) -> None:
        """Process the blocks of one hop: sums of `mean` working samples, [leads, blocks]."""
        self._blocks = np.concatenate([self._blocks[:, blocks.shape[1] :], blocks], axis=1)

    def looks_so(self, lead: int, is_irregular: bool) -> bool:
        """Return True if the last seconds of a lead look like fibrillation.

        Args:
            lead: index of the lead.
            is_irregular: the beats that were detected in it come at irregular intervals. In this case fast waves do not
                count as a rhythm, even if they are regular.
        """
        blocks = self._blocks[lead]
        total = blocks.cumsum()
        means = total[WIDE:] - total[:-WIDE]
        band = means[WIDE:] - means[:-WIDE]
        if int(np.abs(band).sum()) < SMALLEST * WIDE * self._scale * len(band):
            return False
        negative = band < 0
        frequency = int((negative[1:] != negative[:-1]).sum()) / 2 / (len(band) / self._rate)
        if not LOWEST <= frequency <= HIGHEST:
            return False
        recent = blocks[-self._count :]
        if self._steepness(recent, band) >= STEEP:
            return False
        pauses = self._pauses(recent)
        if is_irregular and frequency >= FAST and pauses < PAUSES_OF_IRREGULAR:
            return True
        if pauses >= PAUSES:
            return False
        return frequency > FLUTTER or self._regularity(band) < (REGULAR if frequency < FAST else VERY_REGULAR)

    def _steepness(self, blocks: NDArray[np.int64], band: NDArray[np.int64]) -> float:
        """Return the ratio that ``STEEP`` limits: the second largest of all parts, each half a second long."""
        steps = np.abs(blocks[1:] - blocks[:-1])
        length = self._count // STRETCHES
        ratios = []
        for stretch in range(STRETCHES):
            part = slice(stretch * length, (stretch + 1) * length)
            ratios.append(int(steps[part].max()) / max(1, int(np.abs(band[part]).max())) * WIDE)
        return sorted(ratios)[-2]

    def _pauses(self, blocks: NDArray[np.int64]) -> float:
        windows = np.lib.stride_tricks.sliding_window_view(blocks, STRETCH)
        ranges = windows.max(1) - windows.min(1)
        whole = int(np.sort(ranges)[len(ranges) * 9 // 10])
        return int((ranges < ISOELECTRIC * whole).sum()) / len(ranges)

    def _regularity(self, band: NDArray[np.int64]) -> float:
        """Return the correlation with the waves one and two periods before, for the period where it is highest."""
        correlations = [self._correlation(band, lag) for lag in range(SHORTEST_PERIOD, 2 * LONGEST_PERIOD + 2)]
        best = 0.0
        for period in range(SHORTEST_PERIOD, LONGEST_PERIOD + 1):
            second = 2 * period - SHORTEST_PERIOD
            twice = max(correlations[second - 1 : second + 2])
            best = max(best, min(correlations[period - SHORTEST_PERIOD], twice))
        return best

    def _correlation(self, band: NDArray[np.int64], lag: int) -> float:
        one, other = band[lag:], band[:-lag]
        power = int((one * one).sum()) * float(int((other * other).sum()))
        return int((one * other).sum()) / math.sqrt(power) if power > 0 else 0.0

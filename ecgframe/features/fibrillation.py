"""Whether three seconds of a lead look like ventricular fibrillation.

Fibrillation has no isoelectric stretch (Thakor et al., IEEE Trans. Biomed. Eng. 37:837, 1990; Arafat et al., Signal
Image Video Process. 5:331, 2011), no steep complex, and most of its power from 3 to 9 Hz (Kuo and Dillman, Computers in
Cardiology 1978:347); and no period, unlike a ventricular tachycardia (autocorrelation: Chen et al., IEEE Trans. Biomed.
Eng. 34:909, 1987).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SECONDS = 3.0
"""That are looked at."""
WIDE = 4
"""Blocks of 20 ms in either mean of the band-pass of 3 to 9 Hz: 80 ms."""
SMALLEST = 0.09
"""Mean size in mV, in that band, below which it cannot be told."""
LOWEST, HIGHEST = 3.0, 9.5
"""Hz."""
STEEP = 1.2
"""Steepest change in 20 ms, to the largest in the band, from which on there are QRS complexes."""
STRETCHES = 6
"""Of which that is taken; two with QRS complexes are enough."""
ISOELECTRIC = 0.15
"""Of the whole range, that a stretch of 100 ms must pass so as not to be isoelectric."""
STRETCH = 5
"""Blocks in such a stretch."""
PAUSES = 0.3
"""Share of isoelectric stretches from which on there are pauses."""
PAUSES_OF_IRREGULAR = 0.45
"""The same where the beats that are found come at uneven intervals."""
REGULAR = 0.6
"""Correlation with the waves one and two periods before, from which on the rhythm is a regular one."""
FAST, VERY_REGULAR = 3.6, 0.85
"""Hz from which on the correlation must be that high."""
FLUTTER = 4.4
"""Hz above which such waves are no beats that are counted, however regular."""
SHORTEST_PERIOD, LONGEST_PERIOD = 6, 50
"""Blocks."""


class FibrillationTest:
    """Keeps the last seconds of all leads in blocks of 20 ms, and judges one lead when asked."""

    def __init__(self, block_rate: float, mean: int, leads: int) -> None:
        self._rate = block_rate
        self._scale = 1000.0 * mean
        self._count = int(SECONDS * block_rate + 0.5)
        self._blocks = np.zeros((leads, self._count + 2 * WIDE), np.int64)

    def take(self, blocks: NDArray[np.int64]) -> None:
        """Go on by the sums of `mean` working samples, [leads, blocks]."""
        self._blocks = np.concatenate([self._blocks[:, blocks.shape[1] :], blocks], axis=1)

    def looks_so(self, lead: int, is_irregular: bool) -> bool:
        """Whether the last seconds of this lead look like fibrillation.

        Args:
            lead: its index.
            is_irregular: the beats that are found in it come at uneven intervals. Fast waves are no rhythm then,
                however regular they are among themselves.
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
        """The second largest, over half-second stretches, of the steepest change to the largest in the band."""
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
        """The best correlation with the waves one and two periods before, of all periods."""
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

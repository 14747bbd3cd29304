"""Detection of the beginning of a beat before the envelope shows it, so that the heart rate does not fall meanwhile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def first_steep(millivolts: NDArray[np.float32], mean: int, least: float) -> int | None:
    """Return the number of samples after which the signal first has a slope of at least `least`; None if never.

    Args:
        millivolts: one lead. NaN is a missing sample; the sample before it counts instead.
        mean: number of samples in each of the two consecutive means whose difference is the slope.
        least: slope in microvolts, multiplied by `mean`.
    """
    valid = np.abs(millivolts) < 1e6
    if not valid.any():
        return None
    held = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), int(np.argmax(valid))))
    microvolts = np.floor(millivolts[held].astype(np.float64) * 1000 + 0.5).astype(np.int64)
    total = np.concatenate([np.zeros(1, np.int64), microvolts.cumsum()])
    sums = total[mean:] - total[:-mean]
    steep = np.flatnonzero(np.abs(sums[mean:] - sums[:-mean]) >= least)
    return int(steep[0]) + 2 * mean if len(steep) else None

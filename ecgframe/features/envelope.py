"""The slope of each lead over 20 ms, and its envelope: the sum of absolute slopes in 80 ms.

The difference of two consecutive means of 20 ms (the Haar wavelet) is both a derivative and a band-pass of about 8 to
30 Hz, which removes 50 Hz. The sum of its absolute values in a moving window is large at QRS complexes, as in Hamilton,
"Open source ECG analysis", Computers in Cardiology 29:101, 2002.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW = 0.08
"""Length of the moving window in seconds."""
APART = 0.18
"""Smallest distance between two peaks in seconds. Of closer peaks, the higher one counts."""
RISE = 0.04
"""Seconds before a peak in which the envelope must be lower."""
KEPT = 1.0
"""Seconds of signal that are kept."""

Integers = NDArray[np.int64]


class Envelope:
    """The last second of all leads, with slope and envelope; each [leads, samples], the newest sample last."""

    def __init__(self, rate: float, mean: int, leads: int) -> None:
        self.mean = mean
        self.window = max(2, int(WINDOW * rate + 0.5))
        self.apart = max(2, int(APART * rate + 0.5))
        self.rise = max(1, int(RISE * rate + 0.5))
        self._since_peak = np.full(leads, self.apart + 1, np.int64)
        """Samples from the last peak of each lead to the newest sample that is judged."""
        kept = int(KEPT * rate + 0.5) + 1
        self.signal: Integers = np.zeros((leads, kept), np.int64)
        """Working samples in microvolts."""
        self.smooth: Integers = np.zeros((leads, kept), np.int64)
        """Sum of the last `mean` samples."""
        self.slope: Integers = np.zeros((leads, kept), np.int64)
        """Difference between `smooth` and its value `mean` samples before."""
        self.height: Integers = np.zeros((leads, kept), np.int64)
        """The envelope: sum of the absolute values of the last `window` slopes."""
        self.scale = 1000.0 * self.mean
        """Divisor that converts `smooth` and `slope` to millivolts."""
        self.height_scale = self.scale * self.window
        """Divisor that converts `height` to millivolts."""

    def take(self, samples: Integers) -> None:
        """Process the working samples of one hop, [leads, samples]."""
        count, mean = samples.shape[1], self.mean
        self.signal = np.concatenate([self.signal[:, count:], samples], axis=1)
        total = self.signal[:, -count - 2 * mean :].cumsum(1)
        new = total[:, mean:] - total[:, :-mean]
        self.smooth = np.concatenate([self.smooth[:, count:], new[:, -count:]], axis=1)
        self.slope = np.concatenate([self.slope[:, count:], new[:, -count:] - new[:, -count - mean : -mean]], axis=1)
        total = np.abs(self.slope[:, -count - self.window :]).cumsum(1)
        new = total[:, self.window :] - total[:, : -self.window]
        self.height = np.concatenate([self.height[:, count:], new], axis=1)

    def peaks(self, count: int) -> list[tuple[int, int]]:
        """Return the peaks of the envelope that became certain in the last `count` samples.

        After a peak, no value within half of `apart` is higher, and none within `apart` is much higher. It comes more
        than `apart` samples after the previous peak.

        Returns:
            The lead of each peak, and its negative index from the end.
        """
        apart, rise = self.apart, self.rise
        recent = self.height[:, -count - apart - rise :]
        centre = recent[:, rise : rise + count]
        windows = np.lib.stride_tricks.sliding_window_view(recent[:, rise:], apart + 1, axis=1)
        is_peak = (centre > recent[:, rise - 1 : rise + count - 1]) & (centre == windows[:, :, : apart // 2 + 1].max(2))
        leads, places = np.nonzero(is_peak & (8 * centre >= 7 * windows.max(2)))
        self._since_peak += count
        found = []
        for lead, place in zip(leads.tolist(), places.tolist(), strict=True):
            since = int(self._since_peak[lead]) - (count - place)
            if since > apart and recent[lead, place + rise] > np.max(recent[lead, place : place + rise]):
                found.append((lead, place - count - apart))
                self._since_peak[lead] = count - place
        return found

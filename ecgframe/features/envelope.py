"""Where in a lead the signal is steep: the slope over 20 ms, and how much of it there is in 80 ms.

The difference of two means of 20 ms is a band-pass of about 8 to 30 Hz that lets nothing of 50 Hz through, and a
derivative in one (Haar's wavelet); its size in a moving window marks the QRS, as in Hamilton, "Open source ECG
analysis", Computers in Cardiology 29:101, 2002.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW = 0.08
"""Seconds of the moving window."""
APART = 0.18
"""Seconds between two peaks of the envelope at the least: of those closer together, the higher counts."""
RISE = 0.04
"""Seconds before a peak in which all is lower."""
KEPT = 1.0
"""Seconds that can be looked back."""

Integers = NDArray[np.int64]


class Envelope:
    """The last second of all leads, with slope and envelope; each [leads, samples], the newest sample last."""

    def __init__(self, rate: float, mean: int, leads: int) -> None:
        self.mean = mean
        self.window = max(2, int(WINDOW * rate + 0.5))
        self.apart = max(2, int(APART * rate + 0.5))
        self.rise = max(1, int(RISE * rate + 0.5))
        self._since_peak = np.full(leads, self.apart + 1, np.int64)
        """Samples from the last peak of each lead to the newest that is judged."""
        kept = int(KEPT * rate + 0.5) + 1
        self.signal: Integers = np.zeros((leads, kept), np.int64)
        """Microvolts."""
        self.smooth: Integers = np.zeros((leads, kept), np.int64)
        """Sum of `mean` samples."""
        self.slope: Integers = np.zeros((leads, kept), np.int64)
        """Difference of `smooth` from what it was `mean` samples before."""
        self.height: Integers = np.zeros((leads, kept), np.int64)
        """Sum of the sizes of `window` slopes: the envelope."""
        self.scale = 1000.0 * self.mean
        """Divides `smooth` and `slope` to millivolts."""
        self.height_scale = self.scale * self.window
        """Divides `height` to millivolts."""

    def take(self, samples: Integers) -> None:
        """Go on by the working samples of one hop, [leads, samples]."""
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
        """The envelope's peaks that are certain since `count` samples: lead and place (from the end, negative).

        Nothing within half of `apart` after a peak is higher, nothing within `apart` is much higher, and it comes more
        than `apart` after the peak before it.
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

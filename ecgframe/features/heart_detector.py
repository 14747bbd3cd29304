"""The detector: samples in, beats and the state of the heart out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .status import Beat, HeartStatus, Rhythm, SignalQuality


class HeartDetector:
    """Finds heartbeats in one stream of ECG as it comes, counts them, and tells asystole and fibrillation.

    It gives the same however the samples are cut into calls of :meth:`feed`. Not safe for use by several threads at once.

    :param sampling_rate: in Hz, 100 to 10,000.
    :param leads: their names, in the order of the rows of the signal. Lead II (or MLII) is preferred, else the first.
    :raises ValueError: there is no lead, or the sampling rate is out of range.
    """

    def __init__(self, sampling_rate: float, leads: Sequence[str]) -> None:
        if not leads:
            raise ValueError("at least one lead is needed")
        if not 100 <= sampling_rate <= 10_000:
            raise ValueError(f"a sampling rate of {sampling_rate} Hz is not from 100 to 10,000 Hz")
        self.sampling_rate = float(sampling_rate)
        self.leads = tuple(leads)
        self._samples = 0

    def feed(self, signal: ArrayLike, *, pacing: Sequence[int] | None = None) -> list[Beat]:
        """Take the next samples, and tell the beats that are certain now, in order.

        :param signal: in mV, of shape [leads, samples], or [samples] with one lead; NaN where a sample is missing.
        :param pacing: indices within `signal` of pacing spikes that the device has marked. Spikes of up to 3 ms are
            found without; the mark helps where a filter of the device has made them wider.
        :raises ValueError: the signal has another number of leads.
        """
        values = np.atleast_2d(np.asarray(signal, dtype=np.float64))
        if values.ndim != 2 or values.shape[0] != len(self.leads):
            raise ValueError(f"a signal of shape {np.shape(signal)} does not have {len(self.leads)} leads")
        self._samples += values.shape[1]
        return []

    def skip(self, samples: int) -> list[Beat]:
        """Samples are lost here: the clock goes on, and the interval across the gap is not counted.

        Tells the beats that are certain now, as :meth:`feed` does.

        :raises ValueError: a negative number.
        """
        if samples < 0:
            raise ValueError(f"{samples} samples cannot be lost")
        self._samples += samples
        return []

    @property
    def status(self) -> HeartStatus:
        """The state after the newest sample; cheap, to be asked as often as one likes."""
        return HeartStatus(None, None, Rhythm.UNKNOWN, 0, (SignalQuality.OFF,) * len(self.leads))

"""Timing of the frames of a file by the signal in them, not by when they were written."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..messages.times import unix_seconds
from ..protocol import MessageType
from .budget import Budget
from .frame_analysis import Examiner
from .observation import Delivery

LONGEST_PAUSE: Final = 3600.0
"""Longest step between two timestamps, in seconds, that is replayed; a longer one, or one back, is a clock change."""

LATE: Final = 1.0
"""Seconds by which timestamps of several streams may be out of order."""


class SignalPace:
    """Computes when each frame of a file is due, in order.

    Args:
        budget: limits the work of unpacking frames.

    Attributes:
        has_signal: whether any frame had samples; without, ``due`` is meaningless.
    """

    def __init__(self, budget: Budget) -> None:
        self.has_signal = False
        self._examiner = Examiner(budget=budget)
        self._base: float | None = None
        self._due = 0.0
        self._ends: dict[str | None, float] = {}

    def due(self, delivery: Delivery) -> float:
        """Return when the frame is due, in seconds after the first.

        It is due at the timestamp of its first sample; without one, at the end of the samples before it. A frame
        without samples is due at the same time as the previous frame.
        """
        for frame in self._examiner.examine(delivery):
            message = frame.message
            if message is not None and message.type is MessageType.ECG_DATA and isinstance(message.data, dict):
                self._take(message.data, frame.stream)
        return self._due

    def _take(self, data: dict[str, Any], stream: str | None) -> None:
        seconds = _duration(data)
        if seconds is None:
            return
        self.has_signal = True
        time = unix_seconds(data.get("timestamp"))
        if time is None:
            self._due = max(self._due, self._ends.get(stream, 0.0))
        else:
            step = None if self._base is None else time - self._base - self._due
            if self._base is None or step is None or not -LATE <= step <= LONGEST_PAUSE:
                self._base = time - self._ends.get(stream, self._due)
            self._due = max(self._due, time - self._base)
        self._ends[stream] = self._due + seconds


def _duration(data: dict[str, Any]) -> float | None:
    """Duration of the samples of a message, in seconds; None if unknown."""
    rate = data.get("sampling_rate", data.get("samplingRate"))
    signal = data.get("signal")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        return None
    if isinstance(signal, np.ndarray) and signal.ndim:
        return float(signal.shape[-1] / rate)
    if isinstance(signal, list) and signal:
        return len(signal[0] if isinstance(signal[0], list) else signal) / rate
    return None

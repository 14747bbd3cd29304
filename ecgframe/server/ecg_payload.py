"""ECG_DATA payloads for a detector: samples of the ECG leads in millivolts, and their times."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import ProtocolError
from ..other_signals import ecg_rows, lead_units
from ..samples import physical

PER_MILLIVOLT: Final = {"v": 1e-3, "mv": 1.0, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}
"""Units in one millivolt, by the unit's name in lower case."""

KEPT_SECONDS: Final = 15.0
"""Seconds of signal whose timestamps are kept: beats and pauses are detected some seconds after they begin."""


class NotDetectable(ValueError):
    """A signal that cannot be analyzed: its units are not a voltage, or its sampling rate is out of range."""


def samples_of(data: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the signal of an ECG_DATA payload, each lead in its unit: [leads, samples]; NaN for missing samples.

    Raises:
        NotDetectable: the fields are not a signal.
    """
    try:
        return physical(data)
    except ProtocolError as error:
        raise NotDetectable(str(error)) from error


def ecg_in_millivolts(
    data: Mapping[str, Any], values: npt.NDArray[np.float64], names: Sequence[str]
) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
    """Return the leads that are an ECG in mV, [leads, samples], and which rows of the signal they are.

    Args:
        data: the payload.
        values: its signal, as ``samples_of`` returns it.
        names: names of its leads.

    Raises:
        NotDetectable: no lead is an ECG, or the unit of one is not a voltage.
    """
    units = lead_units(data, len(values))
    rows = ecg_rows(names, units)
    if not rows:
        stated = ", ".join(sorted({unit for unit in units if unit}))
        raise NotDetectable(f"none of its leads is an ECG: {', '.join(names)}{' in ' if stated else ''}{stated}")
    scales = []
    for row in rows:
        if (scale := PER_MILLIVOLT.get((units[row] or "mV").strip().lower())) is None:
            raise NotDetectable(f"its units are {units[row]!r}, which is not a voltage")
        scales.append(scale)
    return values[rows] / np.array(scales)[:, None], tuple(rows)


@dataclass(frozen=True, slots=True)
class Frame:
    """The position of a message's samples in their stream.

    Attributes:
        first: number of its first sample.
        samples: samples of each lead.
        timestamp: time of the first sample, in Unix seconds; None if the message has no timestamp.
        sequence: sequence number of the message; None if it has none.
    """

    first: int
    samples: int
    timestamp: float | None
    sequence: int | None

    @property
    def end(self) -> int:
        """Number of the sample after its last."""
        return self.first + self.samples


class Moments:
    """The times of the samples of the last ``KEPT_SECONDS``.

    A time is interpolated between the timestamps of two messages. So it is right also for a recording that is played
    faster than it was recorded.

    Args:
        sampling_rate: in Hz.
    """

    def __init__(self, sampling_rate: float) -> None:
        self._rate = sampling_rate
        self._frames: deque[Frame] = deque()

    @property
    def last(self) -> Frame | None:
        """The newest message; None before the first."""
        return self._frames[-1] if self._frames else None

    def add(self, frame: Frame) -> None:
        """Add the next message."""
        self._frames.append(frame)
        while frame.first - self._frames[0].first > KEPT_SECONDS * self._rate:
            self._frames.popleft()

    def of(self, sample: float) -> float | None:
        """Return the time of a sample in Unix seconds; None if its message has no timestamp."""
        following: Frame | None = None
        step = 1 / self._rate
        for frame in reversed(self._frames):
            if frame.timestamp is None:
                return None
            if following is not None and following.timestamp is not None and following.first == frame.end:
                step = (following.timestamp - frame.timestamp) / frame.samples
            elif following is None and len(self._frames) > 1:
                step = self._step_before(frame)
            if frame.first <= sample or frame is self._frames[0]:
                return frame.timestamp + (sample - frame.first) * step
            following = frame
        return None

    def _step_before(self, frame: Frame) -> float:
        """Seconds from one sample to the next in the message before the newest."""
        before = self._frames[-2]
        if before.timestamp is None or frame.timestamp is None or before.end != frame.first:
            return 1 / self._rate
        return (frame.timestamp - before.timestamp) / before.samples

"""Payloads of ECG_DATA as a detector wants them: millivolts, and when which sample was taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PER_MILLIVOLT: Final = {"v": 1e-3, "mv": 1.0, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}
"""Of each unit, by its name in small letters, how many a millivolt has."""

KEPT_SECONDS: Final = 15.0
"""Of signal, whose timestamps are remembered: a beat and a silence are told after they began."""


class NotDetectable(ValueError):
    """A signal in which no heartbeat can be found: its units are no voltage, or its sampling rate is out of range."""


def millivolts(data: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """[leads, samples]: the signal of an ECG_DATA payload in mV; NaN where a sample is missing.

    Raises:
        NotDetectable: the units are no voltage, the samples are counts of unknown gain, or the fields do not fit.
    """
    units = str(data.get("units", "mV")).strip().lower()
    if (scale := PER_MILLIVOLT.get(units)) is None:
        raise NotDetectable(f"its units are {data.get('units')!r}, which is no voltage")
    try:
        signal = np.atleast_2d(np.asarray(data["signal"], np.float64))
        gain, baseline = (np.reshape(np.asarray(data.get(name, by), float), (-1, 1)) for name, by in _CALIBRATION)
        converted: npt.NDArray[np.float64] = (signal - baseline) / (gain * scale)
    except (KeyError, TypeError, ValueError) as error:
        raise NotDetectable(f"its samples are no signal: {error}") from error
    if converted.ndim != 2 or converted.shape != signal.shape:
        raise NotDetectable("its gain and baseline do not fit its leads")
    return converted


_CALIBRATION: Final = (("gain", 1.0), ("baseline", 0.0))


def seconds(time: object) -> float | None:
    """A time of the protocol, Unix seconds or a datetime, in Unix seconds; None where there is none."""
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return float(time) if isinstance(time, int | float) else None


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the samples of a message stand in their stream.

    Attributes:
        first: number of its first sample.
        samples: of each lead.
        timestamp: when the first was taken, in Unix seconds; None where the message does not say.
        sequence: number of the message; None where it has none.
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
    """When each sample of the last seconds was taken.

    By the timestamps of the message that it came in and of the next: those of a recording that is played faster than
    life pass more slowly than its samples.

    Args:
        sampling_rate: in Hz.
    """

    def __init__(self, sampling_rate: float) -> None:
        self._rate = sampling_rate
        self._frames: deque[Frame] = deque()

    @property
    def last(self) -> Frame | None:
        """The newest message."""
        return self._frames[-1] if self._frames else None

    def add(self, frame: Frame) -> None:
        """The next message."""
        self._frames.append(frame)
        while frame.first - self._frames[0].first > KEPT_SECONDS * self._rate:
            self._frames.popleft()

    def of(self, sample: float) -> float | None:
        """When a sample was taken, in Unix seconds; None where the stream does not say."""
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
        """Seconds from sample to sample in the message before the newest."""
        before = self._frames[-2]
        if before.timestamp is None or frame.timestamp is None or before.end != frame.first:
            return 1 / self._rate
        return (frame.timestamp - before.timestamp) / before.samples

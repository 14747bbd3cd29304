"""Hearts made of stretches, one after the other: beats, and what is easily taken for beats. Millivolts at 250 Hz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from heart_signals import P, ecg, spikes

from ecgframe.records import Record, write_record

RATE = 250
LEADS = {"I": 0.7, "II": 1.0, "V2": -0.8}
"""Each lead, and its share of the amplitude."""

Signal = npt.NDArray[np.float64]


def regular(bpm: float, seconds: float) -> list[float]:
    """Moments of beats at that rate, the first and the last far enough from the ends to be whole."""
    return [float(moment) for moment in np.arange(0.35, seconds - 0.35, 60 / bpm)]


def sinus(bpm: float, seconds: float, height: float = 1.0) -> Signal:
    return height * ecg(regular(bpm, seconds), seconds, RATE)


def p_waves(bpm: float, seconds: float) -> Signal:
    return ecg(regular(bpm, seconds), seconds, RATE, [P])


def pacing_spikes(bpm: float, seconds: float) -> Signal:
    """Spikes of 2 mV and one sample, and no heart that answers."""
    return spikes(regular(bpm, seconds), 1 / RATE, 2, seconds, RATE)


def fibrillation(seconds: float) -> Signal:
    """A wave of 4 to 6 Hz that is never twice as high, nor twice as long."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = (
        2 * np.pi * np.cumsum(5 + 0.7 * np.sin(2 * np.pi * 0.31 * time) + 0.3 * np.sin(2 * np.pi * 0.83 * time)) / RATE
    )
    height = 0.45 + 0.15 * np.sin(2 * np.pi * 0.47 * time) + 0.08 * np.sin(2 * np.pi * 1.1 * time)
    return height * (np.sin(phase) + 0.25 * np.sin(2.13 * phase + 1))


def electrode_noise(samples: int, seed: int, microvolts: float = 20) -> Signal:
    """White noise, smoothed over five samples, on a baseline that wanders by 0.1 mV."""
    noise = np.random.default_rng(seed).normal(0, microvolts / 1000, samples)
    wander = 0.1 * np.sin(2 * np.pi * 0.25 * np.arange(samples) / RATE)
    return np.convolve(noise, np.ones(5) / 5, "same") + wander


@dataclass
class Heart:
    """Stretches of signal, one after the other.

    Attributes:
        begins: second in which each stretch begins, by its name.
        ends: second in which it ends.
        beats: seconds of all R peaks.
    """

    begins: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    beats: list[float] = field(default_factory=list)
    _parts: list[Signal] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(map(len, self._parts)) / RATE

    def add(self, name: str, part: Signal, beats: Sequence[float] = ()) -> None:
        self.begins[name] = self.seconds
        self.beats += [self.seconds + beat for beat in beats]
        self._parts.append(part)
        self.ends[name] = self.seconds

    def beat(self, name: str, bpm: float, seconds: float) -> None:
        """Sinus rhythm."""
        self.add(name, sinus(bpm, seconds), regular(bpm, seconds))

    def signal(self, seed: int = 1) -> Signal:
        """[leads, samples], each lead with noise of its own."""
        whole = np.concatenate(self._parts)
        return np.stack(
            [share * whole + electrode_noise(len(whole), seed + lead) for lead, share in enumerate(LEADS.values())]
        )

    def last_beat(self, second: float) -> float:
        """When the last beat was, at that second."""
        return max((beat for beat in self.beats if beat <= second), default=0.0)


def recorded(signal: Signal, directory: Path) -> Path:
    """A file of these leads, in millivolts; NaN is a sample that is missing."""
    path = directory / "heart.npz"
    with path.open("wb") as file:
        write_record(Record(signal, RATE, tuple(LEADS), "mV", None, None, "made"), file, ".npz")
    return path

"""What the detector tells: beats, and the state of the heart and of the leads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rhythm(StrEnum):
    """What the heart does, as far as the signal shows it."""

    UNKNOWN = "unknown"
    """Too little signal yet, or no usable lead."""
    BEATING = "beating"
    ASYSTOLE = "asystole"
    """A usable lead, and no beat in it for 4 s."""
    FIBRILLATION = "fibrillation"
    """Irregular waves without a pause, as in ventricular fibrillation: a suspicion, not a diagnosis."""


class SignalQuality(StrEnum):
    """What a lead is good for."""

    OK = "ok"
    OFF = "off"
    """No samples (NaN, lost) for half a second, or one value (to 2 µV) for 2 s, or for 3.6 s where all leads are so."""
    SATURATED = "saturated"
    """At the end of the amplifier's range: the same extreme value for a tenth of a second."""
    NOISY = "noisy"
    """Noise that beats cannot be told from."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat. It is told about a third of a second after it was."""

    sample: int
    """Of the R peak, counted from the first sample fed or skipped; exact to 4 ms or to one sample."""
    lead: int
    """Index of the lead in which it was found."""
    amplitude: float
    """Of the QRS from peak to peak, in mV, smoothed over 20 ms."""
    interval: float | None
    """Seconds since the beat before; None for the first, and across a gap."""


@dataclass(frozen=True, slots=True)
class HeartStatus:
    """The state after the newest sample."""

    rate_bpm: float | None
    """Beats a minute, never above 60 / (seconds without a beat); None where there is no rate to tell.

    Never a rate in asystole or fibrillation. Time lost in a gap does not count as time without a beat.
    """
    seconds_since_beat: float | None
    """From the last beat to the newest sample, lost ones counted; None before the first beat."""
    rhythm: Rhythm
    lead: int
    """Index of the lead in which beats are counted now."""
    signal_quality: tuple[SignalQuality, ...]
    """Of each lead."""

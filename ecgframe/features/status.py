"""The results of the detector: beats, and the state of the heart and of the leads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rhythm(StrEnum):
    """The rhythm, as far as the signal shows it."""

    UNKNOWN = "unknown"
    """Not enough signal yet, or no usable lead."""
    BEATING = "beating"
    ASYSTOLE = "asystole"
    """No beat for 4 s in a usable lead. Gaps and noise do not count, as they may have contained beats."""
    FIBRILLATION = "fibrillation"
    """Irregular waves without pauses, as in ventricular fibrillation. It is a suspicion, not a diagnosis."""


class SignalQuality(StrEnum):
    """The quality of a lead."""

    OK = "ok"
    OFF = "off"
    """No samples (NaN, lost) for half a second, or a constant value (to 2 µV) for 2 s, or for 3.6 s in all leads."""
    SATURATED = "saturated"
    """The same extreme value for a tenth of a second, at a limit of the amplifier's range."""
    NOISY = "noisy"
    """Noise from which beats cannot be distinguished."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat. The detector reports it about a third of a second later."""

    sample: int
    """Number of the sample of the R peak, from the first sample fed or skipped; exact to 4 ms or to one sample."""
    lead: int
    """Index of the lead in which it was detected."""
    amplitude: float
    """Peak-to-peak amplitude of the QRS in mV, smoothed over 20 ms."""
    interval: float | None
    """Seconds since the previous beat; None for the first, and across a gap."""


@dataclass(frozen=True, slots=True)
class HeartStatus:
    """The state after the newest sample."""

    rate_bpm: float | None
    """Beats per minute, at most 60 / (seconds without a beat). A gap does not count as time without a beat.

    None if there is no rate: with fewer than two intervals, in asystole, in fibrillation, and while the lead looks like
    noise.
    """
    seconds_since_beat: float | None
    """Seconds from the last beat to the newest sample, including lost ones; None before the first beat."""
    rhythm: Rhythm
    lead: int
    """Index of the lead in which beats are detected."""
    signal_quality: tuple[SignalQuality, ...]
    """The quality of each lead."""
    silent_seconds: float
    """Seconds of usable signal without a beat, up to the newest sample. Gaps and noise do not count, as they may have
    contained beats, so that this may be less than `seconds_since_beat`. 0 without a usable lead."""

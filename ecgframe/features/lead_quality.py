"""Quality of leads: off, saturated, noisy."""

from __future__ import annotations

from collections import deque

from .status import SignalQuality

FLAT = 2
"""Microvolts within which a signal is constant."""
OFF_AFTER = 0.5
"""Seconds without samples after which a lead is off."""
SATURATED_AFTER = 0.1
"""Seconds of a constant extreme value after which a lead is saturated."""
EXTREME = 1000
"""Distance from the usual level, in microvolts, from which a constant value may be a limit of the amplifier's range."""
LEVEL_HOPS = 80
"""Number of hops (4.8 s) whose median is the usual level."""
NOISE = 0.08
"""Envelope between the beats, in mV, from which a lead may be noisy."""
CALM = 0.04
"""Envelope between the beats, in mV, below which a lead is calm."""
CHANGES = 25
"""Sign changes of the slope, per second, from which a signal may be noise."""
CHANGE_HOPS = 40
"""Number of hops (2.4 s) in which sign changes are counted."""
RECENT_CHANGE_HOPS = 8
"""Number of hops (0.48 s) in which they are counted for ``LeadQuality.is_doubtful``."""


class LeadQuality:
    """The quality of one lead, hop by hop."""

    def __init__(self, hop_seconds: float) -> None:
        self._hop_seconds = hop_seconds
        self.lost = OFF_AFTER
        """Seconds since the last sample."""
        self.flat = 0.0
        """Seconds of a constant value."""
        self._value = 0
        self._levels: deque[int] = deque(maxlen=LEVEL_HOPS)
        self._is_extreme = False
        self._changes: deque[int] = deque(maxlen=CHANGE_HOPS)
        self.quality = SignalQuality.OFF
        self.is_calm = False
        """True if the last half second clearly is not noise."""
        self.is_doubtful = False
        """True if the last half second looks like noise. ``quality`` needs about two seconds to become NOISY."""

    @property
    def is_moving(self) -> bool:
        """True if the signal changes."""
        return self.lost == 0 and self.flat == 0

    def is_standing(self, seconds: float) -> bool:
        """Return True if there is no signal, or a constant one for at least so many seconds."""
        return self.lost > 0 or self.flat >= seconds

    def follow(self, lowest: int, highest: int, is_lost: bool, changes: int) -> None:
        """Process one hop.

        Args:
            lowest: lowest value in microvolts.
            highest: highest value in microvolts.
            is_lost: the hop had no samples.
            changes: number of sign changes of the slope in this hop.
        """
        self._changes.append(changes)
        if is_lost:
            self.lost += self._hop_seconds
        else:
            self.lost = 0.0
            self._follow_level(lowest, highest)

    def judge(self, quiet: float, recent_quiet: float, flat_after: float) -> SignalQuality:
        """Determine the quality of the lead now.

        Args:
            quiet: envelope between the beats, in mV.
            recent_quiet: the same for the last half second.
            flat_after: seconds of a constant value after which the lead is off.
        """
        self.quality = self._judge(quiet, flat_after)
        self.is_doubtful = self.quality == SignalQuality.NOISY or self._is_noise(recent_quiet, RECENT_CHANGE_HOPS)
        self.is_calm = not self.is_doubtful and recent_quiet < CALM
        return self.quality

    def _follow_level(self, lowest: int, highest: int) -> None:
        if highest - lowest <= FLAT and (self.flat == 0 or abs(lowest - self._value) <= FLAT):
            if self.flat == 0:
                self._is_extreme = bool(self._levels) and abs(lowest - _median(self._levels)) >= EXTREME
                self._value = lowest
            self.flat += self._hop_seconds
            return
        self.flat = 0.0
        self._levels.append((lowest + highest) // 2)

    def _judge(self, quiet: float, flat_after: float) -> SignalQuality:
        if self.lost >= OFF_AFTER:
            return SignalQuality.OFF
        if self._is_extreme and self.flat >= SATURATED_AFTER:
            return SignalQuality.SATURATED
        if self.flat >= flat_after:
            return SignalQuality.OFF
        return SignalQuality.NOISY if self._is_noise(quiet, CHANGE_HOPS) else SignalQuality.OK

    def _is_noise(self, quiet: float, hops: int) -> bool:
        if quiet < NOISE:
            return False
        changes = list(self._changes)[-hops:]
        return sum(changes) / (len(changes) * self._hop_seconds) >= CHANGES


def _median(values: deque[int]) -> int:
    return sorted(values)[len(values) // 2]

"""What the leads are good for: off, saturated, noisy."""

from __future__ import annotations

from collections import deque

from .status import SignalQuality

FLAT = 2
"""Microvolts within which a signal is one value."""
OFF_AFTER = 0.5
"""Seconds without samples after which a lead is off."""
SATURATED_AFTER = 0.1
"""Seconds of one extreme value after which a lead is saturated."""
EXTREME = 1000
"""Microvolts from the usual level from which on a value may be the end of the range."""
LEVEL_HOPS = 80
"""Hops (4.8 s) of which the usual level is the median."""
NOISE = 0.08
"""mV of envelope between the beats from which on a lead may be noisy."""
CHANGES = 25
"""Changes of the slope's sign in a second that tell noise from waves of the heart."""
CHANGE_HOPS = 40
"""Hops (2.4 s) in which they are counted."""


class LeadQuality:
    """The quality of one lead, hop by hop."""

    def __init__(self, hop_seconds: float) -> None:
        self._hop_seconds = hop_seconds
        self.lost = OFF_AFTER
        """Seconds without samples, up to now."""
        self._flat = 0.0
        self._value = 0
        self._levels: deque[int] = deque(maxlen=LEVEL_HOPS)
        self._is_extreme = False
        self._changes: deque[int] = deque(maxlen=CHANGE_HOPS)
        self.quality = SignalQuality.OFF

    @property
    def is_moving(self) -> bool:
        """Whether there is a signal, and not one value."""
        return self.lost == 0 and self._flat == 0

    def follow(self, lowest: int, highest: int, is_lost: bool, changes: int) -> None:
        """Go on by one hop.

        Args:
            lowest: microvolts.
            highest: microvolts.
            is_lost: there was not one sample.
            changes: of the slope's sign in this hop.
        """
        self._changes.append(changes)
        if is_lost:
            self.lost += self._hop_seconds
        else:
            self.lost = 0.0
            self._follow_level(lowest, highest)

    def judge(self, quiet: float, flat_after: float) -> SignalQuality:
        """What the lead is good for now.

        Args:
            quiet: mV of envelope between the beats.
            flat_after: seconds of one value after which it is off.
        """
        self.quality = self._judge(quiet, flat_after)
        return self.quality

    def _follow_level(self, lowest: int, highest: int) -> None:
        if highest - lowest <= FLAT and (self._flat == 0 or abs(lowest - self._value) <= FLAT):
            if self._flat == 0:
                self._is_extreme = bool(self._levels) and abs(lowest - _median(self._levels)) >= EXTREME
                self._value = lowest
            self._flat += self._hop_seconds
            return
        self._flat = 0.0
        self._levels.append((lowest + highest) // 2)

    def _judge(self, quiet: float, flat_after: float) -> SignalQuality:
        if self.lost >= OFF_AFTER:
            return SignalQuality.OFF
        if self._is_extreme and self._flat >= SATURATED_AFTER:
            return SignalQuality.SATURATED
        if self._flat >= flat_after:
            return SignalQuality.OFF
        rate = sum(self._changes) / (len(self._changes) * self._hop_seconds)
        return SignalQuality.NOISY if quiet >= NOISE and rate >= CHANGES else SignalQuality.OK


def _median(values: deque[int]) -> int:
    return sorted(values)[len(values) // 2]

"""Selection of the lead in which beats are detected."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from .qrs import Wave
from .status import SignalQuality

SILENT = 2.0
"""Seconds without a beat after which another lead with beats is chosen."""
RECENT = 4.0
"""Seconds in which a lead must have beats to be chosen."""
ENOUGH = 3
"""Number of beats that a lead must have in that time."""
BACK = 10.0
"""Seconds for which the preferred lead must be usable before it is chosen again."""


class LeadChoice:
    """Chooses lead II while it is usable, otherwise the usable lead with the largest beats."""

    def __init__(self, names: Sequence[str], rate: float) -> None:
        plain = [name.strip().lower().removeprefix("m") for name in names]
        self._preferred = next((lead for lead, name in enumerate(plain) if name in ("ii", "lii")), 0)
        self._rate = rate
        self._well = 0
        self._before = 0
        self.lead = self._preferred
        """Index of the chosen lead."""

    def choose(self, now: int, qualities: Sequence[SignalQuality], waves: Sequence[deque[Wave]]) -> None:
        """Choose the lead.

        Args:
            now: number of working samples so far.
            qualities: the quality of each lead.
            waves: the latest beats of each lead.
        """
        usable = [lead for lead, quality in enumerate(qualities) if quality == SignalQuality.OK]
        since, self._before = now - self._before, now
        self._well = self._well + since if self._preferred in usable else 0
        beating = [lead for lead in usable if self._recent(now, waves[lead]) >= ENOUGH]
        if self.lead not in usable:
            self._take(beating or usable, waves)
        elif self._is_silent(now, waves[self.lead]) and self.lead not in beating:
            self._take(beating, waves)
        elif self.lead != self._preferred and self._well >= BACK * self._rate:
            ours, theirs = self._recent(now, waves[self.lead]), self._recent(now, waves[self._preferred])
            if theirs >= ours - 1 and (self._preferred in beating or self.lead not in beating):
                self.lead = self._preferred

    def _take(self, leads: Sequence[int], waves: Sequence[deque[Wave]]) -> None:
        if self._preferred in leads:
            self.lead = self._preferred
        elif leads:
            self.lead = max(leads, key=lambda lead: (_amplitude(waves[lead]), -lead))

    def _recent(self, now: int, waves: deque[Wave]) -> int:
        earliest = now - RECENT * self._rate
        return sum(1 for _ in takewhile(lambda wave: wave.sample > earliest, reversed(waves)))

    def _is_silent(self, now: int, waves: deque[Wave]) -> bool:
        return not waves or now - waves[-1].sample > SILENT * self._rate


def _amplitude(waves: deque[Wave]) -> float:
    """Return the median amplitude of the latest beats."""
    latest = sorted(wave.amplitude for wave in list(waves)[-5:])
    return latest[len(latest) // 2] if latest else 0.0

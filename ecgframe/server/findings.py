"""Episodes of asystole, ventricular fibrillation and leads that are off, found in the states of a detector.

``client/monitor/src/findings.ts`` is the twin for the monitor page and gives the same texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from ..features import HeartStatus, Rhythm, SignalQuality

Kind = Literal["asystole", "ventricular_fibrillation", "lead_off"]

OFF_SECONDS: Final = 1.0
"""Seconds that a lead must be off before an episode begins: a loose contact is off for moments."""

ON_SECONDS: Final = 2.0
"""Seconds that all leads of an episode must be on before it ends."""

STILL_SECONDS: Final = 4.0
"""Seconds without a beat after fibrillation before asystole is reported; normal beats may resume first."""

_KINDS: Final[dict[Rhythm, Kind]] = {
    Rhythm.ASYSTOLE: "asystole",
    Rhythm.FIBRILLATION: "ventricular_fibrillation",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The beginning or the end of an episode.

    Attributes:
        kind: what was found.
        start: when it began, in seconds of signal from the first sample.
        end: when it ended, in seconds of signal; None while it lasts.
        at: when the beginning or the end was found, in seconds of signal.
        leads: the lead without beats, or the leads that are off.
        message: text for the user.
    """

    kind: Kind
    start: float
    end: float | None
    at: float
    leads: tuple[str, ...]
    message: str


class Findings:
    """Finds the episodes in the states of one detector.

    Args:
        leads: names of the leads, in the detector's order.
    """

    def __init__(self, leads: Sequence[str]) -> None:
        self._leads = tuple(leads)
        self._rhythm: Finding | None = None
        self._off: list[Finding] = []
        self._off_since: dict[str, float] = {}
        self._on_since: dict[str, float] = {}
        self._still_since: float | None = None

    @property
    def open(self) -> tuple[Finding, ...]:
        """The episodes that have not ended, as returned at their beginning."""
        return (*([self._rhythm] if self._rhythm else []), *self._off)

    def update(self, status: HeartStatus, now: float) -> list[Finding]:
        """Return the episodes that begin or end with this state.

        Args:
            status: state of the detector.
            now: in seconds of signal.
        """
        off = [
            name
            for name, quality in zip(self._leads, status.signal_quality, strict=True)
            if quality is SignalQuality.OFF
        ]
        return [*self._follow_rhythm(status, now), *self._leads_on(off, now), *self._leads_off(off, now)]

    def close(self, why: str, now: float) -> list[Finding]:
        """End all episodes and return them.

        Args:
            why: the message with which they end.
            now: in seconds of signal.
        """
        ended = [self._ended(finding, now, why) for finding in self.open]
        self._rhythm, self._off = None, []
        return ended

    def _follow_rhythm(self, status: HeartStatus, now: float) -> list[Finding]:
        kind, last = _KINDS.get(status.rhythm), self._rhythm
        if kind != "asystole":
            self._still_since = None
        if kind == (last.kind if last else None):
            return []
        if last is not None and (last.kind, kind) == ("ventricular_fibrillation", "asystole"):
            self._still_since = now if self._still_since is None else self._still_since
            if now - self._still_since < STILL_SECONDS:
                return []
        changed = []
        if last is not None:
            changed.append(self._ended(last, now, _ending(status.rhythm, now - last.start)))
        self._rhythm = None if kind is None else self._begun(kind, status, now)
        return [*changed, *([self._rhythm] if self._rhythm else [])]

    def _begun(self, kind: Kind, status: HeartStatus, now: float) -> Finding:
        leads = (self._leads[status.lead],) if status.signal_quality[status.lead] is SignalQuality.OK else ()
        if kind != "asystole":
            return Finding(kind, now, None, now, leads, "waves without beats")
        return Finding(kind, max(0.0, now - status.silent_seconds), None, now, leads, "no beat")

    def _leads_off(self, off: Sequence[str], now: float) -> list[Finding]:
        """Begin one episode for all leads that are off together; it lasts until all of them are on again."""
        known = {name for finding in self._off for name in finding.leads}
        self._off_since = {name: self._off_since.get(name, now) for name in off}
        fresh = tuple(name for name in off if name not in known)
        since = min((self._off_since[name] for name in fresh), default=now)
        if not fresh or now - since < OFF_SECONDS:
            return []
        message = f"{'leads' if len(fresh) > 1 else 'lead'} off: {', '.join(fresh)}"
        finding = Finding("lead_off", since, None, now, fresh, message)
        self._off.append(finding)
        return [finding]

    def _leads_on(self, off: Sequence[str], now: float) -> list[Finding]:
        for name in off:
            self._on_since.pop(name, None)
        over = []
        for finding in self._off:
            if any(name in off for name in finding.leads):
                continue
            since = [self._on_since.setdefault(name, now) for name in finding.leads]
            if all(now - moment >= ON_SECONDS for moment in since):
                over.append(finding)
        self._off = [finding for finding in self._off if finding not in over]
        return [self._ended(finding, now, "on again") for finding in over]

    def _ended(self, finding: Finding, now: float, message: str) -> Finding:
        if finding.kind == "lead_off":
            for name in finding.leads:
                self._on_since.pop(name, None)
        return replace(finding, end=now, at=now, message=message)


def _ending(rhythm: Rhythm, seconds: float) -> str:
    after = f"after {math.floor(seconds + 0.5)} s"
    if rhythm is Rhythm.BEATING:
        return f"beats again {after}"
    if rhythm is Rhythm.UNKNOWN:
        return f"rhythm unknown {after}: no usable lead"
    return f"{'asystole' if rhythm is Rhythm.ASYSTOLE else 'ventricular fibrillation?'} {after}"

"""Detection of QRS complexes among the peaks of the envelope of a lead.

The rules are those of Hamilton, "Open source ECG analysis", Computers in Cardiology 29:101, 2002, after Pan and
Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985: a threshold between the medians of the last beats and of the last noise
peaks, T waves recognized by their slope, and a search back for missed beats. In addition, a beat must have a minimum
amplitude in millivolts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from .envelope import Envelope

SMALLEST = 0.27
"""Smallest peak-to-peak amplitude of a beat in mV, smoothed over 20 ms."""
FAINTEST = 0.07
"""Smallest envelope of a beat in mV."""
OUT_OF_NOISE = 3.5
"""Smallest envelope of a small beat, relative to that between the beats."""
SMALL = 0.6
"""Amplitude in mV up to which a beat counts as small."""
SHARE = 0.3
"""Position of the threshold between the noise (0) and the beats (1)."""
REMEMBERED = 8
"""Number of beats, and of noise peaks, in the medians."""
REFRACTORY = 0.18
"""Refractory period in seconds."""
T_WAVE = 0.36
"""Seconds after a beat in which a wave with less than half its slope is a T wave."""
LATE_T_WAVE, LATE_SLOPE, LATE_INTERVALS, LATE_AMPLITUDE = 0.5, 0.42, 0.62, 1.2
"""Limits for a late T wave: seconds after the beat; slope relative to that of the beat; fraction of the interval; and
amplitude relative to that of the beat."""
FLANK = 0.5
"""If rise and fall of a wave differ by more than this fraction of its slope, it is one flank of a wide wave."""
OVERDUE = 1.5
"""Number of mean intervals without a beat after which the largest rejected peak is tried again."""
UNEVEN, UNEVEN_IN = 1.35, 4
"""Intervals are irregular if the longest of the last ``UNEVEN_IN`` exceeds this multiple of the shortest."""
SINKING = 1.5
"""Seconds without a beat after which the threshold is halved. After twice that only ``FAINTEST`` applies."""
ONE_SIDED = 0.12
"""Smallest slope in the opposite direction, relative to the steepest slope: a step is not a beat."""
AROUND = 0.1
"""Seconds on both sides of a wave in which the slope in the opposite direction is searched."""
OUTDATED_HOPS = 160
"""Number of hops (9.6 s) of noise after which the thresholds from before are outdated."""
QUIET_HOPS, QUIET_EVERY, RECENT_HOPS = 40, 4, 8
"""Number of hops (2.4 s) whose lower quartile is the noise between the beats; number of hops between two updates of it;
number of hops (0.48 s) for ``QrsDetector.recent_quiet``."""


@dataclass(slots=True)
class Wave:
    """A measured peak of the envelope. Samples are working samples, counted from the beginning."""

    sample: int
    """Sample of the R peak."""
    decided: int
    """Sample of the peak of the envelope."""
    height: int
    slope: int
    flank: int
    """1 for a rise, -1 for a fall, 0 for both: a whole complex."""
    amplitude: float
    """Peak-to-peak amplitude in mV."""
    stands_out: float
    """Height of the envelope, relative to the envelope between the beats."""


class QrsDetector:
    """Detects the beats of one lead."""

    def __init__(self, lead: int, rate: float) -> None:
        self.lead = lead
        self.rate = rate
        self.last: Wave | None = None
        self.is_noisy = False
        """True if large beats must stand out from the noise, too."""
        self._let_go: Wave | None = None
        self._before_noise: tuple[int, deque[int], deque[int], deque[int]] | None = None
        """Hop in which the signal began to look like noise, with the beats, noise and intervals from before. None once
        it is calm again."""
        self._beats: deque[int] = deque(maxlen=REMEMBERED)
        self._noise: deque[int] = deque(maxlen=REMEMBERED)
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._quiet: deque[int] = deque(maxlen=QUIET_HOPS)
        self._hops = 0
        self.quiet = 0
        """The envelope between the beats."""
        self.recent_quiet = 0
        """The same for the last half second, updated with each hop."""

    def note_quiet(self, height: int) -> None:
        """Record the lowest envelope of a hop."""
        self._quiet.append(height)
        if self._hops % QUIET_EVERY == 0:
            self.quiet = sorted(self._quiet)[len(self._quiet) // 4]
        recent = sorted(list(self._quiet)[-RECENT_HOPS:])
        self.recent_quiet = recent[len(recent) // 4]
        self._hops += 1

    def note_doubt(self, is_doubtful: bool, is_calm: bool) -> None:
        """Discard what was learned while the signal looked like noise, as soon as it is calm again.

        Otherwise the thresholds would be those of the noise, and the first beats after it would be missed.

        Args:
            is_doubtful: the last half second looks like noise.
            is_calm: it clearly does not.
        """
        if is_doubtful and self._before_noise is None:
            self._before_noise = self._hops, self._beats.copy(), self._noise.copy(), self._intervals.copy()
        elif is_calm and self._before_noise is not None:
            begin, self._beats, self._noise, self._intervals = self._before_noise
            self._before_noise = self._let_go = None
            if self._hops - begin > OUTDATED_HOPS:
                self._beats.clear()
                self._noise.clear()
                self._intervals.clear()

    @property
    def is_irregular(self) -> bool:
        """True if the last intervals were irregular."""
        intervals = list(self._intervals)[-UNEVEN_IN:]
        return len(intervals) == UNEVEN_IN and max(intervals) > UNEVEN * min(intervals)

    def judge(self, envelope: Envelope, place: int, now: int) -> Wave | None:
        """Return a peak of the envelope as a wave if it is a beat; otherwise None.

        Args:
            envelope: the envelope of all leads.
            place: index of the peak, negative, from the end.
            now: number of working samples so far.
        """
        height = int(envelope.height[self.lead, place])
        wave = None if height < FAINTEST * envelope.height_scale else self._measure(envelope, place, now, height)
        if wave is None or wave.amplitude < SMALLEST or self._drowns(wave):
            self._noise.append(height)
            return None
        since = None
        if self.last is not None:
            since = wave.decided - self.last.decided
            if since < REFRACTORY * self.rate or self._is_t_wave(wave, since, self.last):
                return None
        if height >= self.threshold(since):
            return self._accept(wave)
        self._noise.append(height)
        if self._let_go is None or height > self._let_go.height:
            self._let_go = wave
        return None

    def look_back(self, decided: int) -> Wave | None:
        """Accept the largest rejected peak if a beat is overdue and it exceeds half the threshold."""
        wave, last = self._let_go, self.last
        if wave is None or last is None or len(self._intervals) < 2:
            return None
        mean = sum(self._intervals) / len(self._intervals)
        if decided - last.decided < OVERDUE * mean:
            return None
        self._let_go = None
        if wave.height < self.threshold(wave.decided - last.decided) / 2:
            return None
        return self._accept(wave)

    def _drowns(self, wave: Wave) -> bool:
        """Return True if a wave cannot be distinguished from the noise."""
        return (wave.amplitude < SMALL or self.is_noisy) and wave.stands_out < OUT_OF_NOISE

    def _is_t_wave(self, wave: Wave, since: int, last: Wave) -> bool:
        if since < T_WAVE * self.rate:
            is_other_flank = wave.flank * last.flank < 0
            return is_other_flank or 2 * wave.slope < last.slope
        if since >= LATE_T_WAVE * self.rate or wave.amplitude > LATE_AMPLITUDE * last.amplitude:
            return False
        is_late = not self._intervals or since < LATE_INTERVALS * _median(self._intervals)
        return is_late and wave.slope < LATE_SLOPE * last.slope

    def threshold(self, since: int | None) -> float:
        """Return the threshold for the envelope, so many working samples after the last beat."""
        if since is None or not self._beats or since > 2 * SINKING * self.rate:
            return 0.0
        beats = _median(self._beats)
        noise = min(_median(self._noise), beats) if self._noise else 0
        threshold = noise + SHARE * (beats - noise)
        return threshold / 2 if since > SINKING * self.rate else threshold

    def _accept(self, wave: Wave) -> Wave:
        if self.last is not None and wave.decided - self.last.decided < 2.5 * self.rate:
            self._intervals.append(wave.decided - self.last.decided)
        self.last = wave
        self._let_go = None
        self._beats.append(wave.height)
        return wave

    def _measure(self, envelope: Envelope, place: int, now: int, height: int) -> Wave | None:
        """Measure a wave; None if it is only a step in one direction."""
        end = envelope.height.shape[1] + place + 1
        reach = envelope.window + 2 * envelope.mean
        slopes = envelope.slope[self.lead, end - envelope.window : end]
        rise, fall = int(np.max(slopes)), -int(np.min(slopes))
        slope = max(rise, fall)
        flank = 0 if abs(rise - fall) < FLANK * slope else 1 if rise > fall else -1
        around = int(AROUND * self.rate + 0.5)
        wider = envelope.slope[self.lead, end - envelope.window - around : end + around]
        if min(int(np.max(wider)), -int(np.min(wider))) < ONE_SIDED * slope:
            return None
        smooth = envelope.smooth[self.lead, end - envelope.window - envelope.mean : end]
        amplitude = int(np.ptp(smooth)) / envelope.scale
        signal = envelope.signal[self.lead, end - reach : end].tolist()
        level = sorted(envelope.signal[self.lead, end - reach - around : end + around].tolist())[
            (reach + 2 * around) // 2
        ]
        sizes = [abs(value - level) for value in signal]
        peak = sizes.index(max(sizes))
        decided = now + place
        return Wave(decided - reach + 1 + peak, decided, height, slope, flank, amplitude, height / max(1, self.quiet))


def _median(values: deque[int]) -> int:
    return sorted(values)[len(values) // 2]

"""Which peaks of a lead's envelope are QRS complexes.

The rules are those of Hamilton, "Open source ECG analysis", Computers in Cardiology 29:101, 2002, after Pan and
Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985: thresholds between the medians of the last beats and of the last noise,
a T wave told by its slope, a search back. To them comes a floor in millivolts, below which nothing is a beat.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from .envelope import Envelope

SMALLEST = 0.27
"""mV from peak to peak, smoothed over 20 ms, below which nothing is a beat."""
FAINTEST = 0.07
"""mV of the envelope below which nothing is a beat."""
OUT_OF_NOISE = 3.5
"""Times the envelope between the beats that a small beat must have."""
SMALL = 0.6
"""mV from peak to peak up to which a beat must stand out of the noise."""
SHARE = 0.3
"""Of the way from the noise to the beats that the threshold lies at."""
REMEMBERED = 8
"""Beats, and peaks of noise, of which the median is taken."""
REFRACTORY = 0.18
"""Seconds after a beat in which there cannot be another."""
T_WAVE = 0.36
"""Seconds after a beat in which a wave of less than half its slope is its T wave."""
LATE_T_WAVE, LATE_SLOPE, LATE_INTERVALS, LATE_AMPLITUDE = 0.5, 0.42, 0.62, 1.2
"""Seconds after a beat in which a wave is its late T wave: of less than that share of its slope, before that share of
the interval, and not much larger."""
FLANK = 0.5
"""Share of its slope by which a wave rises more than it falls, or falls more: it is half of a wide one."""
OVERDUE = 1.5
"""Mean intervals after which a beat is sought among the peaks let go."""
UNEVEN, UNEVEN_IN = 1.35, 4
"""Times the shortest of so many intervals that the longest of uneven ones is."""
SINKING = 1.5
"""Seconds without a beat after which the threshold sinks to half, and after twice that to the floor."""
ONE_SIDED = 0.12
"""Of its steepest slope that a wave must have in the other direction too: a mere step is none."""
AROUND = 0.1
"""Seconds on both sides of a wave in which its other side is looked for."""
QUIET_HOPS, QUIET_EVERY = 40, 4
"""Hops (2.4 s) whose quietest quarter tells the noise between the beats, and hops after which it is told anew."""


@dataclass(slots=True)
class Wave:
    """A peak of the envelope, measured. Samples are working samples, counted from the beginning."""

    sample: int
    """Of the R peak."""
    decided: int
    """Of the envelope's peak."""
    height: int
    slope: int
    flank: int
    """1 where it is a rise, -1 a fall, 0 where it is both: a whole complex."""
    amplitude: float
    """mV from peak to peak."""
    stands_out: float
    """Times the envelope between the beats."""


class QrsDetector:
    """The beats of one lead."""

    def __init__(self, lead: int, rate: float) -> None:
        self.lead = lead
        self.rate = rate
        self.last: Wave | None = None
        self.is_noisy = False
        """Whether even a large beat must stand out of the noise."""
        self._let_go: Wave | None = None
        self._beats: deque[int] = deque(maxlen=REMEMBERED)
        self._noise: deque[int] = deque(maxlen=REMEMBERED)
        self._intervals: deque[int] = deque(maxlen=REMEMBERED)
        self._quiet: deque[int] = deque(maxlen=QUIET_HOPS)
        self._hops = 0
        self.quiet = 0
        """The envelope between the beats."""

    def note_quiet(self, height: int) -> None:
        """The lowest envelope of one hop."""
        self._quiet.append(height)
        if self._hops % QUIET_EVERY == 0:
            self.quiet = sorted(self._quiet)[len(self._quiet) // 4]
        self._hops += 1

    @property
    def is_irregular(self) -> bool:
        """Whether the last beats came at uneven intervals."""
        intervals = list(self._intervals)[-UNEVEN_IN:]
        return len(intervals) == UNEVEN_IN and max(intervals) > UNEVEN * min(intervals)

    def judge(self, envelope: Envelope, place: int, now: int) -> Wave | None:
        """Whether the envelope's peak at this place (from the end) is a beat; `now` is the number of samples so far."""
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
        """The beat that was let go and is missing now: half the threshold is enough for it."""
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
        """Whether it cannot be told from the noise."""
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
        """Of the envelope, this many samples after the last beat."""
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
        """None where there is but a step in one direction."""
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

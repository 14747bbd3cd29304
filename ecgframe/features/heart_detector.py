"""The detector of heartbeats."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .conditioning import MEANS_IN_A_HOP, Conditioner
from .early_rise import first_steep
from .envelope import Envelope
from .fibrillation import FibrillationTest
from .heart_rate import HeartRate
from .lead_choice import LeadChoice
from .lead_quality import LeadQuality
from .pacing_spikes import KEPT, PacingSpike
from .qrs import FAINTEST, QrsDetector, Wave
from .status import Beat, HeartStatus, Rhythm, SignalQuality

SILENT = 3.7
"""Seconds without a beat until asystole: less than 4 s, since the detection of a beat takes some time."""
SLOW, SILENT_IF_SLOW = 3.3, 5.2
"""Intervals in seconds from which asystole is reported later, after ``SILENT_IF_SLOW`` seconds."""
FLAT = 2.0
"""Seconds of a constant value after which a lead is off, if another lead changes or there is no beat for `SILENT`."""
STANDING = 0.3
"""If all leads are constant for this long, in seconds, it is not asystole: no signal from skin is exactly constant."""
EARLIER = 0.1
"""If all leads are flat, they count as off this many seconds before asystole would be reported."""
STEEP = 4
"""A slope of one fourth of that of the last beat may be the beginning of the next beat."""
RESUMED = 3
"""Consecutive beats that end an asystole, and consecutive intervals that end a fibrillation."""
STRONG, STRONG_OUT_OF_NOISE = 0.5, 8.0
"""A single beat ends an asystole if it has this amplitude in mV, and this envelope relative to that between the
beats."""
SAME_BEAT = 0.1
"""Seconds within which waves in two leads are the same beat."""
FORGOTTEN = 2.0
"""Seconds of a gap after which earlier intervals are forgotten."""
SHORTEST_AGAIN = 0.28
"""Shortest interval in seconds of beats that end a fibrillation."""
WARY = 10.0
"""Seconds after a fibrillation during which an asystole ends only with beats that would end a fibrillation, too."""
ALIKE = 1.3
"""Longest interval of beats that end a fibrillation, relative to the shortest."""
LOOK_EVERY = 4
"""Hops between two tests for fibrillation."""
SEEN, GONE = 2, 6
"""Consecutive tests after which a fibrillation is reported, and after which it ends."""
GAP_HOPS, WAVES = 64, 32
"""Number of hops with gaps, and of beats, that are kept for each lead."""
ENDLESS = 12.0
"""Seconds at the beginning and end of a long gap that are processed. The rest only advances the time."""


class HeartDetector:
    """Detects heartbeats, heart rate, asystole and fibrillation in live ECG.

    The results do not depend on how the samples are split into calls of :meth:`feed`. A detector must not be used by
    several threads at once. It is not a medical device.

    Args:
        sampling_rate: in Hz, 100 to 10,000.
        leads: names of the leads, in the order of the rows of the signal. Lead II (or MLII) is preferred, otherwise the
            first.

    Raises:
        ValueError: there is no lead, or the sampling rate is out of range.
    """

    def __init__(self, sampling_rate: float, leads: Sequence[str]) -> None:
        if not leads:
            raise ValueError("at least one lead is needed")
        if not 100 <= sampling_rate <= 10_000:
            raise ValueError(f"a sampling rate of {sampling_rate} Hz is not from 100 to 10,000 Hz")
        self.sampling_rate = float(sampling_rate)
        self.leads = tuple(leads)
        count = len(self.leads)
        self._conditioner = Conditioner(self.sampling_rate, count)
        rate = self._rate = self._conditioner.rate
        self._hop = self._conditioner.hop
        self._raw_hop = self._hop * self._conditioner.factor
        self._envelope = Envelope(rate, self._conditioner.mean, count)
        self._qrs = [QrsDetector(lead, rate) for lead in range(count)]
        self._qualities = [LeadQuality(self._hop / rate) for _ in range(count)]
        self._choice = LeadChoice(self.leads, rate)
        self._fibrillation = FibrillationTest(rate / self._conditioner.mean, self._conditioner.mean, count)
        self._heart_rate = HeartRate()
        self._pending = np.zeros((count, 0), np.float32)
        self._marks: list[int] = []
        """Raw samples to replace because of a marked pacing spike, counted from the first pending sample."""
        self._samples = 0
        self._now = 0
        """Number of working samples so far."""
        self._gaps: list[deque[int]] = [deque(maxlen=GAP_HOPS) for _ in range(count)]
        """For each lead, the ends of the hops in which samples were lost, in working samples."""
        self._lost_since = [0] * count
        """Number of working samples lost in each lead since the last beat, or since the lead was noisy or off."""
        self._waves: list[deque[Wave]] = [deque(maxlen=WAVES) for _ in range(count)]
        self._last: Wave | None = None
        self._unconfirmed: list[Wave] = []
        self._rhythm = Rhythm.UNKNOWN
        self._looks = 0
        self._ignored_until = -1
        """Working sample up to which waves belong to a fibrillation."""
        self._noise_end = 0
        """Working sample up to which the chosen lead looked like noise."""
        self._noisy_until = 0
        """Working sample up to which the chosen lead was noisy: beats may have been missed."""
        self._flat_until = 0
        """Working sample up to which all leads were constant for ``FLAT`` seconds: no beat would have been seen."""
        self._usable_since: int | None = None
        self._rising: int | None = None
        self._latest = np.zeros((count, 2 * self._raw_hop), np.float32)
        """Raw samples of the last two hops."""
        self._spikes: deque[PacingSpike] = deque(maxlen=KEPT)

    def feed(self, signal: ArrayLike, *, pacing: Sequence[int] | None = None) -> list[Beat]:
        """Process the next samples.

        Args:
            signal: in mV, of shape [leads, samples], or [samples] with one lead; NaN is a missing sample. It is
                converted to float32, so that float64 and float32 give the same beats.
            pacing: indices within `signal` of pacing spikes that the device marked. Spikes of up to 3 ms are detected
                without marks; marks help if a filter of the device has made them wider.

        Returns:
            The new beats, in order.

        Raises:
            ValueError: the signal has another number of leads.
        """
        with np.errstate(over="ignore"):
            values = np.asarray(signal, dtype=np.float32)  # as in viewers: float64 would round differently
        values = values[None] if values.ndim == 1 else values
        if values.ndim != 2 or len(values) != len(self.leads):
            raise ValueError(f"a signal of shape {np.shape(signal)} does not have {len(self.leads)} leads")
        before = self._pending.shape[1]
        for mark in pacing or ():
            self._marks.extend(range(before + mark, before + mark + self._conditioner.blanked))
        self._samples += values.shape[1]
        self._pending = np.concatenate([self._pending, values], axis=1) if before else values
        beats: list[Beat] = []
        hops = self._pending.shape[1] // self._raw_hop
        for hop in range(hops):
            start, stop = hop * self._raw_hop, (hop + 1) * self._raw_hop
            blanked = [mark - start for mark in self._marks if start <= mark < stop]
            beats += self._follow(self._pending[:, start:stop], blanked)
        used = hops * self._raw_hop
        self._pending = self._pending[:, used:].copy()
        self._marks = [mark - used for mark in self._marks if mark >= used]
        return beats

    def skip(self, samples: int) -> list[Beat]:
        """Skip lost samples: the time advances, and the interval across the gap does not count.

        This is equivalent to feeding as many NaN.

        Returns:
            The new beats, in order.

        Raises:
            ValueError: the number is negative.
        """
        if samples < 0:
            raise ValueError(f"{samples} samples cannot be lost")
        endless = int(ENDLESS * self.sampling_rate) // self._raw_hop * self._raw_hop + self._raw_hop
        further = max(0, samples - 2 * endless) // self._raw_hop * self._raw_hop
        beats = self.feed(np.full((len(self.leads), min(samples, endless)), np.nan, np.float32))
        self._samples += further
        self._now += further // self._conditioner.factor
        self._conditioner.skip(further)
        rest = samples - further - min(samples, endless)
        return beats + self.feed(np.full((len(self.leads), rest), np.nan, np.float32)) if rest else beats

    @property
    def status(self) -> HeartStatus:
        """The state after the newest sample. It is computed quickly, and may be read as often as needed."""
        last = self._last
        since = None if last is None else (self._samples - self._raw_sample(last)) / self.sampling_rate
        return HeartStatus(
            self._rate_bpm(),
            since,
            self._rhythm,
            self._choice.lead,
            tuple(quality.quality for quality in self._qualities),
            self._silent_seconds(),
        )

    def take_pacing_spikes(self) -> list[PacingSpike]:
        """Return the pacing spikes of up to 3 ms that were detected since the last call, in order.

        A spike is reported after 0.1 s, and the 256 newest are kept. A glitch of the electronics looks the same. Spikes
        that the device marks are not included. Below 200 Hz, none are detected.
        """
        spikes = list(self._spikes)
        self._spikes.clear()
        return spikes

    # --- one hop ---

    def _follow(self, raw: NDArray[np.float32], blanked: list[int]) -> list[Beat]:
        samples, extremes, lost, spikes = self._conditioner.work(raw, blanked)
        self._latest = np.concatenate([self._latest[:, self._raw_hop :], raw], axis=1)
        self._now += self._hop
        envelope = self._envelope
        envelope.take(samples)
        self._fibrillation.take(samples.reshape(len(samples), MEANS_IN_A_HOP, -1).sum(2))
        self._judge_leads(extremes.tolist(), lost.tolist())
        self._spikes.extend(spike for spike in spikes if self._qualities[spike.lead].quality == SignalQuality.OK)
        for lead, place in envelope.peaks(self._hop):
            self._note(lead, self._qrs[lead].judge(envelope, place, self._now))
        for lead, qrs in enumerate(self._qrs):
            self._note(lead, qrs.look_back(self._now - envelope.apart))
        self._choose_lead()
        self._rising = self._first_rise()
        self._look_for_fibrillation()
        beats = self._new_beats()
        self._judge_rhythm()
        return beats

    def _judge_leads(self, extremes: list[list[int]], lost: list[int]) -> None:
        envelope, hop = self._envelope, self._hop
        quiet = envelope.height[:, -hop:].min(1).tolist()
        rising = envelope.slope[:, -hop - 1 :] > 0
        changes = (rising[:, 1:] != rising[:, :-1]).sum(1).tolist()
        for quality, (lowest, highest), count in zip(self._qualities, extremes, changes, strict=True):
            quality.follow(lowest, highest, lowest > highest, count)
        is_moving = any(quality.is_moving for quality in self._qualities)
        # A simulated ECG may be flat between two beats: if all leads are flat, they are off only if a beat is overdue.
        silence = self._silence() - self._lost_since[self._choice.lead]
        is_overdue = silence >= self._longest_silence() - EARLIER * self._rate
        flat_after = FLAT if is_moving or is_overdue else math.inf
        for lead, qrs in enumerate(self._qrs):
            qrs.note_quiet(quiet[lead])
            scale = envelope.height_scale
            judged = self._qualities[lead].judge(qrs.quiet / scale, qrs.recent_quiet / scale, flat_after)
            qrs.is_noisy = judged == SignalQuality.NOISY
            qrs.note_doubt(self._qualities[lead].is_doubtful, self._qualities[lead].is_calm)
            if lost[lead] or judged == SignalQuality.SATURATED:
                self._gaps[lead].append(self._now)
            self._lost_since[lead] += lost[lead] // self._conditioner.factor

    def _note(self, lead: int, wave: Wave | None) -> None:
        if wave is not None:
            self._waves[lead].append(wave)

    def _choose_lead(self) -> None:
        if self._qualities[self._choice.lead].is_doubtful:
            # The beats of this lead may be noise: do not count its intervals.
            self._heart_rate.clear()
            self._noise_end = self._now
        self._choice.choose(
            self._now,
            [SignalQuality.NOISY if one.is_doubtful else one.quality for one in self._qualities],
            self._waves,
        )

    # --- beats of the chosen lead ---

    def _new_beats(self) -> list[Beat]:
        if self._rhythm == Rhythm.FIBRILLATION and self._looks > 0:
            self._unconfirmed.clear()
            return []
        earliest = self._unconfirmed[-1] if self._unconfirmed else self._last
        after = -1 if earliest is None else earliest.decided + int(SAME_BEAT * self._rate)
        new = [
            wave
            for wave in self._waves[self._choice.lead]
            if wave.decided > after and wave.sample > self._ignored_until
        ]
        if not new:
            return []
        self._unconfirmed += sorted(new, key=lambda wave: wave.decided)
        if not self._is_confirmed():
            return []
        beats = [self._count(wave) for wave in self._unconfirmed]
        self._unconfirmed.clear()
        return beats

    def _is_confirmed(self) -> bool:
        """Return True if the new beats count. After asystole or fibrillation, several beats may be necessary."""
        waves = self._unconfirmed
        if self._rhythm in (Rhythm.BEATING, Rhythm.UNKNOWN):
            return True
        while len(waves) > 1 and waves[-1].sample - waves[0].sample > RESUMED * SILENT * self._rate:
            waves.pop(0)
        is_wary = self._ignored_until >= 0 and self._now - self._ignored_until < WARY * self._rate
        if self._rhythm == Rhythm.ASYSTOLE and not is_wary:
            strong = waves[-1].amplitude >= STRONG and waves[-1].stands_out >= STRONG_OUT_OF_NOISE
            return strong or len(waves) >= RESUMED
        intervals = [later.sample - wave.sample for wave, later in pairwise(waves)][-RESUMED:]
        return (
            len(intervals) == RESUMED
            and min(intervals) >= SHORTEST_AGAIN * self._rate
            and max(intervals) <= ALIKE * min(intervals)
        )

    def _count(self, wave: Wave) -> Beat:
        interval = None
        if self._last is not None and not self._was_lost_between(self._last, wave):
            working = wave.sample - self._last.sample
            interval = working / self._rate
            if interval <= SILENT_IF_SLOW and self._last.sample >= self._noise_end:
                self._heart_rate.add(working)
        self._last = wave
        self._lost_since = [0] * len(self.leads)
        self._rhythm = Rhythm.BEATING
        return Beat(self._raw_sample(wave), self._choice.lead, wave.amplitude, interval)

    def _was_lost_between(self, wave: Wave, later: Wave) -> bool:
        return any(wave.sample < end and end - self._hop < later.sample for end in self._gaps[self._choice.lead])

    def _raw_sample(self, wave: Wave) -> int:
        factor = self._conditioner.factor
        return max(0, wave.sample * factor + (factor - 1) // 2 - self._conditioner.delay)

    # --- rhythm and rate ---

    def _look_for_fibrillation(self) -> None:
        if self._now // self._hop % LOOK_EVERY:
            return
        is_usable = self._qualities[self._choice.lead].quality in (SignalQuality.OK, SignalQuality.NOISY)
        lead = self._choice.lead
        if is_usable and self._fibrillation.looks_so(lead, self._qrs[lead].is_irregular):
            self._looks = max(self._looks, 0) + 1
        else:
            self._looks = min(self._looks, 0) - 1
        if self._looks < SEEN:
            return
        if self._rhythm != Rhythm.FIBRILLATION:
            self._heart_rate.clear()
        self._rhythm = Rhythm.FIBRILLATION
        self._ignored_until = self._now

    def _judge_rhythm(self) -> None:
        quality = self._qualities[self._choice.lead].quality
        if quality in (SignalQuality.OFF, SignalQuality.SATURATED):
            self._become_unknown()
            return
        if self._usable_since is None:
            self._usable_since = self._now
        if self._rhythm == Rhythm.FIBRILLATION and self._looks > -GONE:
            return
        if quality == SignalQuality.NOISY:
            self._noisy_until = self._now
            self._lost_since = [0] * len(self.leads)
            self._rhythm = Rhythm.ASYSTOLE if self._rhythm == Rhythm.ASYSTOLE else Rhythm.UNKNOWN
        if all(quality.flat >= FLAT for quality in self._qualities):
            self._flat_until = self._now
        gap = self._lost_since[self._choice.lead]
        if gap > FORGOTTEN * self._rate:
            self._heart_rate.clear()
        longest = self._longest_silence()
        if self._silence() - gap < longest:
            return
        intervals = self._heart_rate.last
        if not intervals or intervals[-1] < SLOW * self._rate or self._silence() - gap > SILENT_IF_SLOW * self._rate:
            self._heart_rate.clear()
        is_flat = all(quality.is_standing(STANDING) for quality in self._qualities)
        if self._rhythm != Rhythm.ASYSTOLE and is_flat:
            self._rhythm = Rhythm.UNKNOWN
        elif self._now - self._flat_until >= longest:
            self._rhythm = Rhythm.ASYSTOLE

    def _become_unknown(self) -> None:
        self._usable_since = None
        self._lost_since = [0] * len(self.leads)
        self._rhythm = Rhythm.UNKNOWN
        self._unconfirmed.clear()
        is_forgotten = self._qualities[self._choice.lead].lost >= FORGOTTEN
        if self._last is None or is_forgotten or self._now - self._last.sample > SILENT_IF_SLOW * self._rate:
            self._heart_rate.clear()

    def _silence(self) -> int:
        """Return the number of working samples of usable signal since the last beat."""
        usable = self._usable_from()
        return self._now - (usable if self._last is None else max(usable, self._last.sample))

    def _usable_from(self) -> int:
        """Return the working sample from which on beats would have been found."""
        return max(self._usable_since or 0, self._noisy_until)

    def _silent_seconds(self) -> float:
        if self._usable_since is None:
            return 0.0
        factor, usable, last = self._conditioner.factor, max(self._usable_from(), self._flat_until), self._last
        begin = usable * factor if last is None or last.sample < usable else self._raw_sample(last)
        return max(0, self._samples - begin - factor * self._lost_since[self._choice.lead]) / self.sampling_rate

    def _longest_silence(self) -> float:
        intervals = self._heart_rate.last[-2:]
        is_slow = len(intervals) == 2 and min(intervals) >= SLOW * self._rate
        return (SILENT_IF_SLOW if is_slow else SILENT) * self._rate

    def _first_rise(self) -> int | None:
        """Return the working sample at which a wave began that may become a beat; None if there is none."""
        lead, envelope = self._choice.lead, self._envelope
        qrs = self._qrs[lead]
        since = None if qrs.last is None else self._now - qrs.last.decided
        begin = 2 * envelope.apart if since is None else min(2 * envelope.apart, since - envelope.apart)
        if begin <= 0:
            return None
        threshold = max(qrs.threshold(since), FAINTEST * envelope.height_scale)
        above = np.flatnonzero(envelope.height[lead, -begin:] >= threshold)
        return None if not len(above) else self._now - begin + int(above[0])

    def _rate_bpm(self) -> float | None:
        interval, last = self._heart_rate.interval, self._last
        if interval is None or last is None or self._rhythm != Rhythm.BEATING:
            return None
        newest = (self._samples + self._conditioner.delay) / self._conditioner.factor
        stretch = self._longest_stretch(last) if newest - last.sample > interval else 0.0
        return 60 * self._rate / max(interval, stretch)

    def _longest_stretch(self, last: Wave) -> float:
        """Return the length, in working samples, of the longest stretch without beats and gaps since the last beat."""
        longest, begin, until = 0.0, last.sample, self._silent_until(last)
        for end in self._gaps[self._choice.lead]:
            if end >= last.sample:
                longest = max(longest, min(until, end - self._hop) - begin)
                begin = max(last.decided, end)
        return max(longest, until - begin)

    def _silent_until(self, last: Wave) -> float:
        """Return the working sample up to which there is no beat: the newest, or where a wave began that may be one."""
        if self._rising is not None:
            return self._rising - (last.decided - last.sample)
        early = self._early_rise(last)
        return ((self._samples if early is None else early) + self._conditioner.delay) / self._conditioner.factor

    def _early_rise(self, last: Wave) -> int | None:
        """Return the raw sample at which the signal became steep, before the envelope shows it; None if it did not."""
        lead, hop = self._choice.lead, self._raw_hop
        mean = hop // MEANS_IN_A_HOP
        recent = np.concatenate([self._latest[lead, hop - 2 * mean :], self._pending[lead]])
        steep = first_steep(recent, mean, last.slope * self._conditioner.factor / STEEP)
        return None if steep is None else self._samples - len(recent) + steep

"""The detector: samples in, beats and the state of the heart out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .conditioning import MEANS_IN_A_HOP, Conditioner
from .envelope import Envelope
from .fibrillation import FibrillationTest
from .heart_rate import HeartRate
from .lead_choice import LeadChoice
from .lead_quality import LeadQuality
from .qrs import FAINTEST, QrsDetector, Wave
from .status import Beat, HeartStatus, Rhythm, SignalQuality

SILENT = 3.7
"""Seconds of signal without a beat that are an asystole: with the time it takes to see a beat, less than 4 s."""
SLOW, SILENT_IF_SLOW = 3.3, 5.2
"""Where the last intervals are this long, an asystole takes longer."""
FLAT_AMONG_OTHERS = 2.0
"""Seconds of one value after which a lead is off, while another lead moves."""
EARLIER = 0.1
"""Seconds before an asystole would be told, after which leads that are all flat are off."""
RESUMED = 3
"""Beats in a row that end an asystole or a fibrillation."""
STRONG, STRONG_OUT_OF_NOISE = 0.5, 8.0
"""One beat of so many mV, and so many times the envelope between the beats, ends an asystole too."""
SAME_BEAT = 0.1
"""Seconds within which waves in two leads are one beat."""
FORGOTTEN = 2.0
"""Seconds of a gap after which the intervals before it tell nothing any more."""
SHORTEST_AGAIN = 0.28
"""Seconds between the beats that end a fibrillation, at the least."""
WARY = 10.0
"""Seconds after a fibrillation in which only such beats end an asystole too."""
ALIKE = 1.3
"""Times the shortest of the intervals that end a fibrillation, that the longest may be."""
LOOK_EVERY = 4
"""Hops from one look for fibrillation to the next."""
SEEN, GONE = 2, 6
"""Looks in a row that make a fibrillation, and that end it."""
GAP_HOPS, WAVES = 64, 32
"""Hops with a gap that are remembered, and beats of each lead."""
ENDLESS = 12.0
"""Seconds of a gap after which more of it changes nothing but the clock."""


class HeartDetector:
    """Finds heartbeats in one stream of ECG as it comes, counts them, and tells asystole and fibrillation.

    It gives the same however the samples are cut into calls of :meth:`feed`: it looks every 60 ms of signal. Not safe
    for use by several threads at once. Not a medical device.

    Args:
        sampling_rate: in Hz, 100 to 10,000.
        leads: their names, in the order of the rows of the signal. Lead II (or MLII) is preferred, else the first.

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
        self._pending = np.zeros((count, 0))
        self._marks: list[int] = []
        """Raw samples, counted from the first pending one, that are bridged for a marked pacing spike."""
        self._samples = 0
        self._now = 0
        """Working samples so far."""
        self._gaps: list[deque[int]] = [deque(maxlen=GAP_HOPS) for _ in range(count)]
        """Of each lead, the ends of the hops in which samples were lost, in working samples."""
        self._lost_since = [0] * count
        """Working samples lost in each lead since the last beat."""
        self._waves: list[deque[Wave]] = [deque(maxlen=WAVES) for _ in range(count)]
        self._last: Wave | None = None
        self._unconfirmed: list[Wave] = []
        self._rhythm = Rhythm.UNKNOWN
        self._looks = 0
        self._ignored_until = -1
        """Working sample up to which waves were those of a fibrillation."""
        self._usable_since: int | None = None
        self._rising: int | None = None

    def feed(self, signal: ArrayLike, *, pacing: Sequence[int] | None = None) -> list[Beat]:
        """Take the next samples.

        Args:
            signal: in mV, of shape [leads, samples], or [samples] with one lead; NaN where a sample is missing.
            pacing: indices within `signal` of pacing spikes that the device has marked. Spikes of up to 3 ms are found
                without; the mark helps where a filter of the device has made them wider.

        Returns:
            The beats that are certain now, in order.

        Raises:
            ValueError: the signal has another number of leads.
        """
        values = np.asarray(signal, dtype=np.float64)
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
        """Samples are lost here: the clock goes on, and the interval across the gap is not counted.

        It is the same as to feed as many NaN.

        Returns:
            The beats that are certain now, in order.

        Raises:
            ValueError: a negative number.
        """
        if samples < 0:
            raise ValueError(f"{samples} samples cannot be lost")
        endless = int(ENDLESS * self.sampling_rate) // self._raw_hop * self._raw_hop + self._raw_hop
        further = max(0, samples - 2 * endless) // self._raw_hop * self._raw_hop
        beats = self.feed(np.full((len(self.leads), min(samples, endless)), np.nan))
        self._samples += further
        self._now += further // self._conditioner.factor
        rest = samples - further - min(samples, endless)
        return beats + self.feed(np.full((len(self.leads), rest), np.nan)) if rest else beats

    @property
    def status(self) -> HeartStatus:
        """The state after the newest sample; cheap, to be asked as often as one likes."""
        last = self._last
        since = None if last is None else (self._samples - self._raw_sample(last)) / self.sampling_rate
        return HeartStatus(
            self._rate_bpm(),
            since,
            self._rhythm,
            self._choice.lead,
            tuple(quality.quality for quality in self._qualities),
        )

    # --- one hop ---

    def _follow(self, raw: NDArray[np.float64], blanked: list[int]) -> list[Beat]:
        samples, extremes, lost = self._conditioner.work(raw, blanked)
        self._now += self._hop
        envelope = self._envelope
        envelope.take(samples)
        self._fibrillation.take(samples.reshape(len(samples), MEANS_IN_A_HOP, -1).sum(2))
        self._judge_leads(extremes.tolist(), lost.tolist())
        for lead, place in envelope.peaks(self._hop):
            self._note(lead, self._qrs[lead].judge(envelope, place, self._now))
        for lead, qrs in enumerate(self._qrs):
            self._note(lead, qrs.look_back(self._now - envelope.apart))
        self._choice.choose(self._now, [quality.quality for quality in self._qualities], self._waves)
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
        moving = any(quality.is_moving for quality in self._qualities)
        flat_after = FLAT_AMONG_OTHERS if moving else self._longest_silence() / self._rate - EARLIER
        for lead, qrs in enumerate(self._qrs):
            qrs.note_quiet(quiet[lead])
            judged = self._qualities[lead].judge(qrs.quiet / envelope.height_scale, flat_after)
            qrs.is_noisy = judged == SignalQuality.NOISY
            if lost[lead] or judged == SignalQuality.SATURATED:
                self._gaps[lead].append(self._now)
            self._lost_since[lead] += lost[lead] // self._conditioner.factor

    def _note(self, lead: int, wave: Wave | None) -> None:
        if wave is not None:
            self._waves[lead].append(wave)

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
        """Whether the beats that came are to be counted: at once, but after a silence or a fibrillation."""
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
            if interval <= SILENT_IF_SLOW:
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
        gap = self._lost_since[self._choice.lead]
        if gap > FORGOTTEN * self._rate:
            self._heart_rate.clear()
        if self._silence() - gap < self._longest_silence():
            return
        intervals = self._heart_rate.last
        if not intervals or intervals[-1] < SLOW * self._rate or self._silence() - gap > SILENT_IF_SLOW * self._rate:
            self._heart_rate.clear()
        if quality == SignalQuality.NOISY and self._rhythm != Rhythm.ASYSTOLE:
            self._rhythm = Rhythm.UNKNOWN
        elif quality == SignalQuality.OK:
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
        """Working samples of usable signal since the last beat."""
        begin = self._usable_since or 0
        if self._last is not None:
            begin = max(begin, self._last.sample)
        return self._now - begin

    def _longest_silence(self) -> float:
        intervals = self._heart_rate.last[-2:]
        is_slow = len(intervals) == 2 and min(intervals) >= SLOW * self._rate
        return (SILENT_IF_SLOW if is_slow else SILENT) * self._rate

    def _first_rise(self) -> int | None:
        """The working sample at which a wave began that may yet be a beat."""
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
        gap_end = max(self._gaps[self._choice.lead], default=0)
        begin = last.decided if gap_end < last.sample else max(last.decided, gap_end)
        until = self._now if self._rising is None else self._rising
        if until - begin > interval:
            factor, delay = self._conditioner.factor, self._conditioner.delay
            waiting = self._samples / factor - self._now if self._rising is None else 0.0
            interval = max(
                interval, until + waiting + delay / factor - (begin if begin > last.decided else last.sample)
            )
        return 60 * self._rate / interval

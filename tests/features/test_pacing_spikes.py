"""Detection of pacing spikes in the signal: each is reported once, and nothing else is."""

import numpy as np
import pytest
from heart_signals import QRS, SINUS, WIDE, beats_at, ecg, noise, spikes

from ecgframe.features import HeartDetector
from ecgframe.records import shipped_ecg


def seen(signal, rate, leads=("II",), step=0.05):
    """Return the pacing spikes of a signal that is fed in steps of this duration."""
    signal = np.atleast_2d(signal)
    detector, count, found = HeartDetector(rate, leads), round(step * rate), []
    for begin in range(0, signal.shape[1], count):
        detector.feed(signal[:, begin : begin + count])
        found += detector.take_pacing_spikes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rate", [250, 360, 500, 1000])
@pytest.mark.parametrize(("width", "size"), [(0.0005, 5), (0.002, 1), (0.001, -2), (0.0025, 20)])
def test_each_spike_before_a_paced_beat_is_reported_once(rate, width, size):
    at = beats_at(70, 0.5, 8)
    signal = ecg(np.array(at) + 0.06, 8, rate, WIDE) + spikes(at, width, size, 8, rate)
    signal += noise("smoothed", 0.03, len(signal), rate, np.random.default_rng(1))
    found = seen(signal, rate)
    assert [spike.sample / rate for spike in found] == pytest.approx(at, abs=0.003 + 1 / rate)
    assert all(np.sign(spike.amplitude) == np.sign(size) for spike in found)
    assert np.median([spike.amplitude for spike in found]) == pytest.approx(size, rel=0.15)


def test_two_chambers_are_two_spikes_and_all_leads_one():
    atria = np.array(beats_at(60, 0.5, 15))
    both = sorted([*atria, *(atria + 0.16)])
    signal = np.stack([share * spikes(both, 0.001, 3, 15, 500) for share in (0.4, -1, 0.2)])
    signal += np.random.default_rng(2).normal(0, 0.01, signal.shape)
    found = seen(signal, 500, ("I", "II", "V1"))
    assert [spike.sample / 500 for spike in found] == pytest.approx(both, abs=0.005)
    assert {spike.lead for spike in found} == {1}


def test_spikes_do_not_depend_on_the_size_of_the_chunks():
    signal = ecg(beats_at(60, 0, 8), 8, 500) + spikes(beats_at(60, 0.2, 8), 0.002, 3, 8, 500)
    assert seen(signal, 500, step=8) == seen(signal, 500, step=0.002) != []


def test_samples_that_are_lost_count():
    signal = spikes([1.0], 0.002, 3, 2, 500) + np.random.default_rng(0).normal(0, 0.01, 1000)
    for lost in (100, 123_456):
        detector = HeartDetector(500, ["II"])
        detector.feed(signal)
        detector.skip(lost)
        detector.feed(signal)
        assert [spike.sample for spike in detector.take_pacing_spikes()] == [500, 1500 + lost]
        assert detector.take_pacing_spikes() == []


def test_spikes_that_the_device_marks_are_not_reported_again():
    signal = ecg(beats_at(60, 0, 6), 6, 500) + spikes(beats_at(60, 0.2, 6), 0.002, 3, 6, 500)
    detector = HeartDetector(500, ["II"])
    detector.feed(signal, pacing=[int(second * 500) for second in beats_at(60, 0.2, 6)])
    assert detector.take_pacing_spikes() == []


def test_no_more_are_kept_than_anybody_looks_at():
    detector = HeartDetector(500, ["II"])
    signal = spikes(np.arange(0.25, 74.9, 0.25), 0.002, 3, 75, 500)
    detector.feed(signal)
    kept = detector.take_pacing_spikes()
    assert len(kept) == 256
    assert kept[-1].sample == pytest.approx(74.75 * 500, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [200, 250, 500, 1000])
@pytest.mark.parametrize("kind", ["white", "smoothed", "50 Hz"])
def test_noise_and_r_peaks_are_no_spikes(rate, kind):
    found = []
    sharp = ((-0.015, 0.005, -0.4), (0, 0.005, 1.5), (0.015, 0.005, -0.5))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        waves = (SINUS, QRS, sharp)[seed % 3]
        beats = rng.uniform(0.3, 4) * rng.choice([-1, 1]) * ecg(np.array(beats_at(75, 0, 5)) + 0.0013, 5, rate, waves)
        found += seen(beats + noise(kind, 0.05, 5 * rate, rate, rng), rate, step=1)
    assert found == []


def test_a_recording_without_a_pacemaker_has_none():
    record = shipped_ecg()
    assert seen(record.physical(), record.sampling_rate, record.leads, 1) == []


def test_muscles_are_hardly_taken_for_spikes():
    signal = ecg(beats_at(75, 0, 30), 30, 500)
    signal[5000:] += np.random.default_rng(0).normal(0, 0.6, len(signal) - 5000)
    assert len(seen(signal, 500)) < 3


def test_below_200_hz_none_are_looked_for():
    assert seen(spikes([1, 2, 3], 0.002, 5, 4, 125), 125) == []

import numpy as np
import pytest
from recordings import toy_ecg

from ecgframe.records import Record, shipped_ecg
from ecgframe.records.loop_point import seamless

RATE = 250
RNG = np.random.default_rng(7)


def beats(period: float, seconds: float, noise: float = 0.0) -> Record:
    """Return regular beats of a sharp and a broad wave each."""
    phase = np.arange(round(seconds * RATE)) / RATE % period
    beat = np.exp(-(((phase - 0.05) / 0.02) ** 2)) + 0.3 * np.exp(-(((phase - 0.3) / 0.06) ** 2))
    signal = np.stack([beat, -0.5 * beat]) + noise * RNG.standard_normal((2, len(phase)))
    return Record(signal, RATE, ("I", "II"), source="beats")


@pytest.mark.parametrize("period", [0.437, 0.837, 1.1])
def test_the_pace_goes_on_over_the_seam(period):
    found = seamless(beats(period, 20.3, noise=0.02))
    assert len(found) > 16 * RATE
    assert len(found) / RATE / period == pytest.approx(round(len(found) / RATE / period), abs=0.03)


@pytest.mark.parametrize("record", [shipped_ecg(), toy_ecg()], ids=["shipped", "toy"])
def test_real_recordings_have_a_place_that_fits(record):
    found = seamless(record)
    assert 0 <= found.start < found.stop <= record.samples
    assert len(found) > 0.75 * record.samples
    signal = record.physical()
    step = np.abs(signal[:, found.start] - signal[:, found.stop - 1])
    assert np.all(step < np.abs(np.diff(signal, axis=1)).max(axis=1) / 2)
    assert np.all(step < signal.std(axis=1) / 2)


def test_a_record_without_a_matching_point_has_no_loop_point():
    drifting = Record(np.arange(5000.0)[None] ** 2, RATE, ("I",), source="drift")
    assert seamless(drifting) is None


def test_a_short_recording_is_not_searched():
    assert seamless(beats(0.8, 2.9)) is None
    assert seamless(Record(np.zeros((1, 5)), 1, ("I",), source="five samples")) is None


def test_missing_samples_and_flat_leads_do_not_disturb():
    record = beats(0.8, 20)
    signal = np.concatenate([record.signal, np.zeros((1, record.samples)), np.full((1, record.samples), np.nan)])
    assert seamless(Record(signal, RATE, tuple("abcd"), source="leads off")) is not None


def test_unlikely_rates_are_searched_as_well():
    times = np.arange(400) / 20
    slow = Record(np.sin(times * 2)[None], 20, ("resp",), source="slow")
    found = seamless(slow)
    assert found is not None
    assert abs(slow.signal[0, found.start] - slow.signal[0, found.stop - 1]) < 0.2

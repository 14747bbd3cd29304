from __future__ import annotations

import numpy as np
import pytest

from ecgframe.records import Record, RecordError

COUNTS = np.array([[1024, 1224], [0, 400]], np.int16)


def record(**changes: object) -> Record:
    fields = {
        "signal": COUNTS,
        "sampling_rate": 360.0,
        "leads": ("I", "II"),
        "gain": (200.0, 100.0),
        "baseline": (1024.0, 0.5),
        "source": "here",
    }
    return Record(**(fields | changes))


def test_physical_values_are_counts_less_baseline_over_gain():
    np.testing.assert_array_equal(record().physical(), [[0.0, 1.0], [-0.005, 3.995]])
    assert record().physical().dtype == np.float64


def test_unsigned_counts_below_the_baseline_become_negative():
    unsigned = record(signal=COUNTS.astype(np.uint16))
    np.testing.assert_array_equal(unsigned.physical(), record().physical())


def test_a_physical_signal_is_its_own_physical_value():
    signal = np.array([[0.1, 0.2]], np.float32)
    physical = record(signal=signal, leads=("I",), gain=None, baseline=None)
    assert not physical.is_counts
    np.testing.assert_array_equal(physical.physical(), signal.astype(np.float64))


def test_whole_numbers_are_kept_as_such():
    assert repr(record().sampling_rate) == "360"
    assert repr(record().baseline) == "(1024, 0.5)"
    assert repr(record(sampling_rate=128.5).sampling_rate) == "128.5"


def test_length_in_samples_and_seconds():
    assert record().samples == 2
    assert record().duration == 2 / 360


def test_taking_leads_reorders_everything_that_belongs_to_them():
    taken = record(left_out=("RESP",)).take(["II"])
    np.testing.assert_array_equal(taken.signal, COUNTS[1:])
    assert (taken.leads, taken.gain, taken.baseline) == (("II",), (100.0,), (0.5,))
    assert taken.left_out == ("RESP", "I")
    assert record().take(["II", "I"]).gain == (100.0, 200.0)


def test_taking_leads_of_a_physical_record():
    physical = record(signal=COUNTS / 200, gain=None, baseline=None)
    assert physical.take(["II"]).gain is None


def test_taking_a_lead_that_is_not_there_names_those_that_are():
    with pytest.raises(RecordError, match=r"here: no lead 'V1' there; it has 'I', 'II'"):
        record().take(["V1"])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"signal": COUNTS[0]}, "must be .leads, samples. integers or floats"),
        ({"signal": COUNTS > 0}, "is bool of shape"),
        ({"signal": COUNTS.astype(complex)}, "is complex128"),
        ({"signal": np.zeros((2, 0), np.int16)}, "it holds no samples"),
        ({"leads": ("I",)}, "1 lead names for 2 leads"),
        ({"sampling_rate": 0}, "sampling rate must be above 0 Hz"),
        ({"sampling_rate": float("nan")}, "sampling rate must be above 0 Hz"),
        ({"sampling_rate": float("inf")}, "sampling rate must be above 0 Hz"),
        ({"baseline": None}, "gain and baseline go together"),
        ({"gain": None}, "gain and baseline go together"),
        ({"signal": COUNTS / 200}, "the signal is physical already"),
        ({"gain": (200.0,)}, "1 gains and 2 baselines for 2 leads"),
        ({"baseline": (0,)}, "2 gains and 1 baselines for 2 leads"),
        ({"gain": (200.0, 0.0)}, "gains must be finite and not zero"),
        ({"baseline": (0, float("inf"))}, "baselines finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(RecordError, match=problem):
        record(**changes)

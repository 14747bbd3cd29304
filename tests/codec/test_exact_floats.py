"""Floats that are counts times a gain: found again, bit for bit, or left alone."""

import json

import numpy as np
import oracle
import pytest
import record_oracle
from hypothesis import given
from hypothesis import strategies as st
from rendering import VECTORS, from_json
from thoroughness import examples

from ecgframe.exact import KEPT_VALUES, ExactSamples
from ecgframe.messages.templates import Scale, Template
from ecgframe.records import shipped_ecg

STEPS = [4.88, 5.0, 1.25, 2.44, 0.153, 1 / 3]
WAYS = {
    "times, then by 1000": lambda counts, step: counts * step / 1000,
    "rounded to 5 decimals": lambda counts, step: np.round(counts * step / 1000, 5),
    "by a gain": lambda counts, step: counts / (1000 / step),
    "times a factor": lambda counts, step: counts * (step / 1000),
}
QUIET_NAN = np.array(0x7FF8_0000_0000_0000, "u8").view("f8")


def given_back(found):
    """Return the samples that a receiver reads for counts in a record."""
    signal = found.counts
    rows = len(signal) if signal.ndim == 2 else 0
    template = Template(1, "s", str(signal.dtype), rows, {}, missing=found.missing, scale=found.scale)
    payload = template.encode(signal, 0)
    read = template.decode(payload).data["signal"]
    assert oracle.same(read, record_oracle.read_record(payload, template.payload)["signal"])
    return read


def assert_exact(found, floats):
    expected = np.array(floats, np.float64) + 0.0  # no sign of zero
    expected[np.isnan(expected)] = QUIET_NAN
    assert oracle.same(given_back(found), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", STEPS[:3])
def test_the_counts_of_the_shipped_ecg_are_found(step, way):
    counts = shipped_ecg().signal
    samples = ExactSamples()
    for at in range(0, 2000, 50):
        cut = counts[:, at : at + 50]
        floats = WAYS[way](cut.astype(np.float64), step)
        found = samples.take(floats)
        assert oracle.same(found.counts, np.ascontiguousarray(cut))
        assert_exact(found, floats)
    whole = ExactSamples().take(WAYS[way](counts.astype(np.float64), step))
    assert oracle.same(whole.counts, counts)


@given(
    st.lists(st.integers(-(2**17), 2**17), max_size=30),
    st.sampled_from(STEPS),
    st.sampled_from(sorted(WAYS)),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
@examples(300)
def test_counts_and_scale_restore_every_bit(counts, step, way, gone):
    floats = WAYS[way](np.array(counts, np.float64), step)
    floats[np.array(gone[: len(counts)], bool)] = np.nan
    found = ExactSamples().take(floats)
    if found is not None:
        assert_exact(found, floats)


@given(st.lists(st.floats(), max_size=12))
@examples(300)
def test_any_floats_arrive_with_every_bit_or_are_left_alone(floats):
    found = ExactSamples().take(floats)
    if any(map(np.isinf, floats)):
        assert found is None
    if found is not None:
        assert_exact(found, floats)


def test_random_floats_are_left_alone():
    floats = np.random.default_rng(7).normal(size=(12, 50))
    assert ExactSamples().take(floats) is None


def test_zeros_and_nans():
    found = ExactSamples().take(np.array([0.0, -0.0, np.nan]))
    assert found.scale == Scale(1.0, 1.0)
    assert found.counts.tolist() == [0, 0, -(2**15)]
    assert_exact(found, [0.0, -0.0, np.nan])
    assert ExactSamples().take(np.full((2, 3), np.nan)).counts.tolist() == [[-(2**15)] * 3] * 2
    assert ExactSamples().take(np.zeros((2, 0))).counts.shape == (2, 0)


def test_other_nans_arrive_as_the_quiet_one():
    floats = np.array([0x7FF8_0000_0000_002A, 0xFFF0_0000_0000_0001], np.uint64).view(np.float64)
    assert given_back(ExactSamples().take(floats)).tobytes() == np.array([QUIET_NAN] * 2).tobytes()


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinities_are_left_alone(infinity):
    assert ExactSamples().take(np.array([0.5, infinity])) is None


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(2**15 - 1, "int16"), (-(2**15 - 1), "int16"), (-(2**15), "int32"), (2**15, "int32"), (-(2**31 - 1), "int32")],
)
def test_the_least_of_the_dtype_is_no_count(largest, dtype):
    found = ExactSamples().take(np.array([1.0, largest]))
    assert found.counts.dtype == dtype
    assert_exact(found, [1.0, largest])


def test_more_than_32_bits_are_left_alone():
    assert ExactSamples().take(np.array([1.0, -(2.0**31)])) is None
    assert ExactSamples().take(np.array([1.0, 2.0**60])) is None


def test_the_counts_have_no_divisor_in_common():
    found = ExactSamples().take(np.array([0.0, 0.5, 1.0, 2.5]) * 1000)
    assert (found.scale, found.counts.tolist()) == (Scale(500.0, 1.0), [0, 1, 2, 5])


def test_a_scale_that_was_found_stays():
    samples = ExactSamples()
    samples.take(np.array([0.005, 0.01, 0.035]))
    scale = samples.scale
    assert samples.take(np.array([0.0, 1.0])).scale == scale == Scale(1.0, 200.0)


def test_a_scale_of_coarser_values_is_looked_for_again_over_all():
    samples = ExactSamples()
    assert samples.take(np.array([0.05, 0.1, 0.15])).scale == Scale(1.0, 20.0)
    finer = samples.take(np.array([0.005, 0.015]))
    assert finer.scale == Scale(1.0, 200.0)
    assert samples.take(np.array([0.05, 0.1])).scale == Scale(1.0, 200.0)


def test_a_gain_that_changes_is_found_though_the_values_before_do_not_fit():
    counts = shipped_ecg().signal[:, :50].astype(np.float64)
    samples = ExactSamples()
    first = samples.take(counts * 4.88 / 1000)
    second = samples.take(counts / 7.7)
    assert first.scale != second.scale
    assert_exact(second, counts / 7.7)


def test_few_values_are_kept():
    samples = ExactSamples()
    for _ in range(30):
        samples.take(np.arange(1000.0))
        assert sum(map(len, samples._kept)) <= KEPT_VALUES
    samples.take(np.arange(100_000.0))
    assert sum(map(len, samples._kept)) <= KEPT_VALUES


def test_later_changes_of_the_array_do_not_change_the_kept_values():
    samples, floats = ExactSamples(), np.array([0.05, 0.1])
    samples.take(floats)
    floats[:] = np.pi
    assert samples.take(np.array([0.005])).scale == Scale(1.0, 200.0)


@pytest.mark.parametrize(
    "signal",
    [
        [0.5, 1, 2.25],
        [[0.5, 1.0], [2, 3]],
        [],
        [[], []],
        [np.float64(0.5), np.int16(3)],
        [2**53, -(2**53) + 2**40, 0.0, float(2**40)],
    ],
)
def test_lists_of_numbers(signal):
    assert_exact(ExactSamples().take(signal), signal)


@pytest.mark.parametrize(
    "signal",
    [
        [True, 1.0],
        [0.5, 2**53 + 1],
        [[0.5], [-(2**53) - 2]],
        [[0.5], [1.0, 2.0]],
        [0.5, None],
        [0.5, "1"],
        "0.5",
        None,
        0.5,
        np.array([1, 2]),
        np.array([0.5], np.float32),
        np.array([0.5], ">f8"),
        np.array(0.5),
        np.zeros((1, 1, 1)),
        np.ma.masked_array([0.5], [True]),
    ],
    ids=repr,
)
def test_other_values_than_float64_signals_are_left_unchanged(signal):
    assert ExactSamples().take(signal) is None


@pytest.mark.parametrize(
    "vector",
    json.loads((VECTORS / "v4-records.json").read_text(encoding="utf-8"))["exact"],
    ids=lambda one: one["name"],
)
def test_the_vectors(vector):
    found = ExactSamples().take(from_json(vector["signal"]))
    if vector["scale"] is None:
        assert found is None
    else:
        assert found.scale == Scale(**from_json(vector["scale"]))
        assert oracle.same(found.counts, from_json(vector["counts"]))


def test_bytes_of_millivolts_are_those_of_the_counts():
    record = shipped_ecg()
    samples, fields = ExactSamples(), {"leads": list(record.leads)}
    by_counts = Template(1, "s", "int16", 12, fields)
    for at in range(0, 1000, 50):
        cut = slice(at, at + 50)
        found = samples.take(record.physical()[:, cut])
        by_floats = Template(1, "s", "int16", 12, fields, missing=found.missing, scale=found.scale)
        assert by_floats.encode(found.counts, 0) == by_counts.encode(record.signal[:, cut], 0)

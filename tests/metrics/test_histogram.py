import math
from bisect import bisect_left

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecgframe.metrics import BYTES, SECONDS, Histogram, steps

DURATIONS = st.lists(st.floats(0, 60), min_size=1, max_size=200)


def filled(values, bounds=SECONDS):
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram


def test_a_histogram_without_values_has_no_average():
    assert Histogram((1, 2)).snapshot() == {
        "count": 0,
        "sum": 0,
        "mean": None,
        "percentiles": {50: None, 90: None, 99: None},
        "largest": None,
        "buckets": [(1, 0), (2, 0), (math.inf, 0)],
    }


def test_a_value_on_a_bound_is_below_it():
    assert filled([1, 2, 2.5], (1, 2)).snapshot()["buckets"] == [(1, 1), (2, 2), (math.inf, 3)]


def test_a_value_can_be_counted_several_times():
    at_once, one_by_one = Histogram(BYTES), filled([700] * 5 + [60], BYTES)
    at_once.observe(700, times=5)
    at_once.observe(60)
    assert at_once.snapshot() == one_by_one.snapshot()


def test_percentiles_are_interpolated_linearly():
    histogram = filled([11, 12, 13, 30], (10, 20, 40))
    assert histogram.percentile(0) == 10
    assert histogram.percentile(75) == 20
    assert histogram.percentile(100) == 30
    assert histogram.percentile(50) == pytest.approx(10 + 10 * 2 / 3)


def test_the_last_bucket_ends_at_the_largest_value():
    histogram = filled([500, 900], (10,))
    assert histogram.percentile(50) == 10 + (900 - 10) / 2
    assert histogram.percentile(100) == 900


@given(DURATIONS, st.integers(0, 100))
@example([11.0, 11.0, 31.90120266145778], 100)
def test_a_percentile_lies_in_the_bucket_of_the_true_one(durations, percent):
    rank = -(-len(durations) * percent // 100)
    true = sorted(durations)[max(rank, 1) - 1]
    bucket = bisect_left(SECONDS, true)
    low, high = [0, *SECONDS, math.inf][bucket : bucket + 2]
    assert low <= filled(durations).percentile(percent) <= min(high, max(durations))


@given(DURATIONS)
def test_count_sum_and_mean_are_exact(durations):
    histogram = filled(durations)
    assert histogram.count == len(durations)
    assert histogram.sum == pytest.approx(math.fsum(durations))
    assert histogram.mean == pytest.approx(math.fsum(durations) / len(durations))
    assert histogram.largest == max(durations)


@given(DURATIONS, DURATIONS)
def test_merging_adds_the_values_of_both(some, others):
    merged = filled(some)
    merged.merge(filled(others))
    both = filled(some + others)
    assert merged.snapshot() == both.snapshot() | {"sum": merged.sum, "mean": merged.mean}
    assert merged.sum == pytest.approx(both.sum)


def test_only_histograms_with_the_same_bounds_can_be_merged():
    with pytest.raises(ValueError, match="same bounds"):
        Histogram(BYTES).merge(Histogram(SECONDS))


@pytest.mark.parametrize("bounds", [(), (1, 1), (2, 1), (1, math.inf), (math.nan, 1)])
def test_bounds_must_increase(bounds):
    with pytest.raises(ValueError, match="bounds of buckets"):
        Histogram(bounds)


@pytest.mark.parametrize("percent", [-1, 100.5, math.nan])
def test_percentiles_are_from_0_to_100(percent):
    with pytest.raises(ValueError, match="from 0 to 100"):
        filled([1]).percentile(percent)


def test_the_predefined_bounds():
    assert SECONDS[:4] == (1e-6, 2e-6, 5e-6, 1e-5)
    assert SECONDS[-1] == 10
    assert (BYTES[0], BYTES[-1]) == (16, 2**24)


@pytest.mark.parametrize(("first", "last"), [(3, 10), (1, 7), (10, 1), (0, 1)])
def test_steps_include_both_ends(first, last):
    with pytest.raises(ValueError, match="no steps"):
        steps(first, last)

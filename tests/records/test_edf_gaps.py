"""Stretches in which all leads are missing: found in portions of any size, annotated up to a number."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecgframe.records import Record, edf_gaps, read_record, save_record
from ecgframe.records.edf_gaps import Gaps


def stretches(flags):
    """Find them sample by sample."""
    at = itertools.accumulate(len(list(run)) for _, run in itertools.groupby(flags))
    return [(stop - len(run), stop) for run, stop in zip(runs(flags), at, strict=True) if run[0]]


def runs(flags):
    return [list(run) for _, run in itertools.groupby(flags)]


@given(st.lists(st.lists(st.booleans(), max_size=9), max_size=9))
def test_portions_of_any_size(parts):
    gaps = Gaps()
    found = [gap for part in parts for gap in gaps.take(np.array(part, np.bool_))] + gaps.finish()
    assert found == stretches([flag for part in parts for flag in part])
    assert gaps.finish() == []
    assert gaps.left_out == 0


@given(st.lists(st.lists(st.booleans(), max_size=9), max_size=9), st.integers(0, 5))
def test_no_more_than_a_number(parts, most):
    whole = stretches([flag for part in parts for flag in part])
    edf_gaps.MOST_GAPS, before = most, edf_gaps.MOST_GAPS
    try:
        gaps = Gaps()
        found = [gap for part in parts for gap in gaps.take(np.array(part, np.bool_))] + gaps.finish()
    finally:
        edf_gaps.MOST_GAPS = before
    assert found == whole[:most]
    assert gaps.left_out == len(whole) - len(found)


def test_a_recording_with_a_gap_at_every_second_sample(tmp_path):
    signal = np.tile(np.array([0, 1], "i1"), 50_000)[None]
    record = Record(signal, 500, ("I",), gain=(1,), baseline=(0,), missing=1)
    remarks = save_record(record, tmp_path / "a.edf").remarks
    assert "40,000 gaps are not annotated, only the first 10,000; their samples are marked as missing" in remarks
    np.testing.assert_array_equal(read_record(tmp_path / "a.edf").is_missing(), record.is_missing())

"""The rows of numbers in CSV: the same text whoever formats it."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from ecgframe.records import csv_rows

EDGES = [0.0, -0.0, 1e-4, 9.999e-5, 1e-5, 5e-324, 1e15, 1e16, 9999999999999998.0, 1.7e308, np.nan, np.inf, -np.inf, 0.1]


def expected(times, samples):
    text = io.StringIO()
    rows = zip(times.tolist(), samples.tolist(), strict=True)
    csv.writer(text, lineterminator="\n").writerows([time, *row] for time, row in rows)
    return text.getvalue()


numbers = st.one_of(
    of_numpy.integer_dtypes(endianness="?"),
    of_numpy.unsigned_integer_dtypes(endianness="?"),
    of_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    st.just(np.dtype(bool)),
)
tables = numbers.flatmap(lambda dtype: of_numpy.arrays(dtype, st.tuples(st.integers(0, 5), st.integers(1, 4))))

rates = st.one_of(st.sampled_from([1, 250, 360]), st.floats(1e-3, 1e6))


@pytest.mark.parametrize("is_without", [False, True])
@given(
    samples=tables, start=st.integers(0, 10**9), rate=st.one_of(st.sampled_from([1, 250, 360]), st.floats(1e-3, 1e6))
)
def test_rows_are_as_python_writes_them(is_without, samples, start, rate):
    times = np.arange(start, start + len(samples)) / rate
    with pytest.MonkeyPatch.context() as patch:
        if is_without:
            patch.setattr(csv_rows, "_orjson", lambda: None)
        assert csv_rows.rows_as_text(times, samples) == expected(times, samples)


def test_numbers_that_libraries_write_in_different_ways():
    samples = np.array([EDGES, EDGES[::-1]]).T
    times = np.arange(len(EDGES)) * 1e-5
    assert csv_rows.rows_as_text(times, samples) == expected(times, samples)

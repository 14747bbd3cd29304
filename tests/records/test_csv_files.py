from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from recordings import assert_same, toy_ecg

from ecgframe.records import Record, RecordError, read_record, shipped_ecg, write_record

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
numbers = st.floats(1e-3, 1e6)


@pytest.fixture
def csv(tmp_path):
    """Write text, or bytes, and give the path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "ecg.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refused(path: Path, match: str, **options) -> None:
    with pytest.raises(RecordError, match=match):
        read_record(path, **options)


# --- reading what others wrote ---


def test_names_time_and_millivolts(csv):
    record = read_record(csv("time,I,II\n0.000,-0.035,0.1\n0.004,0.2,1e-3\n0.008,0.3,5\n"))
    np.testing.assert_array_equal(record.signal, [[-0.035, 0.2, 0.3], [0.1, 0.001, 5.0]])
    assert record.signal.dtype == np.float64
    assert (record.sampling_rate, record.leads, record.units, record.gain) == (250, ("I", "II"), "mV", None)


def test_bare_columns_are_numbered_and_take_the_rate_given(csv):
    record = read_record(csv("0.5,1.5\n2.5,3.5\n"), sampling_rate=500)
    np.testing.assert_array_equal(record.signal, [[0.5, 2.5], [1.5, 3.5]])
    assert (record.sampling_rate, record.leads) == (500, ("ch1", "ch2"))


def test_whole_numbers_are_counts(csv):
    for largest, dtype in ((32_767, np.int16), (32_768, np.int32), (-(2**31) - 1, np.int64)):
        record = read_record(csv(f"I\n1\n{largest}\n"), sampling_rate=500)
        assert (record.signal.dtype, record.units) == (dtype, "counts")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_be_separated_by_comma_semicolon_or_tab(csv, separator):
    assert read_record(csv(f"I{separator}II\n1.5{separator}2\n"), sampling_rate=1).leads == ("I", "II")


def test_quotes_blank_lines_windows_lines_and_a_byte_order_mark_do_no_harm(csv):
    record = read_record(csv('\ufeff"I, left";II\r\n\r\n"1.5";2\r\n'), sampling_rate=1)
    assert record.leads == ("I, left", "II")
    np.testing.assert_array_equal(record.signal, [[1.5], [2.0]])


def test_a_missing_sample_is_written_nan(csv):
    np.testing.assert_array_equal(read_record(csv("1.5\nnan\n"), sampling_rate=1).signal, [[1.5, np.nan]])


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_are_read_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "ecg.csv"
    path.write_text("I\n" + "\n".join(f"{value:.17e}" for value in values))
    np.testing.assert_array_equal(read_record(path, sampling_rate=1).signal, [values])


@pytest.mark.parametrize("name", ["time", "Time", "t", "seconds", "time (s)"])
def test_the_time_may_be_called_and_stand_anywhere(csv, name):
    record = read_record(csv(f"I,{name}\n1.5,0\n2.5,0.002\n"))
    assert (record.sampling_rate, record.leads) == (500, ("I",))


@pytest.mark.parametrize("rate", [1, 128, 250, 257, 360, 499.5, 1000])
@pytest.mark.parametrize("digits", [4, 6, 17])
def test_the_rate_comes_out_of_rounded_times(csv, rate, digits):
    rows = "".join(f"{number / rate:.{digits}f},0.5\n" for number in range(3000))
    assert read_record(csv("time,I\n" + rows)).sampling_rate == rate


def test_times_in_exponent_notation_count_as_exact(csv):
    assert read_record(csv("time,I\n0e0,0.5\n2e-3,0.5\n4e-3,0.5\n")).sampling_rate == 500


def test_a_given_rate_settles_what_rounded_times_leave_open(csv):
    path = csv("time,I\n0.000,0.5\n0.004,0.5\n0.008,0.5\n")
    assert read_record(path).sampling_rate == 250
    assert read_record(path, sampling_rate=257).sampling_rate == 257


def test_a_given_rate_that_the_times_exclude_is_refused(csv):
    path = csv("time,I\n0.00000,0.5\n0.00400,0.5\n0.00800,0.5\n")
    refused(path, "it says 250 Hz, against the 257 Hz", sampling_rate=257)


def test_a_single_row_has_no_rate_of_its_own(csv):
    refused(csv("time,I\n0,0.5\n"), "give the sampling rate")
    assert read_record(csv("time,I\n0,0.5\n"), sampling_rate=250).samples == 1


@pytest.mark.parametrize("times", [(0, 1, 2, 4, 5), (0, 1, 2, 2, 3), (0, 1, 2, 1, 2)])
def test_uneven_times_are_refused_where_they_jump(csv, times):
    rows = "".join(f"0.5,{time}\n" for time in times)
    refused(csv("I,time\n" + rows), r"line 5, column 2: the time goes from 2 to .* where a step of 1 s is expected")


def test_a_time_in_another_unit_is_refused(csv):
    refused(csv("I,time_ms\n0.5,0\n"), r"column 2 is called 'time_ms'; a time must be in seconds")


def test_without_a_time_the_rate_must_be_given(csv):
    refused(csv("I\n0.5\n"), r"ecg\.csv: no column is called .time.; give the sampling rate in Hz \(--sampling-rate\)")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no samples"),
        ("# only: a note\n\n", "holds no samples"),
        ("I,II\n", "a header and no samples"),
        ("time\n0\n1\n", "it holds a time and nothing else"),
        ("# note\nI,II\n1.5,2\n\n1.5,x\n", "line 5, column 2: 'x' is no number"),
        ("1.5;2\n1,5;2\n", "line 2, column 1: '1,5' is no number; write decimals with a point"),
        ("1.5,2\n,2\n", "line 2, column 1: '' is no number; write nan where a sample is missing"),
        (",2\n1,2\n", "line 1, column 1: '' is no number"),
        ("I,II\n1.5,2\n1.5\n", "line 3: 1 columns where there are 2 above"),
        ("time,I\n0,0.5\nnan,0.5\n", "line 3, column 1: 'nan' is no time"),
        ("time,I\n0,0.5\nx,0.5\n", "line 3, column 1: 'x' is no number"),
        (b"\xff\xfe\x00\x01", "not text, so no CSV"),
        (b"1.5," + b"9" * 200_000 + b"\n", "not readable as CSV"),
        ("# dtype: object\n1.5\n", "dtype 'object', which is none of int8"),
        ("# dtype: int8\n128\n", "dtype int8, but it holds 128 to 128"),
        ("# dtype: int16\n1.5\n", "dtype int16, but not every sample is a whole number"),
        ("# dtype: int64\n9223372036854775808\n", "not every sample is a whole number of 64 bits"),
        ("# gain: two hundred\n1\n", "note 'gain' holds 'two hundred'"),
        ("# sampling_rate: fast\n1\n", "note 'sampling_rate' holds 'fast'"),
        ("# sampling_rate: 0\n1\n", "the sampling rate must be above 0 Hz"),
        ("# sampling_rate: -5\ntime,I\n0,1\n1,1\n", "its note says -5 Hz, and its times 1 Hz"),
        ("# sampling_rate: 251\ntime,I\n0.000000,1\n0.004000,1\n", "its note says 251 Hz, and its times 250 Hz"),
        ("# gain: 200\n1\n", "gain and baseline go together"),
    ],
)
def test_what_is_no_recording_is_refused_and_the_place_named(csv, content, problem):
    refused(csv(content), problem, sampling_rate=1)


def test_whole_numbers_beyond_64_bits_are_read_as_floats(csv):
    assert read_record(csv("I\n9223372036854775808\n"), sampling_rate=1).signal.dtype == np.float64


# --- and what we wrote ourselves ---


def written(record: Record, folder: Path) -> Path:
    path = folder / "own.csv"
    with path.open("wb") as file:
        write_record(record, file, ".csv")
    return path


@pytest.mark.parametrize("record", [shipped_ecg, toy_ecg])
def test_real_recordings_come_back_to_the_last_bit(tmp_path, record):
    assert_same(read_record(written(record(), tmp_path)), record())


def test_physical_recordings_come_back_to_the_last_bit(tmp_path):
    physical = Record(toy_ecg().physical(), 360, ("MLII",))
    assert_same(read_record(written(physical, tmp_path)), physical)


@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    shape=array_shapes(min_dims=2, max_dims=2, max_side=4),
    rate=numbers,
)
def test_any_recording_comes_back_to_the_last_bit(tmp_path_factory, data, dtype, shape, rate):
    signal = data.draw(arrays(dtype, shape))
    calibrated = signal.dtype.kind in "iu" and data.draw(st.booleans())
    record = Record(
        signal,
        rate,
        tuple(f"lead {number}" for number in range(shape[0])),
        data.draw(st.sampled_from(["mV", "counts", "mmHg"])),
        gain=tuple(data.draw(numbers) for _ in signal) if calibrated else None,
        baseline=tuple(data.draw(numbers) for _ in signal) if calibrated else None,
    )
    assert_same(read_record(written(record, tmp_path_factory.mktemp("csv"))), record)


def test_a_row_taken_out_of_our_own_file_is_missed(tmp_path):
    path = written(toy_ecg(), tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:100] + lines[101:]))
    refused(path, r"line 101, column 1: the time goes from 0\.255556 to 0\.261111 s, .*; samples are missing")


def test_the_file_explains_itself(tmp_path):
    lines = written(shipped_ecg().take(["I", "II"]), tmp_path).read_text().splitlines()
    assert lines[:8] == [
        "# sampling_rate: 1000",
        "# units: mV",
        "# dtype: int16",
        "# mV = (count - baseline) / gain",
        "# gain: 800.0, 800.0",
        "# baseline: 0, 0",
        "time,I,II",
        "0.0,80,90",
    ]
    assert lines[-1].startswith("9.999,")

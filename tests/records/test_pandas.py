"""Records as DataFrames of pandas, and back, with pandas itself."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from recordings import optional, uninstall
from records import two_leads
from records.two_leads import START

from ecgframe.libraries import MissingLibrary
from ecgframe.records import Annotation, Record, RecordError, from_pandas, shipped_ecg, to_pandas

EAST = timezone(timedelta(hours=5, minutes=30))
NOTES = (Annotation(1 / 360, "N"), Annotation(2 / 360, "noise", "II", 1 / 360))


@pytest.fixture
def pandas():
    return optional("pandas")


def record(**changes: object) -> Record:
    return two_leads.record(**({"source": "here", "annotations": NOTES} | changes))


def long(**changes: object) -> Record:
    signal = np.random.default_rng(5).normal(size=(2, 5000))
    return record(signal=signal, gain=None, baseline=None, missing=None, **changes)


def test_without_pandas_it_says_how_to_install_it(monkeypatch):
    uninstall(monkeypatch, "pandas")
    for convert in (to_pandas, from_pandas):
        with pytest.raises(MissingLibrary, match=r"pandas needs pandas, which is not installed: .*ecgframe\[pandas\]"):
            convert(record())


def test_the_data_frame_has_all_that_the_record_states(pandas):
    frame = to_pandas(record())
    assert list(frame.columns) == ["I", "II"]
    assert set(frame.dtypes) == {np.dtype(np.float64)}
    np.testing.assert_array_equal(frame.to_numpy(), [[0, 0], [1, 1], [-0.005, np.nan], [-1, 0.5]])
    assert frame.index.name == "time"
    assert frame.index.dtype == "datetime64[ns, UTC]"
    first = pandas.Timestamp(START)
    assert [(moment - first).value for moment in frame.index] == [0, 2777778, 5555556, 8333333]
    assert frame.attrs == {
        "units": "mV",
        "sampling_rate": 360,
        "source": "here",
        "start": "2026-03-01T12:30:15.250001+00:00",
        "annotations": json.dumps([[1 / 360, "N", None, None], [2 / 360, "noise", "II", 1 / 360]]),
    }


def test_without_a_start_the_index_is_seconds(pandas):
    frame = to_pandas(record(start=None, annotations=()))
    np.testing.assert_array_equal(frame.index, np.arange(4) / 360)
    assert frame.attrs == {"units": "mV", "sampling_rate": 360, "source": "here"}


@pytest.mark.parametrize("start", [None, START, START.astimezone(EAST), START.replace(tzinfo=None), datetime(1, 1, 1)])
@pytest.mark.parametrize("rate", [360, 250.5, 1000 / 3, 4096, 0.1])
def test_back_again_only_the_calibration_is_missing(pandas, start, rate):
    before = long(start=start, sampling_rate=rate)
    after = from_pandas(to_pandas(before))
    assert after.signal.dtype == np.float64
    np.testing.assert_array_equal(after.signal, before.physical())
    for name in ("sampling_rate", "leads", "units", "start", "annotations", "source"):
        assert getattr(after, name) == getattr(before, name), name
    assert start is None or after.start.utcoffset() == start.utcoffset()


def test_missing_samples_and_a_calibration(pandas):
    after = from_pandas(to_pandas(record()))
    np.testing.assert_array_equal(after.signal, record().physical())
    np.testing.assert_array_equal(after.is_missing(), record().is_missing())
    assert (after.gain, after.baseline, after.missing) == (None, None, None)


def test_the_shipped_ecg(pandas):
    np.testing.assert_array_equal(from_pandas(to_pandas(shipped_ecg())).signal, shipped_ecg().physical())


@pytest.mark.parametrize("start", [None, START])
@pytest.mark.parametrize("rate", [360, 250.5, 1000 / 3])
def test_without_attributes_the_times_say_the_rate(pandas, start, rate):
    frame = to_pandas(long(start=start, sampling_rate=rate))
    frame.attrs.clear()
    found = from_pandas(frame)
    assert found.sampling_rate == pytest.approx(rate, rel=1e-9)
    assert found.sampling_rate == rate or rate == 1000 / 3  # which no roundest number is  # noqa: PLR1714
    assert (found.units, found.source, found.annotations) == ("mV", "DataFrame", ())


@pytest.mark.parametrize("start", [None, START, START.replace(tzinfo=None)])
def test_a_slice_begins_later_and_takes_its_annotations_along(pandas, start):
    before = long(start=start, annotations=(Annotation(15 / 360, "N"),))
    after = from_pandas(to_pandas(before).iloc[9:])
    np.testing.assert_array_equal(after.signal, before.signal[:, 9:])
    assert after.sampling_rate == 360
    assert after.start == (start and start + timedelta(seconds=0.025))
    [note] = after.annotations
    assert note.time == pytest.approx(6 / 360, abs=1e-9)


def test_a_frame_of_every_second_sample_has_half_the_rate(pandas):
    assert from_pandas(to_pandas(long()).iloc[::2]).sampling_rate == 180


def test_leads_are_selected_by_pandas(pandas):
    assert from_pandas(to_pandas(long())[["II"]]).leads == ("II",)


def test_a_row_that_is_missing_is_refused(pandas):
    for start in (None, START):
        frame = to_pandas(long(start=start))
        with pytest.raises(
            RecordError, match=r"here: row 3 comes 0.00555\d* s after row 2, .* of 0.002778 s .*reindex"
        ):
            from_pandas(frame.drop(index=frame.index[3]))
        with pytest.raises(RecordError, match="missing or out of order"):
            from_pandas(frame[::-1])


def test_rows_without_times(pandas):
    frame = pandas.DataFrame({"I": [1, 2, 3], "II": [4, 5, 6]}, dtype="int16")
    with pytest.raises(RecordError, match=r"DataFrame: its index has no times; give the sampling rate in Hz"):
        from_pandas(frame)
    found = from_pandas(frame, sampling_rate=250)
    np.testing.assert_array_equal(found.signal, [[1, 2, 3], [4, 5, 6]])
    assert (found.signal.dtype, found.units, found.gain, found.sampling_rate) == (np.int16, "counts", None, 250)
    with pytest.raises(RecordError, match="row number 0 is followed by 2"):
        from_pandas(frame.drop(index=1), sampling_rate=250)
    frame["time"] = [0.0, 0.1, 0.2]
    with pytest.raises(RecordError, match=r"column 'time' looks like the times: .*frame.set_index\('time'\)"):
        from_pandas(frame, sampling_rate=250)
    assert from_pandas(frame.set_index("time")).sampling_rate == 10


def test_a_rate_that_the_times_contradict_is_refused(pandas):
    with pytest.raises(RecordError, match="its times are those of 360 Hz, and not of 250 Hz"):
        from_pandas(to_pandas(long()), sampling_rate=250)
    assert from_pandas(to_pandas(long()), sampling_rate=360).sampling_rate == 360


def test_one_row(pandas):
    frame = to_pandas(long()).iloc[:1]
    assert from_pandas(frame).sampling_rate == 360
    frame.attrs.clear()
    with pytest.raises(RecordError, match="one row"):
        from_pandas(frame)
    assert from_pandas(frame, sampling_rate=10).sampling_rate == 10


def test_time_differences(pandas):
    frame = pandas.DataFrame({"I": [1.0, 2, 3]}, index=pandas.to_timedelta([0, 4, 8], unit="ms"))
    found = from_pandas(frame)
    assert (found.sampling_rate, found.start) == (250, None)


@pytest.mark.parametrize(("units", "factor"), [("V", 1000), ("uV", 1e-3), ("mV", 1), ("mmHg", None)])
def test_units(pandas, units, factor):
    frame = pandas.DataFrame({"I": [1.0, -3, 0.1]})
    found = from_pandas(frame, sampling_rate=1, units=units)
    np.testing.assert_allclose(found.signal, [[x * (factor or 1) for x in (1, -3, 0.1)]], rtol=2**-52)
    assert found.units == ("mV" if factor else units)
    assert from_pandas(frame.astype("int32"), sampling_rate=1, units=units).signal.dtype == np.float64


def test_types_of_columns(pandas):
    def dtype(**columns):
        return from_pandas(pandas.DataFrame(columns), sampling_rate=1).signal.dtype

    assert dtype(a=np.zeros(3, "float32"), b=np.zeros(3, "float32")) == np.float32
    assert dtype(a=np.zeros(3, "float32"), b=np.zeros(3)) == np.float64
    assert dtype(a=np.zeros(3, "int8"), b=np.zeros(3, "int32")) == np.int32
    assert dtype(a=np.zeros(3, "int64"), b=np.zeros(3, "uint64")) == np.float64
    nullable = pandas.DataFrame({"a": pandas.array([1, None, 3], dtype="Int64")})
    np.testing.assert_array_equal(from_pandas(nullable, sampling_rate=1).signal, [[1, np.nan, 3]])


@pytest.mark.parametrize("column", [["x", "y"], [True, False], [1j, 2], [datetime(2026, 1, 1), None]])
def test_columns_that_are_no_numbers_are_refused(pandas, column):
    with pytest.raises(RecordError, match=r"column 'note' is of \w+.*leave it out"):
        from_pandas(pandas.DataFrame({"I": [1.0, 2], "note": column}), sampling_rate=1)


def test_indexes_that_are_no_times_are_refused(pandas):
    values = {"I": [1.0, 2]}
    several = pandas.MultiIndex.from_tuples([(0, 1), (0, 2)])
    for index in (["a", "b"], several, [True, False], pandas.period_range("2026", periods=2)):
        with pytest.raises(RecordError, match="must be times or row numbers"):
            from_pandas(pandas.DataFrame(values, index=index))
    with pytest.raises(RecordError, match="row 1 has no finite time"):
        from_pandas(pandas.DataFrame(values, index=[0, np.inf]))
    with pytest.raises(RecordError, match="row 1 has no time"):
        from_pandas(pandas.DataFrame(values, index=pandas.to_datetime(["2026-01-01", None])))


def test_other_objects_than_data_frames_are_refused(pandas):
    with pytest.raises(TypeError, match=r"not of Series \(a Series has to_frame"):
        from_pandas(to_pandas(record())["I"])
    with pytest.raises(RecordError, match="holds no samples"):
        from_pandas(to_pandas(record()).iloc[:0])


@pytest.mark.parametrize("noted", ["{", "[[1]]", "[3]", 7, '[["x", "y"]]'])
def test_annotations_that_are_none_are_refused(pandas, noted):
    frame = to_pandas(record())
    frame.attrs["annotations"] = noted
    with pytest.raises(RecordError, match=r'frame.attrs\["annotations"\] is invalid'):
        from_pandas(frame.iloc[1:])


def test_a_time_zone_that_was_taken_away_is_refused_rather_than_guessed(pandas):
    frame = to_pandas(record())
    with pytest.raises(RecordError, match="one has a time zone and the other has none"):
        from_pandas(frame.tz_localize(None))


def test_a_csv_file_of_pandas_is_read(pandas):
    text = to_pandas(long(start=None)).to_csv()
    found = from_pandas(pandas.read_csv(io.StringIO(text), index_col="time"))
    assert found.sampling_rate == 360
    np.testing.assert_allclose(found.signal, long().signal, rtol=1e-11)  # pandas 2 does not read the last digit


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("start", "yesterday", "is no date in ISO 8601"),
        ("start", 7, "is no date in ISO 8601"),
        ("sampling_rate", "360", "must be a number above 0, and is '360'"),
        ("sampling_rate", 0, "must be a number above 0, and is 0"),
        ("sampling_rate", float("nan"), "must be a number above 0, and is nan"),
    ],
)
def test_attributes_that_are_wrong_are_refused(pandas, name, value, problem):
    frame = to_pandas(record())
    frame.attrs[name] = value
    with pytest.raises(RecordError, match=rf'here: frame.attrs\["{name}"\] {problem}'):
        from_pandas(frame)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_rates_that_are_none_are_refused(pandas, rate):
    with pytest.raises(RecordError, match="sampling rate must be above 0"):
        from_pandas(pandas.DataFrame({"I": [1.0, 2]}), sampling_rate=rate)


def test_times_of_single_precision(pandas):
    frame = pandas.DataFrame({"I": np.zeros(500)}, index=(np.arange(500) / 360).astype(np.float32))
    assert from_pandas(frame).sampling_rate == 360

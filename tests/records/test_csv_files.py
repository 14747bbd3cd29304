from __future__ import annotations

import contextlib
import csv as csv_format
import re
import time
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
    """Write text or bytes; return the path."""

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


@pytest.mark.parametrize("word", ["", "nan", "NaN", "NA", "null", "-"])
def test_a_missing_count_is_no_count(csv, word):
    record = read_record(csv(f"I,II\n100,1\n{word},2\n300,3\n"), sampling_rate=1)
    assert record.missing is not None
    np.testing.assert_array_equal(record.physical(), [[100, np.nan, 300], [1, 2, 3]])


@pytest.mark.parametrize(
    ("content", "expected", "leads", "units"),
    [
        ("time,II (uV)\n0,100.5\n0.004,200.5\n", [[0.1005, 0.2005]], ("II",), "mV"),
        ("time,I [mV]\n0,1\n0.004,2\n", [[1, 2]], ("I",), "mV"),
        ("time,I (V)\n0,0.001\n0.004,0.002\n", [[1, 2]], ("I",), "mV"),
        ("time;I (\N{MICRO SIGN}V)\n0;100\n0,004;200\n", [[0.1, 0.2]], ("I",), "mV"),
        ("time,I (mV),II (uV)\n0,1,1000\n0.004,2,2000\n", [[1, 2], [1, 2]], ("I", "II"), "mV"),
        ("time,ABP (mmHg)\n0,80\n0.004,81\n", [[80, 81]], ("ABP",), "mmHg"),
        ("time,I (raw)\n0,80\n0.004,81\n", [[80, 81]], ("I (raw)",), "counts"),
        ("'Elapsed time','MLII'\n'seconds','mV'\n0.000,-0.145\n0.004,-0.125\n", [[-0.145, -0.125]], ("MLII",), "mV"),
        (
            "'sample #','MLII','V5'\n0,995,1011\n1,995,1012\n2,996,1013\n",
            [[995, 995, 996], [1011, 1012, 1013]],
            ("MLII", "V5"),
            "counts",
        ),
        (",I\n0,1.5\n1,1.6\n2,1.7\n", [[1.5, 1.6, 1.7]], ("I",), "mV"),
        ("Unnamed: 0,I\n0,1.5\n1,1.6\n2,1.7\n", [[1.5, 1.6, 1.7]], ("I",), "mV"),
        ('"I"\t"II"\n"1"\t1.5\t2\n"2"\t1.6\t3\n', [[1.5, 1.6], [2, 3]], ("I", "II"), "mV"),
        ("time (s)  I (mV)  II [uV]\n0.000 1.5 100\n0.004 1.6 200\n", [[1.5, 1.6], [0.1, 0.2]], ("I", "II"), "mV"),
        ('"0,1","0,2"\n"0,15","0,3"\n', [[0.1, 0.15], [0.2, 0.3]], ("ch1", "ch2"), "mV"),
        ("name,I\nr1,1.5\nr2,1.6\n", [[1.5, 1.6]], ("I",), "mV"),
        ("I,II,label\n1.5,2.5,N\n1.6,2.6,V\n", [[1.5, 1.6], [2.5, 2.6]], ("I", "II"), "mV"),
        ("I;II\n0,10;1,5\n0,15;1,6\n", [[0.10, 0.15], [1.5, 1.6]], ("I", "II"), "mV"),
        ("I\n0,10\n0,15\n", [[0.10, 0.15]], ("I",), "mV"),
        ("0,10\t1,5\n0,15\t1,6\n", [[0.10, 0.15], [1.5, 1.6]], ("ch1", "ch2"), "mV"),
        ("  0.10   1.5\n -0.15   1.6\n", [[0.10, -0.15], [1.5, 1.6]], ("ch1", "ch2"), "mV"),
        ("I\tII\t\n1.5\t2.5\t\n1.6\t2.6\t\n", [[1.5, 1.6], [2.5, 2.6]], ("I", "II"), "mV"),
        ("1.5\t2.5\t\n1.6\t2.6\t\n", [[1.5, 1.6], [2.5, 2.6]], ("ch1", "ch2"), "mV"),
        ("% a comment\nI\n1.5\n1.6\n", [[1.5, 1.6]], ("I",), "mV"),
        ("ECG (mV),Resp (a.u.)\n1.5,7\n1.6,8\n", [[1.5, 1.6]], ("ECG",), "mV"),
        (
            "Lead,Lead I\nUnit,\N{MICRO SIGN}V\nSample Rate,512 hertz\n\n100.5\n-200.5\n",
            [[0.1005, -0.2005]],
            ("I",),
            "mV",
        ),
    ],
)
def test_files_of_other_programs_are_read(csv, content, expected, leads, units):
    record = read_record(csv(content), sampling_rate=None if "time" in content or "Rate" in content else 250)
    np.testing.assert_allclose(record.physical(), expected, rtol=1e-12)
    assert (record.leads, record.units) == (leads, units)


def test_columns_that_are_no_leads_are_named(csv):
    record = read_record(csv("index,I,label\n0,1.5,N\n1,1.6,V\n2,1.7,N\n"), sampling_rate=250)
    assert (record.leads, sorted(record.left_out)) == (("I",), ["index", "label"])


def test_the_recording_of_an_openbci_board(csv):
    record = read_record(
        csv(
            "%OpenBCI Raw EXG Data\n%Number of channels = 2\n%Sample Rate = 250 Hz\n"
            "Sample Index, EXG Channel 0, EXG Channel 1, Accel Channel 0, Timestamp\n"
            "254, 100.5, -50.25, 0.1, 1600000000.000\n255, 101.5, -51.25, 0.1, 1600000000.004\n"
            "0, 102.5, -52.25, 0.1, 1600000000.008\n"
        )
    )
    assert (record.leads, record.sampling_rate, record.units) == (("EXG Channel 0", "EXG Channel 1"), 250, "mV")
    np.testing.assert_allclose(record.physical(), [[0.1005, 0.1015, 0.1025], [-0.05025, -0.05125, -0.05225]])
    assert "Accel Channel 0" in record.left_out


def test_the_recording_of_opensignals(csv):
    described = '{"00:07": {"column": ["nSeq", "I1", "A1"], "label": ["A1"], "sampling rate": 1000}}'
    rows = "".join(f"{number % 16}\t1\t{500 + number}\t\n" for number in range(20))
    record = read_record(csv(f"# OpenSignals Text File Format\n# {described}\n# EndOfHeader\n{rows}"))
    assert (record.leads, record.sampling_rate, record.left_out) == (("A1",), 1000, ("I1", "nSeq"))
    np.testing.assert_array_equal(record.signal, [np.arange(500, 520)])


@pytest.mark.parametrize(
    "rows",
    ["0,10 0,15 0,20", "-0,10 1,15 2,20", "0,1 0,15 0,2", "12,5 -13,25 14,125", "103,05 99,75", "1,5 2,5", "+1,5 -0,5"],
)
def test_possible_decimal_commas_are_refused_until_stated(csv, rows):
    path = csv(rows.replace(" ", "\n"))
    refused(path, r"may be 2 whole numbers, or 1 with a decimal comma; say .*--decimal", sampling_rate=250)
    record = read_record(path, 250, decimal=",")
    np.testing.assert_array_equal(record.signal, [[float(row.replace(",", ".")) for row in rows.split()]])
    assert read_record(path, 250, decimal=".").signal.shape == (2, len(rows.split()))


def test_more_columns_with_decimal_commas_are_asked_for_other_delimiters(csv):
    refused(csv("-0,05,1,5\n0,15,1,6\n"), r"4 whole numbers, or 2 .*--decimal \.\), or separate", sampling_rate=250)
    header = csv("time,I\n0,000,0,05\n0,004,0,15\n")
    refused(header, "line 1: its names are 2, and its rows have 4 columns; .* separate columns by semicolons")


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        ("995,1011\n995,1012\n996,1013\n", 1),
        ("5,-3\n6,4\n", 0),
        ("5, 3\n6, 4\n", 0),
        ('"5","3"\n"6","4"\n', 0),
        ("".join(f"{1000 + number**2 % 13},{990 + number}\n" for number in range(20)), 0),
        ("".join(f"{1000 + number**2 % 13},{100 + number}\n" for number in range(60)), 0),
        ("I,II\n0,15\n0,2\n", 0),
    ],
)
def test_two_columns_of_counts_remain_two(csv, content, remarks):
    record = read_record(csv(content), 250)
    assert (len(record.leads), record.units, len(record.repaired)) == (2, "counts", remarks)
    assert all("--decimal says otherwise" in remark for remark in record.repaired)


def test_the_notes_of_a_watch_with_decimal_commas_are_no_names(csv):
    notes = "Lead,Lead I\nSample Rate,512 hertz\nUnit,\N{MICRO SIGN}V\n"
    path = csv(f"{notes}100,5\n-200,5\n")
    refused(path, "decimal comma")
    record = read_record(path, decimal=",")
    assert (record.sampling_rate, record.leads, record.units) == (512, ("I",), "mV")
    np.testing.assert_allclose(record.signal, [[0.1005, -0.2005]])


@pytest.mark.parametrize("order", [("Lead,Lead I", "Unit,\N{MICRO SIGN}V"), ("Unit,\N{MICRO SIGN}V", "Lead,Lead I")])
def test_the_whole_export_of_a_watch(csv, order):
    lines = ('Name,"A B"', "Recorded Date,2022-03-04 05:06:07 +0100", "Symptoms,", "Software Version,1.90")
    lines += ('Device,"Watch6,2"', "Sample Rate,512 hertz", "", "", *order, "", "12.5", "-13.25", "14.5")
    record = read_record(csv("\n".join(lines) + "\n"))
    assert (record.sampling_rate, record.leads, record.units) == (512, ("I",), "mV")
    assert record.start.isoformat() == "2022-03-04T05:06:07+01:00"
    np.testing.assert_allclose(record.physical(), [[0.0125, -0.01325, 0.0145]])


def test_times_without_a_unit_that_are_no_seconds_are_refused(csv):
    path = csv("time,II (mV)\n0,1\n4,2\n8,3\n")
    refused(path, r"its times have no unit, and as seconds they give 0.25 Hz, .*'time \(ms\)', .*--sampling-rate")
    assert read_record(path, 250).sampling_rate == 250
    assert read_record(csv("time (s),II (mV)\n0,1\n4,2\n8,3\n")).sampling_rate == 0.25


# --- units ---

UNITS = {"V": 1000, "mV": 1, "uV": 1e-3, "\N{MICRO SIGN}V": 1e-3, "\N{GREEK SMALL LETTER MU}V": 1e-3, "nV": 1e-6} | {
    "volts": 1000,
    "Millivolts": 1,
    "microvolt": 1e-3,
    "microvolts": 1e-3,
    "nanovolts": 1e-6,
}


@pytest.mark.parametrize("title", ["II ({})", "II [{}]", "II_{}", "II/{}", "II in {}", "II\n{}", "II\n[{}]"])
@pytest.mark.parametrize("unit", UNITS)
def test_units_are_read_wherever_they_stand(csv, title, unit):
    path = csv(title.format(unit) + "\n1.5\n-2.5\n")
    record = read_record(path, 250)
    np.testing.assert_allclose(record.signal, np.array([[1.5, -2.5]]) * UNITS[unit], rtol=1e-12)
    assert (record.leads, record.units) == (("II",), "mV")
    assert [remark for remark in record.repaired if "taken for volts" not in remark] == []


@pytest.mark.parametrize(
    ("content", "lead", "units"),
    [
        ("II (kV)\n1.5\n", "II", "kV"),
        ("II_kV\n1.5\n", "II", "kV"),
        ("II\nkilovolts\n1.5\n", "II", "kilovolts"),
        ("Resp (mmHg)\n1.5\n", "Resp", "mmHg"),
        ("ABP_mmHg\n1.5\n", "ABP", "mmHg"),
        ("II (counts)\n1.5\n", "II", "counts"),
        ("II (10 uV)\n1.5\n", "II", "10 uV"),
        ("II (10^-6 V)\n1.5\n", "II", "10^-6 V"),
        ("# Units: uA\nII\n1.5\n", "II", "uA"),
    ],
)
def test_other_units_keep_their_names(csv, content, lead, units):
    record = read_record(csv(content), 250)
    assert (record.leads, record.units, record.signal.tolist(), record.repaired) == ((lead,), units, [[1.5]], ())


@pytest.mark.parametrize("name", ["II", "ECG V", "V", "II (raw)", "II (filtered)", "aVL", "V1", "ch_2"])
def test_columns_without_a_unit_are_reported_as_read_in_millivolts(csv, name):
    path = csv(f"{name}\n1.5\n")
    record = read_record(path, 250)
    assert (record.leads, record.units, record.signal.tolist()) == ((name,), "mV", [[1.5]])
    assert record.repaired == ("no unit is given: taken as mV; --units says otherwise",)
    told = read_record(path, 250, units="uV")
    assert (told.signal.tolist(), told.repaired) == ([[0.0015]], ())


@pytest.mark.alone
@pytest.mark.parametrize(
    "title", ["(" * 60_000 + " " * 40_000, "a " * 50_000, "in " * 30_000, "t" + " " * 99_000 + "x"]
)
@pytest.mark.parametrize("place", ["{}", "{}\nuV", "# {}: 5", "# start: {}", "time ({})", "# Sample Rate: 1{}"])
def test_long_names_take_no_long_time(csv, title, place):
    """Seconds are many times what it takes, and far less than what the square of the length does."""
    path, began = csv(f"{place.format(title)}\n1.5\n2.5\n"), time.process_time()
    with contextlib.suppress(RecordError):
        read_record(path, 250)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("content", "options", "leads", "left_out", "units", "remarks"),
    [
        ("ABP (mmHg),II\n80.5,1.5\n", {}, ("II",), ("ABP",), "mV", 1),
        ("ABP (mmHg),II\n80,15\n", {"leads": ["II"]}, ("II",), ("ABP",), "counts", 0),
        ("ABP (mmHg),II\n80.5,1.5\n", {"units": "uV"}, ("II",), ("ABP",), "mV", 0),
        ("ABP (mmHg),II\n80.5,1.5\n", {"leads": ["ABP"]}, ("ABP",), ("II",), "mmHg", 0),
        ("I (mV),II,x\n1.5,2,3\n", {}, ("I", "II"), ("x",), "mV", 1),
        ("I (mV),II\n1,2\n", {}, ("I",), ("II",), "mV", 0),
        ("I (mV),II\n1,2\n", {"units": "mV"}, ("I", "II"), (), "mV", 0),
    ],
)
def test_no_column_takes_the_unit_of_another(csv, content, options, leads, left_out, units, remarks):
    record = read_record(csv(content), 250, **options)
    assert (record.leads, record.left_out, record.units, len(record.repaired)) == (leads, left_out, units, remarks)


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("ABP (mmHg),II\n80,15\n", {}, r"'ABP' \(mmHg\), 'II' \(no unit\); name .*--leads.*--units"),
        ("ABP (mmHg),x\n80.5,1.5\n", {}, r"'x' \(no unit\)"),
        ("II (uV)\n1.5\n", {"units": "mV"}, r"its columns are in uV, not in mV; omit that \(--units\)"),
        ("II\n1\n", {"baseline": 5}, "a baseline belongs to counts with a gain"),
        ("II (mV)\n1.5\n", {"gain": 5}, "a gain belongs to counts"),
        ("# units: uV\n# gain: 2\n# baseline: 0\nII\n1\n", {"gain": 5}, "another gain than the given 5; omit it"),
        ("# units: uV\n# gain: 2\n# baseline: 0\nII\n1\n", {"units": "mV"}, "the unit is uV, not the given mV"),
    ],
)
def test_a_unit_or_gain_that_contradicts_the_file_is_refused(csv, content, options, match):
    refused(csv(content), match, sampling_rate=250, **options)


@pytest.mark.parametrize(
    ("title", "options", "units", "physical"),
    [
        ("II (uV)", {"gain": 4}, "mV", [[0.025, 0.05]]),
        ("II (uV)", {"gain": 4, "baseline": 100}, "mV", [[0, 0.025]]),
        ("II", {"gain": 4, "units": "uV"}, "mV", [[0.025, 0.05]]),
        ("II (adu)", {"gain": 4}, "mV", [[25, 50]]),
        ("II (counts)", {"gain": 4, "units": "uV"}, "mV", [[0.025, 0.05]]),
        ("II", {"gain": 4}, "mV", [[25, 50]]),
        ("ABP (mmHg)", {"gain": 4}, "mmHg", [[25, 50]]),
        ("# units: uV\nII", {"gain": 4}, "mV", [[0.025, 0.05]]),
    ],
)
def test_a_gain_is_per_unit_of_the_column(csv, title, options, units, physical):
    record = read_record(csv(f"{title}\n100\n200\n"), 250, **options)
    assert (record.units, record.signal.tolist(), record.repaired) == (units, [[100, 200]], ())
    np.testing.assert_allclose(record.physical(), physical, rtol=1e-12)


def test_counts_get_the_calibration_that_is_given(csv):
    record = read_record(csv("I\n1024\n1224\n"), 250, gain=200, baseline=1024)
    assert (record.units, record.signal.tolist()) == ("mV", [[1024, 1224]])
    np.testing.assert_array_equal(record.physical(), [[0, 1]])
    in_microvolts = read_record(csv("I\n100\n200\n"), 250, units="uV")
    np.testing.assert_allclose(in_microvolts.physical(), [[0.1, 0.2]])


def test_options_of_csv_files_are_refused_for_other_formats(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 5)))
    refused(tmp_path / "a.npy", "decimal is for CSV files only", sampling_rate=1, gain=200, decimal=",")
    (tmp_path / "a.edf").write_bytes(b"0       ")
    refused(tmp_path / "a.edf", "gain and units are for CSV, NPY and NPZ files only", gain=200, units="uV")


def test_text_that_is_not_utf_8_is_read_and_said(csv):
    record = read_record(csv("Ableitung_\N{LATIN CAPITAL LETTER U WITH DIAERESIS} (mV)\n1.5\n".encode("latin-1")), 1)
    assert record.leads == ("Ableitung_\N{LATIN CAPITAL LETTER U WITH DIAERESIS}",)
    assert record.repaired == ("its text is not UTF-8 and was read as Latin-1",)


@pytest.mark.parametrize("missing", ["", " ", "nan", "NaN"])
def test_an_empty_cell_is_a_missing_sample(csv, missing):
    record = read_record(csv(f"I,II\n0.5,{missing}\n{missing},0.25\n"), sampling_rate=1)
    np.testing.assert_array_equal(record.signal, [[0.5, np.nan], [np.nan, 0.25]])
    assert (record.units, record.signal.dtype) == ("mV", np.float64)


@pytest.mark.parametrize("note", ["", "# dtype: int16\n", "# dtype: int16\n# missing: 1024\n"])
def test_counts_of_which_some_are_missing_are_counts(csv, note):
    rows = "I,II\n1000,\n,7\nnan,9\n1024,1024\n"
    last = np.nan if "missing" in note else 1024
    record = read_record(csv(note + rows), sampling_rate=1)
    np.testing.assert_array_equal(record.physical(), [[1000, np.nan, np.nan, last], [np.nan, 7, 9, last]])
    assert (record.units, record.is_counts) == ("counts", True)
    record = read_record(csv(f"{note}# units: uV\n# gain: 0.2, 2\n# baseline: 0, 7\n{rows}"), sampling_rate=1)
    np.testing.assert_array_equal(record.physical()[:, :3], [[5000, np.nan, np.nan], [np.nan, 0, 1]])
    assert record.units == "uV"


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
    assert read_record(csv("time (s),I\n" + rows)).sampling_rate == rate


def test_times_in_exponent_notation_count_as_exact(csv):
    assert read_record(csv("time,I\n0e0,0.5\n2e-3,0.5\n4e-3,0.5\n")).sampling_rate == 500


def test_a_given_rate_settles_what_rounded_times_leave_open(csv):
    path = csv("time,I\n0.000,0.5\n0.004,0.5\n0.008,0.5\n")
    assert read_record(path).sampling_rate == 250
    assert read_record(path, sampling_rate=257).sampling_rate == 257


def test_a_given_rate_that_the_times_exclude_is_refused(csv):
    path = csv("time,I\n0.00000,0.5\n0.00400,0.5\n0.00800,0.5\n")
    refused(path, "its sampling rate is 250 Hz, not the given 257 Hz", sampling_rate=257)


@pytest.mark.parametrize(
    ("note", "rate"),
    [
        ("# sampling_rate: 1 kHz", 1000),
        ("% Sample Rate = 0.5 kHz", 500),
        ("# Sampling Frequency (kHz): 1", 1000),
        ("# Sampling_Rate_Hz: 500", 500),
        ("# fs: 256,5 Hz", 256.5),
        ("# rate: 1 kHz", 1000),
        ("# Sampling interval: 4 ms", 250),
        ("Interval (s)=\t0.005", 200),
        ("# Sample rate: 500 samples per second", 500),
        ("Sample Rate,512,hertz\n", 512),
        ("Sampling rate: 360 Hz\n", 360),
    ],
)
def test_a_noted_rate_is_read_with_its_unit(csv, note, rate):
    path = csv(f"{note}\nI (mV)\n1.5\n2.5\n")
    assert (read_record(path).sampling_rate, read_record(path, rate).leads) == (rate, ("I",))
    refused(path, f"its sampling rate is {rate:g} Hz, not the given 128 Hz", sampling_rate=128)
    timed = csv(f"{note}\ntime (s);I (mV)\n0.000000;1\n0.100000;2\n")
    refused(timed, f"its note says {rate:g} Hz, and its times 10 Hz")


@pytest.mark.parametrize("value", ["4 ms", "1,000 Hz", "fast", "250 MHz"])
def test_a_noted_rate_that_is_not_understood_is_said(csv, value):
    path = csv(f"# Sample Rate: {value}\nI (mV)\n1.5\n")
    refused(path, f"its note 'Sample Rate' holds '{value}', which is no rate; give .*--sampling-rate")
    assert value in read_record(path, 250).repaired[0]


def test_notes_that_contradict_each_other_are_refused(csv):
    refused(csv("# fs: 250\n# sample rate: 500\nI\n1\n"), "its notes say 250 Hz and 500 Hz")
    path = csv("# fs: 500\ntime (s),I (mV)\n0.000,1\n0.004,2\n")
    refused(path, "its note says 500 Hz, and its times 250 Hz")
    assert read_record(path, 250).repaired == (
        "its note says 500 Hz, and was ignored: its times agree with the given rate",
    )


@pytest.mark.parametrize(
    ("title", "step"),
    [
        ("time (h)", 1 / 900_000),
        ("time [min]", 1 / 15_000),
        ("Time (minutes)", 1 / 15_000),
        ("time_h", 1 / 900_000),
        ("t/ms", 4),
        ("time-us", 4000),
        ("timestampMs", 4),
        ("Zeit in ms", 4),
        ("elapsed (ns)", 4_000_000),
        ("msec", 4),
        ("time\nhours", 1 / 900_000),
        ("time (unix)", 0.004),
    ],
)
def test_the_unit_of_times_is_read(csv, title, step):
    names, _, units = title.partition("\n")
    header = f"{names},I" + (f"\n{units},mV" if units else " (mV)")
    record = read_record(csv(f"{header}\n" + "".join(f"{number * step!r},0.5\n" for number in range(5))))
    assert (round(record.sampling_rate, 6), record.leads) == (250, ("I",))
    assert record.repaired == (("no unit is given for its times: taken as seconds",) if "unix" in title else ())


def test_times_of_an_unknown_unit_are_refused(csv):
    path = csv("time (m),I\n0,0.5\n1,0.5\n")
    refused(path, r"column 1: its times are in 'm', which is no known unit; .*--sampling-rate", sampling_rate=1)


def test_times_without_a_unit_are_said(csv):
    path = csv("time,I (mV)\n0,0.5\n0.004,0.5\n0.008,0.5\n")
    assert (read_record(path).sampling_rate, read_record(path).repaired) == (
        250,
        ("no unit is given for its times: taken as seconds",),
    )
    path = csv("time,I (mV)\n0,0.5\n4,0.5\n8,0.5\n")
    assert read_record(path, 0.25).repaired == ()
    told = read_record(path, 250)
    assert (told.sampling_rate, told.repaired) == (250, ("no unit is given for its times: taken as milliseconds",))
    refused(path, "not the given 100 Hz, if its times are seconds; omit it, or name the unit", sampling_rate=100)
    since = read_record(csv("timestamp,I (mV)\n1600000000000,0.5\n1600000000004,0.5\n"))
    assert since.repaired == ("no unit is given for its times: taken as milliseconds since 1970",)


@pytest.mark.parametrize(
    ("first", "second", "start"),
    [
        ("1965-05-01T10:00:00.000Z", "1965-05-01T10:00:00.004Z", "1965-05-01T10:00:00+00:00"),
        ("1971-05-01 10:00:00.000+02:00", "1971-05-01 10:00:00.004+02:00", "1971-05-01T10:00:00+02:00"),
        ("2024-05-01 10:00:00.000", "2024-05-01 10:00:00.004", "2024-05-01T10:00:00"),
        ("[10:00:00.000 31/05/1972]", "[10:00:00.004 31/05/1972]", "1972-05-31T10:00:00"),
        ("1600000000.000", "1600000000.004", "2020-09-13T12:26:40+00:00"),
    ],
)
def test_the_start_is_kept_as_the_file_states_it(csv, first, second, start):
    record = read_record(csv(f"time;I (mV)\n{first};1\n{second};2\n"))
    assert (record.start.isoformat(), record.sampling_rate) == (start, 250)
    assert read_record(csv(f"time;I (mV)\n{first};1\n"), 250).start == record.start


def test_a_noted_start_is_kept_or_said(csv):
    record = read_record(csv("Recorded Date,1972-03-05 12:34:56 +0100\nI (mV)\n1\n2\n"), 250)
    assert record.start.isoformat() == "1972-03-05T12:34:56+01:00"
    record = read_record(csv("# start: noon\nI (mV)\n1\n"), 250)
    assert (record.start, record.repaired[0]) == (
        None,
        "its note 'start' holds 'noon', which is no date in ISO 8601; it was ignored",
    )


@pytest.mark.parametrize(
    "name", ["index", "sample #", "Unnamed: 0", "", "n", "sample_index", "Row number", "time (samples)"]
)
@pytest.mark.parametrize("rows", [("0", "10", "20"), ("5", "10", "15"), ("0.0", "1.0", "2.0"), ("8", "9", "8")])
def test_columns_that_number_the_rows_are_no_leads(csv, name, rows):
    record = read_record(csv(f"{name},I (mV)\n" + "".join(f"{number},0.5\n" for number in rows)), 250)
    assert (record.leads, record.left_out, record.repaired) == (("I",), (name or "column 1",), ())


def test_row_numbers_that_skip_rows_are_said(csv):
    record = read_record(csv("index,I (mV)\n0,1\n1,2\n5,3\n6,4\n"), 250)
    assert (record.leads, record.left_out) == (("I",), ("index",))
    assert record.repaired == ("'index' rises unevenly, first at line 4: rows may be missing, and were not added",)


def test_a_first_column_without_name_that_rises_evenly_is_said_to_be_no_lead(csv):
    for step in (1, 10, 0.004):
        record = read_record(csv("".join(f"{number * step:g};{number**2 % 7}\n" for number in range(12))), 250)
        assert (record.leads, record.left_out) == (("ch1",), ("column 1",))
        assert record.repaired == ("column 1 rises evenly, and was taken for row numbers or times, not for a lead",)
    assert read_record(csv("5,1.5\n10,1.6\n15,1.7\n"), 250).left_out == ("column 1",)
    record = read_record(csv("index,ECG\n5,1\n2,2\n4,3\n3,4\n"), 250)
    assert record.leads == ("index", "ECG")


def test_a_single_row_has_no_rate_of_its_own(csv):
    refused(csv("time,I\n0,0.5\n"), "give the sampling rate")
    assert read_record(csv("time,I\n0,0.5\n"), sampling_rate=250).samples == 1


@pytest.mark.parametrize("times", [(0, 1, 2, 4, 5), (0, 1, 2, 2, 3), (0, 1, 2, 1, 2)])
def test_uneven_times_are_refused_where_they_jump(csv, times):
    rows = "".join(f"0.5,{time}\n" for time in times)
    refused(csv("I,time\n" + rows), r"line 5, column 2: the time goes from 2 to .* where a step of 1 s is expected")


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time_ms", ("0", "4", "8")),
        ("Time (ms)", ("0", "4", "8")),
        ("time [us]", ("0", "4000", "8000")),
        ("timestamp", ("1600000000000", "1600000000004", "1600000000008")),
        ("timestamp", ("1600000000.000", "1600000000.004", "1600000000.008")),
        ("date", ("2024-05-01T10:00:00.000Z", "2024-05-01T10:00:00.004Z", "2024-05-01T10:00:00.008Z")),
        ("datetime", ("2024-05-01 10:00:00.000", "2024-05-01 10:00:00.004", "2024-05-01 10:00:00.008")),
        ("Elapsed time", ("0:00.000", "0:00.004", "0:00.008")),
        ("time", ("10:00:00.000", "10:00:00.004", "10:00:00.008")),
    ],
)
def test_times_of_other_units_and_dates_are_read(csv, name, times):
    record = read_record(csv(f"{name},I\n" + "".join(f"{time},0.5\n" for time in times)))
    assert (record.sampling_rate, record.leads, record.samples) == (250, ("I",), 3)
    assert (record.start is not None) == (times[0][:3] in ("160", "202"))


def test_the_column_of_times_can_be_named(csv):
    path = csv("clock,I\n0,0.5\n0.05,0.6\n")
    assert read_record(path, time_column="clock").sampling_rate == 20
    refused(path, r"no column is called 'when'; it has 'clock', 'I'", time_column="when")


def test_without_a_time_the_rate_must_be_given(csv):
    refused(csv("I\n0.5\n"), r"ecg\.csv: no column is called .time.; give the sampling rate in Hz \(--sampling-rate\)")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no samples"),
        ("# only: a note\n\n", "holds no samples"),
        ("I,II\n", "a header and no samples"),
        ("time\n0\n1\n", "it has times but no samples"),
        ("# note\nI,II\n1.5,2\n\n1.5,x\n", "line 5, column 2: 'x' is not a number"),
        ("1.5;2\n1,5;2\n", "line 2, column 1: '1,5' is not a number; write decimals with a point"),
        ("time,I\n,0.5\n1,0.5\n", "line 2, column 1: '' is not a number"),
        ("# dtype: int16\n1.5,\n", "dtype int16, but not every sample is a whole number"),
        ("I,II\n1.5\n1.5,2\n1.5,2\n", "line 2: 1 columns where there are 2 below; if it is a comment, begin it with #"),
        ("I,II\n1.5,2\n1.5\n", "line 3: 1 columns where there are 2 above"),
        ("time,I\n0,0.5\nnan,0.5\n", "line 3, column 1: 'nan' is not a time"),
        ("time,I\n0,0.5\nx,0.5\n", "line 3, column 1: 'x' is not a number"),
        (b"\xff\xfe\x00\x01\x00", "not text, so no CSV"),
        (b"\x80\x00\x01\xff", "not text, so no CSV"),
        (b"1.5,2\n" * 500 + b'1.5,"9\n' + b"9\n" * 200_000, "not readable as CSV"),
        (b"1.5," + b"9" * 200_000 + b"\n", "line 1: 200,004 letters, and no row of samples has more than 131,072"),
        (b"1," * 5000 + b"\n", "5,001 columns; more than 4,096 are not believed"),
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
def test_other_files_are_refused_and_the_place_is_named(csv, content, problem):
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


def test_names_like_units_and_times_come_back_from_our_own_file_and_can_be_chosen(tmp_path):
    leads = ("I (uV)", "II_mV", "index", "time (ms)", "V")
    signal = np.arange(15, dtype="i2").reshape(5, 3)
    record = Record(signal, 250, leads, gain=(1, 2, 3, 4, 5), baseline=(5, 4, 3, 2, 1), source="own")
    path = written(record, tmp_path)
    assert_same(read_record(path), record)
    assert read_record(path).repaired == ()
    assert_same(read_record(path, leads=["time (ms)", "II_mV"]), record.take(["time (ms)", "II_mV"]))


@given(
    data=st.data(),
    delimiter=st.sampled_from([",", ";", "\t", "|", " "]),
    decimal=st.sampled_from([".", ","]),
    unit=st.sampled_from([*UNITS, "mmHg", ""]),
    style=st.sampled_from(["{name} ({unit})", "{name}_{unit}", "below", "none"]),
    times=st.sampled_from(["", "s", "ms"]),
    rows=st.integers(1, 12),
    is_whole=st.booleans(),
)
def test_a_file_of_any_dialect_is_read_right_or_refused(
    tmp_path_factory, data, delimiter, decimal, unit, style, times, rows, is_whole
):
    samples = st.integers(-2000, 2000) if is_whole else st.decimals(-10, 10, places=data.draw(st.integers(1, 3)))
    leads = ("I", "II", "V5")[: data.draw(st.integers(1, 3))]
    table = [[data.draw(samples) for _ in leads] for _ in range(rows)]
    unit = "" if style == "none" else unit
    names = [style.format(name=lead, unit=unit) if unit and style != "below" else lead for lead in leads]
    lines = [names, [unit] * len(leads)] if unit and style == "below" else [names] if style != "none" else []
    lines += [[str(cell).replace(".", decimal) for cell in row] for row in table]
    if times and style != "none":
        cells = [f"time_{times}", *(f"{number * (4 if times == 'ms' else 0.004):g}" for number in range(rows))]
        cells[len(cells) - rows : len(cells) - rows] = ["s"] * (len(lines) - len(cells))
        lines = [[cell.replace(".", decimal), *line] for cell, line in zip(cells, lines, strict=True)]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("\n".join(delimiter.join(line) for line in lines), "utf-8")
    try:
        record = read_record(path, 250)
    except RecordError:
        return
    is_assumed = not is_whole and any("taken as mV" in remark for remark in record.repaired)
    assert record.units == ("mV" if unit in UNITS or is_assumed else unit or "counts")
    factor = UNITS.get(unit, 1)
    if any("--decimal says otherwise" in remark for remark in record.repaired):
        return
    np.testing.assert_allclose(record.physical().T, np.array(table, float) * factor, rtol=1e-9)
    assert record.sampling_rate == 250
    assert style == "none" or record.leads == leads


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


@pytest.mark.parametrize(
    "leads",
    [
        ("=HYPERLINK(1)", "+I", "-II", " @V1"),
        ("'=1", "''-", "\tI", "\rI"),
        ("I\x1b[2J", "a\nb", "\u202eV1", "\u2028"),
        ("a;b;c;d;e;f", 'quo"te', "a,b", " blanks "),
        ("I", "I\x85", "time", ""),
    ],
)
def test_names_that_a_spreadsheet_would_run_are_harmless_and_come_back(tmp_path, leads):
    record = Record(
        np.arange(8).reshape(4, 2).astype(np.int16),
        250,
        leads,
        units="m\x1bV,=1;+2\n=1",
        gain=(1,) * 4,
        baseline=(0,) * 4,
    )
    with (tmp_path / "a.csv").open("wb") as file:
        write_record(record, file, ".csv")
    text = (tmp_path / "a.csv").read_text()
    assert text.replace("\n", "").isprintable()
    every = [cell.strip() for row in csv_format.reader(text.split("\n")) for cell in row]  # as a spreadsheet sees it
    assert not any(cell.startswith(("=", "+", "@")) or re.match("-[^0-9.]", cell) for cell in every)
    rows = list(csv_format.reader(line for line in text.split("\n") if line and not line.startswith("#")))
    assert rows[0][0] == "time"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in rows[0])
    assert all(line.startswith(("#", "time,", "0", '"')) for line in text.splitlines())
    back = read_record(tmp_path / "a.csv")
    assert back.leads == leads
    assert back.units == record.units


def test_without_the_note_a_quote_before_a_formula_is_taken_away(tmp_path):
    (tmp_path / "a.csv").write_text("time,'-II,'I'\n0,1,2\n0.004,3,4\n")
    assert read_record(tmp_path / "a.csv").leads == ("-II", "'I'")


@pytest.mark.parametrize("note", ["I, II", "[1]", '{"leads": ["I"]}', '{"leads": [1, 2], "units": 3}', "[" * 100_000])
def test_a_comment_called_names_that_is_none_of_ours_is_a_comment(tmp_path, note):
    (tmp_path / "a.csv").write_text(f"# names: {note}\ntime,I,II\n0,1,2\n0.004,3,4\n")
    assert read_record(tmp_path / "a.csv").leads == ("I", "II")

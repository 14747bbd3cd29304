from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import assert_same, optional, toy_ecg

from ecgframe import Codec
from ecgframe.frame_file import ecg_messages, write_frames
from ecgframe.records import Annotation, Record, RecordError, bounds, mapped, read_record, save_record, shipped_ecg

# wfdb writes records by pandas calls that pandas has announced to change
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


@pytest.fixture
def wfdb():
    return optional("wfdb")


def write(wfdb, folder: Path, record: Record, fmt: str, *, units: str = "mV", gain: float | None = None) -> Path:
    leads = len(record.leads)
    wfdb.wrsamp(
        "rec",
        fs=record.sampling_rate,
        units=[units] * leads,
        sig_name=list(record.leads),
        d_signal=record.signal.T.astype(np.int64),
        fmt=[fmt] * leads,
        adc_gain=[gain] * leads if gain else list(record.gain),
        baseline=list(record.baseline),
        write_dir=str(folder),
    )
    return folder / "rec"


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_the_name_the_header_and_the_samples_all_lead_to_the_record(wfdb, tmp_path, suffix):
    path = write(wfdb, tmp_path, shipped_ecg(), "16")
    assert_same(read_record(f"{path}{suffix}"), shipped_ecg())


def test_packed_samples_come_back_exactly(wfdb, tmp_path):
    assert_same(read_record(write(wfdb, tmp_path, toy_ecg(), "212")), toy_ecg())


def test_counts_beyond_16_bits_come_back_exactly(wfdb, tmp_path):
    wide = Record(np.array([[-8_000_000, 0, 8_000_000]], np.int32), 500, ("II",), "mV", (1e6,), (0,))
    assert_same(read_record(write(wfdb, tmp_path, wide, "24")), wide)


def test_microvolts_become_millivolts_without_a_rounding_of_the_gain(wfdb, tmp_path):
    record = read_record(write(wfdb, tmp_path, toy_ecg(), "16", units="uV", gain=0.2))
    assert record.units == "mV"
    np.testing.assert_allclose(record.gain, 200, rtol=1e-15)


def mixed(wfdb, folder: Path, names: list[str], units: list[str]) -> Path:
    """Write a record of two signals at 500 Hz and one at 250 Hz."""
    ramp = np.arange(1000, dtype=np.int64)
    wfdb.wrsamp(
        "rec",
        fs=250,
        units=units,
        sig_name=names,
        e_d_signal=[ramp, ramp[::-1].copy(), ramp[:500].copy()],
        samps_per_frame=[2, 2, 1],
        fmt=["16"] * 3,
        adc_gain=[200.0] * 3,
        baseline=[0] * 3,
        write_dir=str(folder),
    )
    return folder / "rec"


def test_signals_of_several_rates_come_unsmoothed_and_the_ecg_is_chosen(wfdb, tmp_path):
    record = read_record(mixed(wfdb, tmp_path, ["I", "V5", "RESP"], ["mV", "mV", "Ohm"]))
    np.testing.assert_array_equal(record.signal, [np.arange(1000), np.arange(1000)[::-1]])
    assert (record.sampling_rate, record.leads, record.left_out) == (500, ("I", "V5"), ("RESP",))


def test_signals_of_which_none_is_called_ecg_are_listed(wfdb, tmp_path):
    path = mixed(wfdb, tmp_path, ["ABP", "CVP", "RESP"], ["mmHg", "mmHg", "Ohm"])
    listed = r"Name the leads to take .*'ABP' \(500 Hz, mmHg\), 'CVP' \(500 Hz, mmHg\), 'RESP' \(250 Hz, Ohm\)"
    with pytest.raises(RecordError, match=listed):
        read_record(path)
    assert read_record(path, leads=["CVP", "ABP"]).leads == ("CVP", "ABP")
    assert read_record(path, leads=["RESP"]).units == "Ohm"


def test_leads_that_do_not_fit_together_are_refused(wfdb, tmp_path):
    path = mixed(wfdb, tmp_path, ["I", "V5", "RESP"], ["mV", "mV", "Ohm"])
    with pytest.raises(RecordError, match="differ in rate or unit"):
        read_record(path, leads=["I", "RESP"])
    with pytest.raises(RecordError, match=r"no lead 'V1' there; it has 'I' \(500 Hz, mV\)"):
        read_record(path, leads=["V1"])


def test_missing_samples_name_the_record_and_the_way_out(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    path.with_suffix(".dat").unlink()
    with pytest.raises(RecordError, match=r"rec\.hea: not readable as WFDB .*are the files .* beside it"):
        read_record(path)


@pytest.mark.parametrize("kept", [0, 1000])
def test_samples_cut_short_are_refused(wfdb, tmp_path, kept):
    samples = write(wfdb, tmp_path, toy_ecg(), "16").with_suffix(".dat")
    samples.write_bytes(samples.read_bytes()[:kept])
    with pytest.raises(RecordError, match="not readable as WFDB"):
        read_record(samples)


@pytest.mark.parametrize("header", ["", "no header at all\n", "rec 1 360\nrec.dat 16 x\n"])
def test_a_broken_header_is_refused(wfdb, tmp_path, header):
    (tmp_path / "rec.hea").write_text(header)
    with pytest.raises(RecordError, match=r"rec\.hea: not readable as WFDB"):
        read_record(tmp_path / "rec")


def test_samples_without_their_header_say_what_is_missing(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    shutil.move(path.with_suffix(".hea"), tmp_path / "elsewhere.hea")
    with pytest.raises(RecordError, match=r"the WFDB header rec\.hea, which says how to read it, is not beside it"):
        read_record(path.with_suffix(".dat"))


def test_a_rate_that_contradicts_the_header_is_refused(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    assert_same(read_record(path, sampling_rate=360), toy_ecg())
    with pytest.raises(RecordError, match="its sampling rate is 360 Hz, not the given 250 Hz"):
        read_record(path, sampling_rate=250)


# --- headers and samples written by hand ---


@pytest.fixture
def put(tmp_path):
    """Write a file to the folder of the test; return the folder."""

    def write(name: str, content: str | bytes) -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


INVALID = {"16": -(2**15), "61": -(2**15), "80": -(2**7), "160": -(2**15), "24": -(2**23), "32": -(2**31)}


def stored(fmt: str, counts: list[int]) -> bytes:
    """Encode the counts of one signal in a WFDB format."""
    match fmt:
        case "16" | "61":
            return np.array(counts, "<i2" if fmt == "16" else ">i2").tobytes()
        case "32":
            return np.array(counts, "<i4").tobytes()
        case "24":
            return b"".join(count.to_bytes(3, "little", signed=True) for count in counts)
        case "80":
            return bytes(count + 128 for count in counts)
        case "160":
            return np.array([count + 32768 for count in counts], "<u2").tobytes()
    raise AssertionError(fmt)


@pytest.mark.parametrize("fmt", INVALID)
def test_a_missing_sample_is_missing_in_each_format(wfdb, put, fmt):
    counts = [100, INVALID[fmt], 102, -7]
    put("a.dat", stored(fmt, counts))
    folder = put("a.hea", f"a 1 250 4\na.dat {fmt} 200/mV 16 0 100 0 0 II\n")
    record = read_record(folder / "a")
    np.testing.assert_allclose(record.physical(), [[0.5, np.nan, 0.51, -0.035]])
    assert record.is_missing().tolist() == [[False, True, False, False]]


@pytest.mark.parametrize(("fmt", "invalid"), [("212", -2048), ("310", -512), ("311", -512)])
def test_a_missing_sample_is_missing_in_packed_formats(wfdb, put, tmp_path, fmt, invalid):
    counts = np.array([[100, invalid, 102, -7, 5, 6]]).T
    wfdb.wrsamp(
        "a",
        fs=250,
        units=["mV"],
        sig_name=["II"],
        d_signal=counts,
        fmt=["212"],
        adc_gain=[200.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    if fmt != "212":
        values = [int(count) & 0x3FF for count in counts[:, 0]]
        packed = b""
        for one, two, three in (values[:3], values[3:]):
            if fmt == "310":
                low = ((one << 1) | ((three & 0x1F) << 11)).to_bytes(2, "little")
                packed += low + ((two << 1) | ((three >> 5) << 11)).to_bytes(2, "little")
            else:
                packed += (one | (two << 10) | (three << 20)).to_bytes(4, "little")
        put("a.dat", packed)
        put("a.hea", f"a 1 250 6\na.dat {fmt} 200/mV 10 0 100 0 0 II\n")
    record = read_record(tmp_path / "a")
    np.testing.assert_allclose(record.physical(), [[0.5, np.nan, 0.51, -0.035, 0.025, 0.03]])


@pytest.mark.parametrize("fmt", ["16", "61"])
@pytest.mark.parametrize("skew", [1, 2, 5])
def test_samples_that_a_skew_leaves_over_are_missing(wfdb, put, fmt, skew):
    put("a.dat", stored(fmt, [1, 10, 2, 20, 3, 30]))
    folder = put("a.hea", f"a 2 250 3\na.dat {fmt} 200/mV 16 0 0 0 0 I\na.dat {fmt}:{skew} 200/mV 16 0 0 0 0 II\n")
    expected = ([10, 20, 30][skew:] + [np.nan] * 3)[:3]
    np.testing.assert_allclose(read_record(folder / "a").physical() * 200, [[1, 2, 3], expected])


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("V", 1000),
        ("mV", 1),
        ("uV", 1e-3),
        ("\N{MICRO SIGN}V", 1e-3),
        ("\N{GREEK SMALL LETTER MU}V", 1e-3),
        ("nV", 1e-6),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_units_are_read_in_either_alphabet(wfdb, put, units, factor, encoding):
    if encoding == "latin-1" and units.startswith("\N{GREEK SMALL LETTER MU}"):
        pytest.skip("Latin-1 has no Greek letters")
    put("a.dat", stored("16", [100, 200]))
    folder = put("a.hea", f"a 1 250 2\na.dat 16 200/{units} 16 0 100 0 0 Lead \xdc\n".encode(encoding))
    record = read_record(folder / "a")
    assert (record.units, record.leads) == ("mV", ("Lead \xdc",))
    np.testing.assert_allclose(record.physical(), [[0.5 * factor, 1 * factor]], rtol=1e-12)


def test_an_unknown_unit_keeps_its_name(wfdb, put):
    put("a.dat", stored("16", [100, 200]))
    folder = put("a.hea", "a 1 250 2\na.dat 16 200/foo 16 0 100 0 0 II\n")
    assert read_record(folder / "a").units == "foo"


def test_a_gain_that_is_not_there_is_assumed_and_that_is_said(wfdb, put):
    put("a.dat", stored("16", [100, 200]))
    record = read_record(put("a.hea", "a 1 250 2\na.dat 16 0 16 0 100 0 0 II\n") / "a")
    assert record.gain == (200,)
    assert "no gain stands in the header for II" in record.repaired[0]


def segments(put, gains, *, units="mV"):
    put("p.dat", stored("16", [40, 80]))
    for name, gain in gains.items():
        put(f"{name}.hea", f"{name} 1 250 2\np.dat 16 {gain}/{units} 16 0 40 0 0 II\n")


def test_each_segment_has_its_own_gain(wfdb, put):
    segments(put, {"p": "200", "q": "100", "r": "400(40)"})
    folder = put("m.hea", "m/3 1 250 6\np 2\nq 2\nr 2\n")
    np.testing.assert_allclose(read_record(folder / "m").physical(), [[0.2, 0.4, 0.4, 0.8, 0, 0.1]])


def test_segments_of_one_gain_keep_their_counts(wfdb, put):
    segments(put, {"p": "200(7)"})
    record = read_record(put("m.hea", "m/2 1 250 4\np 2\np 2\n") / "m")
    assert (record.signal.tolist(), record.gain, record.baseline) == ([[40, 80, 40, 80]], (200,), (7,))


def test_a_segment_of_nothing_is_missing(wfdb, put):
    segments(put, {"p": "200"})
    x = read_record(put("m.hea", "m/3 1 250 7\np 2\n~ 3\np 2\n") / "m").physical()[0]
    np.testing.assert_allclose(x, [0.2, 0.4, np.nan, np.nan, np.nan, 0.2, 0.4])


def test_a_lead_that_a_segment_has_not_is_missing_in_it(wfdb, put):
    segments(put, {"p": "200", "q": "100"})
    put("v.dat", stored("16", [1, 2, 3, 4]))
    put("v.hea", "v 2 250 2\nv.dat 16 200/mV 16 0 0 0 0 V\nv.dat 16 200/mV 16 0 0 0 0 II\n")
    put("l.hea", "l 2 250 0\n~ 0 200/mV 16 0 0 0 0 II\n~ 0 200/mV 16 0 0 0 0 V\n")
    record = read_record(put("m.hea", "m/4 2 250 6\nl 0\np 2\nv 2\nq 2\n") / "m")
    assert record.leads == ("II", "V")
    np.testing.assert_allclose(
        record.physical(),
        [[0.2, 0.4, 0.01, 0.02, 0.4, 0.8], [np.nan, np.nan, 0.005, 0.015, np.nan, np.nan]],
    )


def test_annotations_and_the_start_are_kept(wfdb, put, tmp_path):
    put("a.dat", stored("16", [100] * 500))
    folder = put("a.hea", "a 1 250 500 12:30:05.5 04/05/2011\na.dat 16 200/mV 16 0 100 0 0 II\n")
    wfdb.wrann("a", "atr", np.array([50, 250]), symbol=["N", "+"], aux_note=["", "(AFIB"], write_dir=str(tmp_path))
    record = read_record(folder / "a")
    assert record.start == datetime(2011, 5, 4, 12, 30, 5, 500_000)
    assert record.annotations == (Annotation(0.2, "N"), Annotation(1.0, "(AFIB"))


def test_broken_annotations_do_not_keep_the_samples(wfdb, put):
    put("a.dat", stored("16", [100, 200]))
    put("a.atr", b"\x01")
    record = read_record(put("a.hea", "a 1 250 2\na.dat 16 200/mV 16 0 100 0 0 II\n") / "a")
    assert record.signal.tolist() == [[100, 200]]
    assert "annotations of a.atr, which cannot be read" in record.left_out[0]


# --- annotations ---


def plain(put, signals: str = "II", rate: object = 250, rest: str = "") -> Path:
    """Write a record of 500 samples per signal; return its path."""
    names = signals.split()
    put("a.dat", stored("16", [100] * 500 * len(names)))
    lines = "".join(f"a.dat 16 200/mV 16 0 100 0 0 {name}\n" for name in names)
    return put("a.hea", f"a {len(names)} {rate} 500{rest}\n{lines}") / "a"


def annotate(wfdb, path: Path, suffix: str = "atr", **more) -> None:
    more = {"symbol": ["N", "V"], "sample": np.array([50, 250]), **more}
    wfdb.wrann(path.name, suffix, more.pop("sample"), write_dir=str(path.parent), **more)


def test_annotations_may_have_a_time_resolution_of_their_own(wfdb, put):
    path = plain(put)
    annotate(wfdb, path, fs=1000)
    assert read_record(path).annotations == (Annotation(0.05, "N"), Annotation(0.25, "V"))


def test_the_signal_of_an_annotation_is_its_lead(wfdb, put):
    path = plain(put, "I II V1")
    annotate(wfdb, path, chan=np.array([0, 2]))
    assert [note.lead for note in read_record(path).annotations] == ["I", "V1"]
    assert [note.lead for note in read_record(path, leads=["II", "V1"]).annotations] == ["V1"]
    annotate(wfdb, path, chan=np.array([0, 0]))  # no file can say that it names no signal
    assert [note.lead for note in read_record(path).annotations] == [None, None]
    annotate(wfdb, path, chan=np.array([0, 3]))
    record = read_record(path)
    assert [note.lead for note in record.annotations] == ["I", None]
    assert record.left_out == ("the signal of 1 annotation of a.atr, which the record does not have",)


def test_the_text_of_a_beat_does_not_replace_its_code(wfdb, put):
    path = plain(put)
    annotate(wfdb, path, symbol=["V", "+"], aux_note=["couplet", "(AFIB"], subtype=np.array([0, 1]))
    record = read_record(path)
    assert [note.text for note in record.annotations] == ["V couplet", "(AFIB"]
    assert record.left_out == ("subtypes and numbers of 1 annotation of a.atr",)


def test_codes_that_a_file_defines_have_their_names(wfdb, put):
    path = plain(put)
    annotate(wfdb, path, symbol=["N", "P"], custom_labels=[(44, "P", "of a test")])
    assert [note.text for note in read_record(path).annotations] == ["N", "P"]


def atr(*words: int, text: bytes = b"", end: bytes = b"\0\0") -> bytes:
    return np.array(words, "<u2").tobytes() + text + end


@pytest.mark.parametrize(
    ("content", "annotations"),
    [
        (atr(22 << 10, 63 << 10 | 6, text=b"## odd"), ()),  # the wfdb library does not return from it
        (atr(22 << 10, 63 << 10 | 4, text=b"note"), (Annotation(0.0, "note"),)),  # the wfdb library drops it
        (atr(59 << 10, 1, 0, 1 << 10 | 464), (Annotation(264.0, "N"),)),
        (atr(1 << 10 | 250, 59 << 10, 0xFFFF, 0xFF83, 5 << 10), (Annotation(0.5, "V"), Annotation(1.0, "N"))),
    ],
)
def test_annotations_that_are_rare(put, content, annotations):
    path = plain(put)
    put("a.atr", content)
    record = read_record(path)
    assert (record.annotations, record.left_out) == (annotations, ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\1", "the annotations of a.atr, which cannot be read (it has an odd number of bytes)"),
        (atr(55 << 10), "the annotations of a.atr, which cannot be read (byte 0 has the code 55"),
        (atr(1 << 10, 63 << 10 | 40), "what follows the 1 annotation of a.atr, which is cut short"),
        (atr(1 << 10, end=b""), "what follows the 1 annotation of a.atr, which is cut short"),
    ],
)
def test_annotations_that_are_damaged(put, content, said):
    path = plain(put)
    put("a.atr", content)
    assert read_record(path).left_out[0].startswith(said)


def test_annotations_of_wfdb_are_bounded(put, monkeypatch):
    path = plain(put)
    put("a.atr", atr(*[1 << 10 | 1] * 4))
    assert len(read_record(path).annotations) == 4
    monkeypatch.setattr(bounds, "FEW_ANNOTATIONS", 3)
    monkeypatch.setattr(bounds, "ANNOTATIONS_PER_BYTE", 0)
    assert "it has more than 3" in read_record(path).left_out[0]


def test_other_annotations_are_named(wfdb, put):
    path = plain(put)
    for suffix in ("qrs", "ecg", "wabp", "atr"):
        annotate(wfdb, path, suffix)
    put("a.txt", "of somebody")
    put("a.edf", b"0       \0\0")
    put("a.png", b"\x89PNG\r\n\x1a\n\0\0\xae\x42\x60\x82")
    put("ab.qrs", atr(1 << 10))
    put("a.st.gz", b"\x1f\x8b")
    put("a.csv.gz", b"\x1f\x8b\0\0")
    record = read_record(path)
    assert record.left_out == tuple(f"the annotations of a.{suffix}" for suffix in ("ecg", "qrs", "st.gz", "wabp"))
    assert len(record.annotations) == 2


@pytest.mark.parametrize(
    ("time", "left_out"),
    [
        (" 12:30:05", ("the time 12:30:05, which has no valid date",)),
        (" 12:30:05 99/99/2011", ("the time 12:30:05 99/99/2011, which has no valid date",)),
        (" 12:30:05 04/05/2011", ()),
    ],
)
def test_a_time_without_a_date_is_left_out(put, time, left_out):
    assert read_record(plain(put, rest=time)).left_out == left_out


def test_comments_and_the_device_are_kept(put):
    path = plain(put)
    header = path.with_suffix(".hea").read_text()
    put("a.hea", f"# 69 M 1085\n{header}#\n#device: el250\n# Aldomet, Inderal\n")
    record = read_record(path)
    assert (record.device, record.comments) == ("el250", ("69 M 1085", "Aldomet, Inderal"))


# --- segments that differ ---


def test_signals_of_segments_are_joined_by_name(wfdb, put):
    put("p.dat", stored("16", [1, 2, 3, 4]))
    for name, leads in (("p", ("I", "II")), ("q", ("II", "I")), ("r", ("II", "V"))):
        put(f"{name}.hea", f"{name} 2 250 2\n" + "".join(f"p.dat 16 200/mV 16 0 0 0 0 {lead}\n" for lead in leads))
    record = read_record(put("m.hea", "m/3 2 250 6\np 2\nq 2\nr 2\n") / "m")
    assert record.leads == ("I", "II", "V")
    nan = np.nan
    expected = [[1, 3, 2, 4, nan, nan], [2, 4, 1, 3, 1, 3], [nan, nan, nan, nan, 2, 4]]
    np.testing.assert_allclose(record.physical() * 200, expected)
    assert record.repaired == ("its segments have different signals; they are joined by name",)


def test_signals_that_cannot_be_told_apart_are_refused(wfdb, put):
    put("p.dat", stored("16", [1, 2, 3, 4]))
    for name, leads in (("p", ("I", "I")), ("q", ("I", "V"))):
        put(f"{name}.hea", f"{name} 2 250 2\n" + "".join(f"p.dat 16 200/mV 16 0 0 0 0 {lead}\n" for lead in leads))
    with pytest.raises(RecordError, match="do not tell which belong together; read its segments one by one"):
        read_record(put("m.hea", "m/2 2 250 4\np 2\nq 2\n") / "m")


def test_signals_that_the_layout_does_not_have_are_named(wfdb, put):
    put("v.dat", stored("16", [1, 2, 3, 4]))
    put("v.hea", "v 2 250 2\nv.dat 16 200/mV 16 0 0 0 0 V\nv.dat 16 200/mV 16 0 0 0 0 II\n")
    put("l.hea", "l 1 250 0\n~ 0 200/mV 16 0 0 0 0 II\n")
    record = read_record(put("m.hea", "m/2 1 250 2\nl 0\nv 2\n") / "m")
    assert record.signal.tolist() == [[2, 4]]
    assert record.left_out == ("V of segments, which is not in the layout l",)


@pytest.mark.parametrize("layout", ["", "l 0\n"])
def test_gains_that_segments_do_not_have_are_assumed_and_that_is_said(wfdb, put, layout):
    segments(put, {"p": "200", "q": "0"})
    put("l.hea", "l 1 250 0\n~ 0 200/mV 16 0 0 0 0 II\n")
    record = read_record(put("m.hea", f"m/{3 if layout else 2} 1 250 4\n{layout}p 2\nq 2\n") / "m")
    np.testing.assert_allclose(record.physical(), [[0.2, 0.4, 0.2, 0.4]])
    assert record.repaired == ("no gain stands in the header of q for II: 200 counts a unit, as WFDB assumes",)


def test_lengths_of_segments_that_differ_are_said(wfdb, put):
    segments(put, {"p": "200"})
    put("p.atr", atr(1 << 10))
    record = read_record(put("m.hea", "m/2 1 250 9\np 1\np 2\n") / "m")
    assert record.signal.tolist() == [[40, 40, 80]]
    assert record.left_out == ("the last 1 of 2 frames of p", "the annotations of p.atr")
    assert record.repaired == ("its header announces 9 frames, and its segments have 3",)


def test_the_start_of_the_first_segment_is_that_of_the_record(wfdb, put):
    put("p.dat", stored("16", [40, 80]))
    put("p.hea", "p 1 250 2 12:30:05 04/05/2011\np.dat 16 200/mV 16 0 40 0 0 II\n")
    assert read_record(put("m.hea", "m/2 1 250 252\n~ 250\np 2\n") / "m").start == datetime(2011, 5, 4, 12, 30, 4)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("m/3 1 250 4\np 2\np 2\n", "it announces 3 segments and lists 2; is it cut short"),
        ("m/2 1 250 4\np 2\n~ 90000000\n", "90,000,002 samples, more than files of 4 bytes are believed to hold"),
        ("m/1 1 250 4\n~ 3\n", "none of its segments holds samples"),
    ],
)
def test_segments_that_are_not_there_are_refused(wfdb, put, header, said):
    segments(put, {"p": "200"})
    with pytest.raises(RecordError, match=said):
        read_record(put("m.hea", header) / "m")


def test_samples_that_are_compressed_are_named(put):
    path = plain(put)
    path.with_suffix(".dat").rename(path.with_name("a.dat.gz"))
    with pytest.raises(RecordError, match=r"a\.dat is not beside it, and a\.dat\.gz is compressed .*gunzip"):
        read_record(path)


# --- any record ---

BITS = {"16": 15, "24": 23, "32": 31, "80": 7, "212": 11}
"""Formats that wfdb writes, and the bits of their counts without sign."""


@st.composite
def signals_of_wfdb(draw):
    """A signal for ``wrsamp``: format, counts with missing ones among them, samples per frame, gain, baseline, unit."""
    form = draw(st.sampled_from(sorted(BITS)))
    each, random = draw(st.integers(1, 3)), np.random.default_rng(draw(st.integers(0, 1 << 32)))
    most = (1 << BITS[form]) - 1
    counts = random.integers(-most, most, FRAMES * each, endpoint=True)
    counts[random.random(len(counts)) < draw(st.sampled_from([0, 0.2]))] = -most - 1
    gain = float(draw(st.integers(1, 4000))) / draw(st.sampled_from([1, 8]))
    return form, counts, each, gain, draw(st.integers(-2000, 2000))


FRAMES = 6


@given(signals=st.lists(signals_of_wfdb(), min_size=1, max_size=4), units=st.sampled_from(["mV", "uV", "mmHg"]))
def test_any_record_has_the_values_that_wfdb_gives(tmp_path_factory, signals, units):
    wfdb, folder = optional("wfdb"), tmp_path_factory.mktemp("any")
    each = signals[0][2]
    forms, counts, frames, gains, baselines = zip(*(one for one in signals if one[2] == each), strict=True)
    wfdb.wrsamp(
        "a", fs=100, units=[units] * len(forms), sig_name=[f"V{number}" for number in range(len(forms))],
        e_d_signal=list(counts), samps_per_frame=list(frames), fmt=list(forms), adc_gain=list(gains),
        baseline=list(baselines), write_dir=str(folder),
    )  # fmt: skip
    record = read_record(folder / "a")
    found = wfdb.rdrecord(str(folder / "a"), smooth_frames=False).e_p_signal
    factor = 1e-3 if units == "uV" else 1
    np.testing.assert_allclose(record.physical(), np.array(found) * factor, rtol=1e-9, atol=1e-12)
    assert (record.sampling_rate, record.units) == (100 * each, "mmHg" if units == "mmHg" else "mV")


@given(
    marks=st.lists(
        st.tuples(
            st.integers(0, 1 << 20),
            st.sampled_from("NLRVA~+"),
            st.integers(0, 2),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5),
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda mark: mark[0],
    ),
    rate=st.sampled_from([None, 1000, 128.5]),
)
def test_any_annotations_are_those_that_wfdb_reads(tmp_path_factory, marks, rate):
    wfdb, folder = optional("wfdb"), tmp_path_factory.mktemp("any")
    header = "".join(f"a.dat 16 200/mV 16 0 0 0 0 {name}\n" for name in ("I", "II", "V1"))
    (folder / "a.dat").write_bytes(bytes(6))
    (folder / "a.hea").write_text(f"a 3 250 1\n{header}")
    samples, symbols, signals, texts = zip(*sorted(marks), strict=True)
    wfdb.wrann(
        "a", "atr", np.array(samples), symbol=list(symbols), chan=np.array(signals), aux_note=list(texts),
        fs=rate, write_dir=str(folder),
    )  # fmt: skip
    found = wfdb.rdann(str(folder / "a"), "atr")
    annotations = read_record(folder / "a").annotations
    assert [note.time for note in annotations] == [sample / (rate or 250) for sample in found.sample.tolist()]
    names = ("I", "II", "V1") if any(signals) else (None, None, None)
    assert [note.lead for note in annotations] == [names[number] for number in found.chan.tolist()]
    for note, symbol, text in zip(annotations, found.symbol, found.aux_note, strict=True):
        said = text.rstrip("\0")
        assert note.text == (said or symbol if symbol in "~+" else f"{symbol} {said}".strip())


# --- headers that cannot be right, or say too little ---


def test_a_rate_that_is_not_there_is_assumed_and_that_is_said(put):
    put("a.dat", stored("16", [1, 2]))
    record = read_record(put("a.hea", "a 1\na.dat 16 200/mV 16 0 0 0 0 II\n") / "a")
    assert record.sampling_rate == 250
    assert record.repaired == ("no sampling rate stands in the header: 250 Hz, as WFDB assumes",)


def test_signals_that_the_header_does_not_announce_are_named(put):
    put("a.dat", stored("16", [1, 2]))
    line = "a.dat 16 200/mV 16 0 0 0 0 II\n"
    record = read_record(put("a.hea", f"a 1 250 2\n{line}{line}") / "a")
    assert record.left_out == ("1 line of a.hea after the 1 signal that it announces",)


@pytest.mark.parametrize(
    ("rate", "calibration", "zero"),
    [("250", "1e99999999/mV", "0"), ("250", "1e-99999999/mV", "0"), ("1e9999999", "1/mV", "0"), ("9", "1/mV", "1e999")],
)
def test_numbers_of_any_size_are_refused(put, rate, calibration, zero):
    put("a.dat", stored("16", [1, 2]))
    with pytest.raises(RecordError, match=r"line . is not a header line .*is not believed"):
        read_record(put("a.hea", f"a 1 {rate} 2\na.dat 16 {calibration} 16 {zero} 0 0 0 II\n") / "a")


def test_a_skew_of_any_size_is_refused(wfdb, put):
    put("a.dat", stored("16", [1, 2]))
    with pytest.raises(RecordError, match="a skew of 999,999,999 samples is not believed"):
        read_record(put("a.hea", "a 1 250 2\na.dat 16:999999999 200 16 0 0 0 0 II\n") / "a")


@pytest.mark.parametrize("form", ["16", "24", "80"])
def test_frames_that_the_header_does_not_announce_are_named(wfdb, put, form):
    put("a.dat", stored(form, [1, 2, 3, 4, 5]))
    record = read_record(put("a.hea", f"a 1 250 2\na.dat {form} 200/mV 16 0 0 0 0 II\n") / "a")
    assert record.signal.tolist() == [[1, 2]]
    assert record.left_out == ("3 frames of a.dat after the 2 that the header announces",)


@st.composite
def segments_of_wfdb(draw):
    """Leads of a segment, in any order; its frames and its gain. Nothing for a segment of missing samples."""
    leads = draw(st.lists(st.sampled_from(["I", "II", "V"]), max_size=3, unique=True))
    return leads, draw(st.integers(1, 5)), draw(st.sampled_from([100, 200, 400.5]))


@given(segments=st.lists(segments_of_wfdb(), min_size=1, max_size=4), seed=st.integers(0, 1 << 32))
def test_any_segments_have_the_values_that_wfdb_gives(tmp_path_factory, segments, seed):
    wfdb, folder = optional("wfdb"), tmp_path_factory.mktemp("any")
    random, lines = np.random.default_rng(seed), []
    segments = [(["II", "I", "V"], 2, 200), *segments]
    for number, (leads, frames, gain) in enumerate(segments):
        lines.append(f"{f's{number}' if leads else '~'} {frames}\n")
        if leads:
            counts = random.integers(-1000, 1000, (frames, len(leads)))
            counts[random.random(counts.shape) < 0.2] = -32768
            wfdb.wrsamp(
                f"s{number}", fs=100, units=["mV"] * len(leads), sig_name=leads, d_signal=counts, write_dir=str(folder),
                fmt=["16"] * len(leads), adc_gain=[gain] * len(leads), baseline=[number] * len(leads),
            )  # fmt: skip
    layout = "".join(f"~ 0 200/mV 16 0 0 0 0 {lead}\n" for lead in ("I", "II", "V"))
    (folder / "layout.hea").write_text(f"layout 3 100 0\n{layout}")
    frames = sum(frames for _, frames, _ in segments)
    (folder / "m.hea").write_text(f"m/{len(segments) + 1} 3 100 {frames}\nlayout 0\n{''.join(lines)}")
    record, found = read_record(folder / "m"), wfdb.rdrecord(str(folder / "m"))
    assert list(record.leads) == found.sig_name == ["I", "II", "V"]
    np.testing.assert_allclose(record.physical(), found.p_signal.T, rtol=1e-9, atol=1e-12)
    assert (record.left_out, record.repaired) == ((), ())


# --- checksums ---


@pytest.mark.parametrize("fmt", ["16", "24", "32", "61", "80", "160", "212", "310", "311", "8"])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_wrong_checksum_is_reported(wfdb, put, monkeypatch, fmt, is_large):
    """Of each signal; a checksum of 0, which headers have that are written by hand, says nothing."""
    if is_large:
        monkeypatch.setattr(mapped, "LARGE", 0)
    octets = bytes(np.random.default_rng(8).integers(1, 60, 480, np.uint8))
    folder = put("a.dat", octets)
    frames = {
        "16": 120,
        "61": 120,
        "160": 120,
        "24": 80,
        "32": 60,
        "80": 240,
        "212": 160,
        "310": 180,
        "311": 180,
        "8": 240,
    }[fmt]
    put("a.hea", f"a 2 250 {frames}\na.dat {fmt} 200/mV 16 0 0 0 0 I\na.dat {fmt} 200/mV 16 0 0 0 0 II\n")
    record = read_record(folder / "a")
    assert record.repaired == ()
    right = record.signal.sum(axis=1).tolist()
    for one, other, told in (
        (right[0], right[1] - (1 << 16), ()),
        (right[0], right[1] + 1, ("II",)),
        (1, 2, ("I, II",)),
    ):
        put("a.hea", f"a 2 250 {frames}\na.dat {fmt} 200/mV 16 0 0 {one} 0 I\na.dat {fmt} 200/mV 16 0 0 {other} 0 II\n")
        expected = tuple(
            f"the samples of {leads} do not have the checksum of a.hea; are they damaged?" for leads in told
        )
        assert read_record(folder / "a").repaired == expected
        assert read_record(folder / "a", leads=["II"]).repaired == expected


def test_the_checksum_of_a_segment_is_compared(wfdb, put):
    folder = put("p.dat", np.array([40, 80], "<i2").tobytes())
    put("p.hea", "p 1 250 2\np.dat 16 200/mV 16 0 40 120 0 II\n")
    put("q.hea", "q 1 250 2\np.dat 16 200/mV 16 0 40 121 0 II\n")
    put("m.hea", "m/3 1 250 6\np 2\nq 2\np 2\n")
    assert read_record(folder / "m").repaired == (
        "the samples of II do not have the checksum of q.hea; are they damaged?",
    )


def test_files_of_ecgframe_and_wfdb_have_the_right_checksums(wfdb, tmp_path):
    saved = save_record(shipped_ecg(), tmp_path / "a.hea")
    assert read_record(saved.files[0]).repaired == ()
    counts = np.random.default_rng(2).integers(-2000, 2000, (500, 3))
    for fmt in ("16", "212", "24", "80"):
        rows = counts // 20 if fmt == "80" else counts
        wfdb.wrsamp(
            f"f{fmt}",
            250,
            ["mV"] * 3,
            ["I", "II", "III"],
            d_signal=rows,
            fmt=[fmt] * 3,
            adc_gain=[200.0] * 3,
            baseline=[0] * 3,
            write_dir=str(tmp_path),
        )
        assert read_record(tmp_path / f"f{fmt}").repaired == ()


def test_a_segment_that_is_not_there_is_named(put):
    folder = put("m.hea", "m/2 1 250 4\np 2\nq 2\n")
    put("p.hea", "p 1 250 2\np.dat 16 200/mV 16 0 0 0 0 II\n")
    with pytest.raises(RecordError, match=r"m\.hea: the header of its segment q, .*q\.hea: No such file"):
        read_record(folder / "m")


def test_frames_beside_a_record_are_no_annotations(tmp_path):
    saved = save_record(shipped_ecg(), tmp_path / "a.hea")
    with (tmp_path / "a.frames").open("wb") as file:
        write_frames(file, Codec(), ecg_messages(shipped_ecg(), 1000))
    assert read_record(saved.files[0]).left_out == ()

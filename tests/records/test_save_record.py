"""Records written as WFDB, EDF+ and BDF+, read by ecgframe and by other libraries."""

from __future__ import annotations

import contextlib
import re
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import assert_same, optional, toy_ecg

from ecgframe.records import Annotation, Record, RecordError, read_record, save_record, shipped_ecg
from ecgframe.records.new_files import replace_file
from ecgframe.records.scaling import Range
from ecgframe.records.wfdb_writer import WfdbWriter
from ecgframe.records.write import SUFFIXES as EVERY_SUFFIX
from ecgframe.records.write import files_to_save

# wfdb reads annotations with a pandas call that is deprecated
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

SUFFIXES = (".edf", ".bdf", ".hea")
START = datetime(2026, 1, 2, 3, 4, 5, 250_000)
NOTES = (
    Annotation(0.5, "N"),
    Annotation(2.0, "asystole, über 4 s"),
    Annotation(100.0, "V"),
    Annotation(299.9, "(AFIB"),
)


@pytest.fixture(autouse=True)
def libraries():
    optional("wfdb"), optional("edfio")


def noted() -> Record:
    return replace(toy_ecg(), start=START, annotations=NOTES)


def with_gaps() -> Record:
    """A record with a gap within a second, one over several seconds, and one at the end."""
    record = noted()
    signal = record.signal.copy()
    for start, stop in ((1000, 1100), (3600, 7300), (107_990, 108_000)):
        signal[:, start:stop] = -32768
    return replace(record, signal=signal, missing=-32768)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "record",
    [noted(), with_gaps(), shipped_ecg(), replace(noted(), signal=toy_ecg().signal[:, :107_801])],
    ids=["noted", "gaps", "twelve leads", "an uneven end"],
)
def test_a_saved_record_is_read_unchanged(tmp_path, record, suffix):
    saved = save_record(record, tmp_path / f"rec{suffix}")
    found = read_record(saved.files[0])
    assert_same(found, record)
    assert (found.missing, found.start, found.repaired, found.left_out) == (record.missing, record.start, (), ())
    assert [note.text for note in found.annotations] == [note.text for note in record.annotations]
    assert [note.time for note in found.annotations] == pytest.approx([note.time for note in record.annotations])
    assert saved.remarks == ()


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npz", ".csv"])
def test_device_and_comments_are_kept_or_a_remark_says_so(tmp_path, suffix):
    record = replace(noted(), device="Mortara Instrument, Inc. el250", comments=("69 M", "=1+1, of a test: größer"))
    saved = save_record(record, tmp_path / f"rec{suffix}")
    found = read_record(saved.files[0])
    assert found.device == record.device
    assert found.comments == (() if suffix in (".edf", ".bdf") else record.comments)
    assert saved.remarks == (("2 comments are left out, which EDF has no field for",) if not found.comments else ())


@pytest.mark.parametrize("device", ["X", "a_b", "é", "a" * 80])
def test_a_device_that_edf_cannot_name_has_a_remark(tmp_path, device):
    saved = save_record(replace(noted(), device=device), tmp_path / "rec.edf")
    found = read_record(saved.files[0])
    assert any(remark.startswith(f"the device {device!r} is written as") for remark in saved.remarks)
    assert (found.device != device, found.start, found.left_out) == (True, START, ())


# --- other libraries ---


def test_wfdb_reads_saved_records(tmp_path):
    wfdb = optional("wfdb")
    record = with_gaps()
    save_record(record, tmp_path / "rec.hea", comments=["of a test"])
    found = wfdb.rdrecord(str(tmp_path / "rec"), physical=False)
    np.testing.assert_array_equal(found.d_signal.T, record.signal)
    np.testing.assert_array_equal(wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T, record.physical())
    assert (found.fs, found.sig_name, found.units, found.adc_gain, found.baseline, found.comments) == (
        360, ["MLII"], ["mV"], [200.0], [1024], ["of a test"],
    )  # fmt: skip
    assert datetime.combine(found.base_date, found.base_time) == START
    assert [total % 65_536 for total in found.checksum] == found.calc_checksum()
    marks = wfdb.rdann(str(tmp_path / "rec"), "atr")
    assert marks.sample.tolist() == [180, 720, 36_000, 107_964]
    assert marks.symbol == ["N", '"', "V", "+"]
    assert marks.aux_note[3] == "(AFIB"


def test_edfio_reads_saved_records(tmp_path):
    edfio = optional("edfio")
    record = with_gaps()
    save_record(record, tmp_path / "rec.edf", patient="bed 7")
    found = edfio.read_edf(tmp_path / "rec.edf")
    [signal] = found.signals
    np.testing.assert_array_equal(signal.digital, record.signal[0])
    there = ~record.is_missing()[0]
    np.testing.assert_allclose(signal.data[there], record.physical()[0][there], rtol=0, atol=1e-12)
    assert (signal.label, signal.physical_dimension, signal.sampling_frequency) == ("MLII", "mV", 360)
    assert (found.startdate, found.starttime) == (START.date(), START.time())
    assert (found.local_patient_identification, found.recording.equipment_code) == ("bed_7 X X X", "ecgframe")
    assert [(note.onset, note.duration, note.text) for note in found.annotations if note.text == "BAD_gap"] == [
        (pytest.approx(1000 / 360), pytest.approx(100 / 360), "BAD_gap"),
        (10.0, pytest.approx(3700 / 360), "BAD_gap"),
        (pytest.approx(107_990 / 360), pytest.approx(10 / 360), "BAD_gap"),
    ]
    assert {note.text for note in found.annotations} == {"BAD_gap", *(note.text for note in NOTES)}


# --- arbitrary records ---


@st.composite
def records(draw):
    dtype = draw(st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]))
    leads, samples = draw(st.integers(1, 4)), draw(st.integers(1, 700))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    fields = {}
    if np.dtype(dtype).kind == "f":
        signal = random.normal(scale=draw(st.sampled_from([0.1, 1, 100])), size=(leads, samples)).astype(dtype)
        if draw(st.booleans()):
            signal[random.random(signal.shape) < 0.2] = np.nan
    else:
        info = np.iinfo(dtype)
        share = draw(st.sampled_from([1, 3, 1000])) if info.bits > 8 else 1
        signal = random.integers(info.min // share, info.max // share, (leads, samples), dtype, endpoint=True)
        gain = draw(st.sampled_from([1.0, 200.0, 1000.0, 409.836, -50.0, 0.8]))
        fields = {"gain": (gain,) * leads, "baseline": (float(draw(st.integers(-2000, 2000))),) * leads}
        if draw(st.booleans()):
            fields["missing"] = int(signal[0, 0])
    notes = draw(
        st.lists(
            st.tuples(
                st.integers(0, samples),
                st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20),
            ),
            max_size=5,
        )
    )
    rate = draw(st.sampled_from([1, 125, 128.5, 250, 360, 977, 1000]))
    return Record(
        signal, rate, tuple(f"lead {row}" for row in range(leads)), start=draw(st.sampled_from([None, START])),
        annotations=tuple(Annotation(at / rate, text) for at, text in sorted(notes)), **fields,
    )  # fmt: skip


@given(record=records(), suffix=st.sampled_from(SUFFIXES))
def test_rounding_errors_are_within_those_of_the_remarks(tmp_path_factory, record, suffix):
    folder = tmp_path_factory.mktemp("any")
    saved = save_record(record, folder / f"rec{suffix}")
    found = read_record(saved.files[0])
    np.testing.assert_array_equal(found.is_missing(), record.is_missing())
    there = ~record.is_missing()
    error = np.abs(found.physical() - record.physical())[there].max(initial=0)
    told = [float(number) for remark in saved.remarks for number in re.findall(r"by (\S+) mV at most", remark)]
    largest = np.abs(record.physical()[there]).max(initial=1)
    precision = 2.0**-24 if record.signal.dtype == np.float32 else 1e-12
    assert error <= sum(told) * 1.05 + precision * largest  # remarks have three digits
    if record.is_counts and record.signal.dtype.itemsize < 3 and suffix != ".edf":
        np.testing.assert_array_equal(found.signal[there], record.signal[there])
    assert [(note.text, round(note.time * record.sampling_rate)) for note in found.annotations] == [
        (note.text, round(note.time * record.sampling_rate)) for note in record.annotations
    ]
    assert (found.start, found.sampling_rate) == (record.start, record.sampling_rate)


# --- limits of the formats ---


def test_counts_beyond_16_bits_are_rounded_in_edf_with_a_remark(tmp_path):
    record = Record(np.array([[-8_000_000, 128, 8_000_000]], np.int32), 500, ("II",), "mV", (1000,), (0,))
    saved = save_record(record, tmp_path / "rec.edf")
    assert saved.remarks[0] == "samples of II are rounded, by 0.128 mV at most"
    np.testing.assert_allclose(read_record(saved.files[0]).physical(), record.physical(), atol=0.128)
    for suffix in (".bdf", ".hea"):
        exact = read_record(save_record(record, tmp_path / f"rec{suffix}").files[0])
        np.testing.assert_array_equal(exact.signal, record.signal)


def test_counts_far_from_zero_are_shifted_without_loss(tmp_path):
    record = Record(np.array([[100_000, 100_005, 110_000]], np.int32), 500, ("II",), "mV", (1000,), (100_000,))
    saved = save_record(record, tmp_path / "rec.edf")
    assert saved.remarks == ()
    np.testing.assert_allclose(read_record(saved.files[0]).physical(), record.physical(), rtol=0, atol=1e-12)


def test_samples_equal_to_the_missing_mark_of_the_format_are_kept(tmp_path):
    """A saturated converter gives -32768, which format 16 and EDF use as the mark of missing samples."""
    record = Record(np.array([[-32768, 0, 32767]], np.int16), 500, ("II",), "mV", (1000,), (0,))
    found = read_record(save_record(record, tmp_path / "rec.hea").files[0])
    np.testing.assert_array_equal(found.signal, record.signal)
    saved = save_record(record, tmp_path / "rec.edf")
    assert not read_record(saved.files[0]).is_missing().any()
    assert saved.remarks[0] == "samples of II are rounded, by 0.001 mV at most"


def test_infinite_samples_are_written_as_missing_with_a_remark(tmp_path):
    record = Record(np.array([[np.inf, 0.5, -np.inf, 1.0]]), 500, ("II",))
    for suffix in SUFFIXES:
        saved = save_record(record, tmp_path / f"rec{suffix}")
        assert saved.remarks == ("2 infinite samples are written as missing",)
        assert read_record(saved.files[0]).is_missing().tolist() == [[True, False, True, False]]


def test_counts_without_calibration_are_kept(tmp_path):
    record = Record(np.arange(500, dtype=np.int16)[None], 250, ("II",), "counts")
    for suffix in SUFFIXES:
        assert_same(read_record(save_record(record, tmp_path / f"rec{suffix}").files[0]), record)


def test_leads_and_durations_of_annotations(tmp_path):
    record = replace(shipped_ecg(), annotations=(Annotation(1.0, "off", "V3", 2.5),))
    found = read_record(save_record(record, tmp_path / "rec.edf").files[0])
    assert found.annotations == record.annotations
    saved = save_record(record, tmp_path / "rec.hea")
    assert read_record(saved.files[0]).annotations == (Annotation(1.0, "off", "V3"),)
    assert saved.remarks == ("1 annotation is written without duration, which WFDB cannot store",)


def test_wfdb_annotations_of_some_leads_and_of_all(tmp_path):
    """A lead is a signal in WFDB; those of no lead, and of an unknown one, are of no signal."""
    of_leads = ((0, None), (0.5, "I"), (0.5, "V6"), (4.5, None), (7, "I"), (7.25, "Z"))
    notes = tuple(Annotation(float(at), text, lead) for (at, lead), text in zip(of_leads, "NVN(VN", strict=True))
    notes += (Annotation(8.0, "a long note", "II"),)
    saved = save_record(replace(shipped_ecg(), annotations=notes), tmp_path / "rec.hea")
    expected = [note._replace(lead=None) if note.lead == "Z" else note for note in notes]
    assert list(read_record(saved.files[0]).annotations) == expected
    assert saved.remarks == ("1 annotation is written without lead, which is none of the first 255 of the record",)
    marks = optional("wfdb").rdann(str(tmp_path / "rec"), "atr")
    assert marks.chan.tolist() == [255, 0, 11, 255, 0, 255, 1]
    assert marks.symbol == ["N", "V", "N", "(", "V", "N", '"']


def test_wfdb_annotations_that_name_a_lead_after_others(tmp_path):
    """A recording gets its annotations one after the other."""
    notes = [Annotation(1.0, "N"), Annotation(2.0, "V"), Annotation(3.0, "N", "II"), Annotation(0.5, "F", "I")]
    writer = WfdbWriter(tmp_path / "rec", shipped_ecg(), Range.of(shipped_ecg()))
    for note in notes:
        writer.annotate([note])
        assert optional("wfdb").rdann(str(tmp_path / "rec"), "atr").sample[0] == 1000
    writer.append(shipped_ecg())
    writer.close()
    assert list(read_record(tmp_path / "rec").annotations) == sorted(notes)


def test_a_start_with_a_time_zone_is_written_in_utc(tmp_path):
    start = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    for suffix in SUFFIXES:
        saved = save_record(replace(shipped_ecg(), start=start), tmp_path / f"rec{suffix}")
        assert read_record(saved.files[0]).start == start.astimezone(UTC).replace(tzinfo=None)


def test_lead_names_in_edf_have_16_ascii_characters(tmp_path):
    record = replace(toy_ecg(), leads=("Ableitung Ü, sehr lang",))
    saved = save_record(record, tmp_path / "rec.edf")
    assert "'Ableitung U, seh'" in saved.remarks[0]
    assert read_record(saved.files[0]).leads == ("Ableitung U, seh",)
    assert read_record(save_record(record, tmp_path / "rec.hea").files[0]).leads == record.leads


# --- files ---


def test_files_are_only_replaced_with_overwrite(tmp_path):
    for suffix in (*SUFFIXES, ".npz", ".csv"):
        path = tmp_path / f"rec{suffix}"
        save_record(noted(), path)
        with pytest.raises(FileExistsError):
            save_record(toy_ecg(), path)
        assert len(read_record(path).annotations) == 4
        save_record(toy_ecg(), path, overwrite=True)
        assert read_record(path).annotations == (), "the old annotations are removed"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_samples_of_another_record_are_not_replaced(tmp_path):
    (tmp_path / "rec.dat").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        save_record(toy_ecg(), tmp_path / "rec.hea")
    assert (tmp_path / "rec.dat").read_bytes() == b"precious"


def test_files_are_private(tmp_path):
    for suffix in SUFFIXES:
        for file in save_record(noted(), tmp_path / f"rec{suffix}").files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["rec.xml", "rec", "a record.hea", "rec.1.hea"])
def test_invalid_names_are_refused(tmp_path, name):
    with pytest.raises(RecordError, match=r"the name"):
        save_record(toy_ecg(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_many_annotations_fit(tmp_path):
    notes = tuple(Annotation(299.0 + number / 1000, f"note {number} " + "x" * 150) for number in range(900))
    for suffix in SUFFIXES:
        found = read_record(save_record(replace(toy_ecg(), annotations=notes), tmp_path / f"rec{suffix}").files[0])
        assert [note.text for note in found.annotations] == [note.text for note in notes]
        assert found.samples == 108_000


def test_long_texts_are_cut_between_characters_with_a_remark(tmp_path):
    record = replace(toy_ecg(), annotations=(Annotation(1.0, "ü" * 200),))
    saved = save_record(record, tmp_path / "rec.hea")
    assert read_record(saved.files[0]).annotations[0].text == "ü" * 127
    assert saved.remarks == ("1 annotation is cut to 255 bytes, the longest text of WFDB",)


def test_a_text_may_end_in_a_byte_that_is_a_blank_in_latin_1(tmp_path):
    """0x85 is a blank in Latin-1, in which the library reads texts, and the last byte of a letter in UTF-8."""
    record = replace(toy_ecg(), annotations=(Annotation(1.0, "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}"),))
    assert read_record(save_record(record, tmp_path / "rec.hea").files[0]).annotations == record.annotations


@pytest.mark.parametrize(
    ("suffix", "lead", "units"),
    [(".hea", "V1 ?[2J a b c", "arb._units"), (".edf", "V1 ?[2J a?b?c", "arb. uni")],
)
def test_names_cannot_break_the_header_and_changes_have_remarks(tmp_path, suffix, lead, units):
    record = replace(toy_ecg(), leads=("V1 \x1b[2J a\x85b\u2028c",), units="arb. units")
    saved = save_record(record, tmp_path / f"rec{suffix}")
    found = read_record(saved.files[0])
    assert (found.leads, found.units) == ((lead,), units)
    assert len([remark for remark in saved.remarks if "is written as" in remark or "are written as" in remark]) == 2
    np.testing.assert_array_equal(found.signal, record.signal)


@contextlib.contextmanager
def full_disk(nbytes=64):
    """Let files of this process have only that many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", EVERY_SUFFIX)
@pytest.mark.parametrize("is_relative", [False, True])
def test_errors_name_the_file_that_was_to_be_written(tmp_path, monkeypatch, suffix, is_relative):
    """The files are written in a temporary folder beside it, which is gone when somebody reads the message."""
    monkeypatch.chdir(tmp_path)
    folder = Path("in") if is_relative else tmp_path / "in"
    with pytest.raises(FileNotFoundError) as missing:
        save_record(toy_ecg(), folder / f"x{suffix}")
    assert missing.value.filename == str(folder / f"x{suffix}")
    folder.mkdir()
    files = [str(file) for file in files_to_save(folder / f"x{suffix}")]
    with full_disk(), pytest.raises(OSError, match="File too large") as full:
        save_record(toy_ecg(), folder / f"x{suffix}")
    assert full.value.filename in files
    assert list(folder.iterdir()) == []


def test_an_error_of_a_file_that_is_replaced_names_it(tmp_path):
    with full_disk(), pytest.raises(OSError, match="File too large") as full:
        replace_file(tmp_path / "x.hea", bytes(1000))
    assert full.value.filename == str(tmp_path / "x.hea")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "leads", "problem"),
    [
        ("a b.hea", 1, "the name of a WFDB record"),
        ("x.edf", 10_000, "EDF has room for"),
        ("x.bdf", 10_000, "has room for"),
    ],
)
def test_records_that_a_format_cannot_store_are_refused_by_the_name_of_the_file(tmp_path, name, leads, problem):
    record = Record(np.zeros((leads, 10), np.int16), 250, tuple(f"ch{number}" for number in range(leads)))
    with pytest.raises(RecordError, match=problem) as refused:
        save_record(record, tmp_path / name)
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert ".part" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []

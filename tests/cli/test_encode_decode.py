from __future__ import annotations

import gzip
import os
from dataclasses import replace
from datetime import UTC, datetime

import command_line
import numpy as np
import pytest
from recordings import assert_same, optional, toy_ecg

from ecgframe import Codec, MessageType, encode
from ecgframe.records import Annotation, Record, read_record, save_record, shipped_ecg, write_record


def run(*arguments: object, code: int = 0) -> str:
    return command_line.run(*arguments, code=code).output


@pytest.fixture
def record(tmp_path):
    """Write the toy ECG to a file that requires no optional library."""
    path = tmp_path / "toy.npz"
    with path.open("wb") as file:
        write_record(toy_ecg(), file, ".npz")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compression", ["--no-compression", "--validate"])
@pytest.mark.parametrize("ndarray", ["list", "binary"])
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_encoded_recordings_decode_to_the_last_sample(tmp_path, record, *, version, compression, ndarray, suffix):
    frames, out = tmp_path / "toy.frames", tmp_path / f"out{suffix}"
    run("encode", record, "-o", frames, "--version", version, compression, "--ndarray", ndarray)
    run("decode", frames, "-o", out)
    assert_same(read_record(out), toy_ecg())


def test_a_dicom_recording_goes_through(tmp_path):
    original = optional("pydicom.data").get_testdata_file("waveform_ecg.dcm")
    run("encode", original, "-o", tmp_path / "x", "--frame-seconds", 0.1)
    run("decode", tmp_path / "x", "-o", tmp_path / "x.npz")
    assert_same(read_record(tmp_path / "x.npz"), shipped_ecg())


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".hea"])
def test_frames_decode_into_the_formats_of_the_field(tmp_path, record, suffix):
    optional("wfdb"), optional("edfio")
    frames, out = tmp_path / "toy.frames", tmp_path / f"toy{suffix}"
    run("encode", record, "-o", frames)
    assert f"{out}: 1 lead (MLII), 108,000 samples each" in run("decode", frames, "-o", out)
    assert_same(read_record(out), toy_ecg())
    assert "is there already; --force replaces it" in run("decode", frames, "-o", out, code=2)
    run("decode", frames, "-o", out, "--force")
    assert_same(read_record(out), toy_ecg())


def test_the_samples_of_another_record_are_not_replaced(tmp_path, record):
    run("encode", record, "-o", tmp_path / "toy.frames")
    (tmp_path / "toy.dat").write_bytes(b"precious")
    assert "toy.dat is there already" in run("decode", tmp_path / "toy.frames", "-o", tmp_path / "toy.hea", code=2)
    (tmp_path / "toy.frames").rename(tmp_path / "toy.dat")
    out = run("decode", tmp_path / "toy.dat", "-o", tmp_path / "toy.hea", "--force", code=2)
    assert "toy.dat is read, and would be lost" in out


def test_rounding_is_reported(tmp_path):
    wide = np.array([[-8_000_000, 128, 8_000_000]], np.int32)
    np.savez(tmp_path / "wide.npz", signal=wide, sampling_rate=500, leads=["II"], units="mV", gain=[1000], baseline=[0])
    run("encode", tmp_path / "wide.npz", "-o", tmp_path / "wide.frames")
    out = run("decode", tmp_path / "wide.frames", "-o", tmp_path / "wide.edf")
    assert "Note: samples of II are rounded, by 0.128 mV at most" in out


def test_frames_are_read_where_recordings_are(tmp_path, record):
    frames, again = tmp_path / "toy.frames", tmp_path / "again"
    run("encode", record, "-o", frames, "--frame-seconds", 0.5)
    assert "1 lead (MLII), 108,000 samples each" in run("encode", frames, "-o", again, "--frame-seconds", 1)
    run("decode", again, "-o", tmp_path / "again.npz")
    assert_same(read_record(tmp_path / "again.npz"), toy_ecg())
    assert "no lead 'II' there" in run("encode", frames, "-o", tmp_path / "x", "--leads", "II", code=1)
    assert "it says 360 Hz" in run("encode", frames, "-o", tmp_path / "x", "--sampling-rate", 250, code=1)
    assert "go with CSV files" in run("encode", frames, "-o", tmp_path / "x", "--units", "mV", code=1)
    frames.write_bytes(frames.read_bytes()[:-1])
    assert "frame 599, at byte" in run("encode", frames, "-o", tmp_path / "x", code=1)


def test_parts_that_frames_cannot_hold_are_named(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        write_record(replace(shipped_ecg(), device="el250\x1b", comments=("69 M", "of a test")), file, ".npz")
    said = run("encode", tmp_path / "a.npz", "-o", tmp_path / "x")
    assert "Not taken along: 2 comments, the device (el250\\x1b)" in said


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_start_goes_through_frames_of_each_version(tmp_path, version):
    start = datetime(2026, 1, 15, 10, 30, 45, tzinfo=UTC)
    with (tmp_path / "a.npz").open("wb") as file:
        write_record(replace(shipped_ecg(), start=start, annotations=(Annotation(1.0, "N"),)), file, ".npz")
    run("encode", tmp_path / "a.npz", "-o", tmp_path / "x", "--version", version)
    run("decode", tmp_path / "x", "-o", tmp_path / "b.npz")
    found = read_record(tmp_path / "b.npz")
    assert (found.start, found.annotations) == (start, (Annotation(1.0, "N"),))
    stamps = [message.timestamp for message in Codec().decode_all((tmp_path / "x").read_bytes())]
    assert stamps[:2] == ([1_768_473_045_000_000, 1_768_473_046_000_000] if version == 3 else [None, None])


def test_compressed_frames_are_named_with_the_way_out(tmp_path, record):
    run("encode", record, "-o", tmp_path / "x")
    (tmp_path / "x.gz").write_bytes(gzip.compress((tmp_path / "x").read_bytes()))
    for command in ("decode", "inspect", "sizes", "compare"):
        assert "x.gz: it is compressed (gzip); unpack it first (gunzip)" in run(command, tmp_path / "x.gz", code=1)


def test_a_file_that_is_a_recording_is_not_taken_for_frames(tmp_path):
    """Samples may begin as a frame does."""
    optional("wfdb")
    signal = np.frombuffer(b"\1\1\0\0\0\0" + bytes(24), np.int16)[None]
    save_record(Record(signal, 250, ("II",), "mV", (200,), (0,)), tmp_path / "rec.hea")
    assert "15 samples each" in run("encode", tmp_path / "rec.dat", "-o", tmp_path / "x")


NOTES = (Annotation(0.5, "N"), Annotation(1.25, "V"), Annotation(1.25, "(AFIB"), Annotation(15, "a note"))


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".hea", ".edf", ".csv", ".npz"])
@pytest.mark.parametrize("start", [None, datetime(2026, 1, 15, 10, 30, 45)])
def test_annotations_go_through_frames(tmp_path, suffix, start):
    optional("wfdb"), optional("edfio")
    original, frames, out = tmp_path / f"one{suffix}", tmp_path / "x.frames", tmp_path / f"two{suffix}"
    save_record(replace(toy_ecg(20), annotations=NOTES, start=start), original)
    assert "Annotations: 4, as alerts\n" in run("encode", original, "-o", frames, "--validate")
    assert "notes   4 annotations, from alerts" in run("decode", frames)
    run("decode", frames, "-o", out)
    assert read_record(out).annotations == read_record(original).annotations == NOTES


def test_annotations_can_be_left_out(tmp_path):
    save_record(replace(toy_ecg(20), annotations=NOTES), tmp_path / "x.npz")
    said = run("encode", tmp_path / "x.npz", "-o", tmp_path / "x.frames", "--no-annotations")
    assert "Not taken along: 4 annotations" in said
    assert "notes" not in run("decode", tmp_path / "x.frames")


def test_alerts_without_a_place_are_said(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(
        encode(MessageType.ECG_DATA, {"signal": np.zeros((1, 4)), "sampling_rate": 2})
        + encode(MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 5.0})
    )
    assert "left out 1 alert without a place in the signal" in run("decode", path)
    assert "Left out: 1 alert without a place in the signal" in run("decode", path, "-o", tmp_path / "x.csv")


def test_encoding_says_what_it_read_and_wrote(tmp_path, record):
    out = run("encode", record, "-o", tmp_path / "x", "--version", 2)
    assert "1 lead (MLII), 108,000 samples each at 360 Hz = 5 min" in out
    size = (tmp_path / "x").stat().st_size
    assert (
        f"300 frames of 1 s, version 2, {size / 1e3:.3g} kB ({size / 216_000:.0%} of the samples as bare int16)" in out
    )


def test_one_frame_may_hold_it_all(tmp_path, record):
    assert "1 frame of 5 min, version 3" in run("encode", record, "-o", tmp_path / "x", "--frame-seconds", 1000)


def test_signals_that_were_left_out_are_named(tmp_path):
    edfio = optional("edfio")
    signals = [
        edfio.EdfSignal(np.arange(rate, dtype=float), rate, label=label, physical_dimension=unit)
        for label, rate, unit in (("ECG", 250, "mV"), ("Flow [b]", 25, "l/min"))
    ]
    edfio.Edf(signals).write(tmp_path / "night.edf")
    assert "Left out: Flow [b]\n" in run("encode", tmp_path / "night.edf", "-o", tmp_path / "x")
    assert "at 25 Hz" in run("encode", tmp_path / "night.edf", "-o", tmp_path / "y", "--leads", "Flow [b]")


def test_a_rate_can_be_given(tmp_path):
    np.save(tmp_path / "ecg.npy", np.arange(500))
    out = run("encode", tmp_path / "ecg.npy", "-o", tmp_path / "x", "--sampling-rate", 250)
    assert "at 250 Hz = 2 s" in out
    assert "give it in Hz (--sampling-rate)" in run("encode", tmp_path / "ecg.npy", "-o", tmp_path / "y", code=1)


def test_decoding_without_a_target_sums_up(tmp_path, record):
    run("encode", record, "-o", tmp_path / "x")
    lines = run("decode", tmp_path / "x").splitlines()
    assert lines[0].startswith(f"file    {tmp_path / 'x'}, ")
    assert lines[1:] == [
        "frames  300 of version 3, 300 compressed; all whole, none missing",
        "leads   1: MLII",
        "rate    360 Hz",
        "length  5 min = 108,000 samples of each lead",
        "samples int16, 327 to 1754",
        "range   -3.485 to 3.65 mV",
    ]


def test_the_summary_of_a_physical_recording_has_no_second_range(tmp_path):
    np.save(tmp_path / "ecg.npy", np.array([0.5, -0.25]))
    run("encode", tmp_path / "ecg.npy", "-o", tmp_path / "x", "--sampling-rate", 4)
    out = run("decode", tmp_path / "x")
    assert "samples float64, -0.25 to 0.5\n" in out
    assert "range" not in out


@pytest.mark.parametrize(
    ("samples", "text"),
    [([0.5, np.nan, np.nan], "0.5 to 0.5, 2 missing"), ([np.nan], "none of them a number, 1 missing")],
)
def test_the_summary_counts_missing_samples(tmp_path, samples, text):
    np.save(tmp_path / "ecg.npy", np.array(samples))
    run("encode", tmp_path / "ecg.npy", "-o", tmp_path / "x", "--sampling-rate", 4)
    assert f"samples float64, {text}\n" in run("decode", tmp_path / "x")


# --- what goes wrong ---


def test_an_existing_file_is_kept_unless_forced(tmp_path, record):
    target = tmp_path / "x"
    target.write_text("precious")
    assert "is there already; --force replaces it" in run("encode", record, "-o", target, code=2)
    assert target.read_text() == "precious"
    run("encode", record, "-o", target, "--force")
    out = tmp_path / "x.npz"
    out.write_text("precious")
    run("decode", target, "-o", out, code=2)
    run("decode", target, "-o", out, "-f")
    assert_same(read_record(out), toy_ecg())


def test_a_failed_run_leaves_what_was_there(tmp_path, record):
    target = tmp_path / "x.npz"
    target.write_text("precious")
    run("encode", record, "-o", tmp_path / "frames")
    content = bytearray((tmp_path / "frames").read_bytes())
    content[-1] ^= 1
    (tmp_path / "frames").write_bytes(content)
    out = run("decode", tmp_path / "frames", "-o", target, "-f", code=1)
    assert "frame 299, at byte " in out
    assert "0x101 CHECKSUM_MISMATCH" in out
    assert "the 299 frames before it are good" in out
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "toy.npz", "x.npz"]


def test_an_error_halfway_removes_the_half(tmp_path, record, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "error: No space left on device" in run("encode", record, "-o", tmp_path / "x", code=1)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.npz"]


def test_frames_too_large_say_how_to_make_them_smaller(tmp_path):
    np.save(tmp_path / "long.npy", np.zeros(2_500_000))
    arguments = ("encode", tmp_path / "long.npy", "-o", tmp_path / "x", "--sampling-rate", 1000)
    out = run(*arguments, "--frame-seconds", 2500, code=1)
    assert "shorter frames are smaller (--frame-seconds)" in out
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "toy.npz", "-o", "missing/x"), "there is no folder missing"),
        (("encode", "toy.npz", "-o", "."), ". is not a regular file"),
        (("encode", "toy.npz"), "Missing option '--output'"),
        (("encode", "-o", "x"), "Missing argument 'RECORD'"),
        (("encode", "toy.npz", "-o", "x", "--version", "4"), "Invalid value for '--version'"),
        (("encode", "toy.npz", "-o", "x", "--frame-seconds", "0"), "0 is not above 0"),
        (("encode", "toy.npz", "-o", "x", "--frame-seconds", "nan"), "nan is not above 0"),
        (("encode", "toy.npz", "-o", "x", "--sampling-rate", "-5"), "-5 is not above 0"),
        (("encode", "toy.npz", "-o", "x", "--ndarray", "text"), "'text' is not one of 'list', 'binary'"),
        (("decode", "x", "-o", "x.mat"), "x.mat: the name must end in .npz, .csv, .edf, .bdf or .hea"),
        (("decode",), "Missing argument 'FILE'"),
        (("transmogrify",), "No such command 'transmogrify'"),
    ],
)
def test_a_wrong_command_is_a_usage_error(tmp_path, record, monkeypatch, arguments, message):
    monkeypatch.chdir(record.parent)
    assert message in run(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "nothing", "-o", "x"), "error: nothing: no such file, and no WFDB header nothing.hea beside it"),
        (("encode", "toy.npz", "-o", "x", "--frame-seconds", "0.001"), "a frame of 0.001 s holds no sample at 360 Hz"),
        (("encode", "toy.npz", "-o", "x", "--leads", "II, V5"), "error: toy.npz: no lead 'II' there; it has 'MLII'"),
        (("decode", "nothing"), "error: nothing: No such file or directory"),
        (("decode", "toy.npz"), "frame 0, at byte 0: 0x100 INVALID_PROTOCOL_VERSION"),
    ],
)
def test_wrong_data_is_one_line_and_exit_code_1(record, monkeypatch, arguments, message):
    monkeypatch.chdir(record.parent)
    out = run(*arguments, code=1)
    assert message in out
    assert out.count("\n") == 1

"""``decode --skip-broken``: the valid frames of a damaged file, with missing samples in place of the others."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import run
from recordings import assert_same

from ecgframe import Codec, Compression, MessageType, encode
from ecgframe.frame_file import FrameFileError, ecg_messages, read_frames
from ecgframe.records import Record, bounds, read_record
from ecgframe.tools.salvage import read_damaged

RATE, EACH, FRAMES = 100, 50, 8
FLOATS = Record(np.sin(np.arange(2.0 * EACH * FRAMES)).reshape(2, -1), RATE, ("I", "II"), "mV")
COUNTS = Record(
    np.arange(2 * EACH * FRAMES, dtype=np.int16).reshape(2, -1), RATE, ("I", "II"), "mV", (200, 200), (0, 0)
)


def frames_of(record, codec=None, without=()):
    codec = codec or Codec()
    made = []
    for message in ecg_messages(record, EACH):
        for name in without:
            del message[name]
        made.append(codec.encode(MessageType.ECG_DATA, message))
    return made


def flipped(octets, place):
    spoiled = bytearray(octets)
    spoiled[place] ^= 1
    return bytes(spoiled)


def salvaged(path, *frames):
    path.write_bytes(b"".join(frames))
    return read_damaged(path)


def missing_in(record):
    """Return the ranges of missing samples, as pairs of start and stop."""
    is_missing = record.is_missing()
    assert (is_missing == is_missing[0]).all()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_missing[0], [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def expected(record, missing, fill):
    signal = record.signal.copy()
    signal[:, missing] = fill
    return signal


@pytest.mark.parametrize("place", [3, 25, -1], ids=["its length", "its payload", "its end"])
@pytest.mark.parametrize(("record", "fill"), [(FLOATS, np.nan), (COUNTS, -32768)], ids=["floats", "counts"])
def test_a_broken_frame_is_missing_and_all_others_stand_at_their_time(tmp_path, record, fill, place):
    frames = frames_of(record)
    frames[3] = flipped(frames[3], place)
    result = salvaged(tmp_path / "a.frames", *frames)
    gap = slice(3 * EACH, 4 * EACH)
    np.testing.assert_array_equal(result.found.record.signal, expected(record, gap, fill))
    assert missing_in(result.found.record) == [(3 * EACH, 4 * EACH)]
    assert (result.losses.frames, result.losses.missing, result.losses.is_cut) == (1, EACH, False)
    assert result.losses.gaps == [(1.5, 0.5)]
    assert result.found.frames == FRAMES - 1


@pytest.mark.parametrize("without", [(), ("sequence",), ("timestamp",)], ids=["both", "timestamps", "numbers"])
def test_either_numbers_or_timestamps_show_what_is_missing(tmp_path, without):
    frames = frames_of(FLOATS, without=without)
    frames[2] = flipped(frames[2], 30)
    frames[5:7] = [b"not a frame"]
    result = salvaged(tmp_path / "a.frames", *frames)
    assert missing_in(result.found.record) == [(2 * EACH, 3 * EACH), (5 * EACH, 7 * EACH)]
    assert result.found.record.samples == FLOATS.samples
    np.testing.assert_array_equal(result.found.record.signal[:, 7 * EACH :], FLOATS.signal[:, 7 * EACH :])


def test_an_unknown_extent_of_the_loss_is_reported(tmp_path):
    frames = frames_of(FLOATS, without=("sequence", "timestamp"))
    frames[2] = flipped(frames[2], 30)
    result = salvaged(tmp_path / "a.frames", *frames)
    assert (result.losses.unplaced, result.losses.missing) == (1, 0)
    assert result.found.record.samples == FLOATS.samples - EACH


def test_the_first_frame_is_missing(tmp_path):
    frames = frames_of(COUNTS)
    result = salvaged(tmp_path / "a.frames", flipped(frames[0], 40), *frames[1:])
    np.testing.assert_array_equal(result.found.record.signal, expected(COUNTS, slice(0, EACH), -32768))


def test_a_stream_that_was_joined_late_lacks_nothing(tmp_path):
    frames = [
        encode(MessageType.ECG_DATA, {"signal": [1.0, 2.0], "sampling_rate": 2, "sequence": n, "timestamp": 1.7e9 + n})
        for n in range(900, 903)
    ]
    assert not salvaged(tmp_path / "a.frames", *frames).losses


def test_a_file_that_is_cut(tmp_path):
    whole = b"".join(frames_of(FLOATS))
    result = salvaged(tmp_path / "a.frames", whole[:-9])
    assert result.losses.is_cut
    assert result.found.record.samples == FLOATS.samples - EACH
    assert missing_in(result.found.record) == []


def test_repeated_frames_and_other_messages_are_left_out(tmp_path):
    frames = frames_of(FLOATS)
    ping = encode(MessageType.PING, None)
    result = salvaged(tmp_path / "a.frames", *frames[:4], frames[1], ping, *frames[4:])
    assert_same(result.found.record, FLOATS)
    assert result.losses.frames == 2
    assert "its sequence number is 1, where 4 comes next" in result.losses.problems[0]
    assert "it is PING" in result.losses.problems[1]


@pytest.mark.parametrize(
    ("signal", "dtype", "missing"),
    [
        (np.array([-32768, 5, 6, 7], np.int16), np.int16, -32767),
        (np.array([255, 5, 6, 7], np.uint8), np.uint8, 254),
        (np.arange(256).astype(np.uint8), np.int16, -32768),
    ],
)
def test_the_mark_of_what_is_missing_is_no_sample(tmp_path, signal, dtype, missing):
    """It is the smallest count, or the largest of an unsigned dtype, that no sample has; or the dtype is widened."""
    record = Record(signal[None], 100, ("I",))
    frames = [encode(MessageType.ECG_DATA, message) for message in ecg_messages(record, len(signal) // 2)]
    spoiled = encode(
        MessageType.ECG_DATA, {"signal": signal[None], "sampling_rate": 100, "leads": ["I"], "units": "mV"}
    )
    spoiled = flipped(spoiled, -1)
    last = next(ecg_messages(record, len(signal) // 2)) | {"sequence": 3, "timestamp": 1.5 * len(signal) / 100}
    found = salvaged(tmp_path / "a.frames", *frames, spoiled, encode(MessageType.ECG_DATA, last)).found.record
    assert (found.signal.dtype, found.missing) == (dtype, missing)
    np.testing.assert_array_equal(found.signal[0, : len(signal)], signal)
    assert missing_in(found) == [(len(signal), len(signal) * 3 // 2)]


def test_a_number_far_ahead_is_not_believed(tmp_path):
    frames = frames_of(FLOATS)
    far = encode(MessageType.ECG_DATA, next(ecg_messages(FLOATS, EACH)) | {"sequence": 2**60, "timestamp": 1e12})
    result = salvaged(tmp_path / "a.frames", *frames, far)
    assert_same(result.found.record, FLOATS)
    assert "not believed" in result.losses.problems[0]


def test_a_whole_file_is_read_as_without(tmp_path):
    path = tmp_path / "a.frames"
    result = salvaged(path, *frames_of(COUNTS))
    assert not result.losses
    assert_same(result.found.record, read_frames(path).record)


def test_a_file_without_a_valid_frame_is_refused(tmp_path):
    with pytest.raises(FrameFileError, match="no valid frame in it"):
        salvaged(tmp_path / "a.frames", b"\x03nothing of the sort" * 9)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_the_command_writes_valid_frames_and_reports_the_others(tmp_path, suffix):
    frames = frames_of(COUNTS)
    frames[3] = flipped(frames[3], 30)
    path, output = tmp_path / "a.frames", tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(frames)[:-20])
    refused = run("decode", path, "-o", output, code=1)
    assert "--skip-broken" in refused.output
    assert not output.exists()
    told = run("decode", path, "-o", output, "--skip-broken", code=3).output
    assert "broken: 2 places are left out" in told
    assert "missing: 50 samples of each lead, 0.5 s, in 1 gap; -32768 stands in their place" in told
    assert "0.5 s from 1.500 s on" in told
    assert "cut: the end of the file is broken" in told
    back = read_record(output)
    assert missing_in(back) == [(3 * EACH, 4 * EACH)]
    assert back.missing == -32768
    np.testing.assert_array_equal(back.signal, expected(COUNTS, slice(150, 200), -32768)[:, : 7 * EACH])


def test_the_summary_of_a_damaged_file(tmp_path):
    frames = frames_of(FLOATS)
    frames[3] = flipped(frames[3], 30)
    path = tmp_path / "a.frames"
    path.write_bytes(b"".join(frames))
    told = run("decode", path, "--skip-broken", code=3).output
    assert "others broken or missing" in told
    assert "100 missing" in told
    path.write_bytes(b"".join(frames_of(FLOATS)))
    assert "all whole, none missing" in run("decode", path, "--skip-broken").output


# --- limits ---


@pytest.mark.slow
def test_a_small_file_may_not_become_a_large_recording(tmp_path):
    path = tmp_path / "a.frames"
    message = {"signal": np.zeros((1, 1_000_000)), "sampling_rate": 500}
    path.write_bytes(encode(MessageType.ECG_DATA, message) * 11)
    told = run("decode", path, code=1).output
    assert "--max-bytes" in told
    assert "frame 10" in told
    assert "11,000,000 samples" in run("decode", path, "--max-bytes", 100_000_000).output


def test_the_inflated_size_of_frames_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "SMALL_RECORDING", 12_000)
    codec = Codec(compression=Compression(threshold=0))
    octets = b"".join(
        codec.encode(MessageType.ECG_DATA, {"signal": [1, 2], "sampling_rate": 250, "note": "x" * 30_000})
        for _ in range(4)
    )
    path = tmp_path / "inflates.frames"
    path.write_bytes(octets)
    assert len(octets) < 1200
    with pytest.raises(FrameFileError, match=r"frame 1, .* inflates to more than 3\d,\d{3} bytes.*--max-bytes"):
        read_frames(path)
    losses = read_damaged(path).losses
    assert losses.frames == 3
    assert all("--max-bytes allows more" in problem for problem in losses.problems)
    assert read_frames(path, max_bytes=100_000).record.samples == 8


def test_texts_arrays_and_maps_of_compressed_frames_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "SMALL_RECORDING", 16_000)
    codec = Codec(compression=Compression(threshold=0))
    octets = codec.encode(MessageType.ECG_DATA, {"signal": [1, 2], "sampling_rate": 250, "note": [[]] * 600}) * 2
    path = tmp_path / "objects.frames"
    path.write_bytes(octets)
    with pytest.raises(FrameFileError, match=r"frame 1, .* more texts, arrays and maps .*--max-bytes"):
        read_frames(path)
    assert read_frames(path, max_bytes=32_000).record.samples == 4


def test_csv_out_of_proportion_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FEW_CSV_NUMBERS", 100)
    data = {"signal": np.zeros((2, 5000), "int16"), "sampling_rate": 250}
    path = tmp_path / "flat.frames"
    path.write_bytes(Codec(ndarray="binary").encode(MessageType.ECG_DATA, data))
    done = run("decode", path, "-o", tmp_path / "flat.csv", code=1)
    assert "as CSV it has 15,000 numbers" in " ".join(done.output.split())
    assert not (tmp_path / "flat.csv").exists()
    run("decode", path, "-o", tmp_path / "flat.npz")
    run("decode", path, "-o", tmp_path / "flat.csv", "--max-bytes", "1000000")


def test_an_hour_without_a_signal_is_read_in_full(tmp_path):
    size, frames = 30_000, 60  # a minute of 12 leads at 500 Hz a frame
    codec = Codec(ndarray="binary", compression=Compression())
    data = {"signal": np.zeros((12, size), "int16"), "sampling_rate": 500}
    path = tmp_path / "hour.frames"
    path.write_bytes(codec.encode(MessageType.ECG_DATA, data) * frames)
    record = read_frames(path).record
    assert record.samples == size * frames
    bounds.check_csv(path, record, path.stat().st_size)


def test_leads_are_bounded(tmp_path):
    path = tmp_path / "a.frames"
    message = {"signal": np.zeros((5000, 1)), "sampling_rate": 500}
    path.write_bytes(encode(MessageType.ECG_DATA, message))
    assert "5,000 leads" in run("decode", path, code=1).output


def test_missing_notes_that_are_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("# missing: five\n# sampling_rate: 10\nI\n1\n2\n")
    with pytest.raises(ValueError, match="its note 'missing' holds 'five'"):
        read_record(path)
    np.savez(tmp_path / "a.npz", signal=np.zeros((1, 5)), sampling_rate=5, missing=np.zeros(3))
    with pytest.raises(ValueError, match="its missing is invalid"):
        read_record(tmp_path / "a.npz")


@pytest.mark.parametrize(("record", "fill"), [(FLOATS, np.nan), (COUNTS, -32768)], ids=["floats", "counts"])
def test_a_hole_in_the_times_is_a_gap_though_no_frame_has_a_number(tmp_path, record, fill):
    frames = frames_of(record, without=["sequence"])
    path = tmp_path / "hole.frames"
    found = salvaged(path, *frames[:3], *frames[5:])
    np.testing.assert_array_equal(found.found.record.signal, expected(record, slice(150, 250), fill))
    with pytest.raises(FrameFileError, match="a gap: it begins 1 s after the end of the frame before it"):
        read_frames(path)
    path.write_bytes(b"".join(frames))
    assert_same(read_frames(path).record, record)


def test_a_pause_between_consecutive_numbers_is_a_gap(tmp_path):
    codec, made = Codec(), []
    for message in ecg_messages(COUNTS, EACH):
        message["timestamp"] += 7 if message["sequence"] > 3 else 0.4 * (message["sequence"] % 2)
        made.append(codec.encode(MessageType.ECG_DATA, message))
    path = tmp_path / "pause.frames"
    found = salvaged(path, *made).found.record
    assert missing_in(found) == [(200, 860)]
    np.testing.assert_array_equal(found.signal[:, 860:], COUNTS.signal[:, 200:])
    with pytest.raises(FrameFileError, match=r"a gap: it begins 6\.6 s after the end of the frame before it"):
        read_frames(path)

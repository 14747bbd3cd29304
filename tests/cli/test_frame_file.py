from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import assert_same, toy_ecg

from ecgframe import Codec, Compression, ErrorCode, MessageType, decode_all
from ecgframe.frame_file import (
    FrameFileError,
    annotation_messages,
    annotations_not_kept,
    ecg_messages,
    read_frames,
    samples_per_frame,
    write_frames,
)
from ecgframe.records import Annotation, Record, RecordError, shipped_ecg
from ecgframe.tools.salvage import read_damaged

COUNTS = Record(np.arange(-6, 6, dtype=np.int16).reshape(2, 6), 2, ("I", "II"), "mV", (200, 100), (1, 0.5), "counts")


def write(path: Path, *messages: dict, codec: Codec | None = None) -> Path:
    with path.open("wb") as file:
        write_frames(file, codec or Codec(), messages)
    return path


def frames_of(record: Record, seconds: float = 1) -> list[dict]:
    return list(ecg_messages(record, samples_per_frame(record, seconds)))


# --- there and back ---


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compression", [None, Compression()], ids=["plain", "compressed"])
@pytest.mark.parametrize("ndarray", ["list", "binary"])
@pytest.mark.parametrize("recording", [shipped_ecg, toy_ecg])
def test_a_recording_comes_back_to_the_last_sample(tmp_path, version, compression, ndarray, recording):
    codec = Codec(version=version, compression=compression, ndarray=ndarray, validate=True)
    found = read_frames(write(tmp_path / "x", *frames_of(recording(), 3.3), codec=codec))
    assert_same(found.record, recording())
    assert found.frames == -(-recording().duration // 3.3)
    assert found.versions == (version,)
    assert (found.compressed > 0) == (compression is not None and version > 1)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("ndarray", ["list", "binary"])
def test_samples_keep_their_type(tmp_path, dtype, ndarray):
    record = Record(np.array([[0, 1, 2.5], [3, 127, 5]]).astype(dtype), 1.5, ("a", "b"), "counts")
    found = read_frames(write(tmp_path / "x", *frames_of(record), codec=Codec(ndarray=ndarray)))
    assert_same(found.record, record)


def test_missing_physical_samples_come_back(tmp_path):
    record = Record(np.array([[0.5, np.nan, -np.inf]]), 1, ("I",))
    assert_same(read_frames(write(tmp_path / "x", *frames_of(record))).record, record)


@pytest.mark.parametrize("ndarray", ["list", "binary"])
def test_missing_counts_come_back_missing(tmp_path, ndarray):
    record = Record(np.array([[5, -32768, 7]], np.int16), 1, ("I",), "mV", (200,), (0,), missing=-32768)
    found = read_frames(write(tmp_path / "x", *frames_of(record), codec=Codec(ndarray=ndarray))).record
    assert found.missing == -32768
    np.testing.assert_array_equal(found.physical(), [[0.025, np.nan, 0.035]])


@pytest.mark.parametrize(
    "start", [datetime(2011, 5, 5, 6, 7, 8), datetime(2011, 5, 5, 6, 7, 8, tzinfo=timezone(timedelta(hours=2)))]
)
def test_frames_have_the_time_of_the_measurement(tmp_path, start):
    """It is in the payload and, from V3 on, in the header. A date without a time zone is in UTC."""
    record = Record(COUNTS.signal, 2, ("I", "II"), "mV", COUNTS.gain, COUNTS.baseline, start=start)
    path = write(tmp_path / "x", *frames_of(record, 1))
    moment = start if start.tzinfo else start.replace(tzinfo=UTC)
    for number, message in enumerate(Codec().decode_all(path.read_bytes())):
        assert message.data["timestamp"] == moment.timestamp() + number
        assert message.timestamp == round((moment.timestamp() + number) * 1e6)
    assert read_frames(path).record.start == moment


def test_a_frame_says_what_it_holds():
    first, last = frames_of(COUNTS, 2)
    np.testing.assert_array_equal(first.pop("signal"), COUNTS.signal[:, :4])
    np.testing.assert_array_equal(last.pop("signal"), COUNTS.signal[:, 4:])
    constant = {
        "sampling_rate": 2,
        "leads": ["I", "II"],
        "units": "mV",
        "gain": [200.0, 100.0],
        "baseline": [1, 0.5],
    }
    assert first == constant | {"sequence": 0, "timestamp": 0.0}
    assert last == constant | {"sequence": 1, "timestamp": 2.0}


def test_a_calibration_that_all_leads_share_is_said_once():
    assert frames_of(shipped_ecg())[0]["gain"] == 800
    assert frames_of(shipped_ecg())[0]["baseline"] == 0


def test_the_same_samples_in_another_form_carry_no_calibration():
    message = next(ecg_messages(COUNTS, 6, COUNTS.physical()))
    np.testing.assert_array_equal(message["signal"], COUNTS.physical())
    assert "gain" not in message


@pytest.mark.parametrize(("seconds", "samples"), [(0.5, 1), (1.2, 2), (1.3, 3), (3, 6), (100, 6), (float("inf"), 6)])
def test_a_frame_is_the_nearest_number_of_samples(seconds, samples):
    assert samples_per_frame(COUNTS, seconds) == samples


@pytest.mark.parametrize("seconds", [0.1, 0, -1, float("nan")])
def test_a_frame_without_samples_is_refused(seconds):
    with pytest.raises(RecordError, match=r"counts: a frame of .* s holds no sample at 2 Hz"):
        samples_per_frame(COUNTS, seconds)


def test_writing_says_how_many_bytes(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        assert write_frames(file, Codec(), frames_of(COUNTS)) == file.tell()


def test_recordings_of_any_format_can_be_watched(tmp_path):
    seen = []
    read_frames(
        write(tmp_path / "x", *frames_of(COUNTS)), lambda messages: (seen.append(m.type) or m for m in messages)
    )
    assert seen == [MessageType.ECG_DATA] * 3


# --- what other programs write ---


def test_the_least_a_frame_can_say_is_enough(tmp_path):
    codec = Codec(ndarray="list")
    message = {"signal": [1.5, 2.5], "samplingRate": 250, "timestamp": 1.7e9}
    found = read_frames(write(tmp_path / "x", message, message, codec=codec)).record
    np.testing.assert_array_equal(found.signal, [[1.5, 2.5, 1.5, 2.5]])
    assert (found.sampling_rate, found.leads, found.units, found.gain) == (250, ("ch1",), "mV", None)


def test_counts_without_gain_or_units_are_just_counts(tmp_path):
    found = read_frames(write(tmp_path / "x", {"signal": [[1, 2], [3, 4]], "sampling_rate": 250})).record
    assert (found.leads, found.units) == (("ch1", "ch2"), "counts")


def test_counts_with_gain_are_millivolts(tmp_path):
    message = {"signal": [[1, 2], [3, 4]], "sampling_rate": 250, "gain": 200, "baseline": [0, 1]}
    found = read_frames(write(tmp_path / "x", message)).record
    assert (found.units, found.gain, found.baseline) == ("mV", (200, 200), (0, 1))


def test_versions_may_change_on_the_way(tmp_path):
    path = tmp_path / "x"
    with path.open("wb") as file:
        for version, message in zip((3, 1, 3), frames_of(COUNTS), strict=True):
            write_frames(file, Codec(version=version), [message])
    assert read_frames(path).versions == (1, 3)


# --- what is broken, and where ---


def refused(path: Path, match: str, *, frame: int, offset: int | None = None, code: ErrorCode | None = None) -> None:
    with pytest.raises(FrameFileError, match=match) as caught:
        read_frames(path)
    assert (caught.value.frame, caught.value.code) == (frame, code)
    if offset is not None:
        assert caught.value.offset == offset


def sizes(*messages: dict) -> list[int]:
    return [len(Codec().encode(MessageType.ECG_DATA, message)) for message in messages]


def test_an_empty_file_holds_no_frames(tmp_path):
    (tmp_path / "x").touch()
    refused(tmp_path / "x", "x: empty, it holds no frames", frame=0, offset=0)


def test_another_file_is_asked_whether_it_is_one_of_frames(tmp_path):
    (tmp_path / "x").write_text("time,I,II\n0,1,2\n")
    refused(
        tmp_path / "x",
        "frame 0, at byte 0: 0x100 INVALID_PROTOCOL_VERSION: .*; is this a file of frames",
        frame=0,
        offset=0,
        code=ErrorCode.INVALID_PROTOCOL_VERSION,
    )


def test_a_flipped_bit_names_its_frame_and_those_that_are_good(tmp_path):
    messages = frames_of(COUNTS)
    path = write(tmp_path / "x", *messages)
    first, second, _ = sizes(*messages)
    content = bytearray(path.read_bytes())
    content[first + second + 30] ^= 1
    path.write_bytes(content)
    refused(
        path,
        f"frame 2, at byte {first + second}: 0x101 CHECKSUM_MISMATCH: .*; the 2 frames before it are good",
        frame=2,
        offset=first + second,
        code=ErrorCode.CHECKSUM_MISMATCH,
    )


@pytest.mark.parametrize("cut", [1, 100])
def test_a_file_cut_short_keeps_what_came_before(tmp_path, cut):
    messages = frames_of(COUNTS, 2)
    path = write(tmp_path / "x", *messages)
    path.write_bytes(path.read_bytes()[:-cut])
    refused(
        path,
        "0x200 INVALID_DATA_FORMAT: .* cut short.*; the 1 frame before it is good",
        frame=1,
        offset=sizes(*messages)[0],
        code=ErrorCode.INVALID_DATA_FORMAT,
    )


def test_a_frame_without_its_signal_is_named(tmp_path):
    path = write(tmp_path / "x", {"sampling_rate": 250})
    refused(path, "0x201 MISSING_REQUIRED_FIELDS: .*signal", frame=0, code=ErrorCode.MISSING_REQUIRED_FIELDS)


def test_other_messages_make_no_recording(tmp_path):
    path = write(tmp_path / "x", *frames_of(COUNTS)[:1])
    with path.open("ab") as file:
        file.write(Codec().encode(MessageType.HEARTBEAT, {}))
    refused(path, "frame 1, at byte .*: it is HEARTBEAT, and only messages of data", frame=1)


@pytest.mark.parametrize(
    ("order", "frame", "problem"),
    [
        ((0, 2), 1, "a gap: its sequence number is 2, so 1 is missing"),
        ((1, 2), 0, "a gap: its sequence number is 1, so 0 is missing"),
        ((2,), 0, "a gap: its sequence number is 2, so 0 to 1 are missing"),
        ((0, 0), 1, "its sequence number is 0, where 1 comes next"),
        ((0, 1, 0), 2, "its sequence number is 0, where 2 comes next"),
    ],
)
def test_a_gap_is_named(tmp_path, order, frame, problem):
    messages = frames_of(COUNTS)
    refused(write(tmp_path / "x", *(messages[number] for number in order)), problem, frame=frame)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sampling_rate": 250}, "its sampling_rate is 250, and 2 in the frames before it"),
        ({"leads": ["I", "III"]}, "its leads is .'I', 'III'., and .'I', 'II'. in the frames"),
        ({"gain": 200}, r"its gain is 200, and \[200.0, 100.0\] in the frames"),
        ({"units": "V"}, "its units is V, and mV"),
        ({"signal": COUNTS.signal.astype(np.int32)}, "it holds 2 leads of int32, and the frames before it 2 of int16"),
        ({"signal": COUNTS.signal[0]}, "it holds 1 leads of int16, and the frames before it 2 of int16"),
    ],
)
def test_a_frame_of_another_recording_is_refused(tmp_path, change, problem):
    first, second, _ = frames_of(COUNTS)
    refused(write(tmp_path / "x", first, second | change), problem, frame=1)


def test_alerts_become_annotations(tmp_path):
    codec, path = Codec(), tmp_path / "x"
    signal = {"signal": np.zeros((1, 250), np.int16), "sampling_rate": 250, "leads": ["II"], "gain": 200, "baseline": 0}
    begin = 1_700_000_000.0
    alerts = [
        {"kind": "asystole", "timestamp": begin + 1.5, "severity": "critical", "message": "no beat"},
        {"kind": "lead_off", "timestamp": begin + 2, "start": begin + 0.5, "end": begin + 2, "lead": "II"},
    ]
    with path.open("wb") as file:
        file.write(codec.encode(MessageType.ANOMALY_ALERT, alerts[0]))
        file.write(codec.encode(MessageType.ECG_DATA, {**signal, "sequence": 0, "timestamp": begin}))
        file.write(codec.encode(MessageType.ANOMALY_ALERT, alerts[1]))
        file.write(codec.encode(MessageType.ECG_DATA, {**signal, "sequence": 1, "timestamp": begin + 1}))
    expected = (Annotation(0.5, "lead_off", "II", 1.5), Annotation(1.5, "asystole (critical): no beat"))
    found = read_frames(path)
    assert (found.record.annotations, found.record.samples, found.frames) == (expected, 500, 4)
    salvaged = read_damaged(path)
    assert (salvaged.found.record.annotations, bool(salvaged.losses)) == (expected, False)


@pytest.mark.parametrize("begin", [1_700_000_000.0, None])
def test_alerts_without_a_place_are_named(tmp_path, begin):
    codec, path = Codec(), tmp_path / "x"
    signal = {"signal": np.zeros((1, 250), np.int16), "sampling_rate": 250, "leads": ["II"], "gain": 200, "baseline": 0}
    time = {} if begin is None else {"timestamp": begin}
    with path.open("wb") as file:
        file.write(codec.encode(MessageType.ECG_DATA, {**signal, "sequence": 0, **time}))
        file.write(codec.encode(MessageType.ANOMALY_ALERT, {"kind": "far", "timestamp": (begin or 0) + 1e10}))
        file.write(codec.encode(MessageType.ANOMALY_ALERT, {"kind": "far", "timestamp": -1e11}))
    found = read_frames(path).record
    assert found.annotations == ()
    assert found.left_out == ("2 alerts without a place in the signal",)


@st.composite
def annotations(draw, rate):
    """Annotations at samples or at microseconds, where the readers of recordings place them."""
    moment = st.integers(-1000, 10_000_000).map(lambda number: number / rate) | st.integers(-1000, 10**10).map(
        lambda number: number / 1e6
    )
    return Annotation(
        draw(moment),
        draw(st.text(st.characters(codec="utf-8"), max_size=20)),
        draw(st.none() | st.sampled_from(("I", "II"))),
        draw(st.none() | st.integers(0, 10**7).map(lambda number: number / rate)),
    )


@given(data=st.data(), rate=st.sampled_from((128, 250, 257.5, 360, 1000)), has_start=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_annotations_come_back(tmp_path, data, rate, has_start):
    notes = sorted(data.draw(st.lists(annotations(rate), max_size=8)), key=lambda note: note.time)
    start = datetime(2026, 1, 15, 10, 30, 45, 123457, UTC) if has_start else None
    record = replace(COUNTS, sampling_rate=rate, annotations=tuple(notes), start=start)
    path = tmp_path / "x"
    with path.open("wb") as file:
        write_frames(file, Codec(validate=True), ecg_messages(record, 4), annotation_messages(record))
    found = read_frames(path).record
    assert found.annotations == record.annotations
    assert_same(found, record)


def test_annotations_follow_the_samples_of_their_time(tmp_path):
    record = replace(COUNTS, annotations=(Annotation(-1, "before"), Annotation(1.5, "V"), Annotation(9, "behind")))
    with (tmp_path / "x").open("wb") as file:
        write_frames(file, Codec(), ecg_messages(record, 2), annotation_messages(record))
    kinds = [one.data.get("message", "signal") for one in decode_all((tmp_path / "x").read_bytes())]
    assert kinds == ["signal", "before", "signal", "V", "signal", "behind"]


def test_annotations_that_would_not_be_read_are_not_written():
    record = replace(COUNTS, annotations=(Annotation(0, "x" * 2000), Annotation(1e10, "far")))
    [alert] = annotation_messages(record)
    assert alert["message"] == "x" * 1000
    assert annotations_not_kept(record) == ("1 left out", "1 cut to 1,000 characters")
    assert annotations_not_kept(COUNTS) == ()


def test_alerts_alone_are_no_recording(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(Codec().encode(MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5}))
    with pytest.raises(FrameFileError, match="1 message and no signal"):
        read_frames(path)

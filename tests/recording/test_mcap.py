"""MCAP files: what is in them, to the nanosecond; when they end anywhere; and without the library."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from ports import unused_port
from recordings import assert_same, optional, toy_ecg, uninstall

from ecgframe import Message, MessageType
from ecgframe.frame_file import ecg_messages
from ecgframe.libraries import MissingLibrary
from ecgframe.records import Record

for name in ("websockets", "mcap"):
    optional(name)

from recording.mcap_files import complete, incomplete, record_of  # noqa: E402 - after the skip

from ecgframe.recording import Recorder, Rotation, mcap_writer  # noqa: E402 - after the skip
from ecgframe.recording.file_series import FileSeries  # noqa: E402 - after the skip
from ecgframe.recording.mcap_messages import json_bytes  # noqa: E402 - after the skip
from ecgframe.recording.stream_recorder import StreamRecorder  # noqa: E402 - after the skip

BEGIN = 1_700_000_000
STREAM = "ecg/1"


def message(type, data, at=None):
    return Message(version=3, type=type, flags=0, data=data, timestamp=None if at is None else round(at * 1e6))


def signal(values, at, sequence, **fields):
    data = {"signal": np.atleast_2d(values), "sampling_rate": 250, "timestamp": at, "sequence": sequence, **fields}
    return message(MessageType.ECG_DATA, data, at + 0.1)


def recorder(path, **options):
    return StreamRecorder(STREAM, FileSeries(STREAM, path, "mcap", is_folder=path.is_dir()), **options)


def recorded(path, *messages, **options):
    taking = recorder(path, **options)
    for one in messages:
        taking.take(one)
    taking.close()
    return taking.summary


def test_each_sample_is_a_message_at_its_time(tmp_path):
    path = tmp_path / "x.mcap"
    counts = np.array([[0, 200, -3], [1, 2, 3]], np.int16)
    calibration = {"gain": [200.0, 100.0], "baseline": 0, "leads": ["I", "II"], "units": "mV"}
    recorded(
        path, signal(counts, BEGIN + 0.5, 0, **calibration), signal(counts[:, :1], BEGIN + 0.512, 1, **calibration)
    )
    found = complete(path)
    assert [(one.at, one.published, one.number, one.data) for one in found.of(STREAM)] == [
        (BEGIN * 10**9 + 500_000_000 + number * 4_000_000,) * 2 + (number, data)
        for number, data in enumerate(
            [{"I": 0.0, "II": 0.01}, {"I": 1.0, "II": 0.02}, {"I": -0.015, "II": 0.03}, {"I": 0.0, "II": 0.01}]
        )
    ]
    channel, schema = found.channels[STREAM]
    assert channel.metadata == {
        "sampling_rate": "250", "units": "mV", "dtype": "int16", "leads": '["I", "II"]', "gain": "[200.0, 100.0]",
        "baseline": "[0, 0]",
    }  # fmt: skip
    assert schema.name == "ecgframe.Sample"
    assert json.loads(schema.data)["properties"]["II"] == {"type": "number", "description": "mV"}
    assert found.metadata == {"stream": STREAM, "start": "2023-11-14T22:13:20.500000+00:00"}


def test_missing_samples_are_left_out_and_gaps_are_named(tmp_path):
    path = tmp_path / "x.mcap"
    first = np.array([[1.5, np.nan, np.nan, np.inf], [1, 2, np.nan, 4]])
    summary = recorded(path, signal(first, BEGIN, 0), signal([[1.0], [1.0]], BEGIN + 3.016, 1))
    found = complete(path)
    assert [(one.number, one.data) for one in found.of(STREAM)] == [
        (0, {"ch1": 1.5, "ch2": 1.0}),
        (1, {"ch2": 2.0}),
        (3, {"ch2": 4.0}),
        (754, {"ch1": 1.0, "ch2": 1.0}),
    ]
    [gap] = found.of(f"{STREAM}/gaps")
    assert (gap.at, gap.data) == (BEGIN * 10**9 + 16_000_000, {"seconds": 3.0, "samples": 750})
    assert (summary.missing, summary.remarks) == (750, ["1 infinite samples are left out, as JSON has none"])


def test_alerts_are_logs_and_other_messages_are_as_received(tmp_path):
    path = tmp_path / "x.mcap"
    alert = {"kind": "asystole", "severity": "critical", "timestamp": BEGIN + 2.5, "start": BEGIN + 1.0, "lead": "II"}
    features = {"features": {"heart_rate": 61.5, "r_peaks": np.array([0.25, np.nan])}, "timestamp": BEGIN + 1.5}
    recorded(
        path,
        message(MessageType.FEATURE_DATA, features, BEGIN + 2),
        signal(np.zeros(1000), BEGIN, 0),
        message(MessageType.ANOMALY_ALERT, alert, BEGIN + 2.6),
        message(MessageType.PREDICTION_RESULT, {"label": "AF", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}),
        message(MessageType.FEATURE_DATA, {"features": {}}),
    )
    found = complete(path)
    [log] = found.of(f"{STREAM}/alerts")
    assert found.channels[f"{STREAM}/alerts"][1].name == "foxglove.Log"
    assert log.at == BEGIN * 10**9 + 2_500_000_000
    assert log.data == {
        "timestamp": {"sec": BEGIN + 2, "nsec": 500_000_000}, "level": 5, "message": "asystole (critical)",
        "name": STREAM, "file": "", "line": 0, "alert": alert,
    }  # fmt: skip
    one, other = found.of(f"{STREAM}/features")
    assert (one.at, one.published) == (BEGIN * 10**9 + 1_500_000_000, (BEGIN + 2) * 10**9)
    assert one.data == {"features": {"heart_rate": 61.5, "r_peaks": [0.25, None]}, "timestamp": BEGIN + 1.5}
    assert (other.at, other.number) == ((BEGIN + 4) * 10**9, 1)
    [prediction] = found.of(f"{STREAM}/predictions")
    assert prediction.data == {"label": "AF", "timestamp": 1_767_225_600.0}


def test_names_of_leads_are_kept_apart(tmp_path):
    path = tmp_path / "x.mcap"
    names = ["II", "II", 'a "%r" b', "µ"]
    recorded(path, signal(np.arange(8.0).reshape(4, 2), BEGIN, 0, leads=names))
    [first, _] = complete(path).of(STREAM)
    assert first.data == {"II": 0.0, "II (2)": 2.0, 'a "%r" b': 4.0, "µ": 6.0}


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_counts_without_calibration_are_exact(tmp_path, dtype):
    path = tmp_path / "x.mcap"
    most = int(np.iinfo(dtype).max)
    recorded(path, signal(np.array([most, most - 1], dtype), BEGIN, 0))
    assert [one.data["ch1"] for one in complete(path).of(STREAM)] == [most, most - 1]


def test_values_of_every_type_become_json():
    value = {
        "a": [b"ab", UUID(int=5), True, None, float("inf")],
        7: np.array([[1, 2]], np.int8),
        "t": datetime(1970, 1, 2),
    }
    assert json.loads(json_bytes(value)) == {
        "a": ["YWI=", "00000000-0000-0000-0000-000000000005", True, None, None], "7": [[1, 2]], "t": 86400.0
    }  # fmt: skip


def test_flushed_messages_can_be_read_at_once(tmp_path):
    """Nothing is closed: after each flush, the file holds everything so far."""
    path = tmp_path / "x.mcap"
    taking, original = recorder(path), toy_ecg(2)
    for number, data in enumerate(ecg_messages(original, 180), 1):
        taking.take(message(MessageType.ECG_DATA, {**data, "timestamp": BEGIN + data["timestamp"]}))
        taking.flush()
        found = record_of(incomplete(path))
        np.testing.assert_array_equal(found.signal, original.signal[:, : number * 180])
    taking.close()
    assert_same(record_of(complete(path)), original)


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A file that was flushed each second and never closed, and its size after each flush."""
    path = tmp_path_factory.mktemp("growing") / "x.mcap"
    taking, sizes = recorder(path), []
    for data in ecg_messages(toy_ecg(8), 360):
        taking.take(message(MessageType.ECG_DATA, {**data, "timestamp": BEGIN + data["timestamp"]}))
        taking.flush()
        sizes.append(path.stat().st_size)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    taking.close()
    return copy, sizes


@given(share=st.floats(0, 1))
def test_a_file_that_is_cut_anywhere_holds_all_chunks_before(tmp_path_factory, growing, share):
    whole, sizes = growing
    octets = whole.read_bytes()
    size = 8 + round(share * (len(octets) - 8))
    path = tmp_path_factory.mktemp("cut") / "x.mcap"
    path.write_bytes(octets[:size])
    found = incomplete(path)
    assert len(found.messages) >= 360 * sum(one <= size for one in sizes)
    assert [one.number for one in found.messages] == list(range(len(found.messages)))


def test_a_new_file_is_started_before_the_index_of_chunks_grows_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(mcap_writer, "MOST_CHUNKS", 3)
    taking = recorder(tmp_path)
    for number in range(8):
        taking.take(signal(np.full(250, number), BEGIN + number, number))
        taking.flush()
    taking.close()
    parts = [record_of(complete(path)) for path in taking.summary.files]
    assert [part.samples for part in parts] == [750, 750, 500]
    assert [part.start.timestamp() for part in parts] == [BEGIN, BEGIN + 3, BEGIN + 6]


def test_rotation_is_exact_to_the_sample(tmp_path):
    summary = recorded(
        tmp_path, *(signal(np.full(100, n), BEGIN + n * 0.4, n) for n in range(10)), rotation=Rotation(seconds=1)
    )
    assert [record_of(complete(path)).samples for path in summary.files] == [250] * 4


def test_large_messages_are_not_held_until_the_next_flush(tmp_path):
    path = tmp_path / "x.mcap"
    taking = recorder(path)
    noise = np.random.default_rng(1)
    for number in range(6):
        taking.take(signal(noise.normal(size=(32, 1250)), BEGIN + number * 5, number))
    assert path.stat().st_size > 1_000_000
    taking.close()
    assert record_of(complete(path)).samples == 7500


def test_a_recording_without_a_start_counts_from_0(tmp_path):
    path = tmp_path / "x.mcap"
    data = {"signal": np.zeros((1, 3)), "sampling_rate": 250, "sequence": 0, "timestamp": 0.0}
    recorded(path, message(MessageType.ECG_DATA, data))
    assert [one.at for one in complete(path).messages] == [0, 4_000_000, 8_000_000]


def test_without_the_library_the_recording_does_not_begin(tmp_path, monkeypatch):
    uninstall(monkeypatch, "mcap")
    with pytest.raises(MissingLibrary, match=r'recording MCAP needs mcap.*pip install "ecgframe\[mcap\]"'):
        Recorder("ws://127.0.0.1:1/ws", [STREAM], tmp_path / "x.mcap")
    out = run("record", f"ws://127.0.0.1:{unused_port()}/ws", STREAM, "-o", tmp_path / "x.mcap", code=1).output
    assert "recording MCAP needs mcap" in out
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_one_dtype_comes_back(tmp_path):
    path = tmp_path / "x.mcap"
    original = Record(np.linspace(-1, 1, 500).reshape(2, 250), 257.5, ("I", "II"), "V")
    recorded(path, *(message(MessageType.ECG_DATA, {**one, "timestamp": BEGIN}) for one in ecg_messages(original, 250)))
    assert_same(record_of(complete(path)), original)

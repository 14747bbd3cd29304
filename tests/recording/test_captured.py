"""Recordings out of captures: of one stream, of several, on several connections, with losses."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import run
from recordings import assert_same, optional, toy_ecg

from ecgframe import Codec, MessageType
from ecgframe.frame_file import ANNOTATION_KIND, ecg_messages
from ecgframe.records import Annotation, RecordError, read_record

optional("websockets")

from tools.captures import Connection, capture  # noqa: E402 - after the skip

from ecgframe.recording.captured import read_captured  # noqa: E402 - after the skip

BEGIN = 1_700_000_000.0
RATE = 360
ECG = toy_ecg(10)
OTHER_VIEWER = (bytes([10, 0, 0, 7]), 40_000)


def messages(stream="ecg/1", record=ECG, samples=RATE // 2):
    for data in ecg_messages(record, samples):
        yield {**data, "timestamp": BEGIN + data["timestamp"], **({} if stream is None else {"stream": stream})}


def frames(*args, published=0.3, version=3, ndarray="list", **options):
    codec = Codec(version=version, ndarray=ndarray)
    return [
        codec.encode(
            MessageType.ECG_DATA,
            data,
            timestamp=round((data["timestamp"] + published) * 1e6) if version >= 3 else None,
        )
        for data in messages(*args, **options)
    ]


def written(path, *connections, ng=False):
    """Write a capture of connections, whose packets alternate."""
    packets = [connection.packets for connection in connections]
    longest = max(map(len, packets))
    path.write_bytes(capture([one[n] for n in range(longest) for one in packets if n < len(one)], ng=ng))
    return path


def sent(octets, side="server", **options):
    connection = Connection(**options).open()
    for one in octets:
        connection.send(one, side)
    return connection


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("ng", [False, True], ids=["pcap", "pcapng"])
def test_the_recording_in_a_capture_equals_the_published_one(tmp_path, version, ng):
    captured = read_captured(written(tmp_path / "x.pcap", sent(frames(version=version)), ng=ng))
    assert_same(captured.record, ECG)
    assert captured.record.start.timestamp() == BEGIN
    assert captured.notes == ()


def test_one_of_several_streams_is_chosen(tmp_path):
    first, second = frames("ecg/1"), frames("ecg/2", ECG.take(["MLII"]), RATE)
    both = written(tmp_path / "x.pcap", sent([*first[:7], *second, *first[7:]]))
    with pytest.raises(
        RecordError, match=r"several streams, .*--stream\): stream 'ecg/1' \(20 messages\), stream 'ecg/2'"
    ):
        read_captured(both)
    with pytest.raises(RecordError, match="no stream 'ecg/3' with ECG_DATA in the capture; it has stream 'ecg/1'"):
        read_captured(both, "ecg/3")
    for name in ("ecg/1", "ecg/2"):
        captured = read_captured(both, name)
        assert_same(captured.record, ECG)
        assert captured.record.source == f"{both}, stream '{name}'"


def test_streams_without_a_name_are_read(tmp_path):
    captured = read_captured(written(tmp_path / "x.pcap", sent(frames(None))))
    assert_same(captured.record, ECG)
    assert captured.record.source.endswith("stream without a name")


@pytest.mark.parametrize("ndarray", ["list", "binary"])
def test_messages_that_two_viewers_received_are_read_once(tmp_path, ndarray):
    """One begins later and lacks a message, the other ends earlier."""
    every = frames()
    other = frames(ndarray=ndarray)
    first = sent([*every[:8], *every[9:15]])
    second = sent(other[3:], client=OTHER_VIEWER)
    captured = read_captured(written(tmp_path / "x.pcap", first, second))
    assert_same(captured.record, ECG)
    assert captured.notes == (
        "2 connections carry the stream; their messages are joined, 11 of them were sent more than once",
    )


def test_a_viewer_that_reconnects_continues(tmp_path):
    every = frames()
    first, second = sent(every[:12]), sent(every[9:], client=(bytes([10, 0, 0, 1]), 50_001))
    path = tmp_path / "x.pcap"
    path.write_bytes(capture([*first.packets, *second.packets]))
    assert_same(read_captured(path).record, ECG)


def test_without_marks_one_of_two_connections_is_read(tmp_path):
    codec = Codec(version=1)
    bare = [
        codec.encode(MessageType.ECG_DATA, {"signal": data["signal"], "sampling_rate": RATE, "stream": "ecg/1"})
        for data in messages()
    ]
    captured = read_captured(written(tmp_path / "x.pcap", sent(bare), sent(bare[:5], client=OTHER_VIEWER)))
    assert captured.record.samples == ECG.samples
    assert "it is unknown which of their messages are the same" in captured.notes[0]
    assert "5 messages left out" in captured.notes[0]


def test_messages_that_a_client_published_are_read_once(tmp_path):
    """The device publishes on a connection of its own; the server gives its frames other times."""
    device = sent(frames(published=0.1), "client", client=OTHER_VIEWER)
    assert_same(read_captured(written(tmp_path / "device.pcap", device)).record, ECG)
    captured = read_captured(written(tmp_path / "both.pcap", device, sent(frames())))
    assert_same(captured.record, ECG)
    assert captured.notes == ("20 messages of clients left out: the server sent the stream, too",)


def test_samples_that_the_capture_lost_are_missing(tmp_path):
    connection = sent(frames())
    del connection.packets[4 + 5]
    connection.packets.append(connection.client.packet(acknowledges=connection.server.sequence))  # it was received
    captured = read_captured(written(tmp_path / "x.pcap", connection))
    gone = captured.record.is_missing()[0]
    assert np.flatnonzero(gone).tolist() == list(range(5 * 180, 6 * 180))
    np.testing.assert_array_equal(captured.record.signal[0][~gone], ECG.signal[0][~gone])
    assert any("bytes are missing from the capture here" in note for note in captured.notes)
    assert captured.notes[-1] == "1 gap filled with missing samples"


def test_a_damaged_frame_is_missing(tmp_path):
    every = frames()
    every[7] = every[7][:-1] + bytes([every[7][-1] ^ 1])
    captured = read_captured(written(tmp_path / "x.pcap", sent(every)))
    assert np.flatnonzero(captured.record.is_missing()[0]).tolist() == list(range(7 * 180, 8 * 180))
    assert "1 broken frame left out; ecgframe inspect --errors shows them" in captured.notes


def test_a_loss_that_nothing_measures_begins_a_part(tmp_path):
    codec = Codec(version=1)
    bare = [codec.encode(MessageType.ECG_DATA, {"signal": d["signal"], "sampling_rate": RATE}) for d in messages()]
    bare[7] = bare[7][:-1] + bytes([bare[7][-1] ^ 1])
    captured = read_captured(written(tmp_path / "x.pcap", sent(bare)))
    np.testing.assert_array_equal(captured.record.signal, ECG.signal[:, 8 * 180 :])
    assert "the longest, 6 s, is read, and 1 other of 3.5 s together left out" in captured.notes[-1]


def test_a_capture_that_is_cut_short_is_read_to_its_end(tmp_path):
    path = written(tmp_path / "x.pcap", sent(frames()))
    path.write_bytes(path.read_bytes()[:-100])
    captured = read_captured(path)
    assert captured.record.samples == ECG.samples - 180
    assert "the capture is cut short or damaged" in captured.notes[0]


def test_alerts_become_annotations_and_other_messages_are_counted(tmp_path):
    alert = {"kind": ANNOTATION_KIND, "message": "AFIB", "timestamp": BEGIN + 2.5, "stream": "ecg/1"}
    features = {"features": {"heart_rate": 61.0}, "timestamp": BEGIN, "stream": "ecg/1"}
    every = frames()
    every[6:6] = [Codec().encode(MessageType.ANOMALY_ALERT, alert), Codec().encode(MessageType.FEATURE_DATA, features)]
    record = read_captured(written(tmp_path / "x.pcap", sent(every))).record
    assert record.annotations == (Annotation(2.5, "AFIB"),)
    assert record.left_out == ("1 FEATURE_DATA message",)


def test_gaps_take_no_more_memory_than_a_capture_of_that_size_is_believed_to_need(tmp_path):
    """Each frame of 100 bytes claims nine minutes before it."""
    claims = [
        Codec().encode(
            MessageType.ECG_DATA,
            {"signal": np.zeros((8, 1)), "sampling_rate": 10_000, "timestamp": BEGIN + 540 * number},
        )
        for number in range(30)
    ]
    with pytest.raises(RecordError, match="more than 83,886,080 bytes of samples"):
        read_captured(written(tmp_path / "x.pcap", sent(claims)))


def test_a_capture_without_ecg_says_what_is_wrong_with_it(tmp_path):
    connection = Connection()
    connection.packets = [connection.client.packet(b"\x16\x03\x01" + bytes(100))]
    with pytest.raises(RecordError, match="no stream with ECG_DATA in the capture; encrypted"):
        read_captured(written(tmp_path / "x.pcap", connection))


def test_a_capture_of_many_streams_counts_those_that_it_does_not_name(tmp_path, monkeypatch):
    monkeypatch.setattr("ecgframe.recording.captured.MOST_STREAMS", 22)
    every = [one for number in range(24) for one in frames(f"ecg/{number}")[:2]]
    with pytest.raises(RecordError, match=r"and 2 more, and others with 4 messages$"):
        read_captured(written(tmp_path / "x.pcap", sent(every)))


# --- the commands ---


def test_encode_and_compare_read_captures(tmp_path):
    both = written(tmp_path / "x.pcapng", sent([*frames("ecg/1")[:-1], *frames("ecg/2")]), ng=True)
    out = tmp_path / "x.frames"
    assert "several streams, choose one (--stream)" in run("encode", both, "-o", out, code=1).output
    assert "3,600 samples each" in run("encode", both, "-o", out, "--stream", "ecg/2").output
    run("decode", out, "-o", tmp_path / "x.npz")
    assert_same(read_record(tmp_path / "x.npz"), ECG)
    found = run("encode", "-", "-o", out, "--force", "--stream", "ecg/1", stdin=both.read_bytes()).output
    assert "standard input: 1 lead (MLII), 3,420 samples each" in found
    assert "samples each" in run("compare", both, "--stream", "ecg/1", "--budget", 0).output


def test_options_that_do_not_fit_a_source_are_refused(tmp_path):
    path = written(tmp_path / "x.pcap", sent(frames()))
    out = tmp_path / "x.frames"
    assert "a capture states what --units" in run("encode", path, "-o", out, "--units", "mV", code=1).output
    run("encode", path, "-o", out)
    assert "--stream is for captures" in run("encode", out, "-o", tmp_path / "y", "--stream", "ecg/1", code=1).output
    assert "--stream is for captures" in run("compare", "--stream", "ecg/1", code=1).output


def test_frames_are_read_from_standard_input(tmp_path):
    out = tmp_path / "x.frames"
    run("encode", written(tmp_path / "x.pcap", sent(frames())), "-o", out)
    assert "3,600 samples each" in run("encode", "-", "-o", tmp_path / "y", stdin=out.read_bytes()).output

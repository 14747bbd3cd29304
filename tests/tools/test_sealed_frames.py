"""Sealed frames and the keys of their streams in tools: what is shown, and what is not."""

import json

import numpy as np
import pytest
from cases import each_case
from command_line import run

from ecgframe import Codec, Flag, MessageType
from ecgframe.messages.templates import Template
from ecgframe.protocol import Form
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.key_blanking import blank_all_keys, blank_keys
from ecgframe.tools.observation import Delivery

pytest.importorskip("cryptography")

from ecgframe.seal import Key, Sealer, StoredKeys, keys_to_json

STREAM = "ecg/1"
KEY = Key(9, STREAM, bytes(range(100, 132)))
ALERT = {"kind": "asystole", "timestamp": 1705314645.25, "stream": STREAM}
TEMPLATE = Template(1, STREAM, "int16", 2, {"sampling_rate": 500})
SAMPLES = np.arange(8, dtype="int16").reshape(2, 4)
ANSWER = {"stream": STREAM, "status": "subscribed", "keys": [{"id": 9, "key": KEY.secret}]}
ANSWER_TYPE = MessageType.SUBSCRIPTION_ACK


def frames():
    """A template, a record and an alert of a stream of version 4, and an alert of version 3, all sealed."""
    sealer, codec = Sealer(KEY), Codec(version=4, compression=None)
    place = {"stream_id": 7}
    template = codec.encode_frame(MessageType.STREAM_TEMPLATE, TEMPLATE.fields_on_the_wire(), sequence=1, **place)
    payload = TEMPLATE.encode(SAMPLES, 1705314645_250000, bound=True)
    record = codec.encode_frame(MessageType.ECG_DATA, payload, sequence=2, form=Form.RECORD, **place)
    alert = codec.encode_frame(MessageType.ANOMALY_ALERT, ALERT, sequence=3, **place)
    of_version_3 = Codec().encode_frame(MessageType.ANOMALY_ALERT, ALERT, version=3)
    return [one.sealed(sealer).frame for one in (template, record, alert, of_version_3)]


def examined(octets, keyring=None):
    examiner = Examiner(keyring=keyring)
    return list(examiner.examine(Delivery(octets)))


def test_without_a_key_they_are_shown_as_sealed_and_not_as_broken():
    found = examined(b"".join(frames()))
    assert [one.error for one in found] == [None] * 4
    assert [one.message for one in found] == [None] * 4
    assert all(one.unread.startswith("sealed with the key 9, sender ") for one in found)
    assert [one.unread.rsplit(" ", 1)[1] for one in found] == ["0", "1", "2", "3"]
    assert all("ENCRYPTED" in one.flag_names for one in found)


def test_sealed_frames_are_opened_with_the_key():
    sealed = frames()
    found = examined(b"".join(sealed), StoredKeys([KEY]))
    assert [one.error for one in found] == [None] * 4
    assert found[1].message.data["signal"].tolist() == SAMPLES.tolist()
    assert found[2].message.data == found[3].message.data == ALERT
    assert [one.octets for one in found] == sealed
    assert len(examined(b"".join(sealed * 2), StoredKeys([KEY]))) == 8  # as often as they are seen


def test_frames_that_a_receiver_would_refuse_are_errors():
    frame = bytearray(frames()[3])
    frame[-1] ^= 1
    import oracle

    changed = oracle.frame(3, 2, int(Flag.ENCRYPTED), bytes(frame[19:]), 5)
    short = oracle.frame(3, 2, int(Flag.ENCRYPTED), bytes(31), 5)
    [found] = examined(changed, StoredKeys([KEY]))
    assert (found.error.code, found.error.check, found.error.reason) == (0x202, 8, "tag")
    for keyring in (None, StoredKeys([KEY])):
        [found] = examined(short, keyring)
        assert (found.error.code, found.error.check) == (0x200, 8)
    other = Codec().encode_frame(MessageType.ANOMALY_ALERT, {**ALERT, "stream": "ecg/2"}, version=3)
    [found] = examined(other.sealed(Sealer(KEY)).frame, StoredKeys([KEY]))
    assert (found.error.code, found.error.reason) == (0x202, "stream")


def test_templates_in_an_answer_are_opened_as_well():
    template, record, *_ = frames()
    answer = {"stream": STREAM, "status": "subscribed", "id": 7, "epoch": 1, "next": 2, "templates": [template]}
    both = Codec(version=4).encode(ANSWER_TYPE, answer) + record
    found = examined(both, StoredKeys([KEY]))
    assert found[1].message.data["signal"].tolist() == SAMPLES.tolist()


# --- keys ---


@each_case("version", [1, 3, 4])
@each_case("padding", [0, 2000], ids=["plain", "deflated"])
def test_keys_are_blanked_and_the_frame_stays_valid(version, padding):
    codec = Codec(version=version)
    data = {**ANSWER, "templates": [b"ab" * padding], "reason": "x"}
    frame = codec.encode(ANSWER_TYPE, data)
    blank = blank_keys(frame)
    assert KEY.secret not in blank
    decoded = codec.decode(blank)
    assert decoded.data == {**data, "keys": [{"id": 9, "key": bytes(32)}]}
    assert decoded.timestamp == codec.decode(frame).timestamp
    ping = codec.encode(MessageType.PING, 1, version=version)
    assert blank_all_keys(ping + frame + ping) == ping + blank + ping
    [found] = examined(frame)
    assert KEY.secret not in found.octets
    assert KEY.secret not in repr(found.message).encode()
    assert found.error is None
    assert found.is_intact


def test_keys_in_a_damaged_frame_are_blanked():
    frame = Codec().encode(ANSWER_TYPE, ANSWER)
    for damaged in (frame[:-5], frame[:7] + b"\0\0\0\0" + frame[11:], frame + b"\0"):
        [found, *_] = examined(damaged)
        assert KEY.secret[:20] not in found.octets
        assert KEY.secret[:20] not in blank_all_keys(damaged)


def test_other_frames_stay_as_they_are():
    codec = Codec()
    for frame in (
        codec.encode(ANSWER_TYPE, {"stream": STREAM, "status": "subscribed"}),
        codec.encode(ANSWER_TYPE, {"stream": STREAM, "status": "subscribed", "keys": 5}),
        codec.encode(MessageType.ECG_DATA, ANSWER),
        b"",
        b"\x03\x22",
    ):
        assert blank_keys(frame) == frame


# --- commands ---


def test_inspect_and_sizes(tmp_path):
    file, keys = tmp_path / "sealed.frames", tmp_path / "keys.json"
    answer = Codec(version=4).encode(ANSWER_TYPE, ANSWER)
    file.write_bytes(answer + b"".join(frames()))
    keys.write_text(keys_to_json([KEY]))
    shown = run("inspect", file, "--hex").output
    assert shown.count("not unpacked: sealed with the key 9") == 4
    assert "4 payloads are sealed; --keys opens them" in run("inspect", file, "--summary", "--unpack").output
    opened = run("inspect", file, "--keys", keys).output
    assert "asystole" in opened
    lines = [json.loads(line) for line in run("inspect", file, "--json").stdout.splitlines()]
    for text in (shown, opened, json.dumps(lines)):
        assert KEY.secret.hex() not in text.replace(" ", "").lower()
        assert "101, 102, 103" not in text
    assert "4 sealed frames are left out; --keys opens them" in run("sizes", file).output
    assert "ANOMALY_ALERT" in run("sizes", file, "--keys", keys).output

"""Several frames in one WebSocket message: sent where it was agreed, read always."""

import random

import numpy as np
import oracle
import pytest
from session.conversation import Conversation, server

from ecgframe import MessageType
from ecgframe.messages.templates import Template
from ecgframe.protocol import MAX_BATCH_FRAMES, MAX_BATCH_PAYLOAD, Capability, Form
from ecgframe.session import FrameRefused, Received, StreamPosition, encode_outgoing
from ecgframe.session.settings import EVERYTHING

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
NOISE = random.Random(4).randbytes(10_000)  # does not deflate


def agreed(**settings):
    talk = Conversation({"queue_frames": 10_000, **settings})
    return talk.server


def fill(side, count, size=0):
    for n in range(count):
        side.session.send(MessageType.ECG_DATA, {"n": n, "pad": NOISE[:size]}, stream="a")


def numbers(message):
    return [frame.data["n"] for frame in oracle.decode_frames(message) if frame.type == T["ECG_DATA"]]


def test_waiting_frames_are_joined():
    theirs = agreed()
    fill(theirs, 10)
    [message] = theirs.says()
    assert numbers(message) == list(range(10))
    assert theirs.session.counters.sent[T["ECG_DATA"]] == 10
    assert theirs.session.counters.sent_bytes >= len(message)


@pytest.mark.parametrize("side", ["server", "client"])
def test_frames_are_not_joined_if_one_side_lacks_the_capability(side):
    settings = {"capabilities": EVERYTHING - {Capability.BATCH}}
    talk = Conversation(settings if side == "server" else {}, settings if side == "client" else {})
    for one in (talk.server, talk.client):
        fill(one, 3)
        assert [numbers(message) for message in one.says()] == [[0], [1], [2]]


def test_frames_are_not_joined_before_the_agreement():
    theirs = server().starts()
    fill(theirs, 3)
    assert len(theirs.says()) == 4


def test_up_to_so_many_bytes():
    theirs = agreed(batch_bytes=1000)
    fill(theirs, 20, size=200)
    messages = theirs.says()
    assert all(700 < len(message) <= 1000 for message in messages[:-1])
    assert [n for message in messages for n in numbers(message)] == list(range(20))


def test_a_large_frame_travels_alone():
    theirs = agreed(batch_bytes=1000)
    fill(theirs, 2, size=10)
    fill(theirs, 1, size=5000)
    fill(theirs, 2, size=10)
    assert [numbers(message) for message in theirs.says()] == [[0, 1], [0], [0, 1]]


def test_a_deflated_frame_travels_alone():
    """The receiver bounds the decompressed size of all frames of one message together."""
    theirs = agreed()
    fill(theirs, 2)
    theirs.session.send(MessageType.ECG_DATA, {"n": 2, "flat line": bytes(5000)}, stream="a")
    theirs.session.send(MessageType.ECG_DATA, {"n": 3, "flat line": bytes(5000)}, stream="a")
    fill(theirs, 2)
    assert [numbers(message) for message in theirs.says()] == [[0, 1], [2], [3], [0, 1]]


def test_up_to_so_many_frames():
    theirs = agreed(batch_bytes=MAX_BATCH_PAYLOAD)
    fill(theirs, MAX_BATCH_FRAMES + 1)
    # Between them, the peer is asked how far it has read; one that does not answer gets the rest after a moment.
    assert [len(numbers(message)) for message in theirs.says()] == [MAX_BATCH_FRAMES, 0]
    assert [len(numbers(message)) for message in theirs.waits(1)] == [1]


def test_the_urgent_ones_stand_in_front():
    theirs = agreed()
    fill(theirs, 2)
    theirs.session.ping(0.0)
    theirs.session.send(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": 1})
    [message] = theirs.says()
    assert [frame.type for frame in oracle.decode_frames(message)] == [
        T["ANOMALY_ALERT"],
        T["PING"],
        T["ECG_DATA"],
        T["ECG_DATA"],
    ]


def test_a_notice_of_dropped_frames_comes_before_the_frames_that_remain():
    theirs = agreed(queue_frames=3)
    fill(theirs, 5)
    theirs.session.send(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": 1})
    types = [frame.type for message in theirs.says() for frame in oracle.decode_frames(message)]
    assert types == [T["ANOMALY_ALERT"], T["ERROR"], T["ECG_DATA"], T["ECG_DATA"]]


# --- reading ---


def batch(count, start=0):
    return b"".join(oracle.encode_frame(T["ECG_DATA"], {"n": n}) for n in range(start, start + count))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_joined_frames_are_read_without_an_agreement(version):
    theirs = server().starts()
    frames = [oracle.encode_frame(T["ECG_DATA"], {"n": n}, version) for n in range(5)]
    theirs.hears(b"".join(frames))
    assert [event.message.data["n"] for event in theirs.told(Received)] == list(range(5))


def test_a_bad_frame_is_refused_and_the_others_are_read():
    theirs = server().starts()
    theirs.says()
    bad = oracle.frame(3, T["ECG_DATA"], 0, b"\x80", checksum=0)
    theirs.hears(batch(2) + bad + batch(2, 2))
    assert [event.message.data["n"] for event in theirs.told(Received)] == [0, 1, 2, 3]
    assert [event.error.code for event in theirs.told(FrameRefused)] == [0x101]
    assert theirs.session.closing is None


@pytest.mark.parametrize("bad", [b"\x04" + bytes(18), b"\x03\x01", oracle.frame(3, 0x13, 0, b"")])
def test_frames_behind_one_of_unknown_length_are_lost(bad):
    theirs = server().starts()
    theirs.hears(batch(2) + bad + batch(2, 2))
    assert [event.message.data["n"] for event in theirs.told(Received)] == [0, 1]
    assert theirs.session.closing.code == 1002


def test_no_more_than_so_many_frames_are_read():
    theirs = server().starts()
    theirs.says()
    theirs.hears(batch(MAX_BATCH_FRAMES))
    assert len(theirs.told(Received)) == MAX_BATCH_FRAMES
    assert theirs.session.closing is None
    theirs.hears(batch(MAX_BATCH_FRAMES + 5))
    assert len(theirs.told(Received)) == 2 * MAX_BATCH_FRAMES
    assert [event.error.code for event in theirs.told(FrameRefused)] == [0x102]
    assert theirs.session.closing.code == 1009


def test_records_that_stand_for_many_samples_are_not_all_in_one_batch():
    """Flat lines: 2 KB stand for 60,000 samples, which count 8 bytes each at the receiver."""
    talk = Conversation({"versions": (1, 2, 3, 4)}, {"versions": (1, 2, 3, 4)})
    template = Template(1, "ecg/1", "int16", 12, {})
    talk.client.session._reader.book.bind(7, "ecg/1", 5)
    talk.client.session._reader.book.add(7, template.payload)
    payload = template.encode(np.zeros((12, 5000), "int16"), 0, None, delta=True)
    assert len(payload) < 2500
    settings = talk.server.session.settings
    for n in range(1, 31):
        position = StreamPosition(7, n, Form.RECORD)
        talk.server.session.enqueue(
            encode_outgoing(
                talk.server.session.encoding,
                MessageType.ECG_DATA,
                payload,
                timestamp=n,
                settings=settings,
                position=position,
            )
        )
    talk.talk()
    assert [event.error for event in talk.client.told(FrameRefused)] == []
    assert len(talk.client.told(Received)) == 30

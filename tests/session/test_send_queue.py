"""The send queue is bounded, sends urgent frames first, and drops the oldest waveforms if it is full."""

import itertools
import random

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import EPOCH, Conversation, server

from ecgframe import Flag, MessageType
from ecgframe.codec import EncodedFrame
from ecgframe.protocol import Capability, CloseCode
from ecgframe.session import Encoding, ErrorReceived, Outgoing, Received, Settings, encode_outgoing
from ecgframe.session.send_queue import SendQueue
from ecgframe.session.settings import EVERYTHING

T = oracle.TYPES
NOISE = random.Random(4).randbytes(10_000)  # does not deflate
ECG, ALERT, LABEL = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT


def talking(capabilities=EVERYTHING - {Capability.BATCH}, **settings):
    """A server whose client understands version 3."""
    theirs = server(**settings).starts()
    theirs.says()
    theirs.hears(
        oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": sorted(capabilities)}, 1)
    )
    return theirs


def sent(side, type=ECG, n=0, flags=0, stream=None, size=0):
    return side.session.send(type, {"n": n, "pad": NOISE[:size]}, flags=flags, stream=stream)


def brief(frames):
    """Type and number of each frame; of a notice, what it says."""
    return [(frame.type, frame.data.get("n", frame.data.get("details"))) for frame in frames]


# --- the order ---


def test_urgent_before_control_before_data():
    theirs = talking()
    sent(theirs, ECG, 1)
    sent(theirs, LABEL, 2)
    theirs.session.ping(0.0)
    sent(theirs, LABEL, 3, flags=Flag.PRIORITY)
    sent(theirs, ALERT, 4)
    sent(theirs, ECG, 5)
    assert [(frame.type, frame.data.get("n")) for frame in theirs.tells()] == [
        (LABEL, 3),
        (ALERT, 4),
        (T["PING"], None),
        (ECG, 1),
        (LABEL, 2),
        (ECG, 5),
    ]


def test_an_alert_overtakes_ten_thousand_waveforms():
    theirs = talking(queue_frames=20_000)
    for n in range(10_000):
        sent(theirs, ECG, n)
    sent(theirs, ALERT, 7)
    assert brief([oracle.decode_frame(theirs.session.next_message(0.0))]) == [(ALERT, 7)]


@pytest.mark.parametrize("version", [1, 2])
def test_urgent_messages_go_first_to_peers_without_the_flag(version):
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, version))
    sent(theirs, ECG, 1)
    sent(theirs, LABEL, 2, flags=Flag.PRIORITY)
    frames = theirs.tells()
    assert brief(frames) == [(LABEL, 2), (ECG, 1)]
    assert {frame.flags for frame in frames} == {0}


def test_a_peer_that_could_not_tell_is_not_confused():
    """Version 3 has timestamps, by which a viewer resumes. A message that overtakes must be seen to do so."""
    theirs = talking(capabilities=EVERYTHING - {Capability.BATCH, Capability.PRIORITY})
    sent(theirs, ECG, 1)
    sent(theirs, LABEL, 2, flags=Flag.PRIORITY)
    sent(theirs, ALERT, 3, flags=Flag.PRIORITY)
    frames = theirs.tells()
    assert brief(frames) == [(ALERT, 3), (ECG, 1), (LABEL, 2)]
    assert {frame.flags for frame in frames} == {0}


def test_timestamps_always_rise():
    talk = Conversation()
    sent_by_both = [side.session.send(ECG, {"n": n}) for n in range(100) for side in (talk.server, talk.client)]
    for side in (talk.server, talk.client):
        stamps = [frame.timestamp for frame in side.tells()]
        assert stamps == sorted(set(stamps))
        assert set(stamps) <= {outgoing.timestamp for outgoing in sent_by_both}
        assert all(stamp >= EPOCH for stamp in stamps)


# --- no room ---


def test_the_oldest_waveforms_go_first_and_the_viewer_is_told():
    theirs = talking(queue_frames=5)
    stamps = [sent(theirs, ECG, n, stream="ecg/1").timestamp for n in range(8)]
    assert theirs.session.queued_frames == 5
    assert theirs.session.counters.dropped == 3
    notice, *rest = theirs.tells()
    assert (notice.type, notice.version, notice.flags) == (T["ERROR"], 3, 0)
    assert notice.data == {
        "code": 0x204,
        "message": "3 frames were dropped: they came faster than this connection takes them",
        "details": {"stream": "ecg/1", "from": stamps[0] / 1e6, "to": stamps[2] / 1e6, "dropped": 3},
    }
    assert brief(rest) == [(ECG, n) for n in range(3, 8)]
    assert not theirs.session.has_waiting


def test_the_client_hears_of_it():
    talk = Conversation({"queue_frames": 2})
    for n in range(3):
        sent(talk.server, ECG, n)
    talk.talk()
    [error] = talk.client.told(ErrorReceived)
    assert (error.code, error.details["dropped"], "stream" in error.details) == (0x204, 1, False)
    assert talk.client.session.closing is None


def test_one_notice_a_stream_ahead_of_its_frames():
    theirs = talking(queue_frames=6)
    for n in range(12):
        sent(theirs, ECG, n, stream=f"ecg/{n % 3}")
    frames = theirs.tells()
    told = {}
    for frame in frames:
        if frame.type == T["ERROR"]:
            assert frame.data["details"]["stream"] not in told
            told[frame.data["details"]["stream"]] = frame.data["details"]["dropped"]
        else:
            assert told[f"ecg/{frame.data['n'] % 3}"] == 2
    assert sorted(told) == ["ecg/0", "ecg/1", "ecg/2"]
    assert [n for type, n in brief(frames) if type == ECG] == [6, 7, 8, 9, 10, 11]


def test_urgent_and_control_messages_leave_before_the_notice():
    theirs = talking(queue_frames=3)
    for n in range(3):
        sent(theirs, ECG, n)
    theirs.session.ping(0.0)
    sent(theirs, ALERT, 9)
    assert [frame.type for frame in theirs.tells()] == [ALERT, T["PING"], T["ERROR"], ECG]


def test_the_notice_leaves_also_where_no_frame_of_its_stream_is_left():
    theirs = talking(queue_frames=1)
    sent(theirs, ECG, 0, stream="a")
    sent(theirs, ECG, 1, stream="b")
    assert theirs.session.has_waiting
    frames = theirs.tells()
    assert sorted(frame.type for frame in frames) == [ECG, T["ERROR"]]
    [notice] = [frame.data["details"] for frame in frames if frame.type == T["ERROR"]]
    assert (notice["stream"], notice["dropped"]) == ("a", 1)


def test_a_viewer_that_falls_behind_all_the_time_is_not_sent_notices_alone():
    """A hundred streams, and a link that takes one message where two hundred are published."""
    theirs = talking(queue_frames=50)
    types = []
    for n in range(400):
        for stream in range(100):
            sent(theirs, ECG, n, stream=f"ecg/{stream}")
        types.append(oracle.decode_frame(theirs.session.next_message(0.0)).type)
    assert types.count(ECG) >= 190


def test_bytes_count_as_well():
    theirs = talking(queue_bytes=1000)
    for n in range(20):
        sent(theirs, ECG, n, size=100)
    assert theirs.session.queued_bytes <= 1000
    assert [n for type, n in brief(theirs.tells()) if type == ECG] == list(range(13, 20))


def test_other_data_goes_only_after_the_waveforms():
    theirs = talking(queue_frames=4)
    sent(theirs, LABEL, 1)
    sent(theirs, ECG, 2)
    sent(theirs, LABEL, 3)
    sent(theirs, ECG, 4)
    sent(theirs, LABEL, 5)
    sent(theirs, LABEL, 6)
    sent(theirs, LABEL, 7)
    assert [n for type, n in brief(theirs.tells()) if type in (ECG, LABEL)] == [3, 5, 6, 7]


@pytest.mark.parametrize(
    ("type", "flags"),
    [
        (ALERT, 0),
        (ECG, Flag.PRIORITY),
        (LABEL, Flag.PRIORITY),
        (ECG, Flag.ACK_REQUIRED),
        (LABEL, Flag.ACK_REQUIRED | Flag.BROADCAST),
        (MessageType.HEARTBEAT, 0),
        (MessageType.SUBSCRIPTION_ACK, 0),
        (MessageType.PONG, 0),
        (MessageType.ERROR, 0),
    ],
)
def test_messages_that_may_not_be_dropped_close_a_slow_connection(type, flags):
    """A viewer that cannot take even these is closed with 1013, and holds no memory from then on."""
    theirs = talking(queue_frames=10)
    for n in range(10):
        sent(theirs, type, n, flags=flags)
    sent(theirs, ECG, 99)
    assert (theirs.session.closing, theirs.session.counters.dropped) == (None, 1)
    assert theirs.session.queued_frames == 10
    sent(theirs, type, 10, flags=flags)
    assert theirs.session.closing.code is CloseCode.TRY_LATER
    assert theirs.session.queued_frames == theirs.session.queued_bytes == 0
    assert theirs.says() == []
    sent(theirs, type, 11, flags=flags)
    assert theirs.session.queued_frames == 0


def test_priority_stays_for_a_peer_that_is_not_told_of_it():
    theirs = talking(capabilities=frozenset(), queue_frames=3)
    sent(theirs, LABEL, 1, flags=Flag.PRIORITY)
    for n in range(2, 10):
        sent(theirs, LABEL, n)
    assert 1 in [n for type, n in brief(theirs.tells()) if type == LABEL]


def test_the_others_notice_nothing():
    slow, quick = talking(queue_frames=2), talking(queue_frames=2)
    assert slow.session.encoding == quick.session.encoding
    for n in range(10):
        outgoing = encode_outgoing(slow.session.encoding, ECG, {"n": n}, timestamp=EPOCH + n, settings=Settings())
        slow.session.enqueue(outgoing)
        quick.session.enqueue(outgoing)
        assert quick.says() == [outgoing.frame]
    assert quick.session.counters.dropped == 0
    assert slow.session.counters.dropped == 8


# --- the short way, for viewers that keep up ---


def made_for(side, type=ECG, flags=0):
    stamp = side.session._wall_clock_us()
    return encode_outgoing(side.session.encoding, type, {"n": 1}, flags=flags, timestamp=stamp, settings=Settings())


def test_a_frame_passes_where_nothing_waits():
    theirs = talking(heartbeat_interval=10.0)
    theirs.clock.now = 9.0
    outgoing = made_for(theirs)
    assert theirs.session.record_direct_send(outgoing, 9.0)
    assert not theirs.session.has_waiting
    assert theirs.session.passed == 1
    theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None))
    assert theirs.session.deadline() == 19.0  # it counts as sent


def test_a_frame_does_not_pass_what_waits():
    theirs = talking(queue_frames=1)
    sent(theirs, ECG, 1)
    assert not theirs.session.record_direct_send(made_for(theirs), 0.0)
    sent(theirs, ECG, 2)
    theirs.session._queue.pop()
    assert theirs.session._queue.losses
    assert not theirs.session.record_direct_send(made_for(theirs), 0.0)
    theirs.says()
    assert not theirs.session.record_direct_send(made_for(theirs, flags=Flag.ACK_REQUIRED), 0.0)
    assert theirs.session.record_direct_send(made_for(theirs), 0.0)
    theirs.session.end()
    assert not theirs.session.record_direct_send(made_for(theirs), 0.0)


# --- one frame larger than the queue ---


def test_a_frame_may_be_larger_than_the_queue():
    theirs = talking(queue_bytes=1000)
    sent(theirs, LABEL, 1, size=5000)
    assert theirs.session.queued_bytes > 5000
    assert brief(theirs.tells()) == [(LABEL, 1)]


@pytest.mark.parametrize("flags", [0, Flag.ACK_REQUIRED, Flag.PRIORITY])
def test_a_frame_larger_than_the_queue_does_not_displace_small_ones(flags):
    """Otherwise a viewer could be closed for an alert of five megabytes, each time it comes back."""
    theirs = talking(queue_bytes=1000)
    theirs.session.ping(0.0)
    sent(theirs, LABEL, 1, flags=flags, size=5000)
    theirs.session.ping(0.0)
    sent(theirs, ALERT, 2)
    sent(theirs, ECG, 3)
    assert theirs.session.closing is None
    assert {n for type, n in brief(theirs.tells()) if type in (LABEL, ALERT, ECG)} == {1, 2, 3}


def test_one_frame_larger_than_the_queue_is_kept():
    theirs = talking(queue_bytes=1000)
    for n in range(5):
        sent(theirs, ECG, n, size=5000)
    assert theirs.session.queued_frames == 1
    assert theirs.session.counters.dropped == 4
    sent(theirs, LABEL, 7, size=5000, flags=Flag.ACK_REQUIRED)
    assert [n for type, n in brief(theirs.tells()) if type in (ECG, LABEL)] == [7]
    sent(theirs, LABEL, 8, size=5000, flags=Flag.ACK_REQUIRED)
    sent(theirs, LABEL, 9, size=5000, flags=Flag.ACK_REQUIRED)
    assert theirs.session.closing.code is CloseCode.TRY_LATER


# --- the books ---


def frame(kind, nbytes, stamp):
    type, flags, stream = kind
    encoded = EncodedFrame(bytes(nbytes), 3, type, flags, stamp, nbytes, nbytes)
    return Outgoing(encoded, flags, stamp, stream)


KINDS = [
    (ECG, 0, "a"),
    (ECG, 0, "b"),
    (ECG, 0, None),
    (LABEL, 0, "a"),
    (ALERT, 0, "a"),
    (ECG, int(Flag.ACK_REQUIRED), None),
    (MessageType.PONG, 0, None),
]
steps = st.one_of(
    st.tuples(st.sampled_from(KINDS), st.one_of(st.integers(1, 60), st.just(300))),
    st.sampled_from(["pop", "pop", "let data go", "clear"]),
)


@given(st.integers(1, 8), st.integers(50, 200), st.lists(steps, max_size=60))
def test_frames_and_bytes_are_counted_right(max_frames, max_bytes, todo):
    queue, waiting, dropped, stamps = SendQueue(max_frames, max_bytes), [], 0, itertools.count()
    for step in todo:
        if step == "pop":
            taken = queue.pop()
            assert (taken is None) == (not waiting)
            if taken:
                waiting.remove(taken)
        elif step == "let data go":
            queue.discard_data()
            waiting = [one for one in waiting if one.type in (ALERT, MessageType.PONG)]
            assert not queue.losses
            dropped = 0
        elif step == "clear":
            queue.clear()
            waiting, dropped = [], 0
        else:
            one = frame(*step, next(stamps))
            waiting.append(one)
            try:
                count = queue.put(one)
            except OverflowError:
                here = contents(queue)
                large = [other for other in here if other.nbytes > max_bytes]
                assert not any(other.droppable for other in (here if len(large) < 2 else large))
                return
            dropped += count
            here = contents(queue)
            gone = [other for other in waiting if other not in here]
            assert len(gone) == count
            assert all(other.droppable for other in gone)
            for other in gone:
                assert other.waveform or not any(one.waveform and one.nbytes >= other.nbytes for one in here)
            waiting = [other for other in waiting if other in here]
        assert queue.frames == len(waiting) == len(contents(queue)) <= max_frames
        assert queue.nbytes == sum(other.nbytes for other in waiting)
        assert sum(sorted(other.nbytes for other in waiting)[:-1]) <= max_bytes
        assert sum(loss.frames for loss in queue.losses.values()) == dropped


def contents(queue):
    return [one for tier in queue._tiers for one in tier]


def test_losses_are_bounded_whatever_the_streams_are_called():
    queue = SendQueue(10, 1000)
    for n in range(10_000):
        queue.put(frame((ECG, 0, str(n)), 10, n))
    assert len(queue.losses) <= 11
    assert sum(loss.frames for loss in queue.losses.values()) == 9_990


def test_an_outgoing_tells_what_it_is():
    outgoing = encode_outgoing(Encoding(1, 0, False, False), ECG, {}, timestamp=7, settings=Settings(), stream="a")
    assert repr(outgoing) == "Outgoing(ECG_DATA, 12 bytes, timestamp=7, stream='a')"


# --- the end ---


def test_ending_lets_data_go_and_sends_the_rest():
    theirs = talking(queue_frames=5)
    for n in range(9):
        sent(theirs, ECG, n)
    theirs.session.ping(0.0)
    sent(theirs, ALERT, 7)
    theirs.session.end(CloseCode.GOING_AWAY, "the server is stopping")
    assert theirs.session.closing == (1001, "the server is stopping")
    assert [frame.type for frame in theirs.tells()] == [ALERT, T["PING"]]
    assert (theirs.session.queued_frames, theirs.session.queued_bytes) == (0, 0)


def test_after_the_end_nothing_is_taken():
    theirs = talking()
    theirs.session.end()
    theirs.session.end(CloseCode.INTERNAL, "another reason")
    sent(theirs, ALERT, 7)
    theirs.session.ping(0.0)
    theirs.session.refuse(0x203, "no")
    assert theirs.says() == []
    assert theirs.session.closing == (1000, "")
    assert theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}), b"", "text") == []
    assert theirs.session.deadline() is None
    theirs.clock.now = 1e9
    assert theirs.ticks() == []
    assert theirs.told(Received) == []


def test_a_reason_fits_into_a_close_frame():
    theirs = talking()
    theirs.session.end(CloseCode.POLICY, "é" * 200 + "\ud800")
    assert len(theirs.session.closing.reason.encode()) <= 123


def test_arrays_are_encoded_when_they_are_sent():
    theirs = talking()
    samples = np.zeros(3)
    theirs.session.send(ECG, {"signal": samples})
    samples[:] = 7
    [frame] = theirs.tells()
    assert not frame.data["signal"].any()

"""The classes of service of version 4: LIVE and BULK share a connection, and LIVE that waits too long is dropped."""

from math import inf

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.test_fragmenting import NOISE, agreed, is_fragment
from session.test_streams_by_number import V4

from ecgframe import Flag, MessageType
from ecgframe.protocol import Form
from ecgframe.session import ErrorReceived, Settings, StreamPosition, encode_outgoing
from ecgframe.session.outgoing import Tier

T = oracle.TYPES_OF_V4
ECG, ALERT, LABEL = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT
BULK = int(Form.BULK)


def made(side, n, size=0, *, bulk=False, type=ECG, flags=0, stream=None):
    """A frame of a stream: LIVE of the stream 7, BULK of the stream 8."""
    stream = stream or ("bulk" if bulk else "live")
    return encode_outgoing(
        side.session.encoding,
        type,
        {"n": n, "pad": NOISE[:size]},
        timestamp=1000 + n,
        settings=side.session.settings,
        flags=flags,
        stream=stream,
        position=StreamPosition(8 if bulk else 7, n, BULK if bulk else 0),
    )


def queued(side, *args, now=inf, **options):
    outgoing = made(side, *args, **options)
    side.session.enqueue(outgoing, now)
    return outgoing


def sequences(messages):
    """Stream and number of each data frame."""
    frames = [frame for message in messages for frame in oracle.decode_frames(message)]
    return [(frame.stream, frame.sequence) for frame in frames if frame.stream]


def test_each_message_has_its_class():
    talk = agreed()
    assert made(talk.server, 1).tier is Tier.LIVE
    bulk = made(talk.server, 1, bulk=True)
    assert (bulk.tier, bulk.droppable, bulk.divisible) == (Tier.BULK, False, True)
    assert made(talk.server, 1, type=LABEL, flags=Flag.PRIORITY).tier is Tier.URGENT
    assert made(talk.server, 1, type=ALERT).tier is Tier.URGENT
    with pytest.raises(ValueError, match="BULK is for messages of a stream without PRIORITY"):
        made(talk.server, 1, bulk=True, flags=Flag.PRIORITY)


def test_what_waits_is_counted_by_class():
    talk = agreed(batch_bytes=1)
    queued(talk.server, 1, bulk=True)
    queued(talk.server, 2)
    queued(talk.server, 4)
    talk.server.session.ping(0.0)
    queued(talk.server, 3, type=ALERT)
    assert talk.server.session.queued_by_class == (1, 1, 2, 1)
    talk.server.says()
    assert talk.server.session.queued_by_class == (0, 0, 0, 0)


def test_bulk_waits_for_all_else():
    talk = agreed(batch_bytes=1)
    queued(talk.server, 1, bulk=True)
    queued(talk.server, 2)
    talk.server.session.ping(0.0)
    queued(talk.server, 3, type=ALERT)
    assert sequences(talk.server.says()) == [(7, 3), (7, 2), (8, 1)]


@pytest.mark.parametrize("size", [100, 3000, 100_000])
def test_seven_parts_of_live_to_one_of_bulk(size):
    talk = agreed(queue_frames=50_000, queue_bytes=1 << 30, batch_bytes=1)
    session = talk.server.session
    for n in range(1, 2_000_000 // (size + 60)):
        queued(talk.server, n, size)
    for n in range(1, 500_000 // (size + 60)):
        queued(talk.server, n, size, bulk=True)
    live = bulk = 0
    for _ in range(1_500_000 // min(size + 60, 16_424)):
        message = session.next_message(0.0)
        if message[19] & BULK:
            bulk += len(message)
        else:
            live += len(message)
        assert live >= 7 * bulk - 7 * 16_500
    assert 6.5 < live / bulk < 8.1


def test_each_class_alone_has_the_whole_connection():
    talk = agreed(batch_bytes=1)
    for n in range(1, 20):
        queued(talk.server, n, bulk=True)
    assert sequences(talk.server.says()) == [(8, n) for n in range(1, 20)]
    for n in range(1, 100):
        queued(talk.server, n)
    talk.server.says()
    queued(talk.server, 100)
    queued(talk.server, 20, bulk=True)
    assert sequences(talk.server.says()) == [(7, 100), (8, 20)]  # what was sent alone does not count


def test_the_pieces_of_both_classes_interleave():
    talk = agreed()
    queued(talk.server, 1, 300_000, bulk=True)
    session = talk.server.session
    messages = [session.next_message(0.0)]
    queued(talk.server, 1, 400_000)
    messages += talk.server.says()
    classes = ["bulk" if each[19] & BULK else "live" for each in messages if is_fragment(each)]
    assert classes[:10] == ["bulk", *["live"] * 8, "bulk"] or classes[:9] == ["bulk", *["live"] * 7, "bulk"]
    assert len(classes) == 19 + 25
    talk.client.session._reader.book.is_open = True
    for id, name in ((7, "live"), (8, "bulk")):
        talk.client.session._reader.book.bind(id, name, 5)
    talk.client.hears(*messages)
    assert [event.message.sequence for event in talk.client.events if hasattr(event, "message")] == [1, 1]


def test_bulk_is_neither_dropped_nor_does_it_displace_others():
    talk = agreed(queue_frames=3)
    for n in range(1, 21):
        queued(talk.server, n, bulk=True)
    for n in range(1, 4):
        queued(talk.server, n)
    assert talk.server.session.counters.dropped == 0
    queued(talk.server, 4)
    assert talk.server.session.counters.dropped == 1
    found = sequences(talk.server.says())
    assert [n for stream, n in found if stream == 8] == list(range(1, 21))
    assert [n for stream, n in found if stream == 7] == [2, 3, 4]


def test_large_bulk_does_not_count_as_the_one_large_message():
    talk = agreed(queue_bytes=50_000)
    queued(talk.server, 1, 60_000, bulk=True)
    queued(talk.server, 2, 60_000, bulk=True)
    queued(talk.server, 1, 60_000)
    assert talk.server.session.counters.dropped == 0
    queued(talk.server, 2, 60_000)
    assert talk.server.session.counters.dropped == 1


# --- what waits too long ---


def test_live_that_waited_too_long_is_dropped_and_told():
    talk = agreed()
    for n in range(1, 11):
        queued(talk.server, n, now=float(n))
    talk.clock.now = 12.5
    messages = talk.server.says()
    assert sequences(messages) == [(7, 8), (7, 9), (7, 10)]
    assert talk.server.session.counters.dropped == talk.server.session.counters.expired == 7
    talk.client.hears(*messages)
    [error] = talk.client.told(ErrorReceived)
    assert (error.code, error.details) == (0x204, {"from": 0.001001, "to": 0.001007, "dropped": 7, "stream": "live"})


def test_templates_acknowledged_messages_alerts_and_bulk_do_not_expire():
    talk = agreed()
    queued(talk.server, 1, now=0.0)
    queued(talk.server, 2, now=0.0, flags=Flag.ACK_REQUIRED)
    queued(talk.server, 3, now=0.0, type=ALERT)
    queued(talk.server, 1, now=0.0, bulk=True)
    template = {"template": 1, "stream": "live", "dtype": "int16", "rows": 1, "fields": {}}
    encoding, settings = talk.server.session.encoding, Settings(**V4)
    numbered = StreamPosition(7, 4)
    frame = encode_outgoing(
        encoding,
        MessageType.STREAM_TEMPLATE,
        template,
        timestamp=5,
        settings=settings,
        stream="live",
        position=numbered,
    )
    talk.server.session.enqueue(frame, 0.0)
    talk.clock.now = 100.0
    assert sequences(talk.server.says()) == [(7, 3), (7, 2), (7, 4), (8, 1)]
    assert talk.server.session.counters.dropped == 1


def test_a_message_of_which_a_piece_has_left_is_not_dropped():
    talk = agreed()
    queued(talk.server, 1, 40_000, now=0.0)
    queued(talk.server, 2, now=0.0)
    messages = [talk.server.session.next_message(0.0)]
    talk.clock.now = 100.0
    messages += talk.server.says()
    assert sum(map(is_fragment, messages)) == 3
    assert sequences([each for each in messages if not is_fragment(each)]) == []
    assert talk.server.session.counters.dropped == 1


@pytest.mark.parametrize("settings", [{"versions": (1, 2, 3)}, {**V4, "live_seconds": inf}])
def test_before_version_4_and_without_a_limit_nothing_expires(settings):
    talk = agreed()
    talk = type(talk)(settings, V4)
    queued(talk.server, 1, now=0.0)
    talk.clock.now = 1000.0
    assert any(frame.type == ECG for frame in talk.server.tells())


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["live", "bulk", "ack", "sent", "other"])), max_size=60))
def test_times_and_frames_stay_together(steps):
    """Whatever is queued, dropped and sent: a frame goes by its own time."""
    talk = agreed(queue_frames=8, batch_bytes=1)
    session = talk.server.session
    now, waited = 0.0, {}
    for number, (wait, what) in enumerate(steps, 1):
        now += wait / 4
        if what == "sent":
            for _, n in sequences([session.next_message(now) or b""]):
                assert now - waited[n] <= 5.0
        elif what == "other":
            session.take_back("other")
            queued(talk.server, number, now=now, stream="other")
            waited[number] = now
        else:
            flags = Flag.ACK_REQUIRED if what == "ack" else 0
            queued(talk.server, number, now=now, bulk=what == "bulk", flags=flags)
            waited[number] = now if what == "live" else inf
        assert len(session._queue._queued_at) == len(session._queue._tiers[Tier.LIVE])


def test_the_number_of_seconds_is_checked():
    for seconds in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="live_seconds is a number above 0"):
            Settings(live_seconds=seconds)

"""Fragments of version 4 are put together to messages: in order, within limits, and whatever comes in between."""

import struct
import tracemalloc

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import client
from session.test_streams_by_number import EPOCH, TEMPLATE, V4, agreed, record_frame, same_map, template_frame
from session.test_streams_by_number import MAP as RECORD_MAP

from ecgframe import ErrorCode, Flag, MessageType
from ecgframe.protocol import FRAGMENT_HEADER, LEAST_FRAGMENT, MAX_STREAM_IDS, Capability, Form
from ecgframe.session import Acknowledged, Binding, FrameRefused, Numbered, RateLimit, Received

T = oracle.TYPES_OF_V4
ID = 7
SIZE = LEAST_FRAGMENT


def payload_of(n, pieces=3, size=SIZE):
    """A payload that takes so many pieces."""
    empty = oracle.pack({"n": n, "pad": bytes(256)})
    return oracle.pack({"n": n, "pad": bytes([n % 251]) * (pieces * size - len(empty) - size // 2 + 256)})


def piece(payload, offset, size=SIZE, *, type="FEATURE_DATA", flags=0, timestamp=5, total=None, **numbering):
    """One fragment of a payload."""
    fields = struct.pack(">II", len(payload) if total is None else total, offset)
    travels = fields + payload[offset : offset + size]
    return oracle.frame(4, T[type], flags | oracle.FRAGMENT, travels, timestamp, **numbering)


def cut(payload, size=SIZE, **header):
    return [piece(payload, offset, size, **header) for offset in range(0, len(payload), size)]


def message(n, group="live", pieces=3, size=SIZE, **header):
    """The fragments of the message ``n`` of a class."""
    of_group = {
        "alarm": {"type": "ANOMALY_ALERT"},
        "live": {"type": "FEATURE_DATA"},
        "bulk": {"type": "FEATURE_DATA", "form": oracle.BULK},
    }[group]
    numbering = {"stream": ID, "sequence": n}
    return cut(payload_of(n, pieces, size), size, timestamp=1000 + n, **{**numbering, **of_group, **header})


def viewer(**settings):
    """A client that watches a stream with the id 7, whose server has said nothing of it yet."""
    talk = agreed(**settings)
    talk.client.session.subscribe("ecg/1")
    talk.talk()
    talk.server.session.answer_subscription("ecg/1", "subscribed", binding=Binding(ID, EPOCH, 1))
    talk.talk()
    return talk


def numbers(side):
    return [event.message.data["n"] for event in side.told(Received)]


def refusals(side):
    return [(event.error.code, event.error.check, event.error.reason) for event in side.told(FrameRefused)]


def errors_sent(side):
    return [frame.data for frame in side.tells() if frame.type == T["ERROR"]]


def unfinished(side):
    reassembly = side.session._reassembly
    return 0 if reassembly is None else reassembly.nbytes


def test_the_capability_of_fragments_is_announced():
    talk = agreed()
    assert Capability.FRAGMENTS in talk.server.session.capabilities & talk.client.session.capabilities


def test_a_message_in_pieces_arrives_as_if_it_had_come_at_once():
    talk = viewer()
    payload = payload_of(1, 5)
    for fragment in cut(payload, stream=ID, sequence=1)[:-1]:
        assert talk.client.hears(fragment) == []
    talk.client.hears(cut(payload, stream=ID, sequence=1)[-1])
    whole = oracle.frame(4, T["FEATURE_DATA"], 0, payload, 5, stream=ID, sequence=1)
    talk.client.hears(whole)
    first, second = talk.client.told(Received)
    assert (first.stream, first.memory, first.record) == (second.stream, second.memory, second.record)
    for name in ("type", "data", "version", "flags", "timestamp", "nbytes", "form", "stream_id", "sequence"):
        assert getattr(first.message, name) == getattr(second.message, name)
    assert talk.client.session.counters.received[MessageType.FEATURE_DATA] == 2
    assert not talk.client.told(FrameRefused)


def interleavings(counts):
    """All orders in which to take the items of several queues, as indices of the queues."""
    if not any(counts):
        yield ()
        return
    for n, count in enumerate(counts):
        if count:
            for rest in interleavings([left - (other == n) for other, left in enumerate(counts)]):
                yield (n, *rest)


def test_every_interleaving_of_three_messages():
    fragments = [message(1, "alarm"), message(2, "live"), message(3, "bulk")]
    assert [len(each) for each in fragments] == [3, 3, 3]
    talk = viewer()
    orders = list(interleavings([3, 3, 3]))
    assert len(orders) == 1680
    for order in orders:
        talk.client.events.clear()
        queues = [iter(each) for each in fragments]
        for n in order:
            talk.client.hears(next(queues[n]))
        last = {n: place for place, n in enumerate(order)}
        assert numbers(talk.client) == [n + 1 for n in sorted(last, key=last.get)]
        assert not talk.client.told(FrameRefused)
        assert unfinished(talk.client) == 0
    assert talk.client.session.closing is None


FAULTS = ("lost", "doubled", "shortened", "emptied", "damaged", "another total", "swapped")


@given(st.data())
def test_lost_doubled_changed_and_shortened_pieces_cost_their_message(data):
    """Whatever happens to the fragments of three messages: the others arrive, and each loss is told once."""
    talk = viewer()
    expected = {"alarm": 1, "live": 2, "bulk": 3}
    queues = {name: message(n, name, 4) for name, n in expected.items()}
    spoilt = data.draw(st.sampled_from(sorted(queues)))
    fragments = queues[spoilt]
    place = data.draw(st.integers(0, 3))
    fault = data.draw(st.sampled_from(FAULTS))
    if fault == "lost":
        del fragments[place]
    elif fault == "doubled":
        fragments.insert(place, fragments[place])
    elif fault == "swapped":
        place = data.draw(st.integers(1, 2))
        fragments[place], fragments[place + 1] = fragments[place + 1], fragments[place]
    else:
        header, body = fragments[place][:32], fragments[place][32:]
        body = {
            "shortened": body[:-1],
            "emptied": body[:FRAGMENT_HEADER],
            "damaged": body,
            "another total": struct.pack(">I", 9999) + body[4:],
        }[fault]
        number = expected[spoilt]
        made = oracle.frame(4, header[1], header[2], body, 1000 + number, form=header[19], stream=ID, sequence=number)
        fragments[place] = made[:7] + b"\0\0\0\0" + made[11:] if fault == "damaged" else made
    left = {name: list(each) for name, each in queues.items() if each}
    while left:
        name = data.draw(st.sampled_from(sorted(left)))
        talk.client.hears(left[name].pop(0))
        if not left[name]:
            del left[name]
    is_whole = fault == "doubled" and place == 0  # the first fragment begins the message anew
    is_cut = fault == "lost" and place == 3  # nothing tells it yet
    survivors = sorted(n for name, n in expected.items() if name != spoilt or is_whole)
    is_doubled_end = fault == "doubled" and place == 3  # the message is whole before the end comes once more
    if is_doubled_end:
        survivors = [1, 2, 3]
    assert sorted(numbers(talk.client)) == survivors
    told = refusals(talk.client)
    if is_whole or is_cut:
        assert told == []
    else:
        [(code, check, reason)] = told
        if fault == "damaged":
            assert (code, check) == (ErrorCode.CHECKSUM_MISMATCH, 7)
        else:
            assert (code, check, reason) == (ErrorCode.INVALID_DATA_FORMAT, 13, "fragment")
            [error] = errors_sent(talk.client)
            assert error["details"] == {"reason": "fragment"}
        [event] = talk.client.told(FrameRefused)
        assert (event.of_stream.name, event.number) == ("ecg/1", expected[spoilt])
    assert (unfinished(talk.client) > 0) == is_cut
    assert talk.client.session.closing is None
    # Messages that follow arrive, the spoilt one as well if it comes again.
    for n, name in ((4, "alarm"), (5, "live"), (6, "bulk"), (expected[spoilt], spoilt)):
        talk.client.hears(*message(n, name))
    assert sorted(numbers(talk.client))[-3:] == [4, 5, 6]
    assert expected[spoilt] in numbers(talk.client)


def test_ten_thousand_first_pieces_take_the_memory_of_one():
    size = 20_000
    talk = viewer()
    theirs = talk.client
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(1, 10_001):
            theirs.session.receive(piece(bytes(60_000), 0, size, timestamp=n), 0.1 * n)
            if theirs.session.closing:
                break
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert theirs.session.closing.code == 1002  # the fifth error within ten seconds
    assert unfinished(theirs) <= size
    assert after - before < 4 * size


@pytest.mark.slow
def test_ten_thousand_first_pieces_of_a_patient_peer():
    talk = viewer()
    theirs = talk.client
    for n in range(1, 10_001):
        talk.clock.now += 3.0
        theirs.session.receive(piece(bytes(60_000), 0, 20_000, timestamp=n), talk.clock.now)
        assert unfinished(theirs) <= 20_000
        theirs.says()
    assert theirs.session.counters.refused[ErrorCode.INVALID_DATA_FORMAT] == 9_999
    assert theirs.session.closing is None


@pytest.mark.parametrize("ids", [1, MAX_STREAM_IDS])
def test_no_memory_is_taken_for_what_is_announced(ids):
    talk = viewer()
    tracemalloc.start()
    try:
        talk.client.hears(piece(bytes(SIZE), 0, total=16 * 1024 * 1024, timestamp=ids))
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


REFUSED = {
    "a control message": (piece(bytes(2000), 0, type="PING"), 0x200),
    "shorter than its own fields": (oracle.frame(4, 1, oracle.FRAGMENT, bytes(7), 5), 0x200),
    "empty": (piece(bytes(2000), 0, 0), 0x200),
    "of nothing": (piece(b"", 0, total=0), 0x200),
    "beyond its total": (piece(bytes(2000), 0, 2000, total=1999), 0x200),
    "shorter than the least": (piece(bytes(2000), 0, SIZE - 1), 0x200),
    "larger than the limit": (piece(bytes(SIZE), 0, total=100_001), 0x102),
    "without a beginning": (piece(bytes(3000), SIZE), 0x200),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_fragment_is_refused(name):
    frame, code = REFUSED[name]
    talk = viewer(max_payload=100_000)
    talk.client.hears(frame)
    [event] = talk.client.told(FrameRefused)
    assert (event.error.code, event.error.check, event.error.reason) == (code, 13, "fragment")
    [error] = errors_sent(talk.client)
    assert (error["code"], error["details"]) == (code, {"reason": "fragment"})
    assert unfinished(talk.client) == 0


def test_a_message_in_one_fragment_is_whole_at_once():
    talk = viewer()
    payload = oracle.pack({"n": 3})
    talk.client.hears(piece(payload, 0, stream=ID, sequence=1))
    assert numbers(talk.client) == [3]


def test_later_pieces_of_a_refused_message_are_let_go_in_silence():
    talk = viewer()
    fragments = message(1, pieces=40)
    talk.client.hears(fragments[0], *fragments[2:])
    assert len(talk.client.told(FrameRefused)) == len(errors_sent(talk.client)) == 1
    assert talk.client.session.closing is None


def test_a_message_that_another_of_its_class_cuts_off_is_lost():
    talk = viewer()
    talk.client.hears(*message(1)[:2], *message(2))
    assert numbers(talk.client) == [2]
    [event] = talk.client.told(FrameRefused)
    assert (event.number, event.error.reason) == (1, "fragment")
    talk.client.hears(message(1)[2])
    assert len(talk.client.told(FrameRefused)) == 2  # its end alone is nothing


def test_the_first_piece_begins_a_message_anew():
    talk = viewer()
    talk.client.hears(*message(1)[:2], *message(1))
    assert numbers(talk.client) == [1]
    assert not talk.client.told(FrameRefused)


def test_a_fragment_among_other_frames_is_refused():
    talk = viewer()
    beat = oracle.frame(4, T["HEARTBEAT"], 0, b"", 9)
    talk.client.hears(beat + message(1)[0], message(1)[0] + beat)
    assert refusals(talk.client) == [(0x200, 13, None)] * 2
    assert unfinished(talk.client) == 0


def test_before_version_4_is_agreed_on_a_fragment_is_of_no_version():
    theirs = client(**V4).starts()
    theirs.hears(piece(bytes(3000), 0))
    [event] = theirs.told(FrameRefused)
    assert (event.error.code, event.error.check) == (0x100, 2)
    assert theirs.session.closing.code == 1002


def test_a_damaged_header_ends_the_connection_as_always():
    talk = viewer()
    talk.client.hears(piece(bytes(3000), 0)[:-1])
    assert [event.error.check for event in talk.client.told(FrameRefused)] == [5]
    assert talk.client.session.closing.code == 1002


def test_a_fragment_of_a_stream_that_was_never_bound():
    talk = viewer()
    talk.client.hears(*message(1, stream=ID + 1))
    assert refusals(talk.client) == [(0x200, 11, None)] * 3


def test_unbinding_drops_what_is_unfinished():
    talk = viewer()
    talk.client.hears(*message(1)[:2])
    assert unfinished(talk.client)
    talk.client.session.unsubscribe("ecg/1")
    talk.talk()
    talk.server.session.answer_subscription("ecg/1", "unsubscribed")
    talk.talk()
    assert unfinished(talk.client) == 0
    talk.client.hears(message(1)[2])  # it was on its way
    talk.wait(200.0)
    assert not talk.client.told(FrameRefused)


def test_a_resume_drops_what_is_unfinished_as_it_comes_again():
    talk = viewer()
    talk.client.hears(*message(1)[:2])
    talk.client.session.subscribe("ecg/1", epoch=EPOCH, after=0)
    assert unfinished(talk.client) == 0
    talk.client.hears(message(1)[2])  # sent before the server read the request
    talk.client.hears(*message(1))
    assert numbers(talk.client) == [1]
    assert not talk.client.told(FrameRefused)


def test_unfinished_after_three_heartbeats_it_is_dropped_and_told():
    talk = viewer(heartbeat_interval=2.0)
    talk.client.hears(*message(1)[:1])
    talk.wait(5.0)
    talk.client.hears(message(1)[1])  # the time runs from the latest piece
    talk.wait(5.9)
    assert not talk.client.told(FrameRefused)
    assert unfinished(talk.client)
    talk.wait(0.2)
    [event] = talk.client.told(FrameRefused)
    assert (event.of_stream.name, event.number, event.error.check) == ("ecg/1", 1, 13)
    assert "nothing more of it came for 6 s" in str(event.error)
    assert unfinished(talk.client) == 0
    talk.client.hears(message(1)[2])
    assert len(talk.client.told(FrameRefused)) == 1


def test_a_message_in_pieces_is_acknowledged_when_it_is_complete():
    talk = viewer()
    outgoing = talk.server.session.send(MessageType.FEATURE_DATA, {"n": 1}, flags=Flag.ACK_REQUIRED)
    talk.server.says()
    fragments = cut(payload_of(1), flags=oracle.ACK_REQUIRED, timestamp=outgoing.timestamp)
    talk.client.hears(*fragments[:-1])
    assert not talk.client.says()
    talk.client.hears(fragments[-1])
    [event] = talk.client.told(Received)
    talk.client.session.acknowledge(event.message)
    talk.talk()
    assert [event.timestamp for event in talk.server.told(Acknowledged)] == [outgoing.timestamp]


def test_records_and_templates_may_be_in_pieces_as_well():
    talk = viewer()
    template, record = template_frame(TEMPLATE), record_frame(2)
    header = {"stream": ID, "sequence": 1, "timestamp": 1, "type": "STREAM_TEMPLATE"}
    talk.client.hears(piece(template[32:], 0, **header))
    assert len(talk.client.told(Numbered)) == 1
    talk.client.hears(piece(record[32:], 0, type="ECG_DATA", form=oracle.RECORD, stream=ID, sequence=2, timestamp=2))
    [event] = talk.client.told(Received)
    assert event.message.form == Form.RECORD
    same_map(event.message.data, RECORD_MAP)


def test_fragments_without_permission_are_refused_by_the_header():
    talk = agreed()
    talk.server.session._refuses_data = lambda type, is_broadcast: "no permission"
    talk.server.hears(*message(1, stream=0, sequence=0))
    assert refusals(talk.server) == [(0x203, None, None)] or refusals(talk.server) == [(0x203, 12, None)]
    assert unfinished(talk.server) == 0


def test_each_fragment_counts_for_the_rate_limit():
    talk = agreed(max_payload=100_000, rate_limit=RateLimit(frames=1, frames_burst=5))
    talk.server.hears(*message(1, pieces=20, stream=0, sequence=0))
    assert talk.server.session.counters.over_budget["frames"] > 0
    assert not talk.server.told(Received)


def test_a_large_message_is_decoded_in_a_thread():
    talk = viewer()
    fragments = message(1, pieces=10)
    session, now = talk.client.session, talk.clock.now
    assert [session.begin_to_receive(fragment, now, 4096) for fragment in fragments[:-1]] == [[]] * 9
    decoding = session.begin_to_receive(fragments[-1], now, 4096)
    decoding.run()
    [event] = session.finish_receiving(decoding, now)
    assert event.message.data["n"] == 1

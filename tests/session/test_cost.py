"""The cost of a peer is bounded in bytes, memory and time: large frames are rejected by their header."""

import struct
import tracemalloc
import zlib

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import client, server
from session.what_peers_send import CONTROL, FLAGS
from strategies import leaves, nests

from ecgframe.protocol import MAX_CONTROL_PAYLOAD, MessageType
from ecgframe.session import (
    ErrorReceived,
    FrameRefused,
    RateLimit,
    Received,
    ServerSession,
    Settings,
    SubscribeRequested,
    Totals,
)
from ecgframe.session.cost import Account
from ecgframe.session.session import ECHO_GROWTH, SMALL_ECHO

T = oracle.TYPES
MIB = 2**20
NAN, INF = float("nan"), float("inf")


def deflated(type, payload, version=3):
    return oracle.frame(version, T[type], oracle.COMPRESSED, zlib.compress(payload, 9))


def texts(n):
    return b"\xdd" + struct.pack(">I", n) + b"\xa2ab" * n


def viewer(**settings):
    """A server's session with a peer that may not publish."""
    theirs = server(rate_limit=RateLimit(), **settings)
    theirs.session._refuses_data = lambda type, is_broadcast: "this connection may not publish"
    return theirs.starts()


def publisher(**limits):
    theirs = server(rate_limit=RateLimit(**limits)).starts()
    theirs.says()
    return theirs


def codes(side):
    return [int(event.error.code) for event in side.told(FrameRefused)]


# --- refused from the header ---


@pytest.mark.parametrize("name", ["ECG_DATA", "ANOMALY_ALERT", "PREDICTION_RESULT", "FEATURE_DATA"])
def test_data_of_who_may_not_publish_is_not_inflated(name):
    theirs = viewer()
    theirs.says()
    bomb = deflated(name, bytes(16 * MIB))
    tracemalloc.start()
    try:
        theirs.hears(bomb)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    assert codes(theirs) == [0x203]
    assert [frame.data["code"] for frame in theirs.tells()] == [0x203]
    assert theirs.session._account.inflated.tokens == RateLimit().inflated_burst
    assert theirs.session._account.unpacked.tokens == RateLimit().unpacked_burst


@pytest.mark.parametrize(
    ("side", "name", "code"),
    [
        (server, "SUBSCRIPTION_ACK", 0x200),
        (client, "SUBSCRIBE", 0x203),
        (client, "UNSUBSCRIBE", 0x203),
    ],
)
def test_messages_of_the_wrong_direction_are_not_inflated(side, name, code):
    theirs = side().starts()
    theirs.hears(deflated(name, b"\xc6" + struct.pack(">I", 15_000) + bytes(14_000)))  # which would not unpack
    assert codes(theirs) == [code]
    assert theirs.session.closing is None


@pytest.mark.parametrize("side", [server, client])
def test_a_second_negotiation_is_not_inflated(side):
    theirs = side().starts()
    theirs.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "versions": [3]}, 1))
    assert theirs.session.negotiated
    theirs.hears(deflated("PROTOCOL_NEGOTIATION", b"\xc1", 2))  # which would not unpack: check 11
    [refused] = theirs.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (0x200, 12)


def test_denied_publishers_are_answered_once_a_second_and_stay_connected():
    theirs = viewer()
    theirs.says()
    frame = oracle.encode_frame(T["ECG_DATA"], {"signal": [1], "sampling_rate": 1})
    for n in range(50):
        theirs.clock.now = n / 10
        theirs.hears(frame)
    told = [frame.data["code"] for frame in theirs.tells()]
    assert told == [0x203] * 5
    assert theirs.session.counters.refused == {0x203: 50}
    assert theirs.session.closing is None
    theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "a"}))
    assert theirs.told(SubscribeRequested)


def test_only_the_denied_frames_of_a_batch_are_refused():
    theirs = viewer()
    theirs.says()
    data = deflated("ECG_DATA", texts(10_000))
    ping = oracle.encode_frame(T["PING"], 7)
    theirs.hears(ping + data + ping + data + ping)
    assert [frame.type for frame in theirs.tells()].count(T["PONG"]) == 3
    assert codes(theirs) == [0x203]


@pytest.mark.parametrize("nbytes", [1000, 200_000])
def test_an_owner_with_threads_refuses_it_without_one(nbytes):
    theirs = viewer()
    theirs.says()
    events = theirs.session.begin_to_receive(oracle.frame(3, T["ECG_DATA"], 0, bytes(nbytes)), 0.0, 100_000)
    assert [int(event.error.code) for event in events] == [0x203]


# --- budgets ---


def test_inflated_bytes_are_bounded():
    theirs = publisher()
    frame = deflated("ECG_DATA", b"\xc6" + struct.pack(">I", 8 * MIB - 5) + bytes(8 * MIB - 5))
    for _ in range(100):
        theirs.hears(frame)
    assert len(theirs.told(Received)) == 3
    assert codes(theirs) == [0x204]
    assert theirs.session.counters.over_budget.keys() <= {"inflated", "unpacked"}
    theirs.clock.now = 1.0
    theirs.hears(frame)
    assert len(theirs.told(Received)) == 4


def test_no_frame_is_inflated_beyond_the_budget():
    theirs = publisher(inflated=1000, inflated_burst=16 * MIB)
    zeros = deflated("ECG_DATA", b"\xc6" + struct.pack(">I", 15 * MIB) + bytes(15 * MIB))
    theirs.hears(zeros)
    tracemalloc.start()
    try:
        theirs.hears(zeros)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert codes(theirs) == [0x204]


HOSTILE = {
    "texts": texts(5_592_000),
    "maps": b"\xdd" + struct.pack(">I", 2**20 - 1) + b"\x80" * (2**20 - 1),
    "nested lists": b"\xdd" + struct.pack(">I", 50_000) + (b"\x91" * 20 + b"\x90") * 50_000,
    "dates": b"\xdd" + struct.pack(">I", 400_000) + oracle.pack({"__datetime__": "2024-01-15T10:30:45"}) * 400_000,
    "UUIDs": b"\xdd" + struct.pack(">I", 300_000) + oracle.pack({"__uuid__": "0" * 32}) * 300_000,
    "ndarrays": b"\xdd" + struct.pack(">I", 300_000) + oracle.pack(np.zeros(1, "u1"), "binary") * 300_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_payloads_that_would_take_too_much_memory_are_refused_first(kind):
    theirs = publisher()
    frame = deflated("ECG_DATA", HOSTILE[kind])
    tracemalloc.start()
    try:
        theirs.hears(frame)
        assert tracemalloc.get_traced_memory()[1] < 40 * MIB  # which inflating takes
    finally:
        tracemalloc.stop()
    assert codes(theirs) == [0x204]
    assert "unpacked of the rate limit" in str(theirs.told(FrameRefused)[0].error)


@pytest.mark.slow
def test_the_largest_arrays_and_lists_of_many_floats_pass():
    theirs = publisher()
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": np.zeros(2**21 - 100)}, 3, ndarray="binary"))
    theirs.clock.now = 10.0
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": [0.5] * 900_000}, 3, compression=False))
    assert len(theirs.told(Received)) == 2


def test_time_is_charged():
    theirs = publisher(seconds=0.1, seconds_burst=1.0)
    ping = oracle.encode_frame(T["PING"], None)
    theirs.session.charge_time(1.5, 0.0)
    theirs.hears(ping)
    assert codes(theirs) == [0x204]
    assert theirs.session.counters.over_budget == {"seconds": 1}
    theirs.clock.now = 6.0
    theirs.hears(ping)
    assert [frame.type for frame in theirs.tells()][-1] == T["PONG"]


def test_answers_are_charged():
    theirs = publisher(nbytes=1000, nbytes_burst=20 * MIB)
    before = theirs.session._account.nbytes.tokens
    ping = oracle.encode_frame(T["PING"], "x" * 1000, compression=False)
    theirs.hears(ping)
    [pong] = theirs.says()
    assert before - theirs.session._account.nbytes.tokens == len(ping) + len(pong)


def test_a_pause_for_who_sends_too_much():
    theirs = publisher(frames=10, frames_burst=5)
    ping = oracle.encode_frame(T["PING"], None)
    theirs.hears(*[ping] * 5)
    assert theirs.session.take_pause() == 0
    theirs.hears(ping)
    assert 0 < theirs.session.take_pause() <= 0.1
    assert theirs.session.take_pause() == 0


# --- all peers together ---

WHOLE = RateLimit(
    frames=100,
    frames_burst=200,
    nbytes=1e9,
    nbytes_burst=10**9,
    inflated=10_000,
    inflated_burst=20_000,
    unpacked=1e9,
    unpacked_burst=10**9,
    seconds=1e9,
    seconds_burst=1e9,
)


def sessions(count, limit=WHOLE):
    totals = Totals(limit)
    made = []
    for _ in range(count):
        session = ServerSession(Settings(rate_limit=RateLimit()), iter(range(10**15, 10**16)).__next__, totals=totals)
        session.start(0.0)
        made.append(session)
    return totals, made


def received(session):
    return session.counters.received[T["PING"]]


def test_all_connections_together_stay_within_the_total():
    _, some = sessions(10)
    ping = oracle.encode_frame(T["PING"], None)
    for now in range(20):
        for session in some:
            for _ in range(100):
                session.receive(ping, now / 2)
                while session.next_message(now / 2):
                    pass
    total = sum(map(received, some))
    assert total <= 200 + 2 * 100 * 10 + 100
    assert total >= 100 * 9
    assert all(session.closing is None for session in some)  # it is no fault of theirs


@pytest.mark.slow
def test_small_users_are_served_while_others_use_up_the_total():
    _, [quiet, *greedy] = sessions(10)
    ping = oracle.encode_frame(T["PING"], None)
    for tenth in range(100):
        for session in greedy:
            for _ in range(50):
                session.receive(ping, tenth / 10)
                while session.next_message(tenth / 10):
                    pass
        if tenth % 5 == 0:
            quiet.receive(ping, tenth / 10)
    assert received(quiet) == 20
    assert quiet.counters.refused == {}


def test_a_new_sender_has_only_its_share_of_an_exhausted_total():
    totals, [first, *others] = sessions(10)
    totals.inflated.tokens = 0.0
    for session in others:
        account = session._account
        assert isinstance(account, Account)
        assert account.room_of("inflated") == 1000
    first.receive(deflated("ECG_DATA", oracle.pack(bytes(900))), 0.0)
    assert first.counters.received[T["ECG_DATA"]] == 1
    first.receive(deflated("ECG_DATA", oracle.pack(bytes(900))), 0.0)
    assert first.counters.over_budget == {"inflated": 1}


def test_the_share_of_a_closed_connection_goes_to_the_others():
    totals, some = sessions(4)
    assert totals.peers == 4
    some[0].lost()
    some[0].lost()
    assert totals.peers == 3


# --- names ---


@pytest.mark.parametrize("name", ["SUBSCRIBE", "UNSUBSCRIBE"])
@pytest.mark.parametrize("length", [257, 15_000])
def test_long_names_are_denied_at_once(name, length):
    theirs = server().starts()
    theirs.says()
    events = theirs.hears(oracle.encode_frame(T[name], {"stream": "x" * length}))
    assert not [event for event in events if hasattr(event, "stream")]
    [answer] = theirs.tells()
    assert answer.data == {"stream": "x" * 256, "status": "denied", "code": 0x200}


def test_names_may_be_longer_where_the_server_says_so():
    theirs = server()
    theirs.session._stream_name = 1000
    theirs.starts().hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "x" * 1000}))
    assert theirs.told(SubscribeRequested)


@pytest.mark.parametrize("name", sorted(CONTROL))
def test_control_messages_are_small(name):
    theirs = server().starts()
    theirs.says()
    if name == "SUBSCRIPTION_ACK":
        return
    theirs.hears(deflated(name, oracle.pack({"stream": "x" * (15 * MIB)})))
    assert codes(theirs) == [0x102]
    theirs.hears(oracle.frame(3, T[name], 0, bytes(MAX_CONTROL_PAYLOAD + 1)))
    assert codes(theirs) == [0x102, 0x102]
    assert theirs.session.closing is None


# --- answers ---


@st.composite
def questions(draw):
    """Control messages of every type, version and form; small ones that say much among them."""
    name = draw(st.sampled_from(sorted(CONTROL)))
    long = st.sampled_from(["x", "\U0001f493", "é", "\x00", "\\"]).flatmap(
        lambda letter: st.sampled_from([1, 256, 257, 3000]).map(lambda n: letter * n)
    )
    anything = st.one_of(
        CONTROL[name],
        st.fixed_dictionaries({"stream": long}),
        st.fixed_dictionaries({"stream": long, "since": st.sampled_from([0, 1.5, -1, NAN, INF])}),
        st.fixed_dictionaries({"version": st.integers(-(2**63), 2**64 - 1)}),
        st.fixed_dictionaries({"code": st.just(1), "message": long, "details": nests(leaves)}),
        st.fixed_dictionaries({"versions": long, "capabilities": long}),
        st.dictionaries(long, long, max_size=2),
        long,
        st.integers(0, 16_000).map(bytes),
        st.sampled_from(["b1", "u1", "i2", "f2", "f4", "f8"]).flatmap(
            lambda dtype: st.integers(0, 5000).map(lambda n: np.full(n, 200).astype(dtype))
        ),
        st.integers(0, 10**8).map(lambda rows: {"__ndarray__": b"", "dtype": "f8", "shape": [rows, 0]}),
        nests(leaves),
    )
    payload = oracle.pack(draw(anything), draw(st.sampled_from(["list", "binary"])))
    version = draw(st.integers(1, 3))
    flags = sum(draw(st.sets(st.sampled_from(FLAGS)))) if version == 3 else 0
    if version > 1 and draw(st.booleans()):
        return oracle.frame(version, T[name], flags | oracle.COMPRESSED, zlib.compress(payload, 9), 5)
    return oracle.frame(version, T[name], flags, payload, 5)


@given(questions(), st.integers(0, 3))
def test_no_answer_is_much_larger_than_its_question(question, agreed):
    theirs = server().starts()
    if agreed:
        capabilities = ["compression", "timestamps", "priority", "broadcast", "ack", "ndarray-bin", "batch"]
        theirs.hears(
            oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": agreed, "capabilities": capabilities}, 1)
        )
    theirs.says()
    for event in theirs.hears(question):
        if hasattr(event, "stream"):  # as the handler answers, with all that an answer may hold
            theirs.session.answer_subscription(event.stream, "unsubscribed", code=0x204, start=2**62)
    assert sum(map(len, theirs.says())) <= 4 * len(question) + 1024
    assert (ECHO_GROWTH, SMALL_ECHO) == (4, 1024)


@pytest.mark.parametrize("count", [10, 1000])
def test_pings_in_one_message_are_answered_for_themselves(count):
    theirs = server().starts()
    theirs.says()
    frame = deflated("PING", oracle.pack("x" * 5000), 2)
    theirs.hears(frame * count)
    assert sum(map(len, theirs.says())) <= count * (4 * len(frame) + 1024)


# --- numbers ---


@pytest.mark.parametrize("field", ["from", "to", "dropped"])
@pytest.mark.parametrize("number", [NAN, INF, -INF, -3, -0.5, 1e300, 2**64 - 1, "1", None, True, np.zeros(2)], ids=str)
def test_drop_notices_that_cannot_be(field, number):
    ours = client().starts()
    notice = {"stream": "e", "from": 1.0, "to": 2.0, "dropped": 1} | {field: number}
    wrong = oracle.encode_frame(T["ERROR"], {"code": 0x204, "message": "x", "details": notice})
    data = oracle.encode_frame(T["ECG_DATA"], {"signal": [1], "sampling_rate": 1})
    ours.hears(wrong + data)
    [refused] = ours.told(FrameRefused)
    assert (refused.error.code, refused.error.path) == (0x200, f'data["details"]["{field}"]')
    assert not ours.told(ErrorReceived)
    assert len(ours.told(Received)) == 1  # what is behind it counts


def test_details_of_other_kinds_may_hold_anything():
    ours = client().starts()
    for details in (None, 7, [NAN], {"from": "bed 7"}, {"to": NAN}):
        ours.hears(oracle.encode_frame(T["ERROR"], {"code": 0x200, "message": "x", "details": details}))
    assert len(ours.told(ErrorReceived)) == 5


@pytest.mark.parametrize("side", [server, client])
@pytest.mark.parametrize("field", ["ack", "ping", "sent"])
@pytest.mark.parametrize("value", [np.zeros(2), np.zeros(0), np.zeros((), "i8"), [], {}, "1", b"1", True], ids=repr)
def test_answers_to_a_ping_may_hold_anything(side, field, value):
    one = side().starts()
    one.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"versions": [3], "version": 3, "capabilities": []}, 1))
    one.session.ping(0.0)
    data = {"signal": np.random.default_rng(1).normal(size=5000), "sampling_rate": 1}
    for _ in range(3):
        one.session.send(MessageType.ECG_DATA, data)
    one.says()  # with a PING, which asks how far that is
    assert one.session._window.probe is not None
    ping = oracle.encode_frame(T["PING"], 7)
    one.hears(oracle.encode_frame(T["PONG"], {field: value}) + ping)
    assert not one.told(FrameRefused)
    assert [frame.type for frame in one.tells()] == [T["PONG"]]


@given(st.sampled_from([server, client]), st.data())
def test_numbers_never_raise(side, data):
    numbers = st.one_of(st.floats(), st.integers(-(2**63), 2**64 - 1), st.datetimes())
    name, body = data.draw(
        st.sampled_from(
            [
                ("SUBSCRIBE", {"stream": "a", "since": ...}),
                ("SUBSCRIPTION_ACK", {"stream": "a", "status": "subscribed", "from": ..., "code": ...}),
                ("ERROR", {"code": 0x204, "message": "", "details": {"from": ..., "to": ..., "dropped": ...}}),
                (
                    "PROTOCOL_NEGOTIATION",
                    {"versions": [3], "version": 3, "max_payload": ..., "heartbeat_interval": ...},
                ),
                ("PONG", {"ack": ..., "ping": ..., "sent": ...}),
                ("VERSION_CHECK", {"version": ..., "versions": [...]}),
            ]
        )
    )

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        return data.draw(numbers) if value is ... else [data.draw(numbers)] if value == [...] else value

    one = side().starts()
    one.hears(oracle.encode_frame(T[name], filled(body), 3, timestamp=data.draw(st.integers(0, 2**64 - 1))))
    one.session.ping(0.0)
    one.waits(50)

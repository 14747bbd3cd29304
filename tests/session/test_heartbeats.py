"""Heartbeats, dead peers, and what PING and PONG tell."""

import numpy as np
import oracle
import pytest
from session.conversation import EPOCH, Conversation, client, server

from ecgframe import MessageType
from ecgframe.protocol import CloseCode
from ecgframe.session import Negotiated, Received, RoundTrip

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
NEGOTIATION = T["PROTOCOL_NEGOTIATION"]


def types(messages):
    return [oracle.decode_frame(message).type for message in messages]


def spoken_to(side):
    """Version 3, and both know it."""
    side.starts().says()
    side.hears(oracle.encode_frame(NEGOTIATION, {"version": 3, "versions": [3]}, 1))
    side.says()
    return side


# --- heartbeats ---


def test_a_heartbeat_goes_out_when_nothing_else_was_sent_for_the_interval():
    theirs = spoken_to(server(heartbeat_interval=10.0))
    assert theirs.session.deadline() == 10.0
    assert theirs.waits(9.99) == []
    [message] = theirs.waits(0.01)
    frame = oracle.decode_frame(message)
    assert (frame.type, frame.version, frame.data) == (T["HEARTBEAT"], 3, None)


def test_any_sent_message_postpones_the_heartbeat():
    theirs = spoken_to(server(heartbeat_interval=10.0))
    for _ in range(5):
        theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None))
        assert theirs.waits(9) == []
        theirs.session.send(MessageType.FEATURE_DATA, {"features": {}})
        assert types(theirs.says()) == [T["FEATURE_DATA"]]


def test_no_heartbeat_is_sent_while_messages_wait():
    theirs = spoken_to(server(heartbeat_interval=10.0))
    theirs.session.send(MessageType.FEATURE_DATA, {"features": {}})
    theirs.clock.now = 15.0
    assert theirs.ticks() == []
    assert types(theirs.says()) == [T["FEATURE_DATA"]]


def test_a_tick_too_early_or_too_often_does_no_harm():
    theirs = spoken_to(server(heartbeat_interval=10.0))
    for now in (0.0, 5.0, 9.0, 10.0, 10.0, 10.0):
        theirs.clock.now = now
        assert theirs.ticks() == []
    assert types(theirs.says()) == [T["HEARTBEAT"]]


def test_the_client_keeps_to_the_interval_of_the_server():
    ours = client(heartbeat_interval=100.0).starts()
    ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [3], "heartbeat_interval": 2}, 1))
    ours.says()
    assert types(ours.waits(2)) == [T["HEARTBEAT"]]


@pytest.mark.parametrize(
    ("announced", "expected"), [(1e-300, 0.05), (5e-324, 0.05), (0.01, 0.05), (86_401, 86_400.0), (1e9, 86_400.0)]
)
def test_intervals_that_make_no_sense(announced, expected):
    ours = client().starts()
    ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [3], "heartbeat_interval": announced}, 1))
    ours.says()
    assert ours.session.deadline() == expected


@pytest.mark.parametrize("announced", [1e308, 2**64 - 1, 1.1e9])
def test_intervals_beyond_all_bounds(announced):
    ours = client().starts()
    [refused] = ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [3], "heartbeat_interval": announced}, 1))
    assert (refused.error.code, refused.error.path) == (0x200, 'data["heartbeat_interval"]')
    assert not ours.session.negotiated


def test_two_sides_keep_each_other_awake():
    talk = Conversation({"heartbeat_interval": 5.0}, {"heartbeat_interval": 1000.0})
    talk.wait(10_000)
    assert talk.server.session.closing is talk.client.session.closing is None
    for side in (talk.server, talk.client):
        assert 1900 < side.session.counters.sent[T["HEARTBEAT"]] < 2100


# --- dead peers ---


@pytest.mark.parametrize("side", [server, client])
def test_three_intervals_of_silence_are_a_dead_peer(side):
    one = spoken_to(side(heartbeat_interval=10.0))
    one.waits(29.9)
    assert one.session.closing is None
    one.session.send(MessageType.ANOMALY_ALERT, {"kind": "asystole"})
    one.clock.now = 30.0
    assert one.ticks() == []
    assert one.session.closing == (CloseCode.INTERNAL, "nothing received for 30 s")
    assert one.says() == []
    assert one.session.deadline() is None


def test_a_peer_that_never_said_anything_is_dead_as_well():
    theirs = server(heartbeat_interval=10.0).starts()
    theirs.waits(30)
    assert theirs.session.closing.code is CloseCode.INTERNAL


@pytest.mark.parametrize(
    "sign",
    [oracle.encode_frame(T["HEARTBEAT"], {"anything": 1}), oracle.frame(1, T["PING"], 0, b"\xc3", checksum=0), b""],
)
def test_any_received_message_is_a_sign_of_life(sign):
    theirs = spoken_to(server(heartbeat_interval=10.0))
    theirs.waits(29)
    theirs.hears(sign)
    theirs.waits(29)
    assert not theirs.session.closing or theirs.session.closing.code != CloseCode.INTERNAL


def test_an_owner_that_did_not_read_says_so():
    theirs = spoken_to(server(heartbeat_interval=10.0))
    theirs.clock.now = 1000.0
    theirs.session.heard(1000.0)
    theirs.session.heard(900.0)
    theirs.ticks()
    assert theirs.session.closing is None
    theirs.waits(30)
    assert theirs.session.closing.code is CloseCode.INTERNAL


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_silent_peer_is_asked_before_it_is_given_up(version):
    """An old viewer may have nothing to say, but it answers a PING, which every version has."""
    theirs = server(heartbeat_interval=10.0).starts()
    theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "a"}, version))
    theirs.says()
    for _ in range(20):
        sent = [oracle.decode_frame(message) for message in theirs.waits(20)]
        assert [frame.data for frame in sent if frame.type == T["PING"]] == [None]
        theirs.hears(oracle.encode_frame(T["PONG"], None, version))
    assert theirs.session.closing is None
    assert types(theirs.waits(30)) == [T["HEARTBEAT"], T["PING"]]
    assert theirs.session.closing.code is CloseCode.INTERNAL


# --- ping and pong ---


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        7,
        "text",
        [1, [2.5, None, {"a": True}]],
        {"ack": 5},
        {"ping": 5, 7: b"\x00\x01"},
        np.arange(6, dtype="int16").reshape(2, 3),
        {"array": np.array([0.5, np.nan])},
        "x" * 1000,
        np.random.default_rng(1).bytes(16_000),
    ],
    ids=lambda data: str(data)[:20],
)
def test_a_ping_is_answered_with_the_same_payload(version, data):
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["PING"], data, version))
    [pong] = theirs.tells()
    assert (pong.type, pong.version) == (T["PONG"], version)
    assert oracle.same(pong.data, oracle.unpack(oracle.pack(data)))


def test_an_empty_ping():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.frame(1, T["PING"], 0, b""))
    assert [(frame.type, frame.data) for frame in theirs.tells()] == [(T["PONG"], None)]


def test_a_pong_is_not_answered():
    theirs = spoken_to(server())
    theirs.hears(oracle.encode_frame(T["PONG"], {"ping": 5}), oracle.encode_frame(T["PONG"], [1]))
    assert theirs.says() == []
    assert theirs.told(RoundTrip) == []


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_round_trip(version):
    theirs = server().starts()
    theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, version))
    theirs.says()
    theirs.session.ping(theirs.clock.now)
    [ping] = theirs.tells()
    theirs.clock.now = 0.25
    theirs.hears(oracle.encode_frame(T["PONG"], ping.data, version, timestamp=EPOCH + 3_125_000))
    [trip] = theirs.told(RoundTrip)
    assert trip.seconds == 0.25
    assert trip.offset == (pytest.approx(3.0, abs=1e-5) if version == 3 else None)


@pytest.mark.parametrize("ahead", [0.0, 3.5, -1000.0])
def test_how_far_the_other_clock_is_ahead(ahead):
    talk = Conversation(ahead=ahead)
    for side, expected in ((talk.server, ahead), (talk.client, -ahead)):
        side.session.ping(talk.clock.now)
        talk.talk()
        [trip] = side.told(RoundTrip)
        assert trip.seconds == 0
        assert trip.offset == pytest.approx(expected, abs=1e-4)


def test_an_old_pong_counts_no_more():
    theirs = spoken_to(server())
    theirs.session.ping(0.0)
    theirs.session.ping(0.0)
    first, second = theirs.tells()
    for frame in (first, second, second):
        theirs.hears(oracle.encode_frame(T["PONG"], frame.data))
    assert len(theirs.told(RoundTrip)) == 1


def test_a_peer_whose_numbers_are_all_floats():
    """As JavaScript packers may write them."""
    theirs = spoken_to(server())
    theirs.session.ping(0.0)
    [ping] = theirs.tells()
    theirs.hears(oracle.encode_frame(T["PONG"], {"ping": float(ping.data["ping"])}))
    assert len(theirs.told(RoundTrip)) == 1


@pytest.mark.parametrize("echo", [None, True, "5", [5], {}, 2**64 - 1, np.arange(3), np.array(5)], ids=str)
def test_pongs_that_make_no_sense(echo):
    theirs = spoken_to(server())
    theirs.session.ping(0.0)
    theirs.says()
    theirs.hears(oracle.encode_frame(T["PONG"], {"ping": echo}), oracle.encode_frame(T["PONG"], {"ack": echo}))
    assert theirs.events == [theirs.events[0]]
    assert isinstance(theirs.events[0], Negotiated)


def test_a_clock_that_stands_at_the_end_of_time():
    theirs = spoken_to(server())
    theirs.session.ping(0.0)
    [ping] = theirs.tells()
    theirs.hears(oracle.encode_frame(T["PONG"], ping.data, timestamp=2**64 - 1))
    [trip] = theirs.told(RoundTrip)
    assert trip.offset is None


def test_a_clock_of_another_century():
    """A device without a battery begins in 1970; that is no reason not to tell how far it is off."""
    theirs = spoken_to(server())
    theirs.session.ping(0.0)
    [ping] = theirs.tells()
    theirs.hears(oracle.encode_frame(T["PONG"], ping.data, timestamp=1))
    [trip] = theirs.told(RoundTrip)
    assert trip.offset == pytest.approx(-EPOCH / 1e6, rel=1e-3)


@pytest.mark.parametrize("echo", [float("nan"), float("-inf"), -1, 1e300])
@pytest.mark.parametrize("field", ["ping", "ack", "sent"])
def test_pongs_of_numbers_that_cannot_be(field, echo):
    theirs = spoken_to(server())
    [refused] = theirs.hears(oracle.encode_frame(T["PONG"], {field: echo}))
    assert (refused.error.code, refused.error.path) == (0x200, f'data["{field}"]')


def test_data_is_handed_on_meanwhile():
    theirs = spoken_to(server())
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": [1]}))
    assert [event.message.data for event in theirs.told(Received)] == [{"signal": [1]}]

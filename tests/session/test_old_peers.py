"""Peers that never negotiate: served in the version that they speak, and sent only what that version defines."""

import numpy as np
import oracle
import pytest
from session.conversation import Conversation, client, server

from ecgframe import Flag, MessageType
from ecgframe.protocol import Capability
from ecgframe.session import (
    Acknowledged,
    Negotiated,
    Received,
    SubscribeRequested,
    SubscriptionAnswered,
    UnsubscribeRequested,
)

T = oracle.TYPES
ALL_FLAGS = Flag.PRIORITY | Flag.BROADCAST | Flag.ACK_REQUIRED
DEFINED_FLAGS = {
    1: 0,
    2: oracle.COMPRESSED,
    3: oracle.COMPRESSED | oracle.PRIORITY | oracle.BROADCAST | oracle.ACK_REQUIRED,
}
IMPLIED = {
    1: set(),
    2: {"compression"},
    3: {"compression", "timestamps", "priority", "broadcast", "ack"},
}


def has_binary_arrays(value):
    return any(isinstance(item, bytes) for item in value.values())


def holds_only_what_is_defined(message, version):
    """Return True if this is one frame of the version, with flags of the version and arrays in list form."""
    seen, size = oracle.first_frame(message, oracle.MAX_PAYLOAD, alone=True)
    payload = oracle.split(message)[4]
    inflated = oracle.inflate(payload) if seen.flags & oracle.COMPRESSED else payload
    return (
        size == len(message)
        and seen.version == version
        and seen.flags & ~DEFINED_FLAGS[version] == 0
        and not any(tag in inflated for tag in (b"__ndarray__\xc4", b"__ndarray__\xc5", b"__ndarray__\xc6"))
    )


def everything_a_server_says(version):
    """All that a server can be brought to say to a client that knows nothing but its version's frames."""
    theirs = server(queue_frames=10, acknowledgement_attempts=2).starts()
    said = theirs.says()
    theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "ecg/1"}, version))
    theirs.session.answer_subscription("ecg/1", "subscribed", start=1)
    said += theirs.says()
    for n in range(12):  # two too many
        signal = np.arange(2000, dtype="float32").reshape(2, -1) + n
        theirs.session.send(MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250}, stream="ecg/1")
    said += theirs.says()
    theirs.session.send(MessageType.ANOMALY_ALERT, {"kind": "asystole"}, flags=ALL_FLAGS)
    theirs.session.send(MessageType.PREDICTION_RESULT, {"label": "x" * 3000}, flags=ALL_FLAGS)
    theirs.session.ping(theirs.clock.now)
    theirs.session.check_version(2)
    theirs.hears(oracle.encode_frame(T["PING"], {"array": np.arange(3)}, version))
    theirs.hears(oracle.encode_frame(T["VERSION_CHECK"], {"version": 1}, version))
    theirs.hears(oracle.frame(version, T["PING"], 0, b"\xc3", checksum=0))
    said += theirs.says()
    said += theirs.waits(40)
    theirs.session.end()
    return said + theirs.says()


# --- servers and old clients ---


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_client_that_just_starts_talking(version):
    theirs = server().starts()
    theirs.says()
    events = theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "ecg/1"}, version))
    assert events == [
        Negotiated(version, frozenset(IMPLIED[version]), negotiated=False),
        SubscribeRequested("ecg/1", None),
    ]
    theirs.session.answer_subscription("ecg/1", "subscribed")
    [ack] = theirs.tells()
    assert (ack.version, ack.type, ack.flags) == (version, T["SUBSCRIPTION_ACK"], 0)
    assert ack.data == {"stream": "ecg/1", "status": "subscribed"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_no_byte_that_the_version_does_not_define(version):
    said = everything_a_server_says(version)
    negotiation, *others = said
    assert holds_only_what_is_defined(negotiation, 1)
    for message in others:
        assert holds_only_what_is_defined(message, version), message
    types = {oracle.decode_frame(message).type for message in said}
    assert types == set(T.values()) - {T["SUBSCRIBE"], T["UNSUBSCRIBE"], T["FEATURE_DATA"]}


def test_only_version_1_goes_uncompressed():
    compressed = {
        version: any(
            oracle.decode_frame(message).flags & oracle.COMPRESSED for message in everything_a_server_says(version)
        )
        for version in (1, 2, 3)
    }
    assert compressed == {1: False, 2: True, 3: True}


def test_the_first_good_frame_decides():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.frame(3, T["PING"], 0, b"\xc3", checksum=0))
    assert not theirs.session.established
    assert theirs.tells()[0].version == 1
    theirs.hears(oracle.encode_frame(T["PING"], None, 2))
    theirs.hears(oracle.encode_frame(T["PING"], None, 3))
    assert theirs.session.version == 2
    assert [frame.version for frame in theirs.tells()] == [2, 2]


def test_an_old_client_cannot_have_what_the_server_does_not_have():
    theirs = server(capabilities=frozenset({Capability.PRIORITY})).starts()
    theirs.hears(oracle.encode_frame(T["PING"], None, 3))
    assert theirs.session.capabilities == {"priority"}


def test_flags_that_version_1_lacks_are_ignored():
    theirs = server().starts()
    theirs.says()
    events = theirs.hears(oracle.frame(1, T["ECG_DATA"], oracle.ACK_REQUIRED | oracle.PRIORITY, b"\x80"))
    [message] = [event.message for event in events if isinstance(event, Received)]
    theirs.session.acknowledge(message)
    assert theirs.says() == []


def test_a_version_3_client_that_does_not_negotiate_has_its_messages_acknowledged():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, 12345))
    [received] = theirs.told(Received)
    theirs.session.acknowledge(received.message)
    [pong] = theirs.tells()
    assert (pong.version, pong.type, pong.data) == (3, T["PONG"], {"ack": 12345, "type": 1})


# --- clients and old servers ---


def test_a_server_that_says_nothing_is_taken_for_version_1():
    ours = client(negotiation_timeout=5.0).starts()
    assert ours.waits(4.9) == []
    assert not ours.session.established
    ours.waits(0.1)
    assert ours.told(Negotiated) == [Negotiated(1, frozenset(), negotiated=False)]


def test_a_client_of_higher_versions_takes_the_lowest_that_it_speaks():
    ours = client(versions=(2, 3)).starts()
    ours.waits(5)
    assert ours.told(Negotiated) == [Negotiated(2, frozenset({Capability.COMPRESSION}), negotiated=False)]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_server_that_just_starts_talking(version):
    ours = client().starts()
    ours.hears(oracle.encode_frame(T["HEARTBEAT"], {"timestamp": 1.0}, version))
    assert ours.told(Negotiated) == [Negotiated(version, frozenset(IMPLIED[version]), negotiated=False)]
    ours.session.subscribe("ecg/1", since=1)
    ours.session.unsubscribe("ecg/1")
    ours.session.send(MessageType.ECG_DATA, {"signal": np.arange(3)}, flags=ALL_FLAGS)
    ours.session.ping(0.0)
    assert all(holds_only_what_is_defined(message, version) for message in ours.says())


def test_an_offer_that_comes_late_is_taken():
    ours = client().starts()
    ours.waits(10)
    theirs = server().starts()
    ours.hears(*theirs.says())
    theirs.hears(*ours.says())
    assert theirs.session.version == ours.session.version == 4
    assert [event.negotiated for event in ours.told(Negotiated)] == [False, True]


def test_a_whole_conversation_in_version_1():
    """A server of ours and a client of ours that speaks only version 1."""
    talk = Conversation({}, {"versions": (1,), "capabilities": frozenset()})
    talk.client.session.subscribe("ecg/1")
    talk.talk()
    talk.server.session.answer_subscription("ecg/1", "subscribed")
    talk.server.session.send(MessageType.ECG_DATA, {"signal": np.arange(3)}, flags=ALL_FLAGS)
    talk.client.session.unsubscribe("ecg/1")
    talk.talk()
    assert talk.client.told(SubscriptionAnswered) == [SubscriptionAnswered("ecg/1", "subscribed", None, None, None)]
    [received] = talk.client.told(Received)
    assert (received.message.version, received.message.flags, received.message.timestamp) == (1, 0, None)
    assert talk.server.told(UnsubscribeRequested) == [UnsubscribeRequested("ecg/1")]
    talk.client.session.acknowledge(received.message)
    talk.wait(100)
    assert talk.server.told(Acknowledged) == []
    assert talk.server.session.closing is talk.client.session.closing is None

"""The opening: the server offers, the client chooses. Both sides byte for byte, and all that can go wrong."""

import oracle
import pytest
from session.conversation import EPOCH, Conversation, client, server

from ecgframe import Flag, MessageType
from ecgframe.protocol import VERSIONS, Capability, CloseCode
from ecgframe.session import ErrorReceived, FrameRefused, Negotiated, Received, VersionChecked
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

NEGOTIATION = oracle.TYPES["PROTOCOL_NEGOTIATION"]
PING = oracle.encode_frame(oracle.TYPES["PING"], None, 1)
SMALL = frozenset({Capability.COMPRESSION, Capability.BATCH})


def said_by_server(**settings):
    [message] = server(**settings).starts().says()
    return message


def answer(version=3, capabilities=(), **more):
    return oracle.encode_frame(NEGOTIATION, {"version": version, "capabilities": list(capabilities)} | more, 1)


# --- byte for byte ---


def test_the_server_speaks_first_in_version_1():
    offer = {
        "versions": [1, 2, 3, 4],
        "preferred": 4,
        "capabilities": ["batch", "compression"],
        "max_payload": 16 * 1024 * 1024,
        "heartbeat_interval": 15.0,
    }
    assert said_by_server(capabilities=SMALL) == oracle.encode_frame(NEGOTIATION, offer, version=1)


def test_the_client_waits_for_the_server():
    ours = client().starts()
    assert ours.says() == []
    assert not ours.session.established


def test_the_client_answers_in_version_1():
    ours = client(capabilities=SMALL).starts()
    [event] = ours.hears(said_by_server())
    assert event == Negotiated(4, SMALL, negotiated=True)
    assert ours.says() == [answer(4, ["batch", "compression"], max_payload=16 * 1024 * 1024)]


def test_the_client_answers_a_server_of_versions_1_to_3_as_before():
    ours = client(capabilities=SMALL).starts()
    [event] = ours.hears(said_by_server(versions=(1, 2, 3)))
    assert event == Negotiated(3, SMALL, negotiated=True)
    assert ours.says() == [answer(3, ["batch", "compression"])]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_send_in_the_chosen_version_after_the_negotiation(version):
    talk = Conversation({}, {"versions": VERSIONS[:version]})
    talk.server.session.send(MessageType.FEATURE_DATA, {"features": {}})
    talk.client.session.send(MessageType.FEATURE_DATA, {"features": {}})
    for side in (talk.server, talk.client):
        [frame] = side.tells()
        assert (frame.version, frame.data) == (version, {"features": {}})
        assert version < 3 or frame.timestamp >= EPOCH


def test_the_client_changes_its_version_before_the_server():
    """The client changes with its answer, the server when it hears that; what it says before is in version 1."""
    theirs, ours = server().starts(), client().starts()
    ours.hears(*theirs.says())
    theirs.session.send(MessageType.ANOMALY_ALERT, {"kind": "asystole"})
    ours.session.send(MessageType.FEATURE_DATA, {"features": {}})
    assert [frame.version for frame in theirs.tells()] == [1]
    assert [(frame.type, frame.version) for frame in ours.tells()] == [(NEGOTIATION, 1), (MessageType.FEATURE_DATA, 4)]


def test_no_frame_is_sent_before_the_offer_and_before_the_answer():
    theirs, ours = server().starts(), client().starts()
    theirs.session.send(MessageType.ANOMALY_ALERT, {"kind": "asystole"}, flags=Flag.PRIORITY)
    said = theirs.says()
    assert oracle.decode_frame(said[0]).type == NEGOTIATION
    ours.hears(said[0])
    ours.session.send(MessageType.ANOMALY_ALERT, {"kind": "asystole"}, flags=Flag.PRIORITY)
    assert ours.tells()[0].type == NEGOTIATION


# --- versions ---


@pytest.mark.parametrize("theirs", [(1,), (1, 2), (1, 2, 3), (2, 3), (3,), (1, 2, 3, 4), (3, 4), (4,)])
@pytest.mark.parametrize("ours", [(1,), (1, 2), (3, 2, 1), (2, 3), (3,), (4, 3, 2, 1), (2, 4), (4,)])
def test_the_highest_version_that_both_know(theirs, ours):
    talk = Conversation({"versions": theirs}, {"versions": ours})
    common = set(theirs) & set(ours)
    if common:
        assert talk.server.session.version == talk.client.session.version == max(common)
        assert talk.server.session.negotiated
        assert talk.client.session.negotiated
        assert talk.server.session.capabilities == talk.client.session.capabilities
    else:
        assert talk.client.session.closing.code is CloseCode.PROTOCOL_ERROR
        assert [(event.code, "versions" in event.message) for event in talk.server.told(ErrorReceived)] == [
            (0x100, True)
        ]


@pytest.mark.parametrize("version", [0, 1, 4, -1, 2**64 - 1, -(2**63)])
def test_a_version_that_was_not_offered(version):
    theirs = server(versions=(2, 3)).starts()
    theirs.says()
    [refused] = theirs.hears(answer(version))
    assert (refused.error.code, refused.error.check) == (0x100, 2)
    [error] = theirs.tells()
    assert (error.version, error.type, error.data["code"]) == (1, oracle.TYPES["ERROR"], 0x100)
    assert theirs.session.closing.code == 1002
    assert not theirs.session.established


def test_an_offer_without_a_version_that_the_client_knows():
    ours = client(versions=(1, 2)).starts()
    ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [7, 3]}, 1))
    [error] = ours.tells()
    assert error.data["code"] == 0x100
    assert ours.session.closing.code == 1002


@pytest.mark.parametrize(
    ("side", "said", "code"),
    [
        (server, {"versions": [1, 2, 3]}, 0x200),
        (client, {"version": 3}, 0x200),
        (server, {"version": "3"}, 0x200),
        (server, {"version": True}, 0x200),
        (server, {"version": 3.0}, 0x200),
        (server, {"version": 3, "capabilities": "batch"}, 0x200),
        (server, {"version": 3, "capabilities": [1]}, 0x200),
        (server, {}, 0x201),
        (server, None, 0x200),
        (client, {"versions": []}, 0x100),
        (client, {"versions": [3, None]}, 0x200),
        (client, {"versions": [3], "heartbeat_interval": 0}, 0x200),
        (client, {"versions": [3], "heartbeat_interval": float("nan")}, 0x200),
        (client, {"versions": [3], "max_payload": -1}, 0x200),
    ],
)
def test_a_negotiation_that_makes_no_sense(side, said, code):
    one = side().starts()
    one.says()
    [refused] = one.hears(oracle.encode_frame(NEGOTIATION, said, 1))
    assert refused.error.code == code
    assert not one.session.established
    assert bool(one.session.closing) == (code == 0x100)


def test_old_frames_of_what_is_said_before_the_agreement_are_read_by_a_peer_that_speaks_only_new_ones():
    ours = client(versions=(3,)).starts()
    [assumed_nothing] = ours.hears(oracle.encode_frame(oracle.TYPES["ERROR"], {"code": 0x202, "message": "no"}, 1))
    assert assumed_nothing == ErrorReceived(0x202, "no", None)
    assert not ours.session.closing
    ours.hears(said_by_server(versions=(3,)))
    assert ours.session.version == 3


@pytest.mark.parametrize("type", [MessageType.ECG_DATA, MessageType.SUBSCRIBE, MessageType.UNSUBSCRIBE])
def test_a_frame_of_a_version_that_is_not_spoken(type):
    theirs = server(versions=(3,)).starts()
    theirs.says()
    [refused] = theirs.hears(oracle.encode_frame(type, {"stream": "a"}, 1))
    assert (refused.error.code, refused.error.check) == (0x100, 2)
    assert theirs.session.closing.code == 1002


@pytest.mark.parametrize(
    "frame",
    [
        oracle.frame(3, MessageType.ECG_DATA, 0, b"\xc0", checksum=1),
        oracle.frame(3, 0x13, 0, b"\xc0"),
        oracle.frame(3, MessageType.ECG_DATA, 0, b"\xc0")[:3] + bytes([255] * 4) + bytes(12),
        oracle.frame(3, MessageType.ECG_DATA, 0, b"\xc1"),
    ],
    ids=["sum", "type", "length", "payload"],
)
@pytest.mark.parametrize("before", [b"", PING], ids=["alone", "behind another"])
def test_frames_of_other_versions_are_refused_by_their_version_alone(frame, before):
    theirs = server(versions=(1, 2)).starts()
    theirs.says()
    [refused] = theirs.hears(before + frame)[-1:]
    assert (refused.error.code, refused.error.check) == (0x100, 2)
    assert theirs.session.closing.code == 1002


def test_a_negotiation_in_a_version_that_is_not_spoken():
    theirs = server(versions=(1, 2)).starts()
    [refused] = theirs.hears(oracle.encode_frame(NEGOTIATION, {"version": 2}, 3))
    assert refused.error.code == 0x100


# --- capabilities ---


def test_both_must_have_a_capability():
    talk = Conversation(
        {"capabilities": EVERYTHING - {Capability.BATCH}}, {"capabilities": EVERYTHING - {Capability.ACK}}
    )
    assert talk.server.session.capabilities == EVERYTHING - {Capability.BATCH, Capability.ACK}
    assert talk.client.session.capabilities == talk.server.session.capabilities


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, {"ndarray-bin", "batch"}),
        (2, {"ndarray-bin", "batch", "compression"}),
        (3, {"ndarray-bin", "batch", "compression", "timestamps", "priority", "broadcast", "ack"}),
        (4, EVERYTHING | OF_VERSION_4),
    ],
)
def test_capabilities_are_limited_to_those_of_the_version(version, expected):
    talk = Conversation({}, {"versions": (version,)})
    assert talk.server.session.capabilities == talk.client.session.capabilities
    assert talk.server.session.capabilities - {Capability.ZSTD} == expected


def test_unknown_capabilities_count_for_nothing():
    theirs = server().starts()
    [event] = theirs.hears(answer(3, ["telepathy", "batch", "BATCH", "", "encryption"]))
    assert event == Negotiated(3, frozenset({Capability.BATCH}), negotiated=True)


def test_capabilities_may_be_left_out():
    theirs = server().starts()
    [event] = theirs.hears(oracle.encode_frame(NEGOTIATION, {"version": 3}, 1))
    assert event == Negotiated(3, frozenset(), negotiated=True)


def test_flags_that_were_not_agreed_are_left_out():
    theirs = server().starts()
    theirs.says()
    theirs.hears(answer(3, ["priority"]))
    sent = theirs.session.send(MessageType.ECG_DATA, {}, flags=Flag.PRIORITY | Flag.BROADCAST | Flag.ACK_REQUIRED)
    [frame] = theirs.tells()
    assert frame.flags == oracle.PRIORITY
    assert not sent.acknowledged
    assert theirs.loses() == []


def test_arrays_and_compression_as_agreed():
    import numpy as np

    data = {"signal": np.zeros(2000), "sampling_rate": 250}
    sizes = {}
    for names in [(), ("compression",), ("ndarray-bin",), ("ndarray-bin", "compression")]:
        theirs = server().starts()
        theirs.says()
        theirs.hears(answer(3, names))
        theirs.session.send(MessageType.ECG_DATA, data)
        [message] = theirs.says()
        frame = oracle.decode_frame(message)
        assert bool(frame.flags & oracle.COMPRESSED) == ("compression" in names)
        assert np.array_equal(frame.data["signal"], data["signal"])
        sizes[names] = len(message)
    assert sizes["ndarray-bin",] < 16_100
    assert sizes[()] > 18_000


# --- limits that the server announces ---


def test_the_client_sends_no_more_than_the_server_takes():
    from ecgframe import MessageTooLarge

    talk = Conversation({"max_payload": 200})
    talk.client.session.send(MessageType.FEATURE_DATA, {"features": {}})
    with pytest.raises(MessageTooLarge):
        talk.client.session.send(MessageType.FEATURE_DATA, {"features": {}, "more": "x" * 200})
    talk.server.session.send(MessageType.FEATURE_DATA, {"features": {}})
    talk.talk()
    assert len(talk.server.told(Received)) == len(talk.client.told(Received)) == 1


def test_control_messages_pass_whatever_the_server_takes():
    talk = Conversation({"max_payload": 8})
    talk.client.session.subscribe("a stream with a name of more than eight bytes")
    assert talk.client.session.has_waiting


@pytest.mark.parametrize("limit", [0, 1, 2**32, 2**53])
def test_limits_that_make_no_sense(limit):
    ours = client().starts()
    ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [3], "max_payload": limit}, 1))
    assert ours.session.negotiated
    ours.session.subscribe("a")
    assert len(ours.says()) == 2


def test_a_limit_beyond_all_bounds():
    ours = client().starts()
    [refused] = ours.hears(oracle.encode_frame(NEGOTIATION, {"versions": [3], "max_payload": 2**64 - 1}, 1))
    assert (refused.error.code, refused.error.path) == (0x200, 'data["max_payload"]')


# --- again ---


@pytest.mark.parametrize("version", VERSIONS)
def test_an_agreement_does_not_change(version):
    """Frames that wait are encoded already, so a change would have the peer hear what it no longer understands."""
    talk = Conversation()
    talk.server.session.send(MessageType.ECG_DATA, {}, flags=Flag.ACK_REQUIRED)
    [refused] = talk.server.hears(answer(version))
    assert isinstance(refused, FrameRefused)
    assert (refused.error.code, refused.error.check) == (0x200, 12)
    assert talk.server.session.version == 4
    assert talk.server.session.closing is None


def test_an_offer_that_comes_twice():
    talk = Conversation()
    [refused] = talk.client.hears(said_by_server(versions=(1,)))
    assert refused.error.code == 0x200
    assert talk.client.session.version == 4
    assert [frame.type for frame in talk.client.tells()] == [oracle.TYPES["ERROR"]]


def test_a_client_that_talked_before_it_answered():
    theirs = server().starts()
    assert [event.negotiated for event in theirs.hears(oracle.encode_frame(oracle.TYPES["PING"], None, 1))] == [False]
    assert theirs.hears(answer(3, ["ack"])) == [Negotiated(3, frozenset({Capability.ACK}), negotiated=True)]


# --- version check ---


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4, 2**64 - 1, -(2**63)])
def test_a_version_check_is_answered_at_any_time(version):
    theirs = server(versions=(2, 3)).starts()
    theirs.says()
    for spoken in (1, 3):
        theirs.hears(oracle.encode_frame(oracle.TYPES["VERSION_CHECK"], {"version": version}, spoken))
        [frame] = theirs.tells()
        assert frame.type == oracle.TYPES["VERSION_CHECK"]
        assert frame.data == {"version": version, "compatible": version in (2, 3), "versions": [2, 3]}
        assert frame.version == spoken
        assert theirs.session.closing is None


def test_either_side_may_ask():
    talk = Conversation({"versions": (1, 3)}, {"versions": (2, 3)})
    talk.client.session.check_version(2)
    talk.server.session.check_version(2)
    talk.talk()
    assert talk.client.told(VersionChecked) == [VersionChecked(2, False, (1, 3))]
    assert talk.server.told(VersionChecked) == [VersionChecked(2, True, (2, 3))]


def test_an_answer_is_not_answered():
    talk = Conversation()
    talk.client.hears(oracle.encode_frame(oracle.TYPES["VERSION_CHECK"], {"version": 1, "compatible": False}))
    assert talk.client.says() == []
    assert talk.client.told(VersionChecked) == [VersionChecked(1, False, ())]

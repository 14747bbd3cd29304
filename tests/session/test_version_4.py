"""Unless told otherwise, sessions speak versions 1 to 3: they neither offer version 4, nor take what comes with it."""

import oracle
import pytest
from session.conversation import Conversation, client, server

from ecgframe import ErrorCode, InvalidProtocolVersion
from ecgframe.protocol import CAPABILITY_SINCE, SESSION_VERSIONS, Capability
from ecgframe.session import FrameRefused, Received, Settings
from ecgframe.session.settings import EVERYTHING

T = oracle.TYPES_OF_V4
FRAMES = {
    "heartbeat": oracle.frame(4, T["HEARTBEAT"], 0, oracle.pack(None), 5),
    "data": oracle.frame(4, T["ECG_DATA"], 0, oracle.pack({"signal": [1]}), 5, stream=7, sequence=1),
    "record": oracle.frame(4, T["ECG_DATA"], 0, bytes(24), 5, form=oracle.RECORD, stream=7, sequence=1),
    "template": oracle.frame(4, T["STREAM_TEMPLATE"], 0, oracle.pack({}), 5, stream=7, sequence=1),
    "large": oracle.frame(4, T["ECG_DATA"], 0, oracle.pack(bytes(200_000)), 5, stream=7, sequence=1),
    "its first eleven bytes": oracle.frame(4, T["PING"], 0, b"")[:11],
}


def error_in(messages):
    [error] = [frame for message in messages for frame in oracle.decode_frames(message) if frame.type == T["ERROR"]]
    return error


@pytest.mark.parametrize("make", [server, client])
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_version_4_is_refused_as_one_of_no_version(make, name):
    side = make().starts()
    side.says()
    side.hears(FRAMES[name])
    assert not side.told(Received)
    [refused] = side.told(FrameRefused)
    assert isinstance(refused.error, InvalidProtocolVersion)
    assert (refused.error.code, refused.error.check) == (ErrorCode.INVALID_PROTOCOL_VERSION, 2)
    assert side.session.closing.code == 1002
    if make is server:
        error = error_in(side.says())
        assert error.version < 4
        assert error.data["code"] == 0x100


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_version_4_are_refused_after_version_3_was_agreed_on(name):
    theirs = Conversation().server
    assert theirs.session.version == 3
    theirs.hears(oracle.encode_frame(T["FEATURE_DATA"], {"n": 1}, 3, 0, 9) + FRAMES[name])
    assert [event.message.data for event in theirs.told(Received)] == [{"n": 1}]
    [refused] = theirs.told(FrameRefused)
    assert refused.error.code == 0x100
    assert error_in(theirs.says()).data["code"] == 0x100


def test_a_frame_of_version_4_takes_no_thread():
    session = server().starts().session
    assert session._verdicts(FRAMES["large"]) == {}
    assert session._refuses_all(FRAMES["large"])


@pytest.mark.parametrize("number", [T["STREAM_TEMPLATE"], T["STREAM_ATTESTATION"]])
def test_types_of_version_4_are_unknown_in_version_3(number):
    theirs = Conversation().server
    theirs.hears(oracle.frame(3, number, 0, oracle.pack({}), 9))
    [refused] = theirs.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (0x104, 3)


def test_version_4_is_not_offered_by_default():
    assert SESSION_VERSIONS == (1, 2, 3)
    [offer] = [frame for message in server().starts().says() for frame in oracle.decode_frames(message)]
    assert offer.data["versions"] == [1, 2, 3]
    assert offer.data["preferred"] == 3
    of_v4 = {name for name, since in CAPABILITY_SINCE.items() if since == 4}
    assert {str(name) for name in of_v4} == {"templates", "delta", "fragments", "signing", "zstd", "lz4"}
    assert of_v4.isdisjoint(offer.data["capabilities"])
    assert EVERYTHING.isdisjoint({*of_v4, Capability.ENCRYPTION})


def test_capabilities_of_version_4_need_version_4():
    with pytest.raises(ValueError, match="only version 4 has templates"):
        Settings(capabilities=frozenset({Capability.TEMPLATES}))
    with pytest.raises(ValueError, match="only version 4 has zstd"):
        Settings(capabilities=frozenset({Capability.ZSTD}))
    with pytest.raises(ValueError, match="does not have telepathy"):
        Settings(versions=(3, 4), capabilities=frozenset({"telepathy"}))


def test_a_client_that_is_offered_it_chooses_3():
    ours = client().starts()
    offer = {"versions": [1, 2, 3, 4], "preferred": 4, "capabilities": ["templates", "delta", "ack"]}
    ours.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], offer, 1))
    [answer] = [frame for message in ours.says() for frame in oracle.decode_frames(message)]
    assert (answer.version, answer.data) == (1, {"version": 3, "capabilities": ["ack"]})

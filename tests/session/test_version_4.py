"""Sessions speak version 4 unless told otherwise. Those of versions 1 to 3 neither offer it, nor take its frames."""

from dataclasses import replace

import oracle
import pytest
from session.conversation import Conversation, client, server

from ecgframe import Codec, ErrorCode, InvalidProtocolVersion, MessageType, decode, encode
from ecgframe.protocol import (
    CAPABILITY_SINCE,
    DEFAULT_VERSION,
    SESSION_VERSIONS,
    STANDALONE_VERSIONS,
    VERSIONS,
    Capability,
)
from ecgframe.session import FrameRefused, Received, Settings
from ecgframe.session.settings import EVERYTHING

T = oracle.TYPES_OF_V4
EARLIER = {"versions": (1, 2, 3)}
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
    side = make(**EARLIER).starts()
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
    theirs = Conversation(EARLIER).server
    assert theirs.session.version == 3
    theirs.hears(oracle.encode_frame(T["FEATURE_DATA"], {"n": 1}, 3, 0, 9) + FRAMES[name])
    assert [event.message.data for event in theirs.told(Received)] == [{"n": 1}]
    [refused] = theirs.told(FrameRefused)
    assert refused.error.code == 0x100
    assert error_in(theirs.says()).data["code"] == 0x100


@pytest.mark.parametrize("make", [server, client])
def test_a_header_of_version_4_that_is_cut_short_is_refused_by_who_speaks_it(make):
    side = make().starts()
    side.hears(FRAMES["its first eleven bytes"])
    [refused] = side.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (ErrorCode.INVALID_DATA_FORMAT, 1)
    assert side.session.closing.code == 1002


def test_a_frame_of_version_4_takes_no_thread():
    session = server(**EARLIER).starts().session
    assert session._refusals_in(FRAMES["large"]) == {}
    assert session._refuses_all(FRAMES["large"])


@pytest.mark.parametrize("number", [T["STREAM_TEMPLATE"], T["STREAM_ATTESTATION"]])
def test_types_of_version_4_are_unknown_in_version_3(number):
    theirs = Conversation(EARLIER).server
    theirs.hears(oracle.frame(3, number, 0, oracle.pack({}), 9))
    [refused] = theirs.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (0x104, 3)


def offered(**settings):
    [offer] = [frame for message in server(**settings).starts().says() for frame in oracle.decode_frames(message)]
    return offer


def test_sessions_speak_all_versions_and_encode_the_latest_that_needs_no_session():
    assert SESSION_VERSIONS == VERSIONS == (1, 2, 3, 4)
    assert STANDALONE_VERSIONS == (1, 2, 3)
    assert DEFAULT_VERSION == 3
    assert decode(encode(MessageType.HEARTBEAT, None)).version == 3
    assert decode(Codec().encode(MessageType.HEARTBEAT, None)).version == 3


def test_version_4_is_offered_by_default():
    offer = offered()
    assert offer.version == 1
    assert offer.data["versions"] == [1, 2, 3, 4]
    assert offer.data["preferred"] == 4
    assert {"templates", "delta", "fragments", "lz4"} <= set(offer.data["capabilities"])
    assert {"signing", "encryption"}.isdisjoint(offer.data["capabilities"])


def test_version_4_is_not_offered_by_settings_of_versions_1_to_3():
    offer = offered(**EARLIER)
    assert offer.data["versions"] == [1, 2, 3]
    assert offer.data["preferred"] == 3
    of_v4 = {name for name, since in CAPABILITY_SINCE.items() if since == 4}
    assert {str(name) for name in of_v4} == {"templates", "delta", "fragments", "signing", "zstd", "lz4"}
    assert of_v4.isdisjoint(offer.data["capabilities"])
    assert EVERYTHING.isdisjoint({*of_v4, Capability.ENCRYPTION})


def test_capabilities_of_version_4_need_version_4():
    with pytest.raises(ValueError, match="only version 4 has templates"):
        Settings(**EARLIER, capabilities=frozenset({Capability.TEMPLATES}))
    with pytest.raises(ValueError, match="only version 4 has zstd"):
        Settings(**EARLIER, capabilities=frozenset({Capability.ZSTD}))
    with pytest.raises(ValueError, match="does not have telepathy"):
        Settings(versions=(3, 4), capabilities=frozenset({"telepathy"}))


def test_settings_without_version_4_are_those_of_versions_1_to_3():
    assert Settings().without_version_4 == Settings(**EARLIER)
    assert Settings().with_encryption.with_signing.without_version_4 == Settings(**EARLIER).with_encryption
    chosen = frozenset({Capability.BATCH, Capability.DELTA})
    earlier = Settings(versions=(2, 4), capabilities=chosen, linger=0.25).without_version_4
    assert earlier == Settings(versions=(2,), capabilities=frozenset({Capability.BATCH}), linger=0.25)
    with pytest.raises(ValueError, match="versions are some of"):
        _ = Settings(versions=(4,)).without_version_4


def test_the_versions_of_settings_can_be_replaced():
    assert replace(Settings(), **EARLIER) == Settings(**EARLIER)
    assert replace(Settings().with_encryption, versions=(1,)) == Settings(versions=(1,)).with_encryption
    assert replace(Settings(**EARLIER), versions=VERSIONS) == Settings()
    few = Settings(capabilities=frozenset({Capability.TEMPLATES}))
    with pytest.raises(ValueError, match="only version 4 has templates"):
        replace(few, **EARLIER)


@pytest.mark.parametrize(("settings", "version"), [({}, 4), (EARLIER, 3)])
def test_a_client_that_is_offered_it_chooses_the_highest_that_it_speaks(settings, version):
    ours = client(**settings).starts()
    offer = {"versions": [1, 2, 3, 4], "preferred": 4, "capabilities": ["templates", "delta", "ack"]}
    ours.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], offer, 1))
    [answer] = [frame for message in ours.says() for frame in oracle.decode_frames(message)]
    assert (answer.version, answer.data["version"]) == (1, version)
    assert set(answer.data["capabilities"]) == {"ack", *(["templates", "delta"] if version == 4 else [])}
    assert ("max_payload" in answer.data) == (version == 4)

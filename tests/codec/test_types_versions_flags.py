"""Every message type in every version with every flag it may carry."""

import itertools

import oracle
import pytest
from cases import each_case
from verdicts import verdict

from ecgframe import Codec, Flag, InvalidProtocolVersion, MessageType, ProtocolError, decode, encode
from ecgframe.protocol import FLAG_SINCE, TYPE_SINCE

SENT_FLAGS = {1: [0], 2: [0], 3: [sum(chosen) for n in range(4) for chosen in itertools.combinations((4, 8, 16), n)]}
CASES = [
    (MessageType(type), version, flags)
    for type in oracle.TYPES.values()
    for version in (1, 2, 3)
    for flags in SENT_FLAGS[version]
]
DATA = {"signal": [0.5, -1.25], "n": 7}


def test_the_types_are_those_of_the_specification():
    assert {type.name: int(type) for type in MessageType} == oracle.TYPES_OF_V4
    assert {type.name: int(type) for type in MessageType if TYPE_SINCE[type] == 1} == oracle.TYPES
    assert set(TYPE_SINCE.values()) == {1, 4}


def test_the_flags_are_those_of_the_specification():
    assert {flag.name: int(flag) for flag in Flag if FLAG_SINCE[flag] < 4} == {
        "COMPRESSED": 1,
        "ENCRYPTED": 2,
        "PRIORITY": 4,
        "BROADCAST": 8,
        "ACK_REQUIRED": 16,
    }
    assert {flag.name: int(flag) for flag in Flag if FLAG_SINCE[flag] == 4} == {"FRAGMENT": 32, "SIGNED": 64}


@each_case(("type", "version", "flags"), CASES)
def test_a_frame_is_the_oracles_frame_and_comes_back(type, version, flags):
    timestamp = 1_705_314_645_123_456 if version == 3 else None
    frame = encode(type, DATA, version=version, flags=flags, timestamp=timestamp)
    assert frame == oracle.encode_frame(type, DATA, version, flags, timestamp)
    message = decode(frame)
    assert (message.type, message.version, message.flags, message.timestamp) == (type, version, flags, timestamp)
    assert message.data == DATA
    assert isinstance(message.type, MessageType)
    assert isinstance(message.flags, Flag)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_type_and_flags_may_be_plain_integers(version):
    assert decode(encode(0x10, None, version=version, flags=0)).type is MessageType.HEARTBEAT


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_flags_byte_is_read_as_the_oracle_reads_it(version):
    for flags in range(256):
        frame = oracle.frame(version, 0x11, flags, oracle.pack(DATA), 5)
        assert verdict(decode, frame) == verdict(oracle.decode_frame, frame), flags
        if verdict(decode, frame) is None:
            assert decode(frame).flags == flags
            assert decode(frame).data == DATA, flags


@each_case("version", [0, 1, 2, 3, 4, 255])
@each_case("known", [(1,), (2, 3), (1, 3), ()])
@each_case("length", [0, 10, 11, 18, 19])
@pytest.mark.parametrize("read", ["decode", "split", "decode_all", "decode_each"])
def test_a_version_that_a_codec_does_not_know_is_seen_before_all_but_a_short_header(version, known, length, read):
    codec = Codec(versions=known)
    frame = (bytes([version]) + b"\xee" * 18)[:length]  # no such type, no such length
    wanted = 1 if length < (19 if version == 3 else 11) else 3 if version in known else 2

    def error():
        try:
            found = getattr(codec, read)(frame)
            return next(iter(found), None)
        except ProtocolError as refused:
            return refused

    if length or read in ("decode", "split"):
        assert error().check == wanted
    else:
        assert error() is None


def test_a_codec_reads_the_versions_it_knows_and_writes_any():
    codec = Codec(version=3, versions=(1, 2))
    assert [codec.decode(codec.encode(MessageType.PING, 7, version=version)).data for version in (1, 2)] == [7, 7]
    with pytest.raises(InvalidProtocolVersion, match=r"version 3 .* knows \[1, 2\]"):
        codec.decode(codec.encode(MessageType.PING, 7))
    assert "versions=[1, 2]" in repr(codec)
    with pytest.raises(ValueError, match="5 is none of"):
        Codec(versions=(1, 5))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_codecs_version_is_the_one_it_sends(version):
    codec = Codec(version=version)
    assert codec.encode(MessageType.PING, None)[0] == version
    for other in (1, 2, 3):
        assert codec.encode(MessageType.PING, None, version=other)[0] == other


def test_every_other_type_is_refused():
    for type in set(range(256)) - set(oracle.TYPES.values()):
        assert verdict(decode, oracle.frame(1, type, 0, b"\xc0")) == (0x104, 3), type


def test_every_other_version_is_refused():
    for version in set(range(256)) - {1, 2, 3, 4}:
        assert verdict(decode, oracle.frame(version, 0x11, 0, b"\xc0")) == (0x100, 2), version
    assert verdict(Codec(versions=(1, 2, 3)).decode, oracle.frame(4, 0x11, 0, b"\xc0")) == (0x100, 2)

"""Every message type in every version with every flag it may carry."""

import itertools

import oracle
import pytest
from verdicts import verdict

from ecgframe import Codec, Flag, MessageType, decode, encode

SENT_FLAGS = {1: [0], 2: [0], 3: [sum(chosen) for n in range(4) for chosen in itertools.combinations((4, 8, 16), n)]}
CASES = [(type, version, flags) for type in MessageType for version in (1, 2, 3) for flags in SENT_FLAGS[version]]
DATA = {"signal": [0.5, -1.25], "n": 7}


def test_the_thirteen_types_are_those_of_the_specification():
    assert {type.name: int(type) for type in MessageType} == oracle.TYPES


def test_the_five_flags_are_those_of_the_specification():
    assert {flag.name: int(flag) for flag in Flag} == {
        "COMPRESSED": 1,
        "ENCRYPTED": 2,
        "PRIORITY": 4,
        "BROADCAST": 8,
        "ACK_REQUIRED": 16,
    }


@pytest.mark.parametrize(("type", "version", "flags"), CASES)
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
@pytest.mark.parametrize("flags", range(256))
def test_every_flags_byte_is_read_as_the_oracle_reads_it(version, flags):
    frame = oracle.frame(version, 0x11, flags, oracle.pack(DATA), 5)
    assert verdict(decode, frame) == verdict(oracle.decode_frame, frame)
    if verdict(decode, frame) is None:
        assert decode(frame).flags == flags
        assert decode(frame).data == DATA


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_codecs_version_is_the_one_it_sends(version):
    codec = Codec(version=version)
    assert codec.encode(MessageType.PING, None)[0] == version
    for other in (1, 2, 3):
        assert codec.encode(MessageType.PING, None, version=other)[0] == other


@pytest.mark.parametrize("type", sorted(set(range(256)) - set(oracle.TYPES.values())))
def test_every_other_type_is_refused(type):
    assert verdict(decode, oracle.frame(1, type, 0, b"\xc0")) == (0x104, 3)


@pytest.mark.parametrize("version", sorted(set(range(256)) - {1, 2, 3}))
def test_every_other_version_is_refused(version):
    assert verdict(decode, oracle.frame(version, 0x11, 0, b"\xc0")) == (0x100, 2)

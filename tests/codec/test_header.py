"""The header's bytes, one field after another."""

import struct
import zlib
from datetime import UTC, datetime

import oracle
import pytest

from ecgframe import Flag, MessageType, decode, encode, split


def test_worked_example_of_version_1():
    frame = encode(MessageType.PING, {"n": 1}, version=1)
    payload = bytes.fromhex("81 a16e 01")
    assert frame == bytes.fromhex("01 11 00 00000004") + zlib.crc32(payload).to_bytes(4, "big") + payload


def test_worked_example_of_version_3():
    frame = encode(MessageType.ECG_DATA, None, version=3, flags=Flag.PRIORITY, timestamp=0x0102030405060708)
    assert frame == bytes.fromhex("03 01 04 00000001 49662d3d 0102030405060708 c0")


@pytest.mark.parametrize(("version", "size"), [(1, 11), (2, 11), (3, 19)])
def test_fields_of_the_header(version, size):
    timestamp = 2**64 - 1 if version == 3 else None
    frame = encode(MessageType.ERROR, "x" * 300, version=version, timestamp=timestamp)
    header, payload = split(frame)
    assert header.version == version
    assert header.type is MessageType.ERROR
    assert header.flags == Flag(0)
    assert header.length == len(payload) == 303
    assert header.checksum == zlib.crc32(payload)
    assert header.timestamp == timestamp
    assert header.size == size
    assert struct.unpack_from(">BBBII", frame) == (version, 0xFF, 0, 303, zlib.crc32(payload))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_empty_payload_reads_as_none(version):
    frame = oracle.frame(version, 0x10, 0, b"", 9)
    assert len(frame) == oracle.header_size(version)
    assert split(frame)[0].checksum == 0
    assert split(frame)[1].nbytes == 0
    assert decode(frame).data is None


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_payload_of_none_is_sent_as_nil(version):
    assert encode(MessageType.HEARTBEAT, None, version=version)[oracle.header_size(version) :] == b"\xc0"


def test_the_timestamp_is_microseconds_of_the_epoch_in_utc():
    message = decode(encode(MessageType.PING, None, timestamp=1_705_314_645_123_456))
    assert message.sent_at == datetime(2024, 1, 15, 10, 30, 45, 123456, UTC)
    assert message.sent_at.utcoffset().total_seconds() == 0


@pytest.mark.parametrize("timestamp", [0, 1, 999_999, 2**53 + 1, 253_402_300_799_999_999])
def test_sent_at_is_exact_to_the_microsecond(timestamp):
    sent_at = decode(encode(MessageType.PING, None, timestamp=timestamp)).sent_at
    delta = sent_at - datetime(1970, 1, 1, tzinfo=UTC)
    assert (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds == timestamp


@pytest.mark.parametrize("timestamp", [253_402_300_800_000_000, 2**63, 2**64 - 1])
def test_a_timestamp_past_the_year_9999_is_kept_though_no_datetime_holds_it(timestamp):
    message = decode(encode(MessageType.PING, None, timestamp=timestamp))
    assert message.timestamp == timestamp
    assert message.sent_at is None


@pytest.mark.parametrize("version", [1, 2])
def test_before_version_3_there_is_no_timestamp(version):
    message = decode(encode(MessageType.PING, None, version=version))
    assert message.timestamp is None
    assert message.sent_at is None


def test_the_checksum_covers_the_payload_and_not_the_header():
    frame = bytearray(encode(MessageType.PING, {"n": 1}, timestamp=1))
    frame[1] = MessageType.PONG
    frame[18] = 2
    message = decode(frame)
    assert (message.type, message.timestamp) == (MessageType.PONG, 2)


@pytest.mark.parametrize("field", ["version", "type", "flags", "length", "checksum", "timestamp", "size"])
def test_a_header_cannot_be_changed(field):
    header, _ = split(encode(MessageType.PING, None))
    with pytest.raises(AttributeError):
        setattr(header, field, 1)

"""The CRC-32 of payloads: at once or while the samples are written and read, and without the optional libraries."""

import zlib

import numpy as np
import oracle
import pytest
from interpreter import python

import ecgframe
from ecgframe import ChecksumMismatch, Codec, InvalidDataFormat, MessageType

SAMPLES = np.random.default_rng(7).normal(size=20_000)

# Payloads of more than 64 KiB are summed in the midst of other work; where, depends on what they hold.
LARGE = {
    "one array": {"signal": SAMPLES, "leads": ["II"]},
    "several arrays": {"before": SAMPLES[:3], "first": SAMPLES, "between": "text", "second": SAMPLES.reshape(2, -1)},
    "counts": {"signal": (1000 * SAMPLES).astype("int16")},
    "the other byte order": {"signal": SAMPLES.astype(">f8")},
    "plain lists": {"signal": [SAMPLES.tolist(), SAMPLES.tolist()]},
    "no numbers": {"text": "a" * 50_000, "bytes": bytes(50_000)},
}
FORMS = ["list", "binary"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 255, 1024, 65_537, 131_072, 1 << 20])
def test_crc32_is_zlibs(size):
    data = bytes(range(256)) * (size // 256 + 1)
    assert ecgframe.crc32(data[:size]) == zlib.crc32(data[:size])
    assert ecgframe.crc32(memoryview(data)[1 : 1 + size]) == zlib.crc32(data[1 : 1 + size])


def test_crc32_of_the_check_string():
    assert ecgframe.crc32(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_large_frame_carries_the_sum_of_its_payload(data, form):
    codec = Codec(compression=None, ndarray=form)
    frame = codec.encode(MessageType.ECG_DATA, data, timestamp=7)
    assert int.from_bytes(frame[7:11], "big") == zlib.crc32(frame[19:])
    assert oracle.same(codec.decode(frame).data, data)

    buffer = bytearray(len(frame) + 100)
    assert codec.encode_into(buffer, 50, MessageType.ECG_DATA, data, timestamp=7) == len(frame)
    assert buffer[50:-50] == frame


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_payload_that_deflating_does_not_shrink_carries_its_own_sum(data, form, monkeypatch):
    monkeypatch.setattr("ecgframe.compression.deflate", lambda payload, level: bytes(payload))
    as_packed = Codec(compression=None, ndarray=form).encode(MessageType.ECG_DATA, data, timestamp=7)
    assert Codec(ndarray=form).encode(MessageType.ECG_DATA, data, timestamp=7) == as_packed
    buffer = bytearray(len(as_packed))
    Codec(ndarray=form).encode_into(buffer, 0, MessageType.ECG_DATA, data, timestamp=7)
    assert buffer == as_packed


@pytest.mark.slow
@pytest.mark.parametrize("numeric", ["list", "ndarray"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_a_bit_that_turned_anywhere_in_a_large_payload_is_damage(data, form, numeric):
    codec = Codec(compression=None, ndarray=form, numeric_lists=numeric)
    frame = bytearray(codec.encode(MessageType.ECG_DATA, data))
    within = np.random.default_rng(8).integers(19, len(frame), 100).tolist()
    for place in [*range(19, 119), *range(len(frame) - 100, len(frame)), *within]:
        frame[place] ^= 1 << place % 8
        with pytest.raises(ChecksumMismatch) as caught:
            codec.decode(frame)
        assert caught.value.check == 7
        assert caught.value.__context__ is None  # nothing else is said of a payload that is not as it was sent
        frame[place] ^= 1 << place % 8
    codec.decode(frame)


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_the_place_of_the_fault_in_a_large_payload_is_named_if_its_checksum_is_right(data):
    payload = ecgframe.pack(data)
    with pytest.raises(InvalidDataFormat, match=r"payload byte \d+") as caught:
        ecgframe.decode(oracle.frame(3, 0x11, 0, payload[:-1], 7))
    assert caught.value.check == 11
    with pytest.raises(InvalidDataFormat, match="1 bytes left over behind the value") as caught:
        ecgframe.decode(oracle.frame(3, 0x11, 0, payload + b"\0", 7))
    assert caught.value.check == 11


WITHOUT = """
import sys, zlib

for name in {"deflate", "zlib_ng"}.intersection(sys.argv):
    sys.modules[name] = None

import numpy as np
import oracle
import ecgframe

data = {"signal": np.random.default_rng(7).normal(size=(2, 20_000)), "leads": ["I", "II"]}
for size in (0, 1, 8, 127, 128, 129, 65_537, 1 << 20):
    octets = bytes(range(256)) * (size // 256 + 1)
    assert ecgframe.crc32(octets[:size]) == zlib.crc32(octets[:size]), size
for form in ("list", "binary"):
    for compression in (None, ecgframe.Compression()):
        codec = ecgframe.Codec(ndarray=form, compression=compression)
        frame = codec.encode(ecgframe.MessageType.ECG_DATA, data)
        assert int.from_bytes(frame[7:11], "big") == zlib.crc32(frame[19:])
        assert oracle.same(codec.decode(frame).data, data)
        buffer = bytearray(400_000)
        nbytes = codec.encode_into(buffer, 0, ecgframe.MessageType.ECG_DATA, data)
        assert oracle.same(codec.decode(buffer[:nbytes]).data, data)
        try:
            codec.decode(frame[:-1] + bytes([frame[-1] ^ 1]))
        except ecgframe.ChecksumMismatch:
            print("refused")
"""


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["deflate", "zlib_ng", "deflate zlib_ng"])
def test_frames_are_the_same_without_a_library(missing):
    run = python("-c", WITHOUT, *missing.split())
    assert run.stderr == ""
    assert run.stdout.split() == ["refused"] * 4

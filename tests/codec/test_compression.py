"""When a payload is deflated, and how far one may inflate."""

import random
import zlib
from importlib.util import find_spec

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter import python
from verdicts import verdict

from ecgframe import (
    Codec,
    Compression,
    DecompressionFailed,
    MessageTooLarge,
    MessageType,
    compression,
    decode,
    encode,
    pack,
)
from ecgframe._core import ends_once_with

COMPRESSED = oracle.COMPRESSED


def text_packing_to(size):
    text = "x" * (size - 3 if size < 2**16 else size - 5)
    assert len(pack(text)) == size
    return text


def noise(size):
    return random.Random(7).randbytes(size)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("size", "compressed"), [(1023, 0), (1024, 0), (1025, 1), (1026, 1), (100_000, 1)])
def test_only_payloads_longer_than_the_threshold_are_compressed(version, size, compressed):
    frame = encode(MessageType.PING, text_packing_to(size), version=version)
    assert frame[2] == compressed
    assert (len(frame) < size) == compressed
    assert decode(frame).data == text_packing_to(size)


def test_version_1_is_never_compressed():
    frame = encode(MessageType.PING, text_packing_to(100_000), version=1)
    assert frame[2] == 0
    assert len(frame) == 100_011


def test_without_compression_nothing_is_compressed():
    frame = Codec(compression=None).encode(MessageType.PING, text_packing_to(100_000))
    assert frame[2] == 0
    assert len(frame) == 100_019


@pytest.mark.parametrize(
    ("threshold", "size", "compressed"), [(0, 40, 1), (100, 100, 0), (100, 101, 1), (5000, 5000, 0), (5000, 5001, 1)]
)
def test_another_threshold(threshold, size, compressed):
    codec = Codec(compression=Compression(threshold=threshold))
    frame = codec.encode(MessageType.PING, "x" * (size - 2 if size < 258 else size - 3))
    assert frame[2] == compressed


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("size", [1021, 1022, 1100, 5000, 70_000])
def test_the_shorter_form_is_sent(version, size):
    frame = encode(MessageType.PING, noise(size), version=version, timestamp=1 if version == 3 else None)
    assert frame[2] == 0
    assert frame == oracle.encode_frame(0x11, noise(size), version, 0, 1, compression=False)


def test_when_it_gains_little_it_is_still_the_shorter_form():
    for repeated in range(60):
        data = noise(1100) + bytes(repeated)
        frame = encode(MessageType.PING, data)
        plain = len(pack(data)) + 19
        assert len(frame) < plain if frame[2] & COMPRESSED else len(frame) == plain
        assert decode(frame).data == data


@pytest.fixture
def deflated(monkeypatch):
    """The number of bytes in each call of the library that compresses."""
    given = []
    library = compression._deflate

    def counting(payload, level):
        given.append(len(payload))
        return library(payload, level)

    monkeypatch.setattr(compression, "_deflate", counting)
    return given


@pytest.mark.parametrize("size", [65_536, 100_000, 1_000_000])
def test_only_a_sample_of_incompressible_payloads_is_deflated(deflated, size):
    for data in (noise(size), {"units": "mV", "image": noise(size)}, zlib.compress(noise(size).hex().encode())):
        frame = encode(MessageType.PING, data)
        assert not frame[2] & COMPRESSED
        assert sum(deflated) < len(frame) / 12
        deflated.clear()


@pytest.mark.parametrize("size", [2_000, 65_500])
def test_a_small_payload_is_deflated_without_being_sampled(deflated, size):
    encode(MessageType.PING, noise(size))
    assert deflated == [len(pack(noise(size)))]


@pytest.mark.parametrize("ndarray", ["list", "binary"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_even_noise_is_deflated_where_its_samples_leave_bits_unused(ndarray, dtype):
    samples = (np.random.default_rng(7).normal(size=40_000) * 300).astype(dtype)
    frame = Codec(ndarray=ndarray).encode(MessageType.ECG_DATA, {"signal": samples, "sampling_rate": 250})
    assert frame[2] & COMPRESSED
    assert np.array_equal(decode(frame).data["signal"], samples)


@pytest.mark.parametrize("ahead", [0, 50_000, 99_999, 150_000])
def test_compressible_parts_are_found_amid_incompressible_ones(ahead):
    samples = np.sin(np.arange(1500) / 7).round(3)
    data = {"before": noise(ahead), "signal": samples, "behind": noise(150_000 - ahead)}
    frame = encode(MessageType.ECG_DATA, data)
    assert frame[2] & COMPRESSED
    assert len(frame) < (155_000 if find_spec("deflate") else 155_200)  # zlib-ng: 155,087 to 155,093 bytes


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level(level):
    data = [round(float(x), 3) for x in np.sin(np.arange(2000) / 7)]
    frame = Codec(compression=Compression(level=level)).encode(MessageType.PING, data)
    assert decode(frame).data == data
    assert frame[2] & COMPRESSED


def test_a_higher_level_is_no_longer():
    data = [round(float(x), 3) for x in np.sin(np.arange(2000) / 7)]
    sizes = [len(Codec(compression=Compression(level=level)).encode(MessageType.PING, data)) for level in (1, 6, 9)]
    assert sizes[0] >= sizes[2]
    assert sizes[1] <= 1.02 * len(oracle.encode_frame(0x11, data))


def test_the_payload_is_a_zlib_stream_and_the_checksum_covers_it():
    frame = encode(MessageType.PING, text_packing_to(2000), version=2)
    assert zlib.decompress(frame[11:]) == pack(text_packing_to(2000))
    assert int.from_bytes(frame[7:11], "big") == zlib.crc32(frame[11:])
    assert int.from_bytes(frame[3:7], "big") == len(frame) - 11


def test_the_other_flags_stay():
    frame = encode(MessageType.PING, text_packing_to(2000), flags=4 | 16)
    assert frame[2] == 4 | 16 | COMPRESSED
    assert decode(frame).flags == 4 | 16 | COMPRESSED


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("payload", [b"\xc0", b"", b"\x81\xa1n\x01"])
def test_a_short_compressed_payload_is_read(version, payload):
    assert decode(oracle.frame(version, 0x11, COMPRESSED, zlib.compress(payload))).data == oracle.unpack(payload)


@pytest.mark.parametrize("wbits", range(9, 16))
def test_every_window_is_read(wbits):
    stream = zlib.compressobj(9, zlib.DEFLATED, wbits)
    payload = pack(noise(300) * 300)
    assert decode(oracle.frame(2, 0x11, COMPRESSED, stream.compress(payload) + stream.flush())).data == noise(300) * 300


@pytest.mark.parametrize("strategy", [zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED])
def test_every_strategy_is_read(strategy):
    stream = zlib.compressobj(6, zlib.DEFLATED, 15, 8, strategy)
    payload = pack("sinus rhythm " * 500)
    assert (
        decode(oracle.frame(2, 0x11, COMPRESSED, stream.compress(payload) + stream.flush())).data
        == "sinus rhythm " * 500
    )


def test_a_stream_of_many_flushed_blocks_is_read():
    stream = zlib.compressobj()
    payload = pack("x" * 5000)
    pieces = [
        stream.compress(payload[n : n + 100]) + stream.flush(zlib.Z_FULL_FLUSH) for n in range(0, len(payload), 100)
    ]
    assert decode(oracle.frame(2, 0x11, COMPRESSED, b"".join(pieces) + stream.flush())).data == "x" * 5000


# One that expands as signals do, which is inflated at once, and one that expands far more, which is read as a stream.
SIGNAL = zlib.compress(pack([round(float(x), 2) for x in np.sin(np.arange(100) / 7)]))
REPEATED = zlib.compress(pack("lead II " * 500))
each_stream = pytest.mark.parametrize("whole", [SIGNAL, REPEATED], ids=["signal", "repeated"])


def test_signals_are_inflated_at_once(monkeypatch):
    pytest.importorskip("deflate")
    monkeypatch.delattr(compression, "_inflated_as_stream")
    assert decode(oracle.frame(3, 0x11, COMPRESSED, SIGNAL)).data[7] == 0.84
    with pytest.raises(NameError):
        decode(oracle.frame(3, 0x11, COMPRESSED, REPEATED))


@each_stream
def test_a_stream_cut_anywhere_is_refused(whole):
    for cut in range(len(whole)):
        with pytest.raises(DecompressionFailed) as caught:
            decode(oracle.frame(3, 0x11, COMPRESSED, whole[:cut]))
        assert caught.value.check == 9


@each_stream
@pytest.mark.parametrize("tail", [b"", b"\0", b"\x78", SIGNAL, bytes(100), noise(3000)])
@pytest.mark.parametrize("ends_alike", [False, True])
def test_bytes_after_the_stream_are_refused(whole, tail, ends_alike):
    """Also where the payload ends with the right sum, as if the stream reached to there."""
    if behind := tail + whole[-4:] * ends_alike:
        with pytest.raises(DecompressionFailed) as caught:
            decode(oracle.frame(3, 0x11, COMPRESSED, whole + behind))
        assert caught.value.check == 9


@pytest.mark.parametrize("behind", [2, 3])
def test_a_sum_that_overlaps_the_right_one_does_not_pass_for_the_end_either(behind):
    def ends_alike(data):
        end = zlib.adler32(pack(data)).to_bytes(4, "big")
        return end[behind:] == end[: 4 - behind]

    data = next(filter(ends_alike, (random.Random(seed).randbytes(30) for seed in range(1_000_000))))
    whole = zlib.compress(pack(data))
    payload = whole + whole[-behind:]
    assert payload[-4:] == whole[-4:]
    assert decode(oracle.frame(3, 0x11, COMPRESSED, whole)).data == data
    with pytest.raises(DecompressionFailed):
        decode(oracle.frame(3, 0x11, COMPRESSED, payload))


@given(st.lists(st.sampled_from(b"\0\1"), max_size=40).map(bytes), st.sampled_from(b"\0\1\2"))
def test_four_bytes_are_found_wherever_they_stand(octets, last):
    four = octets[-4:-1] + bytes([last])
    number = int.from_bytes(four, "big")
    assert ends_once_with(octets, number) == (len(octets) >= 4 and octets.find(four) == len(octets) - 4)


@pytest.mark.parametrize("length", [4, 5, 1023, 1024, 1027, 1028, 1029, 5000])
def test_four_bytes_are_found_at_every_place_of_a_long_payload(length):
    four = b"abcd"
    for place in range(length - 3):
        octets = bytearray(b"a..d" * (length // 4 + 1))[:length]
        octets[-4:] = four
        octets[place : place + 4] = four
        octets[-4:] = four
        assert ends_once_with(octets, 0x61626364) == (place == length - 4 or octets[place : place + 4] != four)


@each_stream
def test_every_flipped_bit_of_a_stream_gets_the_oracles_verdict(whole):
    for bit in range(len(whole) * 8):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        frame = oracle.frame(3, 0x11, COMPRESSED, spoilt, 1)
        assert verdict(decode, frame) == verdict(oracle.decode_frame, frame)
        if verdict(decode, frame) is None:
            assert decode(frame).data == oracle.decode_frame(frame).data


@pytest.mark.parametrize("size", [100, 1000, 16_384, 16_385, 65_536, 262_144, 262_145, 1 << 20])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_the_limit_of_inflating_is_inclusive(size, level):
    payload = pack(bytes(size - (2 if size < 258 else 3 if size < 65_539 else 5)))
    assert len(payload) == size
    stream = zlib.compress(payload, level)
    travels = max(size, len(stream))
    frame = oracle.frame(2, 0x11, COMPRESSED, stream)
    assert len(Codec(max_payload=travels).decode(frame).data) < size
    if len(stream) < size:
        with pytest.raises(MessageTooLarge) as caught:
            Codec(max_payload=size - 1).decode(frame)
        assert (caught.value.code, caught.value.check) == (0x102, 10)


def test_past_the_limit_what_follows_is_not_looked_at():
    bomb = zlib.compress(pack(bytes(10_000)))
    for spoilt in (bomb[:-1], bomb[:-4], bomb + b"\0", bomb[:-1] + bytes([bomb[-1] ^ 1])):
        with pytest.raises(MessageTooLarge):
            Codec(max_payload=9000).decode(oracle.frame(2, 0x11, COMPRESSED, spoilt))
        with pytest.raises(DecompressionFailed):
            Codec(max_payload=11_000).decode(oracle.frame(2, 0x11, COMPRESSED, spoilt))


def test_the_payload_is_measured_before_it_is_deflated():
    codec = Codec(max_payload=2000)
    assert codec.encode(MessageType.PING, "x" * 1997)
    with pytest.raises(MessageTooLarge):
        codec.encode(MessageType.PING, "x" * 1998)


def test_compression_is_a_frozen_value():
    assert Compression() == Compression(threshold=1024, level=6)
    with pytest.raises(AttributeError):
        Compression().level = 9


@pytest.mark.parametrize("bad", [{"level": -2}, {"level": 10}, {"level": 100}, {"threshold": -1}])
def test_an_impossible_compression_is_the_callers_value_error(bad):
    with pytest.raises(ValueError, match=r"level|threshold"):
        Codec(compression=Compression(**bad))


WITHOUT = """
import random, sys, zlib

for name in {"deflate", "zlib_ng"}.intersection(sys.argv):
    sys.modules[name] = None

from ecgframe import ProtocolError, compression

print(compression.DEFLATED_BY, *compression.INFLATED_BY)
chance = random.Random(5)
payloads = [b"", b"x", chance.randbytes(700), bytes(range(256)) * 40, b"0" * 50_000]
for payload in payloads:
    deflated = compression.deflate(memoryview(payload), 6)
    assert zlib.decompress(deflated) == payload
    for level in (1, 6):
        whole = zlib.compress(payload, level)
        for limit in (len(payload), len(payload) + 1):
            assert compression.inflate(memoryview(whole), limit) == payload
        damaged = [whole[:-1], whole + b"0", whole + whole, whole[:-4] + bytes(4), b"", payload]
        for _ in range(60):
            stream = bytearray(whole)
            stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
            damaged.append(stream)
        for stream in damaged:
            for limit in (10, 60_000):
                try:
                    print(zlib.crc32(compression.inflate(memoryview(stream), limit)))
                except ProtocolError as error:
                    print(type(error).__name__, error.check)
"""


@pytest.mark.slow
def test_each_library_is_named_and_gives_the_same_verdicts():
    runs = {missing: python("-c", WITHOUT, *missing) for missing in [(), ("deflate",), ("deflate", "zlib_ng")]}
    told = {missing: run.stdout.partition("\n") for missing, run in runs.items()}
    assert not any(run.stderr for run in runs.values())
    assert [said[0] for said in told.values()] == [
        f"{compression.DEFLATED_BY} {' '.join(compression.INFLATED_BY)}",
        "zlib-ng zlib-ng zlib-ng",
        "zlib zlib zlib",
    ]
    verdicts = [said[2].splitlines() for said in told.values()]
    assert len(verdicts[0]) == 5 * 2 * 66 * 2
    assert verdicts[1] == verdicts[0]
    assert verdicts[2] == verdicts[0]

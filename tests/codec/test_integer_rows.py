"""Rows of integers of every length around the steps in which they are written: the shortest form, to the last byte."""

import msgpack
import numpy as np
import pytest
from verdicts import verdict

from ecgframe import Codec, InvalidDataFormat, MessageType

CODEC = Codec(compression=None)
DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i2", ">i4", ">u8"]
LENGTHS = [*range(70), 500, 511, 1000]
# On both sides of every width that a number can take.
EDGES = [0, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
EDGES += [-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)]


def edges_of(dtype):
    bounds = np.iinfo(dtype)
    return [edge for edge in EDGES if bounds.min <= edge <= bounds.max]


def row(length, dtype, largest):
    """Samples of up to that size, so that some rows have but short numbers and others all widths."""
    bounds = np.iinfo(dtype)
    low, high = max(bounds.min, -largest), min(bounds.max, largest)
    return np.random.default_rng(length).integers(low, high, length, np.dtype(dtype).newbyteorder("="), endpoint=True)


def packed(samples):
    wrapper = {"__ndarray__": samples.tolist(), "dtype": str(samples.dtype), "shape": [len(samples)]}
    return msgpack.packb(wrapper)


@pytest.mark.parametrize("largest", [20, 100, 300, 40_000, 70_000, 2**40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_length(dtype, largest):
    for length in LENGTHS:
        samples = row(length, dtype, largest).astype(dtype)
        payload = CODEC.pack(samples)
        assert payload == packed(samples)
        assert CODEC.pack(np.repeat(samples, 2)[::2]) == payload
        read = CODEC.unpack(payload)
        assert (read.dtype, read.tobytes()) == (samples.dtype, samples.tobytes())


@pytest.mark.parametrize("length", [16, 17, 33, 48])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_width_at_every_place(dtype, length):
    for edge in edges_of(dtype):
        for place in range(length):
            samples = np.arange(length).astype(dtype)
            samples[place] = edge
            assert CODEC.pack(samples) == packed(samples)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_byte_after_the_frame_is_written(dtype):
    for length in LENGTHS:
        samples = row(length, dtype, 300).astype(dtype)
        frame = CODEC.encode(MessageType.ECG_DATA, samples, timestamp=1)
        buffer = bytearray(b"\xa5" * (len(frame) + 64))
        assert CODEC.encode_into(buffer, 0, MessageType.ECG_DATA, samples, timestamp=1) == len(frame)
        assert buffer == frame + b"\xa5" * 64
        tight = bytearray(len(frame))
        CODEC.encode_into(tight, 0, MessageType.ECG_DATA, samples, timestamp=1)
        assert tight == frame


# Their bytes are the tags of wider numbers, so that where a number starts must be known from the one before it.
LIKE_TAGS = [0xCC, 0xCD, 0xD0, 0xD1, -52, -51, -48, -47, 0x4CCD, 0x4DD1, 0xCCD0 - 2**16, 0xD1D1 - 2**16, 1, -1]


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", ">i2"])
def test_bytes_that_look_like_tags(dtype):
    for seed in range(300):
        samples = np.random.default_rng(seed).choice(LIKE_TAGS, 150).astype(dtype)
        read = CODEC.unpack(packed(samples))
        assert (read.dtype, read.tobytes()) == (samples.dtype, samples.tobytes())


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint64"])
@pytest.mark.parametrize("other", [-1, -129, 300, 40_000, 70_000, 2**40, 3.0, 3.5, True, None, "x", [1]])
def test_another_kind_of_number_at_every_place(dtype, other):
    """It is read where it fits, and else named by its place; what stands before and behind it makes no difference."""
    alone = verdict(CODEC.unpack, wrapped([other], dtype))
    two_bytes = 200 if dtype.startswith("u") else -100
    for length in (66, 130):
        for place in range(length):
            numbers = [(5, 60, two_bytes)[n % 3] for n in range(length)]
            numbers[place] = other
            payload = wrapped(numbers, dtype)
            assert verdict(CODEC.unpack, payload) == alone
            if alone is None:
                assert CODEC.unpack(payload).tolist() == [int(number) for number in numbers]
            elif place and not isinstance(other, (str, list)) and other is not None:
                with pytest.raises(InvalidDataFormat, match=rf"\[{place}\]"):
                    CODEC.unpack(payload)


def wrapped(numbers, dtype):
    return msgpack.packb({"__ndarray__": numbers, "dtype": dtype, "shape": [len(numbers)]})


@pytest.mark.parametrize("numbers", [[5] * 140, [-100] * 140, [300] * 140, [5, -100, 300, -3000] * 35])
def test_a_row_cut_anywhere_is_refused(numbers):
    row = msgpack.packb(numbers)
    for cut in range(1, len(row)):
        for payload in (
            b"\x83\xab__ndarray__" + row[:cut],
            b"\x83\xa5dtype\xa5int16\xa5shape\x91\xcc\x8c\xab__ndarray__" + row[:cut],
        ):
            assert verdict(CODEC.unpack, payload) == (0x200, 11)

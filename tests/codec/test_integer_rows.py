"""Rows of integers of every length around the steps in which they are written: the shortest form, to the last byte."""

import msgpack
import numpy as np
import pytest

from ecgframe import Codec, MessageType

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
def test_nothing_is_written_behind_the_frame(dtype):
    for length in LENGTHS:
        samples = row(length, dtype, 300).astype(dtype)
        frame = CODEC.encode(MessageType.ECG_DATA, samples, timestamp=1)
        buffer = bytearray(b"\xa5" * (len(frame) + 64))
        assert CODEC.encode_into(buffer, 0, MessageType.ECG_DATA, samples, timestamp=1) == len(frame)
        assert buffer == frame + b"\xa5" * 64
        tight = bytearray(len(frame))
        CODEC.encode_into(tight, 0, MessageType.ECG_DATA, samples, timestamp=1)
        assert tight == frame

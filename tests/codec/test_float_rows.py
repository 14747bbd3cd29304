"""Rows of floats of every length around the steps in which they are moved, bytes and samples exact to the last."""

import msgpack
import numpy as np
import pytest

from ecgframe import Codec, InvalidDataFormat, MessageType

CODEC = Codec(compression=None)
DTYPES = ["float64", "float32", ">f8", ">f4", "float16"]
LENGTHS = [*range(50), 500, 511, 1000]


def row(length, dtype):
    samples = np.random.default_rng(length).normal(size=length).astype(dtype)
    samples[1:4] = np.array([np.nan, -np.inf, -0.0], dtype)[: max(0, length - 1)]
    return samples


def packed(numbers, dtype, *, single):
    wrapper = {"__ndarray__": numbers, "dtype": str(np.dtype(dtype)), "shape": [len(numbers)]}
    return msgpack.packb(wrapper, use_single_float=single)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_length(dtype):
    for length in LENGTHS:
        samples = row(length, dtype)
        payload = CODEC.pack(samples)
        assert payload == packed(samples.tolist(), dtype, single=samples.itemsize < 8)
        assert CODEC.pack(np.repeat(samples, 2)[::2]) == payload
        read = CODEC.unpack(payload)
        assert read.dtype == samples.dtype
        assert read.tobytes() == samples.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_byte_after_the_frame_is_written(dtype):
    for length in LENGTHS:
        frame = CODEC.encode(MessageType.ECG_DATA, row(length, dtype), timestamp=1)
        buffer = bytearray(b"\xa5" * (len(frame) + 64))
        CODEC.encode_into(buffer, 0, MessageType.ECG_DATA, row(length, dtype), timestamp=1)
        assert buffer == frame + b"\xa5" * 64


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_another_kind_of_number_at_every_place(dtype, single):
    for length in (7, 8, 9, 15, 16, 17, 33, 40):
        for place in range(length):
            for other in (1, -5, 70_000, 2**40):
                numbers = [n + 0.5 for n in range(length)]
                numbers[place] = other
                read = CODEC.unpack(packed(numbers, dtype, single=single))
                assert np.array_equal(read, np.array(numbers, dtype))


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("other", ["x", True, None])
def test_no_number_at_every_place(dtype, single, other):
    for place in range(40):
        numbers = [n + 0.5 for n in range(40)]
        numbers[place] = other
        with pytest.raises(InvalidDataFormat):
            CODEC.unpack(packed(numbers, dtype, single=single))

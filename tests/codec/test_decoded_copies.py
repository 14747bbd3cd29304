"""``Codec(copy=True)``: a decoded message does not need its buffer any more, and its arrays may be written."""

import gc
import sys

import numpy as np
import pytest
import twin
from cases import each_case

import ecgframe
from ecgframe import Codec, MessageType

CORES = [ecgframe, twin.load_plain()] if ecgframe.accelerated else [ecgframe]
SIGNALS = [
    np.arange(64.0).reshape(2, 32),
    np.arange(64.0, dtype=">f4").reshape(2, 32),
    np.arange(7, dtype="i2"),
    np.array([True, False]),
    np.array(5, "u8"),
    np.empty((0, 12), "f4"),
]


def a_frame(signal, ndarray="binary", compression=None):
    data = {"signal": signal, "raw": b"octets", "leads": ["I", "II"]}
    return Codec(ndarray=ndarray, compression=compression).encode(MessageType.ECG_DATA, data)


@pytest.mark.parametrize("package", CORES, ids=lambda core: core.__name__)
@each_case("signal", SIGNALS, ids=lambda signal: f"{signal.dtype.str} {signal.shape}")
@each_case("ndarray", ["list", "binary"])
@each_case("compression", [None, ecgframe.Compression(threshold=0)], ids=["plain", "deflated"])
def test_arrays_are_copies_that_may_be_written(package, signal, ndarray, compression):
    buffer = bytearray(a_frame(signal, ndarray, compression))
    data = package.Codec(copy=True).decode(buffer).data
    arrived = data["signal"]
    assert arrived.dtype == signal.dtype
    assert arrived.dtype.str == signal.dtype.str
    assert arrived.flags.writeable
    assert arrived.flags.c_contiguous
    assert arrived.flags.aligned
    assert not np.shares_memory(arrived, np.frombuffer(buffer, np.uint8))
    buffer[:] = bytes(len(buffer))  # as if the next message arrived in the same buffer
    buffer.clear()
    assert np.array_equal(arrived, signal)
    assert arrived.shape == signal.shape
    assert (data["raw"], data["leads"]) == (b"octets", ["I", "II"])
    arrived[...] = 1
    assert (arrived == 1).all()


@pytest.mark.parametrize("package", CORES, ids=lambda core: core.__name__)
def test_the_buffer_is_released(package):
    frame = a_frame(SIGNALS[0])
    before = sys.getrefcount(frame)
    message = package.Codec(copy=True).decode(frame)
    gc.collect()
    assert sys.getrefcount(frame) == before
    assert message.data["signal"].base is None or message.data["signal"].flags.owndata


@pytest.mark.parametrize("package", CORES, ids=lambda core: core.__name__)
def test_each_way_to_decode_copies(package):
    codec = package.Codec(copy=True)
    frame = a_frame(SIGNALS[0])
    assert next(codec.decode_all(frame)).data["signal"].flags.writeable
    assert next(codec.decode_each(frame)).data["signal"].flags.writeable
    payload = package.Codec(ndarray="binary").pack({"signal": SIGNALS[0]})
    assert codec.unpack(payload)["signal"].flags.writeable
    assert not package.Codec().unpack(payload)["signal"].flags.writeable


def test_by_default_nothing_is_copied():
    frame = a_frame(SIGNALS[0])
    assert "copy=True" in repr(Codec(copy=True))
    assert np.shares_memory(Codec().decode(frame).data["signal"], np.frombuffer(frame, np.uint8))


@pytest.mark.parametrize("package", CORES, ids=lambda core: core.__name__)
def test_copying_refuses_the_same_frames(package):
    wrapper = {"__ndarray__": bytes([2]), "dtype": "bool", "shape": [1]}
    payload = b"\x83" + b"".join(package.pack(part) for item in wrapper.items() for part in item)
    for copy in (False, True):
        with pytest.raises(package.ProtocolError, match="bool sample of value 2"):
            package.Codec(copy=copy).unpack(payload)

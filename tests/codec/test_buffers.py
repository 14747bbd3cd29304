"""A frame may lie in any contiguous buffer."""

import array
import contextlib
import ctypes
import mmap
import sys

import numpy as np
import pytest
from cases import each_case

from ecgframe import Codec, MessageType, ProtocolError, crc32, decode, decode_all, encode, pack, split, unpack

DATA = {"signal": np.arange(8, dtype="int16"), "text": "lead II"}


def frame_of_size_12n():
    """Its bytes can be laid out as a matrix, and as 32-bit integers."""
    for pad in range(12):
        frame = encode(MessageType.ECG_DATA, DATA | {"pad": "x" * pad}, timestamp=1)
        if len(frame) % 12 == 0:
            return frame
    raise AssertionError


def mapped(frame, tmp_path):
    path = tmp_path / "frame"
    path.write_bytes(frame)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview of a part": lambda frame: memoryview(b"ab" + frame + b"c")[2:-1],
    "2-D memoryview": lambda frame: memoryview(frame).cast("B", (4, len(frame) // 4)),
    "memoryview of chars": lambda frame: memoryview(frame).cast("c"),
    "array": lambda frame: array.array("I", frame),
    "1-D ndarray": lambda frame: np.frombuffer(frame, np.uint8),
    "2-D ndarray": lambda frame: np.frombuffer(frame, np.uint8).reshape(-1, 4),
    "3-D ndarray": lambda frame: np.frombuffer(frame, np.uint8).reshape(2, -1, 2),
    "Fortran-ordered column": lambda frame: np.asfortranarray(np.frombuffer(frame, np.uint8).reshape(-1, 1)),
    "ndarray of int32": lambda frame: np.frombuffer(frame, np.int32),
    "ndarray of big-endian": lambda frame: np.frombuffer(frame, ">i2"),
    "writable ndarray": lambda frame: np.frombuffer(frame, np.uint8).copy(),
}


@pytest.fixture(params=[*BUFFERS, "mmap"])
def buffer(request, tmp_path):
    frame = frame_of_size_12n()
    if request.param != "mmap":
        yield BUFFERS[request.param](frame)
        return
    with mapped(frame, tmp_path) as view:
        yield view


def test_split_takes_it(buffer):
    header, payload = split(buffer)
    frame = frame_of_size_12n()
    assert header.length == len(frame) - 19
    assert isinstance(payload, memoryview)
    assert (payload.format, payload.itemsize, payload.ndim, payload.c_contiguous) == ("B", 1, 1, True)
    assert bytes(payload) == frame[19:]
    payload.release()


def test_decode_takes_it(buffer):
    assert np.array_equal(decode(buffer).data["signal"], DATA["signal"])


def test_decode_all_takes_it(buffer):
    messages = list(decode_all(buffer))
    assert [message.data["text"] for message in messages] == ["lead II"]


def test_crc32_takes_it(buffer):
    assert crc32(buffer) == crc32(frame_of_size_12n())


@pytest.mark.parametrize("kind", BUFFERS)
def test_unpack_takes_it(kind):
    payload = pack("x" * 34)
    assert len(payload) == 36
    assert unpack(BUFFERS[kind](payload)) == "x" * 34


@each_case("call", [decode, split, unpack, crc32, lambda buffer: list(decode_all(buffer))])
@each_case("not_a_buffer", [None, "frame", 7, 1.5, [1, 2], object()])
def test_an_argument_without_a_buffer_is_a_type_error(call, not_a_buffer):
    with pytest.raises(TypeError):
        call(not_a_buffer)


@pytest.mark.parametrize("call", [decode, split, unpack, crc32, lambda buffer: list(decode_all(buffer))])
@pytest.mark.parametrize("step", [2, -1])
def test_a_buffer_with_gaps_is_refused_not_copied(call, step):
    with pytest.raises(BufferError):
        call(memoryview(frame_of_size_12n())[::step])


@pytest.mark.parametrize("call", [decode, split, unpack, crc32, lambda buffer: list(decode_all(buffer))])
def test_a_released_memoryview_is_refused(call):
    view = memoryview(frame_of_size_12n())
    view.release()
    with pytest.raises((BufferError, ValueError), match="released"):
        call(view)


def test_no_buffer_is_held_after_a_refusal():
    frame = bytearray(frame_of_size_12n())
    frame[-1] ^= 1
    with pytest.raises(ProtocolError) as caught:
        decode(frame)
    del caught
    frame.append(0)


def test_no_buffer_is_held_after_plain_data_was_decoded():
    frame = bytearray(encode(MessageType.PING, {"blob": b"abc", "text": "x", "list": [1.5]}))
    message = decode(frame)
    frame.append(0)
    assert message.data["blob"] == b"abc"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="since Python 3.12 nobody counts the references to None")
@pytest.mark.parametrize(
    "lender",
    [
        lambda: split(encode(MessageType.PING, 0))[1].obj,
        lambda: decode(Codec(ndarray="binary").encode(MessageType.ECG_DATA, DATA)).data["signal"].base,
    ],
    ids=["payload", "array"],
)
def test_a_refusal_of_writable_bytes_keeps_the_references_to_none(lender):
    refuser = lender()
    before = sys.getrefcount(None)
    for _ in range(1000):
        with contextlib.suppress(TypeError):
            (ctypes.c_char * 1).from_buffer(refuser)
        np.frombuffer(refuser, np.uint8)
    assert abs(sys.getrefcount(None) - before) < 100

"""Frames written into a buffer that the caller owns."""

import mmap

import numpy as np
import pytest
from cases import each_case

from ecgframe import Codec, Compression, Flag, MessageTooLarge, MessageType, decode, decode_all

SIGNAL = np.round(np.sin(np.arange(3000.0)).reshape(3, 1000), 3)
DATA = {"signal": SIGNAL, "sampling_rate": 250}


@each_case("version", [1, 2, 3])
@each_case("compression", [None, Compression()])
@each_case("ndarray", ["list", "binary"])
@each_case("offset", [0, 5, 8])
def test_the_bytes_are_those_of_encode(version, compression, ndarray, offset):
    codec = Codec(version=version, compression=compression, ndarray=ndarray)
    stamp = {} if version < 3 else {"timestamp": 1_700_000_000_000_000}
    buffer = bytearray(b"\xaa" * 40_000)
    size = codec.encode_into(buffer, offset, MessageType.ECG_DATA, DATA, **stamp)
    assert buffer[offset : offset + size] == codec.encode(MessageType.ECG_DATA, DATA, **stamp)
    assert buffer[:offset] == b"\xaa" * offset


@pytest.mark.parametrize("make", [bytearray, lambda n: mmap.mmap(-1, n), lambda n: np.zeros(n // 8), memoryview])
def test_any_writable_buffer_will_do(make):
    buffer = make(bytearray(4096)) if make is memoryview else make(4096)
    size = Codec().encode_into(buffer, 16, MessageType.PING, {"n": 1})
    assert decode(memoryview(buffer).cast("B")[16 : 16 + size]).data == {"n": 1}


def test_frames_can_be_laid_end_to_end():
    codec = Codec()
    buffer = bytearray(1000)
    end = 0
    for n in range(5):
        end += codec.encode_into(buffer, end, MessageType.PING, {"n": n}, flags=Flag.PRIORITY)
    assert [message.data["n"] for message in decode_all(memoryview(buffer)[:end])] == [0, 1, 2, 3, 4]


def test_a_frame_may_fill_the_buffer_to_its_last_byte():
    codec = Codec(compression=None)
    frame = codec.encode(MessageType.ECG_DATA, DATA, timestamp=1)
    buffer = bytearray(len(frame))
    assert codec.encode_into(buffer, 0, MessageType.ECG_DATA, DATA, timestamp=1) == len(frame)
    assert buffer == frame


@pytest.mark.parametrize("missing", [1, 8, 100, 27_000])
def test_a_buffer_that_ends_before_the_frame_is_named_and_not_overrun(missing):
    codec = Codec(compression=None)
    size = len(codec.encode(MessageType.ECG_DATA, DATA))
    buffer = bytearray(b"\xaa" * (size + 16))
    with pytest.raises(BufferError, match="the buffer ends"):
        codec.encode_into(memoryview(buffer)[: size - missing], 0, MessageType.ECG_DATA, DATA)
    assert buffer[size - missing :] == b"\xaa" * (missing + 16)


@pytest.mark.parametrize("offset", [-1, 82, 100, 2**62])
def test_an_offset_without_room_for_a_header_is_refused(offset):
    with pytest.raises(BufferError, match="no room for a header"):
        Codec().encode_into(bytearray(100), offset, MessageType.PING, None)


@pytest.mark.parametrize("buffer", [b"\0" * 100, memoryview(b"\0" * 100), np.zeros(200, "u1")[::2]])
def test_a_buffer_that_cannot_be_written_end_to_end_is_refused(buffer):
    with pytest.raises(BufferError):
        Codec().encode_into(buffer, 0, MessageType.PING, None)


def test_the_limit_holds_as_in_encode():
    with pytest.raises(MessageTooLarge):
        Codec(max_payload=100).encode_into(bytearray(1000), 0, MessageType.PING, "x" * 100)


def test_the_buffer_is_free_again_afterwards():
    buffer = bytearray(100)
    Codec().encode_into(buffer, 0, MessageType.PING, None)
    with pytest.raises(TypeError):
        Codec().encode_into(buffer, 0, MessageType.PING, {1, 2})
    buffer.extend(b"x")  # a BufferError, were it still held

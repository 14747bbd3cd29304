"""Views of the received buffer: where they point, what they keep alive, when there is a copy instead."""

import gc
import mmap
import sys

import numpy as np
import pytest

from ecgframe import Codec, MessageType, decode, encode, split, unpack

SIGNAL = np.linspace(-1, 1, 64).reshape(2, 32)
BINARY = Codec(ndarray="binary", compression=None)


def address(buffer):
    return np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]


def binary_frame(signal=SIGNAL, version=3):
    return BINARY.encode(MessageType.ECG_DATA, {"signal": signal}, version=version)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_split_points_into_the_buffer(version):
    frame = encode(MessageType.PING, {"n": 1}, version=version)
    header, payload = split(frame)
    assert address(payload) == address(frame) + header.size


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_the_binary_form_is_a_view_of_the_buffer(version, kind):
    frame = kind(binary_frame(version=version))
    array = decode(frame).data["signal"]
    offset = array.__array_interface__["data"][0] - address(frame)
    assert 0 < offset < len(frame) - SIGNAL.nbytes
    assert offset % 8 == 0
    assert np.shares_memory(array, np.frombuffer(frame, np.uint8))
    assert frame[offset : offset + SIGNAL.nbytes] == SIGNAL.tobytes()
    assert array.flags.aligned
    assert array.flags.c_contiguous
    assert np.array_equal(array, SIGNAL)


def test_a_view_sees_what_happens_to_the_buffer():
    frame = bytearray(binary_frame())
    array = decode(frame).data["signal"]
    offset = array.__array_interface__["data"][0] - address(frame)
    frame[offset : offset + 8] = np.float64(7.5).tobytes()
    assert array[0, 0] == 7.5


def test_a_view_is_read_only_even_of_a_writable_buffer():
    array = decode(bytearray(binary_frame())).data["signal"]
    assert not array.flags.writeable
    with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
        array[0, 0] = 1
    with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
        array.flags.writeable = True


def test_a_view_keeps_its_buffer_alive():
    frame = binary_frame()
    before = sys.getrefcount(frame)
    array = decode(frame).data["signal"]
    assert sys.getrefcount(frame) > before
    del frame
    gc.collect()
    assert np.array_equal(array, SIGNAL)
    assert not array.flags.owndata


def test_a_view_locks_the_size_of_its_bytearray_until_it_dies():
    frame = bytearray(binary_frame())
    message = decode(frame)
    with pytest.raises(BufferError):
        frame.append(0)
    del message
    gc.collect()
    frame.append(0)


@pytest.mark.slow
def test_a_slice_of_a_view_keeps_the_buffer_too():
    frame = bytearray(binary_frame())
    part = decode(frame).data["signal"][1, 3:5]
    gc.collect()
    with pytest.raises(BufferError):
        frame.clear()
    assert np.array_equal(part, SIGNAL[1, 3:5])
    del part
    gc.collect()
    frame.clear()


def test_the_payload_view_keeps_its_buffer_alive():
    frame = bytearray(binary_frame())
    _, payload = split(frame)
    with pytest.raises(BufferError):
        frame.append(0)
    payload.release()
    frame.append(0)


def test_a_view_of_a_mapped_file_is_a_view(tmp_path):
    path = tmp_path / "frame"
    path.write_bytes(binary_frame())
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    array = decode(view).data["signal"]
    assert array.__array_interface__["data"][0] // mmap.PAGESIZE == address(view) // mmap.PAGESIZE
    with pytest.raises(BufferError):
        view.close()
    assert np.array_equal(array, SIGNAL)
    del array
    gc.collect()
    view.close()


@pytest.mark.parametrize("shift", range(1, 8))
def test_an_unaligned_buffer_is_copied(shift):
    store = bytearray(shift) + binary_frame()
    array = decode(memoryview(store)[shift:]).data["signal"]
    assert array.flags.aligned
    assert not array.flags.writeable
    assert not np.shares_memory(array, np.frombuffer(store, np.uint8))
    assert np.array_equal(array, SIGNAL)


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8"])
def test_bytes_are_aligned_anywhere(shift, dtype):
    signal = np.ones(9, dtype)
    store = bytearray(shift) + binary_frame(signal)
    array = decode(memoryview(store)[shift:]).data["signal"]
    assert np.shares_memory(array, np.frombuffer(store, np.uint8))
    assert np.array_equal(array, signal)


@pytest.mark.parametrize("dtype", ["int16", "float16", "uint32", "float32", "int64"])
def test_a_view_of_every_width(dtype):
    frame = binary_frame(np.arange(12).astype(dtype))
    array = decode(frame).data["signal"]
    assert np.shares_memory(array, np.frombuffer(frame, np.uint8))
    assert array.dtype == dtype


@pytest.mark.parametrize("dtype", [">i2", ">f4", ">f8"])
def test_big_endian_is_a_copy_and_read_only_all_the_same(dtype):
    signal = np.arange(12).astype(dtype)
    frame = binary_frame(signal)
    array = decode(frame).data["signal"]
    assert not np.shares_memory(array, np.frombuffer(frame, np.uint8))
    assert not array.flags.writeable
    assert array.dtype.str == dtype
    assert np.array_equal(array, signal)


def test_a_compressed_frame_does_not_hold_the_received_buffer():
    frame = bytearray(Codec(ndarray="binary").encode(MessageType.ECG_DATA, {"signal": np.zeros(1000)}))
    assert frame[2] & 1
    array = decode(frame).data["signal"]
    frame.append(0)
    assert not array.flags.writeable
    assert array.flags.aligned
    assert np.array_equal(array, np.zeros(1000))


def test_the_list_form_owns_its_memory_and_may_be_written():
    frame = bytearray(encode(MessageType.ECG_DATA, {"signal": SIGNAL}))
    array = decode(frame).data["signal"]
    frame.append(0)
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert array.flags.aligned
    array[0, 0] = 9


def test_unpack_gives_views_too():
    payload = BINARY.pack({"signal": SIGNAL})
    array = unpack(payload)["signal"]
    assert np.shares_memory(array, np.frombuffer(payload, np.uint8))
    assert np.array_equal(array, SIGNAL)


def test_two_arrays_of_one_frame_are_two_views():
    frame = BINARY.encode(MessageType.ECG_DATA, {"a": SIGNAL, "b": SIGNAL[:1]})
    data = decode(frame).data
    whole = np.frombuffer(frame, np.uint8)
    assert np.shares_memory(data["a"], whole)
    assert np.shares_memory(data["b"], whole)
    assert not np.shares_memory(data["a"], data["b"])


def test_encoding_copies_the_samples():
    signal = SIGNAL.copy()
    frame = binary_frame(signal)
    signal[:] = 0
    assert np.array_equal(decode(frame).data["signal"], SIGNAL)

"""The binary form: C-order little-endian bytes at a multiple of eight from the frame's first byte."""

import msgpack
import numpy as np
import oracle
import pytest
from cases import each_case
from strategies import DTYPES, as_layout

from ecgframe import Codec, MessageType, unpack

SHAPES = [(), (0,), (1,), (7,), (3, 0), (2, 3), (2, 1, 3), (2, 2, 2, 2), (1,) * 32]
CODEC = Codec(ndarray="binary", compression=None)
MARK = np.array([0x1122334455667788], np.uint64)


def numbers(dtype, shape):
    count = int(np.prod(shape))
    return (np.arange(count) % 5 - (2 if dtype.kind in "if" else 0)).astype(dtype).reshape(shape)


def place_of(array, buffer):
    return buffer.index(array.astype(array.dtype.newbyteorder("<")).tobytes())


@each_case("dtype", DTYPES, ids=str)
@each_case("shape", SHAPES, ids=str)
def test_value_dtype_and_shape_arrive(dtype, shape):
    array = numbers(dtype, shape)
    payload = CODEC.pack(array)
    assert payload == oracle.pack(array, "binary")
    arrived = unpack(payload)
    assert oracle.same(arrived, array)
    assert arrived.dtype.str == array.dtype.str
    assert not arrived.flags.writeable


@pytest.mark.parametrize("layout", ["fortran", "strided", "negative", "unaligned"])
@each_case("dtype", DTYPES, ids=str)
def test_any_layout_in_memory_is_sent_in_c_order(dtype, layout):
    array = as_layout(numbers(dtype, (3, 4, 5)), layout)
    assert CODEC.pack(array) == oracle.pack(numbers(dtype, (3, 4, 5)), "binary")
    assert oracle.same(unpack(CODEC.pack(array)), array)


def test_the_binary_form_is_a_map_of_dtype_bytes_and_shape():
    found = msgpack.unpackb(CODEC.pack(np.array([[1, 2]], ">i2")))
    assert found == {"dtype": ">i2", "__ndarray__": b"\x01\0\x02\0", "shape": [1, 2]}
    assert list(found) == ["dtype", "__ndarray__", "shape"]


@pytest.mark.parametrize("version", [1, 2, 3])
@each_case("front", range(24))
def test_the_bytes_are_aligned_whatever_stands_in_front(version, front):
    frame = CODEC.encode(MessageType.ECG_DATA, {"k" * front: MARK}, version=version)
    assert place_of(MARK, frame) % 8 == 0
    timestamp = int.from_bytes(frame[11:19], "big") if version == 3 else 0
    assert frame == oracle.encode_frame(
        1, {"k" * front: MARK}, version, 0, timestamp, compression=False, ndarray="binary"
    )


@pytest.mark.parametrize("version", [1, 3])
def test_every_padding_occurs_and_is_made_of_three_headers(version):
    seen = set()
    for front in range(8):
        payload = CODEC.encode(MessageType.ECG_DATA, {"k" * front: MARK}, version=version)[
            oracle.header_size(version) :
        ]
        rest = payload[2 + front :]
        wide_map = rest.startswith(b"\xdf\0\0\0\x03")
        assert wide_map or rest.startswith(b"\x83")
        wide_dtype = b"\xd9\x05dtype" in rest
        assert wide_dtype or b"\xa5dtype" in rest
        wide_array = b"\xda\0\x0b__ndarray__" in rest
        assert wide_array or b"\xab__ndarray__" in rest
        seen.add(4 * wide_map + 2 * wide_array + wide_dtype)
    assert seen == set(range(8))


@pytest.mark.parametrize("front", range(9))
def test_pack_aligns_from_the_payloads_first_byte(front):
    payload = CODEC.pack(["k" * front, MARK])
    assert place_of(MARK, payload) % 8 == 0
    assert payload == oracle.pack(["k" * front, MARK], "binary")


@pytest.mark.parametrize("count", [1, 255, 256, 65535, 65536, 100_000])
def test_the_header_of_the_bytes_is_the_shortest(count):
    array = (np.arange(count) + 251).astype(np.uint8)
    payload = CODEC.pack(array)
    assert msgpack.packb(array.tobytes()) in payload
    assert place_of(array, payload) % 8 == 0
    assert payload == oracle.pack(array, "binary")


def test_each_of_several_arrays_is_aligned():
    arrays = [np.full(n, 100 + n, dtype) for n in range(1, 9) for dtype in ("uint8", "int16", "float32", "float64")]
    frame = CODEC.encode(MessageType.ECG_DATA, {"arrays": arrays, "deep": {"er": [MARK]}}, version=1)
    decoded = msgpack.unpackb(frame[11:])
    assert [found["__ndarray__"] for found in decoded["arrays"]] == [array.tobytes() for array in arrays]
    assert frame == oracle.encode_frame(
        1, {"arrays": arrays, "deep": {"er": [MARK]}}, 1, compression=False, ndarray="binary"
    )
    start = np.frombuffer(frame, np.uint8).__array_interface__["data"][0]
    for array in unpack_all(frame):
        assert (array.__array_interface__["data"][0] - start) % 8 == 0


def unpack_all(frame):
    data = CODEC.decode(frame).data
    return [*data["arrays"], *data["deep"]["er"]]


def test_compressed_the_form_is_the_same_once_inflated():
    signal = np.zeros(500)
    frame = Codec(ndarray="binary").encode(MessageType.ECG_DATA, {"signal": signal})
    assert frame[2] & 1
    assert oracle.inflate(frame[19:]) == oracle.pack({"signal": signal}, "binary", origin=19)
    assert oracle.same(CODEC.decode(frame).data["signal"], signal)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_bit_of_a_float_arrives(dtype):
    bits = {
        "float16": [0x7C01, 0x7E2A, 0xFFFF, 0x8000, 1],
        "float32": [0x7F800001, 0xFFC0002A, 0x80000000, 1],
        "float64": [0x7FF0000000000001, 2**63, 1],
    }[dtype]
    array = np.array(bits, dtype.replace("float", "uint")).view(dtype)
    assert unpack(CODEC.pack(array)).tobytes() == array.tobytes()


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_the_binary_form_is_read_in_any_header_width_and_any_order_of_keys(width, order):
    data = np.arange(3, dtype="<i4").tobytes()
    header = {1: b"\xc4", 2: b"\xc5", 4: b"\xc6"}[width] + len(data).to_bytes(width, "big")
    items = [b"\xa5dtype\xa5int32", b"\xab__ndarray__" + header + data, b"\xa5shape\x91\xcd\0\x03"]
    array = unpack(b"\x83" + b"".join(items[n] for n in order))
    assert array.tolist() == [0, 1, 2]
    assert not array.flags.writeable


def test_zero_dimensions_take_the_bytes_of_one_element():
    array = unpack(oracle.pack({"__ndarray__": bytes(7) + b"\x40", "dtype": "float64", "shape": []}))
    assert array.shape == ()
    assert array[()] == 2.0


def test_the_list_form_is_what_is_sent_unless_asked():
    assert Codec().pack(MARK) == oracle.pack(MARK, "list")

"""The list form: nested lists of numbers, a dtype, a shape."""

import struct

import msgpack
import numpy as np
import oracle
import pytest
from cases import each_case
from strategies import DTYPES, as_layout

from ecgframe import ProtocolError, pack, unpack

SHAPES = [(), (0,), (1,), (7,), (0, 3), (3, 0), (2, 3), (2, 0, 3), (2, 1, 3), (2, 2, 2, 2), (1,) * 32]


def numbers(dtype, shape):
    count = int(np.prod(shape))
    return (np.arange(count) % 5 - (2 if dtype.kind in "if" else 0)).astype(dtype).reshape(shape)


def test_the_specifications_example():
    payload = pack(np.array([1.0, 2.0, 3.0]))
    assert msgpack.unpackb(payload) == {"__ndarray__": [1.0, 2.0, 3.0], "dtype": "float64", "shape": [3]}
    assert list(msgpack.unpackb(payload)) == ["__ndarray__", "dtype", "shape"]


@each_case("dtype", DTYPES, ids=str)
@each_case("shape", SHAPES, ids=str)
def test_value_dtype_and_shape_arrive(dtype, shape):
    array = numbers(dtype, shape)
    assert pack(array) == oracle.pack(array)
    arrived = unpack(pack(array))
    assert oracle.same(arrived, array)
    assert arrived.dtype.str == array.dtype.str
    assert arrived.flags.c_contiguous
    assert arrived.flags.writeable


@pytest.mark.parametrize("layout", ["fortran", "strided", "negative", "unaligned"])
@each_case("dtype", DTYPES, ids=str)
def test_any_layout_in_memory_is_sent_in_c_order(dtype, layout):
    array = as_layout(numbers(dtype, (3, 4, 5)), layout)
    assert pack(array) == oracle.pack(numbers(dtype, (3, 4, 5)))
    assert oracle.same(unpack(pack(array)), array)


def test_slices_and_broadcasts():
    array = np.arange(120.0).reshape(4, 5, 6)
    for view in (
        array[::2],
        array[:, ::-1],
        array[..., 3],
        array.T,
        array[1:1],
        array.swapaxes(0, 2)[::-1, 1:, ::3],
        np.broadcast_to(array[0], (3, 5, 6)),
    ):
        assert pack(view) == oracle.pack(np.ascontiguousarray(view))


def test_a_read_only_array_is_sent():
    array = np.arange(3)
    array.flags.writeable = False
    assert unpack(pack(array)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("dtype", "width"), [("float16", 5), ("float32", 5), ("float64", 9)])
def test_floats_take_their_width(dtype, width):
    assert len(pack(np.ones(100, dtype))) - len(pack(np.ones(0, dtype))) == 100 * width + 2


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_take_the_shortest_form(dtype):
    limits = np.iinfo(dtype)
    edges = [
        n for bits in (7, 8, 15, 16, 31, 32, 63, 64) for n in (2**bits - 1, 2**bits, -(2**bits), -(2**bits) - 1)
    ] + [-32, -33, 0, -1]
    for edge in (n for n in edges if limits.min <= n <= limits.max):
        assert msgpack.packb(edge) in pack(np.array([edge], dtype))
        assert pack(np.array(edge, dtype)) == oracle.pack(np.array(edge, dtype))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_every_integer_of_the_narrow_dtypes(dtype):
    limits = np.iinfo(dtype)
    array = np.arange(limits.min, limits.max + 1).astype(dtype)
    assert oracle.same(unpack(pack(array)), array)
    assert [int(n) for n in msgpack.unpackb(pack(array))["__ndarray__"]] == list(range(limits.min, limits.max + 1))


def test_every_float16_but_signalling_nans():
    array = np.arange(65536, dtype=np.uint16).view(np.float16)
    bits = array.view(np.uint16)
    quiet = array[~(np.isnan(array) & (bits & 0x0200 == 0))]
    assert len(quiet) == 65536 - 2 * 511
    assert oracle.same(unpack(pack(quiet)), quiet)


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("float32", [0x7FC0002A, 0xFFC00001, 0x7FFFFFFF, 0x7F800001, 0xFFA00000]),
        ("float64", [0x7FF800000000002A, 0xFFF8000000000001, 0x7FF0000000000001]),
    ],
)
def test_nans_keep_their_bits(dtype, bits):
    array = np.array(bits, dtype.replace("float", "uint")).view(dtype)
    assert unpack(pack(array)).tobytes() == array.tobytes()
    big = (
        array.astype(array.dtype.newbyteorder(">"))
        if dtype == "float64"
        else array.byteswap().view(array.dtype.newbyteorder(">"))
    )
    assert unpack(pack(big)).tobytes() == big.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_zeros_infinities_and_the_least_numbers_keep_their_bits(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    array = np.array(
        [0.0, -0.0, np.inf, -np.inf, tiny, -tiny, np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).tiny], dtype
    )
    assert unpack(pack(array)).tobytes() == array.tobytes()


def read(element, dtype):
    return unpack(oracle.pack({"__ndarray__": [element], "dtype": dtype, "shape": [1]}))[0]


@pytest.mark.parametrize(
    ("element", "dtype", "value"),
    [
        (1.0, "int8", 1),
        (-0.0, "int8", 0),
        (-128.0, "int8", -128),
        (2.0**62, "int64", 2**62),
        (-(2.0**63), "int64", -(2**63)),
        (2.0**63, "uint64", 2**63),
        (18446744073709549568.0, "uint64", 18446744073709549568),
        (2**64 - 1, "uint64", 2**64 - 1),
        (2**64 - 1, "float64", 2.0**64),
        (2**53 + 1, "float64", 2.0**53),
        (7, "float16", 7.0),
        (True, "bool", True),
        (0, "bool", False),
        (1, "bool", True),
    ],
)
def test_elements_of_another_kind_that_fit(element, dtype, value):
    arrived = read(element, dtype)
    assert arrived == value
    assert arrived.dtype == dtype


@pytest.mark.parametrize(
    ("element", "dtype", "bits"),
    [
        (2**63 + 2**39 + 1, "float32", 0x5F000001),
        (2**63 - 2**38 + 1, "float32", 0x5F000000),
        (-(2**62) - 2**38 - 1, "float32", 0xDE800001),
        (1 + 2.0**-24 + 2.0**-50, "float32", 0x3F800001),
        (1 + 2.0**-24, "float32", 0x3F800000),
        (1 + 2.0**-11 + 2.0**-40, "float16", 0x3C01),
        (1 + 2.0**-11, "float16", 0x3C00),
        (2.0**-25, "float16", 0x0000),
        (2.0**-25 * (1 + 2.0**-40), "float16", 0x0001),
        (65519.999, "float16", 0x7BFF),
        (2**24 + 1, "float32", 0x4B800000),
    ],
)
def test_numbers_are_rounded_once(element, dtype, bits):
    arrived = read(element, dtype)
    assert arrived.view(dtype.replace("float", "uint")) == bits
    assert arrived == oracle.read_element(element, np.dtype(dtype))


@pytest.mark.parametrize(
    ("largest", "too_large", "dtype"),
    [
        (3.4028235677973362e38, 3.4028235677973366e38, "float32"),
        (65519.99999999999, 65520.0, "float16"),
        (65519, 65520, "float16"),
    ],
)
def test_the_edge_of_infinity(largest, too_large, dtype):
    assert read(largest, dtype) == np.finfo(dtype).max
    assert read(-largest, dtype) == np.finfo(dtype).min
    for number in (too_large, -too_large):
        with pytest.raises(ProtocolError) as caught:
            read(number, dtype)
        assert caught.value.code == 0x200


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f2", ">f4"])
def test_infinities_and_nans_that_were_sent_are_no_overflow(dtype):
    for wide in (float("inf"), float("-inf"), float("nan")):
        assert np.array_equal(read(wide, dtype), wide, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float64", "<f8", "=f8", "|f8", "d", "double", "float", "f8"])
def test_spellings_of_a_dtype(dtype):
    assert read(0.5, dtype).dtype == np.float64


@pytest.mark.parametrize("bits", [0x7FC0002A, 0x7F800001, 0x80000000, 1, 0x7F800000])
def test_a_float_32_read_as_float64_is_widened(bits):
    element = struct.pack(">BI", 0xCA, bits)
    payload = b"\x83\xab__ndarray__\x91" + element + b"\xa5dtype\xa7float64\xa5shape\x91\x01"
    with np.errstate(invalid="ignore"):
        expected = np.array([bits], np.uint32).view(np.float32).astype(np.float64)
    arrived = unpack(payload)
    assert np.array_equal(arrived, expected, equal_nan=True)
    assert np.signbit(arrived[0]) == np.signbit(expected[0])


@pytest.mark.parametrize("count", [15, 16, 65535, 65536, 200_000])
def test_long_lists(count):
    array = (np.arange(count) % 251).astype(np.uint8)
    assert oracle.same(unpack(pack(array)), array)
    assert len(pack(array)) - len(pack(np.zeros(0, np.uint8))) >= count

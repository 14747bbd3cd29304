"""Ndarray wrappers whose fields contradict each other are refused with 0x200, without a guess or an allocation."""

import tracemalloc

import numpy as np
import oracle
import pytest
from cases import each_case
from verdicts import verdict

from ecgframe import InvalidDataFormat, unpack


def wrapper(data, dtype="int16", shape=(2, 3)):
    return {"__ndarray__": data, "dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape}


TRUE_LIST = wrapper([[1, 2, 3], [4, 5, 6]])
TRUE_BYTES = wrapper(bytes(12))
HUGE = [2**31, 2**31, 2**32 - 1]


def refused(value):
    payload = oracle.pack(value)
    assert verdict(unpack, payload) == verdict(oracle.unpack, payload) == (0x200, 11)


def test_the_wrappers_to_be_spoilt_are_true():
    assert unpack(oracle.pack(TRUE_LIST)).shape == (2, 3)
    assert unpack(oracle.pack(TRUE_BYTES)).shape == (2, 3)


@pytest.mark.parametrize("true", [TRUE_LIST, TRUE_BYTES])
@pytest.mark.parametrize("key", ["__ndarray__", "dtype", "shape"])
def test_a_missing_key(true, key):
    spoilt = {k: v for k, v in true.items() if k != key}
    if key == "__ndarray__":
        assert unpack(oracle.pack(spoilt)) == spoilt
    else:
        refused(spoilt)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("true", [TRUE_LIST, TRUE_BYTES])
def test_shape_and_count_disagree_in_any_order_of_keys(true, order):
    items = list(true.items())
    assert unpack(oracle.pack(dict(items[n] for n in order))).shape == (2, 3)
    items[2] = ("shape", [2, 4])
    refused(dict(items[n] for n in order))


@pytest.mark.parametrize(
    "shape", [[], [0], [5], [7], [3, 2], [6, 1], [1, 6], [2, 3, 1], [1, 2, 3], [2, 3, 0], [2], [3]]
)
def test_another_shape_of_a_nested_list(shape):
    refused(wrapper([[1, 2, 3], [4, 5, 6]], shape=shape))


@pytest.mark.parametrize("shape", [[], [0], [5], [7], [3, 3], [6, 0], [2, 3, 2]])
@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], bytes(12)])
def test_another_count_of_a_flat_list_or_bytes(data, shape):
    refused(wrapper(data, shape=shape))


@pytest.mark.parametrize("shape", [[3, 2], [6], [1, 6], [6, 1], [2, 3, 1], [1, 2, 3], [1, 1, 6]])
@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], bytes([1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0])])
def test_the_right_count_takes_any_shape_when_flat(data, shape):
    assert np.array_equal(unpack(oracle.pack(wrapper(data, shape=shape))), np.arange(1, 7).reshape(shape))


@pytest.mark.parametrize(
    "data",
    [
        [[1, 2, 3], [4, 5]],
        [[1, 2, 3], [4, 5, 6, 7]],
        [[1, 2, 3, 4], [5, 6]],
        [[1, 2, 3], 4, 5, 6],
        [1, 2, 3, [4, 5, 6]],
        [[1, 2, 3]],
        [[1, 2, 3], [4, 5, 6], []],
        [[], [1, 2, 3], [4, 5, 6]],
        [[[1, 2, 3], [4, 5, 6]]],
        [[[1], [2], [3]], [[4], [5], [6]]],
        [[1, 2, 3], [4, 5, [6]]],
        [[1, 2], [3, 4], [5, 6]],
        [[1, 2, 3], bytes(6)],
        [[1, 2, 3], "456"],
        [[1, 2, 3], {}],
        [[1, 2, 3], None],
        [],
        [[], []],
    ],
)
def test_nesting_that_is_not_the_shapes(data):
    refused(wrapper(data))


@pytest.mark.parametrize(
    "data", [None, True, 1, 1.5, "123456", {}, {"a": 1}, [None] * 6, ["1"] * 6, [b"1"] * 6, [[1]] * 6]
)
def test_data_that_is_neither_list_nor_bytes_nor_numbers(data):
    refused(wrapper(data))


@each_case(
    "shape",
    [
        None,
        True,
        6,
        6.0,
        "6",
        b"\x06",
        {},
        {"0": 6},
        [6.0],
        [True, 6],
        [6, True],
        [None],
        ["6"],
        [[6]],
        [-1],
        [-6],
        [2, -3],
        [-2, -3],
        [2**32],
        [2**63],
        [2**64 - 1],
        [-(2**63)],
        HUGE,
        [2**32 - 1, 2**32 - 1],
        [0, 2**32],
        [0, -1],
        [0, *HUGE],
        [1] * 33,
        [1] * 1000,
    ],
)
@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], bytes(12), [], b"", [[1, 2, 3], [4, 5, 6]]])
def test_an_impossible_shape(data, shape):
    refused(wrapper(data, shape=shape))


UNKNOWN = """
    |O object g float128 longdouble c8 complex128 F D S S4 U4 str bytes V8 void M8[s] datetime64 m8 timedelta64[ns] T
    f3 f16 i3 i16 u0 float24 uint128 dtype None f8,f8 2f8 1f8 (2,)f8 ()f8 {} <> << <<f8 ,f8 f8, ( [ ' x < | = 8f _ é
"""
BLANKS = ["", " ", "f8 ", " f8", "f8\0", "f8\n", "\0", "\t", "\x0c", "f" * 33, "float64" + " " * 30, "f\uff18"]


@each_case("dtype", UNKNOWN.split() + BLANKS)
@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], bytes(48)])
def test_an_unknown_dtype(data, dtype):
    refused(wrapper(data, dtype))


@pytest.mark.parametrize(
    "dtype",
    [None, True, 8, 1.5, b"float64", ["float64"], [["a", "f8"]], {"descr": "f8"}, {"names": ["a"], "formats": ["f8"]}],
)
def test_a_dtype_that_is_no_text(dtype):
    refused(wrapper([1] * 6, dtype))


@each_case(
    "element",
    [
        None,
        "1",
        b"1",
        {},
        [],
        [1],
        1.5,
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1.0,
        True,
        False,
        {"__uuid__": "x"},
    ],
)
@pytest.mark.parametrize("place", [0, 3, 5])
def test_an_element_that_is_no_int16(element, place):
    elements = [1, 2, 3, 4, 5, 6]
    elements[place] = element
    refused(wrapper(elements))
    refused(wrapper([elements[:3], elements[3:]]))


@pytest.mark.parametrize("size", [0, 1, 11, 13, 24, 48])
def test_a_wrong_number_of_bytes(size):
    refused(wrapper(bytes(size)))


def test_a_byte_that_is_no_bool():
    for byte in range(2, 256):
        refused(wrapper(bytes([1, 0, byte]), "bool", [3]))


@pytest.mark.parametrize("data", [[1, 2, 3], [], b"", bytes(8)])
@pytest.mark.parametrize("shape", [[2**32 - 1], HUGE, [2**30, 2**30], [1 << 28]])
def test_a_huge_shape_allocates_nothing(data, shape):
    payload = oracle.pack(wrapper(data, "float64", shape))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidDataFormat):
            unpack(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000


def test_a_huge_shape_with_nothing_in_it_is_an_empty_array():
    array = unpack(oracle.pack(wrapper([], "int8", [2**32 - 1, 2**30, 0])))
    assert array.shape == (2**32 - 1, 2**30, 0)
    assert unpack(oracle.pack(wrapper(b"", "int8", [0, 2**32 - 1]))).shape == (0, 2**32 - 1)

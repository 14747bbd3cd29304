"""numeric_lists="ndarray": plain lists of numbers arrive as arrays, for front ends that send plain lists."""

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from ecgframe import Codec, ProtocolError, pack

CODEC = Codec(numeric_lists="ndarray")


def read(value):
    return CODEC.unpack(oracle.pack(value))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1], "int64"),
        ([1, -2, 3], "int64"),
        ([0, 2**63 - 1, -(2**63)], "int64"),
        ([2**63], "uint64"),
        ([0, 2**64 - 1], "uint64"),
        ([1.5], "float64"),
        ([0.0, -0.0, float("inf"), 5e-324], "float64"),
        ([1, 2.5], "float64"),
        ([2.5, 2**53, -(2**53)], "float64"),
        ([[1, 2], [3, 4]], "int64"),
        ([[1]], "int64"),
        ([[1, 2], [3.5, 4]], "float64"),
        ([[1.5], [2], [3]], "float64"),
        ([[1, 2**63], [3, 4]], "uint64"),
        ([list(range(500))] * 12, "int64"),
    ],
)
def test_numbers_become_an_array(value, dtype):
    array = read(value)
    assert oracle.same(array, np.array(value, dtype))
    assert array.flags.writeable
    assert array.flags.c_contiguous


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[]],
        [[], []],
        [True, False],
        [1, True],
        [1.5, False],
        [1, None],
        [1, "2"],
        ["1", "2"],
        [b"1"],
        [2**63, -1],
        [2**53 + 1, 1.5],
        [1.5, -(2**53) - 1],
        [1.5, 2**64 - 1],
        [{}],
        [{"a": 1}],
        [[True]],
    ],
)
def test_other_lists_stay_lists(value):
    assert oracle.same(read(value), value)


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3]],
        [[1, 2], 3],
        [1, [2, 3]],
        [[1, 2], []],
        [[], [1, 2]],
        [[1, 2], [3, True]],
        [[1, 2], None],
        [[1.5, 2], [3, 2**53 + 1]],
        [[2**63], [-1]],
        [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        [[[1]]],
        [[[[1, 2]]]],
        {"a": [1, 2], 3: [[1.5], [2]], "c": {"d": [4]}},
        [{"a": [1]}, [2, 3], "x"],
    ],
)
def test_deeper_and_ragged_lists_are_read_as_the_oracle_reads_them(value):
    assert oracle.same(read(value), oracle.lists_to_arrays(value))


@pytest.mark.parametrize("type", oracle.TYPES.values())
def test_only_data_messages_are_read_so(type):
    frame = oracle.encode_frame(type, {"signal": [1, 2, 3], "n": 1})
    signal = CODEC.decode(frame).data["signal"]
    if type in (1, 2, 3, 4):
        assert oracle.same(signal, np.array([1, 2, 3]))
    else:
        assert signal == [1, 2, 3]


def test_a_list_that_is_the_whole_payload():
    assert oracle.same(CODEC.decode(oracle.encode_frame(1, [1.5, 2.5])).data, np.array([1.5, 2.5]))


def test_compressed_and_batched_frames_too():
    frame = oracle.encode_frame(1, {"signal": [0.5] * 1000})
    assert frame[2] == 1
    for message in CODEC.decode_all(frame + frame):
        assert oracle.same(message.data["signal"], np.full(1000, 0.5))


def test_the_default_leaves_lists_alone():
    assert Codec().unpack(pack([1, 2])) == [1, 2]
    assert Codec(numeric_lists="list").decode(oracle.encode_frame(1, [1, 2])).data == [1, 2]


def test_wrappers_are_untouched():
    array = np.arange(6, dtype="int16").reshape(2, 3)
    assert oracle.same(read({"a": array, "b": [array]}), {"a": array, "b": [array]})


def test_an_invalid_wrapper_is_refused_as_without_the_option():
    with pytest.raises(ProtocolError) as caught:
        read({"__ndarray__": [1, 2], "dtype": "int8", "shape": [3]})
    assert caught.value.code == 0x200


def test_a_plain_map_that_looks_like_a_wrapper_is_a_map_of_arrays():
    value = {"__ndarray__": [1, 2], "dtype": "int8", "shape": [2], "units": "mV"}
    assert oracle.same(read(value), value | {"__ndarray__": np.array([1, 2]), "shape": np.array([2])})


@pytest.mark.parametrize("wide", [b"\xdc\0\x03\xcd\0\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xfe\xca\x3f\xc0\0\0"])
def test_any_width_of_number(wide):
    assert oracle.same(CODEC.unpack(wide), np.array([1.0, -2.0, 1.5]))


numbers = st.one_of(st.integers(-5, 5), strategies.ints, strategies.floats, st.booleans(), st.none())
rows = st.integers(0, 3).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), max_size=3))
trees = st.recursive(
    st.one_of(numbers, st.lists(st.integers(-5, 5), max_size=4), rows),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(strategies.keys, inner, max_size=3)),
)


@given(trees)
def test_any_tree_of_numbers_is_read_as_the_oracle_reads_it(tree):
    assert oracle.same(read(tree), oracle.lists_to_arrays(tree))

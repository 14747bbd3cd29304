"""Depth and number of values that a reader takes."""

import struct
import tracemalloc
import zlib

import numpy as np
import oracle
import pytest
from cases import each_case
from verdicts import verdict

from ecgframe import Codec, InvalidDataFormat, MessageTooLarge, decode, unpack

MAX_VALUES = 2**20
BINARY_VALUES = 4


@pytest.mark.parametrize(
    "box", [b"\x91", b"\xdc\0\x01", b"\xdd\0\0\0\x01", b"\x81\xa1a", b"\xde\0\x01\x01", b"\xdf\0\0\0\x01\xa0"]
)
@pytest.mark.parametrize("leaf", [b"\x90", b"\x80", b"\x91\xc0"])
def test_sixty_four_deep_and_no_deeper(box, leaf):
    assert oracle.same(unpack(box * 63 + leaf), oracle.unpack(box * 63 + leaf))
    for depth in (64, 65, 1000, 100_000):
        with pytest.raises(InvalidDataFormat) as caught:
            unpack(box * depth + leaf)
        assert caught.value.check == 11


def test_a_sixty_fifth_container_later_in_the_payload():
    with pytest.raises(InvalidDataFormat):
        unpack(b"\x93\x01" + b"\x91" * 63 + b"\xc0" + b"\x91" * 64 + b"\xc0")
    assert unpack(b"\x92" + (b"\x91" * 63 + b"\xc0") * 2)


def boxed(depth, payload):
    return b"\x91" * depth + payload


@pytest.mark.parametrize(
    ("wrapper", "room"),
    [
        ({"__datetime__": "2024-01-15"}, 1),
        ({"__uuid__": "550e8400-e29b-41d4-a716-446655440000"}, 1),
        ({"__ndarray__": [1, 2], "dtype": "int8", "shape": [2]}, 2),
        ({"__ndarray__": [[[1], [2]]], "dtype": "int8", "shape": [1, 2, 1]}, 4),
        ({"shape": [1, 2, 1], "dtype": "int8", "__ndarray__": [[[1], [2]]]}, 4),
        ({"__ndarray__": b"\1\2", "dtype": "int8", "shape": [2]}, 2),
        ({"__ndarray__": 1, "dtype": "int8", "shape": []}, 2),
        ({"dtype": "int8", "shape": [1] * 32, "__ndarray__": np.ones((1,) * 32, "i8").tolist()}, 33),
    ],
)
def test_wrappers_and_their_lists_count(wrapper, room):
    payload = oracle.pack(wrapper)
    assert oracle.same(unpack(boxed(64 - room, payload)), oracle.unpack(boxed(64 - room, payload)))
    with pytest.raises(oracle.Refused):
        oracle.unpack(boxed(65 - room, payload))
    with pytest.raises(InvalidDataFormat):
        unpack(boxed(65 - room, payload))


def list_of(count, item):
    return b"\xdd" + struct.pack(">I", count) + item * count


@pytest.mark.slow
@pytest.mark.parametrize("item", [b"\x90", b"\x80", b"\xdc\0\0", b"\xdf\0\0\0\0"])
def test_a_million_containers_and_no_more(item):
    assert len(unpack(list_of(MAX_VALUES - 1, item))) == MAX_VALUES - 1
    with pytest.raises(MessageTooLarge) as caught:
        unpack(list_of(MAX_VALUES, item))
    assert (caught.value.code, caught.value.check) == (0x102, 11)


REPEATED = 1000
"""How often the value under test is in the payload. The others are binaries, which are fast to read."""

NDARRAY = b"\x83\xab__ndarray__\x01\xa5dtype\xa2u1\xa5shape\x90"


@pytest.mark.slow
@each_case(
    ("item", "counts"),
    [
        (b"\xa0", 1),
        (b"\xa2ab", 1),
        (b"\xd9\x00", 1),
        (b"\xa2\xc3\xa9", 1),
        (b"\xc4\x00", 4),
        (b"\xc4\x01\x07", 4),
        (b"\x81\xa0\xc0", 2),
        (b"\x81\x05\x05", 2),
        (b"\x81\xcc\x05\xa0", 3),
        (b"\x81\xd9\x01a\x90", 3),
        (b"\x92\x81\x01\x90\x90", 5),
        (NDARRAY, 8),
        (NDARRAY.replace(b"\x83\xab__ndarray__\x01", b"\x83\xab__ndarray__\xc4\x01\x01"), 8),
        (NDARRAY.replace(b"\x83", b"\xdf\0\0\0\x03"), 8),
        (b"\x81\xac__datetime__\xaa2024-01-15", 3),
        (b"\x91\x01", 1),
        (b"\x92\x91\x01\x91\x02", 3),
    ],
)
@each_case("numeric", ["list", "ndarray"])
def test_each_kind_of_value_counts_as_the_protocol_says(item, counts, numeric):
    """MAX_VALUES are read, one more is refused, and the oracle counts alike."""
    binaries, texts = divmod(MAX_VALUES - 1 - REPEATED * counts, BINARY_VALUES)  # the list around them counts 1

    def frame(more):
        items = item * REPEATED + b"\xc4\x00" * binaries + b"\xa0" * (texts + more)
        return oracle.frame(2, 1, 0, b"\xdd" + struct.pack(">I", REPEATED + binaries + texts + more) + items)

    codec = Codec(numeric_lists=numeric)
    assert len(codec.decode(frame(0)).data) == REPEATED + binaries + texts
    with pytest.raises(MessageTooLarge) as caught:
        codec.decode(frame(1))
    assert (caught.value.code, caught.value.check) == (0x102, 11)
    if numeric == "list":  # the oracle has no such option
        assert verdict(oracle.decode_frame, frame(1), 2**26) == (0x102, 11)


@pytest.mark.parametrize("item", [b"\x01", b"\xc0", b"\xc3", b"\xcb" + bytes(8), b"\xcf" + b"\xff" * 8])
def test_numbers_nil_and_booleans_count_nothing(item):
    assert len(unpack(list_of(MAX_VALUES + 1, item))) == MAX_VALUES + 1


@pytest.mark.slow
def test_values_of_all_depths_count_together():
    item = b"\x92\x81\x01\x90\x90"
    with pytest.raises(MessageTooLarge):
        unpack(list_of(MAX_VALUES // 5 + 1, item))
    assert unpack(list_of(MAX_VALUES // 5, item))


@pytest.mark.slow
def test_the_count_starts_again_with_each_payload():
    half = list_of(MAX_VALUES // 2, b"\x90")
    for _ in range(3):
        assert len(unpack(half)) == MAX_VALUES // 2


@pytest.mark.parametrize(
    "keys", [("__ndarray__", "dtype", "shape"), ("shape", "dtype", "__ndarray__"), ("dtype", "__ndarray__", "shape")]
)
def test_rows_of_samples_do_not_count(keys):
    rows = MAX_VALUES + 10
    parts = {
        "__ndarray__": list_of(rows, b"\x92\x01\x02"),
        "dtype": oracle.pack("int8"),
        "shape": oracle.pack([rows, 2]),
    }
    payload = b"\x83" + b"".join(oracle.pack(key) + parts[key] for key in keys)
    array = unpack(payload)
    assert array.shape == (rows, 2)
    assert (array == [1, 2]).all()


@pytest.mark.parametrize("keys", [("__ndarray__", "dtype", "shape"), ("shape", "dtype", "__ndarray__")])
def test_rows_of_nothing_cost_nothing(keys):
    rows = 4 * MAX_VALUES
    parts = {"__ndarray__": list_of(rows, b"\x90"), "dtype": oracle.pack("int8"), "shape": oracle.pack([rows, 0])}
    payload = b"\x83" + b"".join(oracle.pack(key) + parts[key] for key in keys)
    tracemalloc.start()
    try:
        assert unpack(payload).shape == (rows, 0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{"units": 1}, {}])
def test_rows_in_what_is_no_wrapper_after_all_do_count(extra):
    rows = MAX_VALUES + 10
    payload = (
        bytes([0x82 + len(extra)])
        + oracle.pack("__ndarray__")
        + list_of(rows, b"\x90")
        + oracle.pack("dtype")
        + oracle.pack("int8")
    )
    payload += b"".join(oracle.pack(key) + oracle.pack(item) for key, item in extra.items())
    with pytest.raises(MessageTooLarge):
        unpack(payload)


def test_a_compressed_payload_is_counted_too():
    frame = oracle.frame(2, 0x11, oracle.COMPRESSED, zlib.compress(list_of(MAX_VALUES, b"\x80")))
    assert len(frame) < 5000
    with pytest.raises(MessageTooLarge) as caught:
        decode(frame)
    assert caught.value.check == 11


@pytest.mark.parametrize(
    "header",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdc\xff\xff",
        b"\xde\xff\xff",
    ],
)
def test_a_length_that_is_not_there_allocates_nothing(header):
    tracemalloc.start()
    try:
        for payload in (header, header + bytes(100), header * 64, b"\x91" + header, b"\x81\xa1a" + header):
            with pytest.raises(InvalidDataFormat):
                unpack(payload)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()

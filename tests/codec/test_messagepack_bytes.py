"""The exact bytes at every edge of MessagePack."""

import struct
from collections import namedtuple

import msgpack
import oracle
import pytest
import strategies
from cases import each_case
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verdict

from ecgframe import ProtocolError, pack, unpack

INTEGERS = {
    0: "00",
    1: "01",
    127: "7f",
    128: "cc80",
    255: "ccff",
    256: "cd0100",
    65_535: "cdffff",
    65_536: "ce00010000",
    2**31 - 1: "ce7fffffff",
    2**31: "ce80000000",
    2**32 - 1: "ceffffffff",
    2**32: "cf0000000100000000",
    2**63 - 1: "cf7fffffffffffffff",
    2**63: "cf8000000000000000",
    2**64 - 1: "cfffffffffffffffff",
    -1: "ff",
    -32: "e0",
    -33: "d0df",
    -128: "d080",
    -129: "d1ff7f",
    -32_768: "d18000",
    -32_769: "d2ffff7fff",
    -(2**31): "d280000000",
    -(2**31) - 1: "d3ffffffff7fffffff",
    -(2**63): "d38000000000000000",
}
SCALARS = {None: "c0", False: "c2", True: "c3"}
FLOATS = {
    0.0: "cb0000000000000000",
    1.0: "cb3ff0000000000000",
    -1.5: "cbbff8000000000000",
    0.1: "cb3fb999999999999a",
    float("inf"): "cb7ff0000000000000",
}
STR_HEADERS = {
    0: "a0",
    1: "a1",
    15: "af",
    31: "bf",
    32: "d920",
    255: "d9ff",
    256: "da0100",
    65_535: "daffff",
    65_536: "db00010000",
}
BIN_HEADERS = {0: "c400", 1: "c401", 31: "c41f", 255: "c4ff", 256: "c50100", 65_535: "c5ffff", 65_536: "c600010000"}
ARRAY_HEADERS = {
    0: "90",
    1: "91",
    15: "9f",
    16: "dc0010",
    255: "dc00ff",
    256: "dc0100",
    65_535: "dcffff",
    65_536: "dd00010000",
}
MAP_HEADERS = {
    0: "80",
    1: "81",
    15: "8f",
    16: "de0010",
    255: "de00ff",
    256: "de0100",
    65_535: "deffff",
    65_536: "df00010000",
}


def both_ways(value, payload):
    assert pack(value).hex() == payload.hex()
    assert oracle.same(unpack(payload), value)


@each_case(("value", "payload"), [*INTEGERS.items(), *SCALARS.items(), *FLOATS.items()])
def test_scalars(value, payload):
    both_ways(value, bytes.fromhex(payload))


def test_negative_zero_and_nans_keep_their_bits():
    for bits in (
        "8000000000000000",
        "7ff8000000000000",
        "fff8000000000000",
        "7ff800000000002a",
        "7ff0000000000001",
        "fff7ffffffffffff",
    ):
        value = struct.unpack(">d", bytes.fromhex(bits))[0]
        assert pack(value).hex() == "cb" + bits
        assert struct.pack(">d", unpack(bytes.fromhex("cb" + bits))).hex() == bits


@pytest.mark.parametrize(("size", "header"), STR_HEADERS.items())
def test_text(size, header):
    both_ways("x" * size, bytes.fromhex(header) + b"x" * size)


@pytest.mark.parametrize(("size", "header"), STR_HEADERS.items())
def test_text_is_measured_in_bytes(size, header):
    text = "é" * (size // 2) + "x" * (size % 2)
    both_ways(text, bytes.fromhex(header) + text.encode())


@pytest.mark.parametrize(
    "text",
    ["心電図", "🫀", "\0", "\ufeff", "a\u0301", "\U0010ffff", "\ud7ff\ue000", "e" * 30 + "é", "\x7f\x80", "ÿ", "Ā"],
)
def test_text_of_every_width(text):
    both_ways(text, msgpack.packb(text))
    both_ways({text: text}, msgpack.packb({text: text}))


@pytest.mark.parametrize(("size", "header"), BIN_HEADERS.items())
def test_binary(size, header):
    both_ways(bytes(size), bytes.fromhex(header) + bytes(size))
    assert pack(bytearray(size)) == pack(memoryview(bytes(size))) == pack(bytes(size))


@pytest.mark.parametrize(("size", "header"), ARRAY_HEADERS.items())
def test_lists(size, header):
    both_ways([7] * size, bytes.fromhex(header) + b"\x07" * size)
    assert pack((7,) * size) == pack([7] * size)


@pytest.mark.parametrize(("size", "header"), MAP_HEADERS.items())
def test_maps(size, header):
    value = dict.fromkeys(range(size), None)
    payload = bytes.fromhex(header) + b"".join(msgpack.packb(key) + b"\xc0" for key in range(size))
    both_ways(value, payload)


@each_case("key", INTEGERS)
def test_integer_keys(key):
    both_ways({key: 1}, b"\x81" + bytes.fromhex(INTEGERS[key]) + b"\x01")


@each_case("number", INTEGERS)
def test_an_integer_in_every_width_that_holds_it(number):
    for tag, width, signed in (
        (0xCC, 1, 0),
        (0xCD, 2, 0),
        (0xCE, 4, 0),
        (0xCF, 8, 0),
        (0xD0, 1, 1),
        (0xD1, 2, 1),
        (0xD2, 4, 1),
        (0xD3, 8, 1),
    ):
        low, high = (-(2 ** (8 * width - 1)), 2 ** (8 * width - 1)) if signed else (0, 2 ** (8 * width))
        if low <= number < high:
            payload = bytes([tag]) + number.to_bytes(width, "big", signed=bool(signed))
            assert unpack(payload) == number
            assert unpack(b"\x81" + payload + b"\xc0") == {number: None}


@pytest.mark.parametrize("bits", [0, 0x80000000, 0x3F800000, 0x3DCCCCCD, 0x7F800000, 0xFF800000, 1, 0x7F7FFFFF])
def test_a_float_32_reads_as_the_same_number(bits):
    payload = struct.pack(">BI", 0xCA, bits)
    assert oracle.same(unpack(payload), struct.unpack_from(">f", payload, 1)[0])


WIDE = {
    "str": [(b"\xa2", 2), (b"\xd9\x02", 2), (b"\xda\0\x02", 2), (b"\xdb\0\0\0\x02", 2)],
    "bin": [(b"\xc4\x02", 2), (b"\xc5\0\x02", 2), (b"\xc6\0\0\0\x02", 2)],
    "array": [(b"\x92", 2), (b"\xdc\0\x02", 2), (b"\xdd\0\0\0\x02", 2)],
    "map": [(b"\x81", 1), (b"\xde\0\x01", 1), (b"\xdf\0\0\0\x01", 1)],
}


@pytest.mark.parametrize(("kind", "value"), [("str", "ab"), ("bin", b"ab"), ("array", [97, 98]), ("map", {97: 98})])
def test_headers_may_be_wider_than_necessary(kind, value):
    for header, _ in WIDE[kind]:
        assert unpack(header + b"ab") == value


def test_a_single_tag_is_a_value_or_truncated():
    for tag in range(256):
        payload = bytes([tag])
        expected = verdict(oracle.unpack, payload)
        assert verdict(unpack, payload) == expected, tag
        if expected is None:
            assert oracle.same(unpack(payload), oracle.unpack(payload)), tag
        else:
            assert expected == (0x200, 11), tag


@each_case("tag", [0xC1, *range(0xC7, 0xCA), *range(0xD4, 0xD9)])
@pytest.mark.parametrize("place", [b"", b"\x91", b"\x81\xa1a", b"\x81", b"\x92\x01"])
def test_messagepack_types_outside_the_specification_are_refused(tag, place):
    for tail in (b"", bytes(20), b"\x05" * 40, b"\xff" * 300):
        with pytest.raises(ProtocolError) as caught:
            unpack(place + bytes([tag]) + tail)
        assert caught.value.code == 0x200


@pytest.mark.parametrize("size", [32, 255, 256, 1000])
@pytest.mark.parametrize("value", ["x", b"x", [1], {1: 1}])
def test_every_cut_of_a_value_is_refused(value, size):
    payload = pack({n: n for n in range(size)} if isinstance(value, dict) else value * size)
    for end in range(1, len(payload)):
        with pytest.raises(ProtocolError):
            unpack(payload[:end])


@pytest.mark.parametrize("tail", [b"\0", b"\xc0", b"\xc1", b"\x90"])
def test_a_payload_holds_exactly_one_value(tail):
    for value in (None, 1, "x", [1], {}, b""):
        with pytest.raises(ProtocolError):
            unpack(pack(value) + tail)


def test_an_empty_payload_is_none():
    for empty in (b"", bytearray(), memoryview(b"")):
        assert unpack(empty) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\xab",
    ],
)
def test_text_that_is_no_utf8_is_refused(raw):
    for text in (raw, b"abc" + raw, raw + b"abc", b"x" * 40 + raw):
        header = bytes([0xD9, len(text)])
        for payload in (
            header + text,
            b"\x81" + header + text + b"\x01",
            b"\x81\xa1a" + header + text,
            b"\x81\xa8__uuid__" + header + text,
        ):
            with pytest.raises(ProtocolError) as caught:
                unpack(payload)
            assert (caught.value.code, caught.value.check) == (0x200, 11)


@pytest.mark.parametrize(
    "key",
    [
        "c0",
        "c2",
        "c3",
        "ca00000000",
        "cb0000000000000000",
        "c400",
        "c40161",
        "90",
        "9101",
        "80",
        "81a16101",
        "d40100",
        "c1",
    ],
)
def test_keys_are_text_or_integers(key):
    for payload in (b"\x81" + bytes.fromhex(key) + b"\x01", b"\x82\xa1a\x01" + bytes.fromhex(key) + b"\x01"):
        with pytest.raises(ProtocolError) as caught:
            unpack(payload)
        assert (caught.value.code, caught.value.check) == (0x200, 11)


@pytest.mark.parametrize(
    "payload",
    [
        "82a16101a16102",
        "82a16101a16101",
        "8201010102",
        "820101cc0102",
        "8201c0d30000000000000001c0",
        "82a161c0d90161c0",
        "83a161c0a162c0a161c0",
        "82ffc0d0ffc0",
        "9182a0c0a0c0",
    ],
)
def test_a_key_that_occurs_twice_is_refused(payload):
    payload = bytes.fromhex(payload)
    with pytest.raises(ProtocolError) as caught:
        unpack(payload)
    assert caught.value.code == 0x200


def test_a_key_that_occurs_twice_far_apart_is_refused():
    keys = [f"key{n}" for n in range(1000)]
    for twice in (keys[0], keys[500]):
        payload = b"\xde" + (1001).to_bytes(2, "big") + b"".join(pack(key) + b"\xc0" for key in [*keys, twice])
        with pytest.raises(ProtocolError):
            unpack(payload)
    assert len(unpack(b"\xde" + (1000).to_bytes(2, "big") + b"".join(pack(key) + b"\xc0" for key in keys))) == 1000


def test_keys_that_are_alike_but_not_the_same_are_kept():
    for value in (
        {1: 1, "1": 2, -1: 3, "-1": 4},
        {0: 1, "": 2, "0": 3},
        {"a": 1, "A": 2, "á": 3, "a\u0301": 4},
        {2**63: 1, -(2**63): 2, 2**64 - 1: 3, -1: 4},
    ):
        assert unpack(pack(value)) == value


def test_the_order_of_keys_is_kept():
    value = {str(n): n for n in (5, 3, 9, 1)} | {7: 1, 2: 2}
    assert list(unpack(pack(value))) == list(value)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(strategies.keys, inner)),
)


@given(plain)
def test_agrees_with_msgpack_byte_for_byte(value):
    assert pack(value) == msgpack.packb(value)
    assert oracle.same(
        unpack(msgpack.packb(value)), msgpack.unpackb(msgpack.packb(value), strict_map_key=False), nan_bits=True
    )


@given(st.lists(st.floats(width=32)))
def test_agrees_with_msgpack_on_narrow_floats(value):
    payload = msgpack.packb(value, use_single_float=True)
    assert oracle.same(unpack(payload), msgpack.unpackb(payload), nan_bits=False)


def test_agrees_with_msgpack_on_tuples_and_nested_containers():
    pair = namedtuple("pair", "a b")
    for value in ((), (1, (2, [3])), {"a": ({"b": ()},)}, pair(1, pair(2, 3))):
        assert pack(value) == msgpack.packb(value)


def test_texts_that_are_easily_taken_for_one_another_are_told_apart():
    # The first few differ in but one letter, which is neither the first nor the middle nor the last.
    texts = ["leads", "loads", "l\0ads", "leats", "lé", "lè", "", "I", "l" * 31, "lx" + "l" * 29]
    data = {text: [text, other] for text in texts for other in texts}
    for _ in range(3):  # what is read may be remembered
        assert unpack(pack(data)) == data
        assert unpack(pack(texts * 20)) == texts * 20

"""Values that cannot be sent raise an error with their path, and nothing is sent."""

import array
import decimal
import enum
import re
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, time, timedelta, tzinfo
from datetime import datetime as clock
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import numpy as np
import oracle
import pytest
from cases import each_case

from ecgframe import Codec, Flag, MessageTooLarge, MessageType, ProtocolError, encode, pack, unpack

UNPACKABLE = [
    {1},
    frozenset(),
    object(),
    object,
    print,
    1j,
    decimal.Decimal(1),
    Fraction(1, 2),
    date(2024, 1, 15),
    time(10, 30),
    timedelta(1),
    range(3),
    iter([1]),
    (n for n in [1]),
    Path("x"),
    {}.keys(),
    np.complex128(1),
    np.datetime64("2024-01-15"),
    np.timedelta64(1, "s"),
    np.timedelta64(1, "ns"),
    np.timedelta64(1, "Y"),
    np.datetime64("2024-01-15T10:30:45.123456789"),
    np.void(b"abc"),
    np.dtype("f8"),
    np.float64,
    np.array(["a"]),
    np.array([b"a"]),
    np.array([None]),
    np.array([1j]),
    np.array(["2024-01-15"], "datetime64[D]"),
    np.zeros(2, [("a", "f8")]),
    np.ma.masked_array([1, 2], [True, False]),
    np.ma.masked_array([1, 2]),
]
if np.dtype("longdouble").itemsize > 8:
    UNPACKABLE += [np.longdouble(1), np.zeros(2, "longdouble")]


def named(value):
    """The type and the value, without its address: a test has the same name in every process."""
    return f"{type(value).__name__} {re.sub(' at 0x[0-9a-f]+', '', repr(value)):.40}"


@each_case("value", UNPACKABLE, ids=named)
def test_any_other_object_is_a_type_error_that_names_the_path(value):
    for call in (pack, Codec(ndarray="binary").pack):
        with pytest.raises(TypeError, match=r"data\b"):
            call(value)
        with pytest.raises(TypeError) as caught:
            call({"leads": ["I", "II", "III", value]})
        assert 'data["leads"][3]' in str(caught.value)
        name = type(value).__name__.rstrip("0123456789")
        assert any(word in str(caught.value) for word in (name, "dtype", "mask"))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda bad: bad, "data"),
        (lambda bad: [bad], "data[0]"),
        (lambda bad: (1, (2, bad)), "data[1][1]"),
        (lambda bad: {"a": bad}, 'data["a"]'),
        (lambda bad: {7: bad}, "data[7]"),
        (lambda bad: {-7: [bad]}, "data[-7][0]"),
        (lambda bad: {"a": {"b c": [0, {3: bad}]}}, 'data["a"]["b c"][1][3]'),
        (lambda bad: [0] * 1000 + [bad], "data[1000]"),
        (lambda bad: [np.zeros(3), {"x": 1, "y": bad}], 'data[1]["y"]'),
    ],
)
@pytest.mark.parametrize(("bad", "error"), [({1}, TypeError), (2**64, OverflowError), ("\ud800", ValueError)])
def test_the_path_names_the_refused_value(value, path, bad, error):
    with pytest.raises(error) as caught:
        encode(MessageType.ECG_DATA, value(bad))
    message = str(caught.value)
    assert path in message
    assert not any(path + step in message for step in ("[", "."))


@pytest.mark.parametrize("number", [2**64, 2**64 + 1, -(2**63) - 1, 10**30, -(10**30)])
def test_integers_beyond_64_bits_overflow(number):
    for value in (number, [number], {"a": number}, {number: 1}):
        with pytest.raises(OverflowError, match="data"):
            pack(value)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "x" * 100 + "\udc80"])
def test_lone_surrogates_are_a_value_error(text):
    for value in (text, [text], {text: 1}):
        with pytest.raises(ValueError, match="data") as caught:
            pack(value)
        assert not isinstance(caught.value, ProtocolError)


@pytest.mark.parametrize(
    "key",
    [True, None, 1.5, b"a", (), (1, 2), frozenset(), np.float64(1), np.bool_(True), np.timedelta64(1, "ns")],
)
def test_keys_are_str_or_int(key):
    with pytest.raises(TypeError) as caught:
        pack({"leads": {key: 1}})
    assert 'data["leads"]' in str(caught.value)


def nested(depth, box):
    value = box(None)
    for _ in range(depth - 1):
        value = box(value)
    return value


@pytest.mark.parametrize(
    "box", [lambda value: [value], lambda value: (value,), lambda value: {"a": value}, lambda value: [value, 1]]
)
def test_sixty_four_deep_and_no_deeper(box):
    assert pack(nested(64, box)) == oracle.pack(nested(64, box))
    for depth in (65, 66, 1000, 100_000):
        with pytest.raises(ValueError, match="64"):
            pack(nested(depth, box))


def test_a_list_that_holds_itself_is_too_deep():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="64"):
        pack(loop)
    ring = {}
    ring["a"] = [ring]
    with pytest.raises(ValueError, match="64"):
        pack(ring)


def deep(depth, leaf):
    return nested(depth, lambda value: [leaf if value is None else value])


def test_wrappers_count_for_the_depth():
    moment = clock(2024, 1, 15, tzinfo=UTC)
    for leaf, room in ((moment, 1), (np.zeros((2, 2, 2)), 4), (np.zeros(2), 2), (np.array(1.0), 2)):
        assert oracle.unpack(pack(deep(64 - room, leaf)))
        with pytest.raises(ValueError, match="64"):
            pack(deep(65 - room, leaf))
    binary = Codec(ndarray="binary")
    assert oracle.unpack(binary.pack(deep(62, np.zeros((2, 2, 2)))))
    with pytest.raises(ValueError, match="64"):
        binary.pack(deep(63, np.zeros((2, 2, 2))))


def test_tuples_and_subclasses_of_containers_are_packed():
    Pair = namedtuple("Pair", "a b")
    assert pack((1, (2,))) == oracle.pack([1, [2]])
    assert pack(Pair(1, 2)) == oracle.pack([1, 2])
    assert pack(OrderedDict(b=1, a=2)) == oracle.pack({"b": 1, "a": 2})
    assert pack(defaultdict(int, a=1)) == oracle.pack({"a": 1})
    assert pack(bytearray(b"abc")) == oracle.pack(b"abc")
    assert pack(memoryview(b"abcd")[1:3]) == oracle.pack(b"bc")
    assert pack(memoryview(array.array("d", [1.5, 2.5]))) == oracle.pack(array.array("d", [1.5, 2.5]).tobytes())
    assert pack(memoryview(b"abcdef").cast("B", (2, 3))) == oracle.pack(b"abcdef")
    assert pack(memoryview(b"")) == oracle.pack(b"")


def test_a_memoryview_with_gaps_is_refused():
    with pytest.raises((TypeError, BufferError), match="data"):
        pack(memoryview(b"abcdef")[::2])


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_numpy_scalars_are_the_values_they_hold(dtype):
    scalar = np.array([1], dtype)[0]
    assert pack(scalar) == oracle.pack(scalar.item())
    assert pack({"a": [scalar]}) == oracle.pack({"a": [scalar.item()]})
    assert type(unpack(pack(scalar))) is type(scalar.item())


def test_numpy_scalars_of_byte_orders_and_edges():
    for dtype in ("i8", "u8", "i4", "u2"):
        limits = np.iinfo(dtype)
        for edge in (limits.min, limits.max):
            assert pack(np.array([edge], dtype)[0]) == oracle.pack(int(edge))
    assert pack(np.float32(0.1)) == oracle.pack(float(np.float32(0.1)))
    assert len(pack(np.float32(0.5))) == 9


class Rhythm(enum.IntEnum):
    SINUS = 1


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Rhythm.SINUS, 1),
        (MessageType.ERROR, 255),
        (Name("II"), "II"),
        ([Name("II")], ["II"]),
        ({Name("II"): 1}, {"II": 1}),
    ],
)
def test_subclasses_of_str_and_int_travel_as_str_and_int(value, plain):
    assert pack(value) == oracle.pack(plain)


@pytest.mark.parametrize(
    "mistake",
    [
        {"version": 1, "flags": Flag.PRIORITY},
        {"version": 2, "flags": Flag.PRIORITY},
        {"version": 2, "flags": Flag.BROADCAST},
        {"version": 1, "flags": Flag.ACK_REQUIRED},
        {"version": 2, "flags": Flag.ACK_REQUIRED | Flag.BROADCAST},
        {"version": 1, "flags": Flag.COMPRESSED},
        {"version": 2, "flags": Flag.COMPRESSED},
        {"version": 3, "flags": Flag.COMPRESSED},
        {"version": 1, "flags": Flag.ENCRYPTED},
        {"version": 2, "flags": Flag.ENCRYPTED},
        {"version": 3, "flags": Flag.ENCRYPTED},
        {"version": 3, "flags": Flag.ENCRYPTED | Flag.PRIORITY},
        {"flags": 0x20},
        {"flags": 0x40},
        {"flags": 0x80},
        {"version": 1, "flags": 0x80},
        {"flags": 256},
        {"flags": -1},
        {"version": 1, "timestamp": 1},
        {"version": 2, "timestamp": 0},
        {"timestamp": -1},
        {"timestamp": 2**64},
        {"timestamp": 10**30},
        {"version": 0},
        {"version": 5},
        {"version": 255},
        {"version": 256},
        {"version": -1},
    ],
    ids=str,
)
def test_fields_that_the_version_does_not_have_are_refused(mistake):
    with pytest.raises(ValueError, match=r"flag|version|timestamp|Flag|COMPRESSED|ENCRYPTED|bit") as caught:
        encode(MessageType.PING, None, **mistake)
    assert not isinstance(caught.value, ProtocolError)


def test_an_unknown_type_is_a_value_error():
    for type in (set(range(-1, 257)) | {2**31, 2**63, 10**30, -(10**30)}) - set(oracle.TYPES.values()):
        with pytest.raises(ValueError, match=rf"type (0x{type:02x}|{type})\b") as caught:
            encode(type, None)
        assert not isinstance(caught.value, ProtocolError)


@pytest.mark.parametrize(
    "mistake",
    [
        {"flags": 4.0},
        {"flags": "4"},
        {"timestamp": 4.5},
        {"timestamp": 4.0},
        {"timestamp": "now"},
        {"version": 2.0},
        {"version": "3"},
    ],
    ids=str,
)
def test_header_fields_are_integers(mistake):
    with pytest.raises((TypeError, ValueError)) as caught:
        encode(MessageType.PING, None, **mistake)
    assert not isinstance(caught.value, ProtocolError)


@pytest.mark.parametrize("type", [1.0, "ECG_DATA", None, b"\x01"])
def test_the_type_is_an_integer(type):
    with pytest.raises(TypeError):
        encode(type, None)


@pytest.mark.parametrize(
    "options",
    [
        {"version": 0},
        {"version": 5},
        {"max_payload": -1},
        {"max_payload": 2**32},
        {"ndarray": "json"},
        {"numeric_lists": "array"},
    ],
    ids=str,
)
def test_a_codec_with_impossible_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Codec(**options)


@pytest.mark.parametrize(
    "data",
    ["x" * 98, bytes(99), [0] * 100, np.zeros(100, "u1"), {"a": {"b": "x" * 100}}],
    ids=["text", "bytes", "list", "ndarray", "maps"],
)
def test_a_payload_past_the_limit_is_too_large(data):
    for form in ("list", "binary"):
        codec = Codec(max_payload=99, ndarray=form)
        with pytest.raises(MessageTooLarge) as caught:
            codec.encode(MessageType.PING, data)
        assert caught.value.code == 0x102


RICH = {
    "text": "x" * 590,
    "moments": ["a", clock(2024, 1, 15, tzinfo=UTC), UUID(int=7)],
    "deep": [{"k": 1, 7: [1.5, None, True, b"bytes", {"e": (2**40, -1)}]}, clock(2024, 1, 15, tzinfo=UTC)],
    "arrays": [np.arange(7.0), np.zeros((2, 3), "i2"), np.array(True), np.float32(1.5)],
    8: {"long": [7] * 40, "map": {str(n): n for n in range(20)}},
}


@pytest.mark.parametrize("form", ["list", "binary"])
@pytest.mark.parametrize("front", [0, 500])
def test_the_path_of_a_payload_past_the_limit_names_an_element(form, front):
    message = {"front": bytes(front), **RICH}
    size = len(oracle.pack(message, form))
    assert len(Codec(ndarray=form, max_payload=size).pack(message)) == size
    for limit in range(1, size):
        with pytest.raises(MessageTooLarge) as caught:
            Codec(ndarray=form, max_payload=limit).pack(message)
        path = re.search(r'data(\["\w+"\]|\[\d+\])*', str(caught.value))
        assert path
        eval(path.group(), {"data": message})


class Liar(clock):
    def isoformat(self, sep="T", timespec="auto"):
        return "\ud800"


LIARS = [(Liar(2024, 1, 15), "data"), ({"a": [{"k": 1}, Liar(2024, 1, 15)]}, 'data["a"][1]')]


@pytest.mark.parametrize(("value", "path"), LIARS)
def test_a_datetime_that_writes_itself_badly_is_named(value, path):
    with pytest.raises((ValueError, TypeError)) as caught:
        pack(value)
    assert path in str(caught.value)
    assert path + "[" not in str(caught.value)


def test_an_absurd_integer_is_an_overflow_all_the_same():
    for value in ({10**5000: 1}, [10**5000], {"a": -(10**5000)}):
        with pytest.raises(OverflowError) as caught:
            pack(value)
        assert len(str(caught.value)) < 1000


def test_a_payload_of_exactly_the_limit_is_sent():
    codec = Codec(max_payload=99)
    assert len(codec.encode(MessageType.PING, bytes(97), version=1)) == 110


def test_a_codec_works_after_a_refused_payload():
    codec = Codec()
    for bad in ({1}, 2**64, "\ud800", nested(65, lambda value: [value]), np.array([None])):
        with pytest.raises((TypeError, OverflowError, ValueError)):
            codec.encode(MessageType.PING, {"long": "x" * 5000, "bad": bad})
        assert codec.decode(codec.encode(MessageType.PING, {"a": [1]})).data == {"a": [1]}


class Explosive(dict):
    def items(self):
        raise RuntimeError("boom")


class Meddler(list):
    def __iter__(self):
        self.clear()
        return iter([1, 2, 3])


@pytest.mark.parametrize("value", [Explosive(a=1), Meddler([1, 2])])
def test_containers_with_a_will_of_their_own_are_packed_soundly_or_not_at_all(value):
    try:
        payload = pack({"a": value})
    except RuntimeError:
        return
    oracle.unpack(payload)


def test_a_container_that_is_changed_while_it_is_packed():
    class Trap(np.ndarray):
        def tolist(self):
            box.clear()
            return super().tolist()

        def tobytes(self, order="C"):
            box.clear()
            return super().tobytes(order)

        def astype(self, *args, **kwargs):
            box.clear()
            return super().astype(*args, **kwargs)

    class Zone(tzinfo):
        def utcoffset(self, moment):
            box.clear()
            return timedelta(0)

    for trap in (np.zeros(3, ">f4")[::2].view(Trap), clock(2024, 1, 15, tzinfo=Zone())):
        for box in ([trap, 1, 2], {"a": trap, "b": 1, "c": 2}):
            try:
                payload = pack(box)
            except (RuntimeError, ValueError):
                continue
            oracle.unpack(payload)

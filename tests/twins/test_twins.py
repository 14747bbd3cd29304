"""The compiled core and the plain one are twins: the same bytes for any object, the same verdict on any bytes."""

import copy
import json
import random
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from uuid import UUID

import numpy as np
import oracle
import pytest
import strategies
from cases import each_case
from hypothesis import given
from hypothesis import strategies as st
from rendering import VECTORS
from thoroughness import examples

import ecgframe

if not ecgframe.accelerated:
    pytest.skip("there is but one core here", allow_module_level=True)

import twin
import twin_fuzz

SEED = random.SystemRandom().getrandbits(32)
PLAIN = twin.load_plain()
FORMS = st.sampled_from(["list", "binary"])


def both(call):
    """Return the results of ``call`` with both packages."""
    return twin.outcome(call, ecgframe), twin.outcome(call, PLAIN)


def assert_alike(call):
    compiled, plain = both(call)
    assert twin.alike(compiled, plain)
    return compiled


def test_the_two_cores_are_different_modules():
    assert ecgframe.accelerated
    assert not PLAIN.accelerated
    assert ecgframe.crc32 is not PLAIN.crc32
    assert PLAIN.codec is not ecgframe.codec
    assert PLAIN.codec.codec.__file__.endswith(".py")


# --- reading ---


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frames.json", "refused.json"])
def test_the_vectors(name):
    for vector in json.loads((VECTORS / name).read_text()):
        data = bytes.fromhex(vector["frames"] if "frames" in vector else vector["frame"])
        assert_alike(lambda package, data=data: list(package.decode_all(data)))
        assert_alike(lambda package, data=data: twin.each(package.Codec(), data + data))
        assert_alike(lambda package, data=data: package.decode(data))


@pytest.mark.slow
def test_mutated_frames():
    print("seed", SEED)
    run = twin_fuzz.Run(SEED, PLAIN)
    run.compare(20_000)
    assert run.verdicts["accepted"] > 1000
    assert run.verdicts["InvalidDataFormat at check 11"] > 1000


def test_a_difference_is_seen():
    run = twin_fuzz.Run(7, PLAIN)
    run.readers = [reader._replace(plain=lambda frame: None) for reader in run.readers]
    with pytest.raises(twin_fuzz.Disagreement, match=r"frame: [0-9a-f]+"):
        run.compare(2000)


@examples(200)
@given(st.one_of(strategies.frames(), strategies.mutated_frames(), strategies.wrapper_frames()))
def test_frames(frame):
    assert_alike(lambda package: package.decode(frame))
    assert_alike(lambda package: package.Codec(numeric_lists="ndarray", validate=True).decode(frame))


@examples(100)
@given(st.lists(st.one_of(strategies.frames(), strategies.mutated_frames(), strategies.wrapper_frames()), max_size=4))
def test_frames_of_which_some_are_broken(frames):
    assert_alike(lambda package: twin.each(package.Codec(max_payload=2000), b"".join(frames)))


@examples(300)
@given(strategies.near_payloads(), st.sampled_from(["list", "ndarray"]))
def test_both_cores_read_any_messagepack_alike(payload, numeric):
    assert_alike(lambda package: package.Codec(numeric_lists=numeric).unpack(payload))


def test_every_tag_alone_and_before_zeros():
    for tag in range(256):
        for tail in (b"", b"\0", bytes(4), bytes(9), b"\x90" * 70_000):
            assert_alike(lambda package, payload=bytes([tag]) + tail: package.unpack(payload))


WRAPPER = b"\x83\xab__ndarray__\x91\x01\xa5dtype\xa2i1\xa5shape\x91\x01"


@each_case("depth", range(58, 67))
@each_case(
    "inside",
    [
        b"\x01",
        b"\x90",
        b"\x91\x01",
        b"\x91\x91\x01",
        b"\x80",
        WRAPPER,
    ],
)
@pytest.mark.parametrize("numeric", ["list", "ndarray"])
def test_depths(depth, inside, numeric):
    for level in (b"\x91", b"\x81\xa1a"):
        payload = level * depth + inside
        assert_alike(lambda package, payload=payload: package.Codec(numeric_lists=numeric).unpack(payload))


@pytest.mark.parametrize("dtype", sorted({*twin_fuzz.DTYPES, *twin_fuzz.ODD_DTYPES}))
def test_every_number_in_every_dtype(dtype):
    for number in twin_fuzz.NUMBERS:
        for samples in (number, b"\x91" + number, b"\x92\x01" + number, b"\x92\xca\x3f\x80\0\0" + number):
            shape = {0x91: [1], 0x92: [2]}.get(samples[0], []) if samples is not number else []
            entries = (b"\xab__ndarray__", samples, b"\xa5dtype", oracle.pack(dtype), b"\xa5shape", oracle.pack(shape))
            payload = b"\x83" + b"".join(entries)
            assert_alike(lambda package, payload=payload: package.unpack(payload))


@pytest.mark.slow
@pytest.mark.parametrize("fill", [b"\x90", b"\x80", b"\x91\x90"])
def test_the_container_after_the_last(fill):
    each = 1 if len(fill) == 1 else 2
    for count in (2**20 // each - 1, 2**20 // each):
        payload = b"\xdd" + count.to_bytes(4) + fill * count
        assert_alike(lambda package, payload=payload: len(package.unpack(payload)))


# --- writing ---


@examples(300)
@given(strategies.messages, FORMS, st.sampled_from([None, 0, 10, 100, 600, 5000]))
def test_messages_pack_alike(message, ndarray, limit):
    options = {"ndarray": ndarray} | ({} if limit is None else {"max_payload": limit})
    packed = assert_alike(lambda package: package.Codec(**options).pack(message))
    if isinstance(packed, bytes):
        assert_alike(lambda package: package.Codec(max_payload=2**20).unpack(packed))


@examples(200)
@given(strategies.types, strategies.messages, strategies.versions, FORMS, st.integers(0, 400))
def test_frames_are_encoded_alike(type, message, version, ndarray, room):
    options = {"version": version, "timestamp": 7 if version == 3 else None}

    def encode(package):
        return package.Codec(ndarray=ndarray).encode(type, message, **options)

    def encode_into(package):
        buffer = bytearray(room)
        size = package.Codec(ndarray=ndarray).encode_into(buffer, 3, type, message, **options)
        return bytes(buffer[3 : 3 + size])

    assert_alike(encode)
    assert_alike(encode_into)


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    ONE = "one"


class Silent(datetime):
    def isoformat(self, *args):
        return "\ud800"


class Odd(str):
    def encode(self, *args):
        raise AssertionError


class Matrix(np.ndarray):
    def tolist(self):
        return "mine"


def deep(levels, leaf):
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"k": leaf}
    return leaf


ODD = {
    "set": {1},
    "frozenset in a tuple": ({"a": frozenset()},),
    "object": [object()],
    "class": int,
    "range": range(3),
    "complex": 1j,
    "ordered": OrderedDict(a=1),
    "default": {"a": defaultdict(int, {"x": 1})},
    "named tuple": namedtuple("P", "x y")(1, [2.5]),
    "enum members": [Number.ONE, Word.ONE, {Number.ONE: Word.ONE}],
    "text with a mind": Odd("x"),
    "text with a mind as a key": {Odd("x"): 1},
    "surrogate": ["a", {"b": "\ud800"}],
    "surrogate among scalars": ["a", 1, "\udfff"],
    "surrogate in a key": {"\ud800": 1},
    "datetime that writes itself badly": {"t": [Silent(2020, 1, 1)]},
    "datetime": datetime(2024, 1, 15, 10, 30, 45, 123456, UTC),
    "uuid": [UUID(int=5)],
    "too large": [1, 2**64],
    "too small": [1.5, -(2**63) - 1],
    "edges": [2**64 - 1, -(2**63), -1, -32, -33, -128, -129, -32768, -32769, 127, 128, 255, 256, 65535, 65536],
    "absurd": {"a": 10**5000},
    "absurd key": {10**5000: 1},
    "large key": {2**64: 1},
    "bool key": {True: 1},
    "None key": [{None: 1}],
    "float key": {1.5: 1},
    "bytes key": {b"a": 1},
    "NumPy keys": {np.int8(-5): 1, np.uint64(2**64 - 1): 2, np.str_("x"): 3},
    "NumPy bool key": {np.True_: 1},
    "timedelta key": {np.timedelta64(5, "s"): 1},
    "NumPy scalars": [
        np.float16(0.1),
        np.float32(0.1),
        np.float64(0.1),
        np.bool_(True),
        np.int8(-5),
        np.uint64(2**64 - 1),
    ],
    "long double": np.longdouble(1),
    "timedelta": np.timedelta64(5, "ns"),
    "datetime64": np.datetime64("2020-01-01"),
    "complex64": np.complex64(1),
    "NumPy text and bytes": [np.str_("x"), np.bytes_(b"x")],
    "bytes-likes": [b"x", bytearray(b"y"), memoryview(b"abc")[1:], memoryview(np.arange(4.0).reshape(2, 2))],
    "memoryview with gaps": [memoryview(b"abcd")[::2]],
    "masked": np.ma.masked_array([1.0, 2.0], [0, 1]),
    "subclass": np.zeros((1, 2)).view(Matrix),
    "records": np.zeros(2, [("a", "i4")]).view(np.recarray),
    "objects": {"signal": np.array([None])},
    "texts": np.array(["a"]),
    "dates": np.zeros(1, "M8[s]"),
    "complex array": np.zeros(1, complex),
    "long doubles": np.zeros(1, np.longdouble),
    "empty": [np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((2, 0, 3), "i2")],
    "no dimension": [np.array(1.5), np.array(True), np.array(7, ">i4"), np.array(0.1, "f2")],
    "33 dimensions": np.zeros((1,) * 32)[None] if int(np.__version__[0]) > 1 else {1},
    "32 dimensions": np.zeros((1,) * 32, "f4"),
    "huge and empty": np.zeros((0, 2**32)),
    "huge and not there": np.broadcast_to(np.float64(1), (2**40,)),
    "huge rows of nothing": np.broadcast_to(np.float32(1), (2**33, 0)),
    "signalling NaNs": [np.array([0x7C01, 0xFD55], "u2").view("f2"), np.array([0x7F800001], "u4").view("f4")],
    "every half": np.arange(2**16, dtype="u2").view("f2"),
    "strided": np.arange(60, dtype=">i2").reshape(3, 4, 5)[::-1, ::2, 1::3],
    "64 deep": deep(64, 1),
    "65 deep": deep(65, 1),
    "an array 64 deep": deep(62, np.zeros(2)),
    "an array 65 deep": deep(63, np.zeros(2)),
    "a matrix 65 deep": deep(62, np.zeros((1, 1))),
    "a date 64 deep": deep(63, UUID(int=1)),
    "a date 65 deep": deep(64, UUID(int=1)),
    "many": list(range(70_000)),
    "many texts": {str(n): [None, True, "x" * (n % 40)] for n in range(300)},
    "long": ["x" * size for size in (31, 32, 255, 256, 65535, 65536)]
    + [bytes(size) for size in (255, 256, 65535, 65536)],
    "wrappers of their own": {"__ndarray__": [1], "dtype": "f8", "shape": [1]},
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("ndarray", ["list", "binary"])
def test_odd_objects(name, ndarray):
    for value in (ODD[name], {"key": ["x" * 200, ODD[name]]}):
        for limit in (0, 1, 2, 3, 17, 300, 511, 512, 513, 2000, 2**24):
            options = {"ndarray": ndarray, "max_payload": limit}
            assert_alike(lambda package, options=options, value=value: package.Codec(**options).pack(value))


@each_case("room", [*range(40), 100, 1000])
def test_buffers_that_end_early(room):
    for value in ([1.5] * 5, {"a": ["x" * 40]}, np.arange(4.0), datetime(2024, 1, 15), "x" * 50):

        def encode_into(package, value=value):
            buffer = bytearray(room)
            end = package.Codec().encode_into(buffer, 1, 0x11, value, timestamp=1)
            return end, bytes(buffer[1 : 1 + end])

        assert_alike(encode_into)


@pytest.mark.parametrize(
    "kind", [bytes, lambda size: memoryview(bytes(size)), lambda size: memoryview(bytearray(size))[::2], list]
)
def test_buffers_that_nothing_can_be_written_into(kind):
    compiled, plain = both(lambda package: package.Codec().encode_into(kind(400), 0, 0x11, None))
    assert compiled.kind == plain.kind


@pytest.mark.parametrize("room", [8000, 9100])
def test_deflated_frames_are_put_into_buffers_alike(room):
    def encode_into(package):
        buffer = bytearray(room)
        end = package.Codec().encode_into(buffer, 5, 0x11, np.zeros(1000), timestamp=1)
        return end, bytes(buffer[5 : 5 + end])

    assert_alike(encode_into)


def test_the_clocks_never_say_the_same_twice():
    for package in (ecgframe, PLAIN):
        codec = package.Codec()
        stamps = [codec.decode(codec.encode(0x11, None)).timestamp for _ in range(100)]
        assert stamps == sorted(set(stamps))
    assert abs(stamps[-1] - ecgframe.decode(ecgframe.encode(0x11, None)).timestamp) < 60_000_000


PENDING_FRAMES = {
    "finished": lambda frame: frame.finish(1, 0x11, 0, 0),
    "finished with another version": lambda frame: frame.finish(3, 0x11, 0, 0),
    "finished twice": lambda frame: (frame.finish(1, 0x11, 0, 0), frame.finish(1, 0x11, 0, 0)),
    "replaced by more": lambda frame: frame.replace(bytes(100)),
    "looked into": lambda frame: frame.payload,
}


@pytest.mark.parametrize("use", PENDING_FRAMES.values(), ids=PENDING_FRAMES)
def test_pending_frames(use):
    assert_alike(lambda package: use(package._core.pack_frame(1, 0x11, 0, 0, {"a": 1}, 100, False, 0)))


# --- arguments ---


HEADERS = [
    (3, 1, 0, 0, 0, 0),
    (1, 1, 0, 5, 6),
    (3, 1, 255, 2**32 - 1, 2**32 - 1, 2**64 - 1),
    (4, 1, 0, 0, 0, 0),
    (3, 1, 0, 0, 0),
    (2, 1, 0, 0, 0, 7),
    (3, 5, 0, 0, 0, 0),
    (3, 1, -1, 0, 0, 0),
    (3, 1, 256, 0, 0, 0),
]


@pytest.mark.parametrize("fields", HEADERS)
def test_headers(fields):
    assert_alike(lambda package: package.Header(*fields))
    assert_alike(lambda package: package.Header(*fields) == package.Header(*fields))
    assert_alike(lambda package: len({package.Header(*fields), package.Header(*fields)}))
    assert_alike(lambda package: copy.copy(package.Header(*fields)))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ((3, 1, 0, -1, 0, 0), OverflowError),
        ((3, 1, 0, 2**32, 0, 0), OverflowError),
        ((3, 1, 0, 0, 2**32, 0), OverflowError),
        ((3, 1, 0, 0, 0, 2**64), OverflowError),
        ((3, 1, 0, 1.5, 0, 0), TypeError),
        ((3, 1, 0, 0, "0", 0), TypeError),
        ((3.0, 1, 0, 0, 0, 0), TypeError),
    ],
)
def test_headers_that_cannot_be(fields, error):
    for outcome in both(lambda package: package.Header(*fields)):
        assert outcome.kind == error.__name__


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": 1.0},
        {"type": "1"},
        {"type": -1},
        {"type": 2**40},
        {"type": True},
        {"flags": 4.0},
        {"flags": -1},
        {"flags": 1},
        {"flags": 2},
        {"flags": 32},
        {"flags": 2**40},
        {"flags": 4, "version": 2},
        {"version": 3.0},
        {"version": "3"},
        {"version": 0},
        {"version": 2**40},
        {"version": True},
        {"timestamp": 4.5},
        {"timestamp": -1},
        {"timestamp": 2**64},
        {"timestamp": 1, "version": 1},
    ],
    ids=str,
)
def test_arguments(arguments):
    assert_alike(lambda package: package.encode(**({"type": 1, "data": 5, "timestamp": 7} | arguments)))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, ">i2"), list, str])
def test_buffers(kind):
    frame = ecgframe.encode(1, {"a": [1.5, "x"]}, timestamp=1) + b"\0"
    for data in (frame[:-1] if len(frame) % 2 else frame, memoryview(frame)[::2], b""):
        assert_alike(lambda package, data=data: package.crc32(kind(data)))
        assert_alike(lambda package, data=data: package.split(kind(data)))

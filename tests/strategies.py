"""Hypothesis strategies: messages over all the specification's types, frames of them, and frames that went wrong."""

import math
import zlib
from datetime import timedelta, timezone

import numpy as np
import oracle
from hypothesis import strategies as st

DTYPES = [
    np.dtype(order + code)
    for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    for order in ("<", ">")
    if order == "<" or np.dtype(code).itemsize > 1
]

INT_EDGES = sorted(
    {
        sign * 2**bits + step
        for bits in (0, 5, 7, 8, 15, 16, 31, 32, 53, 63, 64)
        for sign in (-1, 1)
        for step in (-1, 0, 1)
        if -(2**63) <= sign * 2**bits + step < 2**64
    }
)
WRAPPER_KEYS = ("__datetime__", "__uuid__", "__ndarray__")
SIZE_EDGES = (0, 1, 15, 16, 31, 32, 255, 256)

ints = st.one_of(st.sampled_from(INT_EDGES), st.integers(-(2**63), 2**64 - 1))
floats = st.one_of(st.floats(), st.floats(width=32), st.integers(-1000, 1000).map(float))
texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(SIZE_EDGES).map(lambda n: "é" * (n // 2) + "x" * (n % 2)),
    st.sampled_from(["lead II", "__uuid__", "dtype"]),
)
binaries = st.one_of(st.binary(max_size=40), st.sampled_from(SIZE_EDGES).map(bytes))
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda delta: timezone(timedelta(seconds=int(delta.total_seconds())))
)
datetimes = st.datetimes(timezones=st.one_of(st.none(), offsets))
# Hypothesis takes constants from the code under test, so it does find a wrapper's key; a map of it alone is invalid.
keys = st.one_of(st.text(max_size=12), ints).filter(lambda key: key not in WRAPPER_KEYS)


def as_layout(array, layout):
    """Return the same values in another memory layout."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
        view = wide[..., 1::2]
        view[...] = array
        return view
    if layout == "negative" and array.ndim:
        turned = np.ascontiguousarray(array[(slice(None, None, -1),) * array.ndim])
        return turned[(slice(None, None, -1),) * array.ndim]
    if layout == "unaligned":
        store = bytearray(array.nbytes + 1)
        view = np.frombuffer(store, array.dtype, array.size, offset=1).reshape(array.shape) if array.size else array
        if array.size:
            view[...] = array
        return view
    return array


def quiet(array):
    """Signalling NaNs become quiet ones: hardware makes them so whenever a narrow float widens."""
    if array.dtype.kind == "f":
        bits = array.view(array.dtype.str.replace("f", "u"))
        mantissa = {2: 9, 4: 22, 8: 51}[array.dtype.itemsize]
        bits[np.isnan(array)] |= bits.dtype.type(1 << mantissa)
    return array


@st.composite
def arrays(draw, max_side=4):
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.integers(0, max_side), max_size=4)))
    count = math.prod(shape)
    if draw(st.booleans()):
        raw = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
        flat = np.frombuffer(bytearray(raw), np.uint8)
        array = (flat & 1).astype(bool) if dtype.kind == "b" else quiet(flat.view(dtype))
    else:
        start = draw(st.integers(-3, 100))
        array = np.resize(np.arange(start, start + 7), count).astype(dtype)
    layout = draw(st.sampled_from(["c", "fortran", "strided", "negative", "unaligned"]))
    return as_layout(array.reshape(shape), layout)


scalars = st.one_of(st.none(), st.booleans(), ints, floats, texts, binaries, datetimes, st.uuids())
numpy_scalars = arrays().filter(lambda array: array.size).map(lambda array: array.reshape(-1)[0])
leaves = st.one_of(scalars, arrays(), numpy_scalars)


def nests(leaf):
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=5),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(keys, inner, max_size=5),
        ),
        max_leaves=12,
    )


messages = st.one_of(
    nests(leaves),
    st.dictionaries(st.sampled_from(["signal", "leads", "stream", "timestamp", "n"]), nests(leaves), max_size=5),
)
types = st.sampled_from(sorted(oracle.TYPES.values()))
versions = st.sampled_from(oracle.VERSIONS)
timestamps = st.integers(0, 2**64 - 1)


def flags_of(version):
    """The flags that a sender may set: the codec sets COMPRESSED itself, and ENCRYPTED needs a key."""
    return st.sampled_from([0, 4, 8, 16, 4 | 8, 4 | 8 | 16]) if version == 3 else st.just(0)


def received(value):
    """Return what a receiver gets for ``value``: lists for tuples, Python objects for NumPy scalars and byte arrays."""
    if isinstance(value, dict):
        return {key: received(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [received(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytearray):
        return bytes(value)
    return value


@st.composite
def frames(draw, data=messages):
    """A valid frame, made by the oracle."""
    version = draw(versions)
    return oracle.encode_frame(
        draw(types),
        draw(data),
        version,
        draw(flags_of(version)),
        draw(timestamps),
        compression=draw(st.booleans()),
        ndarray=draw(st.sampled_from(["list", "binary"])),
        threshold=draw(st.sampled_from([0, 1024])),
    )


# --- invalid wrappers -------------------------------------------------------------------------------------------

SPELLINGS = """
    ? b B h H i I l L q Q e f d g F D S U V O M8[s] m8 c8 f16 i3 f1 8 int float bool =f4 |u1 |f8 f8,f8
    2f8 1f8 (2,)f8 ()f8 ( , =
"""
odd_dtypes = st.one_of(
    st.sampled_from([str(dtype) for dtype in DTYPES]),
    st.sampled_from(SPELLINGS.split()),
    st.text("<>=|?fiubOV0123456789(), \t\n\x00x", max_size=34),
    scalars,
)
sizes = st.one_of(
    st.integers(-1, 5),
    st.sampled_from([2**16, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, -(2**63)]),
    st.booleans(),
    floats,
    st.none(),
)
odd_shapes = st.one_of(
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(sizes, max_size=4),
    st.lists(st.integers(0, 1), min_size=30, max_size=34),
    scalars,
)
elements = st.one_of(st.integers(-1, 2), ints, floats, st.booleans(), st.none(), texts, binaries)
odd_data = st.one_of(
    st.binary(max_size=40),
    st.recursive(elements, lambda inner: st.lists(inner, max_size=4), max_leaves=12),
    st.lists(st.lists(st.integers(0, 1), min_size=2, max_size=2), max_size=3),
)


@st.composite
def wrappers(draw):
    """A map that is a wrapper, or nearly one: some are valid, most are not."""
    kind = draw(st.sampled_from(["ndarray", "ndarray", "ndarray", "datetime", "uuid"]))
    if kind == "ndarray":
        wrapper = {"__ndarray__": draw(odd_data), "dtype": draw(odd_dtypes), "shape": draw(odd_shapes)}
        if draw(st.integers(0, 9)) == 0:
            del wrapper[draw(st.sampled_from(sorted(wrapper)))]
        wrapper = dict(draw(st.permutations(list(wrapper.items()))))
    elif kind == "datetime":
        text = st.one_of(datetimes.map(lambda d: d.isoformat()), st.text("0123456789-:TZ.+W ", max_size=30), scalars)
        wrapper = {"__datetime__": draw(text)}
    else:
        wrapper = {
            "__uuid__": draw(st.one_of(st.uuids().map(str), st.text("0123456789abcdef-{}_ urn:", max_size=40), scalars))
        }
    if draw(st.integers(0, 9)) == 0:
        wrapper[draw(keys)] = draw(scalars)
    return wrapper


@st.composite
def nearly_arrays(draw):
    """A wrapper of an array, with one thing about it changed."""
    array = draw(arrays(max_side=3))
    data = array.astype(array.dtype.newbyteorder("<")).tobytes() if draw(st.booleans()) else array.tolist()
    if isinstance(data, list) and draw(st.booleans()):
        data = array.reshape(-1).tolist()
    wrapper = {"__ndarray__": data, "dtype": str(array.dtype), "shape": list(array.shape)}
    change = draw(st.sampled_from(["nothing", "dtype", "size", "element", "nesting", "bytes"]))
    if change == "dtype":
        wrapper["dtype"] = str(draw(st.sampled_from(DTYPES)))
    elif change == "size" and array.ndim:
        wrapper["shape"][draw(st.integers(0, array.ndim - 1))] = draw(sizes)
    elif change == "element" and isinstance(data, list) and array.size:
        spot = data
        while isinstance(spot[0], list):
            spot = spot[draw(st.integers(0, len(spot) - 1))]
        spot[draw(st.integers(0, len(spot) - 1))] = draw(st.one_of(elements, st.lists(elements, max_size=1)))
    elif change == "nesting":
        wrapper["__ndarray__"] = [data]
    elif change == "bytes" and isinstance(data, bytes):
        wrapper["__ndarray__"] = data + b"\0" if draw(st.booleans()) else bytes(b ^ 2 for b in data[:-1])
    return wrapper


# --- frames that went wrong -------------------------------------------------------------------------------------

TAGS = bytes([*range(0xC0, 0xE0), 0x00, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBF, 0xE0, 0xFF])


def positions(draw, size):
    return draw(st.integers(0, size - 1)) if size else 0


def edited(draw, data, other):
    """One edit of some bytes."""
    data = bytearray(data)
    at = positions(draw, len(data))
    edit = draw(st.sampled_from(["flip", "byte", "tag", "cut", "drop", "insert", "extend", "splice", "length"]))
    if edit == "flip" and data:
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif edit == "byte" and data:
        data[at] = draw(st.integers(0, 255))
    elif edit == "tag" and data:
        data[at] = draw(st.sampled_from(TAGS))
    elif edit == "cut":
        del data[at:]
    elif edit == "drop":
        del data[at : at + draw(st.integers(1, 9))]
    elif edit == "insert":
        data[at:at] = draw(st.binary(min_size=1, max_size=9))
    elif edit == "extend":
        data += draw(st.binary(min_size=1, max_size=20))
    elif edit == "splice" and other:
        there = positions(draw, len(other))
        data[at : at + draw(st.integers(0, 40))] = other[there : there + draw(st.integers(1, 40))]
    elif edit == "length":
        width = draw(st.sampled_from([1, 2, 4]))
        data[at : at + width] = draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, len(data)])).to_bytes(8, "big")[-width:]
    return bytes(data)


@st.composite
def mutated_frames(draw, valid=None):
    """A frame that was edited: in its header, in its payload with the sum true again, or in what was deflated."""
    whole, other = draw(frames() if valid is None else valid), draw(frames())
    where = draw(st.sampled_from(["anywhere", "payload", "payload", "payload", "inflated", "header"]))
    times = range(draw(st.integers(1, 4)))
    if where == "anywhere":
        for _ in times:
            whole = edited(draw, whole, other)
        return whole
    version, type, flags, timestamp, payload, _ = oracle.split(whole)
    if where == "header":
        return draw(bad_headers(version, type, flags, payload))
    if where == "inflated" and flags & oracle.COMPRESSED:
        payload = zlib.decompress(payload)
    for _ in times:
        payload = edited(draw, payload, other[oracle.header_size(other[0]) :])
    if where == "inflated" and version >= 2:
        payload = zlib.compress(payload, 1)
        flags |= oracle.COMPRESSED
    return oracle.frame(version, type, flags, payload, timestamp or 0)


@st.composite
def bad_headers(draw, version, type, flags, payload):
    length = st.one_of(
        st.just(len(payload)),
        st.integers(0, 2 * len(payload) + 2),
        st.sampled_from([2**24, 2**24 + 1, 2**31, 2**32 - 1]),
    )
    return oracle.frame(
        draw(st.one_of(st.just(version), st.integers(0, 255))),
        draw(st.one_of(st.just(type), st.integers(0, 255))),
        draw(st.one_of(st.just(flags), st.integers(0, 255))),
        payload,
        length=draw(length),
        checksum=draw(st.one_of(st.none(), st.integers(0, 2**32 - 1))),
    )


@st.composite
def wrapper_frames(draw):
    """Frames with a wrapper, mostly an invalid one, somewhere in a message that is otherwise valid."""
    wrapper = draw(st.one_of(wrappers(), nearly_arrays()))
    value = draw(st.sampled_from([wrapper, [wrapper], {"signal": wrapper}, {"a": 1, 2: [None, wrapper]}]))
    return oracle.frame(3, 1, 0, oracle.pack(value), 7)


@st.composite
def near_payloads(draw):
    """Bytes that begin like MessagePack."""
    pieces = st.one_of(
        st.sampled_from([bytes([tag]) for tag in TAGS]),
        st.binary(max_size=5),
        scalars.map(oracle.pack),
        st.sampled_from(
            [
                b"\xdd\0\0\0\x02",
                b"\xdc\0\x01",
                b"\xde\0\x01",
                b"\xdf\0\0\0\x01",
                b"\xab__ndarray__",
                b"\xa5dtype",
                b"\xa5shape",
                b"\xa8__uuid__",
                b"\xac__datetime__",
            ]
        ),
    )
    return b"".join(draw(st.lists(pieces, max_size=12)))

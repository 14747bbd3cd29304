"""Estimates of the memory of a payload before it is unpacked."""

import gc
import struct
import tracemalloc
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

import ecgframe
from ecgframe._core import accelerated, flatten, footprint
from ecgframe._core.plain import _header as plain_header
from ecgframe._core.plain import footprint as plain


def of(payload):
    return footprint(flatten(payload), 0, len(payload))


def plainly(payload):
    return plain.footprint(plain_header.flatten(payload), 0, len(payload))


def many(n, value):
    return b"\xdd" + struct.pack(">I", n) + value * n


def distinct(n, make):
    return b"\xdd" + struct.pack(">I", n) + b"".join(make(number) for number in range(n))


def pack(value):
    return oracle.pack(value, "binary")


N = 20_000
HOSTILE = {
    "nil": many(N, b"\xc0"),
    "small integers": many(N, b"\x07"),
    "integers": distinct(N, lambda n: b"\xcd" + struct.pack(">H", n + 300)),
    "negative integers": many(N, b"\xd0\x80"),
    "large integers": distinct(N, lambda n: b"\xcf" + struct.pack(">Q", 2**63 + n)),
    "floats": distinct(N, lambda n: b"\xca" + struct.pack(">f", n)),
    "letters": many(N, b"\xa1a"),
    "texts": distinct(N, lambda n: b"\xa3" + b"%03d" % (n % 1000)),
    "long texts": distinct(200, lambda n: b"\xd9\xff" + b"%03d" % n + b"x" * 252),
    "text with one wide letter": pack("a" * 100_000 + "\U0001f600"),
    "text with one letter of two bytes": pack("a" * 100_000 + "\u0142"),
    "bytes": distinct(N, lambda n: b"\xc4\x02" + struct.pack(">H", n)),
    "empty bytes": many(N, b"\xc4\x00"),
    "empty maps": many(N, b"\x80"),
    "maps of one": distinct(N, lambda n: b"\x81\x01\x02"),
    "maps of six": distinct(N // 6, lambda n: b"\x86" + b"".join(bytes((k, 1)) for k in range(6))),
    "a large map": b"\xdf"
    + struct.pack(">I", N)
    + b"".join(b"\xcd" + struct.pack(">H", n + 300) + b"\x01" for n in range(N)),
    "empty lists": many(N, b"\x90"),
    "nested lists": many(N // 3, b"\x91\x91\x90"),
    "dates": distinct(2000, lambda n: pack({"__datetime__": f"2024-01-15T10:30:{n % 60:02}.{n:06}"})),
    "UUIDs": distinct(2000, lambda n: pack(UUID(int=n))),
    "arrays": distinct(2000, lambda n: pack(np.arange(3, dtype="i2"))),
    "an array": pack(np.zeros(100_000)),
    "an array as lists": oracle.pack(np.zeros(20_000), "list"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_the_footprint_is_at_least_the_allocated_memory_and_not_much_more(kind):
    payload = HOSTILE[kind]
    ecgframe.unpack(payload)  # what is kept when it happens for the first time
    gc.collect()
    tracemalloc.start()
    try:
        value = ecgframe.unpack(payload)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert value is not None
    assert of(payload) >= 0.9 * (taken - 1024)  # what the plain core has around one array is not counted
    assert of(payload) <= 12 * max(taken, len(payload))


@given(st.one_of(strategies.nests(strategies.leaves).map(pack), st.binary(max_size=60)))
def test_both_cores_compute_the_same_footprint(payload):
    assert plainly(payload) == of(payload)


@pytest.mark.parametrize("kind", HOSTILE)
def test_both_cores_compute_the_same_footprint_of_hostile_payloads(kind):
    assert plainly(HOSTILE[kind]) == of(HOSTILE[kind])


@given(st.data())
def test_both_cores_compute_the_same_footprint_of_truncated_payloads(data):
    payload = pack({"a": [1, "é", 2.5, np.zeros(2)], "b": datetime(2024, 1, 1, tzinfo=UTC), "c": {}})
    cut = payload[: data.draw(st.integers(0, len(payload)))]
    assert plainly(cut) == of(cut) <= of(payload) + 1000


def test_a_map_that_only_looks_like_an_array_counts_in_full():
    samples = list(range(1000, 3000))
    array = oracle.SCALARS.pack({"__ndarray__": samples, "dtype": "i2", "shape": [2000]})
    other = oracle.SCALARS.pack({"__ndarray__": samples, "dtype": "i2", "shapes": [2000]})
    assert of(array) < 20_000
    assert of(other) > 80_000


def test_nesting_beyond_the_limit_ends_the_footprint():
    assert of(b"\x91" * 1000) < 100_000


@pytest.mark.skipif(not accelerated, reason="of the compiled core")
def test_the_compiled_footprint_is_in_use():
    assert type(footprint).__name__ in ("builtin_function_or_method", "cython_function_or_method")

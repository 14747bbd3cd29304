"""Counts of the values of a payload before it is unpacked."""

import struct

import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from ecgframe._core import count_numbers, flatten
from ecgframe._core.plain import _header as plain_header
from ecgframe._core.plain import value_count as plain

MANY = 1 << 20


def of(payload, most=MANY):
    return count_numbers(flatten(payload), 0, len(payload), most)


def plainly(payload, most=MANY):
    return plain.count_numbers(plain_header.flatten(payload), 0, len(payload), most)


def pack(value):
    return oracle.pack(value, "binary")


@pytest.mark.parametrize(
    ("payload", "numbers", "others", "containers"),
    [
        (b"", 0, 0, 0),
        (pack([1, -1, 200, -200, 70_000, 2**40, -(2**40), 1.5, None, True, False]), 11, 0, 1),
        (b"\xca" + bytes(4) + b"\xcb" + bytes(8), 2, 0, 0),
        (pack(["", "a", "x" * 40, "x" * 300, "x" * 70_000, b"", b"x" * 300, b"x" * 70_000]), 0, 8, 1),
        (pack([[], {}, [[]] * 20]), 0, 0, 24),
        (pack({"a": 1}), 1, 1, 1),
        (pack(dict.fromkeys(range(20))), 40, 20, 1),  # the entries of a long map count as well
        (b"\xdf\xff\xff\xff\xff\x01", 1, 1, 1),  # but not more than can follow
        (b"\x01\xc1\x01", 1, 0, 0),  # stops at damage
        (b"\x01\xcd\x01", 1, 0, 0),
        (b"\x01\xa4abc", 1, 1, 0),
        (b"\x01\xda\x01", 1, 1, 0),
        (b"\x01\xde\x01", 1, 0, 1),
    ],
)
def test_values_are_counted(payload, numbers, others, containers):
    assert of(payload) == plainly(payload) == (numbers, others, containers)


def test_counting_stops_at_the_limit():
    payload = b"\xdd" + struct.pack(">I", 9) + b"\x01\xa1a" * 9
    assert of(payload, 3) == plainly(payload, 3) == (4, 4, 1)


@given(strategies.nests(strategies.leaves).map(pack), st.integers(0, 20))
def test_both_cores_count_the_same(payload, most):
    assert of(payload, most) == plainly(payload, most)


@given(st.binary(max_size=300), st.integers(0, 20))
def test_both_cores_count_the_same_in_any_bytes(payload, most):
    assert of(payload, most) == plainly(payload, most)

"""datetime and UUID: what is sent, what is read, and what is a plain map instead."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import numpy as np
import oracle
import pytest

from ecgframe import InvalidDataFormat, pack, unpack

NAIVE = datetime(2024, 1, 15, 10, 30, 45, 123456)
NAME = UUID("550e8400-e29b-41d4-a716-446655440000")


def test_the_specifications_datetime():
    assert pack(NAIVE) == oracle.pack({"__datetime__": "2024-01-15T10:30:45.123456"})
    assert unpack(pack(NAIVE)) == NAIVE


@pytest.mark.parametrize(
    "moment",
    [
        NAIVE,
        NAIVE.replace(microsecond=0),
        NAIVE.replace(tzinfo=UTC),
        NAIVE.replace(tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
        NAIVE.replace(tzinfo=timezone(timedelta(hours=1, seconds=7))),
        datetime.min,
        datetime.max,
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_a_datetime_arrives_equal_with_its_offset(moment):
    arrived = unpack(pack(moment))
    assert arrived == moment
    assert arrived.isoformat() == moment.isoformat()
    assert arrived.utcoffset() == moment.utcoffset()


def test_a_trailing_z_is_utc():
    assert unpack(oracle.pack({"__datetime__": "2024-01-15T10:30:45Z"})) == datetime(
        2024, 1, 15, 10, 30, 45, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "text", ["", "now", "2024-13-01", "2024-01-15T24:30", "10:30", "2024-01-15T10:30:45 CET", "\0", "9" * 1000]
)
def test_text_that_is_no_datetime_is_refused(text):
    with pytest.raises(InvalidDataFormat):
        unpack(oracle.pack({"__datetime__": text}))


def test_the_specifications_uuid():
    assert pack(NAME) == oracle.pack({"__uuid__": "550e8400-e29b-41d4-a716-446655440000"})
    assert unpack(pack(NAME)) == NAME


@pytest.mark.parametrize("text", [str(NAME).upper(), str(NAME)])
def test_a_uuid_in_either_case(text):
    assert unpack(oracle.pack({"__uuid__": text})) == NAME


@pytest.mark.parametrize("text", ["", "550e8400", NAME.hex + "0", NAME.hex[:-1] + "g", "é" * 32, "\0" * 32, "-" * 32])
def test_text_that_is_no_uuid_is_refused(text):
    with pytest.raises(InvalidDataFormat):
        unpack(oracle.pack({"__uuid__": text}))


@pytest.mark.parametrize("key", ["__datetime__", "__uuid__"])
@pytest.mark.parametrize(
    "content", [None, True, 5, 1.5, b"2024-01-15", ["2024-01-15"], {}, {"__datetime__": "2024-01-15"}]
)
def test_a_wrapper_without_text_is_refused(key, content):
    with pytest.raises(InvalidDataFormat):
        unpack(oracle.pack({key: content}))


@pytest.mark.parametrize(
    "plain",
    [
        {"__datetime__": "2024-01-15", "zone": "CET"},
        {"zone": "CET", "__datetime__": "2024-01-15"},
        {"__uuid__": str(NAME), 0: None},
        {"__uuid__": 1, "__datetime__": 2},
        {"__datetime__ ": "2024-01-15"},
        {"__ndarray__": [1], "dtype": "int8", "shape": [1], "units": "mV"},
        {"units": "mV", "__ndarray__": [1], "dtype": "int8", "shape": [1]},
        {"__ndarray__": [1], "dtype": "int8", "units": "mV"},
        {"__ndarray__": [[1], "x"], "n": None},
        {"dtype": "int8", "shape": [1]},
        {"dtype": None},
        {"shape": {}},
        {"__ndarray__": None, "dtype": 1, "shape": 2, 3: 4},
        {"__ndarray__": b"\x01", "dtype": "int8", "shape": [1], "extra": [b"\x02"]},
    ],
)
def test_a_map_with_other_keys_is_a_plain_map(plain):
    assert oracle.same(unpack(oracle.pack(plain)), plain)
    assert oracle.same(unpack(pack({"in": [plain]})), {"in": [plain]})


def test_wrappers_inside_wrappers_inside_maps():
    data = {"a": [{"b": NAIVE, "c": [NAME, {"d": np.arange(3)}]}], 1: {2: NAME}}
    assert oracle.same(unpack(pack(data)), data)


def test_a_wrapper_may_be_the_whole_payload():
    assert unpack(pack(NAME)) == NAME
    assert np.array_equal(unpack(pack(np.arange(3))), np.arange(3))


def test_a_wrapper_is_no_key():
    with pytest.raises(TypeError):
        pack({NAME: 1})
    with pytest.raises(TypeError):
        pack({NAIVE: 1})

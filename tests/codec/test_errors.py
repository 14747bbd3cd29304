"""The family of errors: one class for each of the specification's codes."""

import copy
import pickle

import oracle
import pytest

import ecgframe
from ecgframe import ErrorCode, ProtocolError, decode

FAMILY = {
    "InvalidProtocolVersion": 0x100,
    "ChecksumMismatch": 0x101,
    "MessageTooLarge": 0x102,
    "DecompressionFailed": 0x103,
    "InvalidMessageType": 0x104,
    "InvalidDataFormat": 0x200,
    "MissingRequiredFields": 0x201,
    "AuthenticationFailed": 0x202,
    "PermissionDenied": 0x203,
    "RateLimitExceeded": 0x204,
}


@pytest.mark.parametrize(("name", "code"), FAMILY.items())
def test_each_code_has_its_class(name, code):
    cls = getattr(ecgframe, name)
    assert cls.code is ErrorCode(code)
    assert cls.__base__ is ProtocolError
    assert cls("x").code == code


def test_each_code_has_one_class_and_there_are_no_others():
    assert {cls.__name__ for cls in ProtocolError.__subclasses__()} == set(FAMILY)
    assert {int(code) for code in ErrorCode} == set(FAMILY.values())


def test_protocol_errors_are_value_errors():
    assert issubclass(ProtocolError, ValueError)
    with pytest.raises(ValueError, match="version"):
        decode(b"\x09" + bytes(20))


@pytest.mark.parametrize("name", FAMILY)
def test_an_error_says_what_where_and_which_row(name):
    error = getattr(ecgframe, name)("too bad", check=7, path='data["a"]', offset=19)
    assert str(error) == "too bad"
    assert (error.check, error.path, error.offset) == (7, 'data["a"]', 19)
    bare = getattr(ecgframe, name)("too bad")
    assert (bare.check, bare.path, bare.offset) == (None, None, None)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("through", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_can_be_copied_and_pickled(name, through):
    error = getattr(ecgframe, name)("too bad", check=7, path='data["a"]', offset=19)
    again = through(error)
    assert type(again) is type(error)
    assert str(again) == "too bad"
    assert (again.check, again.path, again.offset) == (7, 'data["a"]', 19)


SPOILT = {
    "InvalidProtocolVersion": oracle.frame(9, 0x11, 0, b""),
    "ChecksumMismatch": oracle.frame(3, 0x11, 0, b"\xc0", checksum=1),
    "MessageTooLarge": oracle.frame(3, 0x11, 0, b"", length=2**32 - 1),
    "DecompressionFailed": oracle.frame(3, 0x11, 1, b"\xc0"),
    "InvalidMessageType": oracle.frame(3, 0x77, 0, b""),
    "InvalidDataFormat": oracle.frame(3, 0x11, 0, b"\xc1"),
    "AuthenticationFailed": oracle.frame(3, 0x11, 2, b"\xc0"),
}


@pytest.mark.parametrize(("name", "frame"), SPOILT.items())
def test_the_receiver_raises_the_class_of_the_code(name, frame):
    with pytest.raises(ProtocolError) as caught:
        decode(frame)
    assert type(caught.value) is getattr(ecgframe, name)
    assert str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"__datetime__": "patient " + "7" * 10**6},
        {"__uuid__": "patient " + "7" * 10**6},
        {"__ndarray__": [], "dtype": "f" * 10**6, "shape": []},
        {"__ndarray__": [], "dtype": "f8", "shape": [1] * 10**5},
        {"__ndarray__": ["7" * 10**6], "dtype": "f8", "shape": [1]},
        {"k" * 10**6: {"__uuid__": "x"}},
    ],
    ids=["datetime", "uuid", "dtype", "shape", "element", "key"],
)
def test_an_errors_text_is_short(value):
    with pytest.raises(ProtocolError) as caught:
        decode(oracle.frame(3, 0x11, 0, oracle.pack(value)))
    assert len(str(caught.value)) < 1000
    assert len(caught.value.path) < 1000

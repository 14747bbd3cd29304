"""Every exception of the package goes through pickle and copy with all it knows: pools and queues send them so."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from enum import Enum

import pytest
from cases import each_case

import ecgframe
from ecgframe import MessageType, ProtocolError
from ecgframe.client import ConnectionLost, Gap, NotAcknowledged
from ecgframe.errors import MessageTooLarge
from ecgframe.frame_file import FrameFileError
from ecgframe.protocol import Check
from ecgframe.seal import NotOpened

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda error, n=n: pickle.loads(pickle.dumps(error, n))
        for n in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
VALUES = {
    "str": "words",
    "int": 5,
    "bytes": b"key",
    "float": 2.5,
    "MessageType": MessageType.ECG_DATA,
    "Check": Check.PAYLOAD,
    "NotOpened": NotOpened.REPEATED,
    "Gap": Gap("ecg/1", 1, 2, 3),
    "ProtocolError": MessageTooLarge("large", check=Check.PAYLOAD, path="data", offset=3),
}


def modules():
    for found in pkgutil.walk_packages(ecgframe.__path__, "ecgframe."):
        if not found.name.endswith("__main__"):
            try:
                yield importlib.import_module(found.name)
            except ImportError as error:
                if (error.name or "ecgframe").startswith("ecgframe"):  # none of the optional libraries
                    raise


def exceptions():
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith("ecgframe")
    }
    return sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def value_for(parameter):
    kind = str(parameter.annotation).strip("'").partition(" ")[0].rpartition(".")[2]
    assert kind in VALUES, f"{parameter}: teach this test a value"
    return VALUES[kind]


def made(cls):
    """One with something in each of its parameters."""
    if cls.__init__ in (base.__init__ for base in cls.__mro__ if base.__module__ == "builtins"):
        return cls("words")
    parameters = inspect.signature(cls).parameters.values()
    by_name = {p.name: value_for(p) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return cls(*[value_for(p) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD], **by_name)


def same(one, other):
    if isinstance(one, BaseException):
        return type(one) is type(other) and str(one) == str(other) and same(known(one), known(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one is other if isinstance(one, Enum) else one == other)


def known(error):
    return vars(error) | {"args": error.args}


FOUND = exceptions()


@pytest.mark.parametrize("way", WAYS)
@each_case("cls", FOUND, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_each_exception_survives_pickling_and_copying(cls, way):
    error = made(cls)
    error.add_note("seen at bed 7")
    again = WAYS[way](error)
    assert again is not error
    assert same(again, error)


def test_exceptions_were_found():
    assert {ProtocolError, NotAcknowledged, ConnectionLost, FrameFileError} <= set(FOUND)
    assert len(FOUND) > 20


def test_an_acknowledgement_that_never_came():
    error = NotAcknowledged(MessageType.ECG_DATA, 5, 3)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error) != {}


def test_a_lost_connection_keeps_its_cause():
    error = ConnectionLost("closed", code=1002, error=VALUES["ProtocolError"])
    for way in WAYS.values():
        again = way(error)
        assert again.__cause__ is again.error
        assert again.code == 1002
    bare = pickle.loads(pickle.dumps(ConnectionLost("closed")))
    assert (bare.error, bare.code, bare.__cause__) == (None, None, None)

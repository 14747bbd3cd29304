"""Physical values of messages in any form; the vectors are shared with TypeScript."""

import json
from types import MappingProxyType

import make_physical_vectors
import numpy as np
import pytest
from cases import each_case
from rendering import VECTORS

import ecgframe
from ecgframe import Codec, InvalidDataFormat, MessageType, MissingRequiredFields, ProtocolError, physical, unpack

GIVEN = json.loads((VECTORS / "physical.json").read_text(encoding="utf-8"))
ACCEPTED = [vector for vector in GIVEN if "values" in vector]
REFUSED = [vector for vector in GIVEN if "code" in vector]
READERS = [
    Codec(numeric_lists=numeric, copy=copied, validate=False)
    for numeric in ("list", "ndarray")
    for copied in (False, True)
]


def named(vector):
    return vector["name"]


def test_the_vectors_are_those_that_are_made():
    assert list(make_physical_vectors.vectors()) == GIVEN


@each_case("vector", ACCEPTED, ids=named)
@pytest.mark.parametrize("codec", READERS, ids=str)
def test_values(vector, codec):
    values = physical(codec.unpack(bytes.fromhex(vector["data"])))
    assert values.dtype == np.float64
    assert values.ndim == 2
    assert values.flags.writeable
    assert values.flags.c_contiguous
    assert len(values) == len(vector["values"])
    for row, expected in zip(values, vector["values"], strict=True):
        assert np.array_equal(row, [float(value) for value in expected], equal_nan=True)


@each_case("vector", REFUSED, ids=named)
def test_messages_without_a_signal_are_refused(vector):
    with pytest.raises(ProtocolError) as caught:
        physical(unpack(bytes.fromhex(vector["data"])))
    assert caught.value.code == int(vector["code"], 16)
    assert caught.value.check == 12
    assert caught.value.path == vector.get("path", caught.value.path)
    assert caught.value.path in str(caught.value) or vector["code"] == "0x201"


@pytest.mark.parametrize("form", ["list", "binary"])
def test_a_message_as_well_as_its_data(form):
    data = {"signal": np.array([[100, 300]], "i2"), "sampling_rate": 250, "gain": 200, "baseline": 100}
    message = ecgframe.decode(Codec(ndarray=form).encode(MessageType.ECG_DATA, data))
    assert np.array_equal(physical(message), [[0.0, 1.0]])
    assert np.array_equal(physical(message.data), [[0.0, 1.0]])
    assert np.array_equal(physical(MappingProxyType(data)), [[0.0, 1.0]])


def test_the_message_stays_as_it_was():
    signal, gain = np.arange(4.0).reshape(2, 2), [2.0, 4.0]
    data = {"signal": signal, "gain": gain}
    values = physical(data)
    values[:] = 7
    assert np.array_equal(signal, [[0, 1], [2, 3]])
    assert gain == [2.0, 4.0]
    assert physical({"signal": signal}) is not signal
    assert not np.shares_memory(physical({"signal": signal}), signal)


def test_any_layout_in_memory():
    wide = np.arange(24, dtype="i4").reshape(4, 6)
    for signal in (wide[:, ::2], wide[::-1], wide.T, np.asfortranarray(wide)):
        assert np.array_equal(physical({"signal": signal, "gain": 2}), signal / 2)


def test_masked_samples_are_missing():
    signal = np.ma.masked_array([[1, 2, 3]], [[False, True, False]], dtype="i2")
    assert np.array_equal(physical({"signal": signal, "gain": 2}), [[0.5, np.nan, 1.5]], equal_nan=True)


@pytest.mark.parametrize("nothing", [None, 5, "data", [1], b"\x01"])
def test_other_objects_than_messages_are_refused(nothing):
    with pytest.raises(InvalidDataFormat, match="a map of fields"):
        physical(nothing)
    with pytest.raises(InvalidDataFormat, match="a map of fields"):
        physical(ecgframe.decode(ecgframe.encode(MessageType.PING, nothing)))


def test_an_alert_has_no_signal():
    with pytest.raises(MissingRequiredFields, match="signal"):
        physical({"kind": "VT", "timestamp": 5.0})


def test_the_error_says_where_and_what():
    with pytest.raises(InvalidDataFormat) as caught:
        physical({"signal": [[1, 2], [3, 4]], "gain": [200, 0]})
    assert caught.value.path == 'data["gain"][1]'
    assert str(caught.value) == 'ECG_DATA: data["gain"][1] must be a finite number other than 0; got int 0'


def test_a_shape_alone_takes_no_memory():
    wrapper = {"__ndarray__": b"", "dtype": "int8", "shape": [2**32 - 1, 0]}
    data = unpack(ecgframe.pack({"signal": wrapper, "gain": 2}))
    assert data["signal"].shape == (2**32 - 1, 0)
    with pytest.raises(InvalidDataFormat, match="at most 256 leads"):
        physical(data)
    assert physical({"signal": np.zeros((256, 0))}).shape == (256, 0)


def test_no_warning_is_raised():
    extremes = {"signal": np.array([np.inf, -np.inf, np.nan, 1e308]), "gain": 1e-300, "baseline": -1e308}
    assert np.isinf(physical(extremes)[0, 3])


def test_no_python_object_a_sample():
    frame = Codec(ndarray="binary").encode(MessageType.ECG_DATA, {"signal": np.zeros((12, 100_000), "i2"), "gain": 200})
    assert physical(ecgframe.decode(frame)).shape == (12, 100_000)

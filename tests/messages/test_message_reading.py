"""Variants that a receiver accepts although a sender may not write them; and that payloads are not changed."""

from copy import deepcopy

import numpy as np
import pytest

from ecgframe.errors import InvalidDataFormat, MissingRequiredFields
from ecgframe.messages import check_received, check_sent
from ecgframe.protocol import MessageType

BROWSER = {"signal": [0.1, 0.2], "timestamp": 1705320000.25, "samplingRate": 250, "x-site": 3}


def test_the_alias_becomes_the_field():
    received = check_received(MessageType.ECG_DATA, BROWSER)
    assert received == {"signal": [0.1, 0.2], "timestamp": 1705320000.25, "sampling_rate": 250, "x-site": 3}
    assert list(received) == ["signal", "timestamp", "sampling_rate", "x-site"]


def test_the_alias_leaves_the_callers_map_untouched():
    data = deepcopy(BROWSER)
    received = check_received(MessageType.ECG_DATA, data)
    assert data == BROWSER
    assert received["signal"] is data["signal"]


def test_the_value_under_the_alias_is_checked():
    with pytest.raises(InvalidDataFormat) as caught:
        check_received(MessageType.ECG_DATA, BROWSER | {"samplingRate": 0})
    assert caught.value.path == 'data["sampling_rate"]'


def test_beside_the_field_the_alias_is_an_unknown_field():
    data = BROWSER | {"sampling_rate": 500}
    assert check_received(MessageType.ECG_DATA, data) is data
    assert data["samplingRate"] == 250


def test_a_sender_has_no_alias():
    with pytest.raises(MissingRequiredFields, match=r'lacks data\["sampling_rate"\]'):
        check_sent(MessageType.ECG_DATA, BROWSER)


def test_other_types_have_no_alias():
    data = {"stream": "ecg", "samplingRate": "any"}
    assert check_received(MessageType.SUBSCRIBE, data) is data


def test_a_nil_in_an_optional_field_reads_as_left_out():
    data = {"stream": "ecg", "since": None, "x-site": None}
    assert check_received(MessageType.SUBSCRIBE, data) == {"stream": "ecg", "x-site": None}
    assert data == {"stream": "ecg", "since": None, "x-site": None}


def test_a_nil_among_alternatives_reads_as_left_out():
    data = {"label": None, "probabilities": {"AF": 0.5}}
    assert check_received(MessageType.PREDICTION_RESULT, data) == {"probabilities": {"AF": 0.5}}
    with pytest.raises(MissingRequiredFields):
        check_received(MessageType.PREDICTION_RESULT, {"label": None})


def test_a_nil_that_may_stand_for_itself_is_kept():
    data = {"code": 0x200, "message": "what?", "details": None}
    assert check_received(MessageType.ERROR, data) is data


def test_a_nil_in_a_required_field_is_refused():
    with pytest.raises(InvalidDataFormat, match=r'data\["stream"\] must be text; got None'):
        check_received(MessageType.SUBSCRIBE, {"stream": None})


def test_a_sender_leaves_out_what_it_does_not_have():
    with pytest.raises(InvalidDataFormat, match=r'data\["since"\] must be a time: .*; got None'):
        check_sent(MessageType.SUBSCRIBE, {"stream": "ecg", "since": None})


@pytest.mark.parametrize("check", [check_sent, check_received])
def test_arrays_pass_by_reference(check):
    signal = np.zeros((2, 3))
    assert check(MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 1})["signal"] is signal


def test_a_wrong_entry_of_a_map_is_named():
    with pytest.raises(InvalidDataFormat) as caught:
        check_received(MessageType.PREDICTION_RESULT, {"probabilities": {"N": 0.1, "AF": 1.5}})
    assert caught.value.path == 'data["probabilities"]["AF"]'
    assert "must be a probability from 0 to 1; got float 1.5" in str(caught.value)


def test_a_wrong_key_of_a_map_is_named():
    with pytest.raises(InvalidDataFormat) as caught:
        check_received(MessageType.FEATURE_DATA, {"features": {"hr": 60, 7: 1}})
    assert caught.value.path == 'data["features"]'
    assert "must be a map whose keys are text; got the key int 7" in str(caught.value)


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("x" * 1_000_000, "str 'xxx"),
        (b"x" * 1_000_000, "bytes <1000000 bytes>"),
        ([0] * 1_000_000, "list [0, 0, 0, 0, ...]"),
        ([b"x" * 1_000_000, np.zeros(9)], "list [<1000000 bytes>, <float64, shape [9]>]"),
        (dict.fromkeys(range(1_000_000)), "dict <1000000 entries>"),
        ([[[[1]]]], "list [[[...]]]"),
        (10**5000, "int"),
        (Unprintable(), "Unprintable"),
    ],
    ids=["none", "str", "bytes", "list", "mixed", "dict", "deep", "int", "unprintable"],
)
def test_refused_values_are_abbreviated(value, words):
    with pytest.raises(InvalidDataFormat) as caught:
        check_sent(MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 0, "confidence": value})
    shown = str(caught.value).partition("; got ")[2]
    assert shown.startswith(words)
    assert len(shown) < 100


def test_numbers_that_floats_cannot_hold_are_still_numbers():
    long = 10**400
    check_sent(MessageType.ECG_DATA, {"signal": [long], "sampling_rate": long, "timestamp": -long, "baseline": long})

"""Valid signals, and their consistency with the fields about leads."""

import numpy as np
import pytest
from cases import each_case

from ecgframe.errors import InvalidDataFormat
from ecgframe.messages import check_received, check_sent
from ecgframe.protocol import MessageType

ECG = MessageType.ECG_DATA


def ecg(signal, **fields):
    return {"signal": signal, "sampling_rate": 500, **fields}


def refusal(data):
    with pytest.raises(InvalidDataFormat) as caught:
        check_sent(ECG, data)
    return caught.value


@each_case("dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f2", "<f4", ">f4", "f8"])
@each_case("shape", [(0,), (1,), (500,), (0, 0), (12, 0), (1, 5), (12, 500)])
def test_every_number_dtype_in_one_or_two_dimensions_is_a_signal(dtype, shape):
    check_sent(ECG, ecg(np.zeros(shape, dtype)))


def test_strided_and_read_only_arrays_are_signals():
    samples = np.zeros((500, 12))
    samples.flags.writeable = False
    check_sent(ECG, ecg(samples.T[:, ::2]))


@pytest.mark.parametrize(
    "signal",
    [
        *([], [1], [1.5, 2], [float("nan")], (1.0, 2.0), [2**63], [np.float32(1), np.int16(2), 3]),
        *([[1, 2.5], [3.5, 4]], [[]], [[], []], ([1], (2,))),
    ],
    ids=repr,
)
def test_number_lists_are_signals(signal):
    check_sent(ECG, ecg(signal))


class Millivolts(float):
    """A subclass of float."""


def test_subclasses_of_numbers_are_numbers():
    check_sent(ECG, ecg([Millivolts(0.5), 1.0, MessageType.PING]))


@pytest.mark.parametrize(
    ("signal", "place", "words"),
    [
        ([0.5] * 1000 + [True] + [0.5], "[1000]", "a number; got bool True"),
        ([1, "2"], "[1]", "a number; got str '2'"),
        ([None], "[0]", "a number; got None"),
        ([1, [2]], "[1]", "a number; got list [2]"),
        ([[1], 2], "[1]", "a list of numbers, as the first lead is; got int 2"),
        ([[1, 2], [1, 2], [1]], "[2]", "as long as the first lead, which has 2 samples; got 1 samples"),
        ([[1, 2], [1, b"2"]], "[1][1]", "a number; got bytes <1 bytes>"),
        ([[[1]]], "[0][0]", "a number; got list [1]"),
        (np.zeros((1, 2, 3), "i2"), "", "got ndarray <int16, shape [1, 2, 3]>"),
        (np.zeros(3, "?"), "", "got ndarray <bool, shape [3]>"),
        ("abc" * 1000, "", "got str 'abcabc"),
    ],
)
def test_the_first_wrong_sample_is_named(signal, place, words):
    error = refusal(ecg(signal))
    assert error.path == f'data["signal"]{place}'
    assert words in str(error)
    assert len(str(error)) < 250


def test_a_signal_is_said_to_be_one_or_two_dimensional():
    assert 'data["signal"] must be numbers, [samples] or [leads, samples], as a list or an ndarray' in str(
        refusal(ecg({}))
    )


TWO_LEADS = [np.zeros((2, 3)), np.zeros((2, 0)), [[1, 2], [3, 4]], [[], []]]


@each_case("signal", TWO_LEADS)
@each_case(
    "fields",
    [
        {"leads": ["I", "II"]},
        {"gain": [200, 400]},
        {"gain": np.array([200, 400], "u2")},
        {"gain": 200.0},
        {"baseline": (0, 1024)},
        {"baseline": np.array([0.5, -0.5])},
        {"baseline": -5},
    ],
)
def test_one_entry_a_lead_or_one_for_all_is_fine(signal, fields):
    check_received(ECG, ecg(signal, **fields))


@each_case("signal", TWO_LEADS)
@each_case(
    ("name", "value"),
    [
        ("leads", []),
        ("leads", ["I"]),
        ("leads", ["I", "II", "III"]),
        ("gain", [200.0]),
        ("gain", np.array([200.0, 200.0, 200.0])),
        ("baseline", []),
        ("baseline", np.array([], "i2")),
    ],
)
def test_another_number_of_entries_than_leads_is_refused(signal, name, value):
    error = refusal(ecg(signal, **{name: value}))
    assert error.path == f'data["{name}"]'
    assert str(error).endswith(f"must be 2 entries, one for each lead of the signal; got {len(value)}")


@pytest.mark.parametrize("signal", [np.zeros(3), [1, 2, 3], []])
def test_a_one_dimensional_signal_does_not_say_how_many_leads_there_are(signal):
    check_received(ECG, ecg(signal, leads=["I", "II"], gain=[200.0, 200.0], baseline=np.array([0, 0])))


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("gain", [200.0, 0], "[1]"),
        ("gain", np.array([200.0, 0.0]), ""),
        ("baseline", [0, None], "[1]"),
        ("leads", ["I", 2], "[1]"),
    ],
)
def test_a_wrong_entry_is_named_with_its_place(name, value, place):
    assert refusal(ecg(np.zeros((2, 3)), **{name: value})).path == f'data["{name}"]{place}'


def test_units_are_named():
    assert "in ADC counts per unit; or a list of such, one for each lead; got int 0" in str(refusal(ecg([1], gain=0)))
    assert "must be a finite number above 0, in Hz; got str '250'" in str(refusal(ecg([1]) | {"sampling_rate": "250"}))

"""Units of LSL channels as senders spell them."""

from __future__ import annotations

import pytest
from recordings import optional

optional("websockets")

from ecgframe.bridges.lsl import BridgeError  # noqa: E402 - after the skip
from ecgframe.bridges.lsl.units import common_unit, unit_name  # noqa: E402


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("microvolts", "EEG", "uV"),
        ("uV", "ECG", "uV"),
        ("\N{MICRO SIGN}V", "", "uV"),
        ("\N{GREEK SMALL LETTER MU}V", "", "uV"),
        ("Millivolts ", "ECG", "mV"),
        ("mV", "", "mV"),
        ("V", "", "V"),
        ("nanovolts", "", "nV"),
        ("-6", "ecg", "uV"),
        ("-3", "ECG", "mV"),
        ("-6", "accelerometer", None),
        ("0", "ecg", None),
        ("none", "ecg", None),
        ("", "ECG", None),
        ("bpm", "ECG", "bpm"),
    ],
)
def test_spellings_of_a_unit_have_one_name(text, kind, name):
    assert unit_name(text, kind) == name


def test_channels_of_one_unit_are_not_converted():
    assert common_unit(["uV", "uV"], ["I", "II"], "x") == ("uV", (1, 1))
    assert common_unit([None], ["I"], "x") == (None, (1,))


def test_voltages_are_converted_to_millivolts():
    unit = common_unit(["uV", "mV", "V"], ["I", "II", "III"], "x")
    assert unit == ("mV", (1e-3, 1, 1e3))
    assert unit.is_converted


@pytest.mark.parametrize("units", [("mV", None), ("mV", "bpm")])
def test_units_that_are_not_all_voltages_are_refused(units):
    with pytest.raises(BridgeError, match=r"amp: its channels have different units: I \(mV\), X \(.*--channels"):
        common_unit(units, ["I", "X"], "amp")

"""Signals beside an ECG: what they are, and recordings that have them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recordings import optional

from ecgframe import MessageType, encode
from ecgframe.frame_file import FrameFileError, constant_fields, ecg_messages, read_frames
from ecgframe.other_signals import kind_of
from ecgframe.records import RecordError, read_record, save_record
from ecgframe.signal_fields import format_of

VECTORS = Path(__file__).parent.parent / "vectors" / "channels.json"
LEADS = ("II", "RESP", "PLETH", "ABP")
UNITS = ("uV", "Ohm", "NU", "mmHg")
GAIN = (0.2, 1000.0, 2000.0, 20.0)
BASELINE = (0, 10, 0, -1000)


def test_a_lead_is_known_by_its_name_and_its_unit():
    for case in json.loads(VECTORS.read_text(encoding="utf-8")):
        assert kind_of(case["name"], case["unit"]) == case["kind"], case


@pytest.fixture
def path(tmp_path):
    """A WFDB record with signals of four units at one rate."""
    counts = np.arange(4 * 100, dtype="<i2").reshape(4, 100)
    counts.T.tofile(tmp_path / "bed.dat")
    lines = [
        f"bed.dat 16 {gain:g}({base})/{unit} 16 0 0 0 0 {lead}"
        for lead, unit, gain, base in zip(LEADS, UNITS, GAIN, BASELINE, strict=True)
    ]
    (tmp_path / "bed.hea").write_text("\n".join(["bed 4 250 100", *lines]) + "\n")
    return tmp_path / "bed.hea"


def test_other_signals_are_left_out_unless_they_are_asked_for(path):
    assert read_record(path).leads == ("II",)
    assert read_record(path).left_out == ("RESP", "PLETH", "ABP")
    record = read_record(path, every_unit=True)
    assert (record.leads, record.left_out, record.units) == (LEADS, (), "mV")
    assert record.lead_units == ("mV", "Ohm", "NU", "mmHg")
    counts = np.arange(400).reshape(4, 100)
    expected = (counts - np.array(BASELINE)[:, None]) / (np.array(GAIN) * [1000, 1, 1, 1])[:, None]
    np.testing.assert_allclose(record.physical(), expected, rtol=1e-12)
    two = read_record(path, leads=["ABP", "II"], every_unit=True)
    assert (two.leads, two.units, two.lead_units) == (("ABP", "II"), "mV", ("mmHg", "mV"))
    with pytest.raises(RecordError, match="differ in rate or unit"):
        read_record(path, leads=["ABP", "II"])
    assert read_record(path, leads=["ABP"], every_unit=True).lead_units is None


def test_the_messages_of_a_recording_have_the_unit_of_each_lead(path):
    record = read_record(path, every_unit=True)
    fields = constant_fields(record, calibrated=True)
    assert (fields["units"], fields["lead_units"]) == ("mV", ["mV", "Ohm", "NU", "mmHg"])
    found = format_of({**fields, "signal": record.signal}, 4)
    assert [found.unit(lead) for lead in range(4)] == ["mV", "Ohm", "NU", "mmHg"]
    assert "lead_units" not in constant_fields(read_record(path), calibrated=True)
    for wrong in (["mV"], "mV", [1, 2, 3, 4]):
        assert format_of({**fields, "signal": record.signal, "lead_units": wrong}, 4).lead_units is None


@pytest.mark.parametrize("suffix", [".hea", ".edf", ".bdf"])
def test_formats_with_a_unit_for_each_signal_keep_them(path, tmp_path, suffix):
    if suffix != ".hea":
        optional("edfio")
    record = read_record(path, every_unit=True)
    save_record(record, tmp_path / f"saved{suffix}")
    again = read_record(tmp_path / f"saved{suffix}", every_unit=True)
    assert (again.leads, again.units, again.lead_units) == (record.leads, record.units, record.lead_units)
    np.testing.assert_allclose(again.physical(), record.physical(), rtol=1e-6, atol=1e-6)


def test_a_file_of_frames_keeps_the_unit_of_each_lead(path, tmp_path):
    record = read_record(path, every_unit=True)
    frames = [encode(MessageType.ECG_DATA, message) for message in ecg_messages(record, 25)]
    (tmp_path / "bed.frames").write_bytes(b"".join(frames))
    again = read_frames(tmp_path / "bed.frames").record
    assert (again.leads, again.units, again.lead_units) == (record.leads, record.units, record.lead_units)
    np.testing.assert_allclose(again.physical(), record.physical())
    with pytest.raises(RecordError, match="not in mV"):
        save_record(again, tmp_path / "bed.csv")
    other = encode(MessageType.ECG_DATA, {**next(ecg_messages(record, 25)), "lead_units": ["mV"] * 4, "sequence": 4})
    (tmp_path / "bed.frames").write_bytes(b"".join([*frames, other]))
    with pytest.raises(FrameFileError, match="its lead_units is"):
        read_frames(tmp_path / "bed.frames")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_formats_with_one_unit_refuse_them(path, tmp_path, suffix):
    with pytest.raises(RecordError, match="RESP, PLETH, ABP are not in mV"):
        save_record(read_record(path, every_unit=True), tmp_path / f"saved{suffix}")
    assert not (tmp_path / f"saved{suffix}").exists()

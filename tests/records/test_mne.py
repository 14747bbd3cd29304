"""Records as Raw objects of MNE, and back, with MNE itself where it is installed: too large for the group "test"."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import numpy as np
import pytest
from recordings import optional, uninstall
from records.two_leads import START, record

from ecgframe.libraries import MissingLibrary
from ecgframe.records import Annotation, Record, RecordError, from_mne, read_record, save_record, shipped_ecg, to_mne

NAN = float("nan")


@pytest.fixture
def mne():
    return optional("mne", extra="mne")


def physical(signal: list[list[float]], **changes: object) -> Record:
    return record(signal=np.array(signal), gain=None, baseline=None, missing=None, **changes)


def notes_of(raw):
    columns = (raw.annotations.onset, raw.annotations.duration, raw.annotations.description, raw.annotations.ch_names)
    return [
        (float(onset), float(duration), str(text), tuple(names))
        for onset, duration, text, names in zip(*columns, strict=True)
    ]


def same_to_the_microsecond(found, expected):
    assert [note[1:3] for note in found] == [note[1:3] for note in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.time == pytest.approx(other.time, abs=1.1e-6, rel=0)
        assert (one.duration is None) == (other.duration is None)
        assert one.duration is None or one.duration == pytest.approx(other.duration, abs=2.1e-6, rel=0)


def test_without_mne_it_says_how_to_install_it(monkeypatch):
    uninstall(monkeypatch, "mne")
    for convert in (to_mne, from_mne):
        with pytest.raises(MissingLibrary, match=r"MNE needs mne, which is not installed: .*ecgframe\[mne\]"):
            convert(record())


@pytest.mark.slow
def test_the_raw_object_has_all_that_the_record_states(mne):
    raw = to_mne(record(annotations=(Annotation(1 / 360, "N"), Annotation(2 / 360, "noise", "II", 1 / 360))))
    assert isinstance(raw, mne.io.RawArray)
    assert raw.ch_names == ["I", "II"]
    assert raw.get_channel_types() == ["ecg", "ecg"]
    assert raw.info["sfreq"] == 360
    assert raw.info["meas_date"] == START
    assert raw.info["bads"] == []
    np.testing.assert_array_equal(raw.get_data(), [[0, 1e-3, -5e-6, -1e-3], [0, 1e-3, NAN, 5e-4]])
    assert notes_of(raw) == [
        (0.002778, 0, "N", ()),
        (0.005556, 1 / 360, "noise", ("II",)),
        (0.005556, 1 / 360, "BAD_gap", ("II",)),
    ]


def test_back_again_only_the_calibration_is_missing(mne):
    before = record(annotations=(Annotation(1 / 360, "N"), Annotation(2 / 360, "noise", "II", 1 / 360)))
    after = from_mne(to_mne(before))
    assert after.signal.dtype == np.float64
    np.testing.assert_allclose(after.signal, before.physical(), rtol=2**-52, atol=0)
    assert (after.units, after.gain, after.baseline, after.missing) == ("mV", None, None, None)
    for name in ("sampling_rate", "leads", "start", "left_out"):
        assert getattr(after, name) == getattr(before, name), name
    same_to_the_microsecond(after.annotations, before.annotations)


def test_the_shipped_ecg_is_its_counts_again(mne):
    before = shipped_ecg()
    after = from_mne(to_mne(before))
    counts = after.signal * np.array(before.gain)[:, None] + np.array(before.baseline)[:, None]
    np.testing.assert_array_equal(np.round(counts), before.signal)
    np.testing.assert_allclose(counts, before.signal, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [360, 250.5, 1000 / 3, 4096])
@pytest.mark.parametrize("start", [None, START])
def test_every_gap_is_bad_to_mne_and_no_annotation_afterwards(mne, rate, start):
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(3, 2000))
    signal[:, :7] = signal[:, 500:900] = signal[:, 1990:] = NAN
    signal[1, 880:1000] = signal[2, 1200] = NAN
    before = physical(signal.tolist(), leads=("I", "II", "V1"), sampling_rate=rate, start=start)
    raw = to_mne(before)
    assert {(text, names) for _, _, text, names in notes_of(raw)} == {
        ("BAD_gap", ()),
        ("BAD_gap", ("II",)),
        ("BAD_gap", ("V1",)),
    }
    assert not np.isnan(raw.get_data(reject_by_annotation="omit")).any()
    kept = raw.get_data(reject_by_annotation="omit").shape[1]
    assert kept == 2000 - np.isnan(signal).any(axis=0).sum()
    after = from_mne(raw)
    assert after.annotations == ()
    np.testing.assert_array_equal(after.is_missing(), before.is_missing())


def test_a_lead_without_samples_is_bad_and_rejects_nothing_of_the_others(mne):
    raw = to_mne(physical([[1, 2, NAN], [NAN] * 3, [3, 4, NAN]], leads=("I", "II", "III")))
    assert raw.info["bads"] == ["II"]
    assert notes_of(raw) == [(0.005556, 0.002777, "BAD_gap", ())]
    assert from_mne(raw).annotations == ()
    nothing = to_mne(physical([[NAN, NAN]], leads=("I",)))
    assert nothing.info["bads"] == ["I"]
    assert notes_of(nothing) == [(0, 2 / 360, "BAD_gap", ())]
    assert from_mne(nothing).annotations == ()


def test_a_gap_that_someone_else_marked_over_samples_stays(mne):
    raw = to_mne(physical([[1, 2, 3, 4]], leads=("I",), start=None))
    raw.set_annotations(mne.Annotations([0], [2 / 360], ["BAD_gap"]))
    assert from_mne(raw).annotations == (Annotation(0, "BAD_gap", None, 2 / 360),)


@pytest.mark.parametrize(("units", "per_volt"), [("V", 1), ("mV", 1e3), ("uV", 1e6), ("\N{MICRO SIGN}V", 1e6)])
def test_voltages_become_volts(mne, units, per_volt):
    raw = to_mne(physical([[1, -3]], leads=("I",), units=units))
    np.testing.assert_array_equal(raw.get_data(), [[1 / per_volt, -3 / per_volt]])
    np.testing.assert_allclose(from_mne(raw).signal, np.array([[1, -3]]) * 1000 / per_volt, rtol=2**-52)


def test_records_without_a_voltage_are_refused(mne):
    with pytest.raises(RecordError, match=r"here: its unit is 'mmHg', and ECG channels of MNE are in volts.*replace"):
        to_mne(record(units="mmHg", source="here"))


def test_names_that_occur_twice_are_refused(mne):
    with pytest.raises(RecordError, match=r"several leads are called 'I'.*rename them"):
        to_mne(record(leads=("I", "I")))


def test_a_start_in_another_time_zone_is_the_same_moment(mne):
    east = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert from_mne(to_mne(record(start=east))).start == START


def test_a_start_without_time_zone_is_in_utc(mne):
    assert from_mne(to_mne(record(start=START.replace(tzinfo=None)))).start == START


def test_an_annotation_of_a_lead_that_was_not_read(mne):
    raw = to_mne(physical([[1, 2]], leads=("I",), annotations=(Annotation(0, "apnea", "Flow", 1 / 360),)))
    assert notes_of(raw) == [(0, 1 / 360, "apnea@@Flow", ())]


def test_mne_warns_of_annotations_outside_of_the_recording(mne):
    with pytest.warns(RuntimeWarning, match="Omitted 1 annotation"):
        to_mne(record(annotations=(Annotation(-1, "before"),)))


def test_a_cropped_raw_begins_later(mne):
    before = physical([np.arange(20.0).tolist()], leads=("I",), annotations=(Annotation(15 / 360, "N"),))
    raw = to_mne(before).crop(10 / 360)
    after = from_mne(raw)
    np.testing.assert_allclose(after.signal, [np.arange(10.0, 20)], rtol=2**-52)
    assert after.start == START + timedelta(seconds=10 / 360)
    [note] = after.annotations
    assert note.time == pytest.approx(5 / 360, abs=1e-6)


def test_ecg_channels_are_read_and_the_others_named(mne):
    info = mne.create_info(["Fp1", "ECG", "STI"], 250, ["eeg", "ecg", "stim"])
    raw = mne.io.RawArray(np.array([[1e-6, 2e-6], [1e-3, 2e-3], [0, 1]]), info, verbose="WARNING")
    raw.set_annotations(mne.Annotations([0, 0.004], [0, 0], ["blink", "both"], ch_names=[("Fp1",), ("Fp1", "ECG")]))
    found = from_mne(raw)
    np.testing.assert_array_equal(found.signal, [[1, 2]])
    assert (found.leads, found.left_out, found.units, found.start) == (("ECG",), ("Fp1", "STI"), "mV", None)
    assert found.annotations == (Annotation(0.004, "both", "ECG"),)
    both = from_mne(raw, leads=["ECG", "Fp1"])
    assert (both.leads, both.left_out) == (("ECG", "Fp1"), ("STI",))
    assert both.annotations == (Annotation(0, "blink", "Fp1"), *(Annotation(0.004, "both", x) for x in ("Fp1", "ECG")))
    with pytest.raises(RecordError, match=r"channel 'STI' of the type 'stim' is not in volts"):
        from_mne(raw, leads=["STI"])
    with pytest.raises(RecordError, match=r"no channel 'II' there; it has 'Fp1' \(eeg\), 'ECG' \(ecg\)"):
        from_mne(raw, leads=["II"])
    with pytest.raises(RecordError, match=r'no channel of the type "ecg".*set_channel_types'):
        from_mne(raw.pick(["Fp1"], verbose="WARNING"))


def test_other_objects_than_raw_are_refused(mne):
    with pytest.raises(TypeError, match=r"an mne.io.Raw, not of ndarray"):
        from_mne(np.zeros((2, 3)))


def test_a_file_of_mne_holds_the_record(mne, tmp_path):
    before = record(annotations=(Annotation(1 / 360, "N"),))
    path = tmp_path / "ecg_raw.fif"
    to_mne(before).save(path, fmt="double", verbose="WARNING")
    after = from_mne(mne.io.read_raw_fif(path, verbose="WARNING"))
    np.testing.assert_allclose(after.signal, before.physical(), rtol=2**-52, atol=0)
    assert after.source == str(path)
    assert after.start == START
    [note] = after.annotations
    assert note._replace(time=0) == Annotation(0, "N")
    assert note.time == pytest.approx(1 / 360, abs=1e-6)


def test_mne_reads_our_edf_as_it_reads_our_raw(mne, tmp_path):
    before = replace(shipped_ecg(), start=START)
    save_record(before, tmp_path / "ecg.edf")
    read = mne.io.read_raw_edf(tmp_path / "ecg.edf", verbose="ERROR")
    found = from_mne(read, leads=[*read_record(tmp_path / "ecg.edf").leads])
    samples = before.samples
    np.testing.assert_allclose(found.signal[:, :samples], from_mne(to_mne(before)).signal, rtol=0, atol=1e-6)

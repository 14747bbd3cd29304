from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import assert_same, optional, toy_ecg

from ecgframe.records import Record, RecordError, read_record, shipped_ecg


@pytest.fixture
def edfio():
    return optional("edfio")


def signal(edfio, counts, rate, label, units="mV", *, physical=(-163.84, 163.835)):
    """An EDF signal; by default of 200 counts per mV around 0."""
    return edfio.EdfSignal.from_digital(
        counts, rate, label=label, physical_dimension=units, physical_range=physical, digital_range=(-32768, 32767)
    )


def write(edfio, folder: Path, *signals, **options) -> Path:
    path = folder / "night.edf"
    edfio.Edf(signals, **options).write(path)
    return path


def ramp(samples: int) -> np.ndarray:
    return np.arange(samples, dtype=np.int16)


def test_twelve_leads_come_back_exactly(edfio, tmp_path):
    expected = shipped_ecg()
    path = write(
        edfio,
        tmp_path,
        *(
            signal(edfio, counts, 1000, lead, physical=(-40.96, 40.95875))
            for lead, counts in zip(expected.leads, expected.signal, strict=True)
        ),
    )
    assert_same(read_record(path), expected)


def test_an_offset_in_the_ranges_becomes_the_baseline(edfio, tmp_path):
    """The toy ECG has its zero at 1024: (-32768 - 1024) / 200 = -168.96 mV and (32767 - 1024) / 200 = 158.715 mV."""
    expected = toy_ecg()
    path = write(edfio, tmp_path, signal(edfio, expected.signal[0], 360, "MLII", physical=(-168.96, 158.715)))
    assert_same(read_record(path), expected)


def test_physical_values_are_those_of_edfio(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(500), 250, "ECG", "uV", physical=(-3276.8, 1000.1)))
    np.testing.assert_allclose(
        read_record(path).physical(), [edfio.read_edf(path).signals[0].data / 1000], rtol=1e-12, atol=1e-12
    )
    assert read_record(path).units == "mV"


def test_among_several_rates_the_ecg_is_chosen(edfio, tmp_path):
    path = write(
        edfio,
        tmp_path,
        signal(edfio, ramp(256), 128, "EEG Fpz-Cz", "uV"),
        signal(edfio, ramp(512), 256, "ECG I"),
        signal(edfio, ramp(512), 256, "EKG2"),
        signal(edfio, ramp(64), 32, "Flow", "l/min"),
    )
    record = read_record(path)
    assert (record.leads, record.sampling_rate) == (("ECG I", "EKG2"), 256)
    assert record.left_out == ("EEG Fpz-Cz", "Flow")


def test_of_one_rate_and_unit_all_are_taken(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "EEG"), signal(edfio, ramp(256), 128, "", "uV"))
    assert read_record(path).leads == ("EEG", "ch2")


def test_an_ecg_of_two_rates_is_refused_and_listed(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG1"), signal(edfio, ramp(512), 256, "ECG2"))
    with pytest.raises(RecordError, match=r"night\.edf: .*'ECG1' \(128 Hz, mV\), 'ECG2' \(256 Hz, mV\)"):
        read_record(path)
    np.testing.assert_array_equal(read_record(path, leads=["ECG2"]).signal, [ramp(512)])


def test_a_unit_with_a_micro_sign_is_read(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG", "uV"))
    path.write_bytes(path.read_bytes().replace(b"uV ", b"\xb5V "))
    assert read_record(path).units == "mV"


def test_a_signal_without_a_range_is_bare_counts(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG", physical=(-1, 1)))
    content = bytearray(path.read_bytes())
    content[256 + 16 + 80 + 8 : 256 + 16 + 80 + 8 + 16] = b"0       " * 2  # physical minimum and maximum
    path.write_bytes(content)
    record = read_record(path)
    assert (record.units, record.gain, record.baseline) == ("counts", None, None)
    np.testing.assert_array_equal(record.signal, [ramp(256)])


def test_a_file_of_annotations_alone_holds_no_signals(edfio, tmp_path):
    path = tmp_path / "notes.edf"
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, None, "start")]).write(path)
    with pytest.raises(RecordError, match=r"notes\.edf: it holds no signals"):
        read_record(path)


def test_annotations_beside_the_signals_are_no_lead(edfio, tmp_path):
    note = edfio.EdfAnnotation(0.5, None, "movement")
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG"), annotations=[note])
    assert read_record(path).leads == ("ECG",)


def test_a_recording_with_gaps_is_refused(edfio, tmp_path):
    note = edfio.EdfAnnotation(0.5, None, "movement")
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG"), annotations=[note], data_record_duration=1)
    content = path.read_bytes()
    assert b"+1\x14\x14" in content
    path.write_bytes(content.replace(b"+1\x14\x14", b"+7\x14\x14"))
    with pytest.raises(RecordError, match=r"has gaps \(EDF\+D\); split it at the gaps"):
        read_record(path)


def test_a_file_cut_short_is_refused(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(2560), 128, "ECG"), data_record_duration=1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordError, match=r"not readable as EDF .*Incomplete data record"):
        read_record(path)


def test_a_file_still_being_recorded_is_read_as_far_as_it_goes(edfio, tmp_path):
    """EDF writes -1 data records until the recording is closed."""
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG"), data_record_duration=1)
    content = bytearray(path.read_bytes())
    content[236:244] = b"-1      "
    path.write_bytes(content)
    np.testing.assert_array_equal(read_record(path).signal, [ramp(256)])


def test_a_header_without_the_rest_is_refused(tmp_path, edfio):
    path = tmp_path / "short.edf"
    path.write_bytes(b"0       " + b" " * 100)
    with pytest.raises(RecordError, match=r"short\.edf: not readable as EDF"):
        read_record(path)


def test_the_24_bit_sister_is_read(edfio, tmp_path):
    counts = np.array([-8_388_608, -1, 0, 8_388_607], np.int32)
    bdf = edfio.BdfSignal.from_digital(
        counts, 4, label="ECG", physical_dimension="uV", physical_range=(-262144, 262143)
    )
    path = tmp_path / "night.bdf"
    edfio.Bdf([bdf]).write(path)
    record = read_record(path)
    np.testing.assert_array_equal(record.signal, [counts])
    assert isinstance(record, Record)
    assert record.units == "mV"

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import assert_same, optional

from ecgframe.records import RecordError, read_record, shipped_ecg


@pytest.fixture
def pydicom():
    return optional("pydicom")


@pytest.fixture
def original(pydicom) -> Path:
    return Path(optional("pydicom.data").get_testdata_file("waveform_ecg.dcm"))


@pytest.fixture
def dataset(pydicom, original):
    return pydicom.dcmread(original)


def write(dataset, folder: Path, name: str = "ecg.dcm") -> Path:
    path = folder / name
    dataset.save_as(path)
    return path


def channels(dataset):
    return dataset.WaveformSequence[0].ChannelDefinitionSequence


def test_the_rhythm_is_read_and_not_the_median_beat(original):
    assert_same(read_record(original), shipped_ecg())


def test_the_original_is_read_even_behind_what_was_derived_from_it(dataset, tmp_path):
    dataset.WaveformSequence = list(reversed(dataset.WaveformSequence))
    assert_same(read_record(write(dataset, tmp_path)), shipped_ecg())


def test_a_file_is_known_by_its_content_whatever_its_name(dataset, tmp_path):
    assert_same(read_record(write(dataset, tmp_path, "ecg")), shipped_ecg())


def test_physical_values_are_those_of_pydicom(dataset, tmp_path):
    for number, channel in enumerate(channels(dataset)):
        channel.ChannelSensitivity = "2.44"
        channel.ChannelSensitivityCorrectionFactor = "1.5"
        channel.ChannelBaseline = str(number * 12.5)
    path = write(dataset, tmp_path)
    microvolts = optional("pydicom.waveforms").multiplex_array(dataset, 0, as_raw=False).T
    np.testing.assert_allclose(read_record(path).physical(), microvolts / 1000, rtol=1e-12, atol=1e-12)


def test_labels_come_before_codes_as_names_of_leads(dataset, tmp_path):
    channels(dataset)[0].ChannelLabel = "Lead D1"
    assert read_record(write(dataset, tmp_path)).leads[:2] == ("D1", "II")


def test_without_sensitivity_the_samples_are_bare_counts(dataset, tmp_path):
    for channel in channels(dataset):
        del channel.ChannelSensitivity
    record = read_record(write(dataset, tmp_path))
    assert (record.units, record.gain, record.baseline) == ("counts", None, None)
    np.testing.assert_array_equal(record.signal, shipped_ecg().signal)


def test_leads_can_be_chosen(original):
    assert_same(read_record(original, leads=["V5", "II"]), shipped_ecg().take(["V5", "II"]))


def test_companded_samples_are_refused(dataset, tmp_path):
    dataset.WaveformSequence[0].WaveformSampleInterpretation = "MB"
    with pytest.raises(RecordError, match="companded audio"):
        read_record(write(dataset, tmp_path))


def test_an_image_is_no_recording(pydicom):
    image = optional("pydicom.data").get_testdata_file("CT_small.dcm")
    with pytest.raises(RecordError, match=r"CT_small\.dcm: a DICOM file, but without waveforms"):
        read_record(image)


def test_samples_that_are_missing_are_named(dataset, tmp_path):
    del dataset.WaveformSequence[0].WaveformData
    with pytest.raises(RecordError, match=r"not readable as a DICOM waveform .*WaveformData"):
        read_record(write(dataset, tmp_path))


def test_a_file_that_only_bears_the_suffix_is_refused(pydicom, tmp_path):
    path = tmp_path / "ecg.dcm"
    path.write_text("hello")
    with pytest.raises(RecordError, match=r"ecg\.dcm: not readable as a DICOM waveform \(InvalidDicomError"):
        read_record(path)

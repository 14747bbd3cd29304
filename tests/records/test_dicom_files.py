from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
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


def as_group(group, rows, columns, **elements):
    """Return some samples and channels of a waveform."""
    counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)[rows, columns]
    part = copy.deepcopy(group)
    part.NumberOfWaveformSamples, part.NumberOfWaveformChannels = counts.shape
    part.ChannelDefinitionSequence = list(group.ChannelDefinitionSequence)[columns]
    part.WaveformData = np.ascontiguousarray(counts).tobytes()
    for name, value in elements.items():
        setattr(part, name, value)
    return part


def test_a_padding_value_is_a_missing_sample(dataset, tmp_path):
    group = dataset.WaveformSequence[0]
    counts = np.frombuffer(group.WaveformData, "<i2").copy()
    counts[:1200] = -32768
    group.WaveformData = counts.tobytes()
    group.add_new(0x5400100A, "OW", np.int16(-32768).tobytes())
    record = read_record(write(dataset, tmp_path))
    assert record.is_missing()[:, :100].all()
    assert not record.is_missing()[:, 100:].any()


def test_samples_with_the_high_byte_first_are_read(pydicom, dataset, tmp_path):
    for group in dataset.WaveformSequence:
        group.WaveformData = np.frombuffer(group.WaveformData, "<i2").astype(">i2").tobytes()
        group.add_new(0x5400100A, "OW", np.array(-32768, ">i2").tobytes())
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    path = tmp_path / "big.dcm"
    pydicom.dcmwrite(path, dataset, little_endian=False, implicit_vr=False, force_encoding=True)
    assert_same(read_record(path), shipped_ecg())


@pytest.mark.parametrize("size", [1, 3, 6])
def test_leads_in_several_groups_are_one_record(dataset, tmp_path, size):
    group = dataset.WaveformSequence[0]
    dataset.WaveformSequence = [as_group(group, slice(None), slice(k, k + size)) for k in range(0, 12, size)]
    assert_same(read_record(write(dataset, tmp_path)), shipped_ecg())


def test_a_print_of_four_columns_and_a_rhythm_strip(dataset, tmp_path):
    group = dataset.WaveformSequence[0]
    dataset.WaveformSequence = [
        as_group(
            group, slice(2500 * k, 2500 * k + 2500), slice(3 * k, 3 * k + 3), MultiplexGroupTimeOffset=str(2500 * k)
        )
        for k in range(4)
    ] + [as_group(group, slice(None), slice(1, 2), MultiplexGroupLabel="RHYTHM")]
    record = read_record(write(dataset, tmp_path))
    expected = shipped_ecg()
    assert record.leads == (*expected.leads, "II (RHYTHM)")
    np.testing.assert_array_equal(record.signal[12], expected.signal[1])
    for lead in range(12):
        begin = 2500 * (lead // 3)
        np.testing.assert_array_equal(
            record.signal[lead, begin : begin + 2500], expected.signal[lead, begin : begin + 2500]
        )
        assert record.is_missing()[lead].sum() == 7500


def test_a_skew_moves_a_channel(dataset, tmp_path):
    channels(dataset)[2].ChannelSampleSkew = "3"
    channels(dataset)[3].ChannelTimeSkew = "0.005"
    record = read_record(write(dataset, tmp_path))
    np.testing.assert_array_equal(record.signal[2, 3:10_000], shipped_ecg().signal[2, :9997])
    np.testing.assert_array_equal(record.signal[3, 5:10_000], shipped_ecg().signal[3, :9995])
    assert record.is_missing()[2, :3].all()


def test_a_derived_group_is_left_out_by_name(original):
    assert read_record(original).left_out == ("MEDIAN BEAT (derived, 12 channels, 1.2 s)",)


@pytest.mark.parametrize("element", ["ChannelSensitivityCorrectionFactor", "ChannelBaseline"])
def test_an_empty_element_has_its_default(dataset, tmp_path, element):
    for channel in channels(dataset):
        setattr(channel, element, None)
    assert_same(read_record(write(dataset, tmp_path)), shipped_ecg())


def test_calibrated_samples_without_a_unit_are_not_called_millivolts(dataset, tmp_path):
    for channel in channels(dataset):
        del channel.ChannelSensitivityUnitsSequence
    assert read_record(write(dataset, tmp_path)).units == "unknown"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("20110505060708.250", datetime(2011, 5, 5, 6, 7, 8, 250_000)),
        ("20110505060708+0200", datetime(2011, 5, 5, 6, 7, 8, tzinfo=timezone(timedelta(hours=2)))),
        ("", None),
    ],
)
def test_the_start_is_kept(dataset, tmp_path, moment, expected):
    dataset.AcquisitionDateTime = moment
    dataset.AcquisitionDate = dataset.AcquisitionTime = ""
    assert read_record(write(dataset, tmp_path)).start == expected


def test_notes_are_kept(dataset, tmp_path):
    notes = read_record(write(dataset, tmp_path)).annotations
    assert ("RITMO SINUSALE", 0.0) in [(note.text, note.time) for note in notes]
    assert any(note.text == "P Onset" and note.time > 0 for note in notes)

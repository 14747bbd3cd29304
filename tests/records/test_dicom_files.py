from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import assert_same, optional

from ecgframe.records import Annotation, RecordError, mapped, read_record, shipped_ecg


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


def test_the_original_is_read_even_after_a_derived_group(dataset, tmp_path):
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


def test_augmented_leads_have_their_short_names(dataset, tmp_path):
    """The coding scheme of MDC names them by what they are."""
    for number, meaning in enumerate(("aVR, augmented voltage, right", "aVF, augmented voltage, foot"), 3):
        channels(dataset)[number].ChannelSourceSequence[0].CodeMeaning = meaning
    assert read_record(write(dataset, tmp_path)).leads[3:5] == ("aVR", "aVF")


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


@pytest.mark.parametrize("element", ["ChannelTimeSkew", "ChannelOffset"])
def test_a_skew_in_seconds_moves_a_channel(dataset, tmp_path, element):
    channels(dataset)[0].ChannelSampleSkew = "1"
    setattr(channels(dataset)[0], element, "0.005")
    record = read_record(write(dataset, tmp_path))
    assert record.samples == 10_006
    assert record.is_missing()[0].nonzero()[0].tolist() == list(range(6))
    assert record.is_missing()[1].nonzero()[0].tolist() == list(range(10_000, 10_006))
    np.testing.assert_array_equal(record.signal[0, 6:], shipped_ecg().signal[0])


@pytest.mark.parametrize("is_large", [False, True])
def test_samples_that_are_not_announced_are_named(dataset, tmp_path, monkeypatch, is_large):
    if is_large:
        monkeypatch.setattr(mapped, "LARGE", 0)
    dataset.WaveformSequence[0].NumberOfWaveformSamples = 9000
    record = read_record(write(dataset, tmp_path))
    assert record.samples == 9000
    assert "1,000 samples of RHYTHM after the 9,000 that it announces" in record.left_out


def test_a_start_that_is_no_date_is_named(dataset, tmp_path):
    dataset.AcquisitionDateTime = "20200230"
    record = read_record(write(dataset, tmp_path))
    assert record.start is None
    assert "the start 20200230, which is no valid date" in record.left_out


def test_a_lead_that_is_off_is_named(dataset, tmp_path):
    channels(dataset)[2].ChannelStatus = ["DISCONNECTED", "TEST DATA"]
    channels(dataset)[3].ChannelStatus = "OK"
    assert "status of III: DISCONNECTED, TEST DATA" in "; ".join(read_record(write(dataset, tmp_path)).comments)


def test_blanks_are_no_part_of_a_unit(dataset, tmp_path):
    for channel in channels(dataset):
        channel.ChannelSensitivityUnitsSequence[0].CodeValue = " uV "
    assert_same(read_record(write(dataset, tmp_path)), shipped_ecg())


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


def test_the_device_and_filters_are_kept(original, dataset, tmp_path):
    assert read_record(original).device == "Mortara Instrument, Inc. el250"
    assert read_record(original).comments == ("filter: high-pass 0.05 Hz, low-pass 300 Hz",)
    channels(dataset)[1].NotchFilterFrequency = "50"
    del channels(dataset)[2].FilterLowFrequency, channels(dataset)[2].FilterHighFrequency
    assert read_record(write(dataset, tmp_path), leads=["I", "II", "III"]).comments == (
        "filter of I: high-pass 0.05 Hz, low-pass 300 Hz",
        "filter of II: high-pass 0.05 Hz, low-pass 300 Hz, notch 50 Hz",
    )
    dataset.Manufacturer = dataset.ManufacturerModelName = ""
    assert read_record(write(dataset, tmp_path)).device == ""


# --- where annotations belong, and channels that begin earlier than others ---


def note(text="x", **elements):
    from pydicom import Dataset

    made = Dataset()
    made.UnformattedTextValue = text
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def coded(code="", meaning=""):
    return note(CodeValue=code, CodeMeaning=meaning)


def with_notes(dataset, folder, *notes):
    dataset.WaveformAnnotationSequence = list(notes)
    return read_record(write(dataset, folder))


def columns(dataset):
    """Make the first group two columns of six leads and 5 s each; the median beat is the third group."""
    group, median = dataset.WaveformSequence
    dataset.WaveformSequence = [
        as_group(group, slice(5000 * k, 5000 * k + 5000), slice(6 * k, 6 * k + 6), MultiplexGroupTimeOffset=5000 * k)
        for k in range(2)
    ] + [median]


def test_annotations_count_from_the_group_that_they_refer_to(dataset, tmp_path):
    columns(dataset)
    record = with_notes(
        dataset,
        tmp_path,
        note("both", ReferencedWaveformChannels=[1, 0, 2, 0], ReferencedSamplePositions=[11]),
        note("V3", ReferencedWaveformChannels=[2, 3], ReferencedSamplePositions=[1, 101]),
        note("of all", ReferencedWaveformChannels=[2, 0]),
        note("I, III", ReferencedWaveformChannels=[1, 1, 1, 3], ReferencedTimeOffsets=["2.5"]),
        note("lost", ReferencedWaveformChannels=[3, 1], ReferencedSamplePositions=[1]),
        note("lost", ReferencedWaveformChannels=[3, 0, 4, 0, 1, 7]),
    )
    assert record.annotations == (
        Annotation(0.01, "both"),
        Annotation(2.5, "I, III", "I"),
        Annotation(2.5, "I, III", "III"),
        Annotation(5.0, "V3", "V3"),
        Annotation(5.0, "of all"),
        Annotation(5.01, "both"),
        Annotation(5.1, "V3", "V3"),
    )
    assert record.left_out[1:] == (
        "2 annotations of MEDIAN BEAT",
        "1 annotation of group 4, which is not there",
        "1 annotation of channel 7 of RHYTHM, which is not there",
    )


def test_annotations_of_leads_that_are_not_read_are_left_out(dataset, tmp_path):
    dataset.WaveformAnnotationSequence = [note(ReferencedWaveformChannels=[1, k]) for k in (0, 1, 2)]
    record = read_record(write(dataset, tmp_path), leads=["II"])
    assert record.annotations == (Annotation(0.0, "x"), Annotation(0.0, "x", "II"))


@pytest.mark.parametrize(
    ("kind", "positions", "expected"),
    [
        ("POINT", [1001], [(1.0, None)]),
        ("MULTIPOINT", [1001, 2001], [(1.0, None), (2.0, None)]),
        ("SEGMENT", [1001, 2501], [(1.0, 1.5)]),
        ("MULTISEGMENT", [1001, 2501, 4001, 4501], [(1.0, 1.5), (4.0, 0.5)]),
        ("MULTISEGMENT", [1001, 2501, 4001], [(1.0, 1.5), (4.0, None)]),
        ("BEGIN", [1001], [(1.0, 9.0)]),
        ("END", [1001], [(0.0, 1.0)]),
    ],
)
def test_the_type_of_a_range_says_what_its_times_are(dataset, tmp_path, kind, positions, expected):
    one = note(ReferencedWaveformChannels=[1, 0], TemporalRangeType=kind, ReferencedSamplePositions=positions)
    record = with_notes(dataset, tmp_path, one)
    assert [(found.time, found.duration) for found in record.annotations] == expected


@pytest.mark.parametrize(
    ("begin", "zone", "moment", "expected"),
    [
        ("20110505060708", "", "20110505060709.5", 1.5),
        ("20110505060708+0200", "", "20110505040709.5+0000", 1.5),
        ("20110505060708", "+0200", "20110505060709.5", 1.5),
        ("", "", "20110505060709.5", None),
    ],
)
def test_annotations_may_have_dates(dataset, tmp_path, begin, zone, moment, expected):
    dataset.AcquisitionDateTime = begin
    dataset.TimezoneOffsetFromUTC = zone
    record = with_notes(dataset, tmp_path, note(ReferencedWaveformChannels=[1, 0], ReferencedDateTime=[moment]))
    assert [found.time for found in record.annotations] == ([] if expected is None else [expected])
    if expected is None:
        assert record.left_out[1:] == ("1 annotation of a date that is invalid, or without a start of the recording",)


def test_broken_annotations_do_not_keep_the_samples(dataset, tmp_path):
    good = note("good", ReferencedWaveformChannels=[1, 0])
    broken = note(ReferencedWaveformChannels=[1, 0])
    broken.add_new(0x0040A138, "LO", "soon")
    record = with_notes(dataset, tmp_path, broken, good)
    assert record.annotations == (Annotation(0.0, "good"),)
    assert record.left_out[1:] == ("1 annotation of a form that cannot be read",)


def test_measurements_have_their_units_and_codes_their_meaning(dataset, tmp_path):
    amplitude = coded(meaning="ST amplitude")
    amplitude.ModifierCodeSequence = [coded(meaning="lead V1")]
    units = [coded("ms", "milliseconds")]
    record = with_notes(
        dataset,
        tmp_path,
        note("", ConceptNameCodeSequence=[coded(meaning="QT")], NumericValue="400", MeasurementUnitsCodeSequence=units),
        note("", ConceptNameCodeSequence=[amplitude], NumericValue=["1.5", "2"], MeasurementUnitsCodeSequence=[]),
        note("", ConceptNameCodeSequence=[coded(meaning="Rhythm")], ConceptCodeSequence=[coded(meaning="Sinus")]),
    )
    assert [found.text for found in record.annotations] == ["QT 400 ms", "ST amplitude (lead V1) 1.5 2", "Rhythm Sinus"]


@pytest.mark.parametrize("time", ["ChannelSampleSkew", "ChannelTimeSkew", "MultiplexGroupTimeOffset"])
def test_annotations_before_the_start_are_kept(dataset, tmp_path, time):
    begin = datetime(2011, 5, 5, 6, 7, 8)
    dataset.AcquisitionDateTime = "20110505060708"
    if time == "MultiplexGroupTimeOffset":
        columns(dataset)
        dataset.WaveformSequence[0].MultiplexGroupTimeOffset = -3
    else:
        setattr(channels(dataset)[2], time, "-3" if "Sample" in time else "-0.003")
    places = [note(ReferencedWaveformChannels=[1, k], ReferencedSamplePositions=[1]) for k in (1, 3)]
    record = with_notes(dataset, tmp_path, *places, note(ReferencedTimeOffsets=["0"]))
    assert record.start == begin - timedelta(milliseconds=3)
    np.testing.assert_array_equal(record.signal[2, :5000], shipped_ecg().signal[2, :5000])
    late = 0 if "Group" in time else 3
    np.testing.assert_array_equal(record.signal[1, late:5000], shipped_ecg().signal[1, : 5000 - late])
    assert record.is_missing()[1, :late].all()
    times = {(found.lead, round(found.time, 9)) for found in record.annotations}
    assert times == {("I", late / 1000), ("III", 0.0), (None, 0.003)}


def test_a_beginning_between_two_samples_is_rounded_and_that_is_said(dataset, tmp_path):
    channels(dataset)[2].ChannelTimeSkew = "0.0027"
    record = read_record(write(dataset, tmp_path))
    np.testing.assert_array_equal(record.signal[2, 3:10_000], shipped_ecg().signal[2, :9997])
    assert record.repaired == ("the beginning of III is rounded to whole samples, by 0.0003 s at most",)
    assert read_record(tmp_path / "ecg.dcm", leads=["I"]).repaired == ()


def test_groups_that_are_far_apart_are_refused(dataset, tmp_path):
    dataset.WaveformSequence[0].MultiplexGroupTimeOffset = "1e9"
    with pytest.raises(RecordError, match="its groups are so far apart that they take"):
        read_record(write(dataset, tmp_path))


# --- any waveform ---

DTYPES = {(8, "SB"): np.int8, (8, "UB"): np.uint8, (16, "SS"): np.int16, (16, "US"): np.uint16, (32, "SL"): np.int32}


@st.composite
def groups(draw):
    """Counts, [channels, samples], of a group with padding, and what else says what they are."""
    bits, interpretation = kind = draw(st.sampled_from(sorted(DTYPES)))
    info, random = np.iinfo(DTYPES[kind]), np.random.default_rng(draw(st.integers(0, 1 << 32)))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 50))
    counts = random.integers(info.min, info.max, shape, DTYPES[kind], endpoint=True)
    padding = int(counts[0, 0]) if draw(st.booleans()) else None
    decimals = st.decimals(-1000, 1000, places=3).filter(bool).map(str)
    calibration = [(draw(decimals), draw(decimals), draw(decimals)) for _ in range(shape[0])]
    return bits, interpretation, counts, padding, calibration


@given(group=groups(), is_little=st.booleans(), units=st.sampled_from(["uV", "mV", "mm[Hg]"]), is_large=st.booleans())
def test_any_waveform_has_the_values_that_pydicom_gives(tmp_path_factory, group, is_little, units, is_large):
    from pydicom import Dataset, FileMetaDataset, dcmread, dcmwrite, uid

    bits, interpretation, counts, padding, calibration = group
    order = "<" if is_little else ">"
    made = Dataset()
    made.SamplingFrequency, made.WaveformOriginality = "250", "ORIGINAL"
    made.NumberOfWaveformChannels, made.NumberOfWaveformSamples = counts.shape
    made.WaveformBitsAllocated, made.WaveformSampleInterpretation = bits, interpretation
    made.ChannelDefinitionSequence = []
    for number, (sensitivity, correction, baseline) in enumerate(calibration):
        channel = Dataset()
        channel.ChannelLabel, channel.ChannelSensitivity = f"V{number}", sensitivity
        channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = correction, baseline
        channel.ChannelSensitivityUnitsSequence = [coded(units)]
        made.ChannelDefinitionSequence.append(channel)
    kind = "OB" if bits == 8 else "OW"
    made.add_new(0x54001010, kind, counts.T.astype(counts.dtype.newbyteorder(order)).tobytes())
    if padding is not None:
        made.add_new(0x5400100A, kind, np.array(padding, counts.dtype.newbyteorder(order)).tobytes())
    dataset = Dataset()
    dataset.WaveformSequence = [made]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian if is_little else uid.ExplicitVRBigEndian
    dataset.file_meta.MediaStorageSOPClassUID = uid.TwelveLeadECGWaveformStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.TwelveLeadECGWaveformStorage, "1.2.3"
    path = tmp_path_factory.mktemp("any") / "a.dcm"
    dcmwrite(path, dataset, implicit_vr=False, little_endian=is_little, enforce_file_format=True)
    with pytest.MonkeyPatch.context() as patched:
        if is_large:
            patched.setattr(mapped, "LARGE", 0)
        record = read_record(path)
    by_pydicom = dcmread(path)
    if not is_little:  # pydicom reads them in the wrong order
        sequence = by_pydicom.WaveformSequence[0]
        sequence.WaveformData = counts.T.astype(counts.dtype.newbyteorder("<")).tobytes()
    expected = by_pydicom.waveform_array(0).T
    if units == "uV":
        expected = expected / 1000
    expected[counts == padding] = np.nan
    largest = np.nanmax(np.abs(expected), initial=1)
    np.testing.assert_allclose(record.physical(), expected, rtol=1e-9, atol=1e-9 * largest)
    assert record.units == ("mm[Hg]" if units == "mm[Hg]" else "mV")

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
from hostile_recordings import edf
from hypothesis import given
from hypothesis import strategies as st
from recordings import assert_same, optional, toy_ecg

from ecgframe.records import Annotation, Record, RecordError, read_record, save_record, shipped_ecg


@pytest.fixture
def edfio():
    return optional("edfio")


def signal(edfio, counts, rate, label, units="mV", *, physical=(-163.84, 163.835)):
    """Return an EDF signal, by default of 200 counts per mV and a baseline of 0."""
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
    """The toy ECG has a baseline of 1024: (-32768 - 1024) / 200 = -168.96 mV, (32767 - 1024) / 200 = 158.715 mV."""
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


def test_all_signals_of_one_rate_and_unit_are_read(edfio, tmp_path):
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


def with_second_record_at(edfio, folder: Path, onset: bytes) -> Path:
    note = edfio.EdfAnnotation(0.5, None, "movement")
    path = write(edfio, folder, signal(edfio, ramp(256), 128, "ECG"), annotations=[note], data_record_duration=1)
    content = path.read_bytes()
    assert b"+1\x14\x14" in content
    path.write_bytes(content.replace(b"+1\x14\x14\0", onset + b"\x14\x14" + bytes(3 - len(onset))))
    return path


def test_samples_within_a_gap_are_missing(edfio, tmp_path):
    """EDF+D: the second record begins seven seconds after the first, which lasts one."""
    record = read_record(with_second_record_at(edfio, tmp_path, b"+7"))
    physical = record.physical()[0]
    assert (record.samples, record.missing) == (8 * 128, -32768)
    assert np.isnan(physical[128 : 7 * 128]).all()
    np.testing.assert_array_equal(record.signal[0, 7 * 128 :], ramp(256)[128:])
    np.testing.assert_array_equal(record.signal[0, :128], ramp(128))


def test_records_that_overlap_are_refused(edfio, tmp_path):
    with pytest.raises(RecordError, match=r"record 1 begins at 0 s, where the one before it lasts until 1 s"):
        read_record(with_second_record_at(edfio, tmp_path, b"+0"))


def test_a_gap_that_would_fill_the_memory_is_refused(edfio, tmp_path):
    path = with_second_record_at(edfio, tmp_path, b"+7")
    content = bytearray(path.read_bytes())
    place = content.index(b"+7\x14\x14")
    content[place : place + 14] = b"+999999999\x14\x14\0\0"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"with samples of 2 s; split it at the gaps"):
        read_record(path)


@pytest.mark.parametrize("cut", [2, 100, 255])
def test_all_whole_samples_of_a_truncated_file_are_read(edfio, tmp_path, cut):
    path = write(edfio, tmp_path, signal(edfio, ramp(2560), 128, "ECG"), data_record_duration=1)
    path.write_bytes(path.read_bytes()[:-cut])
    record = read_record(path)
    whole = (2560 * 2 - cut) // 2
    np.testing.assert_array_equal(record.signal[0, :whole], ramp(whole))
    assert record.is_missing()[0].tolist() == [False] * whole + [True] * (2560 - whole)
    assert "it holds 19 and" in record.repaired[0]


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        (slice(236, 244), b"5       ", "announces 5 records, and it holds 2"),
        (slice(236, 244), b"1       ", "announces 1 records, and it holds 2"),
        (slice(244, 252), b"1\0\0\0\0\0\0\0", "NUL bytes"),
        (slice(256 + 104, 256 + 112), b"-1,0    ", "decimal commas"),
        (slice(168, 176), b"99.99.99", None),
    ],
)
def test_a_careless_header_is_put_right_and_that_is_said(edfio, tmp_path, place, content, said):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG", physical=(-1, 1)), data_record_duration=1)
    right = read_record(path)
    spoilt = bytearray(path.read_bytes())
    spoilt[place] = content
    path.write_bytes(spoilt)
    record = read_record(path)
    assert_same(record, right)
    assert record.repaired == () if said is None else said in record.repaired[0]


def test_annotations_and_the_start_are_read_whatever_their_alphabet(edfio, tmp_path):
    notes = [edfio.EdfAnnotation(0.5, 1.25, "muede"), edfio.EdfAnnotation(1, None, "VT@@ECG")]
    path = write(
        edfio,
        tmp_path,
        signal(edfio, ramp(256), 128, "ECG"),
        annotations=notes,
        data_record_duration=1,
        recording=edfio.Recording(startdate=datetime.date(2011, 5, 5)),
        starttime=datetime.time(6, 7, 8),
    )
    path.write_bytes(path.read_bytes().replace(b"muede", "müde".encode("latin-1") + b"\x14"))
    record = read_record(path)
    assert record.annotations == (Annotation(0.5, "müde", None, 1.25), Annotation(1.0, "VT", "ECG"))
    assert record.start == datetime.datetime(2011, 5, 5, 6, 7, 8)


@given(gaps=st.lists(st.integers(1, 2), min_size=1, max_size=4))
def test_samples_lie_where_the_times_of_their_records_say(tmp_path_factory, gaps):
    """A simple oracle puts the samples of each record at its onset, and NaN elsewhere."""
    folder = tmp_path_factory.mktemp("edf")
    edfio = optional("edfio")
    count = len(gaps) + 1
    samples = ramp(count * 10)
    path = write(edfio, folder, signal(edfio, samples, 10, "ECG"), annotations=[], data_record_duration=1)
    onsets = np.cumsum([0, *gaps])
    content = path.read_bytes()
    for number in reversed(range(count)):
        content = content.replace(b"+%d\x14\x14" % number, b"+%d\x14\x14" % onsets[number])
    path.write_bytes(content)
    expected = np.full((onsets[-1] + 1) * 10, np.nan)
    for number, onset in enumerate(onsets):
        expected[onset * 10 : onset * 10 + 10] = samples[number * 10 : number * 10 + 10]
    record = read_record(path)
    np.testing.assert_allclose(record.physical()[0], expected / 200, rtol=1e-15)


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


@pytest.mark.parametrize(
    ("patient", "recording", "device", "comments", "left_out"),
    [
        (b"X X X X", b"Startdate 02-MAR-2002 X X X", "", (), ()),
        (b"MCH-0234567 F 02-MAY-1951 Haagse_Harry", b"Startdate X X X Telemetry_03", "Telemetry 03", (), ("patient",)),
        (
            b"X",
            b"Startdate 02-MAR-2002 PSG-1234 NN el250 of a test",
            "el250",
            ("administration code: PSG-1234", "technician: NN", "recording: of a test"),
            (),
        ),
        (b"", b"of a test", "", ("recording: of a test",), ()),
        (b"", b"", "", (), ()),
    ],
)
def test_device_and_comments_are_kept(tmp_path, edfio, patient, recording, device, comments, left_out):
    content = edf([(b"ECG", b"10")], bytes(20), kind=b"")[".edf"]
    path = tmp_path / "a.edf"
    path.write_bytes(content[:8] + patient.ljust(80) + recording.ljust(80) + content[168:])
    record = read_record(path)
    assert (record.device, record.comments) == (device, comments)
    assert record.left_out == tuple(f"the field of the {what}" for what in left_out)


def test_transducers_and_filters_are_comments(edfio, tmp_path):
    signals = [signal(edfio, ramp(256), 128, lead) for lead in ("I", "II")]
    for one in signals:
        one.transducer_type = "AgAgCl electrode"
    signals[1].prefiltering = "HP:0.1Hz LP:75Hz"
    path = write(edfio, tmp_path, *signals)
    assert read_record(path).comments == ("transducer: AgAgCl electrode", "filter of II: HP:0.1Hz LP:75Hz")
    assert read_record(path, leads=["I"]).comments == ("transducer: AgAgCl electrode",)


# --- times of data records ---


def timed(
    folder: Path,
    onsets: list[bytes],
    *,
    duration: bytes,
    kind: bytes = b"EDF+C",
    cut: int = 0,
    notes_first: bool = False,
) -> Path:
    """Write data records of 10 samples, which count on, and their times."""
    notes = [onset + b"\x14\x14\0" + onset + b"\x14n\x14" for onset in onsets]
    signals, content = [(b"ECG", b"10"), (b"EDF Annotations", b"25")], b""
    for number, note in enumerate(notes):
        counts = np.arange(number * 10, number * 10 + 10, dtype="<i2").tobytes()
        content += note.ljust(50, b"\0") + counts if notes_first else counts + note.ljust(50, b"\0")
    if notes_first:
        signals.reverse()
    path = folder / "times.edf"
    path.write_bytes(edf(signals, content[: len(content) - cut], duration=duration, kind=kind)[".edf"])
    return path


THIRDS = [b"+%d.%s" % (number // 3, (b"0", b"33333333", b"66666667")[number % 3]) for number in range(9)]


@pytest.mark.parametrize(
    ("onsets", "duration", "said"),
    [
        (THIRDS, b"0.333333", ()),
        (THIRDS, b"0.333334", ()),
        ([b"+0", b"+1.003", b"+1.998", b"+3"], b"1", ()),
        ([b"+0", b"+1.1", b"+1.9", b"+3"], b"1", ("up to 0.1 s away",)),
        ([b"+5.5", b"+6.4", b"+7.3", b"+8.2"], b"1", ("up to 0.3 s away",)),
    ],
)
def test_records_that_follow_each_other_may_have_irregular_times(tmp_path, edfio, onsets, duration, said):
    record = read_record(timed(tmp_path, onsets, duration=duration))
    np.testing.assert_array_equal(record.signal, [np.arange(10 * len(onsets))])
    assert (record.missing, len(record.repaired)) == (None, len(said))
    assert all(text in told for text, told in zip(said, record.repaired, strict=True))


def test_rounded_times_of_records_with_gaps_do_not_overlap(tmp_path, edfio):
    onsets = [*THIRDS, b"+5"]
    record = read_record(timed(tmp_path, onsets, duration=b"0.333334", kind=b"EDF+D"))
    assert record.signal[0, :90].tolist() == list(range(90))
    assert record.signal[0, -10:].tolist() == list(range(90, 100))
    assert record.is_missing()[0].sum() == record.samples - 100 == 60


@pytest.mark.parametrize("notes_first", [False, True])
def test_annotations_of_an_incomplete_record_are_kept(tmp_path, edfio, notes_first):
    path = timed(tmp_path, [b"+0", b"+1", b"+2"], duration=b"1", notes_first=notes_first, cut=4)
    record = read_record(path)
    assert [note.time for note in record.annotations] == [0.0, 1.0, 2.0]
    assert record.is_missing()[0].sum() == (2 if notes_first else 0)


def test_calibrated_samples_without_a_unit_have_unknown_ones(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(256), 128, "ECG", ""))
    assert read_record(path).units == "unknown"
    again = save_record(read_record(path), tmp_path / "again.edf")
    assert (read_record(again.files[0]).units, again.remarks) == ("unknown", ())


# --- any file ---


@st.composite
def ranges(draw, bits):
    """A digital and a physical range, which may be reversed, as edfio allows it."""
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    low = draw(st.integers(least, most - 1))
    high = draw(st.integers(low + 1, most))
    ends = draw(st.lists(st.decimals(-9999, 9999, places=2).map(float), min_size=2, max_size=2, unique=True))
    return (low, high), tuple(ends)


@pytest.mark.parametrize("kind", ["Edf", "Bdf"])
@given(data=st.data(), units=st.sampled_from(["uV", "mV", "V", "Ohm"]), seed=st.integers(0, 1 << 32))
def test_any_file_has_the_values_that_edfio_gives(tmp_path_factory, kind, data, units, seed):
    edfio, random = optional("edfio"), np.random.default_rng(seed)
    bits, dtype = (16, np.int16) if kind == "Edf" else (24, np.int32)
    records = data.draw(st.integers(1, 4))
    signals = [
        getattr(edfio, f"{kind}Signal").from_digital(
            random.integers(*digital, 50 * records, dtype, endpoint=True), 50, label=f"V{number}",
            physical_dimension=units, physical_range=physical, digital_range=digital,
        )
        for number, (digital, physical) in enumerate(data.draw(st.lists(ranges(bits), min_size=1, max_size=4)))
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("any") / f"a.{kind.lower()}"
    getattr(edfio, kind)(signals, data_record_duration=1).write(path)
    record = read_record(path)
    factor = {"uV": 1e-3, "V": 1e3}.get(units, 1)
    expected = getattr(edfio, f"read_{kind.lower()}")(path).signals
    for row, signal_of_edfio in zip(record.physical(), expected, strict=True):
        values = signal_of_edfio.data * factor
        np.testing.assert_allclose(row, values, rtol=1e-9, atol=1e-9 * np.abs(values).max())
    assert record.units == ("Ohm" if units == "Ohm" else "mV")


# --- what the header does not state ---


def changed(path: Path, place: int, text: bytes) -> Path:
    octets = bytearray(path.read_bytes())
    octets[place : place + len(text)] = text
    path.write_bytes(octets)
    return path


def test_a_start_that_is_no_date_is_named(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(500), 250, "ECG"))
    record = read_record(changed(changed(path, 88, b" " * 80), 168, b"31.02.2025.00.00"))
    assert (record.start, record.left_out) == (None, ("the start 31.02.2025.00.00, which is no valid date",))
    assert read_record(changed(path, 88, b"Startdate X X X X")).left_out == ()


def test_a_data_record_without_duration_is_refused(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(500), 250, "ECG"))
    for duration in (b"0       ", b"-1      "):
        with pytest.raises(
            RecordError, match=r"its header says that a data record lasts -?[01] s, which no signal does"
        ):
            read_record(changed(path, 244, duration))


def test_an_empty_range_is_named(edfio, tmp_path):
    path = write(edfio, tmp_path, signal(edfio, ramp(500), 250, "ECG"))
    record = read_record(changed(path, 256 + 104, b"1       1       "))
    assert (record.units, record.repaired) == (
        "counts",
        ("the range of ECG in the header is empty: the samples are counts",),
    )


def test_a_text_is_no_start_of_a_data_record(edfio, tmp_path):
    """Without the empty text that the start of a record has, a list has annotations; and gaps are not known."""
    notes = [edfio.EdfAnnotation(0.25, None, "VT")]
    path = write(edfio, tmp_path, signal(edfio, ramp(500), 250, "ECG"), annotations=notes)
    octets = path.read_bytes().replace(b"+0\x14\x14\0", b"\0\0\0\0\0", 1).replace(b"EDF+C", b"EDF+D", 1)
    path.write_bytes(octets)
    record = read_record(path)
    assert record.annotations == (Annotation(0.25, "VT"),)
    assert record.repaired == ("the times of 1 of its 2 data records are not stated; they follow each other",)

"""Signals that are larger than the memory that is taken for them."""

from __future__ import annotations

import copy
import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peak_memory import peak_memory
from recordings import assert_same, optional

from ecgframe.records import Record, RecordError, mapped, read_record, save_record, wfdb_blocks, wfdb_files
from ecgframe.records import record as record_module
from ecgframe.records.mapped import MappedFile, Reading
from ecgframe.records.record import missing_samples
from ecgframe.records.sample_buffer import SampleBuffer

MIB = 1 << 20
MAPPED = (".npz", ".hea", ".edf", ".bdf", ".csv")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLES = 18_000_000
"""Of each lead: twenty hours at 250 Hz, 432 MB as 16-bit counts."""

MOST = 128 * MIB
"""Memory for reading a signal of any length: a part of the mapping, a portion in work, and copies of it."""

READ = "from ecgframe.records import read_record\nfrom ecgframe.records.record import missing_samples, portions"


@pytest.fixture
def tiny(monkeypatch):
    """Treat every signal as large."""
    monkeypatch.setattr(mapped, "LARGE", 0)


def is_mapped(signal: np.ndarray) -> bool:
    base = signal
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, MappedFile)


def recording(**changes) -> Record:
    signal = np.arange(12 * 700, dtype=np.int16).reshape(12, 700)
    return Record(**{"signal": signal, "sampling_rate": 250, "leads": LEADS, "units": "counts"} | changes)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".edf", ".bdf", ".hea"])
@pytest.mark.parametrize("missing", [None, -7])
def test_a_large_record_is_written_and_read_as_a_small_one(tmp_path, monkeypatch, suffix, missing):
    record = recording(missing=missing)
    if missing is not None:
        record.signal[3, 100:200] = missing
    small = read_record(save_record(record, tmp_path / f"small{suffix}").files[0])
    monkeypatch.setattr(mapped, "LARGE", 0)
    large = read_record(save_record(record, tmp_path / f"large{suffix}").files[0])
    assert_same(large, small)
    assert is_mapped(large.signal) == (suffix in MAPPED)
    assert not is_mapped(small.signal)


def test_a_mapped_signal_is_written_as_one_in_memory(tmp_path, tiny):
    first = read_record(save_record(recording(), tmp_path / "a.npz").files[0])
    for suffix in (".npz", ".csv", ".edf", ".hea"):
        written = save_record(first, tmp_path / f"b{suffix}").files[0]
        np.testing.assert_array_equal(read_record(written).signal, recording().signal)


def write_wfdb(folder: Path, fmts: list[str], signals: list[np.ndarray], per_frame: list[int]) -> Path:
    """Write a record, in one file if all formats are the same, otherwise in one for each; return the last file."""
    rows = [0, 1, 2]
    lines = []
    for name, part in [("a", rows)] if len(set(fmts)) == 1 else [(f"a{row}", [row]) for row in rows]:
        optional("wfdb").wrsamp(
            name,
            fs=250,
            units=["mV" for _ in part],
            sig_name=[LEADS[row] for row in part],
            e_d_signal=[signals[row] for row in part],
            samps_per_frame=[per_frame[row] for row in part],
            fmt=[fmts[row] for row in part],
            adc_gain=[200.0 for _ in part],
            baseline=[0 for _ in part],
            write_dir=str(folder),
        )
        lines += (folder / f"{name}.hea").read_text().splitlines()[1:]
    (folder / "a.hea").write_text("\n".join([f"a 3 250 {len(signals[2]) // per_frame[2]}", *lines]) + "\n")
    return folder / f"{name}.dat"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # in wfdb
@pytest.mark.parametrize("fmts", [["212"] * 3, ["24"] * 3, ["80"] * 3, ["32", "16", "16"], ["16", "212", "24"]])
@pytest.mark.parametrize("per_frame", [[1, 1, 1], [2, 2, 1]])
@pytest.mark.parametrize("at_once", [51, 1 << 20])
def test_wfdb_is_read_in_blocks_as_at_once(tmp_path, monkeypatch, fmts, per_frame, at_once):
    signals = [np.arange(211 * each) % 251 - 128 + row for row, each in enumerate(per_frame)]
    last = write_wfdb(tmp_path, fmts, signals, per_frame)
    leads = ["I", "II"]
    small = read_record(tmp_path / "a", leads=leads)
    by_wfdb = optional("wfdb").rdrecord(str(tmp_path / "a"), physical=False, smooth_frames=False)
    expected = np.array(by_wfdb.e_d_signal[:2])
    np.testing.assert_array_equal(np.where(small.is_missing(), expected, small.signal), expected)
    monkeypatch.setattr(mapped, "LARGE", 0)
    monkeypatch.setattr(wfdb_blocks, "_AT_ONCE", at_once)
    monkeypatch.setattr(wfdb_blocks, "_KEPT", 1000)
    assert_same(read_record(tmp_path / "a", leads=leads), small)
    last.write_bytes(last.read_bytes()[:-20])
    with pytest.raises(RecordError, match=r"a\.hea: not readable as WFDB .*are the files .* whole\?"):
        read_record(tmp_path / "a", leads=["III"])


@pytest.mark.parametrize("fmt", ["16", "61", "160", "24", "32", "80", "212", "310", "311"])
def test_bytes_of_any_format_are_what_wfdb_reads(tmp_path, monkeypatch, fmt):
    """Random bytes, with several samples per frame and a skew, of which the last samples are missing."""
    monkeypatch.setattr(wfdb_blocks, "_AT_ONCE", 40)
    width, bits = (
        4,
        {"16": 16, "61": 16, "160": 16, "24": 24, "32": 32, "80": 8, "212": 12, "310": 32 / 3, "311": 32 / 3},
    )
    random = np.random.default_rng(3).integers(0, 256, 12_000, np.uint8)
    if fmt == "311":
        random[3::4] &= 0x3F  # two bits that are not used, and that wfdb takes for a part of the sample
    octets = random.tobytes()
    frames = int(len(octets) * 8 / bits[fmt] // width)
    (tmp_path / "a.dat").write_bytes(octets)
    forms = ("x2", "", ":3")
    lines = [f"a.dat {fmt}{form} 200/mV 16 0 0 0 0 {lead}\n" for form, lead in zip(forms, LEADS, strict=False)]
    (tmp_path / "a.hea").write_text("".join([f"a 3 250 {frames}\n", *lines]))
    if fmt == "61":  # which wfdb cannot read
        (tmp_path / "a.dat").write_bytes(np.frombuffer(octets, ">i2").astype("<i2").tobytes())
        (tmp_path / "b.hea").write_text((tmp_path / "a.hea").read_text().replace(" 61", " 16"))
    by_wfdb = (
        optional("wfdb")
        .rdrecord(str(tmp_path / ("b" if fmt == "61" else "a")), physical=False, smooth_frames=False)
        .e_d_signal
    )
    (tmp_path / "a.dat").write_bytes(octets)
    for number, lead in enumerate(LEADS[:3]):
        found = read_record(tmp_path / "a", leads=[lead])
        expected = by_wfdb[number].astype(float)
        lost = found.is_missing()[0]
        np.testing.assert_array_equal(found.signal[0][~lost], expected[~lost])
        assert (expected[lost] == wfdb_files.MISSING[fmt]).all()
        assert not (expected[~lost] == wfdb_files.MISSING[fmt]).any()
        assert lost[-3:].all() == (lead == "III")


def test_segments_are_read_in_blocks(tmp_path, monkeypatch, tiny):
    """Segments of different gains, with a skew, a gap, and a lead that only one of them has."""
    monkeypatch.setattr(wfdb_blocks, "_AT_ONCE", 30)
    monkeypatch.setattr(record_module, "PORTION", 70)
    random = np.random.default_rng(5)
    counts = random.integers(-1000, 1000, (3, 2, 211))
    expected = np.full((2, 4 * 211), np.nan)
    lines = ["m/5 2 250 844", "layout 0", "a 211", "~ 211", "b 211", "c 211"]
    (tmp_path / "layout.hea").write_text("layout 2 250 0\n~ 0 200/mV 0 0 0 0 0 I\n~ 0 200/mV 0 0 0 0 0 II\n")
    for number, (name, place, gain, skew) in enumerate((("a", 0, 200, 0), ("b", 2, 100, 5), ("c", 3, 150, 0))):
        leads = ("I",) if name == "c" else ("I", "II")
        rows = counts[number, : len(leads)]
        rows.T.astype("<i2").tofile(tmp_path / f"{name}.dat")
        of_leads = [
            f"{name}.dat 16{f':{skew}' if lead == 'II' else ''} {gain}(7)/mV 16 0 0 0 0 {lead}" for lead in leads
        ]
        (tmp_path / f"{name}.hea").write_text("\n".join([f"{name} {len(leads)} 250 211", *of_leads]) + "\n")
        for row, lead in enumerate(leads):
            late = skew if lead == "II" else 0
            expected[row, place * 211 : (place + 1) * 211 - late] = (rows[row][late:] - 7) / gain
    (tmp_path / "m.hea").write_text("\n".join(lines) + "\n")
    found = read_record(tmp_path / "m")
    np.testing.assert_allclose(found.physical(), expected, rtol=1e-12)
    assert is_mapped(found.signal)


def dicom_groups(folder: Path, syntax: str, *, is_undefined: bool) -> Path:
    """Write an ECG of four columns and a strip, with a skew, an annotation and a large private field."""
    pydicom = optional("pydicom")
    dataset = pydicom.dcmread(optional("pydicom.data").get_testdata_file("waveform_ecg.dcm"))
    original = dataset.WaveformSequence[0]
    is_little = syntax != "ExplicitVRBigEndian"
    counts = np.frombuffer(original.WaveformData, "<i2").reshape(-1, 12)
    parts = []
    for number, columns in enumerate((slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), slice(1, 2))):
        rows = slice(2500 * number, 2500 * (number + 1)) if number < 4 else slice(None)
        part = copy.deepcopy(original)
        part.NumberOfWaveformSamples, part.NumberOfWaveformChannels = counts[rows, columns].shape
        part.ChannelDefinitionSequence = list(original.ChannelDefinitionSequence)[columns]
        part.MultiplexGroupTimeOffset = str(2500 * number) if number < 4 else "0"
        part.WaveformData = counts[rows, columns].astype("<i2" if is_little else ">i2").tobytes()
        if number == 2:
            part.ChannelDefinitionSequence[1].ChannelSampleSkew = "7"
            part.add_new(0x5400100A, "OW", np.array(counts[6000, 7], "<i2" if is_little else ">i2").tobytes())
        parts.append(part)
    note = pydicom.Dataset()
    note.ReferencedWaveformChannels, note.ReferencedSamplePositions = [2, 1], 501
    note.TemporalRangeType, note.UnformattedTextValue = "POINT", "PVC"
    dataset.WaveformSequence, dataset.WaveformAnnotationSequence = parts, [note]
    dataset.WaveformSequence.is_undefined_length = is_undefined
    for part in parts:
        part.is_undefined_length_sequence_item = is_undefined
        part.ChannelDefinitionSequence.is_undefined_length = is_undefined
    dataset.add_new(0x00091010, "OB", bytes(100_000))
    dataset.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    path = folder / "a.dcm"
    pydicom.dcmwrite(
        path, dataset, implicit_vr=syntax.startswith("Implicit"), little_endian=is_little, force_encoding=True
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("is_undefined", [False, True])
@pytest.mark.parametrize(
    "syntax",
    ["ExplicitVRLittleEndian", "ExplicitVRBigEndian", "ImplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian"],
)
def test_a_large_dicom_file_is_read_as_a_small_one(tmp_path, monkeypatch, syntax, is_undefined):
    path = dicom_groups(tmp_path, syntax, is_undefined=is_undefined)
    small = read_record(path)
    assert len(small.leads) == 13
    assert small.annotations
    assert small.missing is not None
    monkeypatch.setattr(mapped, "LARGE", 0)
    large = read_record(path)
    assert_same(large, small)
    for name in ("start", "annotations", "missing", "left_out", "repaired", "device", "comments"):
        assert getattr(large, name) == getattr(small, name), name
    assert is_mapped(large.signal)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordError, match=r"a\.dcm: .*(not readable as a DICOM waveform|cut short)"):
        read_record(path)


def test_format_61_is_converted_to_the_byte_order_of_the_machine(tmp_path, tiny):
    counts = np.array([[1, 2], [-300, -32768]])
    (tmp_path / "a.dat").write_bytes(counts.T.astype(">i2").tobytes())
    lines = [f"a.dat 61 200/mV 16 0 0 0 0 {lead}\n" for lead in ("I", "II")]
    (tmp_path / "a.hea").write_text("".join(["a 2 250 2\n", *lines]))
    record = read_record(tmp_path / "a")
    assert (record.signal.tolist(), record.missing, record.signal.dtype) == (counts.tolist(), -32768, np.int16)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8"])
def test_an_array_is_mapped_in_either_order(tmp_path, tiny, order, dtype):
    expected = np.asarray(recording().signal.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", expected)
    signal = read_record(tmp_path / "a.npy", sampling_rate=250).signal
    np.testing.assert_array_equal(signal, expected)
    assert signal.dtype.isnative
    assert is_mapped(signal)


def test_a_mapped_source_cannot_be_changed_by_mistake(tmp_path, tiny):
    np.save(tmp_path / "a.npy", recording().signal)
    record = read_record(tmp_path / "a.npy", sampling_rate=250)
    with pytest.raises(ValueError, match="read-only"):
        record.signal[0, 0] = 1


def test_a_file_that_is_too_short_is_refused(tmp_path, tiny):
    np.save(tmp_path / "a.npy", recording().signal)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"a\.npy: the array .* 16,799 are there"):
        read_record(tmp_path / "a.npy", sampling_rate=250)


def test_a_damaged_large_member_of_an_archive_is_refused(tmp_path, tiny):
    signal = recording().signal
    np.savez(tmp_path / "a.npz", signal=signal)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(signal.tobytes())] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(RecordError, match=r"a\.npz: not readable by NumPy .*CRC"):
        read_record(tmp_path / "a.npz", sampling_rate=250)


def test_the_leads_of_a_mapped_record_are_taken_in_any_order(tmp_path, tiny):
    np.savez(tmp_path / "a.npz", signal=recording().signal, leads=LEADS, sampling_rate=250)
    chosen = read_record(tmp_path / "a.npz", leads=["V2", "I", "aVF"])
    np.testing.assert_array_equal(chosen.signal, recording().signal[[7, 0, 5]])


@given(arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 50))))
def test_missing_samples_are_counted(signal):
    record = Record(signal, 250, LEADS[: len(signal)])
    assert missing_samples(record) == np.isnan(signal).sum()


@given(st.lists(st.integers(0, 200), min_size=1), st.integers(1, 3))
def test_a_buffer_holds_the_same_samples_in_a_file(lengths, leads):
    signal = np.arange(sum(lengths) * leads, dtype=np.int32).reshape(leads, -1)
    buffer, start = SampleBuffer(leads, np.int32), 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mapped, "LARGE", 100)
        for length in lengths:
            buffer.add(signal[:, start : start + length])
            start += length
        assert (buffer.samples, buffer.nbytes) == (signal.shape[1], signal.nbytes)
        np.testing.assert_array_equal(buffer.signal(), signal)
        assert is_mapped(buffer.signal()) == (signal.nbytes >= 100)


def test_a_portion_stays_valid_when_memory_is_given_back(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(mapped, "HELD", 0)
    np.save(tmp_path / "a.npy", recording().signal)
    reading = Reading(read_record(tmp_path / "a.npy", sampling_rate=250).signal)
    parts = [reading.samples(start, start + 70) for start in range(0, 700, 70)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), recording().signal)


def test_files_that_cannot_be_mapped_are_read_into_memory(tmp_path, monkeypatch, tiny):
    def refuse(*_, **__):
        raise OSError(errno.ENODEV, "No such device")

    np.save(tmp_path / "a.npy", recording().signal)
    monkeypatch.setattr(mapped, "MappedFile", refuse)
    with (tmp_path / "a.npy").open("rb") as file:
        signal = mapped.mapped(file, np.int16, (12, 700), 128)
    np.testing.assert_array_equal(signal, recording().signal)


def test_a_full_disk_names_the_folder_and_the_way_out(monkeypatch, tiny):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
        with pytest.raises(OSError, match=r"No space left on device, in the folder .* \(TMPDIR names another\)"):
            SampleBuffer(1, np.int16).add(np.zeros((1, 10), np.int16))


@pytest.mark.parametrize("large", [mapped.LARGE, 0])
def test_a_column_of_integers_may_become_one_of_numbers_far_below(tmp_path, monkeypatch, large):
    monkeypatch.setattr(mapped, "LARGE", large)
    cells = [("" if row % 7 == 3 else row % 11, row % 13) for row in range(25_000)]
    cells[22_000] = ("0.5", 1)
    (tmp_path / "a.csv").write_text("I,II\n" + "".join(f"{one},{other}\n" for one, other in cells))
    expected = np.array([(np.nan if one == "" else float(one), other) for one, other in cells]).T
    np.testing.assert_array_equal(read_record(tmp_path / "a.csv", sampling_rate=250).signal, expected)
    counts = read_record(tmp_path / "a.csv", sampling_rate=250, leads=["II"])
    np.testing.assert_array_equal(counts.signal, expected[1:])
    assert counts.signal.dtype == np.int16


def test_the_line_of_an_error_is_named_after_blank_lines(tmp_path):
    rows = [f"{row},{row}\n" + "\n" * (row % 3 == 0) for row in range(12_000)] + ["1,x\n"]
    (tmp_path / "a.csv").write_text("I,II\n" + "".join(rows))
    with pytest.raises(RecordError, match=r"line 16002, column 2: 'x' is not a number"):
        read_record(tmp_path / "a.csv", sampling_rate=250)


# --- the memory that it takes ---


def sparse(path: Path, begin: bytes, nbytes: int) -> Path:
    """Write a file that begins like this and goes on with zeros, which take no room on the disk."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(len(begin) + nbytes)
    return path


def npy(folder: Path) -> Path:
    np.lib.format.open_memmap(folder / "a.npy", "w+", np.int16, (12, SAMPLES)).flush()
    return folder / "a.npy"


def wfdb(folder: Path) -> Path:
    lines = [f"a.dat 16 200/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    (folder / "a.hea").write_text("\n".join([f"a 12 250 {SAMPLES}", *lines]) + "\n")
    sparse(folder / "a.dat", b"", 2 * 12 * SAMPLES)
    return folder / "a.hea"


def wfdb_segments(folder: Path) -> Path:
    """Eight segments with a skew."""
    frames = SAMPLES // 8
    lines = [f"a.dat 16:{int(lead == 'V6')} 200/mV 16 0 0 0 0 {lead}" for lead in LEADS]
    (folder / "a.hea").write_text("\n".join([f"a 12 250 {frames}", *lines]) + "\n")
    sparse(folder / "a.dat", b"", 2 * 12 * (frames + 1))
    (folder / "m.hea").write_text(f"m/8 12 250 {SAMPLES}\n" + f"a {frames}\n" * 8)
    return folder / "m.hea"


def edf(folder: Path) -> Path:
    """One record of a second, and then more of them."""
    optional("edfio")
    record = recording(signal=np.zeros((12, 250), np.int16), gain=(200,) * 12, baseline=(0,) * 12, units="mV")
    begin = bytearray(save_record(record, folder / "a.edf").files[0].read_bytes())
    begin[236:244] = str(SAMPLES // 250).encode().ljust(8)
    return sparse(folder / "a.edf", bytes(begin), (len(begin) - 256 * 14) * (SAMPLES // 250 - 1))


def dicom(folder: Path) -> Path:
    """A sample of each lead, and then more of them."""
    pydicom = optional("pydicom")
    dataset = pydicom.dcmread(optional("pydicom.data").get_testdata_file("waveform_ecg.dcm"))
    dataset.WaveformSequence = dataset.WaveformSequence[:1]
    group = dataset.WaveformSequence[0]
    group.SamplingFrequency, group.NumberOfWaveformSamples = "250", SAMPLES
    group.WaveformData = mark = b"these are the samples   "
    dataset.WaveformSequence.is_undefined_length = group.is_undefined_length_sequence_item = True
    dataset.save_as(folder / "a.dcm")
    begin, end = (folder / "a.dcm").read_bytes().split(mark)
    begin = begin[:-4] + (24 * SAMPLES).to_bytes(4, "little")
    path = sparse(folder / "a.dcm", begin, 24 * SAMPLES)
    with path.open("ab") as file:
        file.write(end)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("written", [npy, wfdb, wfdb_segments, edf, dicom])
def test_reading_a_record_takes_little_memory(tmp_path, written):
    code = """
    record = read_record(sys.argv[1], sampling_rate=250)
    assert record.samples == int(sys.argv[2])
    assert missing_samples(record) == 0
    assert not any(part.signal.any() for part in portions(record))
    """
    path = written(tmp_path)
    assert peak_memory(code, path, SAMPLES, first=READ) < MOST


@pytest.mark.slow
def test_a_large_table_takes_little_memory(tmp_path):
    row = ",".join(f"{number}.125" for number in range(12)) + "\n"
    (tmp_path / "a.csv").write_text(",".join(LEADS) + "\n" + row * 150_000)
    code = """
    mapped.LARGE = 1 << 20
    record = read_record(sys.argv[1], sampling_rate=250)
    assert record.samples == 150_000 and record.signal[11, -1] == 11.125
    """
    taken = peak_memory(code, tmp_path / "a.csv", first=f"{READ}\nfrom ecgframe.records import mapped")
    assert (
        taken < 48 * MIB
    )  # its samples alone are 14 MiB, and twice as much with copies; parsing takes ten thousand rows


@pytest.mark.slow
def test_encoding_and_decoding_take_little_memory(tmp_path):
    first = "from ecgframe.cli.app import app\nfrom pathlib import Path\nimport ecgframe.frame_file"
    encode = """
    app(["encode", sys.argv[1], "-o", sys.argv[2], "--sampling-rate", "250", "--frame-seconds", "20",
         "--ndarray", "binary", "--no-compression"], standalone_mode=False)
    """
    decode = """
    app(["decode", sys.argv[1]], standalone_mode=False)
    """
    assert peak_memory(encode, npy(tmp_path), tmp_path / "a.frames", first=first) < MOST
    assert peak_memory(decode, tmp_path / "a.frames", first=first) < MOST

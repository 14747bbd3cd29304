"""Limits on hostile recordings: bounded time and memory, and errors that say what is wrong."""

from __future__ import annotations

import sys
import time
import zipfile
import zlib

import hostile_recordings
import numpy as np
import pytest
from bounded_command import run_bounded
from hostile_recordings import LEAD, MIB, RATE, SIGNAL, array, edf, noted, noted_edf, npy, npz, zeros
from recordings import optional

for library in ("edfio", "pydicom"):
    optional(library)

from ecgframe.records import RecordError, bounds, mapped, numpy_arrays, read_record  # noqa: E402 - after the skip

SECONDS = {1: 5, 10: 20}
"""Processor seconds of the command, by the MiB of its input."""

MEMORY = 384
"""MiB of the command."""

EVERY = [(kind, name) for kind, made in hostile_recordings.KINDS.items() for name in made]


@pytest.mark.skipif(sys.platform != "linux", reason="measures as Linux does")
@pytest.mark.parametrize(
    "size", [pytest.param(1, marks=pytest.mark.slow), pytest.param(10, marks=[pytest.mark.alone, pytest.mark.thorough])]
)
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_mebibytes_of_any_recording(kind, name, size, tmp_path):
    path = hostile_recordings.write(tmp_path, kind, name, size * MIB)
    rate = ["--sampling-rate", "250"] if kind in ("numpy", "csv") else []
    arguments = ["encode", "FILE", "-o", "OUT.frames", "--frame-seconds", "60", *rate]
    seconds, memory, said = run_bounded(arguments, path, seconds=120)
    assert (seconds <= SECONDS[size], memory <= MEMORY) == (True, True), (seconds, memory, said)


def written(folder, files):
    for suffix, octets in files.items():
        (folder / f"a{suffix}").write_bytes(octets)
    return folder / f"a{next(iter(files))}"


def read(folder, files, **options):
    return read_record(written(folder, files), **options)


def refused(folder, files, match, **options):
    with pytest.raises(RecordError, match=match):
        read(folder, files, **options)


# --- NumPy ---


@pytest.mark.slow
def test_an_archive_is_not_inflated_beyond_what_its_size_allows(tmp_path):
    refused(tmp_path, zeros(100_000), r'"signal" takes [\d,]+ bytes, .* without compression \(numpy\.savez\)')
    large = np.zeros((1, 45 * MIB), np.int16)
    np.savez(tmp_path / "stored.npz", signal=large, sampling_rate=250)
    assert read_record(tmp_path / "stored.npz").samples == 45 * MIB


def test_a_wrong_size_does_not_raise_the_limit(tmp_path):
    refused(tmp_path, zeros(100_000, said=1000), "not readable by NumPy .*CRC")


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("large", [0, mapped.LARGE])
def test_the_checksum_of_an_archive_is_verified(tmp_path, monkeypatch, kind, large):
    monkeypatch.setattr(mapped, "LARGE", large)
    files = npz({"signal": SIGNAL, **RATE}, kind)
    assert read(tmp_path, files).samples == 100
    checksum = zlib.crc32(SIGNAL).to_bytes(4, "little")
    refused(tmp_path, {".npz": files[".npz"].replace(checksum, b"oops")}, r"signal\.npy")


def test_bytes_after_an_array_are_not_inflated(tmp_path):
    refused(tmp_path, npz({"signal": SIGNAL + bytes(100 * MIB), **RATE}), "more bytes follow its header")


def test_elements_without_bytes_are_refused(tmp_path):
    refused(tmp_path, npz({"signal": npy((1, 1 << 40), dtype="|V0"), **RATE}), "many elements without bytes")


def test_a_header_is_believed_only_up_to_the_bytes_that_are_there(tmp_path):
    for shape in ((1, 1 << 40), (1, 1 << 32), (1 << 62, 1 << 62)):
        refused(tmp_path, {".npy": npy(shape, bytes(10))}, "by its header, and 10 are there", sampling_rate=250)
    refused(tmp_path, {".npy": npy((-1, 5), bytes(10))}, r"the shape \(-1, 5\)", sampling_rate=250)
    refused(tmp_path, {".npy": b"\x93NUMPY\2\0\0\0\0\x10" + bytes(99)}, "a header of 268,435,456 bytes")


def test_the_parts_beside_the_signal_are_bounded(tmp_path):
    files = npz({"signal": SIGNAL, **RATE, "gain": array(np.ones(5000)), "baseline": array(0)})
    refused(tmp_path, files, "its gain has 5,000 elements, and no recording 4,096 leads")
    files = npz({"signal": SIGNAL, **RATE, "units": array("x" * (2 * MIB))})
    refused(tmp_path, files, '"units" takes 8,388,608 bytes')
    refused(tmp_path, noted("[" * 50_000), "annotations is invalid")


def test_annotations_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FEW_ANNOTATIONS", 3)
    monkeypatch.setattr(bounds, "ANNOTATIONS_PER_BYTE", 0)
    assert len(read(tmp_path, noted('[[0,"a"],[1,"b"],[2,"c"]]')).annotations) == 3
    refused(tmp_path, noted('[[0,"a"],[1,"b"],[2,"c"],[3,"d"]]'), "it has more than 3 annotations")
    lists = [b"+%d\x14a\x14\0" % second for second in range(5)]
    assert len(read(tmp_path, noted_edf(b"+0\x14\x14\0" + b"".join(lists[:3]) + b"\0" * 2)).annotations) == 3
    refused(tmp_path, noted_edf(b"+0\x14\x14\0" + b"".join(lists[:4]) + b"\0"), "it has more than 3 annotations")


def test_other_compressions_than_numpys_are_refused(tmp_path):
    files = npz({"signal": SIGNAL, **RATE}, kind=14)  # xz, which allocates what the archive says
    refused(tmp_path, files, r"signal\.npy is not compressed as NumPy does")


def test_many_arrays_are_not_looked_at_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_arrays, "MOST_MEMBERS", 3)
    refused(
        tmp_path, npz({f"{number}": SIGNAL for number in range(4)}), 'no array is named "signal"; it holds 4 arrays'
    )
    refused(tmp_path, npz({f"{number}": SIGNAL for number in range(3)}), "it holds 0, 1, 2")


# --- EDF ---


def test_annotations_that_do_not_end_take_linear_time(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FEW_ANNOTATIONS", 10**6)

    def work(count):
        path = written(tmp_path, noted_edf(b"+0\x14\x14\0" + b"+1\x14" * count + b"x" * (1 + count % 2)))
        begin = time.process_time()
        read_record(path)
        return time.process_time() - begin

    assert work(400_000) < 8 * max(work(100_000), 0.05)


def test_numbers_of_any_size_in_a_header_are_refused(tmp_path):
    for options in ({"duration": b"1e999999"}, {"duration": b"1e-99999"}, {"records": b"1e999999"}):
        refused(tmp_path, edf([LEAD], bytes(10), **options), "which is not believed")
    refused(tmp_path, edf([(b"I", b"1e999999")], bytes(10)), "for the number of samples, which is not believed")


def test_times_of_many_digits_are_no_annotations(tmp_path):
    record = read(tmp_path, noted_edf(b"+0\x14\x14\0+" + b"9" * 5000 + b"\x14a\x14\0\0"))
    assert record.annotations == ()


def test_gaps_are_bounded_by_the_size_of_the_file(tmp_path):
    seconds = (0, 3000)
    content = b"".join(bytes(2 * 40_000) + (b"+%d\x14\x14" % second).ljust(16, b"\0") for second in seconds)
    files = edf([(b"I", b"40000"), (b"EDF Annotations", b"8")], content, kind=b"EDF+D")
    refused(tmp_path, files, r"with its gaps, this EDF\+D file has 120,040,000 samples")


def test_records_are_bounded_by_the_size_of_the_file(tmp_path, monkeypatch):
    from ecgframe.records import edf_files

    monkeypatch.setattr(edf_files, "FEW_RECORDS", 3)
    files = edf([LEAD, (b"EDF Annotations", b"4")], bytes(10) * 1000)
    refused(tmp_path, files, "its 1,000 data records have 1,000 annotation signals, more than the 339 that")


# --- CSV ---


def test_rows_and_notes_of_csv_are_bounded(tmp_path):
    made = hostile_recordings.CSV
    refused(tmp_path, made["one long row"](200_000), "no row of samples has more than 131,072")
    refused(tmp_path, made["many gains"](20_000), "'gain' has 10,001 numbers, and no recording 4,096 leads")
    refused(tmp_path, made["deep annotations"](50_000), "'annotations' is invalid")
    assert read(tmp_path, made["deep JSON"](50_000), sampling_rate=250).samples == 1


# --- DICOM ---


@pytest.mark.slow
@pytest.mark.parametrize("mebibytes", [1, 90])
def test_deflated_dicom_is_inflated_up_to_a_limit(tmp_path, mebibytes):
    files = hostile_recordings.deflated_dicom(mebibytes * MIB)
    if mebibytes == 1:
        assert read(tmp_path, files).samples == MIB // 2
    else:
        refused(tmp_path, files, r"it inflates to more than 83,886,080 bytes")


@pytest.mark.slow
def test_elements_and_annotations_of_dicom_are_bounded(tmp_path, monkeypatch):
    made = hostile_recordings.DICOM
    for name in ("many groups", "many channels of nothing", "many elements", "many annotations", "deep sequences"):
        refused(tmp_path, made[name](2 * MIB), "it has more than [0-9,]+ elements, which")
    monkeypatch.setattr(bounds, "FEW_ANNOTATIONS", 3)
    refused(tmp_path, made["many annotations"](1000), "it has more than [0-9]+ annotations")

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pytest
from interpreter import python
from recordings import uninstall

from ecgframe.records import RecordError, read_record


def test_a_missing_file_is_reported_with_the_names_that_were_tried(tmp_path):
    with pytest.raises(RecordError, match=r"100: no such file, and no WFDB header 100\.hea beside it"):
        read_record(tmp_path / "100")


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_folder_is_no_recording(path):
    with pytest.raises(RecordError, match="a folder; name a recording in it"):
        read_record(path)


def test_an_unknown_file_lists_what_is_known(tmp_path):
    path = tmp_path / "ecg.mat"
    path.write_bytes(b"MATLAB 5.0")
    with pytest.raises(
        RecordError, match=r"not a recording of a supported format: WFDB .*, EDF, BDF, DICOM, CSV, NPY or"
    ):
        read_record(path)


def test_an_unreadable_file_says_why(tmp_path, monkeypatch):
    path = tmp_path / "ecg.csv"
    path.write_text("I\n0.5\n")

    def denied(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(RecordError, match=r"ecg\.csv: Permission denied"):
        read_record(path, sampling_rate=1)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_must_be_above_0(rate):
    with pytest.raises(RecordError, match="the sampling rate must be above 0 Hz"):
        read_record("any", sampling_rate=rate)


@pytest.mark.parametrize(
    ("name", "content", "library", "extra"),
    [
        ("100.hea", b"100 1 360\n100.dat 8 200 11 1024 995 0 0 MLII\n", "wfdb", "wfdb"),
        ("night.edf", b"0       ", "edfio", "edf"),
        ("night.bdf", b"\xffBIOSEMI", "edfio", "edf"),
        ("ecg", bytes(128) + b"DICM", "pydicom", "dicom"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    tmp_path, monkeypatch, *, name, content, library, extra
):
    (tmp_path / name).write_bytes(content)
    uninstall(monkeypatch, library)
    message = rf'{name}: reading \w+ needs {library}, which is not installed: pip install "ecgframe\[{extra}\]"'
    with pytest.raises(RecordError, match=message):
        read_record(tmp_path / name)


def test_the_content_counts_and_not_the_name(tmp_path):
    np.save(tmp_path / "ecg.npy", np.arange(5))
    path = (tmp_path / "ecg.npy").rename(tmp_path / "ecg.csv")
    assert read_record(path, sampling_rate=1).samples == 5


def test_importing_the_readers_imports_no_optional_library():
    optional = {"wfdb", "edfio", "pydicom", "pandas", "matplotlib", "typer", "rich", "orjson"}
    code = f"import sys, ecgframe.records; print({optional} & set(sys.modules))"
    run = python("-c", code)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")


@pytest.mark.parametrize("name", ["x.csv", "x.edf", "x.hea", "x.dcm", "x"])
@pytest.mark.parametrize(
    ("pack", "said"), [(gzip.compress, r"gzip.*gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_a_compressed_file_is_named_with_the_way_out(tmp_path, name, pack, said):
    path = tmp_path / f"{name}.gz"
    path.write_bytes(pack(b"I\n1\n2\n"))
    with pytest.raises(RecordError, match=rf"{name}\.gz: it is compressed .*{said}"):
        read_record(path, sampling_rate=250)
    with pytest.raises(RecordError, match=rf"{name}: no such file, but {name}\.gz is compressed"):
        read_record(tmp_path / name)


def test_an_archive_without_arrays_is_named_with_the_way_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", "I\n1\n")
    with pytest.raises(RecordError, match=r"a\.csv\.zip: an archive \(zip\) without arrays .*unzip"):
        read_record(tmp_path / "a.csv.zip", 250)


def test_a_text_that_begins_like_a_compressed_file_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("BZh\n1\n2\n")
    assert read_record(tmp_path / "a.csv", 250).leads == ("BZh",)


def test_mcap_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(200))
    with pytest.raises(RecordError, match=r"a\.mcap: an MCAP file, .* record \.edf, \.hea or \.frames instead"):
        read_record(tmp_path / "a.mcap")

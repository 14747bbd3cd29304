"""One door for every format: what lies at the path decides, not what it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..libraries import MissingLibrary
from .csv_files import read_csv
from .dicom_files import read_dicom
from .edf_files import read_bdf, read_edf
from .numpy_files import read_numpy
from .record import Record, RecordError
from .wfdb_files import read_wfdb, without_suffix

KNOWN = "WFDB (a .hea beside its .dat), EDF, BDF, DICOM, CSV, NPY or NPZ"

MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x93NUMPY", "numpy"),
    (0, b"PK\x03\x04", "numpy"),
    (0, b"0       ", "edf"),
    (0, b"\xffBIOSEMI", "bdf"),
    (128, b"DICM", "dicom"),
)
"""Offset and bytes by which a file tells what it is."""

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dcm": "dicom", ".hea": "wfdb", ".dat": "wfdb"}
"""For the formats that have no such bytes."""

SELF_DESCRIBING: dict[str, Callable[[Path, Sequence[str] | None], Record]] = {
    "wfdb": read_wfdb,
    "edf": read_edf,
    "bdf": read_bdf,
    "dicom": read_dicom,
}
"""Formats that say their rate, and may mix signals of several: their readers choose the leads."""

PLAIN: dict[str, Callable[[Path, float | None], Record]] = {"csv": read_csv, "numpy": read_numpy}
"""Formats of one rate, which may have to be told."""


def read_record(
    path: str | os.PathLike[str],
    sampling_rate: float | None = None,
    leads: Sequence[str] | None = None,
) -> Record:
    """The recording at ``path``.

    Args:
        path: a file, or the name of a WFDB record with or without its suffix.
        sampling_rate: in Hz, for the files that do not say (CSV, NPY, NPZ).
        leads: names of the leads to take, in that order. Without it, all; where a file mixes signals of several
            rates or units, those that are ECG by their name.

    Raises:
        RecordError: nothing is there, or it is not readable, or its reader is not installed, or ``sampling_rate``
            contradicts the file. The message names the place and the way out.
    """
    place = Path(path)
    if sampling_rate is not None and not sampling_rate > 0:
        raise RecordError(f"the sampling rate must be above 0 Hz, and is {sampling_rate:g}")
    try:
        record = _read(_kind(place), place, sampling_rate, leads)
    except MissingLibrary as error:
        raise RecordError(f"{place}: {error}") from error
    except OSError as error:
        raise RecordError(f"{place}: {error.strerror or error}") from error
    if sampling_rate is not None and record.sampling_rate != sampling_rate:
        raise RecordError(
            f"{place}: it says {record.sampling_rate:g} Hz, against the {sampling_rate:g} Hz given; leave the rate out"
        )
    return record


def _read(kind: str, path: Path, sampling_rate: float | None, leads: Sequence[str] | None) -> Record:
    if kind in SELF_DESCRIBING:
        return SELF_DESCRIBING[kind](path, leads)
    record = PLAIN[kind](path, sampling_rate)
    return record if leads is None else record.take(leads)


def _kind(path: Path) -> str:
    if path.is_file():
        return _kind_of_file(path)
    if _header(path).is_file():
        return "wfdb"
    if path.is_dir():
        raise RecordError(f"{path}: a folder; name a recording in it")
    raise RecordError(f"{path}: no such file, and no WFDB header {_header(path).name} beside it")


def _kind_of_file(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(132)
    for offset, magic, kind in MAGIC:
        if start.startswith(magic, offset):
            return kind
    kind = SUFFIXES.get(path.suffix.lower(), "wfdb")
    if kind != "wfdb" or _header(path).is_file():
        return kind
    if path.suffix == ".dat":
        raise RecordError(f"{path}: the WFDB header {_header(path).name}, which says how to read it, is not beside it")
    raise RecordError(f"{path}: not a recording that is known here: {KNOWN}")


def _header(path: Path) -> Path:
    return Path(f"{without_suffix(path)}.hea")

"""Reading recordings of any format, which is detected from the contents of the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from ..libraries import MissingLibrary
from .channels import Choice
from .compressed import compressed_beside, compression_of
from .files import without_suffix
from .record import Record, RecordError

KNOWN = "WFDB (a .hea beside its .dat), EDF, BDF, DICOM, CSV, NPY or NPZ"

MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x93NUMPY", "numpy"),
    (0, b"PK\x03\x04", "numpy"),
    (0, b"0       ", "edf"),
    (0, b"\xffBIOSEMI", "bdf"),
    (128, b"DICM", "dicom"),
)
"""Signatures of formats: offset, bytes, format."""

MCAP = b"\x89MCAP"
"""Signature of MCAP, which only other programs read."""

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dcm": "dicom", ".hea": "wfdb", ".dat": "wfdb"}
"""Formats by suffix, for those without a signature."""

CALIBRATION = ("units", "gain", "baseline")
"""Those of ``CsvOptions`` that are for NPY and NPZ files as well."""


class CsvOptions(TypedDict, total=False):
    """Properties that a file of CSV, NPY or NPZ may not state.

    Attributes:
        decimal: decimal separator of CSV, "." or ",".
        time_column: name of the time column of CSV.
        units: unit of the samples, of those that have none.
        gain: ADC counts per unit, if the samples are counts; the unit is that of the file, else ``units``, else mV.
        baseline: ADC count of 0 units.
    """

    decimal: str | None
    time_column: str | None
    units: str | None
    gain: float | None
    baseline: float | None


def read_record(
    path: str | os.PathLike[str],
    sampling_rate: float | None = None,
    leads: Sequence[str] | None = None,
    *,
    every_unit: bool = False,
    **csv: Unpack[CsvOptions],
) -> Record:
    """Read a recording. The format is detected from the contents of the file.

    Args:
        path: path of a file, or of a WFDB record with or without suffix.
        sampling_rate: sampling rate in Hz, for files that do not state it (CSV, NPY, NPZ).
        leads: names of the leads to read, in that order. By default, all leads; if the file mixes sampling rates or
            units, those that are ECG leads by their names.
        every_unit: whether to read signals of other units beside the ECG, such as respiration, if WFDB, EDF, BDF or
            DICOM have them at its sampling rate. ``lead_units`` of the record then has the unit of each.
        csv: properties that a CSV, NPY or NPZ file does not state, see ``CsvOptions``. Not allowed for other formats.

    Raises:
        RecordError: the file does not exist or cannot be read, the library for its format is not installed, or
            ``sampling_rate`` contradicts the file. The message says where the problem is and how to solve it.
    """
    place = Path(path)
    if sampling_rate is not None and not sampling_rate > 0:
        raise RecordError(f"the sampling rate must be above 0 Hz, and is {sampling_rate:g}")
    try:
        record = _read(_kind(place), place, sampling_rate, Choice(leads, every_unit), csv)
    except MissingLibrary as error:
        raise RecordError(f"{place}: {error}") from error
    except OSError as error:
        raise RecordError(f"{place}: {error.strerror or error}") from error
    if sampling_rate is not None and record.sampling_rate != sampling_rate:
        raise RecordError(
            f"{place}: its sampling rate is {record.sampling_rate:g} Hz, not the given {sampling_rate:g} Hz; omit it"
        )
    return record


def _read(kind: str, path: Path, sampling_rate: float | None, wanted: Choice, csv: CsvOptions) -> Record:
    leads = wanted.leads
    if kind == "csv":
        from .csv_files import read_csv  # noqa: PLC0415 - only for this format

        return read_csv(path, sampling_rate, leads, **csv)
    allowed = CALIBRATION if kind == "numpy" else ()
    if given := [name for name, value in csv.items() if value is not None and name not in allowed]:
        kinds = "CSV, NPY and NPZ" if set(given) <= set(CALIBRATION) else "CSV"
        raise RecordError(f"{path}: {' and '.join(given)} {'is' if len(given) == 1 else 'are'} for {kinds} files only")
    if kind != "numpy":
        return _reader(kind)(path, wanted)
    from .numpy_files import read_numpy  # noqa: PLC0415 - only for this format

    units, gain, baseline = csv.get("units"), csv.get("gain"), csv.get("baseline")
    record = read_numpy(path, sampling_rate, units=units, gain=gain, baseline=baseline)
    return record if leads is None else record.take(leads)


def _reader(kind: str) -> Callable[[Path, Choice], Record]:
    """Return the reader of a format that states the sampling rate and may mix several. It selects the leads."""
    if kind == "wfdb":
        from .wfdb_files import read_wfdb  # noqa: PLC0415 - each only for its format

        return read_wfdb
    if kind == "dicom":
        from .dicom_files import read_dicom  # noqa: PLC0415 - as above

        return read_dicom
    from .edf_files import read_bdf, read_edf  # noqa: PLC0415 - as above

    return read_edf if kind == "edf" else read_bdf


def _kind(path: Path) -> str:
    if path.is_file():
        return _kind_of_file(path)
    if _header(path).is_file():
        return "wfdb"
    if path.is_dir():
        raise RecordError(f"{path}: a folder; name a recording in it")
    if packed := compressed_beside(path) or compressed_beside(_header(path)):
        raise RecordError(f"{path}: no such file, but {packed}")
    raise RecordError(f"{path}: no such file, and no WFDB header {_header(path).name} beside it")


def _kind_of_file(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(132)
    if packed := compression_of(start):
        raise RecordError(f"{path}: {packed}")
    if start.startswith(MCAP):
        raise RecordError(
            f"{path}: an MCAP file, which ecgframe writes and does not read; record .edf, .hea or .frames instead"
        )
    for offset, magic, kind in MAGIC:
        if start.startswith(magic, offset):
            return kind
    kind = SUFFIXES.get(path.suffix.lower(), "wfdb")
    if kind != "wfdb" or _header(path).is_file():
        return kind
    if packed := compressed_beside(_header(path)):
        raise RecordError(f"{path}: a part of a WFDB record, and {packed}")
    if path.suffix == ".dat":
        raise RecordError(f"{path}: the WFDB header {_header(path).name}, which says how to read it, is not beside it")
    raise RecordError(f"{path}: not a recording of a supported format: {KNOWN}")


def is_recording(path: Path) -> bool:
    """Return True if the bytes of a file, its name, or a header file beside it show that it has a supported format.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        _kind_of_file(path)
    except RecordError:
        return False
    return True


def _header(path: Path) -> Path:
    return Path(f"{without_suffix(path)}.hea")

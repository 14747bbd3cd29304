"""Writing records as NPZ, CSV, WFDB, EDF+ and BDF+."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from ..private_files import errors_naming, whole_file
from .record import Record, RecordError, check_one_unit

if TYPE_CHECKING:
    from .edf_writer import EdfWriter
    from .wfdb_writer import WfdbWriter

FORMATS: Final = (".npz", ".csv")
"""Suffixes that ``write_record`` writes into an open file."""

SUFFIXES: Final = (*FORMATS, ".edf", ".bdf", ".hea")
"""Suffixes that ``save_record`` writes."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A record that was written.

    Attributes:
        files: its files; the first is the one to open.
        remarks: a sentence on each thing that could not be stored exactly, or not at all.
    """

    files: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def write_record(record: Record, file: BinaryIO, suffix: str) -> None:
    """Write a record into an open file, in the format of ``suffix``. ``read_record`` reads exactly the same record.

    Raises:
        RecordError: the suffix is neither ".npz" nor ".csv", or the leads have different units.
    """
    check_one_unit(record, suffix.removeprefix(".").upper())
    if suffix == ".npz":
        from .numpy_files import write_npz  # noqa: PLC0415 - only for this format

        write_npz(record, file)
    elif suffix == ".csv":
        from .csv_files import write_csv  # noqa: PLC0415 - only for this format

        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        write_csv(record, text)
        text.detach()
    else:
        raise RecordError(f"records are written as {' or '.join(FORMATS)}, not as {suffix or 'a file without suffix'}")


def files_to_save(path: Path) -> tuple[Path, ...]:
    """Return the files that ``save_record`` may write, replace or remove for this path."""
    if path.suffix.lower() != ".hea":
        return (path,)
    return tuple(path.with_suffix(suffix) for suffix in (".hea", ".dat", ".atr"))


def save_record(
    record: Record,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    patient: str = "",
    comments: Iterable[str] = (),
) -> Saved:
    """Write a record in the format of the suffix: EDF+ (``.edf``), BDF+ (``.bdf``), WFDB (``.hea``), NPZ or CSV.

    Counts, gains, missing samples, the start and annotations are stored exactly wherever the format can hold them;
    ``remarks`` names everything else. The files appear under their names once they are complete. Only their owner can
    read them.

    Args:
        record: the record. A start with a time zone is written in UTC, as WFDB and EDF have no time zones.
        path: path of the file; for WFDB, of the header.
        overwrite: whether to replace existing files.
        patient: patient code for the header of EDF+ and BDF+.
        comments: comments for the header of WFDB.

    Raises:
        RecordError: the suffix is unknown, or the format cannot store the samples.
        FileExistsError: a file exists.
        OSError: a file cannot be written.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in SUFFIXES:
        raise RecordError(f"{place}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if not overwrite:
        for target in files_to_save(place):
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "the file exists", str(target))
    with errors_naming(*files_to_save(place)):
        if suffix in FORMATS:
            with whole_file(place) as file:
                write_record(record, file, suffix)
            return Saved((place,))
        with tempfile.TemporaryDirectory(prefix=f".{place.stem}.", suffix=".part", dir=place.parent) as folder:
            return _save_beside(record, place, Path(folder), patient=patient, comments=comments)


def _save_beside(record: Record, place: Path, folder: Path, *, patient: str, comments: Iterable[str]) -> Saved:
    """Write a record into a temporary folder, and move its files from there."""
    from .wfdb_writer import WfdbWriter  # noqa: PLC0415 - only for these formats

    writer = _writer_of(record, place, folder / place.name, patient, comments)
    try:
        if isinstance(writer, WfdbWriter):  # EdfWriter has taken them from the record
            writer.annotate(record.annotations)
        writer.append(record)
        remarks = writer.close()
    except BaseException:
        writer.abandon()
        raise
    written = {file.name for file in writer.files}
    for target in reversed(files_to_save(place)):  # the header last, as it names the others
        if target.name in written:
            (folder / target.name).replace(target)
        else:
            target.unlink(missing_ok=True)  # annotations of the record that is replaced
    return Saved(tuple(place.with_name(file.name) for file in writer.files), remarks)


def _writer_of(
    record: Record, place: Path, part: Path, patient: str, comments: Iterable[str]
) -> EdfWriter | WfdbWriter:
    """Return a writer of ``part``, whose errors name ``place``."""
    from .edf_writer import EdfWriter  # noqa: PLC0415 - only for these formats
    from .scaling import Range  # noqa: PLC0415 - as above
    from .wfdb_writer import WfdbWriter  # noqa: PLC0415 - as above

    reach = Range.of(record)
    try:
        if place.suffix.lower() == ".hea":
            return WfdbWriter(part, record, reach, is_whole=True, comments=comments)
        return EdfWriter(part, record, reach, is_whole=True, patient=patient)
    except ArithmeticError as error:
        raise RecordError(f"{place}: the format cannot store the calibration or the sampling rate") from error
    except RecordError as error:
        raise RecordError(str(error).replace(str(part), str(place))) from error

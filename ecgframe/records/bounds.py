"""Limits of what a file may hold, in proportion to its size: a small file may be deflated from any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .record import RecordError

if TYPE_CHECKING:
    from pathlib import Path

    from .record import Record

SMALL_RECORDING: Final = 80 * 1024 * 1024
"""Bytes of samples that a file of any size may have."""

BYTES_PER_BYTE: Final = 9
"""Bytes of samples per byte of a file, if that is more. Uncompressed, a float64 takes at least one byte."""

LONGEST_SILENCE: Final = 10
"""Longest recording with gaps, as a multiple of its samples, since missing samples take room as well."""

INFLATED_PER_BYTE: Final = 3
"""Inflated bytes of payloads per byte of samples. In list form, a float16 takes five bytes and a float64 nine."""

FEW_CSV_NUMBERS: Final = 1 << 25
"""Numbers, times included, of a CSV file that may be made of a file of any size. An hour of 12 leads at 500 Hz has 23
million."""

CSV_NUMBERS_PER_BYTE: Final = 6
"""Further numbers for each byte of the other file. A byte of deflated ECG has up to three samples, and in a file of one
lead, each has its time."""

MOST_LEADS: Final = 4096

FEW_ANNOTATIONS: Final = 100_000
"""Annotations that a file of any size may have."""

ANNOTATIONS_PER_BYTE: Final = 1 / 64
"""Further annotations for each byte of the file. A beat has some hundred samples."""


FEW_ELEMENTS: Final = 100_000
"""Elements that a DICOM file of any size may have."""

BYTES_OF_AN_ELEMENT: Final = 64
"""Bytes of the file for each further one."""


def most_bytes(nbytes: int) -> int:
    """Return the largest size in bytes of the samples in a file of ``nbytes``."""
    return max(SMALL_RECORDING, BYTES_PER_BYTE * nbytes)


def most_inflated(max_bytes: int) -> int:
    """Return how many bytes the payloads of a file may inflate to whose samples take at most ``max_bytes``."""
    return INFLATED_PER_BYTE * max_bytes


def check_csv(path: Path | str, record: Record, nbytes: int) -> None:
    """Refuse to write CSV that is out of proportion to the ``nbytes`` of the file that the recording was read from.

    Raises:
        RecordError: it would have too many numbers.
    """
    count = record.samples * (len(record.signal) + 1)
    most = FEW_CSV_NUMBERS + CSV_NUMBERS_PER_BYTE * nbytes
    if count > most:
        raise RecordError(
            f"{path}: as CSV it has {count:,} numbers, and not more than {most:,} are written for a file of this size; "
            "write .npz, or allow more with --max-bytes"
        )


def most_annotations(nbytes: int) -> int:
    """Return the largest number of annotations in a file of ``nbytes``."""
    return FEW_ANNOTATIONS + int(ANNOTATIONS_PER_BYTE * nbytes)


def check_annotations(path: Path | str, count: int, nbytes: int) -> None:
    """Refuse more annotations than a file of ``nbytes`` may hold.

    Raises:
        RecordError: there are more.
    """
    most = most_annotations(nbytes)
    if count > most:
        raise RecordError(
            f"{path}: it has more than {most:,} annotations, which a recording of this size is not believed to hold; "
            "take some of them out"
        )

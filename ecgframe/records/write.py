"""Writing a record: NPZ for programs, CSV for everyone."""

from __future__ import annotations

import io
from typing import BinaryIO

from .csv_files import write_csv
from .numpy_files import write_npz
from .record import Record, RecordError

FORMATS = (".npz", ".csv")


def write_record(record: Record, file: BinaryIO, suffix: str) -> None:
    """Write the record into an open file, as ``suffix`` says; ``read_record`` gives it back to the last bit.

    Raises:
        RecordError: the suffix is neither ".npz" nor ".csv".
    """
    if suffix == ".npz":
        write_npz(record, file)
    elif suffix == ".csv":
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        write_csv(record, text)
        text.detach()
    else:
        raise RecordError(f"records are written as {' or '.join(FORMATS)}, not as {suffix or 'a file without suffix'}")

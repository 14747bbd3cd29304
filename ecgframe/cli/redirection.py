"""Reading from standard input and writing to standard output in place of files."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ..frame_file import FrameFileError
from ..private_files import whole_file
from ..records import Record, RecordError
from .standard_streams import STDIN, STREAM


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing bytes that appears only once it is complete; standard output for ``-``."""
    if path != STREAM:
        with whole_file(path) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def input_path(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the path; for ``-``, that of a temporary private copy of standard input, whose name has the suffix.

    Raises:
        RecordError, FrameFileError: raised within the context, with "standard input" in place of the name of the copy.
    """
    if path != STREAM:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="ecgframe-") as folder:
        copy = Path(folder) / f"input{suffix}"
        with copy.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield copy
        except RecordError as error:
            raise RecordError(str(error).replace(str(copy), STDIN)) from error
        except FrameFileError as error:
            text = str(error).replace(str(copy), STDIN)
            raise FrameFileError(text, frame=error.frame, offset=error.offset, code=error.code) from error


def named(record: Record, path: Path) -> Record:
    """Return the record with "standard input" as its source if the path is ``-``."""
    return replace(record, source=STDIN) if path == STREAM else record

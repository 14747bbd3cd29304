"""Files of the writers of recordings: private, and never in place of an existing file."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from io import FileIO
from pathlib import Path

from ..private_files import create_unbuffered, errors_naming


class NewFile:
    """A private file that is written piece by piece. It has no buffer: what was written survives the process.

    Args:
        path: the path, where nothing may exist.

    Raises:
        OSError: the path exists, or the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nbytes = 0
        self._file = create_unbuffered(path)

    def append(self, octets: bytes) -> None:
        """Write at the end of the file."""
        self.write_at(self.nbytes, octets)

    def write_at(self, offset: int, octets: bytes) -> None:
        """Write at an offset, over existing bytes or beyond the end."""
        try:
            self._file.seek(offset)
            rest = memoryview(octets)
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:  # the error names no file
            with suppress(OSError):
                self._file.truncate(self.nbytes)  # a part of a data record would make the file invalid
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self.nbytes = max(self.nbytes, offset + len(octets))

    def close(self, *, sync: bool = True) -> None:
        """Close the file. With ``sync``, wait until it is on the disk."""
        if not self._file.closed:
            if sync:
                os.fsync(self._file.fileno())
            self._file.close()

    def replace(self, octets: bytes) -> None:
        """Replace the whole content atomically."""
        self._file.close()
        replace_file(self.path, octets)
        self._file = FileIO(self.path, "r+b")
        self.nbytes = len(octets)


def replace_file(path: Path, octets: bytes, *, sync: bool = False) -> None:
    """Create a file, or replace one atomically: at any time, the path holds the complete old or new content.

    Args:
        path: path of the file, which must not be open.
        octets: the new content.
        sync: whether to wait until it is on the disk.

    Raises:
        OSError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with errors_naming(path):
            file = NewFile(part)
            try:
                file.append(octets)
            finally:
                file.close(sync=sync)
            part.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise

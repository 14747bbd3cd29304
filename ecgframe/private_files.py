"""Files for patient data, readable by their owner only from the moment they are created.

On Windows, where file modes have little meaning, a file inherits the permissions of its folder.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from io import TextIOWrapper

OWNERS: Final = 0o600
ANYBODYS: Final = 0o666
"""Before the umask is applied."""


def create(path: Path, *, private: bool = True) -> BinaryIO:
    """Create a file and open it for writing bytes.

    Args:
        path: the path, where nothing may exist.
        private: whether only the owner may read and write it, regardless of the umask.

    Raises:
        OSError: the path exists, or the file cannot be created.
    """
    return os.fdopen(_descriptor(path, private), "wb")


def create_unbuffered(path: Path) -> FileIO:
    """Create a private file and open it without a buffer, as a buffer would repeat a failed write when it is closed.

    Raises:
        OSError: the path exists, or the file cannot be created.
    """
    return FileIO(_descriptor(path, private=True), "wb")


def _descriptor(path: Path, private: bool) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, OWNERS if private else ANYBODYS)
    if private and hasattr(os, "fchmod"):
        os.fchmod(descriptor, OWNERS)  # the umask may have removed permissions of the owner
    return descriptor


@contextmanager
def errors_naming(*paths: Path) -> Iterator[None]:
    """Let errors of the operating system name one of these files, rather than a temporary one in its place.

    An error names the file of the same name, or else the first.

    Raises:
        OSError: as it was raised, with the other name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        name = Path(os.fsdecode(error.filename)).name if isinstance(error.filename, str | bytes) else None
        path = next((path for path in paths if path.name == name), paths[0])
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def whole_file(path: Path, *, private: bool = True) -> Iterator[BinaryIO]:
    """Open a file that replaces the one at the path only when it is complete. After an error, the old file remains.

    If the path is a symbolic link, its target is replaced.
    """
    with _beside(path, private) as (part, target, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        part.replace(target)


def keep_access(file: BinaryIO, before: os.stat_result) -> bool:
    """Let a file that replaces another one have its owner, its group and its mode, as far as this process may.

    Args:
        file: the new file, opened.
        before: of the file that it replaces.

    Returns:
        False if it belongs to another user or group than that did. Then only its owner may read it.
    """
    if not hasattr(os, "fchown"):  # Windows
        return True
    own = os.fstat(file.fileno())
    if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        except PermissionError:
            return False
    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
    return True


@contextmanager
def growing_file(path: Path) -> Iterator[BinaryIO]:
    """Open a private file that replaces the one at the path at once, and can be read while it is written."""
    with _beside(path, private=True) as (part, target, file):
        part.replace(target)
        yield file


class PrivateRotatingFile(RotatingFileHandler):
    """A rotating log whose new files are private; existing files keep their modes."""

    def _open(self) -> TextIOWrapper:
        with suppress(FileExistsError):
            create(Path(self.baseFilename)).close()
        return super()._open()


@contextmanager
def _beside(path: Path, private: bool) -> Iterator[tuple[Path, Path, BinaryIO]]:
    """Create a temporary file in the folder of the path; remove it at the end unless it was renamed."""
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with errors_naming(path):
        file = create(part, private=private)
    try:
        with file:
            yield part, target, file
    finally:
        with suppress(FileNotFoundError):
            part.unlink()

"""Reading the arrays of NPY and NPZ files. Their headers are checked before anything is allocated or inflated.

``numpy.load`` believes a header: it allocates what that announces, and inflates whatever an archive holds. A large
array is mapped: that of an NPY file where it is, that of an archive in a temporary file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from .bounds import most_bytes
from .counted import counted
from .mapped import is_large, mapped
from .record import RecordError
from .sample_buffer import temporary_file, write

Arrays = dict[str, npt.NDArray[Any]]

SIGNAL: Final = "signal"

LONGEST_HEADER: Final = 10_000
"""Bytes of the header of an array, as ``numpy.load`` limits them. It reads longer ones before it refuses them."""

MOST_MEMBERS: Final = 1000
"""Arrays of an archive that are looked at if none is named ``signal``."""

SMALL_OTHERS: Final = 4 * 1024 * 1024
"""Bytes that the arrays beside the signal may take together in a file of any size."""

OTHERS_PER_BYTE: Final = 4
"""Further such bytes for each byte of the file."""

_PIECE: Final = 1 << 22
"""Bytes that are inflated at a time."""

_MAGIC: Final = 8
"""Bytes before the length of a header."""

_VERSIONS: Final = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
"""By the version of the format: bytes of the length of a header, and what reads it."""

_ARCHIVE: Final = b"PK\x03\x04"
_SUFFIX: Final = ".npy"


@dataclass(frozen=True, slots=True)
class _Header:
    """What an array says of itself: shape, order of its elements, dtype, and the bytes before its elements."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def may_be_signal(self) -> bool:
        return self.dtype.kind in "iuf" and len(self.shape) in (1, 2)


LEFT_OUT: Final = "left out"
"""Name under which ``load_arrays`` returns the names of the arrays that it has not read, which no array has."""

_NAMED: Final = 20
"""Arrays that are named; others are counted."""


def load_arrays(path: Path, names: Collection[str]) -> Arrays:
    """Read the array of an NPY file as ``signal``, or the arrays of an NPZ file that have one of these names.

    The names of the others are an array as well, ``LEFT_OUT``. If an NPZ file has no ``signal``, its only array of
    numbers in one or two dimensions is read as that.

    Raises:
        RecordError: the file is damaged, has no signal, or its arrays are larger than a file of its size may hold.
        OSError: the file cannot be read, or there is no room for a temporary file.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_ARCHIVE)) == _ARCHIVE:
                with zipfile.ZipFile(file) as archive:
                    return _of_archive(path, archive, names)
            file.seek(0)
            nbytes = path.stat().st_size
            header = _header(file)
            _check(path, SIGNAL, header, nbytes, most_bytes(nbytes))
            return {SIGNAL: _array(file, header, header.size)}
    except (OSError, RecordError):
        raise
    except Exception as error:  # ValueError, EOFError, BadZipFile, ... depending on the damage
        raise RecordError(f"{path}: not readable by NumPy ({type(error).__name__}: {error})") from error


def _of_archive(path: Path, archive: zipfile.ZipFile, names: Collection[str]) -> Arrays:
    members = {
        info.filename.removesuffix(_SUFFIX): info for info in archive.infolist() if info.filename.endswith(_SUFFIX)
    }
    found = {name: member for name, member in members.items() if name in names}
    if SIGNAL not in found:
        found[SIGNAL] = members[_only_signal(path, archive, members)]
    nbytes = path.stat().st_size
    left = SMALL_OTHERS + OTHERS_PER_BYTE * nbytes
    arrays: Arrays = {}
    for name, member in found.items():
        with _opened(path, archive, member) as stream:
            header = _header(stream)
            _check(path, name, header, member.file_size, most_bytes(nbytes) if name == SIGNAL else left)
            if name != SIGNAL:
                left -= header.nbytes
            arrays[name] = _member(stream, header)
    read = {member.filename for member in found.values()}
    others = [info.filename.removesuffix(_SUFFIX) for info in archive.infolist() if info.filename not in read]
    more = [f"{counted(len(others) - _NAMED, 'more array')}"] if len(others) > _NAMED else []
    if others:
        arrays[LEFT_OUT] = np.array([*others[:_NAMED], *more])
    return arrays


def _member(stream: IO[bytes], header: _Header) -> npt.NDArray[Any]:
    """Return the array that follows its header in an archive. Its checksum is verified with its last byte."""
    left = header.nbytes
    with temporary_file() if is_large(left) else io.BytesIO() as file:
        while octets := stream.read(min(left, _PIECE)):
            write(file, octets)
            left -= len(octets)
        if stream.read(1):
            raise ValueError("more bytes follow its header than the array has")
        return _array(file, header, 0)


def _only_signal(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> str:
    """Return the name of the only array that may be a signal."""
    if not members:
        raise RecordError(f"{path}: an archive (zip) without arrays of NumPy; unpack it first (unzip)")
    if len(members) > MOST_MEMBERS:
        raise RecordError(f'{path}: no array is named "signal"; it holds {len(members):,} arrays')
    signals = []
    for name, member in members.items():
        with _opened(path, archive, member) as stream:
            if _header(stream).may_be_signal:
                signals.append(name)
    if len(signals) != 1:
        raise RecordError(f'{path}: no array is named "signal"; it holds {", ".join(members)}')
    return signals[0]


def _opened(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others may take any memory
        raise RecordError(f"{path}: {member.filename} is not compressed as NumPy does; save it with numpy.savez")
    return archive.open(member)


def _header(stream: IO[bytes]) -> _Header:
    """Read a header, up to the first element. Nothing is read twice, as zipfile verifies no checksum after that.

    Raises:
        ValueError: it is invalid or too long, or the array is of a kind that no recording has.
    """
    start = stream.read(_MAGIC)
    version = np.lib.format.read_magic(io.BytesIO(start))
    if version not in _VERSIONS:  # only fields with names that are not ASCII need it
        raise ValueError("an array of fields")
    digits, parse = _VERSIONS[version]
    start = stream.read(digits)
    length = int.from_bytes(start, "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    shape, is_fortran, dtype = parse(io.BytesIO(start + stream.read(length)))
    size = _MAGIC + digits + length
    if min(shape, default=0) < 0:
        raise ValueError(f"the shape {shape}")
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which are never loaded")
    if not dtype.itemsize and prod(shape) > 1:
        raise ValueError("an array of many elements without bytes")
    return _Header(shape, is_fortran, dtype, size)


def _check(path: Path, name: str, header: _Header, held: int, most: int) -> None:
    """Refuse an array that is larger than the bytes that are there, or than may be."""
    there = max(held - header.size, 0)
    if header.nbytes > there:
        raise RecordError(
            f'{path}: the array "{name}" has {header.nbytes:,} bytes by its header, and {there:,} are there; '
            "is it cut short?"
        )
    if header.nbytes > most:
        raise RecordError(
            f'{path}: the array "{name}" takes {header.nbytes:,} bytes, and a file of this size is not believed to '
            f"hold more than {most:,}; if it is right, save it without compression (numpy.savez)"
        )


def _array(file: BinaryIO, header: _Header, begin: int) -> npt.NDArray[Any]:
    return mapped(file, header.dtype, header.shape, begin, order="F" if header.is_fortran else "C")

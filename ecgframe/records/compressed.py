"""Files that a general program has compressed. They are not unpacked here: a small one may hold any amount."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PROGRAMS: Final = {
    b"\x1f\x8b": ("gzip", "gunzip", ".gz"),
    b"BZh": ("bzip2", "bunzip2", ".bz2"),
    b"\xfd7zXZ\0": ("xz", "unxz", ".xz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "unzstd", ".zst"),
    b"\x1f\x9d": ("compress", "uncompress", ".Z"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x", ".7z"),
    b"Rar!\x1a\x07": ("RAR", "unrar x", ".rar"),
}
"""By the first bytes: what has compressed a file, the program that unpacks it, and its suffix."""

SUFFIXES: Final = tuple(suffix for _, _, suffix in _PROGRAMS.values())

_CONFIRMED_BY: Final = {b"BZh": b"1AY&SY"}
"""By first bytes that may be text: the bytes that follow one byte later if the file is compressed."""


def compression_of(start: bytes) -> str | None:
    """Describe how a file is compressed, and how to unpack it; None if it is not.

    Args:
        start: the first bytes of the file, at least ten.
    """
    for magic, (compression, program, _) in _PROGRAMS.items():
        if start.startswith(magic) and start[len(magic) + 1 :].startswith(_CONFIRMED_BY.get(magic, b"")):
            return f"it is compressed ({compression}); unpack it first ({program})"
    return None


def compressed_beside(path: Path) -> str | None:
    """Describe a compressed copy of a file that is not there, such as ``100.dat.gz`` for ``100.dat``; None without."""
    if path.exists():
        return None
    for compression, program, suffix in _PROGRAMS.values():
        packed = path.with_name(path.name + suffix)
        if packed.is_file():
            return f"{packed.name} is compressed ({compression}); unpack it first ({program})"
    return None

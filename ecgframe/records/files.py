"""The files of a recording: usually one; for WFDB, the header, signals, segments and annotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ANNOTATIONS = (".atr", ".qrs", ".ecg", ".ari", ".st")


def without_suffix(path: Path) -> Path:
    """Return the name of a WFDB record, which is 100 for both 100.hea and 100.dat."""
    return path.with_suffix("") if path.suffix in (".hea", ".dat") else path


def files_of(path: Path) -> list[Path]:
    """Return the existing files that ``read_record`` may read for the path."""
    found = dict.fromkeys([path, *_of_wfdb(Path(f"{without_suffix(path)}.hea"), set())])
    return [file for file in found if _is_file(file)]


def _of_wfdb(header: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield a header, its annotation files, and the files that it names."""
    if header in seen or not _is_file(header):
        return
    seen.add(header)
    yield header
    yield from (header.with_suffix(suffix) for suffix in ANNOTATIONS)
    for line in header.read_text("latin-1").splitlines():
        if line.strip() and not line.startswith("#"):
            name = line.split(maxsplit=1)[0]
            yield header.parent / name
            yield from _of_wfdb(header.parent / f"{name}.hea", seen)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # an invalid file name
        return False

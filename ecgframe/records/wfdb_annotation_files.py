"""Reading the annotations of a WFDB record, and finding its annotation files, as annot(5) describes them.

The wfdb library drops notes at the first sample, and never returns from a file with a definition that it does not know.
"""

from __future__ import annotations

import glob
import re
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .annotation import Annotation
from .compressed import SUFFIXES
from .counted import counted
from .files import ANNOTATIONS
from .wfdb_annotations import AUX, BEATS, CHANNEL, CODES, NO_SIGNAL, NOTE, NUMBER, SKIP, SUBTYPE

READ: Final = ".atr"
"""Suffix of the file that is read: the reference annotations."""

_SYMBOLS: Final = {code: symbol for symbol, code in CODES.items()}
_LARGEST_CODE: Final = 49
_RESOLUTION: Final = re.compile(r"## time resolution: (\d+(?:\.\d*)?)")
_DEFINITION: Final = re.compile(r"(\d+) (\S+)")
_DEFINITIONS: Final = "## annotation type definitions"

_NO_ANNOTATIONS: Final = frozenset(
    (
        ".hea",
        ".dat",
        ".edf",
        ".bdf",
        ".csv",
        ".tsv",
        ".txt",
        ".dcm",
        ".npy",
        ".npz",
        ".frames",
        ".mcap",
        ".pcap",
        ".pcapng",
    )
)
"""Suffixes of recordings and captures, which may have the name of a record."""

_ENTRIES_TRIED: Final = 1000
"""Entries that are looked at to recognize a file of annotations with an unknown suffix."""


@dataclass(slots=True)
class _Mark:
    """An annotation of a file: ``sample`` counts in its time resolution, ``signal`` from 0."""

    sample: int
    code: int
    subtype: int = 0
    number: int = 0
    signal: int = 0
    text: str = ""


@dataclass(slots=True)
class _Marks:
    """The annotations of a file.

    Attributes:
        marks: the annotations, in their order in the file.
        rate: time resolution that the file states, in Hz; None if it states none.
        symbols: meaning of the codes.
        is_cut: whether the end of the file is missing.
        names_signals: whether any annotation names its signal. Otherwise, the signal 0 of all says nothing.
    """

    marks: list[_Mark] = field(default_factory=list)
    rate: float | None = None
    symbols: dict[int, str] = field(default_factory=lambda: dict(_SYMBOLS))
    is_cut: bool = False
    names_signals: bool = False


def read_annotations(
    path: Path, rate: float, leads: Sequence[str], most: int
) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Read a file of annotations.

    Args:
        path: the file.
        rate: frame rate of the record in Hz. A time resolution in the file takes precedence.
        leads: names of all signals of the record, which the annotations number.
        most: annotations that a record of this size may have.

    Returns:
        The annotations, and what is left out: all, if the file cannot be read.
    """
    try:
        found = _parsed(path.read_bytes(), most)
    except (ValueError, OSError) as error:
        return (), (f"the annotations of {path.name}, which cannot be read ({error})",)
    left_out = []
    if found.is_cut:
        left_out.append(
            f"what follows the {counted(len(found.marks), 'annotation')} of {path.name}, which is cut short"
        )
    if unknown := sum(mark.signal >= len(leads) and mark.signal != NO_SIGNAL for mark in found.marks):
        left_out.append(
            f"the signal of {counted(unknown, 'annotation')} of {path.name}, which the record does not have"
        )
    if typed := sum(bool(mark.subtype or mark.number) for mark in found.marks):
        left_out.append(f"subtypes and numbers of {counted(typed, 'annotation')} of {path.name}")
    named = leads if found.names_signals else ()
    notes = [
        Annotation(
            mark.sample / (found.rate or rate),
            _text_of(mark, found.symbols),
            named[mark.signal] if mark.signal < len(named) else None,
        )
        for mark in found.marks
    ]
    return tuple(sorted(notes, key=lambda note: note.time)), tuple(left_out)


def _text_of(mark: _Mark, symbols: dict[int, str]) -> str:
    symbol = symbols.get(mark.code, f"[{mark.code}]")
    if not mark.text:
        return symbol
    return f"{symbol} {mark.text}" if symbol in BEATS else mark.text


def annotation_files(name: Path, of_signals: Collection[str] = ()) -> Iterator[Path]:
    """Yield the files of annotations beside a record, in the order of their names.

    Args:
        name: path of the record, without suffix.
        of_signals: names of the files with its samples.
    """
    for path in sorted(name.parent.glob(f"{glob.escape(name.name)}.*")):
        suffix = path.name[len(name.name) :]
        if path.name in of_signals or not path.is_file():
            continue
        if suffix.endswith(SUFFIXES):  # their annotations cannot be read, but are there
            suffix = suffix[: suffix.rindex(".")]
        if suffix.count(".") > 1:
            continue
        if suffix in ANNOTATIONS or (suffix.lower() not in _NO_ANNOTATIONS and _seems_annotations(path)):
            yield path


def _seems_annotations(path: Path) -> bool:
    """Return whether a file seems to have annotations: it has an end mark and no invalid code."""
    try:
        with path.open("rb") as file:
            nbytes = path.stat().st_size
            begin = file.read(_ENTRIES_TRIED * 2)
            file.seek(max(nbytes - 2, 0))
            if nbytes < 4 or nbytes % 2 or file.read() != b"\0\0" or begin.startswith(b"\0\0"):
                return False
        _parsed(begin, len(begin))
    except (ValueError, OSError):
        return False
    return True


# --- the format ---


def _parsed(raw: bytes, most: int) -> _Marks:
    """Parse the annotations of a file.

    Raises:
        ValueError: the bytes are no annotations, or there are more than ``most``.
    """
    found = _Marks()
    defining = False
    for mark in _marks(raw, found):
        if mark.code == NOTE and mark.sample == 0 and (mark.text.startswith("## ") or defining):
            defining = _define(mark.text, found)
        elif mark.code:
            if len(found.marks) == most:
                raise ValueError(f"it has more than {most:,}, which a recording of this size is not believed to hold")
            found.marks.append(mark)
    return found


def _define(text: str, found: _Marks) -> bool:
    """Take a definition. Returns whether definitions of codes follow."""
    if resolution := _RESOLUTION.match(text):
        found.rate = float(resolution[1]) or None
    elif text == _DEFINITIONS:
        return True
    elif definition := _DEFINITION.match(text):
        found.symbols[int(definition[1])] = definition[2]
        return True
    return False


def _marks(raw: bytes, found: _Marks) -> Iterator[_Mark]:
    """Yield the annotations of a file. ``found.is_cut`` is true if its end is missing."""
    if len(raw) % 2:
        raise ValueError("it has an odd number of bytes")
    words = memoryview(raw).cast("H") if struct.pack("=H", 1) == b"\1\0" else struct.unpack(f"<{len(raw) // 2}H", raw)
    place = sample = 0
    mark = _Mark(0, 0)
    while place < len(words):
        code, value = words[place] >> 10, words[place] & 0x3FF
        place += 1
        if code == SKIP:
            if place + 2 > len(words):
                break
            step = words[place] << 16 | words[place + 1]
            sample += step - (1 << 32) if step >> 31 else step
            place += 2
        elif code == AUX:
            if place * 2 + value > len(raw):
                break
            mark.text = _decoded(raw[place * 2 : place * 2 + value])
            place += (value + 1) // 2
        elif code > SKIP:
            found.names_signals |= code == CHANNEL
            _extend(mark, code, value)
        elif code > _LARGEST_CODE:
            raise ValueError(f"byte {place * 2 - 2:,} has the code {code}, which no annotation has")
        else:
            yield mark
            if code == value == 0:
                return
            sample += value
            mark = _Mark(sample, code, 0, mark.number, mark.signal)
    yield mark
    found.is_cut = True


def _extend(mark: _Mark, code: int, value: int) -> None:
    """Add what follows an annotation. The next ones have the same number and signal, unless they have their own."""
    if code == NUMBER:
        mark.number = _signed(value)
    elif code == SUBTYPE:
        mark.subtype = _signed(value)
    elif code == CHANNEL:
        mark.signal = value & 0xFF


def _signed(value: int) -> int:
    """Return the lowest byte as a signed number, as WFDB stores it."""
    return ((value & 0xFF) ^ 0x80) - 0x80


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.rstrip("\0").strip()

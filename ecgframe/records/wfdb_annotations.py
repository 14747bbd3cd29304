"""Writing the annotations of a WFDB record, ``.atr``, as annot(5) of the WFDB applications guide describes it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .annotation import Annotation
from .new_files import NewFile

CODES: Final = {
    **dict(zip("NLRaVFJASEj/Q~", range(1, 15), strict=True)),
    **{"|": 16, "s": 18, "T": 19, "*": 20, "D": 21, '"': 22, "=": 23, "p": 24, "B": 25, "^": 26, "t": 27, "+": 28},
    **{"u": 29, "?": 30, "!": 31, "[": 32, "]": 33, "e": 34, "n": 35, "@": 36, "x": 37, "f": 38, "(": 39, ")": 40},
    "r": 41,
}
"""Annotation codes by text. Any other text is written as a rhythm if it begins with a bracket, else as a note."""

BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Codes of beats, which say what the beat is, whatever text they have."""

NOTE: Final = CODES['"']
_RHYTHM: Final = CODES["+"]
_NOTE_AT_0: Final = CODES["="]
"""Code of notes at the first sample: the wfdb library reads NOTE there as a declaration of codes or resolutions."""

SKIP: Final = 59
NUMBER: Final = 60
SUBTYPE: Final = 61
CHANNEL: Final = 62
AUX: Final = 63
"""Codes of what precedes or follows an annotation: a long step, and its number, subtype, signal and text."""

_LARGEST_STEP: Final = 1023
_LONGEST_TEXT: Final = 255
_END: Final = b"\0\0"


class AnnotationFile:
    """Writes annotations. The file is valid after each call.

    Args:
        path: the path, where nothing may exist. The first annotation creates the file.
        rate: sampling rate in Hz.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self._rate = rate
        self._written: list[tuple[int, bytes]] = []
        self._late: list[tuple[int, bytes]] = []
        self._file: NewFile | None = None
        self._lasting = self._of_lead = self._cut = self._early = 0

    @property
    def is_there(self) -> bool:
        """True if the file has been created."""
        return self._file is not None

    def add(self, annotations: Iterable[Annotation]) -> None:
        """Append annotations. Those that are earlier than the last one in the file wait for the next ``flush``."""
        last = self._written[-1][0] if self._written else 0
        added = sorted((self._entry(note) for note in annotations), key=_sample)
        self._late += [entry for entry in added if entry[0] < last]
        in_order = [entry for entry in added if entry[0] >= last]
        if in_order:
            if self._file is None:
                self._file = NewFile(self.path)
            self._written += in_order
            self._file.write_at(max(self._file.nbytes - len(_END), 0), _steps(in_order, last) + _END)

    def flush(self) -> None:
        """Rewrite the file if there are annotations that belong before others."""
        if self._late and self._file is not None:
            self._written = sorted(self._written + self._late, key=_sample)
            self._late = []
            self._file.replace(_steps(self._written, 0) + _END)

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each kind of information that the format cannot store."""
        told = (
            (self._lasting, "written without duration, which WFDB cannot store"),
            (self._of_lead, "written without lead, which WFDB cannot store"),
            (self._cut, f"cut to {_LONGEST_TEXT} bytes, the longest text of WFDB"),
            (self._early, "before the first sample, and written at it"),
        )
        return tuple(
            f"{count:,} {'annotation is' if count == 1 else 'annotations are'} {what}" for count, what in told if count
        )

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after an error."""
        if self._file is not None:
            self._file.close(sync=False)

    def _entry(self, note: Annotation) -> tuple[int, bytes]:
        """Return the sample of an annotation, and its bytes without the distance from the annotation before."""
        self._lasting += note.duration is not None
        self._of_lead += note.lead is not None
        self._early += note.time < 0
        sample = max(round(note.time * self._rate), 0)
        code = CODES.get(note.text)
        if code is not None:
            return sample, struct.pack("<H", code << 10)
        text = note.text.encode()
        if len(text) > _LONGEST_TEXT:
            self._cut += 1
            text = text[:_LONGEST_TEXT].decode(errors="ignore").encode()
        code = _RHYTHM if note.text.startswith("(") else NOTE if sample else _NOTE_AT_0
        padding = b"\0" * (len(text) % 2)
        return sample, struct.pack("<HH", code << 10, AUX << 10 | len(text)) + text + padding


def _sample(entry: tuple[int, bytes]) -> int:
    return entry[0]


def _steps(entries: Iterable[tuple[int, bytes]], last: int) -> bytes:
    """Encode annotations, each with the step from the one before it."""
    parts: list[bytes] = []
    for sample, entry in entries:
        step, last = sample - last, sample
        while step > _LARGEST_STEP:
            skipped = min(step, (1 << 31) - 1)
            parts.append(struct.pack("<HHH", SKIP << 10, skipped >> 16, skipped & 0xFFFF))
            step -= skipped
        [head] = struct.unpack_from("<H", entry)
        parts.append(struct.pack("<H", head | step) + entry[2:])
    return b"".join(parts)

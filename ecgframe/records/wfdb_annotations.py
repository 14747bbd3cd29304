"""Writing the annotations of a WFDB record, ``.atr``, as annot(5) of the WFDB applications guide describes it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

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

NO_SIGNAL: Final = 255
"""Signal of annotations without a lead, in files that name leads."""

_LARGEST_STEP: Final = 1023
_LONGEST_TEXT: Final = 255
_END: Final = b"\0\0"


class AnnotationFile:
    """Writes annotations. The file is valid after each call.

    Args:
        path: the path, where nothing may exist. The first annotation creates the file.
        rate: sampling rate in Hz.
        leads: names of the signals of the record.
    """

    def __init__(self, path: Path, rate: float, leads: Sequence[str] = ()) -> None:
        self.path = path
        self._rate = rate
        self._signals = {lead: number for number, lead in reversed(list(enumerate(leads[:NO_SIGNAL])))}
        self._names_leads = False
        self._written: list[_Entry] = []
        self._late: list[_Entry] = []
        self._is_to_be_rewritten = False
        self._file: NewFile | None = None
        self._lasting = self._of_other = self._cut = self._early = 0

    @property
    def is_there(self) -> bool:
        """True if the file has been created."""
        return self._file is not None

    def add(self, annotations: Iterable[Annotation]) -> None:
        """Append annotations. Those that are earlier than the last one in the file wait for the next ``flush``."""
        last = self._written[-1].sample if self._written else 0
        added = sorted((self._entry(note) for note in annotations), key=_sample)
        if not self._names_leads and any(entry.signal != NO_SIGNAL for entry in added):
            self._names_leads = True
            self._is_to_be_rewritten = bool(self._written)  # without signals so far
        self._late += [entry for entry in added if entry.sample < last]
        in_order = [entry for entry in added if entry.sample >= last]
        if in_order:
            if self._file is None:
                self._file = NewFile(self.path)
            self._written += in_order
            self._file.write_at(max(self._file.nbytes - len(_END), 0), self._steps(in_order, last) + _END)

    def flush(self) -> None:
        """Rewrite the file if there are annotations that belong before others."""
        if (self._late or self._is_to_be_rewritten) and self._file is not None:
            self._written = sorted(self._written + self._late, key=_sample)
            self._late = []
            self._is_to_be_rewritten = False
            self._file.replace(self._steps(self._written, 0) + _END)

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each kind of information that the format cannot store."""
        found = (
            (self._lasting, "written without duration, which WFDB cannot store"),
            (self._of_other, f"written without lead, which is none of the first {NO_SIGNAL} of the record"),
            (self._cut, f"cut to {_LONGEST_TEXT} bytes, the longest text of WFDB"),
            (self._early, "before the first sample, and written at it"),
        )
        return tuple(
            f"{count:,} {'annotation is' if count == 1 else 'annotations are'} {what}" for count, what in found if count
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

    def _entry(self, note: Annotation) -> _Entry:
        self._lasting += note.duration is not None
        self._of_other += note.lead is not None and note.lead not in self._signals
        self._early += note.time < 0
        sample = max(round(note.time * self._rate), 0)
        signal = NO_SIGNAL if note.lead is None else self._signals.get(note.lead, NO_SIGNAL)
        code = CODES.get(note.text)
        if code is not None:
            return _Entry(sample, signal, code, b"")
        text = note.text.encode()
        if len(text) > _LONGEST_TEXT:
            self._cut += 1
            text = text[:_LONGEST_TEXT].decode(errors="ignore").encode()
        code = _RHYTHM if note.text.startswith("(") else NOTE if sample else _NOTE_AT_0
        return _Entry(sample, signal, code, struct.pack("<H", AUX << 10 | len(text)) + text + b"\0" * (len(text) % 2))

    def _steps(self, entries: Iterable[_Entry], last: int) -> bytes:
        """Encode annotations, each with the step from the one before it."""
        parts: list[bytes] = []
        for sample, signal, code, text in entries:
            step, last = sample - last, sample
            while step > _LARGEST_STEP:
                skipped = min(step, (1 << 31) - 1)
                parts.append(struct.pack("<HHH", SKIP << 10, skipped >> 16, skipped & 0xFFFF))
                step -= skipped
            parts.append(struct.pack("<H", code << 10 | step))
            if self._names_leads:
                parts.append(struct.pack("<H", CHANNEL << 10 | signal))
            parts.append(text)
        return b"".join(parts)


class _Entry(NamedTuple):
    """An annotation as it is written: sample, signal, code, and the text with its length."""

    sample: int
    signal: int
    code: int
    text: bytes


def _sample(entry: _Entry) -> int:
    return entry.sample

"""Annotations of EDF+ and BDF+ files, and the start of each data record.

They are parsed here rather than by edfio, since annotations that are not UTF-8, although the format requires it, must
not prevent reading the samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from operator import attrgetter
from typing import Final

from .annotation import Annotation

_LIST: Final = re.compile(
    rb"([+-]\d{1,99}+(?:\.\d{0,99}+)?)(?:\x15(\d{1,99}+(?:\.\d{0,99}+)?))?\x14(.*)\x14", re.DOTALL
)
"""A time-stamped annotation list, up to the NUL that ends it: onset, optional duration, texts.

The quantifiers of digits are possessive and bounded: no time of a recording has as many.
"""


def read_annotations(
    records: Iterable[Sequence[bytes]], leads: Sequence[str], most: int
) -> tuple[list[Fraction | None], tuple[Annotation, ...]]:
    """Parse the annotation signals of a file.

    Args:
        records: the bytes of each annotation signal in each data record.
        leads: names of the signals of the file; a text may refer to one after ``@@``.
        most: annotations after which reading stops. One more shows that there are more.

    Returns:
        The start of each data record, in seconds from the start of the file, None if unknown; and the annotations, with
        times from the first sample.
    """
    onsets: list[Fraction | None] = []
    found: list[tuple[Fraction, Fraction | None, str]] = []
    for signals in records:
        onset: Fraction | None = None
        for number, raw in enumerate(signals):
            for place, match in enumerate(_lists(raw)):
                at = _seconds(match[1])
                texts = [_text(text) for text in match[3].split(b"\x14", most + 1)]
                if number == place == 0 and not texts[0]:  # the list that gives the start of a record
                    onset = at
                lasting = _seconds(match[2]) if match[2] else None
                found.extend((at, lasting, text) for text in texts if text)
                if len(found) > most:
                    return onsets, _annotations(found[: most + 1], onsets, leads)
        onsets.append(onset)
    return onsets, _annotations(found, onsets, leads)


def _annotations(
    found: Sequence[tuple[Fraction, Fraction | None, str]], onsets: Sequence[Fraction | None], leads: Sequence[str]
) -> tuple[Annotation, ...]:
    first = (onsets[0] if onsets else None) or Fraction(0)
    return tuple(sorted((_annotation(*one, first, leads) for one in found), key=attrgetter("time")))


def _lists(raw: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the lists of an annotation signal. Split at the NULs first: no list is sought beyond the next one."""
    for text in raw.split(b"\0")[:-1]:
        if text.endswith(b"\x14") and (match := _LIST.search(text)):
            yield match


def _seconds(digits: bytes) -> Fraction:
    return Fraction(digits.decode() if b"." in digits else int(digits))  # from an int, it takes a third of the time


def _annotation(at: Fraction, lasting: Fraction | None, text: str, first: Fraction, leads: Sequence[str]) -> Annotation:
    said, _, lead = text.rpartition("@@")
    of_lead = lead if said and lead in leads else None
    return Annotation(
        float(at - first), said if of_lead else text, of_lead, None if lasting is None else float(lasting)
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")

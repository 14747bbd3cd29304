"""Hexadecimal text with annotations and comments, to bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

_PAIRS: Final = re.compile(rb"(?:[0-9A-Fa-f]{2}[ :,]?)++")
"""Possessive, since a line may have millions of pairs: no backtracking over them."""

_SILENT: Final = re.compile(rb"(?:[ \t\x0b\x0c\x1c-\x1f\x85\xa0]*+(?:#[^\n]*+)?\n)++")
"""Consecutive lines without digits."""

_PLAIN: Final = re.compile(rb"(?:[ \t]*+[0-9A-Fa-f]{2}(?:[ :,]?[0-9A-Fa-f]{2})*+[ :,]?\n)++")
"""Consecutive lines of digits only."""

_SEPARATORS: Final = b" :,"
_BETWEEN: Final = b" :,\t\n"
_BLANKS: Final = b" \t\x0b\x0c\xa0\x85\x1c\x1d\x1e\x1f"


def read_hex(portions: Iterable[bytes]) -> bytes | None:
    """Parse hexadecimal text, as in docs/protocol.md; None if it is not hexadecimal, or empty.

    A line has pairs of digits, each optionally followed by a blank, a colon or a comma. From two blanks on, or from the
    first word after a blank that is not a pair of digits, the line is an annotation. Empty lines and lines that begin
    with ``#`` are skipped.

    Args:
        portions: the text, in pieces of any size.
    """
    octets = bytearray()
    for text in _whole_lines(portions):
        for pairs in _pieces(text):
            if pairs is None:
                return None
            octets += bytes.fromhex(pairs.decode("ascii"))
    return bytes(octets) or None


def _whole_lines(portions: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text in pieces that end at the end of a line, without ``0x``."""
    begun: list[bytes] = []  # the beginning of a line that continues in the next portion, joined only once
    for portion in portions:
        text = portion.replace(b"\r", b"\n")
        stop = text.rfind(b"\n") + 1
        if stop:
            yield b"".join([*begun, text[:stop]]).replace(b"0x", b"")
            begun.clear()
        begun.append(text[stop:])
    yield b"".join([*begun, b"\n"]).replace(b"0x", b"")


def _pieces(text: bytes) -> Iterator[bytes | None]:
    """Yield the digits of whole lines without separators; None for a line that is not hexadecimal."""
    place = 0
    while place < len(text):
        if (silent := _SILENT.match(text, place)) is not None:
            place = silent.end()
        elif (plain := _PLAIN.match(text, place)) is not None:
            place = plain.end()
            yield plain[0].translate(None, _BETWEEN)
        else:
            stop = text.index(b"\n", place)
            yield _pairs_of(text[place:stop].strip(_BLANKS))
            place = stop + 1


def _pairs_of(line: bytes) -> bytes | None:
    """Return the digits at the beginning of a line without separators; None if it begins with anything else."""
    found = _PAIRS.match(line)
    if found is None:
        return None
    stop = found.end()
    if stop < len(line) and line[stop - 1] not in _BLANKS and line[stop] not in _BLANKS:
        # The match includes the first letters of a word. The word begins after the last blank.
        stop = line.rfind(b" ", 0, stop)
        if stop < 0:
            return None
    return line[:stop].translate(None, _SEPARATORS)

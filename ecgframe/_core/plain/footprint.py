"""Computes how much memory the values of a payload will take, before it is unpacked.

The plain twin of ``footprint.pyx``, which explains why. The sizes are those of CPython's objects on 64-bit systems,
rounded up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...protocol import DTYPE_KEY, MAX_DEPTH, NDARRAY_KEY, SHAPE_KEY

if TYPE_CHECKING:
    from ._header import FlatBuffer

__all__ = ["footprint"]

_REFERENCE: Final = 8
_LARGE_INTEGER: Final = 32
_FLOAT: Final = 24
_OBJECT: Final = 48
_LIST: Final = 72
_DICT: Final = 80
_TABLE: Final = 64
_ENTRY: Final = 56
_SAMPLE: Final = 8

_MARKERS: Final = {NDARRAY_KEY.encode(): 1, DTYPE_KEY.encode(): 2, SHAPE_KEY.encode(): 4}


class _Level:
    """An array or a map of which some values are still to come."""

    __slots__ = ("before", "entries", "is_map", "is_samples", "left", "markers", "saved", "values_before")

    def __init__(self, children: int, is_map: bool) -> None:
        self.left = children
        self.is_map = is_map
        self.entries = children // 2
        self.markers = 0
        self.is_samples = False
        self.saved = self.before = self.values_before = 0


def footprint(flat: FlatBuffer, start: int, stop: int) -> int:  # noqa: PLR0911, PLR0912, PLR0915 - one branch for each kind
    """Return an upper bound of the bytes of memory that the unpacked values of a payload take.

    A malformed payload is measured up to the first error; unpacking rejects it.
    """
    octets = flat.view(start, stop)
    at, end = 0, stop - start
    levels: list[_Level] = []
    total = values = 0
    while at < end:
        tag = octets[at]
        at += 1
        values += 1
        total += _REFERENCE
        n = children = 0
        is_map = is_text = False
        if tag < 0x80 or tag >= 0xE0:
            pass
        elif tag < 0x90:
            is_map, children = True, tag & 0x0F
        elif tag < 0xA0:
            children = tag & 0x0F
            total += _LIST
        elif tag < 0xC0:
            is_text, n = True, tag & 0x1F
        elif tag < 0xC4:
            pass
        elif tag <= 0xC6 or 0xD9 <= tag <= 0xDB:
            is_text = tag >= 0xD9
            room = 1 << (tag - (0xD9 if is_text else 0xC4))
            if end - at < room:
                return total
            n = int.from_bytes(octets[at : at + room], "big")
            at += room
            if not is_text and n > 1:
                total += _OBJECT + n
        elif tag in {0xCA, 0xCB}:
            total += _FLOAT
            at += 4 if tag == 0xCA else 8
        elif 0xCB < tag <= 0xD3:
            at += 1 << (tag - 0xCC & 3)
            if 0xCD <= tag <= 0xCF or tag >= 0xD0:
                total += _LARGE_INTEGER
        elif tag >= 0xDC:
            is_map = tag >= 0xDE
            room = 2 if tag in {0xDC, 0xDE} else 4
            if end - at < room:
                return total
            children = int.from_bytes(octets[at : at + room], "big")
            at += room
            if not is_map:
                total += _LIST
        else:
            return total
        if n > end - at or children > end - at:
            return total
        text = bytes(octets[at : at + n]) if is_text else b""
        if n > 1 and is_text:
            total += _OBJECT + n * _character_size(text)
        at += n
        if is_map:
            total += _DICT + (_TABLE + _ENTRY * children if children else 0)
            children *= 2
        if children:
            if len(levels) == MAX_DEPTH:
                return total
            levels.append(_Level(children, is_map))
            continue
        is_key = is_text
        while levels:
            level = levels[-1]
            level.left -= 1
            if level.is_map and level.entries == 3:
                if level.left & 1:
                    marker = _MARKERS.get(text, 0) if is_key else 0
                    level.markers |= marker
                    if marker == 1:
                        level.is_samples = True
                        level.before, level.values_before = total, values
                elif level.is_samples:
                    level.is_samples = False
                    level.saved = total - level.before - _SAMPLE * (values - level.values_before)
            if level.left:
                break
            if level.markers == 7 and level.saved > 0:
                total -= level.saved
            levels.pop()
            is_key = False
        if not levels:
            return total
    return total


def _character_size(text: bytes) -> int:
    """Return the bytes of memory per character of a text, assuming as many characters as bytes."""
    if text.isascii():
        return 1
    largest = max(text)
    return 4 if largest >= 0xF0 else 2 if largest >= 0xC4 else 1

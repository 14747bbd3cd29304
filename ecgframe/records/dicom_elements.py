"""Counting the elements of a DICOM file before pydicom makes objects of them, some hundred bytes each."""

from __future__ import annotations

import mmap
import struct
from typing import Final

READ: Final = frozenset(
    {
        0x54000100,  # Waveform Sequence
        0x0040B020,  # Waveform Annotation Sequence
        0x003A0200,  # Channel Definition Sequence
        0x003A0208,  # Channel Source Sequence
        0x003A0211,  # Channel Sensitivity Units Sequence
        0x0040A043,  # Concept Name Code Sequence
        0x0040A168,  # Concept Code Sequence
        0x004008EA,  # Measurement Units Code Sequence
        0x0040A195,  # Modifier Code Sequence
    }
)
"""Tags of the sequences whose items are read. pydicom leaves others of a known length as bytes."""

WEIGHT_OF_AN_ITEM: Final = 5
"""Elements that cost as much as an item of a sequence."""

_UNDEFINED: Final = 0xFFFFFFFF
_LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Types whose length has four bytes."""

_PIXEL_DATA: Final = 0x7FE00010
_ITEM: Final = 0xFFFEE000
_END_OF_SEQUENCE: Final = 0xFFFEE0DD
_DELIMITERS: Final = 0xFFFE


def count_elements(octets: bytes | bytearray | mmap.mmap, begin: int, *, is_little_endian: bool, most: int) -> int:
    """Count the elements that pydicom will make objects of.

    Args:
        octets: the file, inflated.
        begin: position of the first element after the file's meta information.
        is_little_endian: byte order of the elements.
        most: number after which counting stops.

    Returns:
        The number of elements, in which an item counts as several; some more than ``most`` if there are more.
    """
    order = "<" if is_little_endian else ">"
    head, long_length = struct.Struct(f"{order}HH2sH"), struct.Struct(f"{order}L")
    is_explicit = _is_type(bytes(octets[begin + 4 : begin + 6]))
    place, size, count, is_in_fragments = begin, len(octets), 0, False
    while place + 8 <= size and count <= most:
        group, number, kind, length = head.unpack_from(octets, place)
        tag = group << 16 | number
        place += 8
        if group == _DELIMITERS or not is_explicit or not _is_type(kind):
            [length] = long_length.unpack_from(octets, place - 4)
        elif kind in _LONG and place + 4 <= size:
            [length] = long_length.unpack_from(octets, place)
            place += 4
        if group == _DELIMITERS:
            count += WEIGHT_OF_AN_ITEM if tag == _ITEM else 0
            is_in_fragments &= tag != _END_OF_SEQUENCE
            place += length if is_in_fragments else 0
            continue
        count += 1
        if length == _UNDEFINED:
            is_in_fragments = tag == _PIXEL_DATA
        elif tag not in READ:
            place += length
    return count


def _is_type(kind: bytes) -> bool:
    return b"AA" <= kind <= b"ZZ" and kind.isalpha() and kind.isupper()

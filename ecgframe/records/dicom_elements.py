"""Counting the elements of a DICOM file before pydicom makes objects of them, some hundred bytes each."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

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

UNDEFINED: Final = 0xFFFFFFFF
LONG: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Types whose length has four bytes."""

PIXEL_DATA: Final = 0x7FE00010
ITEM: Final = 0xFFFEE000
END_OF_ITEM: Final = 0xFFFEE00D
END_OF_SEQUENCE: Final = 0xFFFEE0DD
DELIMITERS: Final = 0xFFFE


def count_elements(octets: npt.NDArray[np.uint8], begin: int, *, is_little_endian: bool, most: int) -> int:
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
    is_explicit = is_type(octets[begin + 4 : begin + 6].tobytes())
    place, size, count, is_in_fragments = begin, len(octets), 0, False
    while place + 8 <= size and count <= most:
        group, number, kind, length = head.unpack_from(octets, place)
        tag = group << 16 | number
        place += 8
        if group == DELIMITERS or not is_explicit or not is_type(kind):
            [length] = long_length.unpack_from(octets, place - 4)
        elif kind in LONG and place + 4 <= size:
            [length] = long_length.unpack_from(octets, place)
            place += 4
        if group == DELIMITERS:
            count += WEIGHT_OF_AN_ITEM if tag == ITEM else 0
            is_in_fragments &= tag != END_OF_SEQUENCE
            place += length if is_in_fragments else 0
            continue
        count += 1
        if length == UNDEFINED:
            is_in_fragments = tag == PIXEL_DATA
        elif tag not in READ:
            place += length
    return count


def is_type(kind: bytes) -> bool:
    """Return True if these two bytes may be the type (VR) of an element."""
    return b"AA" <= kind <= b"ZZ" and kind.isalpha() and kind.isupper()

"""Cuts a frame into fragments, once for all peers. Section "Fragments" of the specification.

Only the first 40 bytes of each fragment are kept, with its checksum: the frame itself has the rest. So a message of
10 MiB that a thousand viewers watch takes 25 KB more.
"""

from __future__ import annotations

import struct
from typing import Final

from .._core import crc32
from ..protocol import FRAGMENT_HEADER, HEADER_SIZES, Flag

_FRAGMENT: Final = int(Flag.FRAGMENT)
_SIZE: Final = HEADER_SIZES[4]
_FIELDS: Final = struct.Struct(">II")
_SUMMED: Final = struct.Struct(">BII")  # flags, length, checksum
_TYPE_END: Final = 2  # offset of the flags: version and type stand before
_TIMESTAMP_AT: Final = 11


class Fragments:
    """The fragments of one frame, cut when they are first sent.

    Args:
        frame: a frame of version 4. Its payload is cut as it is: compressed, sealed or plain.
        size: bytes of a piece.

    Attributes:
        count: number of fragments.
        size: as passed.
    """

    __slots__ = ("_frame", "_heads", "count", "size")

    def __init__(self, frame: bytes, size: int) -> None:
        self.size = size
        self.count = -(-(len(frame) - _SIZE) // size)
        self._frame = frame
        self._heads: list[bytes | None] = [None] * self.count

    def __getitem__(self, index: int) -> bytes:
        """Return a fragment as a frame."""
        start = _SIZE + index * self.size
        piece = memoryview(self._frame)[start : start + self.size]
        head = self._heads[index]
        if head is None:
            head = self._heads[index] = self._head(start - _SIZE, piece)
        return b"".join((head, piece))

    def _head(self, offset: int, piece: memoryview) -> bytes:
        """Return the header of a fragment, and its fields."""
        frame = self._frame
        fields = _FIELDS.pack(len(frame) - _SIZE, offset)
        checksum = crc32(b"".join((fields, piece)))
        summed = _SUMMED.pack(frame[_TYPE_END] | _FRAGMENT, FRAGMENT_HEADER + len(piece), checksum)
        return b"".join((frame[:_TYPE_END], summed, frame[_TIMESTAMP_AT:_SIZE], fields))

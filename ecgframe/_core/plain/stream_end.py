"""Helps to find the end of a zlib stream, which libdeflate does not report.

The plain twin of ``stream_end.pyx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._header import flatten

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ends_once_with"]


def ends_once_with(buffer: Buffer, number: int) -> bool:
    """Return True if a buffer ends with these four bytes, big-endian, and has them nowhere else, overlaps included."""
    flat = flatten(buffer)
    return bytes(flat.view(0, flat.nbytes)).find(number.to_bytes(4, "big")) == flat.nbytes - 4 >= 0

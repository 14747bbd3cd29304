"""Helps to find the end of a zlib stream, which libdeflate does not report.

The plain twin of ``stream_end.pyx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._header import flatten

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["repeats_last_four"]


def repeats_last_four(buffer: Buffer) -> bool:
    """Return True if the last four bytes of a buffer also occur earlier in it, including overlaps."""
    flat = flatten(buffer)
    octets = bytes(flat.view(0, flat.nbytes))
    return octets.find(octets[-4:]) < flat.nbytes - 4

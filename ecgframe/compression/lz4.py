"""LZ4: the size of the payload in four bytes, then one block. Specification: ``docs/protocol.md``, "LZ4"."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from .._core import lz4_compress, lz4_decompress
from ..errors import DecompressionFailed, MessageTooLarge
from ..protocol import Check

HIGHEST_RATIO: Final = 255
"""The highest ratio at which a block compresses."""

SIZE_FIELD: Final = 4
"""Bytes before the block: the size of the payload, big-endian."""


class Lz4Fault(IntEnum):
    """Why a block cannot be decompressed, as both cores number it."""

    CUT_SHORT = 1
    TOO_LONG = 2
    BAD_OFFSET = 3
    TOO_SHORT = 4


_WORDS: Final = {
    Lz4Fault.CUT_SHORT: "its last sequence is cut short",
    Lz4Fault.TOO_LONG: "it holds more than the {size} bytes that it names",
    Lz4Fault.BAD_OFFSET: "a match begins before the content",
    Lz4Fault.TOO_SHORT: "it holds fewer than the {size} bytes that it names",
}


def compress(payload: memoryview) -> bytes | None:
    """Compress a payload of less than 4 GiB; None if that does not make it smaller."""
    block = lz4_compress(payload, payload.nbytes - SIZE_FIELD - 1)
    return None if block is None else payload.nbytes.to_bytes(SIZE_FIELD, "big") + block


def decompress(payload: memoryview, limit: int) -> bytes:
    """Decompress a payload of at most ``limit`` bytes.

    The size is compared with the limit and with the bytes that arrived before memory is allocated.

    Raises:
        DecompressionFailed: (check 9) the block is damaged, or does not hold exactly as much as it names.
        MessageTooLarge: (check 10) it names more than ``limit``.
    """
    nbytes = payload.nbytes - SIZE_FIELD
    if nbytes < 1:
        raise _failed(f"{payload.nbytes} bytes are too few for an LZ4 block and its size")
    size = int.from_bytes(payload[:SIZE_FIELD], "big")
    if size > limit:
        raise MessageTooLarge(
            f"the payload of {payload.nbytes} bytes inflates to {size} bytes; the limit is {limit}",
            check=Check.INFLATED_LIMIT,
        )
    if not 0 < size <= HIGHEST_RATIO * nbytes:
        raise _failed(f"an LZ4 block of {nbytes} bytes cannot hold the {size} bytes that it names")
    plain = lz4_decompress(payload[SIZE_FIELD:], size)
    if isinstance(plain, int):
        raise _failed(f"the LZ4 block of {nbytes} bytes is damaged: {_WORDS[Lz4Fault(plain)].format(size=size)}")
    return plain


def _failed(words: str) -> DecompressionFailed:
    return DecompressionFailed(words, check=Check.COMPRESSION)

"""Compresses to LZ4 blocks, and decompresses them. The plain twin of ``lz4.pyx``; ``lz4.h`` describes the format.

Slow: it looks at single bytes. It is there so that an installation without a compiled core reads what others send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._header import flatten

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["lz4_compress", "lz4_decompress"]

_HASH_BITS: Final = 12
_LEAST_MATCH: Final = 4
_LAST_LITERALS: Final = 5
_LAST_MATCH: Final = 12
_FARTHEST: Final = 65535
_PATIENCE: Final = 6
_CUT_SHORT, _TOO_LONG, _BAD_OFFSET, _TOO_SHORT = 1, 2, 3, 4


def lz4_compress(buffer: Buffer, room: int) -> bytes | None:
    """Compress a buffer of less than 4 GiB to a block of at most ``room`` bytes. Returns None if it needs more."""
    flat = flatten(buffer)
    src = bytes(flat.view(0, flat.nbytes))
    n, out = len(src), bytearray()
    anchor, place, tried = 0, 1, 1 << _PATIENCE
    table = [0] * (1 << _HASH_BITS) if n > _LAST_MATCH else []
    last, end = n - _LAST_MATCH, n - _LAST_LITERALS
    while n > _LAST_MATCH and place <= last:
        four = src[place : place + _LEAST_MATCH]
        slot = _hash(four)
        start = table[slot]
        table[slot] = place
        if place - start > _FARTHEST or src[start : start + _LEAST_MATCH] != four:
            place += tried >> _PATIENCE
            tried += 1
            continue
        length = _LEAST_MATCH
        while place + length < end and src[place + length] == src[start + length]:
            length += 1
        while place > anchor and start > 0 and src[place - 1] == src[start - 1]:
            place, start, length = place - 1, start - 1, length + 1
        literals = src[anchor:place]
        sequence = _sequence(literals, length - _LEAST_MATCH, place - start)
        if len(sequence) > room - len(out):
            return None
        out += sequence
        anchor = place = place + length
        table[_hash(src[place - 2 : place + 2])] = place - 2
        tried = 1 << _PATIENCE
    sequence = _sequence(src[anchor:], 0, None)
    if len(sequence) > room - len(out):
        return None
    return bytes(out + sequence)


def _hash(four: bytes) -> int:
    return (int.from_bytes(four, "little") * 2654435761 & 0xFFFFFFFF) >> (32 - _HASH_BITS)


def _sequence(literals: bytes, length: int, offset: int | None) -> bytes:
    token = min(len(literals), 15) << 4 | min(length, 15)
    begin = bytes([token]) + _continued(len(literals)) + literals
    return begin if offset is None else begin + offset.to_bytes(2, "little") + _continued(length)


def _continued(number: int) -> bytes:
    """The bytes that continue a number of a token."""
    if number < 15:
        return b""
    full, rest = divmod(number - 15, 255)
    return b"\xff" * full + bytes([rest])


def lz4_decompress(buffer: Buffer, size: int) -> bytes | int:  # noqa: PLR0911 - a return for each fault
    """Decompress a block to exactly ``size`` bytes. Returns the number of an ``Lz4Fault`` if that is not possible."""
    flat = flatten(buffer)
    if size < 0:
        raise ValueError(f"a size is a number of bytes, not {size}")
    src, out = bytes(flat.view(0, flat.nbytes)), bytearray()
    at, end = 0, len(src)
    while at < end:
        token = src[at]
        literals, at = _number(src, token >> 4, at + 1)
        if literals > end - at:
            return _CUT_SHORT
        if literals > size - len(out):
            return _TOO_LONG
        out += src[at : at + literals]
        at += literals
        if at == end:
            return bytes(out) if len(out) == size else _TOO_SHORT
        if end - at < 2:
            return _CUT_SHORT
        offset = src[at] | src[at + 1] << 8
        if offset == 0 or offset > len(out):
            return _BAD_OFFSET
        length, at = _number(src, token & 15, at + 2)
        if at > end:
            return _CUT_SHORT
        length += _LEAST_MATCH
        if length > size - len(out):
            return _TOO_LONG
        _copy_match(out, offset, length)
    return _CUT_SHORT


def _number(src: bytes, number: int, at: int) -> tuple[int, int]:
    """Read the bytes that continue a number of a token; the position is after the end if the block ends within them."""
    if number < 15:
        return number, at
    while at < len(src):
        number += src[at]
        at += 1
        if src[at - 1] < 255:
            return number, at
    return number, len(src) + 1


def _copy_match(out: bytearray, offset: int, length: int) -> None:
    match = bytes(out[len(out) - offset : len(out) - offset + length])
    out += (match * (length // len(match) + 1))[:length]

"""Deflating payloads, and inflating them within a bound. Section "Compression" of the specification.

libdeflate makes level 6 of zlib's size in a third of zlib's time, and inflates what expands as signals do in a third of
it as well. zlib-ng takes half of zlib's time, but it reads as a stream, so that it stops at a limit and tells what is
wrong: what libdeflate does not take at once is judged by it. Where one is not installed, the next best takes its place:
the format is the same, and what is refused, and how. ``DEFLATED_BY`` and ``INFLATED_BY`` say which runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._core import flatten
from .errors import DecompressionFailed, MessageTooLarge
from .protocol import COMPRESSION_LEVEL, COMPRESSION_THRESHOLD, Check

if TYPE_CHECKING:
    import zlib as _inflater

    _stream_library: str
else:
    try:
        from zlib_ng import zlib_ng as _inflater

        _stream_library = "zlib-ng"
    except ImportError:
        import zlib as _inflater

        _stream_library = "zlib"

_Deflate = Callable[[memoryview, int], bytes | bytearray]
_Inflate = Callable[[memoryview, int], bytearray]

# The sample level is the fastest that finds what little float64 noise has to give; zlib-ng's level 1 does not.
try:
    from deflate import DeflateError, zlib_compress, zlib_decompress
except ImportError:
    _deflate: _Deflate = _inflater.compress
    _inflate: _Inflate | None = None
    _sample_level = 2
    _library = _stream_library
else:
    _deflate = zlib_compress
    _inflate = zlib_decompress
    _sample_level = 1
    _library = "libdeflate"

DEFLATED_BY: Final = _library
"""The library that deflates: "libdeflate", "zlib-ng", or "zlib", the standard library's."""

INFLATED_BY: Final = (_library, _stream_library)
"""The libraries that inflate: what expands as signals do, and everything else; the same three names."""

LEVELS: Final = range(1, 10)

SAMPLED_FROM: Final = 1 << 16
"""Bytes from which on a payload is sampled before it is deflated; a smaller one is sooner deflated than judged."""

_USUAL_EXPANSION: Final = 8
"""Times its deflated size that a payload has at most, inflated, to be inflated at once: float64 ECG has seven."""

_WINDOW: Final = 256
_NEAREST_WINDOWS: Final = 4096
_MOST_WINDOWS: Final = 64


@dataclass(frozen=True, slots=True)
class Compression:
    """When and how hard a codec deflates what it sends.

    Attributes:
        threshold: bytes; payloads strictly larger are tried, and sent deflated where that is smaller.
        level: 1 (fastest) to 9 (smallest), as zlib counts.

    Raises:
        ValueError: a negative threshold, or a level outside 1 to 9.
    """

    threshold: int = COMPRESSION_THRESHOLD
    level: int = COMPRESSION_LEVEL

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise ValueError(f"a compression threshold is a number of bytes, not {self.threshold}")
        if self.level not in LEVELS:
            raise ValueError(f"a compression level is one of {LEVELS.start} to {LEVELS.stop - 1}, not {self.level}")


def shrunk(payload: memoryview, level: int) -> bytes | bytearray | None:
    """The payload as one zlib stream, or None where that is no shorter."""
    if not may_shrink(payload):
        return None
    deflated = deflate(payload, level)
    return deflated if len(deflated) < payload.nbytes else None


def may_shrink(payload: memoryview) -> bool:
    """Whether it is worth while to deflate the payload; bytes that are compressed or encrypted already are not.

    Of a large one 16 to 64 windows, evenly spread, are deflated fast: where those do not shrink at all, neither will
    the payload. Even float64 noise does shrink, and a single window of text among sixteen of random bytes shows.
    Unseen stays what lies between two windows, and what repeats itself only at a distance.
    """
    if payload.nbytes < SAMPLED_FROM:
        return True
    stride = max(_NEAREST_WINDOWS, payload.nbytes // _MOST_WINDOWS)
    sample = b"".join([payload[start : start + _WINDOW] for start in range(0, payload.nbytes, stride)])
    return len(_deflate(memoryview(sample), _sample_level)) < len(sample)


def deflate(payload: memoryview, level: int) -> bytes | bytearray:
    """The payload as one zlib stream."""
    return _deflate(payload, level)


def inflate(payload: memoryview, limit: int) -> bytes | bytearray:
    """What one whole zlib stream holds, never inflating more than one byte past the limit.

    Args:
        payload: the stream, and nothing behind it.
        limit: bytes that the inflated payload may have.

    Raises:
        DecompressionFailed: (check 9) not a zlib stream, cut short, or bytes behind its end.
        MessageTooLarge: (check 10) the stream holds more than ``limit`` bytes.
    """
    inflated = _inflated_at_once(payload, limit)
    return _inflated_as_stream(payload, limit) if inflated is None else inflated


def _inflated_at_once(payload: memoryview, limit: int) -> bytearray | None:
    """By libdeflate, what expands as usual and is right; None where it is neither, or not for sure."""
    room = min(limit, _USUAL_EXPANSION * payload.nbytes)
    if _inflate is None or room == 0:
        return None
    try:
        inflated = _inflate(payload, room)
    except DeflateError:
        return None
    return inflated if _ends_with_stream(payload, _inflater.adler32(inflated)) else None


def _ends_with_stream(payload: memoryview, checksum: int) -> bool:
    """Whether nothing follows a stream behind which its right Adler-32 was found; False where that is not for sure.

    libdeflate does not tell where it found it. But if the payload ends with it, and it stands nowhere before, it was
    there.
    """
    return payload[-4:] == checksum.to_bytes(4, "big") and not flatten(payload).repeats_last_four()


def _inflated_as_stream(payload: memoryview, limit: int) -> bytes:
    stream = _inflater.decompressobj()
    try:
        # One byte more than the limit tells "exactly full" from "too large"; 0 would mean "no limit" to zlib.
        inflated = stream.decompress(payload, limit + 1)
    except _inflater.error as error:
        raise DecompressionFailed(f"the compressed payload is damaged: {error}", check=Check.COMPRESSION) from error
    if len(inflated) > limit:
        raise MessageTooLarge(
            f"the payload of {payload.nbytes} bytes inflates past the limit of {limit} bytes",
            check=Check.INFLATED_LIMIT,
        )
    if not stream.eof:
        raise DecompressionFailed(
            f"the compressed payload of {payload.nbytes} bytes is cut short, after {len(inflated)} inflated",
            check=Check.COMPRESSION,
        )
    if stream.unused_data:
        raise DecompressionFailed(
            f"{len(stream.unused_data)} bytes follow the compressed stream of the payload", check=Check.COMPRESSION
        )
    return inflated

"""Compresses payloads, and decompresses them within a limit. Specification: ``docs/protocol.md``, "Compression".

Version 4 also has zstd and LZ4, in ``zstd`` and ``lz4``; ``choice`` selects one of several. The rest of this module is
about zlib, which all versions from 2 on have.

libdeflate compresses to the size of zlib's level 6 in a third of zlib's time, and decompresses typical signals in a
third of it. zlib-ng takes half of zlib's time. It works on streams, so it can stop at a limit and report errors, and
decompresses what libdeflate cannot decompress in one call. If a library is not installed, the next one replaces it; the
format and the errors stay the same. ``DEFLATED_BY`` and ``INFLATED_BY`` name the libraries in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .._core import ends_once_with
from ..errors import DecompressionFailed, MessageTooLarge
from ..protocol import COMPRESSION_LEVEL, COMPRESSION_THRESHOLD, Algorithm, Check
from . import lz4, zstd
from .choice import AlgorithmChoice as AlgorithmChoice

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

# The level for samples is the fastest one that makes float64 noise smaller; level 1 of zlib-ng does not.
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
"""The library that compresses: "libdeflate", "zlib-ng", or "zlib" of the standard library."""

INFLATED_BY: Final = (_library, _stream_library)
"""The libraries that decompress: first the one for typical payloads, then the one for all others."""

LEVELS: Final = range(1, 10)

HIGHEST_RATIOS: Final = {Algorithm.ZLIB: 1032, Algorithm.ZSTD: zstd.HIGHEST_RATIO, Algorithm.LZ4: lz4.HIGHEST_RATIO}
"""The highest ratio at which each algorithm compresses."""

LINK_SPEED: Final = 100e6
"""Default of ``Compression.link_speed``, in bits per second."""

SAMPLED_FROM: Final = 1 << 16
"""Payloads of at least this many bytes are sampled first; smaller ones are compressed faster than sampled."""

_USUAL_EXPANSION: Final = 8
"""Payloads that grow to at most this multiple of their size are decompressed in one call; for float64 ECG it is 7."""

_WINDOW: Final = 256
_NEAREST_WINDOWS: Final = 4096
_MOST_WINDOWS: Final = 64


@dataclass(frozen=True, slots=True)
class Compression:
    """Settings for the compression of payloads.

    Attributes:
        threshold: payloads up to this size in bytes are sent uncompressed; larger ones are compressed if that makes
            them smaller.
        level: 1 (fastest) to 9 (smallest), as zlib counts. zstd and LZ4 have one level each.
        algorithms: algorithms for frames of V4; earlier versions have zlib only. Of several, the codec takes for each
            kind of message the one with which its frames arrive first, by what it measured; see ``AlgorithmChoice``.
            None stands for zlib in a codec, and in a session for all on which it and its peer agreed.
        link_speed: speed of the link in bits per second, for that choice: a high one prefers fast algorithms, a low one
            those with small results.

    Raises:
        ValueError: a negative threshold, a level outside 1 to 9, no algorithm, or a speed that is not above 0.
    """

    threshold: int = COMPRESSION_THRESHOLD
    level: int = COMPRESSION_LEVEL
    algorithms: tuple[Algorithm, ...] | None = None
    link_speed: float = LINK_SPEED

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise ValueError(f"a compression threshold is a number of bytes, not {self.threshold}")
        if self.level not in LEVELS:
            raise ValueError(f"a compression level is one of {LEVELS.start} to {LEVELS.stop - 1}, not {self.level}")
        if self.algorithms is not None:
            object.__setattr__(self, "algorithms", tuple(dict.fromkeys(map(Algorithm, self.algorithms))))
            if not self.algorithms:
                raise ValueError("algorithms are some of zlib, zstd and LZ4; without any, compression is None")
        if not self.link_speed > 0:
            raise ValueError(f"a link speed is a number of bits per second above 0, not {self.link_speed}")


def shrink(payload: memoryview, level: int, algorithm: int = Algorithm.ZLIB) -> bytes | bytearray | None:
    """Compress a payload with one algorithm; None if that does not make it smaller.

    Args:
        payload: the payload.
        level: that of zlib.
        algorithm: one of ``Algorithm``.

    Raises:
        MissingLibrary: the library of the algorithm is not installed.
    """
    return compressed(payload, algorithm, level) if may_shrink(payload) else None


def compressed(payload: memoryview, algorithm: int, level: int) -> bytes | bytearray | None:
    """Compress a payload as ``shrink`` does, without estimating first whether it becomes smaller."""
    if algorithm == Algorithm.LZ4:
        return lz4.compress(payload)
    result = zstd.compress(payload) if algorithm == Algorithm.ZSTD else deflate(payload, level)
    return result if len(result) < payload.nbytes else None


def may_shrink(payload: memoryview) -> bool:
    """Estimate whether compression would make a payload smaller; False for bytes that are compressed or encrypted.

    Small payloads always count as compressible. Of a large payload, 16 to 64 evenly spaced windows are compressed at a
    fast level. If the result is not smaller, the payload counts as incompressible. Float64 noise is compressible, and
    random bytes are if one of sixteen windows contains text. The estimate misses repetitions between distant parts, and
    anything between two windows.
    """
    if payload.nbytes < SAMPLED_FROM:
        return True
    stride = max(_NEAREST_WINDOWS, payload.nbytes // _MOST_WINDOWS)
    sample = b"".join([payload[start : start + _WINDOW] for start in range(0, payload.nbytes, stride)])
    return len(_deflate(memoryview(sample), _sample_level)) < len(sample)


def deflate(payload: memoryview, level: int) -> bytes | bytearray:
    """Compress a payload to one zlib stream."""
    return _deflate(payload, level)


def inflate(payload: memoryview, limit: int, algorithm: int = Algorithm.ZLIB) -> bytes | bytearray:
    """Decompress a payload, to at most one byte more than the limit.

    Args:
        payload: one zlib stream, zstd frame or LZ4 block, without other bytes after it.
        limit: maximum size of the result, in bytes.
        algorithm: one of ``Algorithm``.

    Raises:
        DecompressionFailed: (check 9) the payload is damaged, is cut short, is followed by other bytes, or uses what
            this protocol does not allow; or the library of the algorithm is not installed.
        MessageTooLarge: (check 10) the result is larger than ``limit``.
    """
    if algorithm == Algorithm.ZSTD:
        return zstd.decompress(payload, limit)
    if algorithm == Algorithm.LZ4:
        return lz4.decompress(payload, limit)
    inflated = _inflated_at_once(payload, limit)
    return _inflated_as_stream(payload, limit) if inflated is None else inflated


def _inflated_at_once(payload: memoryview, limit: int) -> bytearray | None:
    """Decompress with libdeflate; None if the result is unusually large, or the payload damaged or perhaps too long."""
    room = min(limit, _USUAL_EXPANSION * payload.nbytes)
    if _inflate is None or room == 0:
        return None
    try:
        inflated = _inflate(payload, room)
    except DeflateError:
        return None
    # libdeflate does not report where the stream ended. It ended at the end of the payload if the last four bytes are
    # its Adler-32 and do not occur earlier. Otherwise, that is not certain.
    return inflated if ends_once_with(payload, _inflater.adler32(inflated)) else None


def _inflated_as_stream(payload: memoryview, limit: int) -> bytes:
    stream = _inflater.decompressobj()
    try:
        # One byte more than the limit, to distinguish exactly this size from a larger one; 0 would mean no limit.
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

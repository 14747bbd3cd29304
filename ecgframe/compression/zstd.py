"""zstd (RFC 8878): one frame that names its content size. Specification: ``docs/protocol.md``, "zstd".

The library is ``compression.zstd`` of the standard library from Python 3.14 on, and ``backports.zstd`` before.
"""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from typing import Any, Final

from ..errors import DecompressionFailed, MessageTooLarge
from ..libraries import MissingLibrary, library
from ..protocol import Check

LEVEL: Final = 3
"""Level at which payloads are compressed."""

WINDOW_LOG: Final = 23
"""Logarithm of the largest window in bytes: 8 MiB, the least that RFC 8878 asks of a decoder."""

HIGHEST_RATIO: Final = 1 << 15
"""The highest ratio at which a frame compresses: 4 bytes of a block stand for 128 KiB."""

_MODULE: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_KEPT_UP_TO: Final = 1 << 16  # bytes of a payload whose compressor is kept: making one takes longer than compressing


class _Local(threading.local):
    compressor: Any = None


_local = _Local()


@lru_cache(maxsize=1)
def _library() -> Any:
    return library(_MODULE, extra="zstd", purpose="zstd")


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Return whether the library is installed."""
    try:
        _library()
    except (MissingLibrary, ImportError):  # a Python that was built without zstd has no MissingLibrary
        return False
    return True


def require() -> None:
    """Raise MissingLibrary if the library is not installed."""
    _library()


def compress(payload: memoryview) -> bytes:
    """Compress a payload to one frame with its content size.

    Raises:
        MissingLibrary: the library is not installed.
    """
    compressor = _local.compressor
    if compressor is None or payload.nbytes > _KEPT_UP_TO:
        compressor = _library().ZstdCompressor(level=LEVEL)
        if payload.nbytes <= _KEPT_UP_TO:
            _local.compressor = compressor
    frame: bytes = compressor.compress(payload, compressor.FLUSH_FRAME)
    return frame


def decompress(payload: memoryview, limit: int) -> bytes:
    """Decompress one frame to at most ``limit`` bytes.

    Raises:
        DecompressionFailed: (check 9) the frame is damaged, cut short or followed by other bytes, names no content size
            or another one than it has, needs a dictionary or a window of more than 8 MiB, or has a checksum of its
            content; or the library is not installed.
        MessageTooLarge: (check 10) it names more than ``limit``.
    """
    size = _content_size(payload, limit)
    try:
        zstd = _library()
    except ImportError as error:
        raise _failed(f"the payload is compressed with zstd: {error}") from error
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
    try:
        plain: bytes = decompressor.decompress(payload, size + 1)
    except zstd.ZstdError as error:
        raise _failed(f"the zstd frame is damaged: {error}") from error
    if not decompressor.eof:
        raise _failed(f"the zstd frame of {payload.nbytes} bytes is cut short, after {len(plain)} inflated")
    if decompressor.unused_data:
        raise _failed(f"{len(decompressor.unused_data)} bytes follow the zstd frame of the payload")
    return plain


def _content_size(payload: memoryview, limit: int) -> int:
    """Check the header of the frame, and return the content size that it names."""
    if bytes(payload[:4]) != _MAGIC:
        raise _failed("the payload is not a zstd frame")
    if payload.nbytes < 5:
        raise _failed("the zstd frame is cut short, within its header")
    descriptor = payload[4]
    if descriptor & 0x08:
        raise _failed("the zstd frame has the reserved bit")
    if descriptor & 0x03:
        raise _failed("the zstd frame needs a dictionary")
    if descriptor & 0x04:
        raise _failed("the zstd frame has a checksum of its content, which the CRC-32 makes superfluous")
    is_single = bool(descriptor & 0x20)
    nbytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    if not nbytes:
        raise _failed("the zstd frame does not name its content size")
    start = 5 if is_single else 6
    if payload.nbytes < start + nbytes:
        raise _failed(f"the zstd frame of {payload.nbytes} bytes is cut short, within its header")
    size = int.from_bytes(payload[start : start + nbytes], "little") + (256 if nbytes == 2 else 0)
    if size > limit:
        raise MessageTooLarge(
            f"the payload of {payload.nbytes} bytes inflates to {size} bytes; the limit is {limit}",
            check=Check.INFLATED_LIMIT,
        )
    if not 0 < size <= HIGHEST_RATIO * payload.nbytes:
        raise _failed(f"a zstd frame of {payload.nbytes} bytes cannot hold the {size} bytes that it names")
    window = size if is_single else _window(payload[5])
    if window > 1 << WINDOW_LOG:
        raise _failed(f"the zstd frame needs a window of {window} bytes; it may need {1 << WINDOW_LOG}")
    return size


def _window(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)


def _failed(words: str) -> DecompressionFailed:
    return DecompressionFailed(words, check=Check.COMPRESSION)

"""The WebSocket frame (RFC 6455, section 5.2) around a message of a server."""

from __future__ import annotations

from typing import Final

_BINARY: Final = 0x82
"""The first byte of a binary message in one frame."""


def binary_frame(message: bytes) -> bytes:
    """Return the frame of a binary message: not masked, as a server sends it."""
    size = len(message)
    if size < 126:
        head = bytes((_BINARY, size))
    elif size < 1 << 16:
        head = bytes((_BINARY, 126)) + size.to_bytes(2)
    else:
        head = bytes((_BINARY, 127)) + size.to_bytes(8)
    return head + message

"""Removes the keys of sealed streams from what tools show and pass on: a SUBSCRIPTION_ACK may have them."""

from __future__ import annotations

import re
from typing import Any, Final

from .._core import Header, crc32
from ..codec import Codec
from ..errors import ProtocolError
from ..protocol import HEADER_SIZES, LARGEST_LENGTH, STREAM_KEY_SIZE, Flag, Form, MessageType

_ANSWER: Final = int(MessageType.SUBSCRIPTION_ACK)
_COMPRESSED: Final = int(Flag.COMPRESSED)
_codec: Final = Codec(max_payload=LARGEST_LENGTH)
_BLANK: Final = bytes(STREAM_KEY_SIZE)
_KEY: Final = re.compile(rb"(\xa3key(?:\xc4.|\xc5..|\xc6....))(.{1,32})", re.DOTALL)
"""A key in a frame that cannot be decoded: the name, the MessagePack header of bytes, and what follows."""


def may_have_keys(octets: bytes | memoryview) -> bool:
    """Return whether a frame is an answer that may have keys, by the beginning of its header."""
    return len(octets) >= HEADER_SIZES[1] and octets[1] == _ANSWER


def blank_keys(frame: bytes) -> bytes:
    """Return the frame with zeros in place of the keys that it hands out, and with the checksum of that.

    A compressed frame with keys becomes an uncompressed one. Other frames are returned as they are, and so are damaged
    ones, apart from what looks like a key in them.

    Args:
        frame: one whole frame; several are returned as they are, see ``blank_all_keys``.
    """
    if not may_have_keys(frame):
        return frame
    try:
        data = _codec.decode(frame).data
        secrets = _secrets_in(data)
    except (ProtocolError, ValueError):
        return _KEY.sub(lambda found: found[1] + bytes(len(found[2])), frame)
    if not secrets:
        return frame
    header, payload = _codec.split(frame)
    plain = bytes(payload)
    flags, form = int(header.flags), header.form
    if flags & _COMPRESSED:
        plain, flags = _codec.pack(data), flags & ~_COMPRESSED
        form = None if form is None else form & ~Form.ALGORITHM
    for secret in secrets:
        plain = plain.replace(secret, bytes(len(secret)))
    numbering = (form, header.stream_id, header.sequence) if header.version >= 4 else ()
    head = Header(header.version, header.type, Flag(flags), len(plain), crc32(plain), header.timestamp, *numbering)
    return bytes(head) + plain


def blank_all_keys(message: bytes) -> bytes:
    """Blank the keys in all frames of a WebSocket message, and search the bytes after a damaged header as well."""
    if bytes((_ANSWER,)) not in message:
        return message
    parts, at = [], 0
    while at < len(message):
        size = HEADER_SIZES.get(message[at], HEADER_SIZES[1])
        end = at + size + int.from_bytes(message[at + 3 : at + 7], "big")
        end = min(end, len(message))
        parts.append(blank_keys(message[at:end]))
        at = end
    return b"".join(parts)


def _secrets_in(data: Any) -> list[bytes]:
    """The secrets in an answer, whatever their form."""
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        entries = [entries]
    values = [entry.get("key") for entry in entries if isinstance(entry, dict)]
    return [value for value in values if isinstance(value, bytes) and value]

"""Encodes messages to frames, and decodes frames.

Only this package knows the order of the steps. To encode: pack, compress, compute the checksum (``encoder``). To
decode: the same in reverse order (``decoder``).
"""

from __future__ import annotations

from typing import Any

from .._core import Message
from ..protocol import DEFAULT_VERSION, Flag, Form, MessageType
from . import encoder, header_values  # noqa: F401 - for bundlers, which cannot see that compiled modules import them
from .codec import Codec, NdarrayForm, NumericLists
from .decoder import SealedPayload
from .encoded_frame import EncodedFrame
from .interfaces import Meter, PayloadOpener, PayloadSealer, RecordContent, RecordTemplate, TemplateBook
from .prepared_frame import PreparedFrame

__all__ = [
    "Codec",
    "EncodedFrame",
    "Message",
    "Meter",
    "NdarrayForm",
    "NumericLists",
    "PayloadOpener",
    "PayloadSealer",
    "PreparedFrame",
    "RecordContent",
    "RecordTemplate",
    "SealedPayload",
    "TemplateBook",
    "decode",
    "decode_all",
    "encode",
    "pack",
    "split",
    "unpack",
]

_default = Codec()

decode = _default.decode
decode_all = _default.decode_all
split = _default.split
pack = _default.pack
unpack = _default.unpack


def encode(
    type: MessageType | int,
    data: Any,
    *,
    version: int = DEFAULT_VERSION,
    flags: Flag | int = 0,
    timestamp: int | None = None,
    stream_id: int = 0,
    sequence: int = 0,
    form: Form | int = 0,
) -> bytes:
    """Encode a message with a codec of default configuration. See ``Codec.encode``."""
    return _default.encode(
        type,
        data,
        version=version,
        flags=flags,
        timestamp=timestamp,
        stream_id=stream_id,
        sequence=sequence,
        form=form,
    )

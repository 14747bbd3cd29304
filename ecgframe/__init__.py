"""ecgframe: the wire codec of ECG monitors. NumPy arrays in MessagePack in CRC-checked frames.

>>> import ecgframe, numpy as np
>>> signal = np.array([[0.1, 0.2], [0.3, 0.4]])
>>> frame = ecgframe.encode(ecgframe.MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250})
>>> ecgframe.decode(frame).data["signal"]
array([[0.1, 0.2],
       [0.3, 0.4]])
"""

from typing import TYPE_CHECKING, Any

from . import messages as _messages  # noqa: F401 - for bundlers, which cannot see that the compiled codec imports it
from ._core import Header, accelerated, crc32
from .codec import Codec, Message, decode, decode_all, encode, pack, split, unpack
from .compression import Compression
from .errors import (
    AuthenticationFailed,
    ChecksumMismatch,
    DecompressionFailed,
    InvalidDataFormat,
    InvalidMessageType,
    InvalidProtocolVersion,
    MessageTooLarge,
    MissingRequiredFields,
    PermissionDenied,
    ProtocolError,
    RateLimitExceeded,
)
from .protocol import ErrorCode, Flag, MessageType
from .samples import physical

if TYPE_CHECKING:
    from .client import Client as Client
    from .client import SyncClient as SyncClient
    from .client import connect as connect
    from .client import connect_sync as connect_sync

    __version__: str

__all__ = [
    "AuthenticationFailed",
    "ChecksumMismatch",
    "Codec",
    "Compression",
    "DecompressionFailed",
    "ErrorCode",
    "Flag",
    "Header",
    "InvalidDataFormat",
    "InvalidMessageType",
    "InvalidProtocolVersion",
    "Message",
    "MessageTooLarge",
    "MessageType",
    "MissingRequiredFields",
    "PermissionDenied",
    "ProtocolError",
    "RateLimitExceeded",
    "accelerated",
    "crc32",
    "decode",
    "decode_all",
    "encode",
    "pack",
    "physical",
    "split",
    "unpack",
]


_FROM_CLIENT = ("Client", "SyncClient", "connect", "connect_sync")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM_CLIENT, "__version__"} - {"Any", "TYPE_CHECKING"})


def __getattr__(name: str) -> Any:
    """Import the client and the version on first use, so that encoding and decoding do not load asyncio."""
    if name in _FROM_CLIENT:
        from . import client  # noqa: PLC0415

        return getattr(client, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("ecgframe")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

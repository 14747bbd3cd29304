"""The protocol implemented with ``struct``, ``zlib`` and ``msgpack``, without ecgframe.

It can be written from the specification in an afternoon. It sends the same bytes as ecgframe, and reads the messages of
honest peers. Unlike ecgframe, it makes a Python object of each sample, and does not check that arrays are consistent.
``slow_server.py`` uses it, ``fast_server.py`` uses ecgframe.
"""

import struct
import time
import uuid
import zlib
from datetime import datetime
from enum import KEEP, IntEnum, IntFlag
from typing import NamedTuple

import msgpack
import numpy as np

MAX_PAYLOAD = 16 * 1024 * 1024
MAX_DEPTH = 64
COMPRESSION_THRESHOLD = 1024
HEADER = struct.Struct(">BBBII")  # version, type, flags, length, checksum
TIMESTAMP = struct.Struct(">Q")  # V3: microseconds since 1970


class MessageType(IntEnum):
    ECG_DATA = 0x01
    ANOMALY_ALERT = 0x02
    PREDICTION_RESULT = 0x03
    FEATURE_DATA = 0x04
    HEARTBEAT = 0x10
    PING = 0x11
    PONG = 0x12
    SUBSCRIBE = 0x20
    UNSUBSCRIBE = 0x21
    SUBSCRIPTION_ACK = 0x22
    VERSION_CHECK = 0xFD
    PROTOCOL_NEGOTIATION = 0xFE
    ERROR = 0xFF


class Flag(IntFlag, boundary=KEEP):
    COMPRESSED = 0x01
    ENCRYPTED = 0x02
    PRIORITY = 0x04
    BROADCAST = 0x08
    ACK_REQUIRED = 0x10


class ErrorCode(IntEnum):
    INVALID_PROTOCOL_VERSION = 0x100
    CHECKSUM_MISMATCH = 0x101
    MESSAGE_TOO_LARGE = 0x102
    DECOMPRESSION_FAILED = 0x103
    INVALID_MESSAGE_TYPE = 0x104
    INVALID_DATA_FORMAT = 0x200
    MISSING_REQUIRED_FIELDS = 0x201
    AUTHENTICATION_FAILED = 0x202
    PERMISSION_DENIED = 0x203
    RATE_LIMIT_EXCEEDED = 0x204


class ProtocolError(ValueError):
    """A frame that violates the specification, with the error code and the number of the check that failed."""

    def __init__(self, code: ErrorCode, check: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.check = check


class Message(NamedTuple):
    type: MessageType
    data: object
    version: int
    flags: Flag
    timestamp: int | None


def encode(type: int, data: object, *, version: int = 3, flags: int = 0) -> bytes:
    payload = pack(data)
    if version >= 2 and len(payload) > COMPRESSION_THRESHOLD:
        deflated = zlib.compress(payload, 6)
        if len(deflated) < len(payload):
            payload, flags = deflated, flags | Flag.COMPRESSED
    header = HEADER.pack(version, type, flags, len(payload), zlib.crc32(payload))
    if version == 3:
        header += TIMESTAMP.pack(time.time_ns() // 1000)
    return header + payload


def decode(frame: bytes) -> Message:
    size = HEADER.size + (TIMESTAMP.size if frame[:1] == b"\x03" else 0)
    if len(frame) < size:
        raise ProtocolError(ErrorCode.INVALID_DATA_FORMAT, 1, "shorter than a header")
    version, type, flags, length, checksum = HEADER.unpack_from(frame)
    payload = frame[size:]
    if version not in (1, 2, 3):
        raise ProtocolError(ErrorCode.INVALID_PROTOCOL_VERSION, 2, f"version {version}")
    if type not in set(MessageType):
        raise ProtocolError(ErrorCode.INVALID_MESSAGE_TYPE, 3, f"type 0x{type:02x}")
    if length > MAX_PAYLOAD:
        raise ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, 4, f"{length} bytes")
    if len(payload) != length:
        raise ProtocolError(ErrorCode.INVALID_DATA_FORMAT, 5, f"{len(payload)} bytes follow, not {length}")
    if (flags & Flag.COMPRESSED and version < 2) or (flags & Flag.ENCRYPTED and version < 3):
        raise ProtocolError(ErrorCode.INVALID_DATA_FORMAT, 6, f"V{version} does not have flags 0x{flags:02x}")
    if zlib.crc32(payload) != checksum:
        raise ProtocolError(ErrorCode.CHECKSUM_MISMATCH, 7, "the checksum is another")
    if flags & Flag.ENCRYPTED:
        raise ProtocolError(ErrorCode.AUTHENTICATION_FAILED, 8, "no key")
    if flags & Flag.COMPRESSED:
        payload = inflate(payload)
    timestamp = TIMESTAMP.unpack_from(frame, HEADER.size)[0] if version == 3 else None
    return Message(MessageType(type), unpack(payload), version, Flag(flags), timestamp)


def inflate(payload: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, MAX_PAYLOAD + 1)
    except zlib.error as error:
        raise ProtocolError(ErrorCode.DECOMPRESSION_FAILED, 9, str(error)) from error
    if len(inflated) > MAX_PAYLOAD:
        raise ProtocolError(ErrorCode.MESSAGE_TOO_LARGE, 10, "too large once inflated")
    if not stream.eof or stream.unused_data:
        raise ProtocolError(ErrorCode.DECOMPRESSION_FAILED, 9, "not one whole zlib stream")
    return inflated


def pack(value: object) -> bytes:
    """MessagePack, with maps for what it has no types for."""
    if isinstance(value, np.ndarray):
        shape = msgpack.packb(list(value.shape))
        return b"\x83" + b"".join(
            (pack("__ndarray__"), pack_samples(value), pack("dtype"), pack(str(value.dtype)), pack("shape"), shape)
        )
    if isinstance(value, dict):
        entries = b"".join(pack(key) + pack(entry) for key, entry in value.items())
        return msgpack.Packer().pack_map_header(len(value)) + entries
    if isinstance(value, (list, tuple)):
        return msgpack.Packer().pack_array_header(len(value)) + b"".join(map(pack, value))
    if isinstance(value, datetime):
        return pack({"__datetime__": value.isoformat()})
    if isinstance(value, uuid.UUID):
        return pack({"__uuid__": str(value)})
    return msgpack.packb(value.item() if isinstance(value, np.generic) else value)


def pack_samples(array: np.ndarray) -> bytes:
    """Nested lists; float32 and float16 as float 32, which loses nothing."""
    return msgpack.packb(array.tolist(), use_single_float=array.dtype.kind == "f" and array.dtype.itemsize < 8)


def unpack(payload: bytes) -> object:
    if not payload:
        return None
    try:
        value = msgpack.unpackb(payload, object_pairs_hook=unwrap, ext_hook=refuse, strict_map_key=False)
        check_depth(value)
        return value
    except (ValueError, TypeError, ArithmeticError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(ErrorCode.INVALID_DATA_FORMAT, 11, str(error)) from error


def refuse(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")


def check_depth(value: object, depth: int = 1) -> None:
    if isinstance(value, (list, dict)):
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} arrays and maps inside one another")
        for entry in value.values() if isinstance(value, dict) else value:
            check_depth(entry, depth + 1)


def unwrap(pairs: list[tuple[object, object]]) -> object:
    found = dict(pairs)
    if len(found) < len(pairs) or not {type(key) for key in found} <= {str, int}:
        raise ValueError("a key that occurs twice, or is neither str nor int")
    match found:
        case {"__datetime__": str(text), **others} if not others:
            return datetime.fromisoformat(text)
        case {"__uuid__": str(text), **others} if not others:
            return uuid.UUID(text)
        case {"__ndarray__": bytes(samples), "dtype": name, "shape": shape, **others} if not others:
            dtype = dtype_of(name)
            return np.frombuffer(samples, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
        case {"__ndarray__": samples, "dtype": name, "shape": shape, **others} if not others:
            return np.array(samples, dtype_of(name)).reshape(shape)
    return found


def dtype_of(name: str) -> np.dtype:
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise ValueError(f"arrays of {name}")
    return dtype

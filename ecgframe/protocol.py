"""The tables of the specification as code: versions, types, flags, error codes, wrappers, limits.

Each table stands here once; everything else (codec, errors, documentation, tests) reads it from here.
This module imports nothing of ours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import KEEP, IntEnum, IntFlag, StrEnum
from typing import Final

VERSIONS: Final = (1, 2, 3)
"""Protocol versions this package speaks, oldest first."""

LATEST_VERSION: Final = VERSIONS[-1]

HEADER_SIZES: Final = {1: 11, 2: 11, 3: 19}
"""Bytes of the header, by version. V3 adds the 64-bit timestamp."""

HEADER_FIELDS: Final = {"version": 1, "type": 1, "flags": 1, "length": 4, "checksum": 4, "timestamp": 8}
"""Bytes of each field of the header, in the order in which they stand; a version has those that its size holds."""


class MessageType(IntEnum):
    """What a frame carries: the second byte of its header."""

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


DATA_TYPES: Final = frozenset(
    {
        MessageType.ECG_DATA,
        MessageType.ANOMALY_ALERT,
        MessageType.PREDICTION_RESULT,
        MessageType.FEATURE_DATA,
    }
)
"""The specification's "data messages": the ones that hold signals and what was computed from them."""


class Flag(IntFlag, boundary=KEEP):
    """Message options: the third byte of the header.

    Bits that no version defines are ignored by a receiver and kept as they came, hence ``KEEP``.
    """

    COMPRESSED = 0x01
    ENCRYPTED = 0x02
    PRIORITY = 0x04
    BROADCAST = 0x08
    ACK_REQUIRED = 0x10


FLAG_SINCE: Final = {
    Flag.COMPRESSED: 2,
    Flag.ENCRYPTED: 3,
    Flag.PRIORITY: 3,
    Flag.BROADCAST: 3,
    Flag.ACK_REQUIRED: 3,
}
"""The version that introduced each flag."""


class ErrorCode(IntEnum):
    """The specification's error codes: 0x1xx for the protocol, 0x2xx for the application."""

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


DATETIME_KEY: Final = "__datetime__"
UUID_KEY: Final = "__uuid__"
NDARRAY_KEY: Final = "__ndarray__"
DTYPE_KEY: Final = "dtype"
SHAPE_KEY: Final = "shape"
NDARRAY_KEYS: Final = frozenset({NDARRAY_KEY, DTYPE_KEY, SHAPE_KEY})

DEFAULT_MAX_PAYLOAD: Final = 16 * 1024 * 1024
"""Bytes a payload may have, as it travels and again when inflated, unless the caller says otherwise."""

LARGEST_LENGTH: Final = 2**32 - 1
"""The most that the header's 32-bit length field can say, in bytes."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where timestamps count from."""

LARGEST_TIMESTAMP: Final = 2**64 - 1
"""The most that the header's 64-bit timestamp can say, in microseconds since the Unix epoch."""

COMPRESSION_THRESHOLD: Final = 1024
"""Bytes; payloads strictly larger than this are deflated."""

COMPRESSION_LEVEL: Final = 6

MAX_DEPTH: Final = 64
"""Arrays and maps inside one another, at most."""

MAX_NDIM: Final = 32
"""Dimensions of an ndarray, at most."""

MAX_DIMENSION: Final = 2**32 - 1
"""Samples along one dimension of an ndarray, at most."""

DTYPE_KINDS: Final = "biuf"
"""NumPy's letters for the kinds of dtype that travel: bool, signed and unsigned integers, floats."""

MAX_SAMPLE_SIZE: Final = 8
"""Bytes of one sample of an ndarray, at most."""

DTYPE_SPELLING: Final = re.compile(r"[<>=|]?[A-Za-z?][A-Za-z0-9_]*", re.ASCII)
"""What the text of a dtype may look like before NumPy is asked what it means."""

MAX_DTYPE_LETTERS: Final = 32
"""Letters in the text of a dtype, at most."""

MAX_CONTAINERS: Final = 2**20
"""Python lists and dicts that one payload may become. An empty one takes a byte on the wire and 56 to 64
in memory, so this bounds what a hostile payload costs. Samples inside an ndarray wrapper do not count."""


class Check(IntEnum):
    """What a receiver checks, in this order; the first that fails decides the error."""

    HEADER = 1
    """The whole header is there."""
    VERSION = 2
    """This receiver knows the version."""
    TYPE = 3
    """The type is one of the thirteen."""
    LIMIT = 4
    """The length is within the receiver's limit."""
    LENGTH = 5
    """The payload is all there, with nothing behind it."""
    FLAGS = 6
    """The version has these flags."""
    CHECKSUM = 7
    """The checksum is the payload's."""
    ENCRYPTION = 8
    """The payload is not encrypted, as there is no key."""
    COMPRESSION = 9
    """A compressed payload is one whole zlib stream."""
    INFLATED_LIMIT = 10
    """It inflates to no more than the receiver's limit."""
    PAYLOAD = 11
    """The payload is one MessagePack value of the specification's types."""
    FIELDS = 12
    """The message has its fields, and each holds what it should."""


LAST_FATAL_CHECK: Final = int(Check.FLAGS)
"""Of the receiver's checks, the last one whose failure leaves no trust in what follows in the stream."""


class Capability(StrEnum):
    """What two peers may agree on when they negotiate."""

    COMPRESSION = "compression"
    TIMESTAMPS = "timestamps"
    PRIORITY = "priority"
    BROADCAST = "broadcast"
    ACK = "ack"
    ENCRYPTION = "encryption"
    NDARRAY_BIN = "ndarray-bin"
    BATCH = "batch"


CAPABILITY_SINCE: Final = {
    Capability.COMPRESSION: 2,
    Capability.TIMESTAMPS: 3,
    Capability.PRIORITY: 3,
    Capability.BROADCAST: 3,
    Capability.ACK: 3,
    Capability.ENCRYPTION: 3,
    Capability.NDARRAY_BIN: 1,
    Capability.BATCH: 1,
}
"""The first version in which a capability can be used."""

CAPABILITY_OF_FLAG: Final = {
    Flag.PRIORITY: Capability.PRIORITY,
    Flag.BROADCAST: Capability.BROADCAST,
    Flag.ACK_REQUIRED: Capability.ACK,
}
"""The capability that a peer must have before a sender sets the flag."""

ONLY_ANNOUNCED: Final = frozenset({Capability.NDARRAY_BIN, Capability.BATCH, Capability.ENCRYPTION})
"""What a peer has only if it says so; the rest comes with the version that it speaks."""


class CloseCode(IntEnum):
    """The WebSocket close codes that this protocol uses."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    POLICY = 1008
    TOO_LARGE = 1009
    INTERNAL = 1011
    TRY_LATER = 1013


HEARTBEAT_INTERVAL: Final = 15.0
"""Seconds without anything sent after which a HEARTBEAT goes out, unless the server announces another interval."""

SILENT_INTERVALS: Final = 3
"""Heartbeat intervals of silence after which a peer counts as dead."""

ERROR_BUDGET: Final = 5
"""Errors of a peer within ERROR_WINDOW that close its connection."""

ERROR_WINDOW: Final = 10.0
"""Seconds."""

MAX_STREAM_NAME: Final = 256
"""Characters in the name of a stream, at most."""

MAX_BATCH_FRAMES: Final = 4096
"""Frames laid end to end in one WebSocket message, at most."""

MAX_BATCH_PAYLOAD: Final = 4 * 1024 * 1024
"""Bytes that the payloads of the frames behind the first in one WebSocket message may have together, inflated: a few
bytes of hostile frames would otherwise become thousands of payloads of the largest size."""

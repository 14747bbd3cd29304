"""The tables of the specification as code: versions, types, flags, error codes, wrappers, limits.

Each table is defined here only; codec, errors, documentation and tests read it from here. This module imports no other
module of this package.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import KEEP, IntEnum, IntFlag, StrEnum
from typing import Final

VERSIONS: Final = (1, 2, 3, 4)
"""Protocol versions whose frames this package encodes and decodes, oldest first."""

SESSION_VERSIONS: Final = (1, 2, 3, 4)
"""Versions that a session offers and uses by default. Both sides agree on the highest that they have in common."""

STANDALONE_VERSIONS: Final = (1, 2, 3)
"""Versions whose frames need no session to be read. Those of version 4 may need templates that were sent before."""

DEFAULT_VERSION: Final = STANDALONE_VERSIONS[-1]
"""The version of the frames of ``encode`` and ``Codec`` by default: the newest that needs no session."""

HEADER_SIZES: Final = {1: 11, 2: 11, 3: 19, 4: 32}
"""Bytes of the header, by version. V3 adds the 64-bit timestamp; V4 adds form, stream and sequence."""

HEADER_FIELDS: Final = {
    "version": 1,
    "type": 1,
    "flags": 1,
    "length": 4,
    "checksum": 4,
    "timestamp": 8,
    "form": 1,
    "stream": 4,
    "sequence": 8,
}
"""Size of each field of the header in bytes, in order. A version has the first fields, up to its size."""


class MessageType(IntEnum):
    """Type of a message: the second byte of the header."""

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
    STREAM_TEMPLATE = 0x23
    STREAM_ATTESTATION = 0x24

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
"""The "data messages" of the specification, which carry signals, or results computed from signals."""

STREAM_TYPES: Final = DATA_TYPES | {MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION}
"""Types of messages that may belong to a stream: their V4 header may have its number and a sequence."""

TYPE_SINCE: Final = {
    member: 4 if member in {MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION} else 1
    for member in MessageType
}
"""The version that introduced each type. Frames of earlier versions with this type are rejected (check 3)."""


class Flag(IntFlag, boundary=KEEP):
    """Message options: the third byte of the header.

    A receiver ignores bits that no version defines, but keeps them in the message, hence ``KEEP``.
    """

    COMPRESSED = 0x01
    ENCRYPTED = 0x02
    PRIORITY = 0x04
    BROADCAST = 0x08
    ACK_REQUIRED = 0x10
    FRAGMENT = 0x20
    SIGNED = 0x40


FLAG_SINCE: Final = {
    Flag.COMPRESSED: 2,
    Flag.ENCRYPTED: 3,
    Flag.PRIORITY: 3,
    Flag.BROADCAST: 3,
    Flag.ACK_REQUIRED: 3,
    Flag.FRAGMENT: 4,
    Flag.SIGNED: 4,
}
"""The version that introduced each flag."""


class Form(IntFlag, boundary=KEEP):
    """Encoding of the payload of a V4 frame: the byte after the timestamp. All other bits are 0."""

    ALGORITHM = 0x03
    """Two bits for the ``Algorithm`` of COMPRESSED; 0 without it."""
    RECORD = 0x04
    """The payload is a record, to be decoded by a template, not MessagePack."""
    BULK = 0x10
    """The message may wait behind others."""


class Algorithm(IntEnum):
    """Compression algorithm of a payload, in the lowest two bits of the form in a V4 header."""

    ZLIB = 0
    ZSTD = 1
    LZ4 = 2


class ErrorCode(IntEnum):
    """Error codes: 0x1xx for the protocol, 0x2xx for the application."""

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
"""Default of the maximum size of a payload in bytes, before and after decompression."""

LARGEST_LENGTH: Final = 2**32 - 1
"""Largest value of the 32-bit length field of the header, in bytes."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Time at which timestamps are 0."""

LARGEST_TIMESTAMP: Final = 2**64 - 1
"""Largest value of the 64-bit timestamp in the header, in microseconds since the Unix epoch."""

LARGEST_STREAM_ID: Final = 2**32 - 1
"""Largest value of the 32-bit stream in a V4 header. 0 stands for no stream."""

LARGEST_SEQUENCE: Final = 2**53 - 1
"""Largest number of a message in its stream: JavaScript numbers are exact up to this value."""

LARGEST_TEMPLATE: Final = 65_535
"""Largest number of a template. 0 stands for the opening of a stream."""

MAX_TEMPLATE_ROWS: Final = 4096
"""Maximum number of leads of a record."""

TEMPLATE_DTYPES: Final = ("int8", "uint8", "int16", "uint16", "int32", "float32", "float64")
"""Dtypes of the samples of a record."""

MAX_DIGESTS: Final = 4096
"""Maximum number of digests in one STREAM_ATTESTATION."""

DIGEST_SIZE: Final = 32
"""Size of a digest, SHA-256, in bytes."""

KEY_NAME_SIZE: Final = 8
"""Size of the name of a signing key in bytes. It is the beginning of the SHA-256 of the public key."""

SIGNATURE_SIZE: Final = 64
"""Size of a signature, Ed25519, in bytes."""

TRAILER_SIZE: Final = KEY_NAME_SIZE + SIGNATURE_SIZE
"""Size of the trailer of a signed payload in bytes: name of the key, signature."""

STREAM_KEY_SIZE: Final = 32
"""Size of the secret of a stream key, AES-256 and HKDF-SHA-256, in bytes."""

LARGEST_KEY_ID: Final = 2**32 - 1
"""Largest value of the 32-bit id of a stream key."""

SENDER_SIZE: Final = 8
"""Size of the random number that a sealer draws, in bytes."""

SEAL_PREFIX: Final = 16
"""Size of a sealed payload before the ciphertext, in bytes: key id, sender, counter."""

SEAL_OVERHEAD: Final = SEAL_PREFIX + 16
"""Bytes that sealing adds to a payload: the prefix and the tag."""

SENDER_MESSAGES: Final = 2**24
"""Maximum number of messages with one sender. Its counters are below this number."""

SENDER_BYTES: Final = 2**38
"""Maximum number of bytes that are sealed with one sender."""

REPLAY_WINDOW: Final = 2**16
"""Number of the latest counters of a sender that a receiver distinguishes. It refuses older ones."""

HISTORY_WINDOW: Final = 2**20
"""The same for a history, in which messages that a server has to seal again have later counters than what follows."""

SENDERS_KEPT: Final = 64
"""Senders of one key whose latest counters a receiver keeps. Of others, it keeps the highest counter only."""

MAX_SENDERS: Final = 4096
"""Maximum number of senders of one key from which a receiver accepts messages."""

MAX_STREAM_KEYS: Final = 4096
"""Maximum number of stream keys in one keyring."""

MAX_HANDED_KEYS: Final = 16
"""Maximum number of keys in one SUBSCRIPTION_ACK."""

MAX_HELD_FRAMES: Final = 64
"""Maximum number of frames of a connection that a viewer holds while their key is unknown."""

MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""Maximum number of bytes of these."""

RECORD_HEADER: Final = 16
"""Size of a record before its samples, in bytes, without NUMBERED and BOUND: template, filter, options, count, time."""

FRAGMENT_HEADER: Final = 8
"""Bytes before the piece in a fragment: size of the whole payload, offset of the piece."""

LEAST_FRAGMENT: Final = 1024
"""Minimum size of the piece in a fragment, in bytes. The last one of a message may be smaller."""

FRAGMENT_SIZE: Final = 16 * 1024
"""Default size of the pieces into which a payload is cut, in bytes. Payloads up to this size are sent whole."""

COMPRESSION_THRESHOLD: Final = 1024
"""Payloads up to this size in bytes are sent uncompressed."""

COMPRESSION_LEVEL: Final = 6

MAX_DEPTH: Final = 64
"""Maximum number of levels of nested arrays and maps."""

MAX_NDIM: Final = 32
"""Maximum number of dimensions of an ndarray."""

MAX_DIMENSION: Final = 2**32 - 1
"""Maximum size of one dimension of an ndarray."""

DTYPE_KINDS: Final = "biuf"
"""Letters in NumPy for the kinds of dtypes in the protocol: bool, signed and unsigned integers, floats."""

MAX_SAMPLE_SIZE: Final = 8
"""Maximum size of one sample of an ndarray, in bytes."""

DTYPE_NAMES: Final = {
    "bool": ("b1", "?", "bool_"),
    "int8": ("i1", "b", "byte"),
    "int16": ("i2", "h", "short"),
    "int32": ("i4", "i", "intc"),
    "int64": ("i8", "l", "q", "p", "int", "int_", "long", "longlong", "intp"),
    "uint8": ("u1", "B", "ubyte"),
    "uint16": ("u2", "H", "ushort"),
    "uint32": ("u4", "I", "uintc"),
    "uint64": ("u8", "L", "Q", "P", "uint", "ulong", "ulonglong", "uintp"),
    "float16": ("f2", "e", "half"),
    "float32": ("f4", "f", "single"),
    "float64": ("f8", "d", "double", "float"),
}
"""The dtypes in the protocol, and other texts for each that receivers accept: code, letters and names in NumPy."""


def _dtype_spellings() -> dict[str, str]:
    spellings = {}
    for name, others in DTYPE_NAMES.items():
        code = others[0]
        for spelling in (name, *others):
            spellings[spelling] = name
            if spelling == code or len(spelling) == 1:
                spellings |= dict.fromkeys((f"<{spelling}", f"={spelling}", f"|{spelling}"), name)
                spellings[f">{spelling}"] = name if code.endswith("1") else f">{code}"
    return spellings


DTYPE_SPELLINGS: Final = _dtype_spellings()
"""Each text of a dtype that receivers accept, and the text for this dtype in NumPy. The texts that NumPy itself accepts
depend on its version and on the system."""

MAX_DTYPE_LETTERS: Final = 32
"""Maximum length of the text of a dtype."""

DATETIME_SPELLING: Final = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"(?:T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,9}))?)?"
    r"(?:(Z)|([+-])([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{6}))?)?)?)?",
    re.ASCII,
)
"""The text of a date in ISO 8601: day, time and offset from UTC. In addition, the day must exist."""

UUID_SPELLING: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
"""The text of a UUID: hexadecimal digits, upper or lower case, in groups of 8, 4, 4, 4 and 12."""

MAX_VALUES: Final = 2**20
"""Maximum number of values in one payload, which limits the memory that a hostile payload can use. An array, a map, a
key and a text count as 1, a binary as 4, an ndarray as 8. Numbers that are not keys, nil, booleans and the samples of
an ndarray do not count. A value that counts as 1 takes a byte or two in the payload, and about 60 in memory."""

BINARY_VALUES: Final = 4
"""Values that a binary counts for MAX_VALUES, according to its memory in a browser."""

NDARRAY_VALUES: Final = 8
"""Values that an ndarray counts for MAX_VALUES."""


class Check(IntEnum):
    """The checks of a receiver. The first that fails determines the error.

    They are made in the order of their numbers, except for those that version 4 added: FRAGMENT follows CHECKSUM, and
    SIGNATURE follows ENCRYPTION.
    """

    HEADER = 1
    """The header is complete."""
    VERSION = 2
    """The receiver accepts the version."""
    TYPE = 3
    """The version has the type."""
    LIMIT = 4
    """The length is within the limit of the receiver."""
    LENGTH = 5
    """The payload is complete, and no other bytes follow."""
    FLAGS = 6
    """The version has the flags, and form, stream and sequence of a V4 header are valid."""
    CHECKSUM = 7
    """The checksum matches the payload."""
    ENCRYPTION = 8
    """The receiver can open an encrypted payload, and a sealed stream has no other ones."""
    COMPRESSION = 9
    """A compressed payload is exactly one complete zlib stream, zstd frame or LZ4 block."""
    INFLATED_LIMIT = 10
    """The decompressed payload is within the limit of the receiver."""
    PAYLOAD = 11
    """The payload is one MessagePack value of the types in the specification, or a record with a known template."""
    FIELDS = 12
    """The message has the fields of its type, and all are valid."""
    FRAGMENT = 13
    """A fragment continues its message in order, and the message is within the limit of the receiver."""
    SIGNATURE = 14
    """A signature or an attestation is valid, and is present where it is required."""


LAST_FATAL_CHECK: Final = int(Check.FLAGS)
"""The last check whose failure ends a batch: after it, the start of the next frame is unknown."""


class Capability(StrEnum):
    """Features on which two peers can agree when they negotiate."""

    COMPRESSION = "compression"
    TIMESTAMPS = "timestamps"
    PRIORITY = "priority"
    BROADCAST = "broadcast"
    ACK = "ack"
    ENCRYPTION = "encryption"
    NDARRAY_BIN = "ndarray-bin"
    BATCH = "batch"
    TEMPLATES = "templates"
    DELTA = "delta"
    FRAGMENTS = "fragments"
    SIGNING = "signing"
    ZSTD = "zstd"
    LZ4 = "lz4"


CAPABILITY_SINCE: Final = {
    Capability.COMPRESSION: 2,
    Capability.TIMESTAMPS: 3,
    Capability.PRIORITY: 3,
    Capability.BROADCAST: 3,
    Capability.ACK: 3,
    Capability.ENCRYPTION: 3,
    Capability.NDARRAY_BIN: 1,
    Capability.BATCH: 1,
    Capability.TEMPLATES: 4,
    Capability.DELTA: 4,
    Capability.FRAGMENTS: 4,
    Capability.SIGNING: 4,
    Capability.ZSTD: 4,
    Capability.LZ4: 4,
}
"""The first version in which a capability can be used."""

CAPABILITY_OF_FLAG: Final = {
    Flag.PRIORITY: Capability.PRIORITY,
    Flag.BROADCAST: Capability.BROADCAST,
    Flag.ACK_REQUIRED: Capability.ACK,
    Flag.FRAGMENT: Capability.FRAGMENTS,
    Flag.SIGNED: Capability.SIGNING,
}
"""The capability that a peer must have before a sender sets the flag."""

CAPABILITY_OF_ALGORITHM: Final = {
    Algorithm.ZLIB: Capability.COMPRESSION,
    Algorithm.ZSTD: Capability.ZSTD,
    Algorithm.LZ4: Capability.LZ4,
}
"""The capability that a peer must have before a sender compresses with the algorithm."""

ONLY_ANNOUNCED: Final = frozenset(
    {
        Capability.NDARRAY_BIN,
        Capability.BATCH,
        Capability.ENCRYPTION,
        Capability.TEMPLATES,
        Capability.DELTA,
        Capability.FRAGMENTS,
        Capability.SIGNING,
        Capability.ZSTD,
        Capability.LZ4,
    }
)
"""Capabilities that a peer must announce. The others are part of the version that it uses."""


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
"""Seconds without a sent message after which a HEARTBEAT is sent, unless the server announces another interval."""

SILENT_INTERVALS: Final = 3
"""Heartbeat intervals of silence after which a peer counts as dead."""

ERROR_BUDGET: Final = 5
"""Number of errors of a peer within ERROR_WINDOW after which its connection is closed."""

ERROR_WINDOW: Final = 10.0
"""Time in seconds within which errors of a peer are counted."""

MAX_STREAM_NAME: Final = 256
"""Maximum number of characters in the name of a stream."""

MAX_CONTROL_PAYLOAD: Final = 16 * 1024
"""Maximum size of the payload of a control message after decompression, in bytes. For the answer to a SUBSCRIBE of
version 4, it is MAX_ANSWER_PAYLOAD."""

LATEST_MOMENT: Final = 253_402_300_800
"""Unix seconds of the end of the year 9999, the last year of a date. No control message has a later time."""

LARGEST_EXACT_FLOAT: Final = 2**53
"""Largest integer in a control message that every peer reads exactly."""

MAX_BATCH_FRAMES: Final = 4096
"""Maximum number of frames in one WebSocket message."""

MAX_BATCH_PAYLOAD: Final = 4 * 1024 * 1024
"""Maximum size of the payloads of all frames but the first in one WebSocket message together, after decompression, in
bytes. Otherwise few bytes of hostile frames could become thousands of payloads of the largest size."""


# Templates and records of version 4


class RecordFilter(IntEnum):
    """Filter of the samples of a record: its third byte."""

    NONE = 0
    DELTA = 1


class RecordOption(IntFlag, boundary=KEEP):
    """Optional parts of a record: its fourth byte. A receiver rejects other bits."""

    NUMBERED = 0x01
    BOUND = 0x02


RECORD_FIELDS: Final = ("signal", "stream", "timestamp", "sequence")
"""Fields of ECG_DATA that the record or the template itself has. ``fields`` of the template contains all others."""

MAX_TEMPLATE_PAYLOAD: Final = 4096
"""Maximum size of a packed template, in bytes."""

MAX_TEMPLATE_VALUES: Final = 256
"""Maximum number of values in a template, counted as for MAX_VALUES."""

TEMPLATES_IN_FORCE: Final = 16
"""The latest templates of a stream: a writer uses only these, and the answer to SUBSCRIBE contains them."""

TEMPLATES_KEPT: Final = 64
"""Maximum number of templates of one stream that a reader keeps."""

TEMPLATES_PER_MINUTE: Final = 16
"""Maximum number of new templates of one stream in a minute. Messages that need more are sent as MessagePack."""

OPENED_TEMPLATES_PER_MINUTE: Final = 64
"""Maximum number of new templates, and of new epochs, of an opened stream that a server takes in a minute."""

MAX_TEMPLATES_PAYLOAD: Final = 4 * 1024 * 1024
"""Maximum size of all templates of one direction together, packed, in bytes."""

MAX_STREAM_IDS: Final = 4096
"""Maximum number of stream ids that are bound at the same time in one direction."""

MAX_ANSWER_PAYLOAD: Final = MAX_CONTROL_PAYLOAD + TEMPLATES_IN_FORCE * (MAX_TEMPLATE_PAYLOAD + 64)
"""Maximum size of the payload of a SUBSCRIPTION_ACK of version 4, which contains templates, in bytes."""

TEMPLATE_DIGEST_SIZE: Final = 8
"""Bytes of the SHA-256 of a template in a record that is bound to it."""

SMALLEST_SCALE: Final = 1e-100
"""Smallest ``mul`` or ``div`` in the ``scale`` of a template."""

LARGEST_SCALE: Final = 1e100
"""Largest ``mul`` or ``div`` in the ``scale`` of a template."""

DELTA_BLOCK: Final = 32
"""Number of residuals in a block of the filter DELTA. They have the same width."""

DELTA_WIDTH: Final = 24
"""Maximum width of a residual of the filter DELTA, in bits."""

DELTA_STEP: Final = 2**16 - 1
"""Largest step by which the filter DELTA divides the residuals of a lead."""

"""What a signature covers: the digest of a message, and the bytes of an attestation."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from .._core import flatten
from ..errors import InvalidDataFormat
from ..protocol import DIGEST_SIZE, KEY_NAME_SIZE, STREAM_TYPES, TRAILER_SIZE, Check, Form, MessageType, RecordFilter

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "ATTESTED_TYPES",
    "NO_ATTESTATION",
    "SIGNED_TYPES",
    "SIGN_PREFIX",
    "attested_bytes",
    "digest",
    "key_name",
    "too_short",
    "without_trailer",
]

_DIGEST: Final = b"ecgframe digest 1\0"
_LIST: Final = b"ecgframe list 1\0"
_RECORD: Final = int(Form.RECORD)

SIGN_PREFIX: Final = b"ecgframe sign 1\0"
"""Before the digest in what the signature of one message covers."""

NO_ATTESTATION: Final = bytes(DIGEST_SIZE)
"""``previous`` of the first attestation."""

ATTESTED_TYPES: Final = frozenset(map(int, STREAM_TYPES - {MessageType.STREAM_ATTESTATION}))
"""Types of messages that are signed or attested."""

SIGNED_TYPES: Final = frozenset({MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT})
"""Types of messages that are signed one by one: those that cannot wait for an attestation."""


def digest(stream: str, type: int, form: int, payload: Buffer) -> bytes:
    """Return the digest of a message, which its signature or an attestation signs: 32 bytes.

    Args:
        stream: name of the stream; empty for none.
        type: type of the message.
        form: form of the frame. Only RECORD is signed.
        payload: the payload without a trailer, before it was deflated and sealed. A record has the filter NONE:
            ``Template.without_filter`` makes it so.

    Raises:
        ValueError: a record with another filter, or a name with more than 65,535 bytes.
    """
    flat = flatten(payload)
    if form & _RECORD and flat.nbytes > 2 and flat.view(2, 3)[0] != RecordFilter.NONE:
        raise ValueError("the digest of a record is that of the record without filter")
    hashed = sha256(_DIGEST + _name_bytes(stream) + bytes((type, form & _RECORD)))
    hashed.update(flat.view(0, flat.nbytes))
    return hashed.digest()


def without_trailer(payload: memoryview) -> memoryview:
    """Return a signed payload without its trailer, which is not verified.

    Raises:
        InvalidDataFormat: 0x200, check 11; less than 72 bytes.
    """
    end = payload.nbytes - TRAILER_SIZE
    if end < 0:
        raise too_short(payload.nbytes)
    return payload[:end]


def too_short(nbytes: int) -> InvalidDataFormat:
    """Return the error for a signed payload that is too short for a trailer."""
    return InvalidDataFormat(f"a signed payload of {nbytes} bytes; it has {TRAILER_SIZE} at least", check=Check.PAYLOAD)


def key_name(public: bytes) -> bytes:
    """Return the name of a public key: the first 8 bytes of its SHA-256."""
    return sha256(public).digest()[:KEY_NAME_SIZE]


def _name_bytes(stream: str) -> bytes:
    name = stream.encode()
    if len(name) > 0xFFFF:
        raise ValueError(f"a name of {len(name)} bytes; 65535 at most")
    return len(name).to_bytes(2, "big") + name


def attested_bytes(stream: str, epoch: int, number: int, last: bool, previous: bytes, digests: bytes) -> bytes:
    """Return what the signature of an attestation covers, with the fields in their order on the wire."""
    head = _LIST + _name_bytes(stream) + epoch.to_bytes(8, "big") + number.to_bytes(8, "big") + bytes((bool(last),))
    return head + previous + digests

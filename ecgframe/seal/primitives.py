"""AES-256-GCM and HKDF-SHA-256, as sealed payloads use them, and what of a header they protect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..libraries import library
from ..protocol import STREAM_KEY_SIZE, STREAM_TYPES, Flag, Form

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .keys import Key

__all__ = ["PROTECTED_FLAGS", "PROTECTED_FORM", "SEALED_TYPES", "cipher", "decrypt", "derive_cipher", "hkdf"]

_INFO: Final = b"ecgframe seal 1\0"
_DERIVED_SIZE: Final = 44
"""Bytes that are derived for a sender: the key (32) and the IV (12)."""

PROTECTED_FLAGS: Final = {3: int(Flag.COMPRESSED), 4: int(Flag.COMPRESSED | Flag.SIGNED)}
"""Flags that sealing protects, by version."""

PROTECTED_FORM: Final = int(Form.ALGORITHM | Form.RECORD)
"""Bits of the form that sealing protects."""

SEALED_TYPES: Final = frozenset(map(int, STREAM_TYPES))
"""Types of messages that are sealed."""


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """Derive bytes with HKDF-SHA-256 (RFC 5869)."""
    hashes = library("cryptography.hazmat.primitives.hashes", extra="seal", purpose="sealing")
    derivation = library("cryptography.hazmat.primitives.kdf.hkdf", extra="seal", purpose="sealing")
    derived: bytes = derivation.HKDF(hashes.SHA256(), size, salt, info).derive(secret)
    return derived


def cipher(key: bytes) -> Any:
    """Return the cipher AES-256-GCM with a key of 32 bytes, a nonce of 12 and a tag of 16."""
    if len(key) != STREAM_KEY_SIZE:
        raise ValueError(f"a key of {STREAM_KEY_SIZE} bytes")
    return library("cryptography.hazmat.primitives.ciphers.aead", extra="seal", purpose="sealing").AESGCM(key)


def decrypt(aead: Any, nonce: bytes, sealed: Buffer, associated: bytes) -> bytes | None:
    """Decrypt ciphertext and tag; None if the tag does not verify."""
    invalid = library("cryptography.exceptions", extra="seal", purpose="opening").InvalidTag
    try:
        plain: bytes = aead.decrypt(nonce, sealed, associated)
    except invalid:
        return None
    return plain


def derive_cipher(key: Key, sender: bytes) -> tuple[Any, bytes]:
    """Return the cipher and the IV of a sender."""
    okm = hkdf(key.secret, sender, _INFO + key.stream.encode(), _DERIVED_SIZE)
    return cipher(okm[:STREAM_KEY_SIZE]), okm[STREAM_KEY_SIZE:]

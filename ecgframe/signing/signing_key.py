"""The key with which a publisher or a server signs."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

from ..libraries import library
from .digests import ATTESTED_TYPES, SIGN_PREFIX, digest, key_name

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["SigningKey", "ed25519"]

_DERIVE: Final = b"ecgframe derive 1\0"
"""Before what is signed for ``derive_secret``. These signatures are secret; nothing else that is signed begins so."""
_SECRET_SIZE: Final = 32
_MAX_KEY_FILE: Final = 64 * 1024


@final
class SigningKey:
    """An Ed25519 key with which a publisher or a server signs.

    Its secret is in no representation of it, and it cannot be pickled.

    Args:
        secret: 32 random bytes.

    Attributes:
        public: the public key, 32 bytes, which viewers need to verify.
        name: its name, 8 bytes.

    Raises:
        ValueError: not 32 bytes.
        MissingLibrary: the extra ``seal`` is not installed.
    """

    __slots__ = ("_private", "name", "public")

    def __init__(self, secret: bytes) -> None:
        fits = isinstance(secret, (bytes, bytearray)) and len(secret) == _SECRET_SIZE
        if not fits:
            del self, secret  # a report of the error may show the local variables
            raise ValueError(f"the secret of a signing key has {_SECRET_SIZE} bytes")
        self._adopt(ed25519().Ed25519PrivateKey.from_private_bytes(bytes(secret)))

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a random key."""
        return cls(os.urandom(_SECRET_SIZE))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> SigningKey:
        """Read a key from a PEM file (PKCS #8, Ed25519, not encrypted).

        Raises:
            ValueError: the file is not of this form. The text has nothing of the file.
            OSError: the file cannot be read.
        """
        with Path(path).open("rb") as file:
            text = file.read(_MAX_KEY_FILE + 1)
        private, fault = _private_in(text)
        del text
        if fault:
            raise ValueError(f"{os.fspath(path)}: {fault}")
        key = cls.__new__(cls)
        key._adopt(private)
        return key

    def _adopt(self, private: Any) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()
        self.name = key_name(self.public)

    def sign_bytes(self, octets: bytes) -> bytes:
        """Return the Ed25519 signature of bytes, 64 bytes. ``trailer`` and ``Attester`` sign what the protocol says."""
        signature: bytes = self._private.sign(octets)
        return signature

    def derive_secret(self, purpose: str) -> bytes:
        """Return a secret of 32 bytes that only holders of this key can compute; another one for each purpose."""
        return sha256(self.sign_bytes(_DERIVE + purpose.encode())).digest()

    def trailer(self, stream: str, type: int, form: int, payload: Buffer) -> bytes:
        """Return the trailer of a signed payload, 72 bytes. The arguments are those of ``digest``.

        Raises:
            ValueError: as ``digest``; or a control message or an attestation, which are not signed in this way.
        """
        if type not in ATTESTED_TYPES:
            raise ValueError(f"a message of type 0x{type:02x} does not get a trailer")
        return self.name + self.sign_bytes(SIGN_PREFIX + digest(stream, type, form, payload))

    def __repr__(self) -> str:
        return f"SigningKey(name={self.name.hex()})"

    def __copy__(self) -> SigningKey:
        return self

    def __deepcopy__(self, memo: object) -> SigningKey:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signing key cannot be pickled: its secret would be in the pickle")


def ed25519() -> Any:
    """Return the library's module for Ed25519."""
    return library("cryptography.hazmat.primitives.asymmetric.ed25519", extra="seal", purpose="signing")


def _private_in(text: bytes) -> tuple[Any, str]:
    """Return the private key, or what is wrong."""
    if len(text) > _MAX_KEY_FILE:
        return None, f"more than {_MAX_KEY_FILE} bytes"
    serialization = library("cryptography.hazmat.primitives.serialization", extra="seal", purpose="signing")
    unsupported = library("cryptography.exceptions", extra="seal", purpose="signing").UnsupportedAlgorithm
    try:
        private = serialization.load_pem_private_key(text, None)
    except TypeError:
        return None, "the key is encrypted with a passphrase"
    except (ValueError, unsupported):
        return None, "not a private key in PEM (PKCS #8)"
    if not isinstance(private, ed25519().Ed25519PrivateKey):
        return None, "not an Ed25519 key"
    return private, ""

"""Verifies signatures of messages, and attestations, with the public keys of known signers."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from .. import messages
from .._core import flatten, unpack_payload
from ..errors import AuthenticationFailed
from ..libraries import library
from ..protocol import DIGEST_SIZE, KEY_NAME_SIZE, TRAILER_SIZE, Check, MessageType
from .digests import SIGN_PREFIX, attested_bytes, digest, key_name, too_short
from .signing_key import ed25519

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Attestation", "Signature", "Signed", "Verifier", "refused"]

_PUBLIC_SIZE: Final = 32


class Signature(StrEnum):
    """What is known of the signature of a message. A signature that is not right is an error instead."""

    VALID = "valid"
    UNKNOWN_SIGNER = "unknown signer"


class Signed(NamedTuple):
    """A payload with a trailer, divided and verified.

    Attributes:
        payload: the payload without the trailer.
        signature: whether the signature is valid, or the signer unknown. A signature that is not right is an error.
        signer: name of the key, 8 bytes.
    """

    payload: memoryview
    signature: Signature
    signer: bytes


class Attestation(NamedTuple):
    """A STREAM_ATTESTATION, verified.

    Attributes:
        signature: whether the signature is valid, or the signer unknown.
        signer: name of the key, 8 bytes.
        stream: name of the stream.
        epoch: epoch of the stream.
        number: number of the attestation with this key in the epoch, from 1.
        last: whether it is the last one.
        previous: SHA-256 of the payload of the attestation before; zeros for the first.
        digests: the digests, 32 bytes each.
        own: SHA-256 of its own payload, which the next one has as ``previous``.
    """

    signature: Signature
    signer: bytes
    stream: str
    epoch: int
    number: int
    last: bool
    previous: bytes
    digests: tuple[bytes, ...]
    own: bytes


@final
class Verifier:
    """Verifies signatures of the signers that are allowed.

    Args:
        signers: their public keys, 32 bytes each.

    Raises:
        ValueError: a key is not of 32 bytes, or two have the same name.
        MissingLibrary: the extra ``seal`` is not installed.
    """

    def __init__(self, signers: Iterable[bytes]) -> None:
        exceptions = library("cryptography.exceptions", extra="seal", purpose="verifying signatures")
        self._invalid = exceptions.InvalidSignature
        self._keys: dict[bytes, Any] = {}
        public_key = ed25519().Ed25519PublicKey
        for public in dict.fromkeys(map(bytes, signers)):
            if len(public) != _PUBLIC_SIZE:
                raise ValueError(f"a public key of {len(public)} bytes; it has {_PUBLIC_SIZE}")
            name = key_name(public)
            if name in self._keys:
                raise ValueError(f"two signers have the name {name.hex()}")
            self._keys[name] = public_key.from_public_bytes(public)

    def verify_bytes(self, name: bytes, signature: bytes, octets: bytes) -> bool | None:
        """Verify the signature of bytes; None if the signer is not known."""
        key = self._keys.get(name)
        if key is None:
            return None
        try:
            key.verify(signature, octets)
        except self._invalid:
            return False
        return True

    def verify(
        self,
        stream: str,
        type: int,
        form: int,
        payload: Buffer,
        *,
        unfiltered: Buffer | None = None,
        required: bool = False,
    ) -> Signed:
        """Verify a payload with a trailer.

        Args:
            stream: name of the stream; empty for none.
            type: type of the message.
            form: form of the frame.
            payload: the payload with the trailer, opened and inflated.
            unfiltered: the record without filter, where the payload is a record with one.
            required: whether an unknown signer is refused.

        Raises:
            InvalidDataFormat: 0x200, check 11; less than 72 bytes.
            AuthenticationFailed: 0x202, check 14; the signature is not right (``reason`` "signature"), or a known
                signer is required ("signer").
            ValueError: as ``digest``.
        """
        flat = flatten(payload)
        end = flat.nbytes - TRAILER_SIZE
        if end < 0:
            raise too_short(flat.nbytes)
        name = bytes(flat.view(end, end + KEY_NAME_SIZE))
        signature = bytes(flat.view(end + KEY_NAME_SIZE, flat.nbytes))
        body = flat.view(0, end)
        hashed = digest(stream, type, form, body if unfiltered is None else unfiltered)
        return Signed(body, self._judged(name, signature, SIGN_PREFIX + hashed, required), name)

    def attestation(
        self, payload: Buffer, *, stream: str, epoch: int | None = None, required: bool = False
    ) -> Attestation:
        """Verify the payload of a STREAM_ATTESTATION.

        Args:
            payload: the payload, opened and inflated.
            stream: name of the stream of its frame.
            epoch: epoch of the stream; None if it is not known.
            required: whether an unknown signer is refused.

        Raises:
            MissingRequiredFields: 0x201, check 12.
            InvalidDataFormat: 0x200, check 12, for its fields; check 11, if it is not MessagePack.
            AuthenticationFailed: 0x202, check 14; the signature is not right (``reason`` "signature"), it is of another
                stream ("stream") or epoch ("epoch"), or a known signer is required ("signer").
        """
        flat = flatten(payload)
        fields = unpack_payload(flat, 0, flat.nbytes, False, True)
        fields = messages.check_received(MessageType.STREAM_ATTESTATION, fields)
        if fields["stream"] != stream:
            raise refused("an attestation of another stream", "stream")
        if epoch is not None and fields["epoch"] != epoch:
            raise refused(f"an attestation of the epoch {fields['epoch']}; the stream has {epoch}", "epoch")
        name, number, last = bytes(fields["key"]), int(fields["number"]), bool(fields["last"])
        previous, digests = bytes(fields["previous"]), bytes(fields["digests"])
        to_sign = attested_bytes(stream, int(fields["epoch"]), number, last, previous, digests)
        judged = self._judged(name, bytes(fields["signature"]), to_sign, required)
        parts = tuple(digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE))
        own = sha256(flat.view(0, flat.nbytes)).digest()
        return Attestation(judged, name, stream, int(fields["epoch"]), number, last, previous, parts, own)

    def _judged(self, name: bytes, signature: bytes, octets: bytes, required: bool) -> Signature:
        is_right = self.verify_bytes(name, signature, octets)
        if is_right:
            return Signature.VALID
        if is_right is None:
            if required:
                raise refused(f"the signer {name.hex()} is not known", "signer")
            return Signature.UNKNOWN_SIGNER
        raise refused(f"the signature of {name.hex()} is not right", "signature")


def refused(message: str, reason: str) -> AuthenticationFailed:
    """Return the error for a signature or an attestation that is refused."""
    error = AuthenticationFailed(message, check=Check.SIGNATURE)
    error.reason = reason
    return error

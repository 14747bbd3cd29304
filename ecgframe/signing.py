"""Signatures of messages and of streams with Ed25519. Specification: ``docs/protocol.md``, "Signatures".

A signed payload has a trailer with the signature of its digest. All other messages of a stream are attested: once a
second, a STREAM_ATTESTATION signs their digests. It needs the extra ``seal``.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, final

from . import messages
from ._core import flatten, pack_payload, unpack_payload
from .errors import AuthenticationFailed, InvalidDataFormat
from .libraries import library
from .protocol import (
    DEFAULT_MAX_PAYLOAD,
    DIGEST_SIZE,
    KEY_NAME_SIZE,
    LARGEST_SEQUENCE,
    MAX_DIGESTS,
    STREAM_TYPES,
    TRAILER_SIZE,
    Check,
    Form,
    MessageType,
    RecordFilter,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "Attestation",
    "AttestationBook",
    "Attested",
    "Attester",
    "Signature",
    "Signed",
    "SigningKey",
    "Unattested",
    "Verifier",
    "digest",
    "key_name",
    "without_trailer",
]

_DIGEST: Final = b"ecgframe digest 1\0"
_SIGN: Final = b"ecgframe sign 1\0"
_LIST: Final = b"ecgframe list 1\0"
_DERIVE: Final = b"ecgframe derive 1\0"
"""Before what is signed for ``derive_secret``. These signatures are secret; nothing else that is signed begins so."""
_SECRET_SIZE: Final = 32
_PUBLIC_SIZE: Final = 32
_MAX_KEY_FILE: Final = 64 * 1024
_RECORD: Final = int(Form.RECORD)
_TYPES: Final = frozenset(map(int, STREAM_TYPES))
_NONE_BEFORE: Final = bytes(DIGEST_SIZE)
"""``previous`` of the first attestation."""

SIGNED_TYPES: Final = frozenset({MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT})
"""Types of messages that are signed one by one: those that cannot wait for an attestation."""

ATTESTING_SECONDS: Final = 1.0
"""Seconds between two attestations of a stream."""

PATIENCE: Final = 10.0
"""Seconds after which a message that no attestation has named counts as unattested."""

LATER_ATTESTATIONS: Final = 2
"""Attestations of a key after which a message that they have not named counts as unattested."""


class Signature(StrEnum):
    """What is known of the signature of a message. A signature that is not right is an error instead."""

    VALID = "valid"
    UNKNOWN_SIGNER = "unknown signer"


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
    hashed = sha256(_DIGEST + _named(stream) + bytes((type, form & _RECORD)))
    hashed.update(flat.view(0, flat.nbytes))
    return hashed.digest()


def without_trailer(payload: memoryview) -> memoryview:
    """Return a signed payload without its trailer, which is not verified.

    Raises:
        InvalidDataFormat: 0x200, check 11; less than 72 bytes.
    """
    end = payload.nbytes - TRAILER_SIZE
    if end < 0:
        raise _too_short(payload.nbytes)
    return payload[:end]


def _too_short(nbytes: int) -> InvalidDataFormat:
    return InvalidDataFormat(f"a signed payload of {nbytes} bytes; it has {TRAILER_SIZE} at least", check=Check.PAYLOAD)


def key_name(public: bytes) -> bytes:
    """Return the name of a public key: the first 8 bytes of its SHA-256."""
    return sha256(public).digest()[:KEY_NAME_SIZE]


def _named(stream: str) -> bytes:
    name = stream.encode()
    if len(name) > 0xFFFF:
        raise ValueError(f"a name of {len(name)} bytes; 65535 at most")
    return len(name).to_bytes(2, "big") + name


def _to_sign(  # the order of the fields on the wire
    stream: str, epoch: int, number: int, last: bool, previous: bytes, digests: bytes
) -> bytes:
    head = _LIST + _named(stream) + epoch.to_bytes(8, "big") + number.to_bytes(8, "big") + bytes((bool(last),))
    return head + previous + digests


# --- signing ---


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
        self._adopt(_ed25519().Ed25519PrivateKey.from_private_bytes(bytes(secret)))

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
        if type not in _TYPES or type == MessageType.STREAM_ATTESTATION:
            raise ValueError(f"a message of type 0x{type:02x} does not get a trailer")
        return self.name + self.sign_bytes(_SIGN + digest(stream, type, form, payload))

    def __repr__(self) -> str:
        return f"SigningKey(name={self.name.hex()})"

    def __copy__(self) -> SigningKey:
        return self

    def __deepcopy__(self, memo: object) -> SigningKey:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a signing key cannot be pickled: its secret would be in the pickle")


def _ed25519() -> Any:
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
    if not isinstance(private, _ed25519().Ed25519PrivateKey):
        return None, "not an Ed25519 key"
    return private, ""


@final
class Attester:
    """Attests the messages of one stream that a signer publishes. Not for several threads at once.

    Args:
        key: the key of the signer.
        stream: name of the stream.
        epoch: epoch of the stream.

    Attributes:
        key: the key of the signer.
        stream: name of the stream.
        epoch: epoch of the stream, in which attestations are numbered from 1 on.
        waiting: number of digests for the next attestation, at most 4,096.
    """

    def __init__(self, key: SigningKey, stream: str, epoch: int) -> None:
        self.key = key
        self.stream = stream
        self._waiting: list[bytes] = []
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        """Begin another epoch. Attest what is waiting before.

        Raises:
            ValueError: digests are waiting, or the epoch is not an integer from 1 to 2^53 - 1.
        """
        if self._waiting:
            raise ValueError(f"{len(self._waiting)} messages of the epoch before are not attested yet")
        if not 1 <= epoch <= LARGEST_SEQUENCE:
            raise ValueError(f"an epoch is an integer from 1 to {LARGEST_SEQUENCE}")
        self.epoch = epoch
        self._number = 0
        self._previous = _NONE_BEFORE
        self._is_over = False

    def go_on_after(self, number: int, previous: bytes) -> None:
        """Let the next attestation follow one that another holder of the key has made, or this one in an earlier life.

        Args:
            number: of that attestation in the epoch; 0 if there is none.
            previous: SHA-256 of its payload as packed, 32 bytes; zeros if there is none.

        Raises:
            ValueError: ``previous`` is not 32 bytes, or the number is below 0 or above 2^53 - 2.
        """
        if len(previous) != DIGEST_SIZE or not 0 <= number < LARGEST_SEQUENCE:
            raise ValueError(f"the attestation before has a number from 0 on and a hash of {DIGEST_SIZE} bytes")
        self._number, self._previous, self._is_over = number, previous, False

    @property
    def waiting(self) -> int:
        """Number of digests for the next attestation. At 4,096, one has to be made."""
        return len(self._waiting)

    def add(self, type: int, form: int, payload: Buffer) -> None:
        """Add a message that was published without a trailer. The arguments are those of ``digest``.

        Raises:
            ValueError: as ``digest``; an attestation, a control message; 4,096 digests are waiting; or the last
                attestation was made.
        """
        if type not in _TYPES or type == MessageType.STREAM_ATTESTATION:
            raise ValueError(f"a message of type 0x{type:02x} is not attested")
        self.add_digest(digest(self.stream, type, form, payload))

    def add_digest(self, hashed: bytes) -> None:
        """Add a message by its digest. Raises as ``add``."""
        if len(self._waiting) >= MAX_DIGESTS:
            raise ValueError(f"{MAX_DIGESTS} digests are waiting for an attestation")
        if self._is_over:
            raise ValueError("the last attestation of this epoch was made")
        self._waiting.append(hashed)

    def attest(self, *, last: bool = False) -> bytes | None:
        """Make the payload of the next STREAM_ATTESTATION, packed.

        Args:
            last: whether the signer stops. The last attestation is made even if nothing is waiting.

        Returns:
            The payload; None if nothing is waiting.

        Raises:
            ValueError: the last attestation of this epoch was made.
        """
        if self._is_over:
            raise ValueError("the last attestation of this epoch was made")
        if not self._waiting and not last:
            return None
        digests, number = b"".join(self._waiting), self._number + 1
        signature = self.key.sign_bytes(_to_sign(self.stream, self.epoch, number, last, self._previous, digests))
        fields = {
            "stream": self.stream,
            "key": self.key.name,
            "epoch": self.epoch,
            "number": number,
            "last": last,
            "previous": self._previous,
            "digests": digests,
            "signature": signature,
        }
        payload = pack_payload(fields, DEFAULT_MAX_PAYLOAD, False)
        self._waiting, self._number, self._is_over = [], number, last
        self._previous = sha256(payload).digest()
        return payload


# --- verifying ---


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
        public_key = _ed25519().Ed25519PublicKey
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
            raise _too_short(flat.nbytes)
        name = bytes(flat.view(end, end + KEY_NAME_SIZE))
        signature = bytes(flat.view(end + KEY_NAME_SIZE, flat.nbytes))
        body = flat.view(0, end)
        hashed = digest(stream, type, form, body if unfiltered is None else unfiltered)
        return Signed(body, self._judged(name, signature, _SIGN + hashed, required), name)

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
            raise _refused("an attestation of another stream", "stream")
        if epoch is not None and fields["epoch"] != epoch:
            raise _refused(f"an attestation of the epoch {fields['epoch']}; the stream has {epoch}", "epoch")
        name, number, last = bytes(fields["key"]), int(fields["number"]), bool(fields["last"])
        previous, digests = bytes(fields["previous"]), bytes(fields["digests"])
        to_sign = _to_sign(stream, int(fields["epoch"]), number, last, previous, digests)
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
                raise _refused(f"the signer {name.hex()} is not known", "signer")
            return Signature.UNKNOWN_SIGNER
        raise _refused(f"the signature of {name.hex()} is not right", "signature")


def _refused(message: str, reason: str) -> AuthenticationFailed:
    error = AuthenticationFailed(message, check=Check.SIGNATURE)
    error.reason = reason
    return error


# --- what a viewer knows of its messages ---


class Attested(NamedTuple):
    """An attestation has named messages that were delivered before.

    Attributes:
        numbers: sequences of the messages, in their order.
        signer: name of the key, 8 bytes.
        unseen: number of digests of messages that this viewer has not had.
        missing: number of attestations of the signer that did not come since the one before.
        last: whether the signer stops.
    """

    numbers: tuple[int, ...]
    signer: bytes
    unseen: int = 0
    missing: int = 0
    last: bool = False


class Unattested(NamedTuple):
    """No attestation has named these messages in time.

    Attributes:
        numbers: sequences of the messages, in their order.
    """

    numbers: tuple[int, ...]


class _Chain:
    """The attestations of one signer in one epoch."""

    __slots__ = ("arrivals", "number", "own")

    def __init__(self) -> None:
        self.number = 0
        self.own = b""
        self.arrivals: deque[int] = deque(maxlen=LATER_ATTESTATIONS)


@final
class AttestationBook:
    """The messages of one stream that wait for an attestation, at most 4,096. It has no clock: times are arguments.

    Args:
        verifier: verifies the signatures.
        stream: name of the stream.
        epoch: epoch of the stream; ``begin`` begins another.
    """

    def __init__(self, verifier: Verifier, stream: str, epoch: int) -> None:
        self._verifier = verifier
        self._stream = stream
        self._epoch = epoch
        self._chains: dict[bytes, _Chain] = {}
        self._over: set[bytes] = set()
        self._arrivals = 0
        """Attestations that have come."""
        self._waiting: OrderedDict[int, tuple[bytes, int, float]] = OrderedDict()
        """Digest, attestations before it and time of each message, by its sequence."""
        self._by_digest: dict[bytes, deque[int]] = {}

    @property
    def waiting(self) -> int:
        """Number of messages that wait for an attestation."""
        return len(self._waiting)

    def begin(self, epoch: int) -> Unattested | None:
        """Begin another epoch. What is waiting is not attested any more."""
        self._epoch = epoch
        self._chains.clear()
        self._over.clear()
        return self._let_go(list(self._waiting))

    def add(self, number: int, digest: bytes, now: float) -> Unattested | None:
        """Add a message without a trailer that was delivered.

        Args:
            number: its sequence in the epoch.
            digest: its digest.
            now: time in seconds, of any clock that does not step.

        Returns:
            What is unattested now, since it waited too long or is the oldest of more than 4,096.
        """
        if number in self._waiting:
            return self.expire(now)
        self._waiting[number] = (digest, self._arrivals, now)
        self._by_digest.setdefault(digest, deque()).append(number)
        return self._expire(now)

    def attest(self, payload: Buffer, now: float, *, required: bool = False) -> list[Attested | Unattested]:
        """Take the payload of a STREAM_ATTESTATION.

        An attestation of an unknown signer changes nothing.

        Returns:
            What is attested, then what is unattested now.

        Raises:
            ProtocolError: as ``Verifier.attestation``; and 0x202, check 14, ``reason`` "attestation", if its number
                was received before or ``previous`` is not the attestation before.
        """
        attestation = self._verifier.attestation(payload, stream=self._stream, epoch=self._epoch, required=required)
        if attestation.signature is not Signature.VALID:
            return []
        missing = self._follow(attestation)
        found = []
        for one in attestation.digests:
            numbers = self._by_digest.get(one)
            if numbers:
                number = numbers[0]
                found.append(number)
                self._forget(number)
        self._arrivals += 1
        events: list[Attested | Unattested] = [
            Attested(
                tuple(sorted(found)),
                attestation.signer,
                len(attestation.digests) - len(found),
                missing,
                attestation.last,
            )
        ]
        late = self._expire(now)
        return events if late is None else [*events, late]

    def wait_anew(self, now: float) -> None:
        """Let each message wait as if it had come now, as after a connection was lost."""
        for number, (digest, arrivals, _) in self._waiting.items():
            self._waiting[number] = (digest, arrivals, now)

    def expire(self, now: float) -> Unattested | None:
        """Return what is unattested now. To be called from time to time."""
        return self._expire(now)

    def _follow(self, attestation: Attestation) -> int:
        """Compare an attestation with the one before. Returns how many are missing between them."""
        chain = self._chains.get(attestation.signer)
        if chain is None:
            if attestation.signer in self._over:
                raise _refused("an attestation after the last one of its signer", "attestation")
            if attestation.number == 1 and attestation.previous != _NONE_BEFORE:
                raise _refused("the first attestation names one before it", "attestation")
            chain = self._chains[attestation.signer] = _Chain()
            missing = 0  # a viewer may come at any time
        else:
            if attestation.number <= chain.number:
                raise _refused(f"attestation {attestation.number}; {chain.number} was received before", "attestation")
            missing = attestation.number - chain.number - 1
            if not missing and attestation.previous != chain.own:
                raise _refused(f"attestation {attestation.number} does not follow the one before", "attestation")
        chain.number, chain.own = attestation.number, attestation.own
        chain.arrivals.append(self._arrivals)
        if attestation.last:
            del self._chains[attestation.signer]
            self._over.add(attestation.signer)
        return missing

    def _expire(self, now: float) -> Unattested | None:
        """Let go of messages that every signer passed over twice, that waited 10 s, or that are too many."""
        passed = [
            chain.arrivals[0] if len(chain.arrivals) == LATER_ATTESTATIONS else -1 for chain in self._chains.values()
        ]
        twice = min(passed, default=-1)
        late: list[int] = []
        excess = len(self._waiting) - MAX_DIGESTS
        for number, (_, arrivals, since) in self._waiting.items():
            if len(late) >= excess and arrivals > twice and now - since < PATIENCE:
                break
            late.append(number)
        return self._let_go(late)

    def _let_go(self, numbers: list[int]) -> Unattested | None:
        for number in numbers:
            self._forget(number)
        return Unattested(tuple(sorted(numbers))) if numbers else None

    def _forget(self, number: int) -> None:
        digest, *_ = self._waiting.pop(number)
        numbers = self._by_digest[digest]
        numbers.remove(number)
        if not numbers:
            del self._by_digest[digest]

    def __repr__(self) -> str:
        return f"AttestationBook({self._stream!r}, epoch={self._epoch}, waiting={len(self._waiting)})"

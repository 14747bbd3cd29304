"""Attests the messages of a stream: signs their digests together, once a second."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, final

from .._core import pack_payload
from ..protocol import DEFAULT_MAX_PAYLOAD, DIGEST_SIZE, LARGEST_SEQUENCE, MAX_DIGESTS
from .digests import ATTESTED_TYPES, NO_ATTESTATION, attested_bytes, digest

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .signing_key import SigningKey

__all__ = ["ATTESTING_SECONDS", "Attester"]

ATTESTING_SECONDS: Final = 1.0
"""Seconds between two attestations of a stream."""


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
        self._previous = NO_ATTESTATION
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
        if type not in ATTESTED_TYPES:
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
        signature = self.key.sign_bytes(attested_bytes(self.stream, self.epoch, number, last, self._previous, digests))
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

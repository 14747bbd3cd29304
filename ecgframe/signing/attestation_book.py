"""Which messages of a stream have been attested, and which wait for an attestation."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

from ..protocol import MAX_DIGESTS
from .digests import NO_ATTESTATION
from .verifier import Attestation, Signature, Verifier, refused

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LATER_ATTESTATIONS", "PATIENCE", "AttestationBook", "Attested", "Unattested"]

PATIENCE: Final = 10.0
"""Seconds after which a message that no attestation has named counts as unattested."""

LATER_ATTESTATIONS: Final = 2
"""Attestations of a key after which a message that they have not named counts as unattested."""


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
                raise refused("an attestation after the last one of its signer", "attestation")
            if attestation.number == 1 and attestation.previous != NO_ATTESTATION:
                raise refused("the first attestation names one before it", "attestation")
            chain = self._chains[attestation.signer] = _Chain()
            missing = 0  # a viewer may come at any time
        else:
            if attestation.number <= chain.number:
                raise refused(f"attestation {attestation.number}; {chain.number} was received before", "attestation")
            missing = attestation.number - chain.number - 1
            if not missing and attestation.previous != chain.own:
                raise refused(f"attestation {attestation.number} does not follow the one before", "attestation")
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

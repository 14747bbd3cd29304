"""The attestations of one stream, over all connections of a viewer: which of its messages a signer has attested.

Section "Signatures" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Final

from ..protocol import MAX_DIGESTS
from ..signing import AttestationBook, Unattested
from ..signing.attestation_book import PATIENCE

if TYPE_CHECKING:
    from ..signing import Attested, Verifier

REMEMBERED: Final = 2 * MAX_DIGESTS
"""Numbers of messages that are remembered, so that a repeated message is not attested twice."""

BETWEEN: Final = 1.0
"""Seconds between two searches for messages that were not attested in time, at least."""


class StreamAttestations:
    """Messages that wait for an attestation, and those that had one. It has no clock: times are arguments.

    Args:
        verifier: verifies the signatures.
        stream: name of the stream.
    """

    __slots__ = ("_book", "_epoch", "_look_at", "_noted", "_stream", "_verifier")

    def __init__(self, verifier: Verifier, stream: str) -> None:
        self._verifier = verifier
        self._stream = stream
        self._book: AttestationBook | None = None
        self._epoch = 0
        self._noted: OrderedDict[int, None] = OrderedDict()
        self._look_at = inf

    @property
    def deadline(self) -> float:
        """The time at which to call ``expire`` next; infinite if nothing waits."""
        return self._look_at

    def note(self, epoch: int, number: int, digest: bytes, now: float) -> Unattested | None:
        """Add a message that was handed on and has no signature of its own.

        Args:
            epoch: of its number.
            number: its number in the stream.
            digest: its digest.
            now: time in seconds, of any clock that does not step.

        Returns:
            The messages that remain unattested: their epoch has ended, or too many messages wait.
        """
        book, late = self._enter(epoch)
        if self._note_number(number):
            return late
        self._look_at = min(self._look_at, now + PATIENCE)
        more = book.add(number, digest, now)
        return late if more is None else _joined(late, more)

    def attest(self, epoch: int, number: int, payload: bytes, now: float) -> list[Attested | Unattested]:
        """Take an attestation. A repeated one, or one of an epoch that has ended, changes nothing.

        Args:
            epoch: of the number.
            number: of the attestation as a message of the stream.
            payload: as packed.
            now: time in seconds.

        Raises:
            ProtocolError: as ``AttestationBook.attest``.
        """
        book, late = self._enter(epoch)
        found = [] if self._note_number(number) else book.attest(payload, now)
        return found if late is None else [late, *found]

    def expire(self, now: float) -> Unattested | None:
        """Return what was not attested in time. To be called at ``deadline``."""
        if self._book is None or not self._book.waiting:
            self._look_at = inf
            return None
        late = self._book.expire(now)
        self._look_at = now + BETWEEN if self._book.waiting else inf
        return late

    def resume(self, now: float) -> None:
        """Note that another connection begins: what waits may be attested by what comes over it."""
        if self._book is not None and self._book.waiting:
            self._book.wait_anew(now)
            self._look_at = now + PATIENCE

    def _enter(self, epoch: int) -> tuple[AttestationBook, Unattested | None]:
        late = None
        if self._book is None:
            self._book = AttestationBook(self._verifier, self._stream, epoch)
        elif epoch != self._epoch:
            late = self._book.begin(epoch)
            self._noted.clear()
        self._epoch = epoch
        return self._book, late

    def _note_number(self, number: int) -> bool:
        """Note a number. Returns whether it was noted before."""
        if number in self._noted:
            return True
        self._noted[number] = None
        if len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
        return False

    def __repr__(self) -> str:
        return f"StreamAttestations({self._stream!r}, {0 if self._book is None else self._book.waiting} waiting)"


def _joined(one: Unattested | None, other: Unattested) -> Unattested:
    return other if one is None else Unattested((*one.numbers, *other.numbers))

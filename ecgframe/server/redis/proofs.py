"""Proves to servers with the same signing key which messages in Redis one of them has published.

Whoever can write to Redis could otherwise have a server sign what nobody of these has published. Section "Signatures"
of the specification.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from ..backplane import PublishedBy

if TYPE_CHECKING:
    from ...signing import SigningKey

_PURPOSE: Final = "servers that share Redis"


class Proofs:
    """Makes and checks the proofs of one signing key: HMAC-SHA-256 of stream, server, number and frame.

    The numbers of a server rise, and each is taken once, so that an entry cannot be repeated, or moved before another
    one of its server.

    Args:
        signer: the key.
    """

    def __init__(self, signer: SigningKey) -> None:
        self._secret = signer.derive_secret(_PURPOSE)

    def make(self, stream: str, origin: bytes, number: int, frame: bytes) -> bytes:
        """Return the proof of a message, 32 bytes.

        Args:
            stream: name of the stream.
            origin: id of the server that publishes it.
            number: of the message on that server.
            frame: its bytes in Redis.
        """
        name = stream.encode()
        head = b"%d %d %d " % (len(name), len(origin), number)
        return hmac.digest(self._secret, head + name + origin + frame, "sha256")

    def judge(self, stream: str, origin: bytes, number: int, frame: bytes, proof: bytes) -> PublishedBy:
        """Return who has published a message that was read from Redis. See ``make``."""
        is_right = hmac.compare_digest(self.make(stream, origin, number, frame), proof)
        return PublishedBy.ALIKE if is_right else PublishedBy.OTHERS

    def __repr__(self) -> str:
        return "Proofs()"

"""Signatures of messages and of streams with Ed25519. Specification: ``docs/protocol.md``, "Signatures".

A signed payload has a trailer with the signature of its digest. All other messages of a stream are attested: once a
second, a STREAM_ATTESTATION signs their digests. It needs the extra ``seal``.
"""

from __future__ import annotations

from .attestation_book import AttestationBook, Attested, Unattested
from .attester import Attester
from .digests import digest, key_name, without_trailer
from .signing_key import SigningKey
from .verifier import Attestation, Signature, Signed, Verifier

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

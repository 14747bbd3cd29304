"""The published vectors of AES-GCM, HKDF and Ed25519 through this package's own functions."""

from __future__ import annotations

import public_vectors
import pytest

pytest.importorskip("cryptography")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(public_vectors.folder() is None, reason=f"{public_vectors.VARIABLE} names no folder of vectors"),
]

from ecgframe.seal import primitives  # noqa: E402 - after the skip
from ecgframe.signing import SigningKey, Verifier, key_name  # noqa: E402


@pytest.fixture(scope="module")
def cases():
    return public_vectors.cases()


def octets(case, *names):
    return [bytes.fromhex(case[name]) for name in names]


def test_gcm(cases):
    valid = 0
    for case in cases["gcm"]:
        key, nonce, associated, plain, sealed = octets(case, "key", "nonce", "associated", "plain", "sealed")
        cipher = primitives.cipher(key)
        assert primitives.decrypt(cipher, nonce, sealed, associated) == (plain if case["valid"] else None), case["name"]
        if case["valid"]:
            assert cipher.encrypt(nonce, plain, associated) == sealed, case["name"]
            valid += 1
    assert len(cases["gcm"]) > valid > 0


def test_hkdf(cases):
    for case in cases["hkdf"]:
        secret, salt, info, okm = octets(case, "secret", "salt", "info", "okm")
        assert primitives.hkdf(secret, salt, info, len(okm)) == okm, case["name"]
    assert cases["hkdf"]


def test_ed25519(cases):
    for case in cases["ed25519"]:
        public, message, signature = octets(case, "public", "message", "signature")
        found = Verifier([public]).verify_bytes(key_name(public), signature, message)
        assert found is case["valid"], case["name"]
        if "secret" in case:
            own = SigningKey(bytes.fromhex(case["secret"]))
            assert (own.public, own.sign_bytes(message)) == (public, signature), case["name"]
    assert {case["valid"] for case in cases["ed25519"]} == {True, False}

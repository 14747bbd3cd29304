"""Sealing and opening, compared with the cipher alone; signing and verifying.

``test_sealing_costs_little_more_than_its_cipher`` compares both in one process, in turns: sealing takes at most 1.2
times as long as ``AESGCM.encrypt`` of the same bytes, plus 0.5 µs.
"""

import os
from time import perf_counter

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecgframe.seal import Key, Opener, Sealer, StoredKeys
from ecgframe.signing import SigningKey, Verifier

SIZES = [300, 620, 2_000, 50_000]
KEY = Key(9, "ecg/bed-7", bytes(range(32)))
ROUNDS, CALLS = 400, 50
each_size = pytest.mark.parametrize("size", SIZES)


def seal(sealer, payload):
    return sealer.seal(payload, version=4, type=1, flags=0, form=4)


@each_size
def test_seal(measure, size):
    payload, sealer = os.urandom(size), Sealer(KEY)
    sealed = measure(f"seal {size} B", "Sealer.seal", seal, sealer, payload)
    assert Opener(StoredKeys([KEY])).open(sealed, version=4, type=1, form=4, stream="ecg/bed-7").payload == payload


@each_size
def test_the_cipher_alone(measure, size):
    payload = os.urandom(size)
    measure(f"seal {size} B", "AESGCM.encrypt", AESGCM(bytes(32)).encrypt, bytes(12), payload, bytes(19))


@each_size
def test_open(measure, size):
    opener, sealed = Opener(StoredKeys([KEY])), seal(Sealer(KEY), os.urandom(size))
    how = {"version": 4, "type": 1, "form": 4, "stream": "ecg/bed-7"}
    measure(f"open {size} B", "Opener.open", lambda: opener.open(sealed, **how))


@each_size
def test_the_cipher_alone_opens(measure, size):
    cipher = AESGCM(bytes(32))
    sealed = cipher.encrypt(bytes(12), os.urandom(size), bytes(19))
    measure(f"open {size} B", "AESGCM.decrypt", cipher.decrypt, bytes(12), sealed, bytes(19))


def test_sign_and_verify(measure):
    key = SigningKey(bytes(32))
    payload = bytes(620)
    trailer = measure("sign 620 B", "SigningKey.trailer", key.trailer, "ecg/bed-7", 2, 0, payload)
    assert Verifier([key.public]).verify("ecg/bed-7", 2, 0, payload + trailer).signature == "valid"


def test_verify(measure):
    key = SigningKey(bytes(32))
    signed = bytes(620) + key.trailer("ecg/bed-7", 2, 0, bytes(620))
    measure("verify 620 B", "Verifier.verify", Verifier([key.public]).verify, "ecg/bed-7", 2, 0, signed)


def fastest(*functions):
    """Return the fastest of many short rounds of each function, in µs a call. The functions take turns."""
    found = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(functions):
            begin = perf_counter()
            for _ in range(CALLS):
                function()
            found[i] = min(found[i], (perf_counter() - begin) / CALLS * 1e6)
    return found


@each_size
def test_sealing_costs_little_more_than_its_cipher(size, benchmark):
    payload, sealer, encrypt = os.urandom(size), Sealer(KEY), AESGCM(bytes(32)).encrypt
    nonce, associated = bytes(12), bytes(19)
    if benchmark.disabled:
        pytest.skip("measures time")
    bare, sealing = fastest(
        lambda: encrypt(nonce, payload, associated),
        lambda: sealer.seal(payload, version=4, type=1, flags=0, form=4),
    )
    benchmark.group, benchmark.name = f"seal {size} B", "ratio"
    benchmark.extra_info.update(bare=bare, sealing=sealing)
    benchmark.pedantic(lambda: None)
    assert sealing <= 1.2 * bare + 0.5, f"{sealing:.2f} µs, the cipher alone {bare:.2f} µs"

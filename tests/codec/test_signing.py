"""Signatures of messages and of streams: the vectors, what is refused, and what a viewer knows of its messages."""

import json
import pickle
from hashlib import sha256

import pytest
from cases import each_case
from rendering import VECTORS

pytest.importorskip("cryptography")

import ecgframe
from ecgframe import ProtocolError, protocol
from ecgframe.messages.templates import Template
from ecgframe.signing import (
    AttestationBook,
    Attested,
    Attester,
    Signature,
    SigningKey,
    Unattested,
    Verifier,
    digest,
    key_name,
)

V = json.loads((VECTORS / "seal.json").read_text(encoding="utf-8"))
SECRET, PUBLIC, NAME = (bytes.fromhex(V["signer"][name]) for name in ("secret", "public", "name"))
KEY = SigningKey(SECRET)
OTHER = SigningKey(bytes(32))
VERIFIER = Verifier([PUBLIC])
ALERT = bytes.fromhex(V["signed"][0]["payload"])
SIGNED = ALERT + bytes.fromhex(V["signed"][0]["trailer"])


def verdict(work):
    with pytest.raises(ProtocolError) as caught:
        work()
    return f"0x{caught.value.code:x}", caught.value.check, caught.value.reason


@each_case("vector", V["signed"], ids=lambda one: one["name"])
def test_the_signed_vectors(vector):
    how = vector["stream"], vector["type"], vector["form"]
    payload, trailer = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["trailer"])
    assert digest(*how, payload).hex() == vector["digest"]
    assert KEY.trailer(*how, payload) == trailer
    assert VERIFIER.verify(*how, payload + trailer) == (payload, Signature.VALID, NAME)


def test_the_attestations():
    attester, book = Attester(KEY, "ecg/1", 1000), AttestationBook(VERIFIER, "ecg/1", 1000)
    for index, vector in enumerate(V["attestations"]):
        attester._waiting = [bytes.fromhex(one) for one in vector["digests"]]
        payload = attester.attest(last=index == 2)
        assert payload.hex() == vector["payload"]
        assert ecgframe.decode(ecgframe.encode(0x24, ecgframe.unpack(payload), version=4)).data["key"] == NAME
        told = VERIFIER.attestation(payload, stream="ecg/1", epoch=1000)
        assert (told.signature, told.signer, told.number, told.last) == ("valid", NAME, index + 1, index == 2)
        assert [one.hex() for one in told.digests] == vector["digests"]
        [event] = book.attest(payload, 0)
        assert event == Attested((), NAME, len(vector["digests"]), 0, index == 2)
    with pytest.raises(ValueError, match="last attestation"):
        attester.attest()
    with pytest.raises(ValueError, match="last attestation"):
        attester.add(2, 0, ALERT)
    attester.begin(1001)
    assert attester.attest() is None


def test_a_record_is_hashed_without_filter():
    record = bytes.fromhex("00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00")
    template = Template(1, "ecg/1", "int16", 2, {})
    plain = template.without_filter(record)
    assert digest("ecg/1", 1, 4, plain).hex() == V["signed"][1]["digest"]
    with pytest.raises(ValueError, match="without filter"):
        digest("ecg/1", 1, 4, record)
    trailer = KEY.trailer("ecg/1", 1, 4, plain)
    found = VERIFIER.verify("ecg/1", 1, 4, record + trailer, unfiltered=plain)
    assert (found.payload, found.signature) == (record, "valid")


@each_case("vector", V["primitives"]["ed25519"], ids=lambda one: one["name"])
def test_ed25519(vector):
    public, message, signature = (bytes.fromhex(vector[name]) for name in ("public", "message", "signature"))
    verifier = Verifier([public])
    assert verifier.verify_bytes(key_name(public), signature, message) is vector["valid"]
    if "secret" in vector:
        assert SigningKey(bytes.fromhex(vector["secret"])).sign_bytes(message) == signature


def test_every_bit_that_is_flipped():
    end = 8 * (len(SIGNED) - protocol.TRAILER_SIZE)
    for bit in range(0, 8 * len(SIGNED), 3):
        flipped = bytearray(SIGNED)
        flipped[bit // 8] ^= 1 << bit % 8
        if end <= bit < end + 64:
            assert VERIFIER.verify("ecg/1", 2, 0, flipped).signature is Signature.UNKNOWN_SIGNER
        else:
            assert verdict(lambda flipped=flipped: VERIFIER.verify("ecg/1", 2, 0, flipped)) == (
                "0x202",
                14,
                "signature",
            )


@pytest.mark.parametrize(("stream", "type"), [("ecg/2", 2), ("", 2), ("ecg/1", 1)])
def test_a_signature_moved_elsewhere(stream, type):
    assert verdict(lambda: VERIFIER.verify(stream, type, 0, SIGNED)) == ("0x202", 14, "signature")


def test_a_payload_shorter_than_a_signature_is_refused():
    for size in (0, 71):
        assert verdict(lambda size=size: VERIFIER.verify("ecg/1", 2, 0, SIGNED[-size:] if size else b"")) == (
            "0x200",
            11,
            None,
        )
    assert verdict(lambda: VERIFIER.verify("ecg/1", 2, 0, SIGNED[-72:]))[2] == "signature"


def test_an_unknown_signer():
    trailer = OTHER.trailer("ecg/1", 2, 0, ALERT)
    assert VERIFIER.verify("ecg/1", 2, 0, ALERT + trailer).signature == "unknown signer"
    required = ("0x202", 14, "signer")
    assert verdict(lambda: VERIFIER.verify("ecg/1", 2, 0, ALERT + trailer, required=True)) == required
    payload = attested(Attester(OTHER, "ecg/1", 1000))
    book = AttestationBook(VERIFIER, "ecg/1", 1000)
    book.add(1, hashed(0), 0)
    assert book.attest(payload, 0) == []
    assert book.waiting == 1
    assert verdict(lambda: book.attest(payload, 0, required=True)) == required


def test_an_unsigned_message_is_reported_as_unsigned():
    for type in (0x11, 0x20, 0x24):
        with pytest.raises(ValueError, match="does not get a trailer"):
            KEY.trailer("s", type, 0, b"")
        with pytest.raises(ValueError, match="not attested"):
            Attester(KEY, "s", 1).add(type, 0, b"")
    for epoch in (0, 2**53):
        with pytest.raises(ValueError, match="epoch"):
            Attester(KEY, "s", epoch)
    with pytest.raises(ValueError, match="65535"):
        digest("s" * 65536, 1, 0, b"")


# --- attestations ---


def message(number):
    return ecgframe.pack({"kind": "beat", "timestamp": float(number)})


def hashed(number):
    return digest("ecg/1", 2, 0, message(number))


def attested(attester, *numbers, last=False):
    for number in numbers or (0,):
        attester.add(2, 0, message(number))
    return attester.attest(last=last)


def test_messages_are_attested_by_their_digests():
    attester, book = Attester(KEY, "ecg/1", 1000), AttestationBook(VERIFIER, "ecg/1", 1000)
    for number in (1, 2, 4):
        assert book.add(number, hashed(number), 0.0) is None
    assert attester.waiting == 0
    assert book.attest(attested(attester, 1, 2, 3), 1.0) == [Attested((1, 2), NAME, 1)]
    assert book.attest(attested(attester, 5), 2.0) == [Attested((), NAME, 1), Unattested((4,))]
    assert book.waiting == 0


def test_messages_without_an_attestation_are_reported():
    attester, book = Attester(KEY, "ecg/1", 1000), AttestationBook(VERIFIER, "ecg/1", 1000)
    book.add(1, hashed(1), 0.0)
    assert book.expire(9.9) is None
    assert book.expire(10.0) == Unattested((1,))
    assert book.expire(99.0) is None
    book.add(2, hashed(2), 20.0)
    assert book.attest(attested(attester, 3), 21.0) == [Attested((), NAME, 1)]
    book.add(5, hashed(5), 21.5)
    assert book.attest(attested(attester, 4), 22.0) == [Attested((), NAME, 1), Unattested((2,))]
    assert book.begin(1001) == Unattested((5,))
    assert book.begin(1002) is None


def test_another_signer_of_the_stream_does_not_count():
    one, two = Attester(KEY, "ecg/1", 1000), Attester(OTHER, "ecg/1", 1000)
    book = AttestationBook(Verifier([PUBLIC, OTHER.public]), "ecg/1", 1000)
    book.attest(attested(one, 90), 0.0)
    book.attest(attested(two, 91), 0.0)
    book.add(1, hashed(1), 0.0)
    for number in (92, 93, 94):
        [event] = book.attest(attested(two, number), 0.0)
        assert event.signer == OTHER.name
    assert book.attest(attested(one, 1), 0.0) == [Attested((1,), NAME)]


def test_a_message_that_was_sent_twice_is_attested_once():
    attester, book = Attester(KEY, "ecg/1", 1000), AttestationBook(VERIFIER, "ecg/1", 1000)
    book.add(1, hashed(1), 0.0)
    book.add(2, hashed(1), 0.0)
    book.add(2, hashed(1), 0.0)
    assert book.attest(attested(attester, 1), 1.0) == [Attested((1,), NAME)]
    assert book.expire(10.0) == Unattested((2,))


def test_at_most_4096_messages_wait_for_their_attestation():
    book = AttestationBook(VERIFIER, "ecg/1", 1000)
    for number in range(1, 4097):
        assert book.add(number, sha256(bytes(number)).digest(), 0.0) is None
    assert book.add(4097, hashed(0), 0.0) == Unattested((1,))
    assert (book.waiting, len(book._by_digest)) == (4096, 4096)
    attester = Attester(KEY, "ecg/1", 1)
    for number in range(4096):
        attester.add(2, 0, message(number))
    with pytest.raises(ValueError, match="4096 digests"):
        attester.add(2, 0, b"")
    with pytest.raises(ValueError, match="not attested yet"):
        attester.begin(2)
    assert len(VERIFIER.attestation(attester.attest(), stream="ecg/1").digests) == 4096


def test_the_chain_of_attestations():
    attester, book = Attester(KEY, "ecg/1", 1000), AttestationBook(VERIFIER, "ecg/1", 1000)
    payloads = [attested(attester, number, last=number == 6) for number in range(1, 7)]
    assert book.attest(payloads[1], 0)[0].missing == 0  # a viewer may come later
    wrong = ("0x202", 14, "attestation")
    assert verdict(lambda: book.attest(payloads[1], 0)) == wrong
    assert verdict(lambda: book.attest(payloads[0], 0)) == wrong
    assert book.attest(payloads[4], 0)[0].missing == 2
    other = Attester(KEY, "ecg/1", 1000)
    forged = [attested(other, 100 + number) for number in range(6)]
    assert verdict(lambda: book.attest(forged[5], 0)) == wrong  # of the same signer, but it follows another one
    assert book.attest(payloads[5], 0)[0].last is True
    assert verdict(lambda: book.attest(payloads[5], 0)) == wrong
    other._number = 0
    fresh = AttestationBook(VERIFIER, "ecg/1", 1000)
    assert verdict(lambda: fresh.attest(attested(other, 7), 0)) == wrong  # number 1 with one before it


def test_an_attestation_that_was_changed():
    payload = attested(Attester(KEY, "ecg/1", 1000))
    how = {"stream": "ecg/1", "epoch": 1000}
    told = ecgframe.unpack(payload)
    changes = {"number": 2, "last": True, "previous": bytes([1] * 32), "digests": bytes(64), "signature": bytes(64)}
    for name, value in changes.items():
        changed = ecgframe.pack(told | {name: value})
        assert verdict(lambda changed=changed: VERIFIER.attestation(changed, **how)) == ("0x202", 14, "signature"), name
    for name, value, reason in [("stream", "ecg/2", "stream"), ("epoch", 1001, "epoch")]:
        changed = ecgframe.pack(told | {name: value})
        assert verdict(lambda changed=changed: VERIFIER.attestation(changed, **how)) == ("0x202", 14, reason)
        other = how | {name: value}
        assert verdict(lambda changed=changed, other=other: VERIFIER.attestation(changed, **other))[2] == "signature"
        assert verdict(lambda other=other: VERIFIER.attestation(payload, **other))[2] == reason
    for name in told:
        without = ecgframe.pack({key: value for key, value in told.items() if key != name})
        assert verdict(lambda without=without: VERIFIER.attestation(without, **how))[:2] == ("0x201", 12)
    assert verdict(lambda: VERIFIER.attestation(payload[:-1], **how))[:2] == ("0x200", 11)
    assert verdict(lambda: VERIFIER.attestation(ecgframe.pack(told | {"digests": bytes(31)}), **how))[:2] == (
        "0x200",
        12,
    )


# --- keys ---


def test_keys_of_files(tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

    def write(private, encryption):
        path.write_bytes(private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encryption))

    path, private = tmp_path / "key.pem", ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
    write(private, s.NoEncryption())
    assert SigningKey.from_file(path).name == NAME
    assert SigningKey.from_file(path).trailer("ecg/1", 2, 0, ALERT) == SIGNED[-72:]
    text = path.read_bytes()
    write(private, s.BestAvailableEncryption(b"pass"))
    with pytest.raises(ValueError, match=r"key\.pem.*passphrase"):
        SigningKey.from_file(path)
    write(x25519.X25519PrivateKey.generate(), s.NoEncryption())
    with pytest.raises(ValueError, match="not an Ed25519 key"):
        SigningKey.from_file(path)
    for faulty in (b"", text[:60], b"x" * 70_000):
        path.write_bytes(faulty)
        with pytest.raises(ValueError, match=r"key\.pem"):
            SigningKey.from_file(path)
    with pytest.raises(FileNotFoundError):
        SigningKey.from_file(tmp_path / "none.pem")


def test_secrets_are_in_no_text_and_no_pickle():
    assert repr(KEY) == f"SigningKey(name={NAME.hex()})"
    for number in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(KEY, number)
    with pytest.raises(ValueError, match="32 bytes") as caught:
        SigningKey(SECRET[:-1])
    assert repr(SECRET)[2:20] not in repr(caught.value.__traceback__.tb_next.tb_frame.f_locals)
    assert SigningKey.generate().public != SigningKey.generate().public
    assert KEY.public == PUBLIC


def test_allowed_signers():
    assert Verifier([PUBLIC, PUBLIC]).verify_bytes(NAME, SIGNED[-64:], b"") is False
    assert Verifier([]).verify_bytes(NAME, SIGNED[-64:], b"") is None
    with pytest.raises(ValueError, match="31 bytes"):
        Verifier([PUBLIC[:-1]])

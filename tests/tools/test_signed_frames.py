"""Signed frames and attestations as the tools show them."""

import json
import zlib

import pytest
from command_line import run
from tools.test_sealed_frames import SAMPLES, TEMPLATE
from tools.test_verification import _flipped, _with, frames_of, recording  # noqa: F401 - a fixture

from ecgframe import Codec, Flag, MessageType
from ecgframe._core import build_frame
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery
from ecgframe.tools.sizes import SizeAnalysis

pytest.importorskip("cryptography")

from ecgframe.seal import Key, Sealer, StoredKeys
from ecgframe.signing import SigningKey, Verifier

SIGNER = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(32))
STREAM = "ecg/1"
ALERT = {"kind": "asystole", "timestamp": 1705314645.25, "stream": STREAM}
KEYS = StoredKeys([Key(9, STREAM, bytes(range(32)))])


def signed_alert(**fields):
    codec = Codec(versions=(1, 2, 3, 4))
    plain = codec.encode_frame(
        MessageType.ANOMALY_ALERT, {**ALERT, **fields}, version=4, timestamp=1_705_314_645_250_000,
        flags=Flag.PRIORITY, stream_id=7, sequence=58,
    )  # fmt: skip
    payload = plain.frame[32:]
    return plain.signed(SIGNER.trailer(STREAM, int(plain.type), 0, payload))


def examined(frame, **options):
    [found] = list(Examiner(**options).examine(Delivery(bytes(frame))))
    return found


def test_a_signed_frame_is_shown_as_signed():
    found = examined(signed_alert())
    assert found.error is None
    assert found.message.data["kind"] == "asystole"
    assert found.message.flags == Flag.PRIORITY
    assert found.flag_names == ["PRIORITY", "SIGNED"]
    assert found.signature == (SIGNER.name.hex(), "not verified")


@pytest.mark.parametrize(("signer", "result"), [(SIGNER, "valid"), (OTHER, "unknown signer")])
def test_a_signature_is_verified(signer, result):
    verifier = Verifier([signer.public])
    assert examined(signed_alert(), verifier=verifier).signature == (SIGNER.name.hex(), result)


def test_a_wrong_signature_is_an_error():
    frame = bytes(signed_alert())
    for at in (3, -1):
        changed = _with(frame, _flipped(frame[32:], at % (len(frame) - 32)))
        found = examined(changed, verifier=Verifier([SIGNER.public]))
        assert (found.error.code, found.error.check) in ((0x202, 14), (0x200, 11))
    assert examined(_with(frame, frame[32:]), verifier=Verifier([SIGNER.public])).error is None


def test_a_short_trailer_is_an_error():
    frame = build_frame(4, 2, int(Flag.SIGNED), 0, bytes(71), 0, 7, 1)
    found = examined(frame)
    assert (found.error.code, found.error.check) == (0x200, 11)


def test_a_signed_frame_inside_a_seal_is_opened_and_verified():
    sealed = signed_alert().sealed(Sealer(KEYS.current(STREAM)))
    found = examined(sealed, keyring=KEYS, verifier=Verifier([SIGNER.public]))
    assert found.signature == (SIGNER.name.hex(), "valid")
    assert "sealed with the key 9" in examined(sealed).unread


def test_a_signed_record_is_verified_without_its_filter():
    packed = TEMPLATE.encode(SAMPLES, 1705314645_250000, bound=True)
    plain = TEMPLATE.without_filter(packed)
    trailer = SIGNER.trailer(STREAM, 1, 4, plain)
    template = build_frame(4, 0x23, 0, 0, TEMPLATE.payload, 0, 7, 1)
    record = build_frame(4, 1, int(Flag.SIGNED), 0, packed + trailer, 4, 7, 2)
    frames = list(Examiner(verifier=Verifier([SIGNER.public])).examine(Delivery(template + record)))
    assert [frame.error for frame in frames] == [None, None]
    assert frames[1].signature == (SIGNER.name.hex(), "valid")


def test_a_deflated_signed_payload_is_read():
    data = {**ALERT, "message": "x" * 3000}
    payload = bytes(Codec().pack(data))
    inside = payload + SIGNER.trailer(STREAM, 2, 0, payload)
    deflated = zlib.compress(inside)
    frame = build_frame(4, 2, int(Flag.SIGNED | Flag.COMPRESSED), 0, deflated, 0, 7, 1)
    found = examined(frame, verifier=Verifier([SIGNER.public]))
    assert (found.error, found.signature) == (None, (SIGNER.name.hex(), "valid"))


def test_inspect_verifies(recording, tmp_path):  # noqa: F811 - the fixture
    path = tmp_path / "bed.frames"
    path.write_bytes(recording)
    key = SIGNER.public.hex()
    lines = [json.loads(line) for line in run("inspect", path, "--verify", key, "--json").stdout.splitlines()]
    signed = {line["type"]: line["signature"]["result"] for line in lines if "signature" in line}
    assert signed == {"ANOMALY_ALERT": "valid", "STREAM_ATTESTATION": "valid"}
    told = run("inspect", path, "--verify", key).output
    assert f"signed by {SIGNER.name.hex()}: the signature is right" in told
    assert "not verified (--verify KEY does)" in run("inspect", path).output
    frames = frames_of(recording)
    place = next(index for index, frame in enumerate(frames) if frame[1] == 0x24)
    frames[place] = _with(frames[place], _flipped(frames[place][32:], len(frames[place]) - 33))
    path.write_bytes(b"".join(frames))
    told = run("inspect", path, "--verify", key, "--errors", code=3).output
    assert "0x202 AUTHENTICATION_FAILED, check 14" in told
    assert key not in told


def test_sizes_are_those_of_what_is_inside():
    """The first bytes of a sealed payload are the key id, here one that begins no MessagePack value."""
    keys = StoredKeys([Key(0xC1C1C1C1, STREAM, bytes(range(32)))])
    alert = signed_alert(message="x" * 100)
    examiner, analysis = Examiner(keyring=keys), SizeAnalysis()
    for frame in (alert, alert.sealed(Sealer(keys.current(STREAM)))):
        [found] = list(examiner.examine(Delivery(bytes(frame))))
        assert found.error is None
        analysis.add(found)
    [kind] = analysis.types.values()
    assert (kind.frames, kind.measured, kind.seal_bytes, kind.signature_bytes) == (2, 2, 32, 144)
    assert kind.fields["message"] == 2 * (8 + 102)

"""Recordings of streams with several signers: a key that takes over from another one, and two at a time."""

import io
from hashlib import sha256

import numpy as np
import pytest

from ecgframe import MessageType
from ecgframe._core import build_frame
from ecgframe.codec import Codec
from ecgframe.messages.templates import Template
from ecgframe.protocol import Form
from ecgframe.tools.verification import verify_frames

pytest.importorskip("cryptography")

from ecgframe.signing import Attester, SigningKey

STREAM, EPOCH, BEGIN = "ecg/1", 1000, 1_800_000_000.0
DATA, TEMPLATE, ATTESTATION = MessageType.FEATURE_DATA, MessageType.STREAM_TEMPLATE, MessageType.STREAM_ATTESTATION
OLD, NEW = SigningKey(bytes(range(32, 64))), SigningKey(bytes(range(64, 96)))
codec = Codec()


class Writer:
    """Writes frames of one epoch: each message is measured half a second after the one before."""

    def __init__(self, number=1):
        self.frames = []
        self.number = number - 1
        self.messages = 0
        self.attesters = {key: Attester(key, STREAM, EPOCH) for key in (OLD, NEW)}
        opening = codec.pack({"template": 0, "stream": STREAM, "epoch": EPOCH})
        self.frames.append(self._frame(TEMPLATE, opening, 0))

    def _frame(self, type, payload, number):
        return build_frame(4, int(type), 0, int((BEGIN + self.messages / 2) * 1e6), payload, 0, 1, number)

    def publish(self, key, times=1):
        for _ in range(times):
            fields = {"features": {"value": self.messages}, "timestamp": BEGIN + self.messages / 2}
            payload = codec.pack(fields)
            self.messages += 1
            self.number += 1
            self.attesters[key].add(int(DATA), 0, payload)
            self.frames.append(self._frame(DATA, payload, self.number))

    def attest(self, key, last=False):
        self.number += 1
        self.frames.append(self._frame(ATTESTATION, self.attesters[key].attest(last=last), self.number))

    def renumbered(self, *without):
        """The file without frames of these places, the others numbered anew."""
        number = int.from_bytes(self.frames[1][24:32], "big") - 1
        frames = []
        for place, frame in enumerate(self.frames):
            if place in without:
                continue
            number += place > 0
            frames.append(frame[:24] + (number if place else 0).to_bytes(8, "big") + frame[32:])
        return b"".join(frames)

    def verified(self, *signers):
        return verified(b"".join(self.frames), *signers)


def verified(octets, *signers):
    return verify_frames(io.BytesIO(octets), [one.public for one in signers])


def told(found):
    return {(fault.kind, None if fault.time is None else fault.time - BEGIN) for fault in found.faults}


def names(*keys):
    return [key.name.hex() for key in keys]


def rotated(writer=None):
    """A second of two messages, and the last attestation of the old key; then two seconds of the new one."""
    writer = writer or Writer()
    writer.publish(OLD, 2)
    writer.attest(OLD, last=True)
    for second in range(2):
        writer.publish(NEW, 2)
        writer.attest(NEW, last=second == 1)
    return writer


def test_a_key_that_takes_over_is_proven_with_both():
    found = rotated().verified(OLD, NEW)
    assert found.is_whole, found.faults
    [proof] = found.streams
    assert (proof.attested, proof.signers) == (6, names(OLD, NEW))


def test_with_the_old_key_only_the_seconds_of_the_new_one_are_named():
    found = rotated().verified(OLD)
    assert told(found) == {("signer", 1.5), ("unsigned", 1.0), ("signer", 2.5), ("unsigned", 2.0)}
    assert found.streams[0].attested == 2
    assert all(NEW.name.hex() in fault.text for fault in found.faults if fault.kind == "signer")


def test_with_the_new_key_only_the_seconds_of_the_old_one_are_named():
    found = rotated().verified(NEW)
    assert told(found) == {("signer", 0.5), ("unsigned", 0.0)}
    assert found.streams[0].attested == 4


def both(writer=None, seconds=4):
    """Four seconds in which both keys publish a message and attest."""
    writer = writer or Writer()
    for _ in range(seconds):
        for key in (OLD, NEW):
            writer.publish(key)
        for key in (NEW, OLD):
            writer.attest(key)
    return writer


def test_two_keys_at_a_time_are_proven_with_both():
    found = both().verified(OLD, NEW)
    assert {fault.kind for fault in found.faults} == {"cut"}
    assert found.streams[0].attested == 8


@pytest.mark.parametrize(("known", "other", "first"), [(OLD, NEW, 0.5), (NEW, OLD, 0.0)])
def test_of_two_keys_the_messages_of_the_known_one_are_proven_and_those_of_the_other_named(known, other, first):
    found = both().verified(known)
    assert found.streams[0].attested == 4
    assert {fault.kind for fault in found.faults} == {"signer", "unsigned", "cut"}
    assert {fault.time - BEGIN for fault in found.faults if fault.kind == "unsigned"} == {first + n for n in range(4)}
    assert all(other.name.hex() in fault.text for fault in found.faults if fault.kind == "signer")


def test_the_end_is_open_until_every_key_has_made_its_last_attestation():
    writer = both()
    writer.publish(OLD)
    writer.attest(OLD, last=True)
    found = writer.verified(OLD, NEW)
    assert {fault.kind for fault in found.faults} == {"cut"}
    assert NEW.name.hex() in found.faults[0].text
    writer.publish(NEW)
    writer.attest(NEW, last=True)
    assert writer.verified(OLD, NEW).is_whole


def test_nothing_follows_the_last_attestation_of_a_key():
    writer = Writer()
    writer.publish(OLD, 2)
    writer.attest(OLD, last=True)
    writer.attesters[OLD].go_on_after(1, sha256(writer.frames[-1][32:]).digest())
    writer.publish(OLD, 2)
    writer.attest(OLD, last=True)
    assert told(writer.verified(OLD)) == {("attestation", 1.5)}


def test_messages_that_are_removed_before_the_first_attestation_of_a_new_key_are_missed():
    """A recording that begins late lacks what is before it, but only in its first seconds."""
    writer = Writer(number=50)
    for _ in range(6):
        writer.publish(OLD, 2)
        writer.attest(OLD)
    writer.publish(NEW, 2)
    writer.attest(NEW)
    assert {fault.kind for fault in writer.verified(OLD, NEW).faults} == {"cut"}
    place = len(writer.frames) - 3
    found = verified(writer.renumbered(place), OLD, NEW)
    assert "missing" in {fault.kind for fault in found.faults}
    assert not found.before


def test_the_first_second_of_a_recording_is_named_as_well():
    """A recording may begin with an attestation, and with templates, which have no time of their own."""
    writer = Writer(number=50)
    writer.attesters[OLD].add_digest(bytes(32))
    writer.attest(OLD)
    writer.publish(OLD)
    found = writer.verified(NEW)
    assert ("signer", 0.0) in told(found)
    assert None not in {moment for _, moment in told(found)}


# --- the chain of one signer ---


def chained(*, numbered=1):
    writer = Writer(number=numbered)
    for second in range(4):
        writer.publish(OLD, 2)
        writer.attest(OLD, last=second == 3)
    return writer  # opening, then two messages and an attestation four times


def test_an_attestation_that_comes_again_is_told():
    writer = chained()
    writer.frames.insert(7, writer.frames[3])  # behind the second one, numbered anew
    found = verified(writer.renumbered(), OLD)
    assert ("attestation", 1.5) in told(found)
    assert any("attestation 1 stands behind attestation 2" in fault.text for fault in found.faults)


def test_a_second_that_is_removed_with_its_attestation_is_missed_even_if_the_rest_is_numbered_anew():
    found = verified(chained().renumbered(4, 5, 6), OLD)
    assert told(found) == {("missing", 2.5)}
    assert "1 attestation missing" in found.faults[0].text


def test_an_attestation_that_follows_another_one_is_told():
    """Its signer has made two with one number: these are parts of two recordings, or two servers have one key."""
    writer = chained()
    other = Attester(OLD, STREAM, EPOCH)
    for digest in (b"a" * 32, b"b" * 32):
        other.add_digest(digest)
        payload = other.attest()
    number = int.from_bytes(writer.frames[6][24:32], "big")
    writer.frames[6] = writer._frame(ATTESTATION, payload, number)
    assert any("does not follow" in fault.text for fault in writer.verified(OLD).faults)


def test_a_first_attestation_that_names_one_before_it_is_told():
    writer = Writer()
    writer.attesters[OLD].go_on_after(0, b"a" * 32)
    writer.publish(OLD)
    writer.attest(OLD, last=True)
    assert [fault.kind for fault in writer.verified(OLD).faults] == ["attestation"]


def test_an_attestation_of_another_epoch_is_told():
    writer = Writer()
    writer.attesters[OLD] = Attester(OLD, STREAM, EPOCH + 1)
    writer.publish(OLD)
    writer.attest(OLD, last=True)
    found = writer.verified(OLD)
    assert "signature" in {fault.kind for fault in found.faults}
    assert not found.streams[0].attested


def test_an_attested_record_that_does_not_name_its_template_is_told():
    """Another template, with another gain, would fit it as well."""
    kinds = {}
    for bound in (True, False):
        writer = Writer()
        template = Template(1, STREAM, "int16", 1, {"sampling_rate": 500})
        writer.number += 1
        writer.frames.append(writer._frame(TEMPLATE, template.payload, writer.number))
        writer.attesters[OLD].add(int(TEMPLATE), 0, template.payload)
        samples = np.arange(4, dtype="int16").reshape(1, 4)
        record = template.encode(samples, int(BEGIN * 1e6), None, delta=False, bound=bound)
        writer.number += 1
        stamp = int(BEGIN * 1e6)
        writer.frames.append(build_frame(4, 1, 0, stamp, record, int(Form.RECORD), 1, writer.number))
        writer.attesters[OLD].add(1, int(Form.RECORD), record)
        writer.attest(OLD, last=True)
        kinds[bound] = {fault.kind for fault in writer.verified(OLD).faults}
    assert kinds == {True: set(), False: {"changed"}}

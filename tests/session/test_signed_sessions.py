"""A viewer of signed messages, as a session without a network: what comes again, and what is old."""

import pytest
from session.test_sealed_sessions import ALERT, ALERT_TYPE, DATA, KEY, SAMPLES, STREAM, TEMPLATE, TEMPLATE_TYPE, Viewer

from ecgframe import ErrorCode, Flag, MessageType
from ecgframe.protocol import MAX_DIGESTS, Form
from ecgframe.session import Received
from ecgframe.session.sealed_streams import SealedStreams, SignedPlace

pytest.importorskip("cryptography")

from ecgframe.seal import Sealer
from ecgframe.signing import SigningKey, Verifier

SIGNER, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))


class Verifying(Viewer):
    """It knows one signer."""

    def __init__(self, **options):
        capabilities = ("encryption", "templates", "ack", "signing")
        super().__init__(capabilities=capabilities, verifier=Verifier([SIGNER.public]), **options)

    def signed(self, data, *, type=ALERT_TYPE, flags=0, signer=SIGNER, key=None, number=None):
        self.number = self.number + 1 if number is None else number
        plain = self.codec.encode_frame(type, data, flags=flags, stream_id=7, sequence=self.number)
        payload = plain.frame[len(plain.frame) - plain.nbytes :]
        signed = plain.signed(signer.trailer(STREAM, int(type), 0, payload))
        return (signed if key is None else signed.sealed(self.sealers.setdefault(key.id, Sealer(key)))).frame


def test_a_signed_message_that_comes_again_under_another_number_is_let_go():
    """Whoever forwards a plain frame can change its number, and need not be able to sign."""
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.signed(ALERT))
    viewer.hears(viewer.signed(ALERT))
    assert viewer.received() == [ALERT]
    assert viewer.session.counters.sealed == {"repeated": 1}
    viewer.hears(viewer.signed(ALERT | {"timestamp": ALERT["timestamp"] + 1}))
    assert len(viewer.received()) == 2
    assert not viewer.refused()


def test_it_is_let_go_over_the_next_connection_as_well():
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.signed(ALERT))
    assert viewer.received() == [ALERT]
    again = Verifying()
    again.session._sealed_streams = again.session._sealed._streams = viewer.streams
    again.answers()
    again.hears(again.signed(ALERT, number=2))
    assert again.received() == []


def test_under_the_same_number_it_is_handed_on_so_that_the_client_can_acknowledge_it():
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.signed(ALERT))
    viewer.hears(viewer.signed(ALERT, number=1))
    assert viewer.received() == [ALERT, ALERT]


def test_a_repetition_that_the_application_has_is_acknowledged_again():
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.signed(ALERT, flags=Flag.ACK_REQUIRED))
    [event] = viewer.told(Received)
    viewer.hears(viewer.signed(ALERT, flags=Flag.ACK_REQUIRED))
    assert viewer.tells() == []  # not handed over yet
    viewer.session.acknowledge(event.message)
    [_] = viewer.tells()
    viewer.hears(viewer.signed(ALERT, flags=Flag.ACK_REQUIRED))
    [again] = viewer.tells()
    assert again.type == MessageType.PONG
    assert viewer.received() == [ALERT]


def test_a_signature_that_proves_nothing_lets_nothing_go():
    """Else somebody could send it first with a key of his own, and the real one would be let go."""
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.signed(ALERT, signer=OTHER))
    viewer.hears(viewer.signed(ALERT))
    assert [event.message.signature for event in viewer.told(Received)] == ["unknown signer", "valid"]


def test_a_signed_message_inside_a_seal_is_let_go_as_well():
    viewer = Verifying()
    viewer.answers(KEY)
    viewer.hears(viewer.signed(ALERT, key=KEY))
    viewer.hears(viewer.signed(ALERT, key=KEY))  # sealed anew by somebody who has the key, and cannot sign
    assert viewer.received() == [ALERT]


def test_messages_without_a_signature_are_not_compared():
    viewer = Verifying()
    viewer.answers()
    for _ in range(2):
        viewer.hears(viewer.frame(ALERT_TYPE, ALERT, None))
    assert viewer.received() == [ALERT, ALERT]


@pytest.mark.parametrize("age", [90, 91])
def test_an_old_message_is_marked(age):
    viewer = Verifying()
    viewer.answers()
    old = {"features": {}, "timestamp": ALERT["timestamp"] - age, "stream": STREAM}
    viewer.hears(viewer.signed(old, type=MessageType.FEATURE_DATA))
    viewer.hears(viewer.frame(MessageType.FEATURE_DATA, old, None))
    assert [event.message.stale for event in viewer.told(Received)] == [age > 90, False]


def test_at_most_4096_of_a_stream_are_remembered():
    streams = SealedStreams()
    streams.begin(STREAM)
    first = SignedPlace(1, 1, 5)
    for number in range(MAX_DIGESTS):
        assert streams.take_signed(STREAM, number.to_bytes(32), SignedPlace(1, number + 1, 5)) is None
    assert streams.take_signed(STREAM, bytes(32), SignedPlace(1, 9000, 6)) == first
    streams.take_signed(STREAM, b"x" * 32, SignedPlace(1, 9001, 6))
    assert streams.take_signed(STREAM, bytes(32), SignedPlace(1, 9002, 7)) is None
    assert streams.take_signed("ecg/2", bytes(32), first) is None


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_signed_record_names_the_content_of_its_template(is_bound):
    """Else somebody could put another template, with another gain or patient, under a right signature."""
    viewer = Verifying()
    viewer.answers()
    viewer.hears(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), None))
    viewer.number += 1
    record = TEMPLATE.encode(SAMPLES, 1705314645250000, 5, delta=False, bound=is_bound)
    plain = viewer.codec.encode_frame(DATA, record, stream_id=7, sequence=viewer.number, form=Form.RECORD)
    viewer.hears(plain.signed(SIGNER.trailer(STREAM, int(DATA), int(Form.RECORD), record)).frame)
    assert viewer.refused() == ([] if is_bound else [(ErrorCode.INVALID_DATA_FORMAT, 11, "template")])
    assert len(viewer.received()) == is_bound

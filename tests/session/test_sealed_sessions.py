"""A viewer of sealed streams, as a session without a network: what it opens, refuses, holds back and discards."""

import numpy as np
import pytest
from cases import each_case
from session.conversation import Clock, Side

from ecgframe import Codec, ErrorCode, Flag, Message, MessageType
from ecgframe.codec import EncodedFrame
from ecgframe.messages.templates import Template
from ecgframe.protocol import MAX_HELD_FRAMES, MAX_STREAM_IDS, Capability, Form
from ecgframe.session import (
    ClientSession,
    FrameRefused,
    FramesUnopened,
    KeyMissing,
    Numbered,
    Received,
    SealedStreams,
    Settings,
    SubscriptionAnswered,
)
from ecgframe.session.held_frames import HELD_SECONDS
from ecgframe.session.sealed_reader import KEYS_PER_STREAM

pytest.importorskip("cryptography")

from ecgframe.seal import Key, Sealer, StoredKeys

STREAM = "ecg/1"
KEY = Key(9, STREAM, bytes(range(32)))
NEXT = Key(10, STREAM, bytes(32))
OTHER = Key(9, STREAM, b"\1" * 32)
ALERT = {"kind": "asystole", "timestamp": 1705314645.25, "stream": STREAM}
TEMPLATE = Template(1, STREAM, "int16", 2, {"sampling_rate": 500})
SAMPLES = np.arange(8, dtype="int16").reshape(2, 4)
ALERT_TYPE, DATA, TEMPLATE_TYPE = MessageType.ANOMALY_ALERT, MessageType.ECG_DATA, MessageType.STREAM_TEMPLATE


class Viewer(Side):
    """A client that has negotiated, and the frames of a server that it hears."""

    def __init__(
        self, version=4, keyring=None, capabilities=("encryption", "templates", "ack"), verifier=None, **begin
    ):
        clock = Clock()
        self.streams = SealedStreams(keyring, lambda: 1705314645.25 + clock.now, verifier)
        settings = Settings(versions=(1, 2, 3, version) if version > 3 else (1, 2, 3)).with_encryption
        super().__init__(ClientSession(settings, clock.wall_clock_us(), sealed=self.streams), clock)
        self.version = version
        self.codec = Codec(version=version, ndarray="binary", compression=None)
        self.sealers = {}
        self.number = 0
        self.starts()
        offer = {
            "versions": [1, 2, 3, 4],
            "preferred": 4,
            "capabilities": list(capabilities),
            "max_payload": 1 << 20,
            "heartbeat_interval": 1000.0,
        }
        self.hears(Codec().encode(MessageType.PROTOCOL_NEGOTIATION, offer, version=1))
        self.says()
        self.streams.begin(STREAM, **begin)
        self.session.subscribe(STREAM)
        self.asked = self.tells()[-1].data

    def answers(self, *keys, stream=STREAM, status="subscribed", next=1, templates=(), **more):
        data = {"stream": stream, "status": status, **more}
        if self.version == 4 and next is not None:
            data |= {"id": 7, "epoch": 1000, "next": next, "templates": list(templates)}
        if keys:
            data["keys"] = [one if isinstance(one, dict) else {"id": one.id, "key": one.secret} for one in keys]
        return self.hears(self.codec.encode(MessageType.SUBSCRIPTION_ACK, data))

    def frame(self, type, data, key=KEY, *, number=None, flags=0, form=0, stream=7) -> EncodedFrame:
        """The frame of a message, sealed unless the key is None."""
        place = {}
        if self.version == 4:
            self.number = self.number + 1 if number is None else number
            place = {"stream_id": stream, "sequence": self.number if stream else 0, "form": form}
        plain = self.codec.encode_frame(type, data, flags=flags, **place)
        if key is None:
            return plain.frame
        return plain.sealed(self.sealers.setdefault(key.id, Sealer(key))).frame

    def received(self):
        return [event.message.data for event in self.told(Received)]

    def refused(self):
        return [(event.error.code, event.error.check, event.error.reason) for event in self.told(FrameRefused)]


def both(test):
    return pytest.mark.parametrize("version", [3, 4])(test)


@both
def test_messages_sealed_with_a_key_of_the_answer_are_opened(version):
    viewer = Viewer(version)
    assert "keys" not in viewer.asked
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]
    assert viewer.session.counters.sealed == {"opened": 1}


def test_a_template_and_its_records_are_opened():
    viewer = Viewer()
    viewer.answers(KEY)
    record = TEMPLATE.encode(SAMPLES, 1705314645250000, bound=True)
    viewer.hears(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire()))
    viewer.hears(viewer.frame(DATA, record, form=Form.RECORD))
    [message] = viewer.received()
    assert np.array_equal(message["signal"], SAMPLES)
    assert len(viewer.told(Numbered)) == 1


def test_the_templates_of_an_answer_are_opened_again_and_again():
    """Ruling 4: they pass neither window nor numbers."""
    viewer = Viewer()
    template = viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), number=3)
    for _ in range(3):
        viewer.answers(KEY, next=4, templates=[template])
    viewer.hears(viewer.frame(DATA, TEMPLATE.encode(SAMPLES, 1705314645250000, bound=True), form=Form.RECORD, number=4))
    assert len(viewer.received()) == 1
    assert not viewer.refused()


def test_a_template_of_4096_bytes_fits_although_sealed():
    fields = {"note": "x" * 3900}
    template = Template(1, STREAM, "int16", 2, fields)
    template = Template(1, STREAM, "int16", 2, {"note": "x" * (3900 + 4096 - len(template.payload))})
    assert len(template.payload) == 4096
    viewer = Viewer()
    viewer.answers(KEY, next=2, templates=[viewer.frame(TEMPLATE_TYPE, template.fields_on_the_wire())])
    viewer.hears(viewer.frame(TEMPLATE_TYPE, template.fields_on_the_wire()))
    assert not viewer.refused()
    assert len(viewer.told(Numbered)) == 1


# --- ruling 1: a sealed stream has no plaintext ---


@both
@each_case("how", ["a key of the answer", "subscribed as sealed", "a key of the application"])
def test_plain_messages_of_a_sealed_stream_are_refused(version, how):
    own = StoredKeys([KEY]) if how == "a key of the application" else None
    viewer = Viewer(version, own, is_required=how == "subscribed as sealed")
    viewer.answers(*([KEY] if how == "a key of the answer" else []))
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, None))
    assert viewer.received() == []
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 8, "plain")]


@both
def test_without_a_key_plain_messages_are_accepted(version):
    viewer = Viewer(version)
    viewer.answers()
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, None))
    assert viewer.received() == [ALERT]


def test_a_plain_template_of_a_sealed_stream_is_refused_before_it_is_kept():
    viewer = Viewer()
    viewer.answers(KEY, next=3, templates=[viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), None)])
    viewer.hears(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), None))
    assert viewer.refused() == [
        (ErrorCode.AUTHENTICATION_FAILED, 12, None),
        (ErrorCode.AUTHENTICATION_FAILED, 8, "plain"),
    ]
    assert not viewer.session._reader.book


def test_a_plain_message_that_names_no_id_is_refused_by_its_map():
    viewer = Viewer()
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, None, stream=0))
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 8, "plain")]


def test_sealed_messages_without_a_number_are_opened():
    viewer = Viewer()
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, stream=0))
    assert viewer.received() == [ALERT]
    viewer.hears(viewer.frame(ALERT_TYPE, {"kind": "x", "timestamp": 1.0}, stream=0))
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 8, "stream")]


def test_keys_of_the_application_take_precedence():
    viewer = Viewer(keyring=StoredKeys([KEY]))
    assert viewer.asked["keys"] is False
    viewer.answers(NEXT)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, NEXT))
    assert len(viewer.received()) == 1
    assert [event.key_id for event in viewer.told(KeyMissing)] == [10]


@both
def test_a_known_id_with_another_secret_is_refused(version):
    viewer = Viewer(version)
    viewer.answers(KEY)
    viewer.answers(OTHER)
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 12, "key")]
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]


def test_an_id_of_the_application_with_another_secret_is_refused():
    viewer = Viewer(keyring=StoredKeys([Key(9, "ecg/2", bytes(32))]))
    viewer.answers(KEY)
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 12, "key")]


@each_case("where", ["another stream", "encryption was not agreed on", "denied"])
def test_keys_are_ignored(where):
    viewer = Viewer(capabilities=("templates",)) if where == "encryption was not agreed on" else Viewer()
    viewer.answers(
        KEY,
        stream="ecg/2" if where == "another stream" else STREAM,
        status="denied" if where == "denied" else "subscribed",
    )
    assert "1 keys" not in repr(viewer.session._sealed)
    assert not viewer.refused()


@each_case(
    "wrong",
    [
        5,
        [5],
        [{"id": 9}],
        [{"key": bytes(32)}],
        [{"id": True, "key": bytes(32)}],
        [{"id": 2**32, "key": bytes(32)}],
        [{"id": -1, "key": bytes(32)}],
        [{"id": 9, "key": bytes(31)}],
        [{"id": 9, "key": "x" * 32}],
        [{"id": 9, "key": bytes(32), "begins": "now"}],
        [{"id": 9, "key": bytes(32), "begins": float("nan")}],
        [{"id": 9, "key": bytes(32), "begins": 5, "ends": 5}],
        [{"id": 9, "key": bytes(32), "stream": STREAM}],
        [{"id": n, "key": bytes(32)} for n in range(17)],
    ],
)
def test_keys_that_are_none_are_refused_without_quoting_them(wrong):
    viewer = Viewer()
    data = {"stream": STREAM, "status": "subscribed", "keys": wrong}
    viewer.hears(viewer.codec.encode(MessageType.SUBSCRIPTION_ACK, data))
    assert viewer.refused() == [(ErrorCode.INVALID_DATA_FORMAT, 12, None)]
    [refused] = viewer.told(FrameRefused)
    assert "\\x00" not in str(refused.error)
    assert not viewer.told(SubscriptionAnswered)


def test_keys_are_taken_out_of_an_answer_before_anything_else_sees_it():
    viewer = Viewer()
    answer = Message(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "subscribed"}, 4, Flag(0), 1)
    answer.data["keys"] = [{"id": 9, "key": KEY.secret}]
    assert viewer.session._sealed.checked(answer) is answer
    assert answer.data == {"stream": STREAM, "status": "subscribed"}


def test_keys_of_a_server_are_not_used_any_more_when_the_application_has_keys():
    keyring = StoredKeys([])
    viewer = Viewer(keyring=keyring)
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]
    keyring.add(NEXT)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]
    assert [event.key_id for event in viewer.told(KeyMissing)] == [KEY.id]


def test_the_keys_of_a_server_are_bounded():
    viewer = Viewer()
    for id in range(1, KEYS_PER_STREAM + 3):
        viewer.answers(Key(id, STREAM, bytes(32)))
    reader = viewer.session._sealed
    assert repr(reader) == f"SealedReader({KEYS_PER_STREAM} keys)"
    assert reader.find(2) is None
    assert reader.find(3) is not None
    for number in range(MAX_STREAM_IDS + 2):
        reader._opener_of(f"ecg/{number}")
    assert len(reader._openers) <= MAX_STREAM_IDS


# --- ruling 3: a record is bound to its template ---


def test_a_sealed_record_that_is_not_bound_is_refused():
    viewer = Viewer()
    viewer.answers(KEY)
    viewer.hears(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire()))
    viewer.hears(viewer.frame(DATA, TEMPLATE.encode(SAMPLES, 1705314645250000), form=Form.RECORD))
    assert viewer.received() == []
    assert viewer.refused() == [(ErrorCode.INVALID_DATA_FORMAT, 11, "template")]


def test_a_record_that_is_bound_to_another_content_is_refused():
    """A server without the key could put the template of an earlier epoch in its place, with its tag intact."""
    viewer = Viewer()
    viewer.answers(KEY)
    another = Template(1, STREAM, "int16", 2, {"sampling_rate": 500, "gain": 200.0})
    viewer.hears(viewer.frame(TEMPLATE_TYPE, another.fields_on_the_wire()))
    viewer.hears(viewer.frame(DATA, TEMPLATE.encode(SAMPLES, 1705314645250000, bound=True), form=Form.RECORD))
    assert viewer.received() == []
    assert viewer.refused() == [(ErrorCode.INVALID_DATA_FORMAT, 11, "template")]


# --- ruling 4: the replay window lives with the subscription, across connections ---


@both
def test_a_repeated_frame_is_let_go_without_an_error(version):
    viewer = Viewer(version)
    viewer.answers(KEY)
    frame = viewer.frame(ALERT_TYPE, ALERT)
    viewer.hears(frame)
    viewer.hears(frame)
    assert len(viewer.received()) == 1
    assert viewer.session.counters.sealed == {"opened": 1, "repeated": 1}
    assert not viewer.refused()
    assert not viewer.tells()


def test_repeated_frames_in_one_websocket_message_are_refused():
    viewer = Viewer(3)
    viewer.answers(KEY)
    frame = viewer.frame(ALERT_TYPE, ALERT)
    viewer.hears(frame + frame)
    assert len(viewer.received()) == 1
    assert viewer.session.counters.sealed == {"opened": 1, "repeated": 1}


def test_a_repeated_frame_is_let_go_over_the_next_connection():
    first = Viewer(3)
    first.answers(KEY)
    frame = first.frame(ALERT_TYPE, ALERT)
    first.hears(frame)
    second = Viewer(3)
    second.streams._streams = first.streams._streams
    second.answers(KEY)
    second.hears(frame)
    assert second.received() == []
    assert second.session.counters.sealed == {"repeated": 1}


def test_another_subscription_begins_anew():
    viewer = Viewer(3)
    viewer.answers(KEY)
    frame = viewer.frame(ALERT_TYPE, ALERT)
    viewer.hears(frame)
    viewer.streams.begin(STREAM)
    viewer.hears(frame)
    assert len(viewer.received()) == 2


def test_refused_messages_change_no_state():
    viewer = Viewer()
    viewer.answers(KEY)
    record = TEMPLATE.encode(SAMPLES, 1705314645250000, bound=True)
    frame = viewer.frame(DATA, record, form=Form.RECORD, number=2)
    viewer.hears(frame)
    assert viewer.refused() == [(ErrorCode.INVALID_DATA_FORMAT, 11, "template")]
    viewer.hears(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), number=1))
    viewer.hears(frame)
    assert len(viewer.received()) == 1


@both
def test_a_repetition_that_the_application_has_is_acknowledged_again(version):
    viewer = Viewer(version)
    viewer.answers(KEY)
    frame = viewer.frame(ALERT_TYPE, ALERT, flags=Flag.ACK_REQUIRED)
    viewer.hears(frame)
    assert viewer.tells() == []
    viewer.hears(frame)
    assert viewer.tells() == []  # not handed over yet
    [event] = viewer.told(Received)
    viewer.session.acknowledge(event.message)
    [pong] = viewer.tells()
    viewer.hears(frame)
    [again] = viewer.tells()
    assert again.data == pong.data == {"ack": event.message.timestamp, "type": int(ALERT_TYPE)}


def test_a_changed_frame_is_refused():
    viewer = Viewer(3)
    viewer.answers(KEY)
    header, payload = viewer.codec.split(viewer.frame(ALERT_TYPE, ALERT))
    broken = bytearray(payload)
    broken[20] ^= 1
    viewer.hears(oracle_frame(header, broken))
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 8, "tag")]


def oracle_frame(header, payload):
    import oracle

    return oracle.frame(header.version, header.type, int(header.flags), bytes(payload), header.timestamp)


# --- an unknown key ---


@both
def test_a_frame_with_an_unknown_key_is_held_and_asked_for_once(version):
    viewer = Viewer(version)
    viewer.answers(KEY)
    frames = [viewer.frame(ALERT_TYPE, {**ALERT, "lead": str(n)}, NEXT) for n in range(3)]
    viewer.hears(*frames)
    assert viewer.received() == []
    [missing] = viewer.told(KeyMissing)
    assert missing == KeyMissing(10, STREAM if version == 4 else None)
    assert not viewer.refused()
    viewer.answers(NEXT, rotation=True, next=None)
    assert [data["lead"] for data in viewer.received()] == ["0", "1", "2"]
    assert not viewer.told(FramesUnopened)
    assert len(viewer.told(SubscriptionAnswered)) == 1  # what only brings keys answers nothing


def test_frames_in_order_wait_behind_it_and_urgent_ones_do_not():
    viewer = Viewer()
    viewer.answers(KEY)
    fields = {"stream": STREAM, "timestamp": 1705314645.25, "features": {"n": 1}}
    features = MessageType.FEATURE_DATA
    viewer.hears(
        viewer.frame(features, {**fields, "window": 1.0}, NEXT), viewer.frame(features, {**fields, "window": 2.0})
    )
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.received() == [ALERT]
    viewer.answers(NEXT, rotation=True, next=None)
    assert [data.get("window") for data in viewer.received()] == [None, 1.0, 2.0]


def test_the_answer_comes_before_what_it_opens():
    viewer = Viewer()
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, NEXT))
    viewer.events.clear()
    viewer.session.subscribe(STREAM, epoch=1000, after=0)
    viewer.answers(KEY, NEXT)
    assert [type(event) for event in viewer.events] == [SubscriptionAnswered, Received]


@both
def test_a_message_without_its_key_is_discarded_after_ten_seconds(version):
    viewer = Viewer(version)
    viewer.answers(KEY)
    viewer.hears(viewer.frame(MessageType.FEATURE_DATA, {**ALERT, "features": {}}, NEXT))
    viewer.hears(viewer.frame(MessageType.FEATURE_DATA, {**ALERT, "features": {"n": 1}}))
    viewer.waits(HELD_SECONDS - 1)
    assert viewer.received() == []
    viewer.waits(1.5)
    [lost] = viewer.told(FramesUnopened)
    assert (lost.frames, lost.is_numbered) == (1, version == 4)
    assert [data["features"] for data in viewer.received()] == [{"n": 1}]
    assert viewer.session.counters.sealed == {"keys asked for": 1, "unknown key": 1, "opened": 1}
    viewer.answers(NEXT, rotation=True, next=None)
    assert len(viewer.received()) == 1


def test_held_frames_are_bounded():
    viewer = Viewer()
    viewer.answers(KEY)
    for n in range(MAX_HELD_FRAMES + 36):
        viewer.hears(viewer.frame(ALERT_TYPE, {**ALERT, "lead": str(n)}, NEXT))
    assert len(viewer.session._held) == MAX_HELD_FRAMES
    assert sum(event.frames for event in viewer.told(FramesUnopened)) == 36
    assert len(viewer.told(KeyMissing)) == 1


def test_their_bytes_are_bounded():
    viewer = Viewer()
    viewer.answers(KEY)
    for _ in range(6):
        viewer.hears(viewer.frame(ALERT_TYPE, {**ALERT, "message": "x" * 900_000}, NEXT))
    assert len(viewer.session._held) == 4


def test_frames_with_invented_keys_ask_for_a_bounded_number():
    viewer = Viewer()
    viewer.answers(KEY)
    for n in range(200):
        viewer.hears(viewer.frame(ALERT_TYPE, ALERT, Key(1000 + n, STREAM, bytes(32))))
    assert len(viewer.told(KeyMissing)) == 64
    assert not viewer.session.closing


def test_a_key_that_the_application_gets_later_opens_what_is_held():
    keys = StoredKeys([KEY])
    viewer = Viewer(keyring=keys)
    viewer.answers()
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, NEXT))
    keys.add(NEXT)
    viewer.waits(1.0)
    assert viewer.received() == [ALERT]


def test_a_stream_that_is_not_subscribed_to_holds_nothing():
    viewer = Viewer()
    viewer.answers(KEY)
    viewer.streams.end(STREAM)
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT, NEXT))
    assert not viewer.session._held
    assert viewer.session.counters.sealed == {"unknown key": 1}


# --- ruling 6: staleness ---


@both
@each_case("age", [0.0, 89.0, 91.0, -1000.0])
def test_an_old_message_is_marked(version, age):
    viewer = Viewer(version)
    viewer.answers(KEY)
    viewer.hears(viewer.frame(ALERT_TYPE, {**ALERT, "timestamp": 1705314645.25 - age}))
    [event] = viewer.told(Received)
    assert event.message.stale is (age > 90)


def test_the_age_can_be_chosen_and_dates_count_as_well():
    from datetime import UTC, datetime

    viewer = Viewer(stale_after=10.0)
    viewer.answers(KEY)
    for age in (9.0, 11.0):
        moment = datetime.fromtimestamp(1705314645.25 - age, UTC)
        viewer.hears(viewer.frame(ALERT_TYPE, {**ALERT, "timestamp": moment}))
    assert [event.message.stale for event in viewer.told(Received)] == [False, True]


def test_plain_messages_are_never_marked():
    viewer = Viewer()
    viewer.answers()
    viewer.hears(viewer.frame(ALERT_TYPE, {**ALERT, "timestamp": 1.0}, None))
    [event] = viewer.told(Received)
    assert event.message.stale is False


# --- capabilities ---


def test_encryption_is_announced_only_where_it_is_asked_for():
    assert Capability.ENCRYPTION not in Settings().capabilities
    assert Capability.ENCRYPTION in Settings().with_encryption.capabilities
    few = Settings(capabilities=frozenset({Capability.ACK}))
    assert few.with_encryption is few


@both
def test_a_session_without_it_refuses_sealed_frames(version):
    viewer = Viewer(version, capabilities=("templates", "ack"))
    viewer.answers()
    viewer.session._sealed = None
    viewer.hears(viewer.frame(ALERT_TYPE, ALERT))
    assert viewer.refused() == [(ErrorCode.AUTHENTICATION_FAILED, 8, None)]


def test_a_large_message_is_opened_in_a_thread_as_well():
    viewer = Viewer(3)
    viewer.answers(KEY)
    data = {**ALERT, "message": "x" * 100_000}
    decoding = viewer.session.begin_to_receive(viewer.frame(ALERT_TYPE, data), viewer.clock.now, 1000)
    decoding.run()
    viewer._told(viewer.session.finish_receiving(decoding, viewer.clock.now))
    assert viewer.received() == [data]


def test_templates_of_an_answer_with_another_key_are_left_out():
    viewer = Viewer(keyring=StoredKeys([KEY]))
    another = Template(2, STREAM, "int16", 2, {"sampling_rate": 250})
    old = viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire(), NEXT, number=1)
    new = viewer.frame(TEMPLATE_TYPE, another.fields_on_the_wire(), number=2)
    viewer.answers(next=3, templates=[old, new])
    assert not viewer.refused()
    assert [template.number for template in viewer.session._reader.book.values()] == [2]
    assert len(viewer.told(SubscriptionAnswered)) == 1

"""Version 4 in sessions: negotiation, streams that are named by number, their templates, and records as maps."""

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import Conversation, client, server

from ecgframe import (
    Codec,
    ErrorCode,
    Flag,
    InvalidDataFormat,
    InvalidProtocolVersion,
    MessageType,
    MissingRequiredFields,
    crc32,
    decode,
    encode,
    unpack,
)
from ecgframe.messages.templates import Template
from ecgframe.protocol import MAX_CONTROL_PAYLOAD, Capability, Form
from ecgframe.session import (
    Acknowledged,
    Binding,
    Decoding,
    ErrorReceived,
    FrameRefused,
    Numbered,
    OpeningRequested,
    RateLimit,
    Received,
    Settings,
    StreamEpoch,
    StreamPosition,
    SubscribeRequested,
    SubscriptionAnswered,
    Undelivered,
    UnsubscribeRequested,
    encode_outgoing,
)
from ecgframe.session.stream_book import StreamBook

ALL = (1, 2, 3, 4)
V4 = {"versions": ALL}
FIELDS = {"sampling_rate": 500, "leads": ["I", "II"], "units": "mV", "gain": 200}
TEMPLATE = Template(1, "ecg/1", "int16", 2, FIELDS)
SIGNAL = np.array([[100, 104, 110, 118], [-3, -3, -2, 0]], "int16")
MAP = {**FIELDS, "stream": "ecg/1", "signal": SIGNAL, "timestamp": 1705314645.25, "sequence": 12}
EPOCH = 4_738_000_000_001


def agreed(**settings):
    """A server and a client that speak version 4."""
    talk = Conversation({**V4, **settings}, {**V4, **settings})
    assert talk.server.session.version == talk.client.session.version == 4
    return talk


def template_frame(template=TEMPLATE, id=7, number=1):
    return encode(
        MessageType.STREAM_TEMPLATE, decode_map(template), version=4, stream_id=id, sequence=number, timestamp=number
    )


def decode_map(template):
    return unpack(template.payload)


def record_frame(number, *, template=TEMPLATE, id=7, signal=SIGNAL, delta=True):
    payload = template.encode(signal, 1705314645_250000, 12, delta=delta)
    return encode(
        MessageType.ECG_DATA, payload, version=4, form=Form.RECORD, stream_id=id, sequence=number, timestamp=number
    )


def subscribed(*templates, id=7, next=2, stream="ecg/1", **settings):
    """A conversation in which the client has subscribed to a stream."""
    talk = agreed(**settings)
    talk.client.session.subscribe(stream)
    talk.talk()
    talk.server.session.answer_subscription(
        stream, "subscribed", binding=Binding(id, EPOCH, next, tuple(template_frame(one, id) for one in templates))
    )
    talk.talk()
    return talk


def same_map(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype
            assert np.array_equal(found[name], value)
        else:
            assert found[name] == value


# --- negotiation ---


def test_the_highest_common_version_and_its_capabilities_are_agreed_on():
    talk = agreed()
    both = {Capability.TEMPLATES, Capability.DELTA}
    assert both <= talk.server.session.capabilities == talk.client.session.capabilities
    assert talk.server.session.encoding == talk.client.session.encoding
    assert (talk.server.session.encoding.record, talk.server.session.encoding.delta) == (True, True)
    talk.server.session.ping(talk.clock.now)
    [ping] = talk.server.tells()
    assert (ping.version, ping.type) == (4, MessageType.PING)


@pytest.mark.parametrize(("ours", "theirs"), [(ALL, (1, 2, 3)), ((1, 2, 3), ALL), (ALL, (2, 4)), ((4,), ALL)])
def test_the_highest_common_version_is_agreed_with_other_peers(ours, theirs):
    talk = Conversation({"versions": ours}, {"versions": theirs})
    assert talk.server.session.version == talk.client.session.version == max(set(ours) & set(theirs))


def test_records_are_only_for_peers_that_announced_them():
    some = frozenset({Capability.ACK, Capability.TEMPLATES})
    talk = Conversation(V4, {**V4, "capabilities": some})
    assert (talk.server.session.encoding.record, talk.server.session.encoding.delta) == (True, False)
    talk = Conversation(V4, {**V4, "capabilities": frozenset({Capability.DELTA})})
    assert (talk.server.session.encoding.record, talk.server.session.encoding.delta) == (False, False)


@pytest.mark.parametrize("versions", [(1, 2, 3), ALL])
def test_a_frame_of_version_4_before_it_is_agreed_on_fails_check_2(versions):
    talk = Conversation(V4, {"versions": versions})
    theirs = talk.server if versions != ALL else server(**V4).starts()
    theirs.hears(encode(MessageType.FEATURE_DATA, {"features": {}}, version=4))
    [refused] = theirs.told(FrameRefused)
    assert isinstance(refused.error, InvalidProtocolVersion)
    assert refused.error.check == 2
    assert theirs.session.closing.code == 1002


def test_a_stream_before_it_is_agreed_on_fails_check_2_as_well():
    ours = client(**V4).starts()
    ours.hears(record_frame(1))
    [refused] = ours.told(FrameRefused)
    assert refused.error.check == 2


# --- subscribing ---


def test_a_subscription_names_epoch_and_number():
    talk = agreed()
    talk.client.session.subscribe("ecg/1", since=1705314645_123457, epoch=EPOCH, after=61)
    talk.talk()
    [request] = talk.server.told(SubscribeRequested)
    assert request == SubscribeRequested("ecg/1", 1705314645_123457, False, EPOCH, 61)
    talk.server.session.answer_subscription("ecg/1", "subscribed", binding=Binding(7, EPOCH, 62, (template_frame(),)))
    talk.talk()
    [answer] = talk.client.told(SubscriptionAnswered)
    assert (answer.status, answer.epoch, answer.next) == ("subscribed", EPOCH, 62)


def test_before_version_4_it_does_not():
    talk = Conversation({"versions": (1, 2, 3)})
    talk.client.session.subscribe("ecg/1", epoch=EPOCH, after=61)
    [frame] = talk.client.tells()
    assert frame.data == {"stream": "ecg/1"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", 0), ("epoch", 2**53), ("epoch", "x"), ("after", -1), ("after", 2**53), ("after", 1.5)],
)
def test_a_bad_place_is_refused(field, value):
    talk = agreed()
    talk.server.hears(encode(MessageType.SUBSCRIBE, {"stream": "s", field: value}, version=4))
    [refused] = talk.server.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (ErrorCode.INVALID_DATA_FORMAT, 12)
    assert refused.error.path == f'data["{field}"]'


# --- what arrives ---


@pytest.mark.parametrize("delta", [True, False])
def test_a_record_arrives_as_the_map_that_it_stands_for(delta):
    talk = subscribed(TEMPLATE)
    talk.client.hears(record_frame(2, delta=delta))
    [received] = talk.client.told(Received)
    same_map(received.message.data, MAP)
    assert (received.stream, received.message.sequence) == (StreamEpoch("ecg/1", EPOCH), 2)


def test_a_template_explains_the_records_behind_it_in_the_same_message():
    talk = subscribed()
    later = Template(2, "ecg/1", "int16", 2, {**FIELDS, "gain": 100})
    talk.client.hears(
        template_frame() + record_frame(2) + template_frame(later, number=3) + record_frame(4, template=later)
    )
    assert [event.message.data["gain"] for event in talk.client.told(Received)] == [200, 100]
    assert [event.message.sequence for event in talk.client.told(Numbered)] == [1, 3]


def test_an_answer_names_the_stream_of_the_messages_behind_it_in_the_same_message():
    talk = agreed()
    talk.client.session.subscribe("ecg/1")
    talk.talk()
    talk.server.session.answer_subscription("ecg/1", "subscribed", binding=Binding(7, EPOCH, 2, (template_frame(),)))
    [answer] = talk.server.says()
    talk.client.hears(answer + record_frame(2))
    [received] = talk.client.told(Received)
    same_map(received.message.data, MAP)


def test_a_thread_reads_large_messages_the_same():
    talk = subscribed()
    long = np.arange(40_000, dtype="int16").reshape(2, -1)
    message = template_frame() + record_frame(2, signal=long)
    decoding = talk.client.session.begin_to_receive(message, 0.0, at_once=1000)
    assert isinstance(decoding, Decoding)
    decoding.run()
    events = talk.client.session.finish_receiving(decoding, 0.0)
    assert [type(event) for event in events] == [Numbered, Received]
    assert np.array_equal(events[1].message.data["signal"], long)


def test_a_record_that_becomes_much_takes_a_thread_though_its_frame_is_small():
    talk = subscribed(TEMPLATE)
    flat = record_frame(2, signal=np.zeros((2, 20_000), "int16"))
    assert len(flat) < 4000
    decoding = talk.client.session.begin_to_receive(flat, 0.0, at_once=16_384)
    assert isinstance(decoding, Decoding)
    decoding.run()
    [received] = talk.client.session.finish_receiving(decoding, 0.0)
    assert received.message.data["signal"].shape == (2, 20_000)


def test_a_message_that_is_read_once_more_in_a_thread_finds_the_streams_as_they_were():
    talk = subscribed(TEMPLATE)
    other = Template(1, "ecg/2", "int16", 2, FIELDS)
    talk.client.session.subscribe("ecg/2")
    named = {"stream": "ecg/2", "status": "subscribed", "id": 9, "epoch": 3, "next": 4}
    frames = [
        record_frame(2),
        template_frame(Template(2, "ecg/1", "int16", 2, {}), number=3),
        encode(MessageType.SUBSCRIPTION_ACK, {"stream": "ecg/1", "status": "unsubscribed"}, version=4),
        encode(MessageType.SUBSCRIPTION_ACK, {**named, "templates": [template_frame(other, 9)]}, version=4),
        record_frame(4, id=9, template=other, signal=np.zeros((2, 20_000), "int16")),
    ]
    decoding = talk.client.session.begin_to_receive(b"".join(frames), 0.0, at_once=16_384)
    assert isinstance(decoding, Decoding)
    decoding.run()
    events = talk.client.session.finish_receiving(decoding, 0.0)
    kinds = [type(event) for event in events]
    assert kinds == [Received, Numbered, SubscriptionAnswered, SubscriptionAnswered, Received]


@pytest.mark.parametrize("numeric_lists", ["list", "ndarray"])
def test_lists_in_the_fields_of_records_become_arrays_as_in_other_messages(numeric_lists):
    fields = {**FIELDS, "gain": [200, 100], "ranges": [[0, 1.5], [2, 3]], "names": ["a"], "none": []}
    template = Template(1, "ecg/1", "int16", 2, fields)
    talk = subscribed(template, numeric_lists=numeric_lists)
    talk.client.hears(record_frame(2, template=template), record_frame(3, template=template))
    one, other = [event.message.data for event in talk.client.told(Received)]
    expected = Codec(numeric_lists=numeric_lists).decode(encode(MessageType.ECG_DATA, {**MAP, **fields})).data
    assert isinstance(expected["gain"], np.ndarray) == (numeric_lists == "ndarray")
    same_map(one, {**expected, "signal": SIGNAL})
    one["gain"][0] = 5  # each message has its own
    assert other["gain"][0] == 200


def test_a_message_in_messagepack_has_its_number_too():
    talk = subscribed()
    alert = {"kind": "asystole", "timestamp": 1.5, "stream": "ecg/1"}
    outgoing = encode_outgoing(
        talk.server.session.encoding,
        MessageType.ANOMALY_ALERT,
        alert,
        timestamp=5,
        settings=Settings(),
        flags=Flag.PRIORITY,
        stream="ecg/1",
        position=StreamPosition(7, 9),
    )
    talk.server.session.enqueue(outgoing)
    talk.talk()
    [received] = talk.client.told(Received)
    assert (received.message.data, received.message.sequence, received.stream) == (
        alert,
        9,
        StreamEpoch("ecg/1", EPOCH),
    )


def test_an_alert_comes_behind_the_answer_that_names_its_stream():
    talk = agreed()
    session = talk.server.session
    data = encode_outgoing(session.encoding, MessageType.ECG_DATA, MAP, timestamp=4, settings=Settings())
    session.enqueue(data)
    session.answer_subscription("ecg/1", "subscribed", binding=Binding(7, EPOCH, 1))
    alert = encode_outgoing(
        session.encoding,
        MessageType.ANOMALY_ALERT,
        {"kind": "asystole", "timestamp": 1.5},
        timestamp=5,
        settings=Settings(),
        flags=Flag.PRIORITY,
        position=StreamPosition(7, 1),
    )
    session.enqueue(alert)
    kinds = [frame.type for frame in talk.server.tells()]
    assert kinds == [MessageType.SUBSCRIPTION_ACK, MessageType.ANOMALY_ALERT, MessageType.ECG_DATA]


def test_a_client_reads_an_answer_with_as_many_large_templates_as_are_in_force():
    large = [Template(n, "ecg/1", "int16", 2, {"note": f"{n:02d}" * 2000}) for n in range(1, 17)]
    assert sum(len(one.payload) for one in large) > 3 * MAX_CONTROL_PAYLOAD
    talk = subscribed(*large, capabilities=frozenset({Capability.TEMPLATES}))
    [answer] = talk.client.told(SubscriptionAnswered)
    assert answer.next == 2
    talk.client.hears(record_frame(2, template=large[-1]))
    assert talk.client.told(Received)[0].message.data["note"] == "16" * 2000


def test_messages_of_a_withdrawn_stream_are_not_sent_again_but_may_be_acknowledged():
    talk = subscribed()
    session = talk.server.session

    def publish(number, flags=Flag.ACK_REQUIRED):
        data, position = {"features": {}}, StreamPosition(7, number)
        outgoing = encode_outgoing(
            session.encoding,
            MessageType.FEATURE_DATA,
            data,
            timestamp=number,
            settings=Settings(),
            flags=flags,
            stream="ecg/1",
            position=position,
        )
        session.enqueue(outgoing)
        return outgoing

    first, second = publish(2), publish(3)
    assert session.first_waiting("ecg/1") == 2
    talk.talk()
    publish(4)
    publish(5, Flag.PRIORITY | Flag.ACK_REQUIRED)
    talk.server.clock.now += 2.5
    talk.server.ticks()  # the first two wait to be sent again
    assert session.queued_frames == 4
    assert session.first_waiting("ecg/1") == 4
    assert session.first_waiting("ecg/2") is None
    assert session.take_back("ecg/1") == [Undelivered(4, MessageType.FEATURE_DATA, 0)]
    assert session.first_waiting("ecg/1") is None
    assert [frame.sequence for frame in talk.server.tells()] == [5]
    talk.client.session.acknowledge(talk.client.told(Received)[0].message)
    talk.talk()
    assert [event.timestamp for event in talk.server.told(Acknowledged)] == [first.timestamp]
    session.enqueue(second)  # its stream is subscribed to again, from before it
    assert [frame.sequence for frame in talk.server.tells()] == [3]
    talk.server.clock.now += 2.5
    talk.server.ticks()
    assert [frame.sequence for frame in talk.server.tells()] == [5, 3]
    session.take_back("ecg/1")
    talk.server.clock.now += 2.5
    talk.server.ticks()
    assert [(event.timestamp, event.attempts) for event in talk.server.told(Undelivered)] == [(3, 3)]
    assert [frame.sequence for frame in talk.server.tells()] == [5]


# --- refused and skipped frames ---


def test_an_id_that_was_never_bound_fails_check_11_and_an_unbound_one_is_skipped():
    talk = subscribed(TEMPLATE)
    talk.client.hears(record_frame(2, id=8))
    [refused] = talk.client.told(FrameRefused)
    assert (refused.error.code, refused.error.check) == (ErrorCode.INVALID_DATA_FORMAT, 11)
    talk.client.session.unsubscribe("ecg/1")
    talk.talk()
    talk.server.session.answer_subscription("ecg/1", "unsubscribed")
    talk.talk()
    assert talk.client.hears(record_frame(2), record_frame(3, id=5), template_frame(number=4)) == []
    assert not talk.client.told(Received)
    assert talk.client.session.closing is None


def test_an_unknown_template_costs_the_record_and_says_so_to_the_server():
    talk = subscribed()
    for number in range(2, 6):
        talk.client.hears(record_frame(number))
    talk.talk()
    assert [event.details for event in talk.server.told(ErrorReceived)] == [{"reason": "template"}] * 4
    assert talk.client.session.closing is None
    talk.client.hears(record_frame(6))
    assert talk.client.session.closing.code == 1002


@pytest.mark.parametrize(
    ("frame", "path"),
    [
        (template_frame(Template(1, "ecg/2", "int16", 2, FIELDS)), 'data["stream"]'),
        (template_frame(Template(1, "ecg/1", "int16", 2, {})), 'data["template"]'),
        (
            encode(MessageType.STREAM_TEMPLATE, {"template": 0, "stream": "ecg/1", "epoch": 5}, version=4, stream_id=7),
            'data["template"]',
        ),
        (encode(MessageType.STREAM_TEMPLATE, decode_map(TEMPLATE), version=4), 'data["template"]'),
    ],
    ids=["of another stream", "other content", "an opening", "of no stream"],
)
def test_a_bad_template_is_refused(frame, path):
    talk = subscribed(TEMPLATE)
    talk.client.hears(frame)
    [refused] = talk.client.told(FrameRefused)
    assert (refused.error.check, refused.error.path) == (12, path)
    talk.client.hears(record_frame(2))
    same_map(talk.client.told(Received)[0].message.data, MAP)


def test_the_same_template_again_changes_nothing():
    talk = subscribed(TEMPLATE)
    talk.client.hears(template_frame(number=9), record_frame(10))
    assert not talk.client.told(FrameRefused)
    same_map(talk.client.told(Received)[0].message.data, MAP)


@pytest.mark.parametrize(
    ("answer", "error", "path"),
    [
        ({"id": 7, "epoch": 5}, MissingRequiredFields, "data"),
        ({"id": 7, "epoch": 5, "next": 0}, InvalidDataFormat, 'data["next"]'),
        ({"id": 0, "epoch": 5, "next": 1}, InvalidDataFormat, 'data["id"]'),
        ({"id": 7, "epoch": 5, "next": 1, "templates": ["text"]}, InvalidDataFormat, 'data["templates"][0]'),
        ({"id": 7, "epoch": 5, "next": 1, "templates": [b""] * 17}, InvalidDataFormat, 'data["templates"]'),
    ],
)
def test_a_bad_answer_is_refused_and_binds_nothing(answer, error, path):
    talk = agreed()
    talk.client.hears(
        encode(MessageType.SUBSCRIPTION_ACK, {"stream": "ecg/1", "status": "subscribed", **answer}, version=4)
    )
    [refused] = talk.client.told(FrameRefused)
    assert isinstance(refused.error, error)
    assert (refused.error.check, refused.error.path) == (12, path)
    assert talk.client.session.closing is None
    assert not talk.client.told(SubscriptionAnswered)
    talk.client.hears(record_frame(2))
    assert talk.client.told(FrameRefused)[-1].error.check == 11


def test_a_bad_template_in_an_answer_affects_neither_the_others_nor_the_answer():
    frames = [b"xyz", template_frame(id=8), template_frame(), record_frame(5)]
    answer = {"stream": "ecg/1", "status": "subscribed", "id": 7, "epoch": EPOCH, "next": 2, "templates": frames}
    talk = agreed()
    talk.client.session.subscribe("ecg/1")
    talk.client.hears(encode(MessageType.SUBSCRIPTION_ACK, answer, version=4), record_frame(2))
    assert len(talk.client.told(SubscriptionAnswered)) == 1
    [refused] = talk.client.told(FrameRefused)
    assert (refused.error.check, refused.error.path) == (12, 'data["templates"][0]')
    assert talk.client.session.closing is None
    same_map(talk.client.told(Received)[0].message.data, MAP)


def test_the_fields_of_version_4_are_ignored_in_earlier_versions():
    talk = Conversation()
    talk.server.hears(encode(MessageType.SUBSCRIBE, {"stream": "s", "epoch": "anno Domini", "after": -1}))
    assert talk.server.told(SubscribeRequested) == [SubscribeRequested("s", None)]
    talk.client.hears(
        encode(MessageType.SUBSCRIPTION_ACK, {"stream": "s", "status": "subscribed", "id": "x", "next": 1})
    )
    [told] = talk.client.told(SubscriptionAnswered)
    assert (told.epoch, told.next) == (None, None)


def test_a_map_without_the_name_of_its_stream_gets_it():
    talk = subscribed()
    features = {"features": {}}
    talk.client.hears(encode(MessageType.FEATURE_DATA, features, version=4, stream_id=7, sequence=2))
    assert talk.client.told(Received)[0].message.data == {**features, "stream": "ecg/1"}


def test_a_client_of_version_4_alone_needs_a_server_that_negotiates():
    ours = client(versions=(4,)).starts()
    ours.waits(20)
    assert ours.session.closing.code == 1002
    assert "does not negotiate" in ours.session.closing.reason


def opening_frame(id=7, epoch=EPOCH, stream="ecg/1", number=0):
    fields = {"template": 0, "stream": stream, "epoch": epoch}
    return encode(MessageType.STREAM_TEMPLATE, fields, version=4, stream_id=id, sequence=number, timestamp=1)


def test_a_server_takes_templates_and_records_of_a_stream_that_was_opened():
    talk = agreed()
    talk.server.hears(opening_frame() + template_frame() + record_frame(2))
    [opening] = talk.server.told(OpeningRequested)
    [template] = talk.server.told(Numbered)
    [record] = talk.server.told(Received)
    assert (opening.stream, opening.epoch) == ("ecg/1", EPOCH)
    assert template.payload == TEMPLATE.payload
    assert record.record == TEMPLATE.encode(SIGNAL, 1705314645_250000, 12)
    assert record.stream == template.stream == StreamEpoch("ecg/1", EPOCH)


@pytest.mark.parametrize(
    ("frame", "check"),
    [
        (template_frame(), 11),
        (record_frame(2), 11),
        (opening_frame(id=0), 12),
        (opening_frame() + opening_frame(number=1), 12),
        (opening_frame() + template_frame(Template(1, "ecg/2", "int16", 2, {})), 12),
        (opening_frame() + opening_frame(epoch=EPOCH + 1), 12),
        (opening_frame() + template_frame() + template_frame(Template(1, "ecg/1", "int8", 2, {})), 12),
    ],
)
def test_a_server_refuses_what_names_a_stream_wrongly(frame, check):
    talk = agreed()
    talk.server.hears(frame)
    [refused] = talk.server.told(FrameRefused)
    assert refused.error.code is ErrorCode.INVALID_DATA_FORMAT
    assert refused.error.check == check


def test_an_id_that_was_let_go_is_not_opened_again():
    talk = agreed()
    for id in (1, 2, 3):
        talk.server.hears(opening_frame(id, epoch=id))
    talk.server.hears(opening_frame(1, epoch=1))
    [refused] = talk.server.told(FrameRefused)
    assert "new in this connection" in str(refused.error)


def test_peers_without_permission_for_records_may_send_no_templates():
    talk = agreed()
    talk.server.session._refuses_data = lambda type, is_broadcast: "no" if type is MessageType.ECG_DATA else None
    talk.server.hears(opening_frame())
    [refused] = talk.server.told(FrameRefused)
    assert refused.error.code is ErrorCode.PERMISSION_DENIED


# --- what a record costs ---


def test_a_record_is_weighed_by_what_it_becomes():
    talk = subscribed(TEMPLATE)
    account = RateLimit(unpacked=1.0, unpacked_burst=50_000)
    ours = subscribed(TEMPLATE, rate_limit=account).client
    ours.hears(record_frame(2, signal=np.zeros((2, 1000), "int16")))
    assert len(ours.told(Received)) == 1
    ours.hears(record_frame(3, signal=np.zeros((2, 12_000), "int16")))
    [refused] = ours.told(FrameRefused)
    assert refused.error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert talk.client.session.counters.over_budget == {}


# --- what an answer costs ---


@pytest.mark.parametrize(
    ("type", "data"),
    [
        (MessageType.PING, {"arrays": [np.zeros((60, 0), "int16")] * 9}),
        (MessageType.PING, None),
        (MessageType.SUBSCRIBE, {"stream": "\U0001fac0" * 256, "epoch": EPOCH, "after": 2}),
        (MessageType.SUBSCRIBE, {"stream": "\U0001fac0" * 257}),
        (MessageType.SUBSCRIBE, {"stream": 1}),
        (MessageType.UNSUBSCRIBE, {"stream": "\U0001fac0" * 256}),
        (MessageType.VERSION_CHECK, {"version": 2**53}),
        (MessageType.PROTOCOL_NEGOTIATION, {"version": 4, "capabilities": ["x" * 300] * 9}),
        (MessageType.SUBSCRIPTION_ACK, {"stream": "s", "status": "subscribed"}),
        (MessageType.ERROR, {"code": 1, "message": "m"}),
    ],
)
def test_an_answer_has_at_most_four_times_the_bytes_of_its_question_and_a_kibibyte(type, data):
    talk = agreed()
    question = encode(type, data, version=4)
    for event in talk.server.hears(question):
        if isinstance(event, SubscribeRequested):
            talk.server.session.answer_subscription(event.stream, "subscribed", binding=Binding(7, EPOCH, 2**52))
        elif isinstance(event, UnsubscribeRequested):
            talk.server.session.answer_subscription(event.stream, "unsubscribed")
    assert sum(map(len, talk.server.says())) <= 4 * len(question) + 1024


# --- names that nobody asked for ---


def test_an_answer_without_a_request_binds_nothing_and_its_frames_are_skipped():
    talk = subscribed(TEMPLATE)
    for number in range(100):
        named = {"stream": f"{number} {'x' * 240}", "status": "subscribed", "id": 8 + number, "epoch": 3, "next": 4}
        talk.client.hears(encode(MessageType.SUBSCRIPTION_ACK, {**named, "templates": [b"x"]}, version=4))
        talk.client.hears(record_frame(2, id=8 + number))
    assert [talk.client.session._reader.book.name_of(id) for id in (7, 8, 107)] == [("ecg/1", EPOCH), None, None]
    assert talk.client.told(FrameRefused) == []
    assert talk.client.told(Received) == []
    talk.client.hears(record_frame(2))
    assert len(talk.client.told(Received)) == 1


def test_a_name_that_no_stream_can_have_is_not_bound():
    talk = agreed()
    talk.client.session.subscribe("x" * 257)
    named = {"stream": "x" * 257, "status": "subscribed", "id": 8, "epoch": 3, "next": 4}
    talk.client.hears(encode(MessageType.SUBSCRIPTION_ACK, named, version=4))
    [refused] = talk.client.told(FrameRefused)
    assert (refused.error.check, refused.error.path) == (12, 'data["stream"]')


# --- whatever comes ---


def damaged(frame, places):
    """The frame with some bytes replaced, and the checksum of what it holds then."""
    octets = bytearray(frame)
    for place, octet in places:
        octets[place % len(octets)] = octet
    octets[7:11] = crc32(bytes(octets[32:])).to_bytes(4, "big")
    return bytes(octets)


whole = st.sampled_from(
    [
        record_frame(2),
        record_frame(3, delta=False),
        template_frame(Template(2, "ecg/1", "int16", 1, {}), number=4),
        template_frame(Template(3, "ecg/1", "int16", 0, {}, scale={"mul": 1, "div": 2}), number=5),
        encode(MessageType.FEATURE_DATA, {"features": {}, "stream": "ecg/1"}, version=4, stream_id=7, sequence=6),
        encode(
            MessageType.SUBSCRIPTION_ACK,
            {"stream": "b", "status": "subscribed", "id": 9, "epoch": 3, "next": 4, "templates": [template_frame()]},
            version=4,
        ),
        encode(MessageType.SUBSCRIPTION_ACK, {"stream": "ecg/1", "status": "unsubscribed"}, version=4),
    ]
)
damages = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)
messages = st.lists(st.lists(st.builds(damaged, whole, damages), min_size=1, max_size=4).map(b"".join), max_size=6)


@given(messages, st.booleans())
def test_a_client_raises_nothing_whatever_a_server_sends(messages, in_thread):
    ours = subscribed(TEMPLATE).client
    ours.session.subscribe("b")
    for message in messages:
        if in_thread:
            result = ours.session.begin_to_receive(message, 0.0, at_once=64)
            if isinstance(result, Decoding):
                result.run()
                ours._told(ours.session.finish_receiving(result, 0.0))
            else:
                ours._told(result)
        else:
            ours.hears(message)
        ours.says()
    for event in ours.told(Received):
        assert event.message.version < 4 or not event.message.stream_id or event.stream is not None


# --- the book ---

ids = st.integers(1, 6)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("bind"), ids, st.sampled_from("abc"), st.integers(1, 3)),
        st.tuples(st.just("unbind"), st.sampled_from("abc")),
        st.tuples(st.just("add"), ids, st.integers(1, 70), st.sampled_from("abc"), st.integers(0, 1)),
    ),
    max_size=150,
)


class PlainBook:
    """What a book should hold, as a list; every call answers whether it was right."""

    def __init__(self, limit):
        self.limit = limit
        self.entries = []  # [id, name, epoch, {number: payload}]; the latest of a stream stands last

    def of_id(self, id):
        return next((entry for entry in self.entries if entry[0] == id), None)

    def nbytes(self, entry):
        return sum(map(len, entry[3].values()))

    def bind(self, id, name, epoch):
        entry = self.of_id(id)
        if entry is None:
            for older in [entry for entry in self.entries if entry[1] == name][:-1]:
                self.entries.remove(older)
            self.entries.append([id, name, epoch, {}])
            return True
        if entry[1:3] != [name, epoch]:
            return False
        self.entries.remove(entry)
        self.entries.append(entry)
        return True

    def unbind(self, name):
        self.entries = [entry for entry in self.entries if entry[1] != name]
        return True

    def add(self, id, payload):
        template = Template.unpack(payload)
        _, name, _, templates = self.of_id(id)
        if template.stream != name or templates.get(template.number, payload) != payload:
            return False
        templates.setdefault(template.number, payload)
        if len(templates) > 64:
            del templates[next(iter(templates))]
        while sum(map(self.nbytes, self.entries)) > self.limit:
            most = max(self.entries, key=self.nbytes)
            del most[3][next(iter(most[3]))]
        return True


@given(steps)
def test_the_book_agrees_with_a_plain_one(steps):
    book, plain = StreamBook(limit=4000), PlainBook(limit=4000)
    for name, *said in steps:
        args = said
        if name == "add":
            id, number, stream, variant = said
            if plain.of_id(id) is None:
                continue
            args = [id, Template(number, stream, "int16", 1 + variant, {}).payload]
        if getattr(plain, name)(*args):
            getattr(book, name)(*args)
        else:
            with pytest.raises(InvalidDataFormat):
                getattr(book, name)(*args)
        expected = {(entry[0], number): payload for entry in plain.entries for number, payload in entry[3].items()}
        assert {key: template.payload for key, template in book.items()} == expected
        assert book.nbytes == sum(map(len, expected.values())) <= 4000
        assert [book.name_of(entry[0]) for entry in plain.entries] == [tuple(entry[1:3]) for entry in plain.entries]


def test_four_mebibytes_of_templates_are_kept_and_no_more():
    book = StreamBook()
    for id in range(1, 40):
        book.bind(id, f"s{id}", 1)
        for number in range(1, 65):
            book.add(id, Template(number, f"s{id}", "int16", 1, {"note": "x" * 4000}).payload)
    assert 4 * 2**20 - 5000 < book.nbytes <= 4 * 2**20
    assert min(sum(key[0] == id for key in book) for id in range(1, 40)) >= 16


def test_the_frames_are_those_of_an_independent_reader():
    [frame] = oracle.decode_frames(template_frame())
    assert (frame.version, frame.stream, frame.sequence) == (4, 7, 1)
    assert decode(template_frame()).data["fields"] == FIELDS

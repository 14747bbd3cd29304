"""SUBSCRIBE, UNSUBSCRIBE and their answers, and the times in them."""

from datetime import UTC, datetime, timedelta, timezone

import oracle
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from session.conversation import EPOCH, Conversation, client, server

from ecgframe.protocol import ErrorCode
from ecgframe.session import (
    SubscribeRequested,
    SubscriptionAnswered,
    UnsubscribeRequested,
    microseconds,
    seconds,
)

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
YEAR_2242 = 2**33 * 1_000_000 - 1  # from then on, a float64 of seconds has steps of more than a microsecond


def requests(data, version=3):
    theirs = server().starts()
    return [event for event in theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], data, version)) if "Sub" in repr(event)]


def test_a_subscription():
    talk = Conversation()
    talk.client.session.subscribe("ecg/bed-7")
    talk.talk()
    assert talk.server.told(SubscribeRequested) == [SubscribeRequested("ecg/bed-7", None)]
    talk.server.session.answer_subscription("ecg/bed-7", "subscribed")
    talk.talk()
    [answer] = talk.client.told(SubscriptionAnswered)
    assert (answer.stream, answer.status) == ("ecg/bed-7", "subscribed")
    assert (answer.code, answer.start) == (None, None)
    assert EPOCH <= answer.timestamp < EPOCH + 100
    talk.client.session.unsubscribe("ecg/bed-7")
    talk.talk()
    assert talk.server.told(UnsubscribeRequested) == [UnsubscribeRequested("ecg/bed-7")]
    talk.server.session.answer_subscription("ecg/bed-7", "unsubscribed")
    talk.talk()
    assert [answer.status for answer in talk.client.told(SubscriptionAnswered)] == ["subscribed", "unsubscribed"]


def test_subscribing_and_unsubscribing_send_these_frames():
    talk = Conversation()
    talk.client.session.subscribe("ecg/bed-7", since=EPOCH + 123_457)
    talk.client.session.unsubscribe("ecg/bed-7")
    assert [(frame.type, frame.flags, frame.data) for frame in talk.client.tells()] == [
        (T["SUBSCRIBE"], 0, {"stream": "ecg/bed-7", "since": 1_705_314_645.123457}),
        (T["UNSUBSCRIBE"], 0, {"stream": "ecg/bed-7"}),
    ]
    talk.server.session.answer_subscription("a", "denied", code=ErrorCode.PERMISSION_DENIED)
    talk.server.session.answer_subscription("a", "subscribed", start=EPOCH + 1)
    assert [frame.data for frame in talk.server.tells()] == [
        {"stream": "a", "status": "denied", "code": 0x203},
        {"stream": "a", "status": "subscribed", "from": 1_705_314_645.000001},
    ]


def test_a_denial():
    talk = Conversation()
    talk.server.session.answer_subscription("a", "denied", code=ErrorCode.PERMISSION_DENIED)
    talk.talk()
    [answer] = talk.client.told(SubscriptionAnswered)
    assert (answer.status, answer.code, answer.start) == ("denied", 0x203, None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, 0x201),
        (None, 0x200),
        ({"stream": 7}, 0x200),
        ({"stream": None}, 0x200),
        ({"stream": "a", "since": "yesterday"}, 0x200),
        ({"stream": "a", "since": True}, 0x200),
        ({"stream": "a", "since": float("nan")}, 0x200),
        ({"stream": "a", "since": float("inf")}, 0x200),
    ],
)
def test_an_invalid_subscription_costs_its_frame(data, code):
    theirs = server().starts()
    theirs.says()
    [refused] = theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], data))
    assert (refused.error.code, refused.error.check) == (code, 12)
    assert [frame.data["code"] for frame in theirs.tells()] == [code]
    assert theirs.session.closing is None


def test_unknown_fields_are_let_be():
    assert requests({"stream": "a", "quality": "best", 7: [1]}) == [SubscribeRequested("a", None)]


def test_nil_is_left_out():
    assert requests({"stream": "a", "since": None}) == [SubscribeRequested("a", None)]


@pytest.mark.parametrize("name", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_a_client_has_no_streams(name):
    ours = client().starts()
    [refused] = ours.hears(oracle.encode_frame(T[name], {"stream": "a"}))
    assert (refused.error.code, ours.session.closing) == (0x203, None)


def test_a_server_asked_for_nothing():
    theirs = server().starts()
    [refused] = theirs.hears(oracle.encode_frame(T["SUBSCRIPTION_ACK"], {"stream": "a", "status": "subscribed"}))
    assert (refused.error.code, theirs.session.closing) == (0x200, None)


# --- moments ---


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (1.000001, 1_000_001),
        (1_705_314_645, EPOCH),
        (5e-324, 0),
        (datetime(2024, 1, 15, 10, 30, 45, 7, tzinfo=UTC), EPOCH + 7),
        (datetime(2024, 1, 15, 10, 30, 45, 7), EPOCH + 7),
        (datetime(2024, 1, 15, 12, 30, 45, tzinfo=timezone(timedelta(hours=2))), EPOCH),
        (datetime(2024, 1, 15, 12, 30, 45, tzinfo=timezone(timedelta(hours=2, microseconds=1))), EPOCH - 1),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))), 253_402_383_599_999_999),
    ],
    ids=str,
)
def test_since(since, expected):
    event = SubscribeRequested("a", expected, isinstance(since, datetime))  # a number names a message
    assert requests({"stream": "a", "since": since}) == [event]
    assert requests({"stream": "a", "since": since}, version=1) == [event]


@pytest.mark.parametrize(
    "since",
    [
        -1,
        -(2**63),
        -1e308,
        1e308,
        2**64 - 1,
        253_402_300_800,
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
    ],
    ids=str,
)
def test_moments_that_cannot_be(since):
    theirs = server().starts()
    theirs.says()
    [refused] = theirs.hears(oracle.encode_frame(T["SUBSCRIBE"], {"stream": "a", "since": since}))
    assert (refused.error.code, refused.error.path) == (0x200, 'data["since"]')


@given(st.integers(0, YEAR_2242))
@example(EPOCH)
@example(YEAR_2242)
def test_no_microsecond_is_lost_on_the_way(timestamp):
    assert microseconds(oracle.unpack(oracle.pack(seconds(timestamp)))) == timestamp


@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1), st.datetimes()))
def test_any_moment_is_a_timestamp(time):
    assert 0 <= microseconds(time) <= 2**64 - 1


@given(st.integers(0, 2**64 - 1))
def test_any_timestamp_is_a_moment(timestamp):
    assert microseconds(seconds(timestamp)) == pytest.approx(timestamp, rel=1e-15)

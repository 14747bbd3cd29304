"""The position of a viewer by numbers: every message once, or counted exactly in a gap, whatever the clocks show."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import run

from ecgframe import Flag, Message, MessageType
from ecgframe.client.cursor import REMEMBERED, Gap, StreamCursor
from ecgframe.client.numbered_cursor import MAX_REFUSED, NumberedCursor
from ecgframe.client.subscription import Subscription
from ecgframe.client.subscriptions import Subscriptions
from ecgframe.protocol import Form
from ecgframe.session import SealedStreams, SubscriptionAnswered

NAME = "ecg/1"
EPOCH = 77
NOW = 1_705_314_660_000_000


def at(number, *, ahead=False, timestamp=None, template=False, flags=0):
    """The message of that number, with a timestamp that tells it."""
    type = MessageType.STREAM_TEMPLATE if template else MessageType.ECG_DATA
    flags = Flag.PRIORITY if ahead else Flag(flags)
    stamp = NOW + number if timestamp is None else timestamp
    return Message(type, None, 4, flags, stamp, stream_id=7, sequence=number)


def cursor_at(line, **since):
    times = StreamCursor(NAME, **since)
    cursor = NumberedCursor(NAME, times)
    assert cursor.position is None
    assert cursor.answered(EPOCH, line + 1, None, NOW) == []
    return cursor


def numbers_of(items):
    return [item.frames if isinstance(item, Gap) else item.sequence for item in items]


def test_a_missing_number_is_a_lost_message():
    cursor = cursor_at(0)
    assert numbers_of(cursor.take(at(1), EPOCH)) == [1]
    gap, message = cursor.take(at(5), EPOCH)
    assert (gap, message.sequence) == (Gap(NAME, NOW + 1, NOW + 5, 3), 5)
    assert cursor.position == (EPOCH, 5)


def test_an_earlier_number_is_a_duplicate_whatever_its_timestamp():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.take(at(2), EPOCH)
    assert cursor.take(at(2, timestamp=NOW + 10**12), EPOCH) == []
    assert cursor.take(at(1), EPOCH) == []
    assert numbers_of(cursor.take(at(3, timestamp=5), EPOCH)) == [3]


def test_urgent_messages_overtake_and_leave_no_gap():
    cursor = cursor_at(0)
    assert numbers_of(cursor.take(at(3, ahead=True), EPOCH)) == [3]
    assert cursor.position == (EPOCH, 0)
    assert cursor.take(at(3, ahead=True), EPOCH) == []
    assert numbers_of(cursor.take(at(1), EPOCH)) == [1]
    assert numbers_of(cursor.take(at(2), EPOCH)) == [2]
    assert cursor.position == (EPOCH, 3)
    assert numbers_of(cursor.take(at(5), EPOCH)) == [1, 5]


def test_a_template_moves_the_line_and_is_not_for_the_application():
    cursor = cursor_at(0)
    assert cursor.pass_template(at(1, template=True), EPOCH) == []
    assert numbers_of(cursor.take(at(2), EPOCH)) == [2]
    [gap] = cursor.pass_template(at(5, template=True), EPOCH)
    assert gap.frames == 2
    assert cursor.pass_template(at(5, template=True), EPOCH) == []
    assert cursor.position == (EPOCH, 5)


def test_after_a_reconnection_the_answer_shows_how_many_are_lost():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.take(at(4, ahead=True), EPOCH)
    [gap] = cursor.answered(EPOCH, 8, None, NOW + 100)
    assert gap == Gap(NAME, NOW + 1, NOW + 100, 5)  # 2, 3, 5, 6, 7
    assert numbers_of(cursor.take(at(8), EPOCH)) == [8]
    assert cursor.answered(EPOCH, 9, None, NOW + 200) == []


@pytest.mark.parametrize(("start", "stop"), [(NOW + 7, NOW + 7), (NOW + 1, NOW + 1), (NOW - 5, NOW + 1)])
def test_a_gap_ends_where_the_answer_says_that_messages_are_kept(start, stop):
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    assert cursor.answered(EPOCH, 8, start, NOW + 100) == [Gap(NAME, NOW + 1, stop, 6)]


def test_another_epoch_is_a_gap_of_unknown_size():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    assert cursor.answered(EPOCH + 1, 1, None, NOW + 100) == [Gap(NAME, NOW + 1, NOW + 100, None)]
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 200), EPOCH + 1)) == [1]
    assert cursor.position == (EPOCH + 1, 1)
    late = at(2)
    assert cursor.take(late, EPOCH) == [late]
    assert cursor.position == (EPOCH + 1, 1)


def test_a_time_that_the_application_has_named_counts_until_numbers_are_known():
    cursor = NumberedCursor(NAME, StreamCursor(NAME, since=NOW))
    assert cursor.answered(EPOCH, 10, None, NOW + 50) == []
    cursor = NumberedCursor(NAME, StreamCursor(NAME, since=NOW))
    assert cursor.answered(EPOCH, 10, NOW + 20, NOW + 50) == [Gap(NAME, NOW, NOW + 20, None)]


def test_a_server_without_numbers_goes_on_by_times():
    times = StreamCursor(NAME)
    cursor = NumberedCursor(NAME, times)
    cursor.answered(EPOCH, 1, None, NOW)
    cursor.take(at(1), EPOCH)
    cursor.take(at(3, ahead=True), EPOCH)
    cursor.forget()
    assert cursor.position is None
    assert times.since() == NOW + 1
    assert times.take(at(3, ahead=True), NOW) == []  # it came under its number
    assert len(times.take(at(2), NOW)) == 1


def test_overtaking_messages_without_a_number_are_delivered_once():
    times = StreamCursor(NAME)
    times.take(at(1), NOW)
    times.take(at(3, ahead=True), NOW)
    cursor = NumberedCursor(NAME, times)
    assert cursor.answered(EPOCH, 2, None, NOW) == []
    assert cursor.take(at(3, ahead=True), EPOCH) == []


def test_after_1024_that_overtook_what_is_passed_counts_as_lost():
    cursor = cursor_at(0)
    for number in range(3, 3 + REMEMBERED):
        assert numbers_of(cursor.take(at(number, ahead=True), EPOCH)) == [number]
    last = 3 + REMEMBERED
    assert numbers_of(cursor.take(at(last, ahead=True), EPOCH)) == [2, last]
    assert cursor.position == (EPOCH, last)
    assert cursor.take(at(1), EPOCH) == []


def test_drop_notices_of_the_server_are_not_counted_twice():
    times = StreamCursor(NAME)
    cursor = NumberedCursor(NAME, times)
    cursor.answered(EPOCH, 1, None, NOW)
    assert times.noticed(NOW + 1, NOW + 3, 3, timed=True) is None
    assert numbers_of(cursor.take(at(4), EPOCH)) == [3, 4]
    assert times.ended() == []
    times.noticed(NOW + 5, NOW + 6, 2, timed=True)
    assert [gap.frames for gap in times.ended()] == [2]  # no message tells it any more


def test_a_refused_message_is_given_up_when_it_comes_again():
    cursor = cursor_at(0)
    assert cursor.refused(EPOCH, 1) == []
    assert not cursor.was_refused(EPOCH, 1)
    assert cursor.position == (EPOCH, 0)
    cursor.connection_lost()
    assert cursor.was_refused(EPOCH, 1)
    assert not cursor.was_refused(EPOCH, 2)
    assert [gap.frames for gap in cursor.refused(EPOCH, 1)] == [1]
    assert cursor.position == (EPOCH, 1)
    assert cursor.refused(EPOCH, 1) == []


def test_only_so_many_refused_messages_are_remembered():
    cursor = cursor_at(0)
    for number in range(1, 3 * MAX_REFUSED):
        cursor.refused(EPOCH, number)
    cursor.connection_lost()
    assert sum(cursor.was_refused(EPOCH, number) for number in range(4 * MAX_REFUSED)) == MAX_REFUSED


def test_an_answer_without_a_request_announces_another_epoch():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.changed(EPOCH, 9, NOW + 10)
    assert cursor.position == (EPOCH, 1)
    cursor.changed(EPOCH + 1, 5, NOW + 10)
    assert cursor.position == (EPOCH + 1, 4)
    gap, message = cursor.take(at(5, timestamp=NOW + 11), EPOCH + 1)
    assert (gap, message.sequence) == (Gap(NAME, NOW + 1, NOW + 10, None), 5)


def test_messages_of_the_epoch_before_are_counted_as_well():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.changed(EPOCH + 1, 1, NOW + 10)
    assert numbers_of(cursor.take(at(4), EPOCH)) == [2, 4]
    assert cursor.take(at(4), EPOCH) == []
    assert numbers_of(cursor.take(at(6, ahead=True), EPOCH)) == [6]
    [gap] = cursor.pass_template(at(7, template=True), EPOCH)
    assert gap == Gap(NAME, NOW + 4, NOW + 7, 1)
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 20), EPOCH + 1)) == [None, 1]
    assert cursor.take(at(5), EPOCH) == []
    assert numbers_of(cursor.take(at(9), EPOCH)) == [1, 9]
    assert cursor.position == (EPOCH + 1, 1)
    cursor.changed(EPOCH + 2, 1, NOW + 30)
    late = at(10)
    assert cursor.take(late, EPOCH) == [late]  # two epochs later, its numbers are forgotten


@pytest.mark.parametrize("end", ["ended", "forget", "answered"])
def test_a_change_of_epoch_is_reported_even_if_no_message_follows(end):
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.changed(EPOCH + 1, 5, NOW + 10)
    arguments = (EPOCH + 1, 5, None, NOW + 20) if end == "answered" else ()
    assert getattr(cursor, end)(*arguments) == [Gap(NAME, NOW + 1, NOW + 10, None)]
    assert cursor.ended() == []


def test_a_broadcast_is_in_line_as_all_that_is_neither_urgent_nor_an_alert():
    cursor = cursor_at(0)
    assert numbers_of(cursor.take(at(2, flags=Flag.BROADCAST), EPOCH)) == [1, 2]
    assert cursor.position == (EPOCH, 2)


def test_an_answer_to_a_subscription_that_was_left_is_not_one_to_the_next():
    async def conversation():
        session = SimpleNamespace(negotiated=True, subscribe=lambda *_, **__: None, unsubscribe=lambda _: None)
        connection = SimpleNamespace(
            session=session,
            leaving={},
            asked=set(),
            obsolete=Counter(),
            wake=lambda: None,
            note_pressure=lambda _: None,
        )

        def answer(status, epoch=None):
            subscriptions.answered(SubscriptionAnswered(NAME, status, None, None, NOW, epoch, epoch), connection)

        subscriptions = Subscriptions(lambda: iter(()), SealedStreams())
        subscriptions.connected(connection)
        subscription = subscriptions.subscribe(NAME, since=None, capacity=8, on_gap=None)
        answer("subscribed", 5)
        subscriptions.leave(subscription)
        subscription = subscriptions.subscribe(NAME, since=None, capacity=8, on_gap=None)
        answer("subscribed", 6)  # the server has told of another epoch meanwhile
        assert subscription.status == "asked"
        answer("unsubscribed")
        answer("subscribed", 7)
        assert (subscription.status, subscription.numbers.epoch) == ("subscribed", 7)

    run(conversation())


def test_numbers_that_are_set_back_are_another_numbering():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.take(at(2), EPOCH)
    assert cursor.answered(EPOCH, 1, None, NOW + 10) == [Gap(NAME, NOW + 2, NOW + 10, None)]
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 20), EPOCH)) == [1]


@pytest.mark.parametrize("data", [None, [1, 2], "text", {"signal": [1]}])
def test_an_ecg_message_that_may_wait_and_is_no_record_is_queued_as_any_other(data):
    subscription = Subscription(None, NAME, since=None, capacity=8, on_gap=None)
    subscription.granted(None, NOW, EPOCH, 1)
    message = Message(MessageType.ECG_DATA, data, 4, Flag(0), NOW, stream_id=7, sequence=1, form=Form.BULK)
    subscription.deliver(message, None, EPOCH)
    assert subscription.waiting == 1


kinds = st.sampled_from(["line", "line", "line", "ahead", "template"])
message = st.tuples(kinds, st.integers(0, 4), st.booleans())
connections = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), min_size=1, max_size=6)


@given(st.lists(message, min_size=1, max_size=30), connections)
def test_every_message_arrives_once_or_in_a_counted_gap(said, connections):
    """A server that drops what may be dropped, cuts connections, and forgets; told by a list of what has arrived."""
    cursor = cursor_at(0)
    had, lost = [], 0
    end = len(said) + 1  # the last is in line and never dropped
    for n, (sent, forgotten) in enumerate([*connections, (10**6, 0)]):
        first = cursor.position[1] + 1
        if n:
            first = max(first, min(first + forgotten, end))
            lost += sum(gap.frames for gap in cursor.answered(EPOCH, first, None, NOW + 1000))
        for number in order_of_arrival(said, first, end)[:sent]:
            kind = said[number - 1][0] if number < end else "line"
            if kind == "template":
                lost += sum(gap.frames for gap in cursor.pass_template(at(number, template=True), EPOCH))
                continue
            for item in cursor.take(at(number, ahead=kind == "ahead"), EPOCH):
                if isinstance(item, Gap):
                    lost += item.frames
                else:
                    had.append(item.sequence)
    assert len(set(had)) == len(had)
    assert cursor.position == (EPOCH, end)
    templates = sum(kind == "template" for kind, _, _ in said)
    missing = {number for number in range(1, end + 1) if number not in had}
    not_had = {number for number in missing if number == end or said[number - 1][0] != "template"}
    assert len(not_had) <= lost <= len(not_had) + templates


def order_of_arrival(said, first, end):
    """The numbers from ``first`` on in the order in which they arrive: what overtakes is earlier by some places."""
    arriving = []
    for number in range(first, end):
        kind, places, is_dropped = said[number - 1]
        if kind == "line" and is_dropped:
            continue
        arriving.insert(max(0, len(arriving) - places) if kind == "ahead" else len(arriving), number)
    return [*arriving, end] if first <= end else []


# --- epochs whose end is known ---


def test_the_end_of_an_epoch_shows_exactly_what_was_lost_of_it():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.take(at(4, ahead=True), EPOCH)
    cursor.changed(EPOCH + 1, 1, NOW + 10, ended=7)
    assert numbers_of(cursor.take(at(2), EPOCH)) == [2]  # it was on its way
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 20), EPOCH + 1)) == [3, 1]  # 3, 5 and 6
    assert cursor.take(at(5), EPOCH) == []
    assert cursor.position == (EPOCH + 1, 1)


def test_an_epoch_of_which_nothing_was_lost_ends_without_a_gap():
    cursor = cursor_at(0)
    cursor.changed(EPOCH + 1, 1, NOW + 10, ended=1)
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 20), EPOCH + 1)) == [1]
    assert cursor.ended() == []


def test_an_epoch_that_continues_remembers_its_messages():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    gaps = cursor.answered(EPOCH + 1, 1, NOW + 5, NOW + 5)  # another server, which has forgotten the publisher
    assert [gap.frames for gap in gaps] == [None]
    cursor.changed(EPOCH, 1, NOW + 10, ended=1)
    assert cursor.take(at(1), EPOCH) == []
    assert numbers_of(cursor.take(at(3), EPOCH)) == [1, 3]
    assert cursor.position == (EPOCH, 3)


def test_an_answer_after_the_end_of_an_epoch_counts_both():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.take(at(3, ahead=True), EPOCH)
    gaps = cursor.answered(EPOCH + 1, 4, None, NOW + 10, ended=6)
    assert [gap.frames for gap in gaps] == [3 + 3]  # 2, 4 and 5; then 1 to 3
    assert cursor.position == (EPOCH + 1, 3)


def test_many_ends_become_one_gap_of_unknown_size():
    cursor = cursor_at(0)
    for epoch in range(1, 5):
        cursor.changed(EPOCH + epoch, 1, NOW + epoch, ended=2)
    assert [gap.frames for gap in cursor.ended()] == [None, 1, 1]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_message_that_comes_again_in_another_epoch_is_a_duplicate_and_no_loss(ahead):
    cursor = cursor_at(0)
    for number in (1, 2, 3):
        cursor.take(at(number, ahead=ahead and number == 2), EPOCH)
    cursor.changed(EPOCH + 1, 1, NOW + 50)
    cursor.take(at(1, timestamp=NOW + 60), EPOCH + 1)
    assert cursor.take(at(2, timestamp=NOW + 2, ahead=ahead), EPOCH + 1) == []
    assert numbers_of(cursor.take(at(3, timestamp=NOW + 70), EPOCH + 1)) == [3]
    assert numbers_of(cursor.take(at(5, timestamp=NOW + 3), EPOCH + 1)) == [1], "what is lost before it is told"
    assert numbers_of(cursor.take(at(6, timestamp=NOW + 80), EPOCH + 1)) == [6]


ONE = {"timestamp": 5.000001, "sequence": 7}


@pytest.mark.parametrize(
    ("type", "data"),
    [
        (MessageType.FEATURE_DATA, {"timestamp": 5.000001}),
        (MessageType.ECG_DATA, {"timestamp": 5.000001, "sequence": 8}),
        (MessageType.ECG_DATA, {"timestamp": 5.1}),
    ],
)
def test_two_messages_with_one_timestamp_that_say_different_things_are_both_had(type, data):
    """Servers that are cut off from each other may give two messages the same timestamp."""

    def saying(number, type, data):
        return Message(type, data, 4, Flag(0), NOW, stream_id=7, sequence=number)

    cursor = cursor_at(0)
    assert numbers_of(cursor.take(saying(1, MessageType.ECG_DATA, ONE), EPOCH)) == [1]
    cursor.changed(EPOCH + 1, 1, NOW + 50)
    assert numbers_of(cursor.take(saying(1, type, data), EPOCH + 1)) == [None, 1]
    assert cursor.take(saying(2, MessageType.ECG_DATA, {"timestamp": 5.0000014}), EPOCH + 1) == []
    cursor.changed(EPOCH + 2, 1, NOW + 60)
    assert numbers_of(cursor.take(saying(1, type, data), EPOCH + 2)) == [None], "the gap between the epochs alone"


def test_the_same_timestamp_in_one_epoch_is_no_duplicate():
    cursor = cursor_at(0)
    assert numbers_of(cursor.take(at(1, timestamp=NOW), EPOCH)) == [1]
    assert numbers_of(cursor.take(at(2, timestamp=NOW), EPOCH)) == [2]


def test_the_remembered_timestamps_are_bounded():
    cursor = cursor_at(0)
    for number in range(1, REMEMBERED + 2):
        cursor.take(at(number), EPOCH)
    cursor.changed(EPOCH + 1, 1, NOW + 10**6)
    assert numbers_of(cursor.take(at(1, timestamp=NOW + 1), EPOCH + 1)) == [None, 1], "forgotten"
    assert cursor.take(at(2, timestamp=NOW + 3), EPOCH + 1) == []


FIELDS = {"sampling_rate": 500, "gain": [200, 201], "leads": ["I", "II"], "who": "p"}
FIRST = {**FIELDS, "timestamp": 1705314645.25, "sequence": 7, "signal": np.array([[1, 0], [3, 4]], "int16")}
REVERSED = dict(reversed(FIELDS.items()))
SAME = {
    "the same": FIRST,
    "floats in a record": {**FIRST, "signal": np.array([[1, -0.0], [3, 4]])},
    "other order, time rounded, lists": {**REVERSED, "timestamp": 1705314645.250001, "signal": [[1, 0], [3, 4]]},
}
OTHERS = {
    "time": {**FIRST, "timestamp": 1705314645.3},
    "count": {**FIRST, "sequence": 8},
    "publisher": {**FIRST, "who": "q"},
    "samples": {**FIRST, "signal": np.array([[1, 0], [3, 5]], "int16")},
    "gain": {**FIRST, "gain": [200, 202]},
    "no map": None,
}


def stamped(number, data, seconds, type=MessageType.ECG_DATA):
    return Message(type, data, 4, Flag(0), NOW + round(seconds * 1e6), stream_id=7, sequence=number)


@pytest.mark.parametrize("data", SAME.values(), ids=SAME)
def test_a_message_with_another_timestamp_of_another_server_is_a_duplicate(data):
    cursor = cursor_at(0)
    assert numbers_of(cursor.take(stamped(1, FIRST, 0), EPOCH)) == [1]
    cursor.changed(EPOCH + 1, 1, NOW + 50)
    assert numbers_of(cursor.take(stamped(1, data, 59), EPOCH + 1)) == [None], "the gap between the epochs alone"
    assert numbers_of(cursor.take(stamped(2, data, 61), EPOCH + 1)) == [2], "it is said again much later"
    assert numbers_of(cursor.take(stamped(3, data, 1), EPOCH + 1)) == [], "in the one before"


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_a_message_that_says_something_else_is_another_one(data):
    for seconds in (0, 1):
        cursor = cursor_at(0)
        assert numbers_of(cursor.take(stamped(1, FIRST, 0), EPOCH)) == [1]
        cursor.changed(EPOCH + 1, 1, NOW + 50)
        assert numbers_of(cursor.take(stamped(1, data, seconds), EPOCH + 1)) == [None, 1]


def test_only_a_time_in_its_data_identifies_a_message_with_another_timestamp():
    cursor = cursor_at(0)
    data = {"sequence": 1, "signal": [0, 0], "sampling_rate": 500}
    assert numbers_of(cursor.take(stamped(1, data, 0), EPOCH)) == [1]
    cursor.changed(EPOCH + 1, 1, NOW + 50)
    assert numbers_of(cursor.take(stamped(1, data, 1), EPOCH + 1)) == [None, 1]


def test_a_line_that_is_gone_back_to_counts_nothing_that_may_have_come_in_the_other():
    cursor = cursor_at(0)
    cursor.take(at(1), EPOCH)
    cursor.answered(EPOCH + 1, 1, None, NOW + 10)
    cursor.take(at(1, timestamp=NOW + 11), EPOCH + 1)
    cursor.changed(EPOCH, 8, NOW + 12)
    assert numbers_of(cursor.take(at(8), EPOCH)) == [None, 8]
    assert numbers_of(cursor.take(at(10), EPOCH)) == [1, 10]

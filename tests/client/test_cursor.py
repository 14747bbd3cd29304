"""The cursor of one viewer in a stream, without a network."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from thoroughness import examples

from ecgframe import Flag, Message, MessageType
from ecgframe.client.cursor import MARGIN, MAX_NOTICES, REMEMBERED, Gap, StreamCursor

NAME = "ecg/bed-7"
NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def ecg(timestamp, flags=0):
    return Message(MessageType.ECG_DATA, {}, 3, Flag(flags), timestamp)


def alert(timestamp, flags=Flag.PRIORITY):
    return Message(MessageType.ANOMALY_ALERT, {}, 3, Flag(flags), timestamp)


def take(cursor, *messages):
    return [item for message in messages for item in cursor.take(message, NOW)]


# --- in line ---


def test_the_cursor_is_at_the_last_message_in_order():
    cursor = StreamCursor(NAME)
    assert cursor.since() is None
    first, second = ecg(10), ecg(20)
    assert take(cursor, first, second) == [first, second]
    assert cursor.since() == 20


def test_a_duplicate_is_not_new():
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10), ecg(20))
    assert take(cursor, ecg(10), ecg(20)) == []


@pytest.mark.parametrize("urgent", [alert(15), alert(15, flags=0), ecg(15, Flag.PRIORITY), ecg(15, Flag.BROADCAST)])
def test_an_urgent_message_does_not_move_the_cursor_and_its_duplicate_is_known(urgent):
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10))
    assert take(cursor, urgent) == [urgent]
    assert cursor.since() == 10
    assert take(cursor, urgent) == []
    behind, next_one = ecg(12), ecg(20)
    assert take(cursor, behind, urgent, next_one) == [behind, next_one]


@pytest.mark.parametrize("overtaking", [alert, lambda timestamp: ecg(timestamp, Flag.PRIORITY)])
@pytest.mark.parametrize("until", [None, 1, NOW])
def test_messages_after_many_urgent_ones_are_no_gap(overtaking, until):
    cursor = StreamCursor(NAME)
    if until == NOW:
        cursor.answered(None, 1)
    elif until:
        take(cursor, ecg(until))
    for timestamp in range(2000, 2000 + REMEMBERED + 200):
        assert take(cursor, overtaking(timestamp))
    behind = [ecg(timestamp) for timestamp in range(2, 1300)]
    assert take(cursor, *behind) == behind
    assert cursor.since() == 1299


def test_a_stream_of_alerts_alone_moves_on_in_the_end():
    cursor = StreamCursor(NAME)
    for timestamp in range(1, REMEMBERED + 11):
        assert take(cursor, alert(timestamp))
    assert cursor.since() == 10
    assert take(cursor, alert(REMEMBERED + 10)) == []


# --- where it begins ---


def test_a_cursor_begins_after_the_last_delivered_message():
    cursor = StreamCursor(NAME, since=50)
    assert cursor.since() == 50
    assert cursor.answered(None, NOW) == []
    assert cursor.since() == 50


def test_since_in_the_future_drops_nothing():
    cursor = StreamCursor(NAME, since=NOW + 5 * SECOND)
    cursor.answered(None, NOW)
    message = ecg(NOW + 1)
    assert take(cursor, message) == [message]


def test_before_the_first_message_it_resumes_a_margin_before_the_answer():
    cursor = StreamCursor(NAME)
    assert cursor.answered(None, NOW) == []
    assert cursor.since() == NOW - MARGIN


def test_without_timestamps_it_resumes_a_margin_before_the_receipt():
    cursor = StreamCursor(NAME)
    message = Message(MessageType.ECG_DATA, {}, 1, Flag(0), None)
    assert cursor.take(message, NOW) == [message]
    assert cursor.take(message, NOW + 5) == [message]
    assert cursor.since() == NOW + 5 - MARGIN


# --- gaps of a resumption ---


def test_messages_that_the_server_does_not_keep_are_a_gap():
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10), alert(15), alert(40))
    assert cursor.answered(30, NOW) == [Gap(NAME, 10, 30, None)]
    assert cursor.since() == 29  # a second break before the next message loses nothing twice
    assert cursor.answered(30, NOW) == []
    assert take(cursor, alert(40)) == []
    assert take(cursor, ecg(30))


def test_a_gap_before_the_subscription_is_not_reported():
    cursor = StreamCursor(NAME)
    cursor.answered(None, NOW)
    assert cursor.answered(NOW - 10, NOW + SECOND) == []


def test_an_old_server_goes_on_from_now():
    cursor = StreamCursor(NAME)
    assert cursor.started_anew(NOW) == []
    cursor.take(Message(MessageType.ECG_DATA, {}, 1, Flag(0), None), NOW + SECOND)
    assert cursor.started_anew(NOW + 3 * SECOND) == [Gap(NAME, NOW + SECOND, NOW + 3 * SECOND, None)]


# --- gaps that the server tells of ---


def test_a_drop_notice_is_a_gap_with_the_next_message_after_it():
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10))
    assert cursor.noticed(11, 13, 2, timed=True) is None
    between, behind = ecg(12), ecg(14)
    assert take(cursor, between) == [between]
    assert take(cursor, behind) == [Gap(NAME, 11, 13, 2), behind]


def test_a_drop_notice_after_the_cursor_is_forgotten_with_the_connection():
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10))
    cursor.noticed(11, 13, 3, timed=True)
    assert cursor.answered(None, NOW) == []
    assert [item.timestamp for item in take(cursor, *map(ecg, (11, 12, 13, 14)))] == [11, 12, 13, 14]


def test_the_part_of_a_drop_notice_before_the_cursor_is_no_loss():
    cursor = StreamCursor(NAME)
    take(cursor, ecg(10))
    cursor.noticed(11, 15, 3, timed=True)
    take(cursor, ecg(13))
    assert cursor.answered(None, NOW) == [Gap(NAME, 11, 13, None)]
    assert [item.timestamp for item in take(cursor, ecg(14), ecg(15))] == [14, 15]


def test_pending_gaps_are_reported_at_the_end():
    cursor = StreamCursor(NAME)
    cursor.noticed(11, 15, 3, timed=True)
    assert cursor.ended() == [Gap(NAME, 11, 15, 3)]
    assert cursor.ended() == []


def test_without_timestamps_a_drop_notice_is_a_gap_at_once():
    assert StreamCursor(NAME).noticed(11, 15, 3, timed=False) == Gap(NAME, 11, 15, 3)


def test_drop_notices_are_bounded():
    cursor = StreamCursor(NAME)
    for number in range(10 * MAX_NOTICES):
        cursor.noticed(number, number, 1, timed=True)
    gaps = cursor.ended()
    assert len(gaps) == MAX_NOTICES
    assert sum(gap.frames for gap in gaps) == 10 * MAX_NOTICES


def test_gaps_join():
    assert Gap(NAME, 1, 5, 2).joined(Gap(NAME, 6, 9, 3)) == Gap(NAME, 1, 9, 5)
    assert Gap(NAME, 1, 5, None).joined(Gap(NAME, 4, 9, 3)) == Gap(NAME, 1, 9, None)


# --- any order of publishing, dropping, overtaking, cutting ---


@dataclass
class Notice:
    start: int
    stop: int
    frames: int


class Stream(RuleBasedStateMachine):
    """A server with a ring and a bounded queue in which alerts overtake, and a wire that breaks.

    What the server does is told in the plainest way; the place has to end with every message once, or in a gap.
    """

    ROOM = 3

    def __init__(self):
        super().__init__()
        self.clock = 0
        self.published: list[Message] = []
        self.floor = 0  # all later than this is in the ring
        self.urgent: list[Message] = []
        self.line: list[Message] = []
        self.lost: list[Message] = []
        self.connected = False
        self.cursor = StreamCursor(NAME)
        self.got: list[Message] = []
        self.gaps: list[Gap] = []
        self.begun = 0

    @initialize()
    def subscribe(self):
        self.clock = self.begun = MARGIN + 1
        self.cursor.answered(None, self.clock)
        self.connected = True

    @rule(kinds=st.lists(st.sampled_from(["waveform", "feature", "alert"]), min_size=1, max_size=10))
    def publish(self, kinds):
        for kind in kinds:
            self.publish_one(kind)

    def publish_one(self, kind):
        self.clock += 1
        type = MessageType.FEATURE_DATA if kind == "feature" else MessageType.ECG_DATA
        message = alert(self.clock) if kind == "alert" else Message(type, {}, 3, Flag(0), self.clock)
        self.published.append(message)
        if self.connected:
            self.queue(message)

    def queue(self, message):
        (self.urgent if message.type is MessageType.ANOMALY_ALERT else self.line).append(message)
        if len(self.line) > self.ROOM:
            victims = [one for one in self.line if one.type is MessageType.ECG_DATA]
            if victims:
                self.line.remove(victims[0])
                self.lost.append(victims[0])

    @rule(count=st.integers(1, 4))
    def pass_on(self, count):
        for _ in range(count):
            if not (self.urgent or self.lost or self.line):
                return
            if self.urgent:
                self.take(self.urgent.pop(0))
            elif self.lost:
                stamps = [message.timestamp for message in self.lost]
                self.gap(self.cursor.noticed(min(stamps), max(stamps), len(stamps), timed=True))
                self.lost.clear()
            else:
                self.take(self.line.pop(0))

    def take(self, message):
        for item in self.cursor.take(message, self.clock):
            if isinstance(item, Gap):
                self.gap(item)
            else:
                self.got.append(item)

    def gap(self, gap):
        if gap:
            self.gaps.append(gap)

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self):
        self.connected = False
        for queue in (self.urgent, self.line, self.lost):
            queue.clear()

    @precondition(lambda self: not self.connected)
    @rule(answer_arrives=st.booleans())
    def reconnect(self, answer_arrives):
        since = self.cursor.since()
        if not answer_arrives:
            return
        self.clock += 1
        following = [message for message in self.published if message.timestamp > max(since, self.floor)]
        start = self.floor + 1 if since < self.floor else None
        self.gaps += self.cursor.answered(start, self.clock)
        self.connected = True
        for message in following:
            self.queue(message)

    @rule(age=st.integers(5, 30))
    def forget(self, age):
        self.floor = max([self.floor, *(message.timestamp for message in self.published[:-age])])

    @invariant()
    def nothing_comes_twice(self):
        stamps = [message.timestamp for message in self.got]
        assert len(set(stamps)) == len(stamps)

    @invariant()
    def the_line_is_in_order(self):
        stamps = [message.timestamp for message in self.got if message.type is not MessageType.ANOMALY_ALERT]
        assert stamps == sorted(stamps)

    def teardown(self):
        if not self.connected and self.begun:
            self.reconnect(True)
        self.pass_on(10**6)
        self.gaps += self.cursor.ended()
        got = {message.timestamp for message in self.got}
        missing = {message.timestamp for message in self.published} - got
        for timestamp in missing:
            assert any(gap.start <= timestamp <= gap.stop for gap in self.gaps), (timestamp, self.gaps)
        counted = sum(gap.frames for gap in self.gaps if gap.frames is not None)
        assert counted <= len(missing)
        if all(gap.frames is not None for gap in self.gaps):
            assert counted == len(missing)


TestEveryMessageComesOnceAndInOrderOrIsInAGap = Stream.TestCase
TestEveryMessageComesOnceAndInOrderOrIsInAGap.settings = examples(300, stateful_step_count=20)

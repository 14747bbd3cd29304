"""The send window limits the bytes on the way to a slow peer, even behind a proxy that accepts all bytes."""

from __future__ import annotations

import os
import random
from collections import deque

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import Side, server
from thoroughness import examples

from ecgframe import MessageType
from ecgframe.session import PingUnanswered
from ecgframe.session.outgoing import encode_outgoing
from ecgframe.session.send_window import FIRST_PROBE, GRACE, SMALLEST, SendWindow
from ecgframe.session.sender import STALLED_BYTES

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
STREAM = "ecg/bed-7"
FRAME = 1000
ALERT = {"kind": "asystole", "timestamp": 1.0}


class Path:
    """A proxy that takes everything at once, and a viewer behind it that reads so many bytes a second.

    Args:
        theirs: the server's side, agreed.
        rate: bytes a second that the viewer reads.
        delay: seconds from either end to the other.
        answers: whether the viewer answers PING.

    Attributes:
        read_at: when the viewer has read, or goes on to read, what came last.
    """

    def __init__(self, theirs: Side, rate: float, delay: float = 0.0, *, answers: bool = True) -> None:
        self.theirs = theirs
        self.clock = theirs.clock
        self.rate = rate
        self.delay = delay
        self.answers = answers
        self.taken: deque[tuple[float, bytes]] = deque()
        self.back: deque[tuple[float, bytes]] = deque()
        self.arrived: list[oracle.Frame] = []
        self.longest = 0
        self.read_at = 0.0
        self._heard_at = 0.0

    @property
    def on_its_way(self) -> int:
        return sum(len(message) for _, message in self.taken)

    def write(self) -> None:
        """The server writes whatever it has."""
        for message in self.theirs.says():
            self.taken.append((self.clock.now + self.delay, message))
            self.longest = max(self.longest, self.on_its_way)

    def pass_on(self, seconds: float) -> None:
        """Let time pass, in the order in which things happen."""
        end = self.clock.now + seconds
        self.write()
        while (moment := min(self._next_moments(), default=end)) <= end:
            self.clock.now = max(self.clock.now, moment)
            self._arrive()
            deadline = self.theirs.session.deadline()
            if deadline is not None and deadline <= self.clock.now:
                self.theirs.ticks()
            self.write()
        self.clock.now = end

    def drain(self) -> None:
        """Let time pass until all that was sent has been read."""
        while self.taken or self.theirs.session.queued_frames:
            self.pass_on(0.1)

    def _next_moments(self) -> list[float]:
        moments = [self._heard_at + 10, *[moment for moment, _ in list(self.back)[:1]]]
        if self.taken:
            moments.append(max(self.taken[0][0], self.read_at) + len(self.taken[0][1]) / self.rate)
        if (deadline := self.theirs.session.deadline()) is not None:
            moments.append(deadline)
        return moments

    def _arrive(self) -> None:
        if self.clock.now >= self._heard_at + 10:  # the viewer has a heartbeat of its own
            self._heard_at = self.clock.now
            self.theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, 3, 0, 1))
        while self.back and self.back[0][0] <= self.clock.now:
            self.theirs.hears(self.back.popleft()[1])
        while self.taken:
            read_at = max(self.taken[0][0], self.read_at) + len(self.taken[0][1]) / self.rate
            if read_at > self.clock.now + 1e-9:
                return
            self.read_at = read_at
            for frame in oracle.decode_frames(self.taken.popleft()[1]):
                if frame.type != T["PING"]:
                    self.arrived.append(frame)
                elif self.answers:
                    pong = oracle.encode_frame(T["PONG"], frame.data, frame.version, 0, 1)
                    self.back.append((self.clock.now + self.delay, pong))

    def numbers(self) -> list[int]:
        return [frame.data["n"] for frame in self.arrived if frame.type == T["ECG_DATA"]]


def agreed(version: int = 3, **options) -> Side:
    theirs = server(queue_frames=100_000, queue_bytes=1 << 30, compression=None, **options).starts()
    theirs.says()
    capabilities = ["timestamps", "priority"] if version == 3 else []
    theirs.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": version, "capabilities": capabilities}, 1))
    return theirs


def send(theirs: Side, number: int, nbytes: int = FRAME) -> None:
    theirs.session.send(MessageType.ECG_DATA, {"n": number, "x": os.urandom(nbytes)}, stream=STREAM)


@pytest.mark.parametrize(
    "version", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 3]
)
@pytest.mark.parametrize(
    "rate", [pytest.param(20_000, marks=pytest.mark.slow), pytest.param(1_000_000, marks=pytest.mark.slow), 20_000_000]
)
def test_an_alert_waits_for_little_whatever_takes_the_rest(version, rate):
    theirs = agreed(version)
    path = Path(theirs, rate)
    for number in range(4000):
        send(theirs, number)
        path.write()
    path.pass_on(0.05)
    before = len(path.arrived)
    theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, stream=STREAM)
    path.drain()
    position = [frame.type for frame in path.arrived[before:]].index(T["ANOMALY_ALERT"])
    assert position <= 100
    assert path.longest <= 2 * SMALLEST
    assert path.numbers() == list(range(4000))


@pytest.mark.slow
@pytest.mark.parametrize("busy", [0.07, 0.3, 0.45])
def test_a_viewer_that_is_busy_at_first_is_not_taken_for_one_far_away(busy):
    """Its first answer is late, and all others wait behind data: nothing tells by itself how long the path is."""
    theirs = agreed()
    path = Path(theirs, 1_000_000)
    path.read_at = theirs.clock.now + busy
    for number in range(4000):
        send(theirs, number)
        path.write()
    path.pass_on(busy + 1)
    before = len(path.arrived)
    theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, stream=STREAM)
    path.drain()
    assert [frame.type for frame in path.arrived[before:]].index(T["ANOMALY_ALERT"]) <= 70
    assert path.longest <= 2 * SMALLEST
    assert path.numbers() == list(range(4000))


@pytest.mark.slow
def test_a_path_that_becomes_shorter_is_found_out():
    theirs = agreed()
    path = Path(theirs, 2_000_000, 0.1)
    for number in range(40_000):
        send(theirs, number)
    path.pass_on(5)
    assert path.on_its_way > 2 * SMALLEST
    path.delay = 0.001
    path.pass_on(11)
    path.longest = 0
    path.pass_on(1)
    assert theirs.session.queued_frames > 1000
    assert path.longest <= 2 * SMALLEST


@pytest.mark.slow
def test_alerts_do_not_keep_data_waiting_where_the_path_is_measured():
    theirs = agreed()
    path = Path(theirs, 2_000_000, 0.1)
    for number in range(8000):
        send(theirs, number)
    for _ in range(1500):
        theirs.session.send(MessageType.ANOMALY_ALERT, ALERT | {"x": os.urandom(3000)}, stream=STREAM)
        path.pass_on(0.01)
    assert path.numbers() == list(range(8000))


def test_a_viewer_that_was_quick_and_becomes_slow():
    """Live frames went through at once; then the path gets a tenth of what is published."""
    theirs = agreed()
    path = Path(theirs, 10_000_000)
    number = 0
    for _ in range(400):  # 20 seconds of 20 frames of 3 kB a second
        send(theirs, number, 3000)
        path.pass_on(0.05)
        number += 1
    assert theirs.session.queued_frames == 0
    path.rate = 6_000
    for _ in range(400):
        send(theirs, number, 3000)
        path.pass_on(0.05)
        number += 1
    # What was sent in the seconds of trust, and the window; the rest of 1.2 MB waits where alerts overtake it.
    assert path.on_its_way < 3 * SMALLEST
    assert theirs.session.queued_bytes > 800_000
    path.rate = 10_000_000
    path.drain()
    assert path.numbers() == list(range(number))


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15])
def test_a_path_is_kept_busy_however_long_it_is(delay):
    """A backlog of 6 MB over 2 MB/s takes the 3 seconds that the path needs, and some round trips."""
    theirs = agreed()
    path = Path(theirs, 2_000_000, delay)
    for number in range(6_000):
        send(theirs, number)
    began = theirs.clock.now
    path.drain()
    assert theirs.clock.now - began < 3.5 + 30 * delay
    assert path.numbers() == list(range(6_000))


def test_live_frames_are_asked_about_seldom():
    theirs = agreed()
    path = Path(theirs, 10_000_000, 0.01)
    for number in range(20 * 60):  # a minute of 20 frames of 2 kB a second
        send(theirs, number, 2000)
        path.pass_on(0.05)
    assert path.numbers() == list(range(20 * 60))
    assert theirs.session.counters.sent[MessageType.PING] <= 32


def test_a_fan_out_at_full_speed_is_asked_about_seldom():
    """A megabyte a second in bursts, as an event loop makes them that has much to do. The viewer takes it all."""
    theirs = agreed()
    path = Path(theirs, 50_000_000, 0.0025)
    chance = random.Random(11)
    frames = 0
    while theirs.clock.now < 20:
        for _ in range(chance.randint(10, 14)):
            send(theirs, frames, 2300)
            path.write()
            frames += 1
        path.pass_on(chance.uniform(0.005, 0.055))
    path.drain()
    assert path.numbers() == list(range(frames))
    assert theirs.session.counters.sent[MessageType.PING] <= frames / 400


def test_a_burst_after_a_pause_is_asked_about_twice():
    """Once because of the pause, once to measure the rate of the burst."""
    theirs = agreed()
    path = Path(theirs, 50_000_000, 0.001)
    number, pings = 0, []
    for _ in range(6):
        before = theirs.session.counters.sent[MessageType.PING]
        for _ in range(500):  # 2 MB/s for a quarter of a second
            send(theirs, number)
            path.pass_on(0.0005)
            number += 1
        pings.append(theirs.session.counters.sent[MessageType.PING] - before)
        path.pass_on(10)
    assert path.numbers() == list(range(number))
    assert max(pings[1:]) <= 2


def test_a_full_window_is_looked_at_only_when_it_may_open(monkeypatch):
    looks = []
    look = SendWindow.look
    monkeypatch.setattr(SendWindow, "look", lambda *arguments: looks.append(arguments) or look(*arguments))
    theirs = agreed()
    path = Path(theirs, 1_000_000)
    send(theirs, 0, FIRST_PROBE)
    send(theirs, 1)
    path.drain()
    path.rate = 1.0  # it reads no more
    for number in range(2, 300):
        send(theirs, number)
        path.write()
    assert theirs.session.holds_data
    looks.clear()
    for number in range(300, 1000):
        send(theirs, number)
        path.write()
    assert not looks
    path.rate = 10_000_000
    path.read_at = theirs.clock.now
    path.drain()
    assert path.numbers() == list(range(1000))


def test_a_peer_that_never_answers_gets_it_all_after_a_moment():
    theirs = agreed()
    path = Path(theirs, 1_000_000, answers=False)
    for number in range(500):
        send(theirs, number)
    path.write()
    assert path.on_its_way < SMALLEST + 2 * FRAME + FIRST_PROBE
    path.pass_on(GRACE + 0.01)
    assert theirs.session.queued_frames == 0
    assert not theirs.session.holds_data
    path.drain()
    assert path.numbers() == list(range(500))
    assert theirs.session.counters.sent[MessageType.PING] == 1


def test_a_peer_that_answers_no_more_gets_a_window_in_three_intervals():
    theirs = agreed(heartbeat_interval=1.0)
    path = Path(theirs, 1_000_000)
    for number in range(200):
        send(theirs, number)
    path.drain()
    path.answers = False
    for number in range(200, 1000):
        send(theirs, number)
    path.pass_on(1.0)
    assert theirs.session.holds_data
    before = len(path.numbers())
    for _ in range(30):
        theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, 3, 0, 1))  # it is there
        path.pass_on(0.2)
    events = theirs.told(PingUnanswered)
    assert len(events) == 2
    assert all(event.seconds >= 3 for event in events)
    after = len(path.numbers()) - before
    assert 40 <= after <= 2 * (SMALLEST + 2 * FRAME) // FRAME
    assert theirs.session.holds_data
    path.answers = True
    for _ in range(20):
        theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, 3, 0, 1))
        path.pass_on(0.2)
    assert path.numbers() == list(range(1000))  # it was only slow
    assert not theirs.session.closing


@pytest.mark.parametrize("live_seconds", [5.0, 1.0])
def test_little_waits_for_a_peer_that_takes_nothing(live_seconds):
    """A frozen tab: it neither answers nor says anything; then it goes on, and is told what it missed."""
    theirs = agreed(live_seconds=live_seconds)
    path = Path(theirs, 1_000_000)
    session, clock = theirs.session, path.clock
    most = 0
    for number in range(800):
        data = {"n": number, "x": os.urandom(2000)}
        outgoing = encode_outgoing(
            session.encoding,
            MessageType.ECG_DATA,
            data,
            timestamp=number + 1,
            settings=session.settings,
            stream=STREAM,
        )
        session.enqueue(outgoing, clock.now)
        path.answers = number < 100
        theirs.hears(oracle.encode_frame(T["HEARTBEAT"], None, 3, 0, 1))
        path.pass_on(0.05)
        if number > 100 + 20 * live_seconds + 100:
            most = max(most, session.queued_bytes + 256 * session.queued_frames)
    assert 100_000 < most <= STALLED_BYTES + 2 * 2256
    assert session.counters.dropped > 200
    assert path.numbers() == list(range(len(path.numbers())))


def test_heartbeats_and_control_messages_pass_while_data_is_held():
    theirs = agreed(heartbeat_interval=1.0)
    path = Path(theirs, 1_000_000)
    send(theirs, 0, FIRST_PROBE)
    send(theirs, 1)
    path.drain()
    path.rate = 1.0  # it reads no more
    for number in range(2, 300):
        send(theirs, number)
    path.write()
    assert theirs.session.holds_data
    sent = theirs.session.counters.sent
    before = sent[MessageType.HEARTBEAT], sent[MessageType.PONG]
    theirs.hears(oracle.encode_frame(T["PING"], {"a": 1}, 3, 0, 2))
    path.pass_on(1.5)
    assert (sent[MessageType.HEARTBEAT], sent[MessageType.PONG]) == (before[0] + 1, before[1] + 1)
    assert theirs.session.queued_frames > 200


@pytest.mark.parametrize(
    "answer", [None, {}, {"sent": 0}, {"sent": "x"}, {"sent": 2.0**70}, {"sent": -1}, {"sent": True}]
)
def test_an_answer_to_what_was_not_asked_opens_nothing(answer):
    theirs = agreed()
    for number in range(300):
        send(theirs, number)
    theirs.says()
    held = theirs.session.queued_frames
    assert held > 100
    theirs.hears(oracle.encode_frame(T["PONG"], answer, 3, 0, 1))
    theirs.says()
    assert theirs.session.queued_frames == held
    assert not theirs.session.closing


@examples(60, deadline=None)
@given(
    rate=st.sampled_from([20_000, 200_000, 5_000_000]),
    delay=st.sampled_from([0.0, 0.02, 0.2]),
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([30, 700, 5000, 30_000]), st.floats(0, 0.5), st.booleans()),
        max_size=10,
    ),
)
def test_all_messages_arrive_once_and_in_order_and_alerts_ahead(rate, delay, steps):
    theirs = agreed()
    path = Path(theirs, rate, delay)
    number = alerts = 0
    for frames, nbytes, seconds, alarms in steps:
        for _ in range(frames):
            send(theirs, number, nbytes)
            number += 1
        if alarms:
            theirs.session.send(MessageType.ANOMALY_ALERT, ALERT | {"number": alerts}, stream=STREAM)
            alerts += 1
        path.pass_on(seconds)
        assert not theirs.session.closing
    path.drain()
    assert path.numbers() == list(range(number))
    assert [f.data["number"] for f in path.arrived if f.type == T["ANOMALY_ALERT"]] == list(range(alerts))

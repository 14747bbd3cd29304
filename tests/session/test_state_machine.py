"""A server and a client, and a link between them that loses, delays, reorders, corrupts and breaks.

Hypothesis chooses what happens next. After every step, the counters of both sides are right; what either side sends is
read by an independent reader and compared with what the two have agreed on.
"""

from collections import Counter
from itertools import count

import numpy as np
import oracle
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from session import what_peers_send
from session.conversation import Clock, busy, client, server
from thoroughness import examples

from ecgframe import Flag, MessageTooLarge, MessageType
from ecgframe.protocol import MAX_BATCH_FRAMES, Capability, CloseCode
from ecgframe.session import (
    Acknowledged,
    Negotiated,
    Received,
    SubscribeRequested,
    Undelivered,
    UnsubscribeRequested,
    encode_outgoing,
)
from ecgframe.session.acknowledgements import REMEMBERED
from ecgframe.session.outgoing import Tier, encoding_for

NOISE = np.random.default_rng(7).bytes(4000)
DATA = [1, 2, 3, 4]
FIELDS = {
    1: {"signal": [1], "sampling_rate": 250},
    2: {"kind": "asystole", "timestamp": 1},
    3: {"label": "sinus"},
    4: {"features": {}},
}
ARRAY = np.arange(3, dtype="f4")
ALL_FLAGS = [Flag.PRIORITY, Flag.BROADCAST, Flag.ACK_REQUIRED]


class Watched:
    """One side of a connection, with everything that it has sent and received."""

    def __init__(self, side, clean):
        self.side = side
        self.session = side.session
        self.clean = clean
        """True if it receives the frames of the other side unchanged, or not at all."""
        self.encodings = [encoding_for(1, frozenset())]
        self.enqueued = {}
        self.put = Counter()
        self.told_lost = 0
        self.acknowledged = Counter()
        self.undelivered = Counter()
        self.delivered = []
        self.unhandled = []
        self.was_closing = None

    # --- what it does ---

    def sends(self, outgoing):
        """Note a frame that was queued."""
        self.enqueued[outgoing.timestamp] = outgoing

    def attends(self, events, *, clean):
        for event in events:
            match event:
                case Negotiated():
                    self.encodings.append(encoding_for(event.version, event.capabilities))
                    assert len(self.encodings) <= 3
                case Received(message):
                    self.delivered.append((message, clean))
                    self.unhandled.append(message)
                case Acknowledged(timestamp):
                    self.acknowledged[timestamp] += 1
                case Undelivered(timestamp):
                    self.undelivered[timestamp] += 1
                case SubscribeRequested(stream) if len(stream) < 300:
                    self.session.answer_subscription(stream, "subscribed")
                case UnsubscribeRequested(stream) if len(stream) < 300:
                    self.session.answer_subscription(stream, "unsubscribed")

    def speaks(self, most):
        """Up to so many WebSocket messages, each looked at closely."""
        said = []
        while len(said) < most and (message := self.session.next_message(self.side.clock.now)) is not None:
            self.looks_at(message)
            said.append(message)
        return said

    # --- what must hold of what it says ---

    def looks_at(self, message):
        frames = list(self.split(message))
        assert len(frames) == 1 or Capability.BATCH in self.session.capabilities
        assert len(frames) <= MAX_BATCH_FRAMES
        assert len(frames) == 1 or len(message) <= self.session.settings.batch_bytes
        for raw in frames:
            self.looks_at_frame(raw)

    def split(self, message):
        while message:
            *_, size = oracle.split(message, 2**32, alone=False)
            yield message[:size]
            message = message[size:]

    def looks_at_frame(self, raw):
        frame = oracle.decode_frame(raw, 2**32)
        payload = oracle.split(raw, 2**32)[4]
        inflated = oracle.inflate(payload, 2**32) if frame.flags & oracle.COMPRESSED else payload
        assert any(self.understands(encoding, frame, inflated) for encoding in self.encodings), frame
        if frame.type == oracle.TYPES["ERROR"]:
            assert set(frame.data) <= {"code", "message", "details"}
            assert "Traceback" not in frame.data["message"]
            details = frame.data.get("details") or {}
            self.told_lost += details.get("dropped", 0)
        if frame.type in DATA:
            outgoing = self.enqueued[frame.data["stamp"]]
            assert raw == outgoing.frame
            self.put[outgoing.timestamp] += 1
            if not outgoing.acknowledged:
                assert self.put[outgoing.timestamp] == 1
            if self.session.closing:
                assert outgoing.tier < Tier.LIVE

    @staticmethod
    def understands(encoding, frame, payload):
        if frame.type == oracle.TYPES["PROTOCOL_NEGOTIATION"]:
            return (frame.version, frame.flags) == (1, 0)
        settable = encoding.flags | (oracle.COMPRESSED if encoding.compressed else 0)
        is_binary = any(b"__ndarray__" + tag in payload for tag in (b"\xc4", b"\xc5", b"\xc6"))
        return (
            frame.version == encoding.version
            and frame.flags & ~settable == 0
            and (encoding.binary or not is_binary)
            and (frame.timestamp is not None) == (frame.version == 3)
        )

    # --- what must hold of its books ---

    def check(self):
        session, limits = self.session, self.session.settings
        waiting = [outgoing for tier in session._queue._tiers for outgoing in tier]
        sizes = sorted(outgoing.nbytes for outgoing in waiting)
        assert session.queued_frames == len(waiting) <= limits.queue_frames
        assert session.queued_bytes == sum(sizes)
        assert sum(sizes[:-1]) <= limits.queue_bytes or len(waiting) <= 1
        assert len(session._queue.losses) <= limits.queue_frames + 1
        assert len(session._unacknowledged) <= limits.max_unacknowledged + 1
        assert len(session._seen) <= 2 * REMEMBERED
        assert session.has_waiting == bool(waiting or session._queue.losses)
        self.check_deadline()
        self.check_deliveries()
        self.check_acknowledgements()
        if not session.closing:
            self.check_drops(waiting)
        if self.was_closing:
            assert session.closing == self.was_closing
        self.was_closing = session.closing

    def check_deadline(self):
        deadline = self.session.deadline()
        assert (deadline is None) == (self.session.closing is not None)
        if deadline is not None:
            assert deadline < self.side.clock.now + 3 * 86_400

    def check_deliveries(self):
        named = Counter(
            m.timestamp for m, _ in self.delivered if m.flags & Flag.ACK_REQUIRED and m.timestamp is not None
        )
        assert not named or max(named.values()) == 1

    def check_acknowledgements(self):
        pending = {waiting.outgoing.timestamp for waiting in self.session._unacknowledged}
        asked = {stamp for stamp, outgoing in self.enqueued.items() if outgoing.acknowledged}
        ends = [pending, set(self.acknowledged), set(self.undelivered)]
        assert set().union(*ends) == asked
        assert sum(map(len, ends)) == len(asked)
        assert max([*self.acknowledged.values(), *self.undelivered.values()], default=1) == 1
        for stamp in asked:
            assert self.put[stamp] <= self.session.settings.acknowledgement_attempts

    def check_drops(self, waiting):
        """Every data frame was sent, waits, or was dropped and counted; every dropped one is told of."""
        plain = {stamp for stamp, outgoing in self.enqueued.items() if not outgoing.acknowledged}
        gone = plain - set(self.put) - {outgoing.timestamp for outgoing in waiting}
        assert all(self.enqueued[stamp].droppable for stamp in gone)
        assert len(gone) == self.session.counters.dropped
        untold = sum(loss.frames for loss in self.session._queue.losses.values())
        assert self.told_lost + untold == len(gone)


class Wire:
    """One direction: messages on their way."""

    def __init__(self):
        self.messages = []

    def take(self, now, *, in_order, choose):
        """The next message that has arrived by now, or None."""
        arrived = [n for n, (due, _, _) in enumerate(self.messages) if due <= now]
        if not arrived or (in_order and arrived[0] != 0):
            return None
        return self.messages.pop(0 if in_order else arrived[choose % len(arrived)])


sides = st.sampled_from(["server", "client"])
moments = st.sampled_from([0.0, 0.001, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0])
MISHAPS = [
    "end",
    "refuse",
    "refuse and close",
    "cut",
    "sleep",
    "sleep",
    "did not read",
    "text",
    "lose",
    "lose",
    "corrupt",
]


class Connection(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.wall_clocks = {"server": self.clock.wall_clock_us(), "client": self.clock.wall_clock_us(ahead=3.0)}
        self.in_order = True
        self.steps_to_the_end = 3
        self.limits = {}
        self.numbers = count()

    @initialize(
        server=what_peers_send.settings_of_one_side(),
        client=what_peers_send.settings_of_one_side(),
        in_order=st.booleans(),
        agreed=st.sampled_from([True, True, False]),
    )
    def connect(self, server, client, in_order, agreed):
        self.limits = {"server": server, "client": client}
        self.in_order = in_order
        self.connect_again()
        if agreed:
            self.talk(True)

    def connect_again(self):
        self.clean = True
        self.both = {}
        for name, kind in (("server", server), ("client", client)):
            side = kind(self.clock, **self.limits[name])
            side.session._wall_clock_us = self.wall_clocks[name]
            self.both[name] = Watched(side.starts(), True)
        self.wires = {"server": Wire(), "client": Wire()}

    def other(self, name):
        return self.both["client" if name == "server" else "server"]

    # --- what the owners do ---

    @rule(
        name=sides,
        type=st.sampled_from(DATA),
        flags=st.sets(st.sampled_from(ALL_FLAGS)),
        size=st.sampled_from([0, 0, 30, 250, 1100]),
        ready_made=st.booleans(),
        stream=st.sampled_from([None, "a", "b"]),
        times=st.integers(1, 6),
    )
    def send(self, name, type, flags, size, ready_made, stream, times):
        for _ in range(times):
            self.send_one(name, type, flags, size, ready_made, stream)

    @rule(name=sides, type=st.sampled_from(DATA), priority=st.booleans(), times=st.integers(1, 3))
    def send_with_acknowledgement(self, name, type, priority, times):
        flags = {Flag.ACK_REQUIRED, Flag.PRIORITY} if priority else {Flag.ACK_REQUIRED}
        for _ in range(times):
            self.send_one(name, type, flags, 0, True, "a")

    def send_one(self, name, type, flags, size, ready_made, stream):
        one = self.both[name]
        stamp = self.wall_clocks[name]()
        data = FIELDS[type] | {"stamp": stamp, "noise": NOISE[:size], "array": ARRAY, "zeros": [0] * size}
        options = {"timestamp": stamp, "flags": sum(flags), "stream": stream}
        try:
            if ready_made:
                outgoing = encode_outgoing(
                    one.session.encoding, MessageType(type), data, settings=one.session.settings, **options
                )
                one.sends(outgoing)
                one.session.enqueue(outgoing)
            else:
                outgoing = one.session.send(MessageType(type), data, **options)
                one.sends(outgoing)
        except MessageTooLarge:
            return
        pending = {waiting.outgoing.timestamp for waiting in one.session._unacknowledged}
        if one.session.closing and outgoing.timestamp not in pending:
            del one.enqueued[outgoing.timestamp]  # discarded: the connection ends

    @rule(name=sides)
    def send_at_once_if_nothing_waits(self, name):
        one = self.both[name]
        stamp = self.wall_clocks[name]()
        outgoing = encode_outgoing(
            one.session.encoding,
            MessageType.ECG_DATA,
            FIELDS[1] | {"stamp": stamp},
            timestamp=stamp,
            settings=one.session.settings,
        )
        if one.session.record_direct_send(outgoing, self.clock.now):
            assert not one.session.closing
            one.sends(outgoing)
            one.looks_at(outgoing.frame)
            self.travel(name, outgoing.frame, 0.0)

    @rule(name=sides, what=st.sampled_from(["ping", "version", "subscribe", "unsubscribe", "answer"]))
    def ask(self, name, what):
        session = self.both[name].session
        if what == "ping":
            session.ping(self.clock.now)
        elif what == "version":
            session.check_version(3)
        elif name == "client" and what == "subscribe":
            session.subscribe("a", since=7)
        elif name == "client":
            session.unsubscribe("a")
        else:
            session.answer_subscription("a", "subscribed", start=3)

    @rule(name=sides, which=st.sampled_from(["oldest", "newest", "one that is acknowledged"]))
    def acknowledge(self, name, which):
        one = self.both[name]
        if which == "one that is acknowledged":
            for message, _ in one.delivered[:1]:
                if message not in one.unhandled:
                    one.session.acknowledge(message)
        elif one.unhandled:
            one.session.acknowledge(one.unhandled.pop(-1 if which == "newest" else 0))

    @rule(handles=st.sampled_from([True, True, False]))
    def talk(self, handles):
        """Exchange all there is to say, and begin anew where one side wants no more."""
        for _ in busy(100):
            for name, one in self.both.items():
                while handles and one.unhandled:
                    one.session.acknowledge(one.unhandled.pop())
                self.speak(name, 1000, 0.0)
            carried = [self.carry(name, 1000) for name in self.both]
            if not any(carried):
                break
        self.cut_if_closing()

    @rule(pause=moments, handles=st.sampled_from([True, True, False]))
    def talk_for_a_while(self, pause, handles):
        """Both owners do what they ought to: tick when it is due, send, and hand over what came."""
        end = self.clock.now + pause
        for _ in busy(5000):
            self.talk(handles)
            due = min(one.session.deadline() for one in self.both.values())
            if due > end:
                break
            self.clock.now = max(due, self.clock.now)
            for one in self.both.values():
                self.tick(one)
        self.clock.now = max(end, self.clock.now)

    def cut_if_closing(self):
        if any(one.session.closing for one in self.both.values()):
            self.cut()

    @rule(name=sides, kind=st.sampled_from(MISHAPS), which=st.integers(0, 10**6), again=st.integers(0, 3))
    def mishap(self, name, kind, which, again):
        session, messages = self.both[name].session, self.wires[name].messages
        if kind == "end":
            session.end()
        elif kind == "refuse":
            session.refuse(0x203, "no")
        elif kind == "refuse and close":
            session.refuse(0x203, "no", close=CloseCode.POLICY)
        elif kind == "cut":
            self.cut()
        elif kind == "sleep":
            self.wait(15.0 * 10**again)
        elif kind == "did not read":
            session.heard(self.clock.now)
        elif kind == "text":
            self.travel(name, "text", 0.0, clean=False)
        elif kind == "lose" and messages:
            del messages[which % len(messages)]
        elif kind == "corrupt" and messages:
            self.corrupt(messages, which)

    # --- what the wire does ---

    @rule(name=sides, most=st.sampled_from([1, 3, 100]), delay=st.sampled_from([0.0, 0.0, 0.1, 3.0]))
    def speak(self, name, most, delay):
        for message in self.both[name].speaks(most):
            self.travel(name, message, delay)

    def travel(self, name, message, delay, clean=True):
        self.wires[name].messages.append((self.clock.now + delay, message, clean))

    @rule(name=sides, most=st.sampled_from([1, 3, 100]), choose=st.integers(0, 10))
    def arrive(self, name, most, choose):
        self.carry(name, most, choose)

    def carry(self, name, most, choose=0):
        """Deliver up to so many messages of one side's; returns how many."""
        for n in range(most):
            taken = self.wires[name].take(self.clock.now, in_order=self.in_order, choose=choose)
            if taken is None:
                return n
            self.hear(self.other(name), *taken[1:])
        return most

    def hear(self, one, message, clean):
        was_closing = one.session.closing
        one.clean &= clean
        if isinstance(message, str):
            events = one.session.receive_text(self.clock.now)
        else:
            events = one.session.receive(message, self.clock.now)
        assert not (was_closing and events)
        one.attends(events, clean=clean)

    def corrupt(self, messages, which):
        due, message, _ = messages[which % len(messages)]
        if isinstance(message, bytes) and message:
            broken = bytearray(message)
            broken[which % len(broken)] ^= 1 << which % 8
            messages[which % len(messages)] = (due, bytes(broken), False)

    @rule(name=sides, message=what_peers_send.messages())
    def inject(self, name, message):
        self.travel(name, message, 0.0, clean=False)

    def cut(self):
        for one in self.both.values():
            one.attends(one.session.lost(), clean=True)
            assert one.session.lost() == []
            one.check()
            assert one.speaks(10) == []
            assert not one.session._unacknowledged
        self.connect_again()

    # --- time ---

    @rule(pause=moments)
    def wait(self, pause):
        self.cut_if_closing()
        self.clock.now += pause
        for one in self.both.values():
            self.tick(one)

    def tick(self, one):
        one.attends(one.session.tick(self.clock.now), clean=True)
        deadline = one.session.deadline()
        assert deadline is None or deadline > self.clock.now

    # --- what must hold ---

    @invariant()
    def books_are_right(self):
        for name, one in getattr(self, "both", {}).items():
            one.check()
            self.check_what_was_delivered(one, self.other(name))

    @invariant()
    def no_end_lasts_for_ever(self):
        closing = any(one.session.closing for one in getattr(self, "both", {}).values())
        self.steps_to_the_end = self.steps_to_the_end - 1 if closing else 3
        if self.steps_to_the_end == 0:
            self.cut()

    def check_what_was_delivered(self, one, other):
        for message, clean in one.delivered:
            if clean:
                stamp = message.data["stamp"]
                assert message.timestamp in (None, stamp)
                assert stamp in other.put
        if other.clean:
            had = {message.timestamp for message, _ in one.delivered}
            assert set(other.acknowledged) <= had

    def teardown(self):
        """On a good wire, all that is left comes to an end."""
        if not self.limits:
            return
        self.in_order = True
        for _ in range(200):
            for name in ("server", "client"):
                self.speak(name, 1000, 0.0)
                self.carry(name, 1000)
                while self.both[name].unhandled:
                    self.acknowledge(name, "oldest")
            if not any(one.session._unacknowledged or one.session.has_waiting for one in self.both.values()):
                break
            due = [one.session.deadline() for one in self.both.values() if one.session.deadline() is not None]
            self.clock.now = max(self.clock.now, min(due, default=self.clock.now))
            for one in self.both.values():
                self.tick(one)
        for one in self.both.values():
            assert one.session.closing or not one.session._unacknowledged
            assert not one.session.has_waiting
        self.books_are_right()
        self.cut()


TestConnection = Connection.TestCase
TestConnection.settings = examples(60, stateful_step_count=100)

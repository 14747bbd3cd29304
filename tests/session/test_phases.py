"""The table of phases: Hypothesis walks through it with both kinds of session, and every row of it is driven."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from session.conversation import Clock, client, server

from ecgframe import Flag, MessageType, encode
from ecgframe.protocol import ERROR_WINDOW, Capability, CloseCode
from ecgframe.session import ErrorReceived, FrameRefused, Negotiated, Received, Undelivered
from ecgframe.session.state import TRANSITIONS, Action, Phase, Trigger

pytestmark = pytest.mark.usefixtures("each_version")

ROWS = [(phase, trigger) for phase, row in TRANSITIONS.items() for trigger in row]
SETTINGS = {"queue_frames": 6, "negotiation_timeout": 5.0, "heartbeat_interval": 15.0}
ANSWER = {"version": 3, "capabilities": ["ack"]}
OFFER = {"versions": [1, 2, 3], "capabilities": ["ack"]}
OPEN = (Phase.OPENING, Phase.ASSUMED, Phase.NEGOTIATED)


class Driver:
    """One session, with the means to pull each trigger."""

    def __init__(self, role):
        self.role = role
        self.clock = Clock()
        self.side = (server if role == "server" else client)(self.clock, **SETTINGS).starts()
        self.session = self.side.session
        self.side.says()
        self.stamp = 0

    def pull(self, trigger):
        """Pull a trigger from outside, and return the events."""
        return getattr(self, f"pull_{trigger.name.lower()}")()

    def hear(self, type, data, **options):
        return self.side.hears(encode(type, data, **options))

    def pull_message(self):
        return self.hear(MessageType.ERROR, {"code": 0x200, "message": "no"}, version=1)

    def pull_frame(self):
        return self.hear(MessageType.ECG_DATA, {"n": 1}, version=2)

    def pull_negotiation(self):
        if self.session.phase is Phase.NEGOTIATED:
            self.clock.now += ERROR_WINDOW + 1  # it is refused, and too many errors in a row close the connection
        said = ANSWER if self.role == "server" else OFFER
        return self.hear(MessageType.PROTOCOL_NEGOTIATION, said, version=1)

    def pull_timeout(self):
        self.clock.now += SETTINGS["negotiation_timeout"]
        return self.side.ticks()

    def pull_send(self):
        self.session.send(MessageType.ANOMALY_ALERT, {"n": 1}, flags=Flag.ACK_REQUIRED)
        return []

    def pull_end(self):
        self.session.end()
        return []

    def pull_abandon(self):
        for _ in range(SETTINGS["queue_frames"] + 1):
            self.session.send(MessageType.ANOMALY_ALERT, {"n": 1})
        return []

    def pull_lost(self):
        return self.side.loses()


def check(driver, before, trigger, events):
    """Return the visible effect of the action of a row."""
    session, after = driver.session, TRANSITIONS[before][trigger]
    kinds = [type(event) for event in events]
    assert session.phase is after.phase
    assert (session.closing is None) == (session.phase in OPEN)
    assert (session.deadline() is None) == (session.closing is not None)
    match after.action:
        case Action.ASSUME:
            assert [event.negotiated for event in events if type(event) is Negotiated] == [False]
            assert session.version == (2 if trigger is Trigger.FRAME else 1)
        case Action.AGREE:
            assert [event.negotiated for event in events] == [True]
            assert (session.version, session.capabilities) == (3, {Capability.ACK})
        case Action.REFUSE:
            [refused] = events
            assert type(refused) is FrameRefused
            assert refused.error.code == 0x200
        case Action.PROCEED if trigger is Trigger.MESSAGE:
            assert kinds == [ErrorReceived]
        case Action.PROCEED if trigger is Trigger.FRAME:
            assert kinds == [Received]
        case Action.PROCEED:
            assert session.queued_frames
        case Action.IGNORE:
            assert kinds == []
        case Action.FLUSH:
            assert session.closing.code is CloseCode.NORMAL
        case Action.DISCARD:
            assert session.closing.code is CloseCode.TRY_LATER
            assert driver.side.says() == []
        case Action.GIVE_UP:
            assert set(kinds) <= {Undelivered}
            assert driver.side.says() == []


class Walk(RuleBasedStateMachine):
    """Any triggers in any order; the phase is the table's."""

    role: str
    driven: set

    @initialize(start=st.sampled_from(OPEN))
    def begin(self, start):
        self.driver = Driver(self.role)
        self.phase = Phase.OPENING
        for trigger in way_to(start):
            self.pull_one(trigger)

    @rule(data=st.data())
    def pull(self, data):
        possible = [
            trigger for trigger in TRANSITIONS[self.phase] if (trigger, self.role) != (Trigger.TIMEOUT, "server")
        ]
        self.pull_one(data.draw(st.sampled_from(possible)))

    def pull_one(self, trigger):
        events = self.driver.pull(trigger)
        check(self.driver, self.phase, trigger, events)
        self.driven.add((self.phase, trigger))
        self.phase = TRANSITIONS[self.phase][trigger].phase
        self.driver.side.says()

    @invariant()
    def what_was_agreed_stays(self):
        if self.phase not in OPEN:
            return
        session = self.driver.session
        assert session.established == (self.phase is not Phase.OPENING)
        assert session.negotiated == (self.phase is Phase.NEGOTIATED)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["server", "client"])
def test_every_row_is_driven_by_any_walk(role):
    """Derandomized, so that it is not a matter of luck whether a row was driven."""

    driven = set()
    walk = type("WalkOfOneRole", (Walk,), {"role": role, "driven": driven})
    limits = settings(max_examples=200, stateful_step_count=6, derandomize=True, deadline=None)
    run_state_machine_as_test(walk, settings=limits)
    not_of_this_role = {(Phase.OPENING, Trigger.TIMEOUT)} if role == "server" else set()
    assert set(ROWS) - driven == not_of_this_role


def way_to(phase):
    """The shortest way through the table from the beginning to a phase."""
    ways = deque([(Phase.OPENING, [])])
    while ways:
        at, way = ways.popleft()
        if at is phase:
            return way
        ways.extend(
            (after.phase, [*way, trigger])
            for trigger, after in TRANSITIONS[at].items()
            if after.phase is not at and trigger is not Trigger.TIMEOUT
        )
    raise AssertionError(f"no way leads to {phase}")


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize(("phase", "trigger"), ROWS)
def test_a_row_does_what_it_says(role, phase, trigger):
    if (role, trigger) == ("server", Trigger.TIMEOUT):
        pytest.skip("a server does not wait for a negotiation")
    driver = Driver(role)
    for step in way_to(phase):
        driver.pull(step)
    driver.side.says()
    assert driver.session.phase is phase
    check(driver, phase, trigger, driver.pull(trigger))


def test_the_agreement_is_known_after_the_end():
    for way, expected in (
        ([Trigger.NEGOTIATION], (True, True)),
        ([Trigger.FRAME], (True, False)),
        ([], (False, False)),
    ):
        driver = Driver("server")
        for trigger in [*way, Trigger.END, Trigger.LOST]:
            driver.pull(trigger)
        assert driver.session.phase is Phase.CLOSED
        assert (driver.session.established, driver.session.negotiated) == expected


def test_a_fatal_error_closes():
    driver = Driver("server")
    driver.side.hears(b"\x09")
    assert driver.session.phase is Phase.CLOSING
    assert driver.session.closing.code is CloseCode.PROTOCOL_ERROR


def test_a_silent_peer_is_abandoned():
    driver = Driver("server")
    driver.side.waits(45)
    assert driver.session.phase is Phase.CLOSING
    assert driver.session.closing.code is CloseCode.INTERNAL


def test_the_table_leads_forward_only():
    for phase, row in TRANSITIONS.items():
        assert all(after.phase >= phase for after in row.values())
    assert set(TRANSITIONS) == set(Phase)
    assert {trigger for _, trigger in ROWS} == set(Trigger)
    assert {after.action for row in TRANSITIONS.values() for after in row.values()} == set(Action)

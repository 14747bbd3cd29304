"""Whatever bytes come, in whatever state, on whichever side: no exception, and bounded memory."""

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session import what_peers_send
from session.conversation import client, server

from ecgframe import Flag, MessageType
from ecgframe.session.acknowledgements import REMEMBERED

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
ROLES = {"server": server, "client": client}
AGREE = [
    None,
    oracle.encode_frame(T["HEARTBEAT"], None, 1),
    oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 2, "versions": [2], "capabilities": ["batch"]}, 1),
    oracle.encode_frame(
        T["PROTOCOL_NEGOTIATION"],
        {"version": 3, "versions": [3], "capabilities": ["ack", "priority", "compression", "ndarray-bin", "batch"]},
        1,
    ),
]
STATES = ["talking", "a ping under way", "something unacknowledged", "closing", "lost"]


def brought_into(role, state, agree, limits):
    one = role(**{**limits, "versions": (1, 2, 3), "rate_limit": limits["rate_limit"]})
    one.starts()
    if agree:
        one.hears(agree)
    if state == "a ping under way":
        one.session.ping(0.0)
    elif state == "something unacknowledged":
        one.session.send(MessageType.ECG_DATA, {}, flags=Flag.ACK_REQUIRED, timestamp=2)
        one.says()
    elif state == "closing":
        one.session.end()
    elif state == "lost":
        one.session.lost()
    return one


def check_books(one):
    session = one.session
    assert session.queued_frames <= session.settings.queue_frames
    assert len(session._queue.losses) <= session.settings.queue_frames + 1
    assert len(session._unacknowledged) <= session.settings.max_unacknowledged + 1
    assert len(session._seen) <= 2 * REMEMBERED
    assert len(session.counters.errors) <= 11
    assert len(session.counters.refused) <= 10


@pytest.mark.parametrize("role", ROLES)
@given(
    what_peers_send.settings_of_one_side(),
    st.sampled_from(AGREE),
    st.sampled_from(STATES),
    st.lists(st.tuples(what_peers_send.messages(), st.sampled_from([0.0, 0.01, 1.0, 40.0])), min_size=1, max_size=12),
)
def test_no_bytes_raise_an_exception(role, limits, agree, state, messages):
    one = brought_into(ROLES[role], state, agree, limits)
    for message, pause in messages:
        was_closing = one.session.closing
        events = one.hears(message)
        for event in events:
            if hasattr(event, "message") and hasattr(event.message, "flags"):
                one.session.acknowledge(event.message)
        check_books(one)
        if was_closing:
            assert events == []
            assert one.session.closing == was_closing
        one.tells()
        one.waits(pause)
        deadline = one.session.deadline()
        assert deadline is None or one.clock.now < deadline
    one.loses()

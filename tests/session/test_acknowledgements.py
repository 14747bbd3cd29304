"""ACK_REQUIRED: acknowledged, sent again, given up; and nothing delivered twice."""

import oracle
import pytest
from session.conversation import EPOCH, Conversation, client, server

from ecgframe import Flag, MessageType
from ecgframe.protocol import CloseCode
from ecgframe.session import Acknowledged, Received, SubscribeRequested, Undelivered
from ecgframe.session.acknowledgements import REMEMBERED

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
ACK = Flag.ACK_REQUIRED
ALERT = {"kind": "asystole", "timestamp": 1.0}


def talking(**settings):
    """A server to which a client has said that it understands acknowledgements."""
    theirs = server(acknowledgement_timeout=2.0, heartbeat_interval=1000.0, **settings).starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": ["ack", "priority"]}, 1))
    theirs.events.clear()
    return theirs


def pong(timestamp, type=MessageType.ANOMALY_ALERT):
    return oracle.encode_frame(T["PONG"], {"ack": timestamp, "type": int(type)})


# --- the sender ---


def test_a_message_is_acknowledged():
    talk = Conversation()
    sent = talk.server.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    assert sent.acknowledged
    talk.talk()
    [received] = talk.client.told(Received)
    assert received.message.timestamp == sent.timestamp
    assert talk.server.told(Acknowledged) == []
    talk.clock.now = 0.5
    talk.client.session.acknowledge(received.message)
    [message] = talk.client.says()
    assert oracle.decode_frame(message).data == {"ack": sent.timestamp, "type": 2}
    talk.server.hears(message)
    assert talk.server.told(Acknowledged) == [Acknowledged(sent.timestamp, MessageType.ANOMALY_ALERT, 0.5)]
    talk.wait(100)
    assert len(talk.client.told(Received)) == 1
    assert talk.server.session.counters.resent == 0


def test_unacknowledged_messages_are_sent_again_and_then_given_up():
    theirs = talking(acknowledgement_attempts=3)
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    assert theirs.says() == [sent.frame]
    assert theirs.session.deadline() == 2.0
    for _ in range(2):
        assert theirs.waits(1.9) == []
        assert theirs.waits(0.1) == [sent.frame]
    assert theirs.waits(1.9) == []
    assert theirs.waits(0.1) == []
    assert theirs.events == [Undelivered(sent.timestamp, MessageType.ANOMALY_ALERT, 3)]
    assert theirs.session.counters.resent == 2
    assert theirs.session.counters.undelivered == 1
    assert theirs.hears(pong(sent.timestamp)) == []


def test_an_acknowledgement_of_the_second_attempt():
    theirs = talking()
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.says()
    theirs.waits(2)
    theirs.clock.now = 3.0
    assert theirs.hears(pong(sent.timestamp)) == [Acknowledged(sent.timestamp, MessageType.ANOMALY_ALERT, 1.0)]
    assert theirs.hears(pong(sent.timestamp)) == []


def test_time_counts_from_when_it_was_sent():
    theirs = talking()
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.clock.now = 500.0
    theirs.session.heard(500.0)
    assert theirs.ticks() == []
    assert theirs.says() == [sent.frame]
    assert theirs.session.deadline() == 502.0


def test_an_acknowledgement_before_it_was_sent_is_none():
    """Timestamps can be guessed; the moment at which it was sent cannot be told of what was not."""
    theirs = talking()
    theirs.clock.now = 1_000_000.0
    theirs.session.heard(1_000_000.0)
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    assert theirs.hears(pong(sent.timestamp)) == []
    assert theirs.says() == [sent.frame]
    assert theirs.hears(pong(sent.timestamp)) == [Acknowledged(sent.timestamp, MessageType.ANOMALY_ALERT, 0.0)]


def test_an_acknowledgement_while_it_waits_to_be_sent_again():
    theirs = talking()
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.says()
    theirs.clock.now = 2.0
    theirs.ticks()
    assert theirs.session.queued_frames == 1
    assert len(theirs.hears(pong(sent.timestamp))) == 1
    theirs.says()
    assert theirs.waits(100) == []
    assert theirs.told(Undelivered) == []


@pytest.mark.parametrize("ack", [0, 1, EPOCH, 2**64 - 1, 1.5, True, "1", None, [1]])
def test_acknowledgements_of_nothing(ack):
    theirs = talking()
    theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK, timestamp=EPOCH + 77)
    theirs.says()
    assert theirs.hears(oracle.encode_frame(T["PONG"], {"ack": ack})) == []


@pytest.mark.parametrize("ack", [-1, -(2**63), -0.5, 1e300, float("nan"), float("inf")])
def test_acknowledgements_that_cannot_be(ack):
    theirs = talking()
    theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK, timestamp=EPOCH + 77)
    theirs.says()
    [refused] = theirs.hears(oracle.encode_frame(T["PONG"], {"ack": ack}))
    assert (refused.error.code, refused.error.check) == (0x200, 12)


def test_an_acknowledgement_written_as_a_float():
    """JavaScript packers may write large integers so."""
    theirs = talking()
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.says()
    assert len(theirs.hears(pong(float(sent.timestamp)))) == 1


@pytest.mark.parametrize("timestamp", [0, 2**63, 2**64 - 1])
def test_timestamps_at_the_edges(timestamp):
    theirs = talking()
    theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK, timestamp=timestamp)
    [frame] = theirs.tells()
    assert frame.timestamp == timestamp
    assert [event.timestamp for event in theirs.hears(pong(timestamp))] == [timestamp]


def test_each_has_its_own_time():
    theirs = talking()
    sent = []
    for n in range(5):
        theirs.clock.now = n * 0.3
        sent.append(theirs.session.send(MessageType.ECG_DATA, {"n": n}, flags=ACK))
        theirs.says()
    theirs.hears(pong(sent[1].timestamp))
    for n in (0, 2, 3, 4):
        assert theirs.session.deadline() == pytest.approx(2 + n * 0.3)
        theirs.clock.now = theirs.session.deadline()
        theirs.ticks()
        assert theirs.says() == [sent[n].frame]


def test_a_repetition_is_queued_once():
    theirs = talking()
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.says()
    theirs.clock.now = 2.0
    for _ in range(5):
        theirs.ticks()
        assert theirs.session.deadline() > 2.0
    assert theirs.says() == [sent.frame]


def test_repetitions_are_due_after_messages_sent_meanwhile():
    theirs = talking()
    first = theirs.session.send(MessageType.ANOMALY_ALERT, {"n": 1}, flags=ACK)
    second = theirs.session.send(MessageType.ECG_DATA, {"n": 2}, flags=ACK)
    assert theirs.session.next_message(0.0) == first.frame
    theirs.clock.now = 1.9
    assert theirs.says() == [second.frame]
    assert theirs.waits(0.1) == [first.frame]
    assert theirs.session.deadline() == pytest.approx(3.9)
    theirs.hears(pong(second.timestamp))
    assert theirs.session.deadline() == pytest.approx(4.0)


def test_as_many_as_may_wait_at_once():
    theirs = talking(max_unacknowledged=10)
    for _ in range(10):
        theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    theirs.says()
    assert theirs.session.closing is None
    theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    assert theirs.session.closing.code is CloseCode.TRY_LATER
    assert len(theirs.loses()) == 11


def test_without_acknowledgements_none_is_asked_for():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3}, 1))
    sent = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    assert not sent.acknowledged
    assert theirs.tells()[0].flags & oracle.ACK_REQUIRED == 0
    assert theirs.loses() == []


# --- the end of a connection ---


def test_unacknowledged_messages_are_given_up_when_the_connection_is_lost():
    theirs = talking()
    first = theirs.session.send(MessageType.ANOMALY_ALERT, ALERT, flags=ACK)
    theirs.says()
    second = theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    assert theirs.loses() == [
        Undelivered(first.timestamp, MessageType.ANOMALY_ALERT, 1),
        Undelivered(second.timestamp, MessageType.ECG_DATA, 0),
    ]
    assert theirs.says() == []
    assert theirs.session.closing.code is CloseCode.GOING_AWAY
    assert theirs.loses() == []
    assert theirs.session.counters.undelivered == 2


def test_messages_sent_while_the_connection_closes_are_given_up():
    theirs = talking(max_unacknowledged=3)
    theirs.session.end()
    sent = [theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK) for _ in range(3)]
    for _ in range(100):
        theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    assert theirs.says() == []
    lost = theirs.loses()
    assert [event.timestamp for event in lost] == [one.timestamp for one in sent]
    assert {event.attempts for event in lost} == {0}


def test_queued_messages_are_given_up_when_the_connection_is_closed():
    theirs = talking()
    data = theirs.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    alert = theirs.session.send(MessageType.ANOMALY_ALERT, {}, flags=ACK)
    theirs.session.end()
    assert theirs.says() == [alert.frame]
    assert [(event.timestamp, event.attempts) for event in theirs.loses()] == [
        (data.timestamp, 0),
        (alert.timestamp, 1),
    ]


# --- the receiver ---


def test_a_message_is_acknowledged_when_the_application_has_received_it():
    theirs = talking()
    [received] = theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, 7))
    assert theirs.says() == []
    theirs.session.acknowledge(received.message)
    [frame] = theirs.tells()
    assert (frame.type, frame.flags, frame.data) == (T["PONG"], 0, {"ack": 7, "type": 1})


def test_only_messages_that_ask_for_it_are_acknowledged():
    theirs = talking()
    [received] = theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}, 3, 0, 7))
    theirs.session.acknowledge(received.message)
    assert theirs.says() == []


def test_repeated_messages_are_delivered_once():
    theirs = talking()
    frame = oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, 7)
    [received] = theirs.hears(frame)
    assert theirs.hears(frame, frame) == []
    assert theirs.says() == []  # the application does not have it yet
    theirs.session.acknowledge(received.message)
    assert len(theirs.says()) == 1
    assert theirs.hears(frame) == []
    assert [frame.data for frame in theirs.tells()] == [{"ack": 7, "type": 1}]


def test_messages_that_need_no_acknowledgement_are_delivered_as_they_come():
    theirs = talking()
    frame = oracle.encode_frame(T["ECG_DATA"], {}, 3, 0, 7)
    assert len(theirs.hears(frame, frame)) == 2


def test_a_control_message_is_acknowledged_at_once_and_done_once():
    theirs = talking()
    frame = oracle.encode_frame(T["SUBSCRIBE"], {"stream": "a", "since": 5}, 3, oracle.ACK_REQUIRED, 7)
    assert theirs.hears(frame) == [SubscribeRequested("a", 5_000_000)]
    assert theirs.hears(frame) == []
    assert [one.data for one in theirs.tells()] == [{"ack": 7, "type": 0x20}] * 2


def test_a_control_message_that_was_refused_is_not_acknowledged():
    theirs = talking()
    frame = oracle.encode_frame(T["SUBSCRIBE"], {"stream": 7}, 3, oracle.ACK_REQUIRED, 7)
    theirs.hears(frame, frame)
    assert [one.type for one in theirs.tells()] == [T["ERROR"]] * 2


def test_a_slow_application_is_given_a_message_once_however_many_others_it_takes_meanwhile():
    """While one message is worked on, thousands come, and are done with; then the one comes again."""
    theirs = talking()
    slow = oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, 1)
    assert len(theirs.hears(slow)) == 1
    for n in range(2, 3 * REMEMBERED):
        [received] = theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, n))
        theirs.session.acknowledge(received.message)
        theirs.says()
    assert theirs.hears(slow) == []


def test_the_memory_of_received_messages_is_bounded():
    theirs = talking()
    for n in range(5 * REMEMBERED):
        theirs.hears(oracle.encode_frame(T["ECG_DATA"], {}, 3, oracle.ACK_REQUIRED, n))
    assert len(theirs.session._seen) <= 2 * REMEMBERED


def test_a_sender_keeps_within_what_a_receiver_remembers():
    with pytest.raises(ValueError, match="max_unacknowledged"):
        server(max_unacknowledged=REMEMBERED + 1)


def test_a_lossy_way_there_and_a_lossy_way_back():
    """Every other message is lost, either way; all the same each is delivered once and acknowledged."""
    talk = Conversation({"heartbeat_interval": 1000.0})
    sent = [talk.server.session.send(MessageType.ECG_DATA, {"n": n}, flags=ACK).timestamp for n in range(20)]
    for _ in range(12):
        talk.client.hears(*talk.server.says()[::2])
        for event in talk.client.events:
            if isinstance(event, Received):
                talk.client.session.acknowledge(event.message)
        talk.client.session._queue.pop()  # lost
        talk.server.hears(*talk.client.says()[1::2])
        talk.clock.now += 2
        talk.server.ticks()
    delivered = [event.message.timestamp for event in talk.client.told(Received)]
    acknowledged = [event.timestamp for event in talk.server.told(Acknowledged)]
    given_up = [event.timestamp for event in talk.server.told(Undelivered)]
    assert len(set(delivered)) == len(delivered)
    assert sorted(acknowledged + given_up) == sent
    assert set(acknowledged) <= set(delivered)


def test_client_and_server_alike():
    ours = client().starts()
    ours.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"versions": [3], "capabilities": ["ack"]}, 1))
    ours.says()
    sent = ours.session.send(MessageType.ECG_DATA, {}, flags=ACK)
    ours.says()
    assert ours.waits(2) == [sent.frame]
    assert isinstance(ours.hears(pong(sent.timestamp))[0], Acknowledged)

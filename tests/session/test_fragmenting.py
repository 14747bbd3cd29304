"""Large messages of version 4 are cut when they leave, and others go between the fragments."""

import random

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session.conversation import Conversation
from session.slow_path import MBIT, SlowPath
from session.test_reassembly import cut, message, piece
from session.test_streams_by_number import V4
from session.test_streams_by_number import agreed as agreed_with_a_window

from ecgframe import Flag, MessageType
from ecgframe.protocol import FRAGMENT_SIZE, HEADER_SIZES, LEAST_FRAGMENT, Capability
from ecgframe.session import Acknowledged, ErrorReceived, FrameRefused, Received, Settings, StreamPosition, Undelivered
from ecgframe.session.fragmenting import Fragments
from ecgframe.session.outgoing import encode_outgoing, encoding_for
from ecgframe.session.send_window import SMALLEST, SendWindow
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

T = oracle.TYPES_OF_V4
NOISE = random.Random(7).randbytes(11 * 1024 * 1024)
ALERT, ECG, FEATURES = MessageType.ANOMALY_ALERT, MessageType.ECG_DATA, MessageType.FEATURE_DATA
PIECE = 32 + 8 + FRAGMENT_SIZE


def agreed(**settings):
    """A server and a client that have agreed on version 4; all data is sent at once."""
    return at_once(agreed_with_a_window(**settings))


def at_once(talk):
    talk.server.session._room = talk.server.session._window.turn_off()
    return talk


def sent(side, n=0, size=0, type=FEATURES, flags=0, stream=None):
    return side.session.send(type, {"n": n, "pad": NOISE[:size]}, flags=flags, stream=stream)


def is_fragment(frame):
    return bool(frame[2] & oracle.FRAGMENT)


def brief(messages):
    """Type of each message, and the offset of a fragment."""
    return [(m[1], int.from_bytes(m[36:40], "big")) if is_fragment(m) else m[1] for m in messages]


def numbers(side):
    return [event.message.data["n"] for event in side.told(Received)]


# --- cutting ---


@given(st.binary(max_size=9000), st.integers(1, 4000))
def test_a_frame_is_cut_as_by_another_writer(payload, size):
    header = {"stream": 7, "sequence": 9, "form": oracle.BULK, "timestamp": 5, "flags": 0x13}
    numbering = {name: header[name] for name in ("stream", "sequence", "form")}
    frame = oracle.frame(4, T["FEATURE_DATA"], header["flags"], payload, 5, **numbering)
    fragments = Fragments(frame, size)
    ours = [fragments[n] for n in range(fragments.count)]
    assert ours == cut(payload, size, **header)
    assert [fragments[n] for n in range(fragments.count)] == ours  # from what is kept


def test_a_large_message_goes_in_pieces_and_arrives_whole():
    talk = agreed()
    sent(talk.server, 1, 100_000)
    messages = talk.server.says()
    assert [len(each) for each in messages[:-1]] == [PIECE] * 6
    assert all(map(is_fragment, messages))
    talk.client.hears(*messages)
    [event] = talk.client.told(Received)
    assert event.message.data == {"n": 1, "pad": NOISE[:100_000]}
    assert not talk.client.told(FrameRefused)


@given(st.integers(FRAGMENT_SIZE - 40, FRAGMENT_SIZE + 40), st.integers(0, 3), st.booleans())
def test_messages_of_any_size_arrive(offset, pieces, from_client):
    talk = agreed()
    ours, theirs = (talk.client, talk.server) if from_client else (talk.server, talk.client)
    outgoing = sent(ours, 3, pieces * FRAGMENT_SIZE + offset)
    messages = ours.says()
    messages = [each for each in messages if each[1] != T["PING"]]
    nbytes = outgoing.nbytes - HEADER_SIZES[4]
    assert len(messages) == max(1, -(-nbytes // FRAGMENT_SIZE))
    assert is_fragment(messages[0]) == (nbytes > FRAGMENT_SIZE)
    theirs.hears(*messages)
    assert numbers(theirs) == [3]


def test_deflated_payloads_are_cut_as_they_are():
    talk = agreed()
    talk.server.session.send(FEATURES, {"n": 1, "pad": NOISE[:40_000] + bytes(400_000)})
    assert len(talk.server.session._queue.peek().frame) < 60_000
    talk.talk()
    assert numbers(talk.client) == [1]


@pytest.mark.parametrize("what", ["version 3", "no capability", "version 3, which this side offers as well"])
def test_other_peers_get_messages_whole(what):
    settings = {
        "version 3": {"versions": (1, 2, 3)},
        "no capability": {**V4, "capabilities": EVERYTHING | OF_VERSION_4 - {Capability.FRAGMENTS}},
        "version 3, which this side offers as well": {"versions": (3,)},
    }[what]
    talk = at_once(Conversation(V4, settings))
    sent(talk.server, 1, 100_000)
    [*_, whole] = talk.server.says()
    assert len(whole) > 100_000
    assert not is_fragment(whole)
    talk.client.hears(whole)
    assert numbers(talk.client) == [1]


def test_the_frame_is_the_same_for_peers_with_and_without_fragments():
    without = EVERYTHING | OF_VERSION_4 - {Capability.FRAGMENTS}
    assert encoding_for(4, EVERYTHING | OF_VERSION_4) == encoding_for(4, without)


def test_all_sessions_share_what_was_cut():
    talks = [agreed() for _ in range(3)]
    encoding = talks[0].server.session.encoding
    outgoing = encode_outgoing(
        encoding, FEATURES, {"n": 1, "pad": NOISE[:100_000]}, timestamp=5, settings=Settings(), stream="ecg/1"
    )
    for talk in talks:
        talk.server.session.enqueue(outgoing)
    assert talks[0].server.says() == talks[1].server.says() == talks[2].server.says()
    assert outgoing.fragments(FRAGMENT_SIZE) is outgoing.fragments(FRAGMENT_SIZE)
    assert outgoing.fragments(LEAST_FRAGMENT).count > outgoing.fragments(FRAGMENT_SIZE).count


def test_the_size_of_the_pieces_can_be_set():
    talk = agreed(fragment_bytes=LEAST_FRAGMENT)
    sent(talk.server, 1, 3000)
    assert [len(each) for each in talk.server.says()] == [40 + LEAST_FRAGMENT] * 2 + [40 + 3011 - 2048]
    for size in (LEAST_FRAGMENT - 1, 2**32):
        with pytest.raises(ValueError, match="fragment_bytes is at least 1024"):
            Settings(fragment_bytes=size)


# --- between the pieces ---


def test_alerts_and_control_messages_go_between_the_pieces():
    talk = agreed()
    sent(talk.server, 1, 60_000)
    session, now = talk.server.session, talk.clock.now
    messages = [session.next_message(now)]
    sent(talk.server, 2, type=ALERT)
    messages += [session.next_message(now), session.next_message(now)]
    session.answer_subscription("ecg/1", "denied")
    session.refuse(0x200, "something")
    messages += talk.server.says()
    kinds = brief(messages)
    assert kinds[:2] == [(FEATURES, 0), ALERT]
    assert kinds.index(T["SUBSCRIPTION_ACK"]) < kinds.index((FEATURES, 2 * FRAGMENT_SIZE))
    talk.client.hears(*messages)
    assert numbers(talk.client) == [2, 1]
    assert len(talk.client.told(ErrorReceived)) == 1


def test_messages_of_the_same_class_wait_for_the_last_piece():
    talk = agreed()
    sent(talk.server, 1, 60_000)
    session = talk.server.session
    messages = [session.next_message(0.0)]
    assert not session.record_direct_send(sent_later := sent(talk.server, 2), 0.0)
    assert sent_later is not None
    messages += talk.server.says()
    assert brief(messages)[-1] == FEATURES
    talk.client.hears(*messages)
    assert numbers(talk.client) == [1, 2]


def test_a_fragment_is_never_in_a_batch():
    talk = agreed(batch_bytes=256 * 1024)
    for n in range(3):
        sent(talk.server, n, 100)
    sent(talk.server, 3, 40_000)
    for n in range(4, 7):
        sent(talk.server, n, 100)
    messages = talk.server.says()
    assert [len(list(oracle.decode_frames(each))) if not is_fragment(each) else 0 for each in messages] == [
        3,
        0,
        0,
        0,
        3,
    ]
    talk.client.hears(*messages)
    assert numbers(talk.client) == list(range(7))


def test_a_message_of_which_a_piece_has_left_is_not_dropped():
    talk = agreed(queue_frames=5)
    session = talk.server.session
    sent(talk.server, 0, 40_000, type=ECG, stream="ecg/1")
    first = session.next_message(0.0)
    for n in range(1, 9):
        sent(talk.server, n, 100, type=ECG, stream="ecg/1")
    assert session.counters.dropped == 4
    talk.client.hears(first, *talk.server.says())
    assert numbers(talk.client) == [0, 5, 6, 7, 8]
    [error] = talk.client.told(ErrorReceived)
    assert error.details["dropped"] == 4


def test_the_second_of_two_messages_beyond_the_limit_of_the_queue_is_dropped():
    talk = agreed(queue_bytes=50_000)
    sent(talk.server, 1, 100_000, type=ECG)
    first = talk.server.session.next_message(0.0)
    sent(talk.server, 2, 100_000, type=ECG)
    assert talk.server.session.counters.dropped == 1
    talk.client.hears(first, *talk.server.says())
    assert numbers(talk.client) == [1]


def test_a_message_that_was_not_begun_is_dropped_as_before():
    talk = agreed(queue_frames=2)
    for n in range(3):
        sent(talk.server, n, 40_000, type=ECG)
    talk.talk()
    assert numbers(talk.client) == [1, 2]


def test_a_message_counts_until_its_last_piece_has_left():
    talk = agreed()
    outgoing = sent(talk.server, 1, 60_000)
    session = talk.server.session
    while session.queued_frames:
        assert session.queued_bytes == outgoing.nbytes
        session.next_message(0.0)
    assert session.queued_bytes == 0


def test_a_message_in_pieces_is_counted_once():
    talk = agreed()
    before = talk.server.session.counters.sent_bytes
    sent(talk.server, 1, 60_000)
    messages = talk.server.says()
    assert talk.server.session.counters.sent[FEATURES] == 1
    assert talk.server.session.counters.sent_bytes - before == sum(map(len, messages))
    talk.client.hears(*messages)
    assert talk.client.session.counters.received[FEATURES] == 1
    assert talk.server.session.counters.fragments_sent == talk.client.session.counters.fragments_received == 4


# --- small ones ---


def test_small_messages_are_sent_without_queueing_as_before():
    talk = agreed()
    session = talk.server.session
    talk.server.says()
    for size, direct in ((0, True), (FRAGMENT_SIZE - 40, True), (FRAGMENT_SIZE + 1, False)):
        data = {"pad": NOISE[:size]}
        outgoing = encode_outgoing(session.encoding, ECG, data, timestamp=5, settings=session.settings)
        assert session.record_direct_send(outgoing, 0.0) == direct
        assert outgoing.queued == (not direct)
    alert = encode_outgoing(session.encoding, ALERT, {"pad": NOISE[:40_000]}, timestamp=6, settings=session.settings)
    assert (alert.divisible, alert.queued) == (False, False)  # nothing overtakes it


# --- acknowledgements, resuming, closing ---


def test_the_time_for_an_acknowledgement_runs_from_the_last_piece():
    talk = agreed(acknowledgement_timeout=2.0)
    session = talk.server.session
    sent(talk.server, 1, 60_000, flags=Flag.ACK_REQUIRED)
    messages = []
    for second in range(4):
        talk.clock.now = float(second)
        messages.append(session.next_message(talk.clock.now))
        talk.server.ticks()
    assert session.counters.resent == 0
    messages += talk.server.says()
    talk.clock.now = 4.9
    talk.server.ticks()
    assert session.counters.resent == 0
    talk.client.hears(*messages)
    [event] = talk.client.told(Received)
    talk.client.session.acknowledge(event.message)
    talk.talk()
    assert talk.server.told(Acknowledged)[0].type is FEATURES
    talk.wait(20.0)
    assert session.counters.resent == 0


def test_an_unacknowledged_message_in_pieces_is_sent_again_whole():
    talk = agreed(acknowledgement_timeout=2.0, acknowledgement_attempts=2)
    sent(talk.server, 1, 60_000, flags=Flag.ACK_REQUIRED)
    talk.client.hears(*talk.server.says())
    talk.wait(30.0)
    assert talk.server.session.counters.resent == 1
    assert numbers(talk.client) == [1]
    assert len(talk.server.told(Undelivered)) == 1


def test_begun_messages_are_withdrawn_with_their_stream():
    talk = agreed()
    session = talk.server.session
    sent(talk.server, 1, 60_000, stream="ecg/1")
    sent(talk.server, 2, 40_000, stream="ecg/2")
    session.next_message(0.0)
    session.take_back("ecg/1")
    messages = talk.server.says()
    assert brief(each for each in messages if is_fragment(each))[0] == (FEATURES, 0)
    talk.client.hears(*messages)
    assert numbers(talk.client) == [2]


def test_a_closing_session_discards_what_was_begun():
    talk = agreed()
    session = talk.server.session
    sent(talk.server, 1, 60_000)
    session.next_message(0.0)
    session.end()
    assert talk.server.says() == []
    assert session.queued_bytes == 0


def test_after_a_resume_a_message_with_missing_pieces_comes_again_whole():
    """The place of a viewer moves by whole messages, whatever has arrived of the next one."""
    talk = agreed()
    position = StreamPosition(7, 1)
    outgoing = encode_outgoing(
        talk.server.session.encoding,
        FEATURES,
        {"n": 1, "pad": NOISE[:60_000]},
        timestamp=5,
        settings=Settings(),
        position=position,
    )
    talk.server.session.enqueue(outgoing)
    talk.server.session.next_message(0.0)
    again = agreed()
    again.client.session.subscribe("ecg/1")
    again.talk()
    again.client.session._reader.book.bind(7, "ecg/1", 1000)
    again.server.session.enqueue(outgoing)
    again.talk()
    [event] = again.client.told(Received)
    assert (event.message.sequence, event.message.data["n"]) == (1, 1)


# --- on a slow path ---

SECONDS = 8 * PIECE / 1_000_000  # of a piece at 1 Mbit/s


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.001, 0.02])
@pytest.mark.parametrize("seconds", [0.0, 0.05, 3.0, 20.0])
def test_an_alert_overtakes_ten_mebibytes_within_two_pieces(seconds, delay):
    """Published at byte 1, and later, over a path that takes whatever it is given."""
    path = SlowPath(MBIT, delay)
    sent(path.server, 1, 10 * 1024 * 1024)
    path.go_on(seconds)
    published = path.clock.now
    sent(path.server, 2, type=ALERT)
    path.go_on(5.0, until=lambda: numbers(path.client))
    assert numbers(path.client) == [2]
    assert path.clock.now - published <= 2 * SECONDS + 2 * delay
    assert path.most <= 2 * PIECE + 200
    path.go_on(100.0, until=lambda: len(numbers(path.client)) == 2)
    assert numbers(path.client) == [2, 1]
    assert path.clock.now <= 1.1 * 10 * 1024 * 1024 / MBIT  # and the path stays busy


def test_the_alert_waits_for_all_of_it_where_nothing_is_cut():
    """The same alert with a client that does not announce fragments."""
    path = SlowPath(MBIT, 0.001, capabilities=EVERYTHING | OF_VERSION_4 - {Capability.FRAGMENTS})
    sent(path.server, 1, 1024 * 1024)
    path.go_on(0.05)
    sent(path.server, 2, type=ALERT)
    path.go_on(100.0, until=lambda: len(numbers(path.client)) == 2)
    assert numbers(path.client) == [1, 2]


@pytest.mark.parametrize("delay", [0.001, pytest.param(0.05, marks=pytest.mark.slow)])
def test_a_fast_path_is_used(delay):
    """The window grows as it does for small messages."""
    path = SlowPath(100 * MBIT, delay)
    sent(path.server, 1, 10 * 1024 * 1024)
    path.go_on(100.0, until=lambda: numbers(path.client))
    assert path.clock.now <= 10 * 1024 * 1024 / (100 * MBIT) + 45 * delay


def test_the_window_is_as_before_once_the_message_has_left():
    path = SlowPath(MBIT, 0.001)
    sent(path.server, 1, 200_000)
    path.go_on(10.0)
    assert numbers(path.client) == [1]
    assert path.server.session._window.limit == SMALLEST


def test_a_window_that_is_off_stays_off():
    window = SendWindow()
    room = window.turn_off()
    assert window.narrow(1024, room, 0.0) == room
    assert not window.is_full


def test_a_peer_that_never_answers_gets_all_of_it():
    talk = agreed()
    talk.server.session._window.turn_off()
    sent(talk.server, 1, 200_000)
    talk.client.hears(*talk.server.says())
    assert numbers(talk.client) == [1]


# --- what another writer sends ---


def test_fragments_of_another_writer_interleave_with_ours():
    talk = agreed()
    sent(talk.server, 5, 40_000)
    ours = talk.server.says()
    theirs = message(6, "bulk", pieces=3, stream=0, sequence=0, form=0, type="ANOMALY_ALERT")
    assert piece(b"", 0) not in theirs
    for one, other in zip(ours, theirs, strict=True):
        talk.client.hears(one, other)
    assert sorted(numbers(talk.client)) == [5, 6]

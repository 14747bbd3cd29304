"""Large messages that the owner of a session decodes in a thread: the same events as ``receive`` gives."""

import itertools
import random

import numpy as np
import oracle
import pytest

from ecgframe import Codec, Flag, MessageType
from ecgframe.protocol import MAX_BATCH_FRAMES
from ecgframe.session import Decoding, FrameRefused, RateLimit, Received, ServerSession, Settings

AT_ONCE = 2000
V3 = oracle.encode_frame(oracle.TYPES["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": ["ack", "batch"]}, 1)


def session(**settings):
    theirs = ServerSession(Settings(**settings), itertools.count(1).__next__)
    theirs.start(0.0)
    theirs.receive(V3, 0.0)
    return theirs


def said(theirs):
    messages = []
    while (message := theirs.next_message(1.0)) is not None:
        messages.append(message)
    return messages


def plain(events):
    """Return values that can be compared: errors are never equal."""
    return [
        (type(event), repr(event.error), event.error.check, event.nbytes)
        if isinstance(event, FrameRefused)
        else repr(event)
        for event in events
    ]


def some_message(dice):
    """One frame or several, small or large, some of them damaged."""
    made = b""
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        options = {} if dice.random() < 0.5 else {"compression": None}
        data = {"x": dice.choice([1, bytes(3000), [1.5] * 700, "é" * 1500, np.arange(900)])}
        kind = dice.choice([MessageType.ECG_DATA, MessageType.ECG_DATA, MessageType.PING, MessageType.HEARTBEAT])
        flags = dice.choice([0, 0, Flag.ACK_REQUIRED])
        made += Codec(**options).encode(kind, data, flags=flags, timestamp=dice.randrange(1, 50))
    if dice.random() < 0.4:
        octets = bytearray(made)
        octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
        made = bytes(octets[: dice.choice([len(octets), len(octets) - 1, len(octets) // 2])])
    return made


@pytest.mark.parametrize("seed", range(30))
def test_decoding_in_a_thread_makes_no_difference(seed):
    dice = random.Random(seed)
    settings = {"max_payload": dice.choice([1500, 2500, 1 << 20]), "validate": dice.random() < 0.3}
    if dice.random() < 0.3:
        settings["rate_limit"] = RateLimit(frames=1, frames_burst=20, nbytes=1, nbytes_burst=1 << 21)
    whole, parted = session(**settings), session(**settings)
    for now in range(1, 8):
        message = some_message(dice)
        expected = whole.receive(message, float(now))
        events = parted.begin_to_receive(message, float(now), AT_ONCE)
        if isinstance(events, Decoding):
            events.run()
            events = parted.finish_receiving(events, float(now))
        assert plain(events) == plain(expected)
        assert said(parted) == said(whole)
        assert parted.counters == whole.counters
        assert parted.closing == whole.closing


def test_small_messages_are_decoded_at_once_and_large_ones_in_a_thread():
    theirs = session()
    small = Codec().encode(MessageType.ECG_DATA, {"x": 1})
    assert [type(event) for event in theirs.begin_to_receive(small, 1.0, AT_ONCE)] == [Received]
    for large in ({"x": np.random.default_rng(1).bytes(3000)}, {"x": bytes(100_000)}):  # as it travels, or inflated
        decoding = theirs.begin_to_receive(Codec().encode(MessageType.ECG_DATA, large), 1.0, AT_ONCE)
        assert isinstance(decoding, Decoding)
        decoding.run()
        [received] = theirs.finish_receiving(decoding, 2.0)
        assert received.message.data == large


def test_a_peer_is_not_silent_while_it_is_decoded():
    theirs = session(heartbeat_interval=1.0)
    decoding = theirs.begin_to_receive(Codec().encode(MessageType.ECG_DATA, {"x": bytes(100_000)}), 1.0, AT_ONCE)
    assert isinstance(decoding, Decoding)
    for now in range(2, 20):
        theirs.tick(float(now))
    assert theirs.closing is None
    assert theirs.deadline() >= 19.0
    decoding.run()
    theirs.finish_receiving(decoding, 20.0)
    for now in range(21, 30):
        theirs.tick(float(now))
    assert theirs.closing


def test_messages_decoded_after_the_end_of_the_connection_are_discarded():
    theirs = session()
    decoding = theirs.begin_to_receive(Codec().encode(MessageType.ECG_DATA, {"x": bytes(100_000)}), 1.0, AT_ONCE)
    theirs.lost()
    decoding.run()
    assert theirs.finish_receiving(decoding, 2.0) == []


def test_too_many_frames_are_too_many():
    heartbeat = oracle.encode_frame(oracle.TYPES["HEARTBEAT"], None, 3, 0, 1)
    whole, parted = session(), session()
    for frames in (MAX_BATCH_FRAMES, MAX_BATCH_FRAMES + 1):
        expected = whole.receive(heartbeat * frames, 1.0)
        decoding = parted.begin_to_receive(heartbeat * frames, 1.0, AT_ONCE)
        assert isinstance(decoding, Decoding)
        decoding.run()
        assert plain(parted.finish_receiving(decoding, 1.0)) == plain(expected)
        assert parted.closing == whole.closing
        assert parted.counters == whole.counters
    assert whole.closing

"""Timestamps name a message: those of one codec strictly increase, whoever calls it."""

import threading
import time
from itertools import pairwise

import oracle
import pytest

import ecgframe
from ecgframe import Codec, MessageType


def stamp(frame):
    return oracle.TIMESTAMP.unpack_from(frame, 11)[0]


def test_a_timestamp_of_none_is_the_current_time():
    before = time.time_ns() // 1000
    sent = stamp(Codec().encode(MessageType.PING, None))
    after = time.time_ns() // 1000
    assert before - 1 <= sent <= after + 1


@pytest.mark.parametrize("encode", [Codec().encode, ecgframe.encode])
def test_automatic_timestamps_increase_faster_than_the_clock(encode):
    stamps = [stamp(encode(MessageType.PING, None)) for _ in range(20_000)]
    assert all(earlier < later for earlier, later in pairwise(stamps))


@pytest.mark.parametrize("encode", [Codec().encode, ecgframe.encode])
def test_automatic_timestamps_increase_across_threads(encode):
    stamps = [[] for _ in range(4)]
    start = threading.Barrier(len(stamps))

    def send(mine):
        start.wait()
        mine.extend(stamp(encode(MessageType.PING, None)) for _ in range(3000))

    threads = [threading.Thread(target=send, args=(mine,)) for mine in stamps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in stamps)
    everyone = [one for mine in stamps for one in mine]
    assert len(set(everyone)) == len(everyone) == 12_000


@pytest.mark.parametrize("timestamp", [0, 1, 2**63, 2**64 - 1])
def test_a_given_timestamp_is_sent_as_it_is(timestamp):
    codec = Codec()
    assert stamp(codec.encode(MessageType.PING, None, timestamp=timestamp)) == timestamp
    assert stamp(codec.encode(MessageType.PING, None, timestamp=timestamp)) == timestamp


def test_a_given_timestamp_does_not_move_the_automatic_ones():
    codec = Codec()
    first = stamp(codec.encode(MessageType.PING, None))
    codec.encode(MessageType.PING, None, timestamp=2**64 - 1)
    codec.encode(MessageType.PING, None, timestamp=0)
    second = stamp(codec.encode(MessageType.PING, None))
    assert first < second < first + 3_600_000_000

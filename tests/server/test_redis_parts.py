"""The data structures of the Redis backplane, without a Redis."""

from __future__ import annotations

import asyncio

import oracle
import pytest
from recordings import optional
from running import run

from ecgframe import Codec, MessageType
from ecgframe.codec import EncodedFrame

optional("redis.asyncio")

from ecgframe.protocol import LARGEST_SEQUENCE  # noqa: E402
from ecgframe.server.redis.epochs import Epochs  # noqa: E402
from ecgframe.server.redis.outbox import BATCH_BYTES, BATCH_MESSAGES, Message, Outbox  # noqa: E402
from ecgframe.server.redis.packing import packing  # noqa: E402
from ecgframe.server.redis.positions import Position  # noqa: E402
from ecgframe.server.redis.stream import (  # noqa: E402
    REMEMBERED_ORIGINS,
    FollowedStream,
    ForeignEntry,
    check_frame,
    read_entries,
)

FRAME = Codec().encode(MessageType.PING, None)


def now():
    return asyncio.get_running_loop().time()


def message(number, *, nbytes=100, stream="s", delivered=True):
    encoded = EncodedFrame(bytes(nbytes), 3, MessageType.ECG_DATA, 0, number, nbytes, nbytes)
    made = Message(number, stream, number, encoded)
    if delivered:
        made.delivery.set_result(number)
    return made


def outbox_of(*messages, seconds=10.0, max_bytes=10_000):
    outbox = Outbox(seconds, max_bytes)
    for one in messages:
        outbox.add(one)
    return outbox


def numbers(outbox):
    return [one.number for one in outbox.batch()]


def in_a_loop(test):
    """Run the body of a test in an event loop, for futures and its clock."""

    def runs():
        async def body():
            test()

        run(body())

    runs.__name__ = test.__name__
    return runs


@in_a_loop
def test_an_outbox_drops_the_oldest_messages_first():
    outbox = outbox_of(*(message(i) for i in range(10)), max_bytes=450)
    assert len(outbox.shrink(now())) == 6
    assert numbers(outbox) == [6, 7, 8, 9]
    assert (outbox.waiting, outbox.waiting_bytes) == (4, 400)


@in_a_loop
def test_an_outbox_drops_written_messages_first():
    outbox = outbox_of(*(message(i) for i in range(10)), max_bytes=650)
    outbox.confirm(outbox.batch()[:3], now())
    assert len(outbox.shrink(now())) == 1
    assert numbers(outbox) == [4, 5, 6, 7, 8, 9]
    assert outbox.last_written() == {}


@in_a_loop
def test_an_outbox_keeps_messages_that_are_not_delivered():
    outbox = outbox_of(message(1, delivered=False), message(2), message(3), max_bytes=150)
    assert len(outbox.shrink(now())) == 0
    assert numbers(outbox) == [1, 2, 3]


@in_a_loop
def test_an_outbox_drops_old_messages():
    outbox = outbox_of(message(1), message(2), message(3))
    outbox.confirm(outbox.batch()[:1], now())
    assert len(outbox.shrink(now() + 11)) == 2
    assert outbox.last_written() == {}
    assert outbox.waiting_bytes == 0


@in_a_loop
def test_an_answer_for_a_message_that_was_dropped_meanwhile():
    outbox = outbox_of(*(message(i) for i in range(10)), max_bytes=550)
    batch = outbox.batch()[:7]
    assert len(outbox.shrink(now())) == 5
    outbox.confirm(batch, now())
    assert numbers(outbox) == [7, 8, 9]
    assert outbox.last_written() == {"s": 6}
    assert outbox.waiting_bytes == 300


@in_a_loop
def test_a_batch_is_bounded():
    many = outbox_of(*(message(i, nbytes=1) for i in range(2 * BATCH_MESSAGES)))
    assert numbers(many) == list(range(BATCH_MESSAGES))
    large = outbox_of(*(message(i, nbytes=BATCH_BYTES // 3) for i in range(9)))
    assert numbers(large) == [0, 1, 2]
    too_large = outbox_of(*(message(i, nbytes=BATCH_BYTES + 1) for i in range(2)))
    assert numbers(too_large) == [0]


@in_a_loop
def test_messages_that_redis_has_lost_are_written_again_in_order():
    outbox = outbox_of(*(message(i, stream="ab"[i % 2]) for i in range(1, 10)))
    outbox.confirm(outbox.batch()[:7], now())
    assert outbox.last_written() == {"a": 6, "b": 7}
    assert len(outbox.take_back({"a": 6, "b": 3})) == 2
    assert numbers(outbox) == [5, 7, 8, 9]
    assert len(outbox.take_back({"a": 0, "b": 0})) == 5
    assert [number for number in numbers(outbox) if number % 2] == [1, 3, 5, 7, 9], "in order within a stream"
    assert [number for number in numbers(outbox) if not number % 2] == [2, 4, 6, 8]
    assert outbox.waiting_bytes == 900


@in_a_loop
def test_messages_that_redis_has_refused_are_not_written_again():
    outbox = outbox_of(*(message(i) for i in (1, 2, 3)))
    batch = outbox.batch()
    outbox.confirm(batch, now())
    outbox.forget(batch[1])
    outbox.forget(batch[1])
    assert len(outbox.take_back({"s": 0})) == 2
    assert numbers(outbox) == [1, 3]
    assert outbox.waiting_bytes == 200


def followed(delivered):
    return FollowedStream("s", b"s", 0, origin=b"me", deliver=lambda _, time, frame: delivered.append((time, frame)))


def read(entry_id, origin, number):
    """An entry as it is received."""
    text = number if isinstance(number, bytes) else b"%d" % number
    [found] = read_entries([(entry_id, {b"o": origin, b"n": text, b"f": FRAME})])
    return found


@in_a_loop
def test_own_messages_that_redis_has_dropped_are_delivered_in_order():
    delivered = []
    stream = followed(delivered)
    for number in (1, 2, 3, 4):
        stream.pending[number] = message(number, delivered=False)
    three = stream.pending[3]
    stream.receive(*read(b"30-0", b"me", 3))
    assert [time for time, _ in delivered] == [1, 2, 30]
    assert three.delivery.result() == three.time == 30
    assert list(stream.pending) == [4]


@in_a_loop
def test_a_message_that_was_written_twice_is_delivered_once():
    delivered = []
    stream = followed(delivered)
    for time, number in enumerate([1, 2, 2, 1, 3], start=10):
        stream.receive(*read(b"%d-0" % time, b"other", number))
    assert [time for time, _ in delivered] == [10, 11, 14]


@in_a_loop
def test_the_number_of_remembered_servers_is_bounded():
    delivered = []
    stream = followed(delivered)
    for server in range(10 * REMEMBERED_ORIGINS):
        stream.receive(*read(b"%d-0" % (server + 1), b"%d" % server, 1))
    assert len(stream._numbers) == REMEMBERED_ORIGINS
    assert len(delivered) == 10 * REMEMBERED_ORIGINS


@in_a_loop
def test_a_foreign_entry_is_skipped():
    stream = followed([])
    with pytest.raises(ForeignEntry, match="its number or id is not a number"):
        stream.receive(*read(b"5-3", b"other", number=b"9" * 5000))
    assert stream.position == b"5-3"


def test_a_frame_of_another_version_is_foreign():
    for version, why in (
        (2, "its frame is of V2, not V3 or V4"),
        (9, "its frame is invalid: version 9"),
    ):
        with pytest.raises(ForeignEntry, match=why):
            check_frame(oracle.frame(version, 0x01, 0, oracle.pack({}), 5))


# --- epochs ---


def epochs_at(epoch, number):
    changes = []
    epochs = Epochs(changes.append)
    epochs.begin_reading(Position(epoch, number))
    assert epochs.take_up() == (epoch, number)
    assert changes == []
    return epochs, changes


def test_numbers_of_one_epoch_are_passed_on():
    epochs, changes = epochs_at(7, 3)
    assert epochs.deliver(Position(7, 4)) == (7, 4)
    assert epochs.deliver(Position(7, 9)) == (7, 9), "what is between them is lost"
    assert epochs.known == (7, 9)
    assert not changes
    assert not epochs.must_tell


def test_a_number_that_comes_again_ends_the_epoch():
    epochs, changes = epochs_at(7, 3)
    assert epochs.deliver(Position(7, 3)) is None
    assert epochs.known == (7, LARGEST_SEQUENCE), "larger than any"
    assert epochs.deliver(Position(7, 4)) is None
    epochs.tell(Position(8, 0))
    assert not epochs.must_tell
    assert epochs.deliver(Position(8, 1)) == (8, 1)
    assert changes == [None, 8]


def test_an_ended_epoch_that_comes_back_is_ended_again():
    epochs, _ = epochs_at(7, 3)
    epochs.tell(Position(8, 0))
    epochs.deliver(Position(8, 1))
    epochs.tell(Position(7, 3))
    assert epochs.known == (7, LARGEST_SEQUENCE)
    assert epochs.deliver(Position(7, 4)) is None


def test_messages_delivered_without_redis_have_to_be_read_before_an_epoch_is_taken_up():
    epochs, changes = epochs_at(7, 3)
    assert epochs.deliver_own(50, None, will_be_read=True) is None
    assert epochs.must_tell
    epochs.tell(Position(8, 0))
    assert epochs.take_up() is None
    assert epochs.deliver(Position(8, 1)) is None, "of another server"
    epochs.own_was_read(50)
    epochs.skip(Position(8, 2))
    assert epochs.take_up() == (8, 2)
    assert epochs.deliver(Position(8, 3)) == (8, 3)
    assert changes == [None, 8]


def test_messages_read_before_their_epoch_is_known_are_not_lost():
    epochs, _ = epochs_at(7, 3)
    epochs.deliver_own(50, None, will_be_read=True)
    epochs.tell(Position(8, 0))
    epochs.own_was_read(49)
    epochs.skip(Position(8, 1))
    assert epochs.deliver(Position(8, 2)) is None
    epochs.own_was_read(51)
    assert epochs.take_up() == (8, 2)


def test_a_message_that_comes_again_in_the_present_epoch_ends_it():
    epochs, _ = epochs_at(7, 3)
    epochs.skip(Position(7, 2))
    assert epochs.epoch == 7, "it was read again"
    epochs.skip(Position(7, 4))
    assert epochs.epoch is None, "its viewers would take the number for a loss"
    assert epochs.must_tell


def test_a_message_is_delivered_early_under_its_number_if_none_is_missing_before_it():
    epochs, _ = epochs_at(7, 3)
    assert epochs.deliver_own(50, Position(7, 4), will_be_read=True) == (7, 4)
    assert epochs.deliver_own(51, Position(7, 6), will_be_read=True) is None


def test_an_earlier_epoch_is_delivered_before_the_present_one():
    changes = []
    epochs = Epochs(changes.append)
    epochs.begin_reading(Position(9, 2))
    assert epochs.is_strange(Position(8, 5))
    epochs.tell(Position(9, 2))
    assert epochs.deliver(Position(8, 5)) == (8, 5)
    assert epochs.deliver(Position(9, 1)) == (9, 1)
    assert epochs.take_up() == (9, 2)
    assert epochs.known == (9, 2)


def test_a_redis_that_was_replaced_has_to_end_the_epoch():
    epochs, _ = epochs_at(7, 3)
    epochs.end()
    assert epochs.known == (7, LARGEST_SEQUENCE)
    assert epochs.deliver(Position(7, 4)) == (7, 4), "until it has"


# --- packing ---


@pytest.mark.parametrize(
    "words",
    [
        ("PING",),
        (b"XADD", b"key", "*", "f", b"\0\r\n$"),
        ("CONFIG GET", "maxmemory"),
        ("SET", "k", 12, "PX", -1),
        ("SET", "k", "ä", 1.5),
        ("SET", "k", b"x" * 100_000, "PX", 5),
        ("EVALSHA", "0" * 40, 2, b"", "", b"y" * 16_384, memoryview(b"z")),
    ],
)
def test_commands_are_packed_as_redis_py_packs_them(words):
    from redis.asyncio import Connection

    assert b"".join(packing(Connection)().pack_command(*words)) == b"".join(Connection().pack_command(*words))


def test_a_class_of_connections_is_not_made_twice_over():
    from redis.asyncio import UnixDomainSocketConnection

    once = packing(UnixDomainSocketConnection)
    assert issubclass(once, UnixDomainSocketConnection)
    assert packing(once) is once

"""Streams and their rings: viewers that resume get each message once and in order."""

import asyncio
import random
import time

import numpy as np
import oracle
import pytest
from running import run
from server.engines import EVERYTHING, TYPES, client, on_websockets, until

from ecgframe import MessageType
from ecgframe.server import Limits, WebSocketBinaryHandler, streams
from ecgframe.server.backplane import LocalBackplane
from ecgframe.server.history import Ring, RingsLimit
from ecgframe.server.publication import CANONICAL, Publication
from ecgframe.session import Settings, encode_outgoing, microseconds
from ecgframe.session.outgoing import encoding_for

STREAM = "ecg/bed-7"
UNHURRIED = Settings(rate_limit=None)
SMALL = Settings(rate_limit=None, compression=None)


def serving(conversation, *, timeout=120, **options):
    """Run ``await conversation(handler, port)`` with a handler behind the websockets library."""

    async def serve():
        async with WebSocketBinaryHandler(**options) as handler, on_websockets(handler) as port:
            await conversation(handler, port)

    run(serve(), timeout)


async def publish(handler, numbers, *, stream=STREAM, type=MessageType.ECG_DATA, **more):
    """Publish messages with these numbers; return their timestamps."""
    return [await handler.publish(stream, type, {"sequence": number, **more}) for number in numbers]


async def resume(viewer, since, stream=STREAM):
    """Subscribe with ``since`` in microseconds; return the answer."""
    await viewer.send("SUBSCRIBE", {"stream": stream, "since": since / 1e6})
    return await viewer.expect("SUBSCRIPTION_ACK")


async def numbers(viewer, count):
    """Return the numbers of the next messages."""
    return [(await viewer.expect("ECG_DATA"))["sequence"] for _ in range(count)]


# --- resuming ---


def test_missed_messages_arrive_before_live_ones():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(10))
        async with client(port) as viewer:
            assert await resume(viewer, timestamps[3]) == {"stream": STREAM, "status": "subscribed"}
            await publish(handler, range(10, 13))
            assert await numbers(viewer, 9) == list(range(4, 13))
            await viewer.flush()
            stats = handler.stats()
            assert stats["sizes"]["sent"]["count"] == stats["messages"]["sent"]["ECG_DATA"] == 9

    serving(conversation)


def test_a_viewer_that_missed_nothing_gets_nothing_twice():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(5))
        async with client(port) as viewer:
            assert await resume(viewer, timestamps[-1]) == {"stream": STREAM, "status": "subscribed"}
            await publish(handler, [5])
            assert await numbers(viewer, 1) == [5]
            await viewer.flush()

    serving(conversation)


def test_without_since_only_live_messages_arrive():
    async def conversation(handler, port):
        await publish(handler, range(5))
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            await publish(handler, [5])
            assert await numbers(viewer, 1) == [5]

    serving(conversation)


def test_the_answer_has_from_if_the_ring_does_not_reach_back():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(20), filling=bytes(1000))
        async with client(port) as viewer:
            answer = await resume(viewer, timestamps[2])
            first = await viewer.receive()
            assert first.timestamp == timestamps[first.data["sequence"]]
            assert microseconds(answer["from"]) == timestamps[first.data["sequence"] - 1] + 1
            rest = await numbers(viewer, 19 - first.data["sequence"])
            assert rest == list(range(first.data["sequence"] + 1, 20))
            assert first.data["sequence"] > 0
        async with client(port) as viewer:  # and if it does reach back to the last message, the answer has no ``from``
            assert "from" not in await resume(viewer, timestamps[first.data["sequence"] - 1])

    serving(conversation, limits=Limits(ring_bytes=10_000), settings=SMALL)


def test_a_new_server_answers_with_from():
    async def conversation(handler, port):
        async with client(port) as viewer:
            answer = await resume(viewer, 1)
            [timestamp] = await publish(handler, [0])
            assert 0 <= timestamp / 1e6 - answer["from"] < 10
            assert await numbers(viewer, 1) == [0]

    serving(conversation)


def test_no_message_is_missing_before_the_first_one():
    async def conversation(handler, port):
        async with client(port) as viewer:
            has_all_until = microseconds(await viewer.subscribe(STREAM)) - 1
        await until(lambda: handler.stats()["streams"] == {})
        await publish(handler, [0])
        async with client(port) as viewer:
            assert "from" not in await resume(viewer, has_all_until)
            assert await numbers(viewer, 1) == [0]

    serving(conversation)


def test_messages_of_other_servers_before_the_stream_was_followed_may_be_missing():
    class Engine(LocalBackplane):
        """A backplane on which other servers publish, and which keeps no messages."""

        async def join(self, stream, since):
            return microseconds(time.time())

    async def conversation(handler, port):
        timestamps = await publish(handler, range(3))
        await until(lambda: handler.stats()["streams"] == {})
        async with client(port) as viewer:
            assert microseconds((await resume(viewer, timestamps[-1]))["from"]) > timestamps[-1] + 1

    serving(conversation, limits=Limits(ring_seconds=0.1), backplane=Engine())


def test_messages_of_streams_forgotten_long_ago_may_be_missing(monkeypatch):
    monkeypatch.setattr(streams, "FLOORS", 1)

    async def conversation(handler, port):
        [first], [second] = [await publish(handler, [0], stream=name) for name in ("ecg/1", "ecg/2")]
        await until(lambda: handler.stats()["streams"] == {})
        async with client(port) as viewer:
            assert "from" not in await resume(viewer, second, "ecg/2")
            assert microseconds((await resume(viewer, first, "ecg/1"))["from"]) > second

    serving(conversation, limits=Limits(ring_seconds=0.1))


def test_no_message_of_a_forgotten_stream_is_missing():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(3))
        await until(lambda: handler.stats()["streams"] == {})
        async with client(port) as viewer:
            assert await resume(viewer, timestamps[-1]) == {"stream": STREAM, "status": "subscribed"}
            await publish(handler, [3])
            assert await numbers(viewer, 1) == [3]
        async with client(port) as viewer:
            assert "from" in await resume(viewer, timestamps[-2])

    serving(conversation, limits=Limits(ring_seconds=0.1))


def test_a_viewer_whose_clock_is_ahead_gets_live_messages():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await resume(viewer, microseconds(4_000_000_000.0))
            number = 0
            async with asyncio.timeout(10):
                while "ECG_DATA" not in handler.stats()["messages"]["sent"]:
                    await publish(handler, [number])
                    number += 1
                    await asyncio.sleep(0.02)
            assert await numbers(viewer, 1) == [number - 1]

    serving(conversation)


def test_subscribing_again_with_since_starts_from_there():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(5))
        async with client(port) as viewer:
            await resume(viewer, timestamps[3])
            assert await numbers(viewer, 1) == [4]
            await resume(viewer, timestamps[1])
            assert await numbers(viewer, 3) == [2, 3, 4]
            await viewer.subscribe(STREAM)  # without since, the subscription just continues
            await publish(handler, [5])
            assert await numbers(viewer, 1) == [5]
            await viewer.flush()

    serving(conversation)


def test_a_backlog_larger_than_the_queue_loses_nothing():
    """Messages are taken from the ring as the network takes them, so the viewer's queue stays within its limit."""

    async def conversation(handler, port):
        timestamps = await publish(handler, range(500), filling=bytes(2000))
        async with client(port) as viewer:
            [info] = handler.connections()
            assert (await resume(viewer, 0))["from"] * 1e6 < timestamps[0]
            live = asyncio.create_task(publish(handler, range(500, 600), filling=bytes(2000)))
            assert await numbers(viewer, 600) == list(range(600))
            await live
            assert info.dropped == 0
            await viewer.flush()

    serving(conversation, settings=Settings(rate_limit=None, compression=None, queue_frames=8))


def test_an_alert_does_not_wait_for_a_viewer_that_catches_up():
    async def conversation(handler, port):
        timestamps = await publish(handler, range(3000), filling=bytes(2000))
        async with client(port) as viewer:
            viewer.connection.transport.pause_reading()
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": (timestamps[0] - 1) / 1e6})
            await until(lambda: handler.stats()["streams"][STREAM]["viewers"])
            await publish(handler, ["alert"], type=MessageType.ANOMALY_ALERT)
            await publish(handler, range(3000, 3010), filling=bytes(2000))
            viewer.connection.transport.resume_reading()
            await viewer.expect("SUBSCRIPTION_ACK")
            got = [(await viewer.receive()).data["sequence"] for _ in range(3011)]
            assert got.index("alert") < 2900
            got.remove("alert")
            assert got == list(range(3010))
            await viewer.flush()

    serving(conversation, settings=SMALL, limits=Limits(ring_bytes=16 * 1024 * 1024))


def test_alerts_keep_their_order_towards_a_viewer_that_catches_up():
    """An alert in the backlog is sent before one that is published now."""

    async def conversation(handler, port):
        timestamps = await publish(handler, range(3000), filling=bytes(2000))
        await publish(handler, ["begins"], type=MessageType.ANOMALY_ALERT)
        await publish(handler, range(3000, 3100), filling=bytes(2000))
        async with client(port) as viewer:
            viewer.connection.transport.pause_reading()
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": (timestamps[0] - 1) / 1e6})
            await until(lambda: handler.stats()["streams"][STREAM]["viewers"])
            await publish(handler, ["goes on", "ends"], type=MessageType.ANOMALY_ALERT)
            viewer.connection.transport.resume_reading()
            await viewer.expect("SUBSCRIPTION_ACK")
            got = [(await viewer.receive()).data["sequence"] for _ in range(3103)]
            assert [text for text in got if isinstance(text, str)] == ["begins", "goes on", "ends"]
            assert [number for number in got if isinstance(number, int)] == list(range(3100))
            assert got.index("ends") < 2900
            await viewer.flush()

    serving(conversation, settings=SMALL, limits=Limits(ring_bytes=16 * 1024 * 1024))


def test_a_viewer_without_priority_gets_urgent_messages_in_order():
    """Without the capability, a V3 viewer resumes by the timestamp of any message, so none may be sent early."""

    async def conversation(handler, port):
        timestamps = await publish(handler, range(2000), filling=bytes(2000))
        async with client(port, capabilities=["timestamps"]) as viewer:
            viewer.connection.transport.pause_reading()
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": (timestamps[0] - 1) / 1e6})
            await until(lambda: handler.stats()["streams"][STREAM]["viewers"])
            await handler.publish(STREAM, MessageType.ECG_DATA, {"sequence": 2000}, flags=oracle.PRIORITY)
            viewer.connection.transport.resume_reading()
            await viewer.expect("SUBSCRIPTION_ACK")
            assert await numbers(viewer, 2001) == list(range(2001))

    serving(conversation, settings=SMALL, limits=Limits(ring_bytes=16 * 1024 * 1024))


def test_a_viewer_slower_than_the_ring_is_told_what_it_missed():
    async def conversation(handler, port):
        await publish(handler, range(200), filling=bytes(2000))
        async with client(port) as viewer:
            viewer.connection.transport.pause_reading()
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
            await until(lambda: handler.stats()["streams"][STREAM]["viewers"])
            timestamps = await publish(handler, range(200, 8000), filling=bytes(2000))
            viewer.connection.transport.resume_reading()
            await viewer.expect("SUBSCRIPTION_ACK")
            got, lost = [], 0
            while not got or got[-1] != 7999:
                frame = await viewer.receive()
                if frame.type != TYPES["ERROR"]:
                    got.append(frame.data["sequence"])
                    continue
                assert frame.data["code"] == 0x204
                details = frame.data["details"]
                assert details["stream"] == STREAM
                missing = details["dropped"]
                lost += missing
                if got[-1] >= 200:
                    assert timestamps[got[-1] - 200] < microseconds(details["from"])
                    assert microseconds(details["to"]) == timestamps[got[-1] + missing - 200]
            assert lost > 0
            # Apart from messages before ``from``, every message either arrived or was reported as dropped.
            assert got == sorted(set(got))
            assert len(got) + lost == 8000 - got[0]
            assert handler.stats()["dropped"] == lost

    serving(conversation, settings=SMALL, limits=Limits(ring_bytes=400_000))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_cut_and_resumed_at_random_every_message_arrives_once(seed):
    """Alerts overtake; the viewer drops those that it has seen, as the protocol requires."""
    random.seed(seed)
    total = 1500

    async def feed(handler):
        for number in range(total):
            is_alert = number % 50 == 49
            type = MessageType.ANOMALY_ALERT if is_alert else MessageType.ECG_DATA
            await handler.publish(STREAM, type, {"sequence": number, "filling": bytes(random.randrange(3000))})
            if number % 3 == 0:
                await asyncio.sleep(0.001)

    async def conversation(handler, port):
        feeding = asyncio.create_task(feed(handler))
        got, since, alerts = [], 0, set()
        while len(got) < total:
            async with client(port, capabilities=EVERYTHING[: random.randrange(3, 7)]) as viewer:
                answer = await resume(viewer, since)
                assert "from" not in answer or since == 0
                for _ in range(random.randrange(1, 120)):
                    if len(got) == total:
                        break
                    frame = await viewer.receive()
                    if frame.type == TYPES["ANOMALY_ALERT"]:
                        if frame.timestamp in alerts:
                            continue
                        alerts.add(frame.timestamp)
                    else:
                        assert frame.timestamp > since
                        since = frame.timestamp
                    got.append(frame.data["sequence"])
                viewer.connection.transport.abort()
        await feeding
        waveforms = [number for number in got if number % 50 != 49]
        assert waveforms == sorted(set(waveforms))
        assert sorted(got) == list(range(total))
        assert handler.stats()["dropped"] == 0

    serving(conversation, settings=SMALL)


def test_a_message_too_large_in_list_form_is_reported_to_old_viewers():
    signal = np.arange(10_000, dtype="float64")
    settings = Settings(rate_limit=None, compression=None, max_payload=signal.nbytes + 200)

    async def conversation(handler, port):
        binary = [name for name in EVERYTHING if name != "batch"]
        async with client(port, capabilities=binary) as reads, client(port, capabilities=[]) as cannot:
            await reads.subscribe(STREAM)
            await cannot.subscribe(STREAM)
            timestamp = await handler.publish(STREAM, MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250})
            assert oracle.same((await reads.expect("ECG_DATA"))["signal"], signal)
            error = await cannot.expect("ERROR")
            assert error["code"] == 0x102
            assert error["details"] == {
                "stream": STREAM,
                "from": timestamp / 1e6,
                "to": timestamp / 1e6,
                "dropped": 1,
            }

    serving(conversation, settings=settings)


# --- the ring itself ---


def publication(timestamp, filling=100, settings=SMALL, flags=0):
    frame = encode_outgoing(
        CANONICAL,
        MessageType.ECG_DATA,
        {"filling": bytes(filling)},
        timestamp=timestamp,
        settings=settings,
        flags=flags,
    )
    return Publication(STREAM, timestamp, frame.frame, settings)


def filled(ring, timestamps, now=0.0, filling=100):
    for timestamp in timestamps:
        ring.append(publication(timestamp, filling), now)
        ring.trim(now)
    return ring


def kept(ring):
    return [publication.timestamp for publication in ring.start_from(0)]


def test_a_ring_drops_old_messages():
    ring = Ring(10.0, 10**6, RingsLimit(10**6))
    filled(ring, [1, 2], now=100.0)
    filled(ring, [3], now=105.0)
    ring.trim(110.0)
    assert kept(ring) == [1, 2, 3]
    ring.trim(110.1)
    assert (kept(ring), ring.floor, ring.first, ring.end) == ([3], 2, 2, 3)
    ring.trim(1000.0)
    assert (kept(ring), ring.floor, ring.nbytes, ring.oldest, ring.span) == ([], 3, 0, None, 0.0)


def test_a_full_ring_drops_the_oldest_messages():
    size = publication(1).nbytes
    ring = filled(Ring(1e9, 3 * size, RingsLimit(10**9)), range(1, 11))
    assert (kept(ring), ring.floor, ring.nbytes) == ([8, 9, 10], 7, 3 * size)


def test_rings_share_a_limit():
    size = publication(1).nbytes
    shared = RingsLimit(4 * size)
    one = filled(Ring(1e9, 10**9, shared), [1, 2])
    other = filled(Ring(1e9, 10**9, shared), [1, 2, 3, 4])
    assert (kept(one), kept(other)) == ([1, 2], [3, 4])
    filled(one, [3])
    assert (kept(one), kept(other)) == ([2, 3], [3, 4])  # each keeps its share, regardless of the order
    one.close()
    assert (shared.used, shared.rings) == (2 * size, 1)
    filled(other, [5, 6])
    assert kept(other) == [3, 4, 5, 6]
    other.close()
    assert (shared.used, shared.rings) == (0, 0)


def test_other_encodings_count_and_are_dropped_with_their_publication():
    shared = RingsLimit(10**9)
    ring = filled(Ring(1e9, 10**9, shared), [1, 2])
    [first, second] = ring.start_from(0)
    before = ring.nbytes
    old = ring.frame(first, encoding_for(1, frozenset()))
    assert ring.nbytes == before + old.nbytes
    assert ring.frame(first, encoding_for(1, frozenset())) is old
    assert ring.nbytes == shared.used == before + old.nbytes
    ring.close()
    ring.frame(second, encoding_for(2, frozenset()))  # a dropped publication does not count
    assert (ring.nbytes, shared.used) == (0, 0)


def test_a_full_ring_drops_other_encodings_first():
    """So a few viewers with rare encodings do not shorten the history of all others."""
    size = publication(1).nbytes
    ring = filled(Ring(1e9, 5 * size, RingsLimit(10**9)), range(1, 6))
    old = encoding_for(1, frozenset())
    for item in ring.start_from(0):
        ring.frame(item, old)
    ring.trim(0.0)
    assert (kept(ring), ring.nbytes) == ([1, 2, 3, 4, 5], 5 * size)
    ring = filled(Ring(1e9, 10 * size, RingsLimit(10**9)), range(1, 6))
    for item in ring.start_from(0):
        ring.frame(item, old)
    ring.trim(0.0)
    assert [item.encodings for item in ring.start_from(0)] == [2] * 5
    filled(ring, range(6, 8))
    assert [item.encodings for item in ring.start_from(0)] == [1, 1, 2, 2, 2, 1, 1]


def test_viewers_share_a_frame_if_its_flags_do_not_differ():
    plain, urgent = publication(1), publication(1, flags=oracle.PRIORITY)
    with_flags, without = CANONICAL, CANONICAL._replace(flags=0)
    assert plain.outgoing(with_flags) is plain.outgoing(without)
    assert urgent.outgoing(with_flags) is not urgent.outgoing(without)
    assert (plain.encodings, urgent.encodings) == (1, 2)


def test_a_frame_that_is_not_compressed_is_shared_with_viewers_without_compression():
    without = CANONICAL._replace(compressed=False)
    small = publication(1, settings=Settings())
    large = publication(2, filling=5000, settings=Settings())
    assert small.outgoing(without) is small.outgoing(CANONICAL)
    assert large.outgoing(CANONICAL).deflated
    assert not large.outgoing(without).deflated


def test_a_ring_finds_the_next_message():
    ring = filled(Ring(1e9, 10**9, RingsLimit(10**9)), [10, 20, 30])
    assert [ring.number_after(since) for since in (0, 10, 15, 20, 30, 99)] == [0, 1, 1, 2, 3, 3]
    assert [item.timestamp for item in ring.start_from(1)] == [20, 30]
    assert list(ring.start_from(3)) == []


def test_another_timestamp_is_written_into_the_frame():
    frame = publication(5).frame
    restamped = Publication(STREAM, 6, frame, SMALL)
    assert oracle.decode_frame(restamped.frame).timestamp == 6
    assert restamped.outgoing(CANONICAL).timestamp == 6
    assert Publication(STREAM, 5, frame, SMALL).frame is frame


def test_a_damaged_frame_is_not_published():
    frame = bytearray(publication(5).frame)
    frame[-1] ^= 1
    with pytest.raises(ValueError, match="CRC-32"):
        Publication(STREAM, 5, bytes(frame), SMALL)


def test_a_frame_of_version_4_is_not_published():
    frame = oracle.frame(4, 0x01, 0, oracle.pack({}), 5, stream=7, sequence=1)
    with pytest.raises(ValueError, match=r"version 4 .* knows \[1, 2, 3\]"):
        Publication(STREAM, 5, frame, SMALL)

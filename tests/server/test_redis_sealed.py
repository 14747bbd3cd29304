# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Sealed streams of servers that share a real Redis: what is on the wire and in Redis, and who gets what."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from types import SimpleNamespace

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from recordings import optional
from running import run
from server.recording_relay import recording_relay, without_masks
from server.redis_server import redis_server
from server.test_redis_opened import DATA, STREAM, node, port_of
from server.test_sealed_streams import client, take

from ecgframe import AuthenticationFailed, Codec, MessageType

pytest.importorskip("cryptography")
pytestmark = pytest.mark.slow

optional("redis.asyncio")

from ecgframe.protocol import HEADER_SIZES, Form  # noqa: E402
from ecgframe.seal import Key, StoredKeys  # noqa: E402

KEY = Key(9, STREAM, bytes(range(101, 133)))
ALERT = MessageType.ANOMALY_ALERT
RNG = np.random.default_rng(7)
SAMPLES = RNG.integers(-2000, 2000, (2, 400)).astype("int16")
PATIENT = {"patient_id": "Doe^Jane-4711", "birth_date": "1961-04-12", "device_id": "monitor-of-bed-7"}


@pytest.fixture
def lasting_redis(tmp_path):
    with redis_server(tmp_path, keeps=True) as running:
        yield running


def ecg(n):
    """20 ms of a signal that no chance repeats, with the fields of a patient."""
    signal = SAMPLES[:, 10 * n : 10 * n + 10]
    return {"signal": signal, "sampling_rate": 500, "timestamp": time.time(), **PATIENT}


def keyed(url, **options):
    return client(url, keys=StoredKeys([KEY]), reconnect_delays=lambda: iter([0.01] * 999), **options)


def relaying(redis, **options):
    return node(redis, takes_sealed=True, **options)


def secrets_in(captured):
    """What of the signal, the key and the patient is in some bytes."""
    runs = [(lead, n) for lead in SAMPLES for n in range(len(lead) - 3)]
    found = [
        ("samples", n)
        for lead, n in runs
        for order in ("<i2", ">i2")
        if lead[n : n + 4].astype(order).tobytes() in captured
    ]
    parts = [KEY.secret[start : start + 8] for start in range(len(KEY.secret) - 7)]
    found += [("key", n) for n, part in enumerate(parts) if part in captured or part.hex().encode() in captured]
    words = [*PATIENT, *PATIENT.values(), "sampling_rate", "asystole"]
    return [*found, *(word for word in words if word.encode() in captured)]


def test_what_the_search_for_secrets_finds():
    assert secrets_in(b"") == []
    assert secrets_in(SAMPLES[0, 3:8].tobytes()) == [("samples", 3), ("samples", 4)]
    assert secrets_in(b"x" + KEY.secret[4:12]) == [("key", 4)]
    found = secrets_in(Codec(ndarray="binary", compression=None).encode(DATA, ecg(0)))
    assert {*PATIENT, *PATIENT.values(), "sampling_rate", ("samples", 0), ("samples", 6)} <= {*found}


def test_nothing_of_a_stream_sealed_end_to_end_is_on_the_wire_or_in_redis(lasting_redis, tmp_path):
    """Between clients and servers, between servers and Redis, in its memory dump and its append-only file."""

    async def main():
        async with AsyncExitStack() as stack:
            to_redis = await stack.enter_async_context(recording_relay(lasting_redis.port))
            through = SimpleNamespace(url=f"redis://127.0.0.1:{to_redis.port}/0")
            nodes = [await stack.enter_async_context(relaying(through)) for _ in range(2)]
            relays = [await stack.enter_async_context(recording_relay(port_of(one))) for one in nodes]
            urls = [f"ws://127.0.0.1:{relay.port}/" for relay in relays]
            viewers = [await stack.enter_async_context(keyed(url)) for url in urls]
            subscriptions = [await stack.enter_async_context(one.subscribe(STREAM, sealed=True)) for one in viewers]
            source = await stack.enter_async_context(keyed(urls[0]))
            async with source.publisher(STREAM) as publisher:
                for n in range(40):
                    await publisher.send(DATA, ecg(n))
                await publisher.send(ALERT, {"kind": "asystole", "timestamp": time.time()}, acknowledged=True)
                await publisher.flush()
            for subscription in subscriptions:
                messages = await take(subscription, 41)
                signals = [one.data["signal"] for one in messages if one.type is DATA]
                assert np.array_equal(np.concatenate(signals, axis=1), SAMPLES)
                assert [one.data["patient_id"] for one in messages if one.type is DATA] == [PATIENT["patient_id"]] * 40
                assert subscription.stats()["gaps"] == 0
            in_redis = await dump_of(lasting_redis)
            assert len(in_redis) > 40 * 100
            assert secrets_in(in_redis) == []
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            on_disk = b"".join(path.read_bytes() for path in files)
            assert STREAM.encode() in on_disk, "the append-only file is among them"
            assert secrets_in(on_disk) == []
            talks = [talk for relay in (*relays, to_redis) for pair in relay.passed for talk in pair]
            assert sum(map(len, talks)) > 5 * 40 * 100
            assert [secrets_in(talk) for talk in talks] == [[]] * len(talks)
            plain = [without_masks(talk) for relay in relays for pair in relay.passed for talk in pair]
            assert secrets_in(b"".join(payload for talk in plain for payload in talk)) == []
            frames = [frame for talk in plain for payload in talk for frame in frames_of(payload)]
            records = [one for one in frames if one[:2] == b"\4\1" and one[19] & Form.RECORD]
            assert len(records) >= 3 * 40
            assert len({len(frame) for frame in records}) == 1, "sizes do not vary"

    run(main())


def frames_of(payload):
    """The frames in one WebSocket message."""
    while payload:
        end = HEADER_SIZES[payload[0]] + int.from_bytes(payload[3:7], "big")
        yield payload[:end]
        payload = payload[end:]


async def dump_of(redis):
    """Everything in Redis: the values as they are, and what DUMP writes."""
    import redis.asyncio as library

    async with library.Redis.from_url(redis.url) as connection:
        kept = []
        async for key in connection.scan_iter(b"*"):
            kept += [key, await connection.dump(key) or b""]
            match await connection.type(key):
                case b"stream":
                    for _, fields in await connection.xrange(key):
                        kept += [*fields.keys(), *fields.values()]
                case b"list":
                    kept += await connection.lrange(key, 0, -1)
                case b"hash":
                    kept += (await connection.hgetall(key)).values()
                case b"string":
                    kept.append(await connection.get(key))
        await connection.save()
        return b"\n".join(kept)


def test_a_viewer_moves_between_servers_that_have_no_key(lasting_redis):
    async def main():
        async with relaying(lasting_redis) as one, relaying(lasting_redis) as two, cutting_proxy(0) as proxy:
            proxy.targets = [port_of(one)]
            async with keyed(one.url) as source, keyed(proxy.url) as viewer:
                async with viewer.subscribe(STREAM, sealed=True) as subscription, source.publisher(STREAM) as publisher:
                    for n in range(30):
                        await publisher.send(DATA, ecg(n), acknowledged=True)
                        if n % 10 == 9:
                            proxy.targets = [port_of(two if n % 20 == 9 else one)]
                            proxy.cut()
                    messages = await take(subscription, 30)
                    signals = [one.data["signal"] for one in messages]
                    assert np.array_equal(np.concatenate(signals, axis=1), SAMPLES[:, :300])
                    assert subscription.stats()["gaps"] == 0
                    assert viewer.stats()["refused"] == {}
                # a viewer that comes when nobody publishes any more, to either server, gets the templates
                async with keyed(two.url) as late, late.subscribe(STREAM) as latest:
                    async with keyed(two.url) as other, other.publisher(STREAM) as next_one:
                        await next_one.send(DATA, ecg(31))
                        assert np.array_equal((await take(latest))[0].data["signal"], SAMPLES[:, 310:320])

    run(main())


def test_a_server_that_comes_later_has_the_sealed_templates(lasting_redis):
    async def main():
        async with relaying(lasting_redis) as one, keyed(one.url) as source:
            async with source.publisher(STREAM) as publisher:
                await publisher.send(DATA, ecg(0), acknowledged=True)
                async with relaying(lasting_redis) as two, keyed(two.url) as viewer:
                    async with viewer.subscribe(STREAM) as subscription:
                        await publisher.send(DATA, ecg(1))
                        [message] = await take(subscription)
                        assert np.array_equal(message.data["signal"], SAMPLES[:, 10:20])
                        assert message.data["patient_id"] == PATIENT["patient_id"]
                        assert viewer.stats()["refused"] == {}

    run(main())


@pytest.mark.parametrize("versions", [(1, 2), (1, 2, 3)])
def test_viewers_that_cannot_are_denied_on_every_server(lasting_redis, versions):
    async def main():
        async with relaying(lasting_redis) as one, relaying(lasting_redis) as two, keyed(one.url) as source:
            async with client(two.url, versions=versions) as old, old.subscribe(STREAM) as watching:
                async with source.publisher(STREAM) as publisher:
                    await publisher.send(DATA, ecg(0), acknowledged=True)
                    with pytest.raises(AuthenticationFailed, match="sealed by its publisher"):
                        await take(watching)
                    for url in (one.url, two.url):
                        async with client(url, versions=versions) as other:
                            with pytest.raises(AuthenticationFailed, match="sealed by its publisher"):
                                async with other.subscribe(STREAM):
                                    pass

    run(main())

# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Sealed streams of servers that share a real Redis: what is on the wire and in Redis, and who gets what."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace

import numpy as np
import pytest
from client.cutting_proxy import cutting_proxy
from recordings import optional
from running import run
from server.recording_relay import recording_relay, without_masks
from server.redis_server import redis_server
from server.test_redis_opened import DATA, STREAM, V4, node, port_of
from server.test_sealed_streams import client, take

from ecgframe import AuthenticationFailed, Codec, Flag, MessageType
from ecgframe.server import Sealing, WebSocketBinaryHandler
from ecgframe.session import Settings

pytest.importorskip("cryptography")
pytestmark = pytest.mark.slow

optional("redis.asyncio")

from ecgframe._core import crc32  # noqa: E402
from ecgframe.protocol import HEADER_SIZES, Form  # noqa: E402
from ecgframe.seal import Key, Sealer, StoredKeys  # noqa: E402
from ecgframe.server.key_rounds import KeyRounds  # noqa: E402
from ecgframe.server.sealing import verified  # noqa: E402

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


def test_the_search_for_secrets_finds_a_planted_secret():
    assert secrets_in(b"") == []
    assert secrets_in(SAMPLES[0, 3:8].tobytes()) == [("samples", 3), ("samples", 4)]
    assert secrets_in(b"x" + KEY.secret[4:12]) == [("key", 4)]
    found = secrets_in(Codec(ndarray="binary", compression=None).encode(DATA, ecg(0)))
    assert {*PATIENT, *PATIENT.values(), "sampling_rate", ("samples", 0), ("samples", 6)} <= {*found}


def test_no_plain_byte_of_a_sealed_stream_is_on_the_wire_or_in_redis(lasting_redis, tmp_path):
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


# --- servers that seal ---


def sealing(redis, keyring=None, **options):
    """A server that has the key, and seals."""
    return node(
        redis,
        sealing=Sealing(keyring=keyring or StoredKeys([KEY])),
        settings=Settings(versions=V4, keys_without_tls=True),
        **options,
    )


def signals(messages):
    return np.concatenate([one.data["signal"] for one in messages if one.type is DATA], axis=1)


async def entries_of(redis, key=f"ecgframe:stream:{STREAM}"):
    import redis.asyncio as library

    async with library.Redis.from_url(redis.url) as connection:
        return await connection.xrange(key)


@pytest.mark.parametrize("versions", [(1, 2, 3), (1, 2, 3, 4)], ids=["v3", "v4"])
def test_servers_that_seal_pass_each_other_nothing_in_plain(lasting_redis, tmp_path, versions):
    async def main():
        async with AsyncExitStack() as stack:
            to_redis = await stack.enter_async_context(recording_relay(lasting_redis.port))
            through = SimpleNamespace(url=f"redis://127.0.0.1:{to_redis.port}/0")
            one, two = [await stack.enter_async_context(sealing(through)) for _ in range(2)]
            viewers = [await stack.enter_async_context(client(each.url, versions)) for each in (one, two)]
            watched = [await stack.enter_async_context(each.subscribe(STREAM, sealed=True)) for each in viewers]
            for n in range(20):
                await one.publish(STREAM, DATA, ecg(2 * n))
                await two.publish(STREAM, DATA, ecg(2 * n + 1))
            await two.publish(STREAM, ALERT, {"kind": "asystole", "timestamp": time.time()})
            for subscription, viewer in zip(watched, viewers, strict=True):
                messages = await take(subscription, 41)
                assert np.array_equal(signals(messages), SAMPLES)
                assert [one.data["kind"] for one in messages if one.type is ALERT] == ["asystole"]
                assert subscription.stats()["gaps"] == 0
                assert viewer.stats()["sealed"].keys() == {"opened"}
                assert viewer.stats()["refused"] == {}
            assert secrets_in(await dump_of(lasting_redis)) == []
            files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
            assert STREAM.encode() in files
            assert secrets_in(files) == []
            assert [secrets_in(talk) for pair in to_redis.passed for talk in pair] == [[]] * 2 * len(to_redis.passed)
            frames = [fields[b"f"] for _, fields in await entries_of(lasting_redis)]
            assert all(frame[2] & Flag.ENCRYPTED for frame in frames)
            for form in (0, Form.RECORD):
                sizes = {len(one) for one in frames if one[1] == DATA and one[19] == form}
                assert len(sizes) <= 1, "sizes do not vary"
            for each in (one, two):
                assert each.stats()["backplane"]["unopened_total"] == each.stats()["backplane"]["refused_total"] == 0

    run(main())


def note_sealed(sealed, frames):
    """Note what is sealed with each nonce: by key, sender and counter. No two contents may have one."""
    for frame in frames:
        if frame[2] & Flag.ENCRYPTED:
            payload = frame[HEADER_SIZES[frame[0]] :]
            place, content = bytes(payload[:16]), bytes(payload[16:])
            assert sealed.setdefault(place, content) == content, "one nonce for two messages"


def test_servers_that_were_one_sender_are_found_out(lasting_redis, monkeypatch):
    """The next test would see a sealer that draws no sender of its own."""
    monkeypatch.setattr(Sealer, "_draw", lambda self: bytes(8))

    async def main():
        async with sealing(lasting_redis) as one, sealing(lasting_redis) as two:
            for handler in (one, two):
                with suppress(ValueError):  # the second server has read that counter already
                    await handler.publish(STREAM, DATA, ecg(0))
            with pytest.raises(AssertionError, match="one nonce"):
                note_sealed({}, [fields[b"f"] for _, fields in await entries_of(lasting_redis)])

    run(main())


def test_no_nonce_repeats_over_servers(lasting_redis):
    """Of all that two servers seal, for viewers and for Redis, and after a restart of both."""

    async def main():
        sealed = {}
        for _ in range(2):
            async with AsyncExitStack() as stack:
                one, two = [await stack.enter_async_context(sealing(lasting_redis)) for _ in range(2)]
                relays = [await stack.enter_async_context(recording_relay(port_of(each))) for each in (one, two)]
                for relay in relays:
                    for versions in ((1, 2, 3), V4):
                        viewer = client(f"ws://127.0.0.1:{relay.port}/", versions)
                        await stack.enter_async_context(viewer)
                        watched = await stack.enter_async_context(viewer.subscribe(STREAM))
                        stack.push_async_callback(take, watched, 20)
                for n in range(10):
                    await one.publish(STREAM, DATA, ecg(n))
                    await two.publish(STREAM, DATA, ecg(n))
            for relay in relays:
                for _, back in relay.passed:
                    note_sealed(sealed, (one for payload in without_masks(back) for one in frames_of(payload)))
            note_sealed(sealed, [fields[b"f"] for _, fields in await entries_of(lasting_redis)])
        senders = {place[4:12] for place in sealed}
        assert len(senders) >= 2 * 2 * 3  # two runs, two servers, two kinds of viewers and Redis
        assert len(sealed) >= 2 * (20 + 2 * 2 * 20)

    run(main())


class Rotating(StoredKeys):
    """Keys by a clock that is moved by hand."""

    def __init__(self, keys, clock):
        super().__init__(keys, now=lambda: clock.time)


def test_a_rotation_reaches_the_viewers_of_all_servers_without_a_gap(lasting_redis):
    async def main():
        clock = SimpleNamespace(time=1000.0)
        keyrings = [Rotating([Key(9, STREAM, bytes(range(32)), ends=1100.0)], clock) for _ in range(2)]
        async with sealing(lasting_redis, keyrings[0]) as one, sealing(lasting_redis, keyrings[1]) as two:
            async with client(one.url) as here, client(two.url) as there, cutting_proxy(0) as proxy:
                proxy.targets = [port_of(one)]
                moving = client(proxy.url, reconnect_delays=lambda: iter([0.01] * 999))
                async with moving, AsyncExitStack() as stack:
                    watched = [
                        await stack.enter_async_context(each.subscribe(STREAM, sealed=True))
                        for each in (here, there, moving)
                    ]
                    for handler in (one, two):
                        handler._seals._clock = lambda: clock.time
                    published = 0

                    async def publish():
                        nonlocal published
                        for handler in (one, two):
                            await handler.publish(STREAM, DATA, ecg(published))
                            published += 1

                    await publish()
                    for keyring in keyrings:
                        keyring.add(Key(10, STREAM, bytes(32), begins=1100.0))
                    clock.time = 1050.0
                    for handler in (one, two):
                        await KeyRounds(handler._seals, handler._rights, handler._connections).make_round()
                        assert handler.stats()["sealing"]["keys_handed_out"] >= 3
                    await publish()
                    proxy.targets = [port_of(two)]
                    proxy.cut()
                    clock.time = 1101.0
                    await publish()
                    await publish()
                    for subscription in watched:
                        assert np.array_equal(
                            signals(await take(subscription, published)), SAMPLES[:, : 10 * published]
                        )
                        assert subscription.stats()["gaps"] == 0
                    key_ids = [fields[b"f"][32:36] for _, fields in await entries_of(lasting_redis)]
                    assert {*key_ids} == {b"\0\0\0\x09", b"\0\0\0\x0a"}
                    for client_ in (here, there, moving):
                        assert client_.stats()["sealed"].keys() == {"opened"}

    run(main())


def test_messages_that_clients_publish_are_sealed_in_redis(lasting_redis):
    async def main():
        async with sealing(lasting_redis) as one, sealing(lasting_redis) as two:
            async with client(two.url) as viewer, client(one.url) as source:
                async with viewer.subscribe(STREAM, sealed=True) as subscription:
                    async with source.publisher(STREAM) as publisher:
                        for n in range(5):
                            await publisher.send(DATA, ecg(n), acknowledged=True)
                    assert np.array_equal(signals(await take(subscription, 5)), SAMPLES[:, :50])
                    assert secrets_in(await dump_of(lasting_redis)) == []

    run(main())


async def put(redis, fields):
    """Write an entry into the stream, as someone may who controls Redis."""
    import redis.asyncio as library

    async with library.Redis.from_url(redis.url) as connection:
        seconds, microseconds = await connection.time()
        await connection.xadd(f"ecgframe:stream:{STREAM}", fields, id=f"{seconds * 10**6 + microseconds + 1000}-0")


@pytest.mark.parametrize("what", ["plain", "repeated", "of another stream", "changed", "of an unknown key"])
def test_forged_entries_of_redis_are_refused(lasting_redis, what, caplog):
    """Whoever controls Redis can drop and delay messages of a sealed stream, and make none."""

    async def main():
        other = Key(10, "ecg/other", bytes(range(50, 82)))
        keys = [KEY, other]
        async with sealing(lasting_redis, StoredKeys(keys)) as one, client(one.url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                for n in range(3):
                    await one.publish(STREAM, DATA, ecg(n))
                await take(subscription, 3)
                await one.publish("ecg/other", DATA, ecg(3))
                fields = (await entries_of(lasting_redis))[-1][1]
                epoch, _, number = fields[b"p"].partition(b"-")
                frame = bytearray(fields[b"f"])
                match what:
                    case "plain":
                        frame = codec_frame()
                    case "of another stream":
                        frame = (await entries_of(lasting_redis, "ecgframe:stream:ecg/other"))[-1][1][b"f"]
                    case "of an unknown key":
                        frame = verified(codec_frame()).sealed(Sealer(Key(11, STREAM, bytes(32)))).frame
                    case "changed":
                        frame[-20] ^= 1
                        frame[7:11] = crc32(bytes(frame[32:])).to_bytes(4, "big")
                place = b"%s-%d" % (epoch, int(number) + 1)
                await put(lasting_redis, {b"o": b"mallory", b"n": b"1", b"p": place, b"f": bytes(frame)})
                async with asyncio.timeout(10):
                    while one.stats()["backplane"]["refused_total"] == 0:
                        await asyncio.sleep(0.01)
                assert one.stats()["backplane"]["unopened_total"] == 1
                await one.publish(STREAM, DATA, ecg(4))
                assert np.array_equal(signals(await take(subscription)), SAMPLES[:, 40:50])
        assert "skipped foreign entries in Redis" in caplog.text
        assert KEY.secret.hex() not in caplog.text

    run(main())


def codec_frame():
    codec = Codec(version=4, compression=None, ndarray="binary")
    return codec.encode(DATA, {**ecg(9), "stream": STREAM}, stream_id=1, sequence=1)


def test_a_server_without_the_keys_delivers_nothing_of_a_sealed_stream(lasting_redis, caplog):
    async def main():
        async with sealing(lasting_redis) as one, node(lasting_redis) as two, client(two.url) as viewer:
            async with viewer.subscribe(STREAM) as subscription:
                await one.publish(STREAM, DATA, ecg(0))
                async with asyncio.timeout(10):
                    while two.stats()["backplane"]["refused_total"] == 0:
                        await asyncio.sleep(0.01)
                await two.publish("ecg/plain", DATA, ecg(1))
                assert subscription.stats()["received"] == 0
        assert "this one has no key of the stream" in caplog.text

    run(main())


def test_a_backplane_without_version_4_does_not_take_sealed_streams(lasting_redis):
    from ecgframe.server.redis import RedisBackplane

    for versions in ((1, 2, 3), V4):
        with pytest.raises(ValueError, match=r"version=4"):
            WebSocketBinaryHandler(
                backplane=RedisBackplane(lasting_redis.url),
                sealing=Sealing(keyring=StoredKeys([KEY])),
                settings=Settings(versions=versions),
            )


# --- histories ---


@pytest.mark.slow
@pytest.mark.parametrize("is_end_to_end", [False, True], ids=["by the servers", "end to end"])
def test_any_server_has_the_history_of_a_sealed_stream(lasting_redis, is_end_to_end):
    """Also one that comes later, over the next connection, and of what another one has sealed."""

    async def main():
        made = relaying if is_end_to_end else sealing
        connect = keyed if is_end_to_end else client
        async with made(lasting_redis) as one, keyed(one.url) as source:
            if is_end_to_end:
                async with source.publisher(STREAM) as publisher:
                    for n in range(40):
                        await publisher.send(DATA, ecg(n), acknowledged=True)
            else:
                for n in range(40):
                    await one.publish(STREAM, DATA, ecg(n))
            async with made(lasting_redis) as two, cutting_proxy(0) as proxy:
                proxy.targets = [port_of(one)]
                async with connect(proxy.url) as viewer:
                    history = viewer.history(STREAM, 0)
                    found = [await anext(history) for _ in range(5)]
                    proxy.targets = [port_of(two)]
                    proxy.cut()
                    async with asyncio.timeout(10):
                        found += [message async for message in history]
                    assert np.array_equal(signals(found), SAMPLES[:, :400])
                    assert (history.lost, viewer.stats()["refused"]) == (0, {})
                    async with asyncio.timeout(10):
                        again = [message async for message in viewer.history(STREAM, found[10].timestamp)]
                    assert np.array_equal(signals(again), SAMPLES[:, 100:400])
                    assert viewer.stats()["sealed"].keys() <= {"opened", "repeated"}

    run(main())

# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Streams that a publisher seals end to end: the server has no key, and hands them on, keeps and resumes them."""

import asyncio
import time

import numpy as np
import pytest
from running import run
from server.test_sealed_streams import BOTH, client, serving, take

import ecgframe
from ecgframe import AuthenticationFailed, MessageType, PermissionDenied
from ecgframe.codec import SealedPayload
from ecgframe.protocol import Capability
from ecgframe.server import Sealing, WebSocketBinaryHandler
from ecgframe.session import Settings

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys

STREAM = "ecg/1"
KEY = Key(9, STREAM, bytes(range(1, 33)))
DATA, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
V4 = (1, 2, 3, 4)


async def everybody(*_):
    return True


def relaying_handler(**options):
    return WebSocketBinaryHandler(
        settings=Settings(versions=V4), **{"authorize": everybody, "takes_sealed": True, **options}
    )


def ecg(n=0, **fields):
    signal = np.arange(24, dtype="int16").reshape(2, 12) + n
    return {"signal": signal, "sampling_rate": 500, "timestamp": time.time(), "patient_id": "Doe^Jane", **fields}


def keyed(url, **options):
    return client(url, keys=StoredKeys([KEY]), reconnect_delays=lambda: iter([0.01] * 99), **options)


def first(message):
    return int(message.data["signal"][0, 0])


def test_viewers_with_the_key_get_what_the_publisher_seals():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source, keyed(url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                async with source.publisher(STREAM) as publisher:
                    for n in range(3):
                        await publisher.send(DATA, ecg(n))
                    await publisher.send(ALERT, {"kind": "asystole", "timestamp": time.time()}, acknowledged=True)
                messages = await take(subscription, 4)
                assert [first(one) for one in messages if one.type is DATA] == [0, 1, 2]
                assert [one.data["kind"] for one in messages if one.type is ALERT] == ["asystole"]
                assert all(one.form == 4 for one in messages if one.type is DATA)  # records
                assert viewer.stats()["sealed"] == {"opened": 5}  # and the template
                assert viewer.stats()["refused"] == source.stats()["errors"] == {}

    run(main())


def test_the_server_holds_nothing_of_the_samples_and_gives_it_to_no_hook():
    handed_over = []

    async def main():
        async def on_message(connection, message):
            handed_over.append(message)

        handler = relaying_handler(on_message=on_message)
        async with serving(handler) as url, keyed(url) as source:
            async with source.publisher(STREAM) as publisher:
                for n in range(20):
                    await publisher.send(DATA, ecg(n))
            kept = [one.frame for one in handler._streams.get(STREAM).ring.start_from(0)]
            assert len(kept) == 21
            samples = np.arange(24, dtype="int16").tobytes()
            for frame in kept:
                for secret in (samples[:8], b"Doe", b"sampling_rate", KEY.secret[:8]):
                    assert secret not in frame
            assert len({len(frame) for frame in kept[1:]}) == 1  # sizes do not vary

    run(main())
    assert handed_over == []


def test_a_viewer_that_comes_later_gets_the_templates_and_resumes():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source, keyed(url) as viewer:
            async with source.publisher(STREAM) as publisher:
                for n in range(3):
                    await publisher.send(DATA, ecg(n))
                await publisher.flush()
                gaps = []
                async with viewer.subscribe(STREAM, sealed=True, on_gap=gaps.append) as subscription:
                    await publisher.send(DATA, ecg(3))
                    assert first((await take(subscription))[0]) == 3
                    viewer._reconnecting.connection._websocket.transport.abort()
                    for n in range(4, 8):
                        await publisher.send(DATA, ecg(n))
                    await publisher.flush()
                    assert [first(one) for one in await take(subscription, 4)] == [4, 5, 6, 7]
                    assert gaps == []

    run(main())


def test_the_publisher_goes_on_after_a_broken_connection():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source, keyed(url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                async with source.publisher(STREAM) as publisher:
                    await publisher.send(DATA, ecg(0))
                    await publisher.flush()
                    source._reconnecting.connection._websocket.transport.abort()
                    for n in range(1, 5):
                        await publisher.send(DATA, ecg(n))
                assert [first(one) for one in await take(subscription, 5)] == [0, 1, 2, 3, 4]
                assert subscription.stats()["gaps"] == 0

    run(main())


def test_another_key_begins_with_templates_of_its_own():
    async def main():
        handler = relaying_handler()
        keys = StoredKeys([KEY])
        async with serving(handler) as url, client(url, keys=keys) as source, client(url, keys=keys) as viewer:
            async with source.publisher(STREAM) as publisher, viewer.subscribe(STREAM) as subscription:
                await publisher.send(DATA, ecg(0))
                keys.add(Key(10, STREAM, bytes(32), begins=1.0))
                await publisher.send(DATA, ecg(1))
                await publisher.flush()
                assert [first(one) for one in await take(subscription, 2)] == [0, 1]
                late = client(url, keys=StoredKeys([Key(10, STREAM, bytes(32))]))
                async with late, late.subscribe(STREAM) as latest:  # and never needs the earlier key
                    await publisher.send(DATA, ecg(2))
                    assert [first(one) for one in await take(latest)] == [2]
                    assert late.stats()["refused"] == {}

    run(main())


# --- who is denied ---


@BOTH
def test_viewers_that_cannot_are_denied_before_and_after(versions):
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source:
            wanted = [Capability.NDARRAY_BIN, *([Capability.TEMPLATES] if 4 in versions else [])]
            async with client(url, versions, wanted) as early, client(url, versions, wanted) as late:
                async with early.subscribe(STREAM) as subscription:
                    async with source.publisher(STREAM) as publisher:
                        await publisher.send(DATA, ecg(0))
                        with pytest.raises(AuthenticationFailed, match="sealed by its publisher"):
                            await take(subscription)
                        with pytest.raises(AuthenticationFailed, match="sealed by its publisher"):
                            async with late.subscribe(STREAM):
                                pass

    run(main())


def test_a_viewer_without_the_key_is_told_of_a_gap_and_not_closed():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source, client(url, keys=StoredKeys([])) as viewer:
            async with viewer.subscribe(STREAM) as subscription, source.publisher(STREAM) as publisher:
                for n in range(8):
                    await publisher.send(DATA, ecg(n))
                await publisher.flush()
                await viewer.ping()
                assert viewer.stats()["refused"] == {}
                assert subscription.waiting == 0

    run(main())


def test_a_publisher_fails_where_the_server_takes_nothing_sealed():
    async def main():
        for handler in (
            relaying_handler(takes_sealed=False),
            WebSocketBinaryHandler(settings=Settings(versions=(1, 2, 3)), authorize=everybody, takes_sealed=True),
        ):
            async with serving(handler) as url, keyed(url) as source:
                publisher = source.publisher(STREAM)
                with pytest.raises(AuthenticationFailed, match="takes no sealed messages"):
                    await publisher.send(DATA, ecg())

    run(main())


def test_a_server_that_seals_the_stream_itself_refuses():
    async def main():
        handler = relaying_handler(sealing=Sealing(keyring=StoredKeys([KEY])))
        async with serving(handler) as url, keyed(url) as source:
            publisher = source.publisher(STREAM)
            with pytest.raises(PermissionDenied, match="seals the stream itself"):
                await publisher.send(DATA, ecg(), acknowledged=True)

    run(main())


def test_a_stream_with_a_key_is_never_published_in_plain():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source:
            with pytest.raises(ValueError, match="publisher seals"):
                await source.send_message(ALERT, {"kind": "x", "timestamp": 1.0, "stream": STREAM})
            async with source.publisher(STREAM) as publisher:
                with pytest.raises(ValueError, match="timestamp"):
                    await publisher.send(ALERT, {"kind": "x"})
                with pytest.raises(ValueError, match="sends nothing on"):
                    await publisher.send(ALERT, {"kind": "x", "timestamp": 1.0, "stream": "ecg/2"})

    run(main())


def test_a_large_message_is_sealed_in_pieces_and_opened():
    async def main():
        handler = relaying_handler()
        async with serving(handler) as url, keyed(url) as source, keyed(url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription, source.publisher(STREAM) as publisher:
                signal = np.random.default_rng(5).integers(-3000, 3000, (12, 50_000), "int16")
                await publisher.send(DATA, ecg(signal=signal))
                [message] = await take(subscription)
                assert np.array_equal(message.data["signal"], signal)

    run(main())


def test_a_server_shows_only_the_parts_of_a_sealed_payload():
    payload = SealedPayload(bytes(48))
    assert repr(payload) == "SealedPayload(<48 bytes>)"


def test_frames_of_a_publisher_that_has_not_opened_the_stream_are_refused():
    async def main():
        handler = relaying_handler()
        errors = []
        async with serving(handler) as url, client(url, on_error=errors.append, keys=StoredKeys([])) as source:
            from ecgframe.seal import Sealer

            plain = ecgframe.Codec(version=4).encode_frame(ALERT, {"kind": "x", "timestamp": 1.0})
            connection = source._reconnecting.connection
            await connection._websocket.send(plain.sealed(Sealer(KEY)).frame)
            async with asyncio.timeout(10):
                while not errors:
                    await asyncio.sleep(0.01)
            assert isinstance(errors[0], AuthenticationFailed)

    run(main())

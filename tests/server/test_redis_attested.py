# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Attestations of servers that share a real Redis and a signing key: one chain, whichever server makes them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from recordings import optional
from running import run
from server.redis_server import redis_server
from server.test_attested_streams import until
from server.test_redis_opened import connected, node
from server.test_sealed_streams import take
from server.test_signed_streams import ALERT, DATA, OTHER, SIGNER, STREAM, V4, alert

from ecgframe import Codec, MessageType
from ecgframe.recording import Recorder
from ecgframe.server import Sealing, attesting
from ecgframe.session import Settings
from ecgframe.signing import Attested, Unattested
from ecgframe.tools.verification import verify_frames

pytest.importorskip("cryptography")
pytestmark = pytest.mark.slow

optional("redis.asyncio")

from ecgframe.seal import Key, StoredKeys  # noqa: E402
from ecgframe.server.redis.proofs import Proofs  # noqa: E402

KEYS = StoredKeys([Key(9, STREAM, bytes(range(101, 133)))])
SOON = 0.05


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(attesting, "ATTESTING_SECONDS", SOON)


@pytest.fixture
def redis(tmp_path):
    with redis_server(tmp_path) as running:
        yield running


def signing(redis, **options):
    settings = Settings(versions=V4, keys_without_tls=True)
    return node(redis, settings=settings, **{"signer": SIGNER, **options})


@asynccontextmanager
async def watching(handler, *signers, **options):
    """A viewer: its subscription, and what it is told of attestations."""
    found = []
    signers = [one.public for one in signers or (SIGNER,)]
    async with connected(handler, signers=signers) as viewer:
        async with viewer.subscribe(STREAM, on_attestation=found.append, **options) as subscription:
            yield subscription, found


def ecg(number=0):
    return {"signal": np.full((2, 12), number, "int16"), "sampling_rate": 500, "timestamp": time.time()}


def features(number=0):
    return {"features": {"hr": number, "a": np.arange(5) / 3}, "timestamp": time.time()}


def attested(found):
    """The numbers that were attested; nothing was told as unattested, missing or unseen."""
    assert [one for one in found if isinstance(one, Unattested)] == []
    assert sum(one.missing for one in found) == 0
    return sorted(number for one in found for number in one.numbers)


async def everything(found, numbers):
    """Wait until these messages are attested, each once."""
    await until(found, len(numbers))
    assert attested(found) == sorted(numbers)


@pytest.mark.parametrize("sealing", [None, Sealing(keyring=KEYS), Sealing(keyring=KEYS, compress=True)])
def test_one_chain_attests_what_three_servers_publish_on_one_stream(redis, sealing):
    async def main():
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(signing(redis, sealing=sealing)) for _ in range(3)]
            watched = [await stack.enter_async_context(watching(one)) for one in nodes]
            for number in range(60):
                await nodes[number % 3].publish(STREAM, DATA, ecg(number))
                if number % 7 == 0:
                    await nodes[number % 2].publish(STREAM, MessageType.FEATURE_DATA, features(number))
                await asyncio.sleep(0.01)
            for subscription, found in watched:
                messages = await take(subscription, 69)
                assert subscription.stats()["gaps"] == 0
                numbers = {message.sequence for message in messages if message.sequence is not None}
                await until(found, len(numbers) + 1)  # the template
                assert numbers <= {*attested(found)}
                assert {one.signer for one in found} == {SIGNER.name}
                assert sum(one.unseen for one in found) == 0
            assert sum(one.stats()["sealing"]["attestations"] for one in nodes) >= 3

    run(main())


def test_alerts_of_all_servers_are_signed(redis):
    async def main():
        async with signing(redis) as one, signing(redis) as two, watching(two) as (subscription, _):
            await one.publish(STREAM, ALERT, alert())
            await two.publish(STREAM, ALERT, alert())
            assert [message.signature for message in await take(subscription, 2)] == ["valid"] * 2

    run(main())


def test_what_somebody_else_writes_to_redis_is_neither_signed_nor_attested(redis):
    async def main():
        import redis.asyncio as library

        async with signing(redis) as one, watching(one) as (subscription, found):
            await one.publish(STREAM, ALERT, alert())
            await one.publish(STREAM, MessageType.FEATURE_DATA, features())
            await take(subscription, 2)
            await until(found, 1)
            async with library.Redis.from_url(redis.url) as writer:
                key = f"ecgframe:stream:{STREAM}"
                entries = await writer.xrange(key)
                epoch = entries[0][1][b"p"].partition(b"-")[0].decode()
                last = len(entries)
                original = [fields for _, fields in entries if b"m" in fields][:2]
                codec = Codec(version=4, ndarray="binary")
                made = [
                    codec.encode_frame(type, {**data, "stream": STREAM}, timestamp=1, stream_id=1, sequence=1).frame
                    for type, data in ((ALERT, alert()), (MessageType.FEATURE_DATA, features()))
                ]
                forged = [{"f": frame} for frame in made]
                forged += [{"f": frame, "m": original[0][b"m"]} for frame in made]  # the proof of another message
                forged += [{"f": one[b"f"], "m": one[b"m"]} for one in original]  # a message once more
                for number, fields in enumerate(forged, 1):
                    place = f"{epoch}-{last + number}"
                    await writer.xadd(key, {"o": "somebody", "n": number, "p": place, **fields})
                another = {**features(8), "stream": STREAM}  # viewers let go of what they have from another epoch
                frame = codec.encode_frame(
                    MessageType.FEATURE_DATA, another, timestamp=1, stream_id=1, sequence=1
                ).frame
                await writer.xadd(key, {"o": "somebody", "n": 99, "f": frame})  # without a number
                for number in range(len(forged) + 1):
                    message = await take(subscription, 1)
                    assert message[0].signature is None, number
            await one.publish(STREAM, MessageType.FEATURE_DATA, features(9))  # in another epoch, as one had no number
            [message] = await take(subscription, 1)
            while not any(isinstance(told, Attested) and message.sequence in told.numbers for told in found[1:]):
                await asyncio.sleep(SOON)
            named = [number for told in found if isinstance(told, Attested) for number in told.numbers]
            assert len(named) == 2
            assert sum(len(told.numbers) for told in found if isinstance(told, Unattested)) == len(forged) + 1

    run(main())


def test_a_server_that_comes_later_goes_on_with_the_chain(redis):
    """After the entry of the latest attestation is gone from the stream, too: Redis has its number and hash apart."""

    async def main():
        import redis.asyncio as library

        async with signing(redis) as one, watching(one) as (subscription, found):
            for number in range(3):
                await one.publish(STREAM, MessageType.FEATURE_DATA, features(number))
                await everything(found, range(1, 2 * number + 2, 2))  # an attestation after each
            assert [one.last for one in found] == [False] * len(found)
        async with library.Redis.from_url(redis.url) as writer:
            await writer.xtrim(f"ecgframe:stream:{STREAM}", maxlen=0, approximate=False)
        async with signing(redis) as two, watching(two) as (subscription, found):
            await two.publish(STREAM, MessageType.FEATURE_DATA, features())
            [message] = await take(subscription)
            await until(found, 1)
            [told] = found
            assert told == Attested((7,), SIGNER.name)
            assert message.sequence == 7, "in the same epoch"
            latest = await two._numbered.last_attestation(STREAM, two._streams.get(STREAM).numbering.epoch, SIGNER.name)
            assert latest.number == 4

    run(main())


def test_another_server_attests_what_a_killed_one_has_published(redis, monkeypatch):
    monkeypatch.setattr(attesting, "TAKEOVER_SECONDS", 0.2)

    async def main():
        async with signing(redis) as two, watching(two) as (subscription, found):
            async with signing(redis) as one:
                one._attestations.cancel()  # as if it was killed before the second was over
                one._attesting.finish = lambda: asyncio.sleep(0)
                for number in range(5):
                    await one.publish(STREAM, MessageType.FEATURE_DATA, features(number))
            await take(subscription, 5)
            await everything(found, range(1, 6))
            assert two.stats()["sealing"]["attestations"] == 1
            assert one.stats()["sealing"]["attestations"] == 0

    run(main())


def test_a_closing_server_attests_what_it_has_published(redis):
    async def main():
        async with signing(redis) as two, watching(two) as (subscription, found):
            async with signing(redis) as one:
                one._attestations.cancel()
                await one.publish(STREAM, MessageType.FEATURE_DATA, features())
            await take(subscription)
            await everything(found, [1])
            assert one.stats()["sealing"]["attestations"] == 1

    run(main())


def test_servers_with_two_keys_have_a_chain_each(redis):
    async def main():
        async with signing(redis) as one, signing(redis, signer=OTHER) as two:
            async with watching(one, SIGNER, OTHER) as (near, found), watching(two, SIGNER, OTHER) as (_, far):
                for number in range(20):
                    await (one, two)[number % 2].publish(STREAM, MessageType.FEATURE_DATA, features(number))
                await take(near, 20)
                for told in (found, far):
                    await until(told, 20)
                    assert len(attested(told)) == 20
                    assert {one.signer for one in told} == {SIGNER.name, OTHER.name}
                await one.publish(STREAM, ALERT, alert())
                await two.publish(STREAM, ALERT, alert())
                assert [message.signature for message in await take(near, 2)] == ["valid", None]

    run(main())


def test_a_server_attests_alone_while_redis_is_away(redis):
    async def main():
        async with signing(redis, patience=0.2) as one, watching(one) as (subscription, found):
            await one.publish(STREAM, MessageType.FEATURE_DATA, features())
            await take(subscription)
            await until(found, 1)
            redis.kill()
            for number in range(3):
                await one.publish(STREAM, MessageType.FEATURE_DATA, features(number))
            await take(subscription, 3)
            await until(found, 4)
            redis.start()
            while not one.stats()["backplane"]["up"]:
                await asyncio.sleep(0.02)
            for number in range(3):
                await one.publish(STREAM, MessageType.FEATURE_DATA, features(number))
            await take(subscription, 3)
            await until(found, 7)
            assert all(isinstance(told, Attested) for told in found)

    run(main())


def test_a_recording_of_several_servers_is_proven(redis, tmp_path):
    async def main():
        async with signing(redis) as one, signing(redis) as two:
            place = tmp_path / "bed.frames"
            recorder = Recorder(two.url, [STREAM], place, signatures=True, versions=V4)
            task = asyncio.create_task(recorder.run())
            while not two._streams.get(STREAM):
                await asyncio.sleep(0.01)
            for number in range(40):
                await (one, two)[number % 2].publish(STREAM, DATA, ecg(number))
                if number % 10 == 0:
                    await one.publish(STREAM, ALERT, alert())
                await asyncio.sleep(0.005)
            while recorder.summaries[0].samples < 40 * 12 or recorder.summaries[0].alerts < 4:
                await asyncio.sleep(0.01)
            await asyncio.sleep(4 * SOON)
            task.cancel()
            await asyncio.wait([task])
        with place.open("rb") as file:
            found = verify_frames(file, [SIGNER.public])
        assert {fault.kind for fault in found.faults} == {"cut"}
        [proof] = found.streams
        assert (proof.signed, proof.attested) == (4, proof.messages - 4)
        assert proof.messages >= 44

    run(main())


def test_proofs_are_of_one_key_stream_server_and_number():
    proofs = Proofs(SIGNER)
    made = proofs.make("ecg/1", b"me", 7, b"frame")
    assert len(made) == 32
    others = [("ecg/2", b"me", 7, b"frame"), ("ecg/1", b"you", 7, b"frame"), ("ecg/1", b"me", 8, b"frame")]
    others += [("ecg/1", b"me", 7, b"Frame"), ("ecg/1m", b"e", 7, b"frame")]
    assert made not in [proofs.make(*one) for one in others]
    assert made != Proofs(OTHER).make("ecg/1", b"me", 7, b"frame")
    assert "secret" not in repr(proofs) + repr(vars(proofs).keys() - {"_secret"})

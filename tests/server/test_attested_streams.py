# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""What a server attests once a second, and viewers that verify it."""

import asyncio
import math
import time

import numpy as np
import pytest
from running import run
from server.test_sealed_streams import serving, take
from server.test_signed_streams import OTHER, SIGNER, STREAM, V4, alert, signing_handler, verifying

import ecgframe
from ecgframe import Codec, MessageType
from ecgframe._core import build_frame
from ecgframe.client import publisher as publisher_module
from ecgframe.server import Sealing, WebSocketBinaryHandler, attesting
from ecgframe.server.publication import Publication
from ecgframe.session import Outgoing, Settings, StreamPosition, attestations, encode_outgoing
from ecgframe.session.attestations import StreamAttestations
from ecgframe.session.outgoing import encoding_for
from ecgframe.signing import Attested, Attester, SigningKey, Unattested, Verifier, attestation_book, digest

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys

_V4 = encoding_for(4, frozenset())
_reader = Codec(versions=(4,))
DATA, FEATURE = MessageType.ECG_DATA, MessageType.FEATURE_DATA


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(attesting, "ATTESTING_SECONDS", 0.05)


def ecg(number=0):
    return {"signal": np.full((2, 12), number, "int16"), "sampling_rate": 500, "timestamp": time.time()}


async def until(found, count):
    """Wait until so many messages are attested, or not."""
    while sum(len(one.numbers) for one in found) < count:
        await asyncio.sleep(0.005)


def test_messages_are_attested_once_a_second():
    async def main():
        handler, found = signing_handler(), []
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                for number in range(5):
                    await handler.publish(STREAM, DATA, ecg(number))
                await handler.publish(STREAM, FEATURE, {"features": {"hr": 60.0}, "timestamp": time.time()})
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, alert())
                messages = await take(subscription, 7)
                await until(found, 7)  # a template, five records, the features; the alert is signed itself
                assert all(isinstance(one, Attested) for one in found)
                assert {one.signer for one in found} == {SIGNER.name}
                numbers = {number for one in found for number in one.numbers}
                assert numbers == set(range(1, 8))
                signed = [message.sequence for message in messages if message.signature == "valid"]
                assert signed
                assert not numbers & set(signed)
                assert sum(one.unseen + one.missing for one in found) == 0
                assert subscription.stats()["attested"] == 7
                assert viewer.stats()["attestations"]["attested"] == 7
                assert handler.stats()["sealing"]["attestations"] >= 1

    run(main())


@pytest.mark.parametrize("compress", [False, True])
def test_a_sealed_stream_is_attested_inside(compress):
    async def main():
        keys = StoredKeys([Key(9, STREAM, bytes(range(32)))])
        handler, found = signing_handler(sealing=Sealing(keyring=keys, compress=compress)), []
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, sealed=True, on_attestation=found.append) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await handler.publish(STREAM, FEATURE, {"features": {"a": np.arange(9.0)}, "timestamp": time.time()})
                await take(subscription, 2)
                await until(found, 3)
                assert all(isinstance(one, Attested) for one in found)

    run(main())


def test_arrays_and_large_messages_are_attested_as_they_travel_in_version_4():
    async def main():
        handler, found = signing_handler(), []
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                for size in (3, 4000, 100_000):
                    data = {"features": {"a": np.arange(size) / 3, "b": [1, "x"]}, "timestamp": time.time()}
                    await handler.publish(STREAM, FEATURE, data)
                await take(subscription, 3)
                await until(found, 3)
                assert all(isinstance(one, Attested) for one in found)

    run(main())


def test_the_last_attestation_comes_when_the_server_closes():
    async def main():
        handler, found = signing_handler(), []
        async with serving(handler) as url, verifying(url, SIGNER, reconnect=False) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription)
                await handler.close()
                await until(found, 2)
                while not found[-1].last:
                    await asyncio.sleep(0.005)

    run(main())


def test_a_viewer_is_told_what_nobody_has_attested(caplog, monkeypatch):
    monkeypatch.setattr(attestation_book, "PATIENCE", 0.1)
    monkeypatch.setattr(attestations, "PATIENCE", 0.1)

    async def main():
        handler, found = signing_handler(signer=None), []
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription, 2)
                await until(found, 3)
                assert all(isinstance(one, Unattested) for one in found)
                assert viewer.stats()["attestations"] == {"unattested": 3}

    run(main())
    assert "no known signer has attested" in caplog.text
    assert "signs nothing" in caplog.text


def test_another_signer_does_not_count():
    async def main():
        handler, found = signing_handler(), []
        async with serving(handler) as url, verifying(url, OTHER) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription)
                while not viewer.stats()["attestations"]:
                    await asyncio.sleep(0.005)
                assert viewer.stats()["attestations"]["not known"] == 1
                assert found == []

    run(main())


def test_a_message_that_was_changed_on_its_way_is_never_attested(monkeypatch):
    digest, changed = Publication.digest, []

    def of_another(publication):
        if publication.type is FEATURE and not changed:
            changed.append(publication.position.number)
            return bytes(32)
        return digest(publication)

    monkeypatch.setattr(Publication, "digest", of_another)

    async def main():
        handler, found = signing_handler(), []
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, on_attestation=found.append) as subscription:
                for number in range(20):
                    await handler.publish(STREAM, FEATURE, {"features": {"n": number}, "timestamp": time.time()})
                    await asyncio.sleep(0.02)
                await take(subscription, 20)
                await until(found, 20)
                assert [one for one in found if isinstance(one, Unattested)] == [Unattested(tuple(changed))]
                assert sum(one.unseen for one in found if isinstance(one, Attested)) == 1

    run(main())


def test_a_wrong_attestation_is_refused(monkeypatch):
    sign_bytes = SigningKey.sign_bytes
    monkeypatch.setattr(SigningKey, "sign_bytes", lambda key, octets: sign_bytes(key, octets + b"x"))

    async def main():
        handler, errors = signing_handler(), []
        async with serving(handler) as url, verifying(url, SIGNER, on_error=errors.append) as viewer:
            async with viewer.subscribe(STREAM) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription)
                while not errors:
                    await asyncio.sleep(0.005)
                assert (errors[0].code, errors[0].check, errors[0].reason) == (0x202, 14, "signature")
                assert viewer.stats()["attestations"] == {"refused": 1}

    run(main())


def test_repeated_messages_are_attested_once():
    key = SIGNER
    attester = Attester(key, STREAM, 7)
    payload = ecgframe.pack({"features": {}, "timestamp": 1.0})
    hashed = digest(STREAM, FEATURE, 0, payload)
    attester.add_digest(hashed)
    first = attester.attest()
    known = StreamAttestations(Verifier([key.public]), STREAM)
    assert known.note(7, 1, hashed, 0.0) is None
    assert known.attest(7, 2, first, 0.5) == [Attested((1,), key.name)]
    assert known.attest(7, 2, first, 0.5) == []
    assert known.note(7, 1, hashed, 1.0) is None
    assert known.expire(100.0) is None
    with pytest.raises(ecgframe.AuthenticationFailed) as refused:
        known.attest(7, 3, first, 0.5)
    assert refused.value.reason == "attestation"


def test_unattested_messages_wait_again_after_a_reconnection():
    known = StreamAttestations(Verifier([SIGNER.public]), STREAM)
    known.note(7, 1, bytes(32), 0.0)
    assert known.deadline == 10.0
    known.resume(9.0)
    assert known.deadline == 19.0
    assert known.expire(10.0) is None
    known.resume(11.0)
    assert known.expire(21.0) == Unattested((1,))
    assert known.deadline == math.inf
    known.note(7, 2, bytes(32), 22.0)
    assert known.note(8, 1, bytes(32), 23.0) == Unattested((2,))


# --- end to end ---


@pytest.fixture
def _publisher_soon(monkeypatch):
    monkeypatch.setattr(publisher_module, "ATTESTING_SECONDS", 0.05)


@pytest.mark.usefixtures("_publisher_soon")
def test_a_publisher_signs_and_attests_what_it_seals():
    keys = StoredKeys([Key(9, STREAM, bytes(range(32)))])

    async def authorize(connection, action, stream):
        return True

    async def main():
        handler = WebSocketBinaryHandler(settings=Settings(versions=V4), authorize=authorize, takes_sealed=True)
        found = []
        async with (
            serving(handler) as url,
            verifying(url, keys=keys) as source,
            verifying(url, SIGNER, keys=keys) as viewer,
        ):
            async with viewer.subscribe(STREAM, sealed=True, on_attestation=found.append) as subscription:
                async with source.publisher(STREAM, signer=SIGNER) as publisher:
                    for number in range(5):
                        await publisher.send(DATA, ecg(number))
                    await publisher.send(MessageType.ANOMALY_ALERT, alert())
                    large = {"features": {"a": np.arange(50_000) / 3}, "timestamp": time.time()}
                    await publisher.send(FEATURE, large)
                    messages = await take(subscription, 7)
                    await until(found, 7)
                    with pytest.raises(ValueError, match="timestamp"):
                        await publisher.send(DATA, {"signal": [1.0], "sampling_rate": 1})
                await until_last(found)
                assert [one.signature for one in messages if one.type is MessageType.ANOMALY_ALERT] == ["valid"]
                assert all(isinstance(one, Attested) for one in found)
                assert sum(one.unseen + one.missing for one in found) == 0
                assert viewer.stats()["refused"] == source.stats()["errors"] == {}

    run(main())


def test_a_publisher_attests_a_stream_in_bulk():
    keys = StoredKeys([Key(9, STREAM, bytes(range(32)))])

    async def authorize(connection, action, stream):
        return True

    async def main():
        handler = WebSocketBinaryHandler(settings=Settings(versions=V4), authorize=authorize, takes_sealed=True)
        found, errors = [], []
        async with (
            serving(handler) as url,
            verifying(url, keys=keys, on_error=errors.append) as source,
            verifying(url, SIGNER, keys=keys) as viewer,
        ):
            async with viewer.subscribe(STREAM, sealed=True, on_attestation=found.append) as subscription:
                async with source.publisher(STREAM, signer=SIGNER, bulk=True) as publisher:
                    await publisher.send(DATA, ecg())
                    await take(subscription)
                await until_last(found)
                assert sum(len(one.numbers) for one in found) == 2
                assert errors == []

    run(main())


async def until_last(found):
    while not found[-1].last:
        await asyncio.sleep(0.005)


def test_only_what_is_sealed_is_signed_by_its_publisher():
    async def main():
        handler = signing_handler()
        async with serving(handler) as url, verifying(url) as source:
            with pytest.raises(ValueError, match="needs keys"):
                source.publisher(STREAM, signer=SIGNER)
            assert source.stats()["publishers"] == {}

    run(main())


def test_a_client_cannot_publish_what_is_attested_without_a_time():
    async def authorize(connection, action, stream):
        return True

    async def main():
        handler, errors = signing_handler(authorize=authorize), []
        async with serving(handler) as url, verifying(url, on_error=errors.append) as source:
            await source.send_message(DATA, {"stream": STREAM, "signal": [1.0], "sampling_rate": 1})
            while not errors:
                await asyncio.sleep(0.005)
            assert (errors[0].code, "timestamp" in str(errors[0])) == (0x200, True)

    run(main())


@pytest.mark.parametrize("takes_sealed", [False, True])
@pytest.mark.parametrize("stream_id", [0, 9])
def test_plain_attestations_of_clients_are_refused(takes_sealed, stream_id):
    async def authorize(connection, action, stream):
        return True

    async def main():
        settings = Settings(versions=V4)
        handler = WebSocketBinaryHandler(settings=settings, authorize=authorize, takes_sealed=takes_sealed)
        errors = []
        async with serving(handler) as url, verifying(url, on_error=errors.append) as source:
            attester = Attester(SIGNER, STREAM, 5)
            attester.add_digest(bytes(32))
            connection = source._reconnecting.connection
            place = StreamPosition(stream_id, 3 if stream_id else 0)
            if stream_id:
                opening = {"template": 0, "stream": STREAM, "epoch": 5}
                where = StreamPosition(stream_id, 0)
                template = MessageType.STREAM_TEMPLATE
                connection.send(encode_outgoing(_V4, template, opening, timestamp=1, settings=settings, position=where))
            frame = build_frame(4, 0x24, 0, 2, attester.attest(), 0, place.id, place.number)
            connection.send(Outgoing(_reader.verify(frame), 0, 2, STREAM))
            while not errors:
                await asyncio.sleep(0.005)
            assert {error.code for error in errors} == {0x203}

    run(main())


def test_a_server_that_cannot_attest_says_so(caplog):
    async def main():
        async with WebSocketBinaryHandler(settings=Settings(versions=(1, 2, 3)), signer=SIGNER) as handler:
            await handler.publish(STREAM, FEATURE, {"features": {}})
            assert handler.stats()["sealing"]["attestations"] == 0

    run(main())
    assert "nothing is attested" in caplog.text

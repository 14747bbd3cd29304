"""What a server keeps of its sealed and attested streams: sealers, and what is never plain."""

import asyncio

import pytest
from running import run
from server.test_sealed_streams import DATA, KEY, STREAM, V4, client, ecg, sealing_handler, serving, take

from ecgframe import AuthenticationFailed
from ecgframe.protocol import Capability
from ecgframe.server import Sealing, sealing
from ecgframe.server.attesting import StreamAttester
from ecgframe.server.sealing import Seals
from ecgframe.session.outgoing import encoding_for

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys
from ecgframe.signing import Attester, SigningKey

SEALED = [encoding_for(version, frozenset({Capability.ENCRYPTION})) for version in (3, 4)]


def test_one_sealer_for_a_key_and_an_encoding():
    """Each sealer is a sender of its own, and viewers distinguish the counters of 64 of them."""
    seals = Seals(Sealing(keyring=StoredKeys([KEY])))
    first = seals.sealer(KEY, SEALED[0])
    others = [seals.sealer(KEY, SEALED[1]), seals.sealer(Key(10, STREAM, bytes(32)), SEALED[0])]
    assert first is seals.sealer(KEY, SEALED[0])
    assert first not in others
    assert others[0] is seals.sealer(KEY, SEALED[1])


def test_the_messages_of_a_stream_have_one_sender():
    async def main():
        handler = sealing_handler()
        async with serving(handler) as url, client(url) as viewer, viewer.subscribe(STREAM) as subscription:
            for n in range(20):
                await handler.publish(STREAM, DATA, ecg(n))
            await take(subscription, 20)
            assert len(handler._seals._sealers) <= 2  # of the template, and of the messages

    run(main())


def test_the_sealers_are_bounded(monkeypatch):
    monkeypatch.setattr(sealing, "MOST_SEALERS", 3)
    seals = Seals(Sealing(keyring=StoredKeys([KEY])))
    made = [seals.sealer(Key(n, STREAM, bytes(32)), SEALED[0]) for n in range(5)]
    assert len(seals._sealers) == 3
    assert seals.sealer(Key(4, STREAM, bytes(32)), SEALED[0]) is made[4]


@pytest.mark.parametrize(("versions", "capabilities"), [((3,), [Capability.NDARRAY_BIN]), (V4, [Capability.TEMPLATES])])
def test_nothing_is_sent_in_plain_from_the_moment_on_at_which_a_stream_is_sealed(versions, capabilities):
    """Subscriptions of those that cannot open it end a moment later."""

    async def main():
        keyring = StoredKeys([])
        handler = sealing_handler(keyring=keyring)
        async with (
            serving(handler) as url,
            client(url, versions, capabilities) as viewer,
            viewer.subscribe(STREAM) as subscription,
        ):
            await handler.publish(STREAM, DATA, ecg(0))
            await take(subscription)
            await asyncio.sleep(0.02)
            before = viewer.stats()["received_bytes"]
            keyring.add(KEY)
            for n in range(3):
                await handler.publish(STREAM, DATA, ecg(n, gain=5.0 + n))  # in version 4, with another template
            await asyncio.sleep(0.05)
            assert viewer.stats()["received_bytes"] == before
            assert subscription.waiting == 0

    run(main())


def test_a_stream_whose_keys_have_ended_is_denied_as_a_sealed_one():
    async def main():
        handler = sealing_handler([Key(9, STREAM, bytes(32), ends=5.0)])
        async with serving(handler) as url, client(url, (3,), [Capability.ACK]) as old:
            with pytest.raises(AuthenticationFailed, match="this stream is sealed"):
                async with old.subscribe(STREAM):
                    pass
            assert handler._seals.seals(STREAM)

    run(main())


def test_an_attestation_of_another_key_is_none_of_the_own_chain():
    """Servers with another key write theirs to the same stream of Redis."""
    own, other = SigningKey(bytes(range(32))), SigningKey(bytes(32))
    attester = StreamAttester(own, STREAM, 1000)
    theirs = Attester(other, STREAM, 1000)
    theirs.add_digest(bytes(32))
    attester.follow(theirs.attest(), 1)
    assert attester.latest.number == 0
    ours = Attester(own, STREAM, 1000)
    ours.add_digest(bytes(32))
    attester.follow(ours.attest(), 2)
    assert (attester.latest.number, attester.latest.position) == (1, 2)

# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Alerts and predictions that a server signs, and viewers that verify them."""

import time

import numpy as np
import pytest
from cases import each_case
from running import run
from server.test_sealed_streams import client, serving, take

import ecgframe
from ecgframe import Flag, MessageType
from ecgframe.protocol import Capability
from ecgframe.server import Sealing, WebSocketBinaryHandler
from ecgframe.session import Settings

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys
from ecgframe.signing import SigningKey

STREAM = "ecg/1"
SIGNER = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(32))
DATA, ALERT, PREDICTION = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT
V4 = (1, 2, 3, 4)


def signing_handler(**options):
    settings = Settings(versions=V4, keys_without_tls=True)
    return WebSocketBinaryHandler(settings=settings, **{"signer": SIGNER, **options})


def alert(**fields):
    return {"kind": "asystole", "timestamp": time.time(), **fields}


def ecg():
    return {"signal": np.zeros((2, 12), "int16"), "sampling_rate": 500, "timestamp": time.time()}


def verifying(url, *signers, required=(), versions=V4, **options):
    settings = Settings(versions=versions, require_signature=frozenset(required))
    return ecgframe.connect(url, settings=settings, signers=[one.public for one in signers], **options)


def test_alerts_and_predictions_are_signed_and_verified():
    async def main():
        handler = signing_handler()
        async with serving(handler) as url, verifying(url, SIGNER) as viewer, verifying(url, OTHER) as stranger:
            async with viewer.subscribe(STREAM) as one, stranger.subscribe(STREAM) as two:
                await handler.publish(STREAM, ALERT, alert())
                await handler.publish(STREAM, PREDICTION, {"label": "AF", "timestamp": time.time()})
                await handler.publish(STREAM, DATA, ecg())
                found = {message.type: message.signature for message in await take(one, 3)}
                assert found == {ALERT: "valid", PREDICTION: "valid", DATA: None}
                found = {message.type: message.signature for message in await take(two, 3)}
                assert found == {ALERT: "unknown signer", PREDICTION: "unknown signer", DATA: None}

    run(main())


def test_other_viewers_get_the_same_without_a_signature():
    async def main():
        handler = signing_handler()
        async with serving(handler) as url, client(url, (1,), []) as old, client(url) as plain:
            async with old.subscribe(STREAM) as one, plain.subscribe(STREAM) as two:
                await handler.publish(STREAM, ALERT, alert())
                for subscription in (one, two):
                    [message] = await take(subscription)
                    assert message.data["kind"] == "asystole"
                    assert not message.flags & Flag.SIGNED
                    assert message.signature is None

    run(main())


def test_a_large_alert_is_signed_as_well():
    async def main():
        handler = signing_handler()
        async with serving(handler) as url, verifying(url, SIGNER) as viewer, viewer.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, ALERT, alert(message="x" * 5000))
            [message] = await take(subscription)
            assert (message.signature, len(message.data["message"])) == ("valid", 5000)

    run(main())


def test_a_sealed_stream_is_signed_inside():
    async def main():
        handler = signing_handler(sealing=Sealing(keyring=StoredKeys([Key(9, STREAM, bytes(range(32)))])))
        async with serving(handler) as url, verifying(url, SIGNER) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await handler.publish(STREAM, ALERT, alert())
                [message] = await take(subscription)
                assert message.signature == "valid"
                assert message.flags & Flag.SIGNED
                assert message.flags & Flag.ENCRYPTED

    run(main())


@each_case(
    ("signers", "signs", "reason"),
    [((SIGNER,), False, "is not signed"), ((OTHER,), True, "is signed by nobody known")],
    ids=["unsigned", "another signer"],
)
def test_a_viewer_can_insist(signers, signs, reason):
    async def main():
        errors = []
        handler = signing_handler(**({} if signs else {"signer": None}))
        async with (
            serving(handler) as url,
            verifying(url, *signers, required=[ALERT], on_error=errors.append) as viewer,
        ):
            async with viewer.subscribe(STREAM) as subscription:
                await handler.publish(STREAM, ALERT, alert())
                await handler.publish(STREAM, DATA, ecg())
                [message] = await take(subscription)
                assert message.type is DATA
        assert (errors[0].code, errors[0].check) == (0x202, 14)
        assert reason in str(errors[0])

    run(main())


def test_signed_messages_need_a_timestamp():
    async def main():
        async with signing_handler() as handler:
            with pytest.raises(ValueError, match="timestamp"):
                await handler.publish(STREAM, ALERT, {"kind": "x"})
            with pytest.raises(ValueError, match="timestamp"):
                await handler.publish(STREAM, DATA, {"signal": [1]})

    run(main())


def test_the_capability():
    assert Capability.SIGNING not in Settings(versions=V4).capabilities
    assert Capability.SIGNING in Settings(versions=V4).with_signing.capabilities
    earlier = Settings(versions=(1, 2, 3))
    assert earlier.with_signing == earlier
    with pytest.raises(ValueError, match="data messages"):
        Settings(require_signature=frozenset({MessageType.PING}))
    with pytest.raises(ValueError, match="only version 4"):
        Settings(versions=(1, 2, 3), capabilities=frozenset({Capability.SIGNING}))

"""Clients of one version that never negotiate, against a server that supports all versions."""

import asyncio
import struct

import numpy as np
import oracle
import pytest
from running import run
from server import old_clients
from server.engines import ENGINES, client
from server.old_clients import OldClient

from ecgframe import Flag, MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

STREAM = "ecg/bed-7"
LEADS = np.random.default_rng(3).normal(size=(2, 400)).astype("float32")
PUBLISHED = [
    (MessageType.ECG_DATA, {"signal": np.array([0.5, -0.25]), "sampling_rate": 250}, 0),
    (MessageType.ECG_DATA, {"signal": LEADS, "sampling_rate": 500.0, "leads": ["I", "II"]}, 0),
    (MessageType.ECG_DATA, {"signal": np.zeros(3000, "int16"), "sampling_rate": 500, "sequence": 2**40}, 0),
    (MessageType.ECG_DATA, {"signal": [1, -200, 70_000], "sampling_rate": 1}, Flag.PRIORITY),
    (MessageType.ANOMALY_ALERT, {"kind": "Vorhofflimmern µ", "timestamp": 1.5, "confidence": 1}, Flag.ACK_REQUIRED),
    (MessageType.PREDICTION_RESULT, {"label": "sinus", "probabilities": {"sinus": 0.75}}, 0),
    (MessageType.FEATURE_DATA, {"features": {"rr": np.array([0.8]), "flags": np.array([True])}, "raw": b"\x00\xff"}, 0),
]
COMPRESSED = {1: 0, 2: 2, 3: 2}
"""Number of compressed messages, by version."""

each_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
each_version = pytest.mark.parametrize("version", [1, 2, 3])


def serving(engine, conversation, **options):
    async def serve():
        handler = WebSocketBinaryHandler(**options)
        async with handler, engine(handler) as port:
            await conversation(handler, f"ws://127.0.0.1:{port}/ws", port)

    run(serve())


def plain(value):
    """A value as an old client without arrays reads it."""
    if isinstance(value, np.ndarray):
        return {"__ndarray__": value.tolist(), "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value


@each_engine
@each_version
def test_an_old_client_completes_a_subscription(engine, version):
    async def conversation(handler, url, port):
        old = await OldClient.connect(version, url)
        await old.subscribe(STREAM)
        for kind, data, flags in PUBLISHED:
            await handler.publish(STREAM, kind, data, flags)
            got, _, received = await old.receive()  # one at a time, so that urgent messages do not overtake
            assert (got, received) == (kind, plain(data) | {"stream": STREAM})
        assert old.inflated == COMPRESSED[version]
        await old.send(old_clients.UNSUBSCRIBE, {"stream": STREAM})
        assert (await old.receive())[2] == {"stream": STREAM, "status": "unsubscribed"}
        await old.close()

    serving(engine, conversation)


@each_version
def test_direct_messages_and_broadcasts_reach_an_old_client(version):
    async def conversation(handler, url, port):
        old = await OldClient.connect(version, url)
        await old.send(old_clients.PING, {"n": 1})
        assert await old.receive() == (old_clients.PONG, 0, {"n": 1})
        [connection] = handler.connections()
        assert (connection.version, connection.negotiated) == (version, False)
        for kind, data, flags in PUBLISHED:
            await handler.send_message(connection.id, kind, data, flags | Flag.BROADCAST)
            got, _, received = await old.receive()
            assert (got, received) == (kind, plain(data))
        for kind, data, flags in PUBLISHED:
            await handler.broadcast(kind, data, flags)
            got, _, received = await old.receive()
            assert (got, received) == (kind, plain(data))
        await old.close()

    serving(ENGINES["websockets"], conversation)


@each_version
def test_control_messages_of_an_old_client(version):
    async def conversation(handler, url, port):
        old = await OldClient.connect(version, url)
        await old.send(old_clients.VERSION_CHECK, {"version": version})
        kind, _, answer = await old.receive()
        assert (kind, answer) == (
            old_clients.VERSION_CHECK,
            {"version": version, "compatible": True, "versions": [1, 2, 3, 4]},
        )
        await old.send(old_clients.SUBSCRIBE, {})
        kind, _, answer = await old.receive()
        assert (kind, answer["code"]) == (old_clients.ERROR, 0x201)
        await old.send(old_clients.ECG_DATA, {"signal": 1.5, "stream": STREAM})
        kind, _, answer = await old.receive()
        assert (kind, answer["code"]) == (old_clients.ERROR, 0x203)
        assert (await old.receive())[0] == old_clients.HEARTBEAT  # there were no other messages
        await old.close()

    serving(ENGINES["websockets"], conversation, settings=Settings(heartbeat_interval=0.2))


def test_old_and_new_watch_together():
    """One publication in four encodings, each for its viewers."""

    async def conversation(handler, url, port):
        olds = [await OldClient.connect(version, url) for version in (1, 2, 3)]
        for old in olds:
            await old.subscribe(STREAM)
        async with client(port, capabilities=["ndarray-bin", "compression", "batch", "priority"]) as new:
            await new.subscribe(STREAM)
            for kind, data, flags in PUBLISHED:
                await handler.publish(STREAM, kind, data, flags)
            async with asyncio.timeout(5):
                for kind, data, _ in PUBLISHED:
                    assert oracle.same((await new.receive()).data, data | {"stream": STREAM})
                    for old in olds:
                        got, _, received = await old.receive()
                        assert (got, received) == (kind, plain(data) | {"stream": STREAM})
        for old in olds:
            await old.close()

    serving(ENGINES["websockets"], conversation)


# --- the clients themselves refuse what they should ---


@pytest.mark.parametrize(
    "frame",
    [
        oracle.encode_frame(0x01, {}, 3),
        oracle.encode_frame(0x01, {}, 2),
        oracle.frame(1, 0x01, oracle.PRIORITY, b"\x80"),
        oracle.frame(1, 0x01, oracle.COMPRESSED, b"\x80"),
        oracle.frame(1, 0x42, 0, b"\x80"),
        oracle.encode_frame(0x01, {"signal": np.array([1.0])}, 1, ndarray="binary"),
        oracle.encode_frame(0x22, {"stream": "x", "from": 1.0}, 1),
        oracle.encode_frame(0x10, {}, 1) * 2,
        oracle.frame(1, 0x01, 0, b"\xc7\x01\x05\x00"),
        "text",
    ],
)
def test_a_v1_client_refuses_what_v1_does_not_have(frame):
    with pytest.raises((old_clients.Undefined, struct.error)):
        OldClient(1, None).read(frame, 1)

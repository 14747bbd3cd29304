"""What a release that knows versions 1 to 3 only sends, as a server and as a client.

``tests/vectors/release-v3.json`` holds it, recorded from the last release before version 4:
``PYTHONPATH=RELEASE python tests/old_release.py tests/vectors/release-v3.json``. The courses use only what that release
has, and virtual time, so the same course makes the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
from server.memory_link import MemoryLink
from virtual_time import run_virtually

from ecgframe import Codec, Flag, MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import ClientSession, Negotiated, Received, Settings

FILE = Path(__file__).parent / "vectors" / "release-v3.json"
STREAM = "ecg/bed-7"
EPOCH = 1_705_314_645_000_000
ALL = ["ack", "batch", "broadcast", "compression", "ndarray-bin", "priority", "timestamps"]

COUNTS = (np.arange(600).reshape(12, 50) % 97 - 40).astype("int16")
PUBLISHED = [
    (
        MessageType.ECG_DATA,
        {"signal": COUNTS, "sampling_rate": 1000, "sequence": 0, "timestamp": 1.5, "gain": 800.0},
        0,
    ),
    (MessageType.ECG_DATA, {"signal": COUNTS / 800, "sampling_rate": 1000, "sequence": 1, "leads": ["I", "II"]}, 0),
    (MessageType.ECG_DATA, {"signal": [1, -200, 70_000], "sampling_rate": 250}, Flag.PRIORITY),
    (MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5, "confidence": 1}, Flag.ACK_REQUIRED),
    (MessageType.PREDICTION_RESULT, {"label": "sinus", "probabilities": {"sinus": 0.75}}, 0),
    (MessageType.FEATURE_DATA, {"features": {"rr": np.array([0.8])}, "raw": b"\x00\xff", "text": "ecg " * 1000}, 0),
]

CLIENTS = {
    "version 1, silent": (1, None),
    "version 2, negotiated": (2, ["compression"]),
    "version 3, everything": (3, ALL),
    "version 3, nothing": (3, []),
}
"""Version and capabilities of each client; without capabilities, it does not negotiate."""


def told_by(version, capabilities, since=None):
    """The messages of a client: its choice, a subscription and requests."""
    codec = Codec(version=version, compression=None)
    stamp = {"timestamp": EPOCH} if version == 3 else {}
    wish = {"stream": STREAM} if since is None else {"stream": STREAM, "since": since}
    choice = {"version": version, "capabilities": capabilities}
    first = [] if capabilities is None else [Codec(version=1).encode(MessageType.PROTOCOL_NEGOTIATION, choice)]
    return [
        *first,
        codec.encode(MessageType.SUBSCRIBE, wish, **stamp),
        codec.encode(MessageType.PING, {"n": [1, "µV", 0.5]}, **stamp),
        codec.encode(MessageType.VERSION_CHECK, {"version": 1, "compatible": True}, **stamp),
        codec.encode(MessageType.HEARTBEAT, {"timestamp": 1.5}, **stamp),
    ]


def server_course(told, settings=None):
    """Return what a server sends to each client.

    Args:
        told: the messages of each client, by its name.
        settings: of the server; by default, its own.

    Returns:
        The messages by the name of the client; those of clients that came back with ``since`` have ", back" behind it.
    """

    async def course():
        loop = asyncio.get_running_loop()
        sent = {}
        options = {} if settings is None else {"settings": settings}
        async with WebSocketBinaryHandler(clock=lambda: EPOCH + round(loop.time() * 1e6), **options) as handler:
            links = {name: MemoryLink() for name in told}
            tasks = [asyncio.create_task(handler.handle(link)) for link in links.values()]
            await asyncio.sleep(0.01)
            for name, link in links.items():
                for message in told[name]:
                    link.pass_on(message)
                await asyncio.sleep(0.01)
            for type, data, flags in PUBLISHED:
                await handler.publish(STREAM, type, data, flags)
                await asyncio.sleep(0.05)
            await asyncio.sleep(20)  # alerts come again, heartbeats go out
            for name, link in links.items():
                sent[name] = list(link.sent)
                link.abort()
            await asyncio.gather(*tasks)
            for name in [name for name in told if CLIENTS[name][0] == 3]:
                back = MemoryLink()
                task = asyncio.create_task(handler.handle(back))
                await asyncio.sleep(0.01)
                for message in told_by(*CLIENTS[name], since=first_of(sent[name]) / 1e6):
                    back.pass_on(message)
                await asyncio.sleep(1)
                sent[f"{name}, back"] = list(back.sent)
                back.abort()
                await task
        return sent

    return run_virtually(course())


def first_of(sent):
    """The timestamp of the first ECG_DATA that was sent."""
    return next(
        message.timestamp
        for octets in sent
        for message in Codec().decode_all(octets)
        if message.type is MessageType.ECG_DATA
    )


def client_course(told, settings=None):
    """Return what a client sends that hears these messages of a server, and the messages that it received.

    Args:
        told: the messages of the server.
        settings: of the client; by default, its own.
    """
    now = 0.0
    session = ClientSession(settings or Settings(), iter(range(EPOCH, EPOCH + 10**6)).__next__)
    sent, received = [], []

    def say():
        while (message := session.next_message(now)) is not None:
            sent.append(message)

    session.start(now)
    say()
    for message in told:
        now += 0.01
        for event in session.receive(message, now):
            if isinstance(event, Negotiated):
                session.subscribe(STREAM)
                session.ping(now)
                alert = {"kind": "bradycardia", "timestamp": 2.5, "stream": STREAM}
                session.send(MessageType.ANOMALY_ALERT, alert, flags=Flag.ACK_REQUIRED)
                signal = {"signal": COUNTS, "sampling_rate": 1000, "stream": STREAM}
                session.send(MessageType.ECG_DATA, signal)
            elif isinstance(event, Received):
                received.append(event.message)
                session.acknowledge(event.message)
        say()
    session.unsubscribe(STREAM)
    say()
    return sent, received


def record(path):
    """Record the courses of the package that is imported."""
    told = {name: told_by(*client) for name, client in CLIENTS.items()}
    servers = server_course(told)
    clients = {}
    for name in CLIENTS:
        if CLIENTS[name][0] == 3:
            clients[name] = client_course(servers[name])[0]
    text = {
        "told": {name: [message.hex() for message in messages] for name, messages in told.items()},
        "servers": {name: [message.hex() for message in messages] for name, messages in servers.items()},
        "clients": {name: [message.hex() for message in messages] for name, messages in clients.items()},
    }
    path.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))

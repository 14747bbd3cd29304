"""The cases about version 4, on the handler, on the clients, and on peers that break them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import count, repeat

import numpy as np
import pytest
from running import run
from tools import broken_servers
from tools.broken_servers import STREAM

from ecgframe import Codec, Flag, MessageType, ProtocolError, connect, decode, encode
from ecgframe.client import ConnectionLost
from ecgframe.compression import zstd
from ecgframe.protocol import VERSIONS, Form
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.session import RateLimit
from ecgframe.session import Settings as SessionSettings
from ecgframe.tools.conformance.cases import Verdict
from ecgframe.tools.conformance.of_clients import CLIENTS
from ecgframe.tools.conformance.of_servers import SERVERS
from ecgframe.tools.conformance.runner import run_on_clients, run_on_server
from ecgframe.tools.conformance.transcript import Settings

pytestmark = pytest.mark.slow

NEW = SessionSettings(versions=VERSIONS, rate_limit=RateLimit())
QUICK = Settings(timeout=1.0, patience=3.0, stream=STREAM)
SAMPLES = np.arange(600, dtype="int16").reshape(2, 300)
OFFER, PING, PONG = MessageType.PROTOCOL_NEGOTIATION, MessageType.PING, MessageType.PONG


def same(octets):
    return octets


@asynccontextmanager
async def spoilt(incoming=same, outgoing=same):
    """Run the handler behind a relay that changes messages; None swallows one. Yields the URL."""
    async with WebSocketBinaryHandler(settings=NEW) as handler, serve(handler, "127.0.0.1", 0) as server:

        async def publish():
            for number in count():
                ecg = {"signal": SAMPLES, "sampling_rate": 250, "timestamp": number / 20}
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg)
                await asyncio.sleep(0.02)

        async def relay(client):
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with broken_servers.websockets.connect(url, compression=None, max_size=None) as target:
                await asyncio.wait(
                    [
                        asyncio.ensure_future(pass_on(client, target, incoming)),
                        asyncio.ensure_future(pass_on(target, client, outgoing)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                await client.close(target.close_code or 1000)

        publishing = asyncio.create_task(publish())
        async with broken_servers.serve(relay, "127.0.0.1", 0, compression=None, max_size=None) as front:
            yield f"ws://127.0.0.1:{front.sockets[0].getsockname()[1]}"
        publishing.cancel()


async def pass_on(source, target, change):
    with suppress(broken_servers.websockets.ConnectionClosed):
        async for octets in source:
            if (changed := change(octets)) is not None:
                await target.send(changed)


def of_type(type, change):
    return lambda octets: change(octets) if octets and octets[1] == type else octets


def swallow(octets):
    return None


def chosen(**changes):
    """Let the server hear another choice than the client made."""

    def change(octets):
        message = decode(octets)
        return encode(OFFER, {**message.data, **changes}, **{"version": 1})

    return of_type(OFFER, change)


def field(type, **changes):
    """Change fields of a control message of version 4; those without a value are removed."""

    def change(octets):
        message = decode(octets)
        told = {**message.data, **{name: make(message.data) for name, make in changes.items()}}
        kept = {name: value for name, value in told.items() if value is not None}
        return Codec(version=message.version, compression=None).encode(type, kept, timestamp=message.timestamp)

    return of_type(type, change)


def without_templates(octets):
    if octets[1] == MessageType.STREAM_TEMPLATE:
        return None
    return field(MessageType.SUBSCRIPTION_ACK, templates=lambda told: [])(octets)


def only_once(octets):
    """Make every number of the stream the same."""
    in_line = octets[0] == 4 and octets[1] == MessageType.ECG_DATA
    return octets[:24] + (5).to_bytes(8, "big") + octets[32:] if in_line else octets


def in_version_3(octets):
    message = decode(octets)
    return encode(PONG, message.data, timestamp=message.timestamp)


def taking_every_epoch():
    """Answer with the epoch that was asked for."""
    asked = []

    def note(told):
        asked.append(told.get("epoch"))
        return told.get("epoch")

    return {
        "incoming": field(
            MessageType.SUBSCRIBE, epoch=lambda told: asked.append(told.get("epoch")) or told.get("epoch")
        ),
        "outgoing": field(MessageType.SUBSCRIPTION_ACK, epoch=lambda told: asked[-1] or told["epoch"]),
    }


def without_bulk(octets):
    in_line = octets[0] == 4 and octets[1] == MessageType.ECG_DATA
    return octets[:19] + bytes([octets[19] & ~Form.BULK]) + octets[20:] if in_line else octets


def without_fragments(octets):
    return None if octets[0] == 4 and octets[2] & Flag.FRAGMENT else octets


ACK, SUBSCRIBE = MessageType.SUBSCRIPTION_ACK, MessageType.SUBSCRIBE
BROKEN_SERVERS = {
    "ignores fragments": (
        "14.19",
        {"incoming": lambda octets: None if octets[0] == 4 and octets[2] & 0x20 else octets},
    ),
    "talks in version 3 all the same": ("14.1", {"outgoing": of_type(PONG, in_version_3)}),
    "takes version 4 before it is agreed": ("14.2", {"incoming": of_type(PING, swallow)}),
    "binds to who chose version 3": ("14.3", {"outgoing": field(ACK, id=lambda told: 1)}),
    "binds by half": ("14.4", {"outgoing": field(ACK, epoch=lambda told: None)}),
    "names templates that come later": (
        "14.4",
        {"outgoing": field(ACK, next=lambda told: 1 if told.get("templates") else told.get("next"))},
    ),
    "does not count": ("14.5", {"outgoing": only_once}),
    "keeps its templates": ("14.6", {"outgoing": without_templates}),
    "sends records to everyone": ("14.7", {"incoming": chosen(capabilities=["templates"])}),
    "filters for everyone": ("14.8", {"incoming": chosen(capabilities=["templates", "delta"])}),
    "sends again what is there": (
        "14.9",
        {"incoming": field(SUBSCRIBE, after=lambda told: told["after"] - 1 if "after" in told else None)},
    ),
    "takes every epoch for its own": ("14.10", taking_every_epoch()),
    "binds what ends": ("14.11", {"outgoing": field(ACK, id=lambda told: 1)}),
    "begins anew when asked again": ("14.12", {"incoming": field(SUBSCRIBE, since=lambda told: 0.0)}),
    "takes short headers": ("14.13", {"incoming": lambda octets: None if len(octets) == 31 else octets}),
    "takes any form": ("14.14", {"incoming": of_type(PING, lambda octets: octets[:19] + b"\0" + octets[20:])}),
    "takes numbered control": ("14.15", {"incoming": of_type(PING, lambda octets: octets[:31] + b"\0" + octets[32:])}),
    "takes templates in version 3": ("14.16", {"incoming": of_type(MessageType.STREAM_TEMPLATE, swallow)}),
    "sends history as if it were live": ("14.20", {"outgoing": without_bulk}),
    "does not end a history": (
        "14.20",
        {"outgoing": field(ACK, history=lambda told: told.get("history") if told["status"] == "subscribed" else None)},
    ),
    "ignores LZ4": ("14.21", {"incoming": of_type(PING, swallow)}),
    "ignores zstd": ("14.22", {"incoming": of_type(PING, swallow)}),
    "takes any LZ4": ("14.23", {"incoming": lambda octets: None if octets[1:3] == bytes([PING, 1]) else octets}),
    "sends more than is taken": ("14.24", {"incoming": chosen(max_payload=None)}),
    "names a place behind the present": (
        "14.25",
        {"outgoing": field(ACK, next=lambda told: told["next"] + 1 if "next" in told else None)},
    ),
    "takes frames of any id": ("14.17", {"incoming": of_type(MessageType.ECG_DATA, swallow)}),
}


async def results_of(url, cases):
    return [result async for result in run_on_server(url, cases, QUICK)]


def test_the_handler_passes_all():
    async def talk():
        async with spoilt() as url:
            return await results_of(url, SERVERS.cases(("14",)))

    results = run(talk())
    without = {"14.22"} if not zstd.is_available() else set()
    failed = [(one.case.number, one.reason) for one in results if one.verdict is not Verdict.PASSED]
    assert {number for number, _ in failed} == without, failed
    assert len(results) == 25


def test_a_server_of_versions_1_to_3_is_not_asked():
    async def talk():
        settings = SessionSettings(versions=(1, 2, 3))
        async with WebSocketBinaryHandler(settings=settings) as handler, serve(handler, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await results_of(url, SERVERS.cases(("14",)))

    assert {one.verdict for one in run(talk())} == {Verdict.SKIPPED}


@pytest.mark.parametrize("name", BROKEN_SERVERS)
def test_a_broken_server_fails_in_the_case_that_is_meant_for_it(name):
    number, changes = BROKEN_SERVERS[name]

    async def talk():
        async with spoilt(**changes) as url:
            if number == "14.4":  # so that there is a template before the next viewer
                await results_of(url, SERVERS.cases(("14.6",)))
            return await results_of(url, SERVERS.cases((number,)))

    if number == "14.21" and not zstd.is_available():
        pytest.skip("the library for zstd is not installed")
    [result] = run(talk())
    assert result.verdict is Verdict.FAILED, (result.verdict, result.reason)


# --- clients ---


async def run_client(live, cases):
    """Run cases with a client that runs ``live`` for each of its connections."""
    port = asyncio.get_running_loop().create_future()

    async def again():
        url = f"ws://127.0.0.1:{await port}"
        while True:
            await live(url)

    client = asyncio.create_task(again())
    try:
        suite = run_on_clients("127.0.0.1", 0, cases, Settings(patience=5, timeout=1), port.set_result)
        return [result async for result in suite]
    finally:
        client.cancel()
        await asyncio.wait({client})


def client_of(versions):
    async def take(messages):
        async for _ in messages:
            pass

    async def live(url):
        settings = SessionSettings(versions=versions)
        try:
            async with connect(url, settings=settings, reconnect_delays=lambda: repeat(0.01)) as client:
                await asyncio.gather(take(client.subscribe(STREAM, catch_up=10)), take(client.messages()))
        except (ConnectionLost, OSError):
            pass

    return live


def test_our_client_passes_all():
    results = run(run_client(client_of(VERSIONS), CLIENTS.cases()))
    assert [(one.case.number, one.reason) for one in results if one.verdict is not Verdict.PASSED] == []


def test_a_client_of_versions_1_to_3_is_not_asked():
    results = run(run_client(client_of((1, 2, 3)), CLIENTS.cases(("6",))))
    passed = [one.case.number for one in results if one.verdict is not Verdict.SKIPPED]
    assert passed == ["6.2"]  # it refuses version 4, as it has to


def spoilt_client(answer, **wish):
    """A client that negotiates version 4, subscribes, and answers messages as told."""

    async def live(url):
        codec = Codec(version=4, compression=None)
        async with broken_servers.websockets.connect(url) as websocket:
            try:
                async for octets in websocket:
                    if octets[1] == OFFER:
                        choice = {"version": 4, "capabilities": ["ack", "priority", "templates", "delta", "fragments"]}
                        await websocket.send(encode(OFFER, choice, **{"version": 1}))
                        await websocket.send(codec.encode(SUBSCRIBE, {"stream": STREAM, **wish}))
                    else:
                        for reply in answer(octets, codec):
                            await websocket.send(reply)
            except (ProtocolError, broken_servers.websockets.ConnectionClosed):
                await websocket.close()

    return live


def acknowledging(octets, codec):
    """Acknowledge whatever asks for it, and answer PING."""
    if octets[1] == PING:
        return [codec.encode(PONG, decode(octets).data)]
    stamp = int.from_bytes(octets[11:19], "big")
    return [codec.encode(PONG, {"ack": stamp, "type": octets[1]})] if octets[2] & 0x10 else []


def refusing(octets, codec):
    """Refuse all records, without the reason."""
    if octets[0] == 4 and octets[19] & Form.RECORD:
        return [codec.encode(MessageType.ERROR, {"code": 0x200, "message": "no"})]
    return acknowledging(octets, codec)


def in_3(octets, codec):
    return [encode(PONG, decode(octets).data)] if octets[1] == PING else []


BROKEN_CLIENTS = {
    "talks in version 3 all the same": ("6.1", spoilt_client(in_3)),
    "takes version 4 before it is agreed": ("6.2", spoilt_client(acknowledging)),
    "reads no records": ("6.3", spoilt_client(refusing)),
    "reads no later templates": ("6.4", spoilt_client(refusing)),
    "gives no reason": ("6.5", spoilt_client(refusing)),
    "takes unknown templates": ("6.5", spoilt_client(acknowledging)),
    "takes undefined filters": ("6.6", spoilt_client(acknowledging)),
    "takes any template": ("6.7", spoilt_client(acknowledging)),
    "takes half an answer": ("6.8", spoilt_client(acknowledging)),
    "takes any id": ("6.9", spoilt_client(acknowledging)),
    "takes any form": ("6.11", spoilt_client(acknowledging)),
    "puts nothing together": ("6.18", spoilt_client(acknowledging)),
    "takes alerts last": ("6.19", spoilt_client(refusing)),
    "does not miss a fragment": ("6.20", spoilt_client(acknowledging)),
    "takes any fragment": ("6.21", spoilt_client(acknowledging)),
    "comes back from where it was before the gap": (
        "6.22",
        spoilt_client(acknowledging, epoch=1000, after=57, catch_up=5.0),
    ),
    "refuses what it had": ("6.16", spoilt_client(refusing)),
}


@pytest.mark.parametrize("name", BROKEN_CLIENTS)
def test_a_broken_client_fails_in_the_case_that_is_meant_for_it(name):
    number, live = BROKEN_CLIENTS[name]
    [result] = run(run_client(live, CLIENTS.cases((number,))))
    assert result.verdict is Verdict.FAILED, (result.verdict, result.reason)


def test_a_client_that_begins_anew_is_not_said_to_resume():
    results = run(run_client(spoilt_client(acknowledging), CLIENTS.cases(("6.12",))))
    assert [one.verdict for one in results] == [Verdict.SKIPPED]

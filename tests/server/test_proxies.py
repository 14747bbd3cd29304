"""The server behind nginx, HAProxy and Caddy, with their defaults and with the configurations of docs/proxies.md."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from certificates import certificate
from client.servers import impatient
from ports import unused_port
from recordings import optional
from running import run
from server.engines import ENGINES, Port, client, client_context, until, websockets
from server.proxies import KINDS, page_blocks, proxy

from ecgframe import MessageType
from ecgframe.client import State
from ecgframe.server import Proxies, Request, WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.origins import Origins
from ecgframe.session import Settings
from ecgframe.tools.audit_log import AuditLog

pytestmark = pytest.mark.slow

STREAM = "ecg/bed-7"
HEARTBEAT = 0.2
IDLE = 0.8
BURST = 4000
RATE = 1e6
SLOW_VIEWER = Path(__file__).with_name("slow_viewer.py")
UNCOMPRESSED = Settings(rate_limit=None, compression=None)
BACKLOG = Settings(rate_limit=None, compression=None, queue_frames=20_000, queue_bytes=1 << 26)

# Every proxy with both kinds of adapters: those that write at once, and those that can only be awaited.
CASES = [
    pytest.param(name, engine, tls, page, id=f"{name}-{engine}-{'wss' if tls else 'ws'}{'-page' if page else ''}")
    for name in KINDS
    for engine in ("websockets", "starlette")
    for tls in (False, True)
    for page in (False, True)
    if not page or (engine == "websockets") == tls  # the page's configuration does not depend on the adapter
]
each_case = pytest.mark.parametrize(("name", "engine", "tls", "page"), CASES)
each_proxy = pytest.mark.parametrize("name", list(KINDS))


@asynccontextmanager
async def behind(name, directory, engine="websockets", *, page=False, idle=None, **options):
    """Run a handler on a server behind a proxy; yield both."""
    async with WebSocketBinaryHandler(**options) as handler, ENGINES[engine](handler) as port:
        with proxy(name, directory, port, page=page, idle=idle) as running:
            yield handler, running


@pytest.mark.alone
@each_case
def test_frames_and_alerts_arrive_at_once_while_the_viewer_sends_nothing(name, engine, tls, page, tmp_path):
    async def conversation():
        async with (
            behind(name, tmp_path, engine, page=page, settings=UNCOMPRESSED) as (handler, running),
            client(running.port(tls)) as viewer,
        ):
            await viewer.subscribe(STREAM)
            late = []
            for number in range(30):
                type = MessageType.ANOMALY_ALERT if number % 10 == 5 else MessageType.ECG_DATA
                filling = os.urandom(300_000 if number == 15 else 700)
                alert = {"kind": "VT", "timestamp": 0.0} if type is MessageType.ANOMALY_ALERT else {}
                began = time.perf_counter()
                await handler.publish(STREAM, type, alert | {"n": number, "filling": filling})
                assert (await viewer.expect(type.name))["n"] == number
                late.append(time.perf_counter() - began)
            # A processor that is shared makes any single frame late; what is held up on purpose is later by far.
            assert statistics.median(late) < 0.02
            assert max(late) < 0.2

    run(conversation())


@pytest.mark.alone
@each_case
def test_an_alert_overtakes_frames_that_wait_for_a_slow_viewer(name, engine, tls, page, tmp_path):
    """Proxies and kernels buffer megabytes that nothing can overtake, so the server keeps little data in transit."""

    async def conversation():
        async with behind(name, tmp_path, engine, page=page, settings=BACKLOG) as (handler, running):
            async with slow_viewer(running.port(tls), handler) as viewer:
                for number in range(BURST):
                    await handler.publish(STREAM, MessageType.ECG_DATA, {"n": number, "filling": os.urandom(980)})
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "VT", "timestamp": time.monotonic()})
                queued = handler.connections()[0].queued_frames
                told = json.loads((await viewer.communicate())[0])
            ahead = sum(came > told["published"] for came in told["frames"])
            print(f"{ahead} frames, {told['alert'] - told['published']:.3f} s")
            assert ahead <= 100
            assert told["alert"] - told["published"] < 0.5
            assert queued > BURST // 4  # it is slow

    run(conversation())


@each_proxy
def test_the_client_reconnects_when_the_server_behind_the_proxy_is_restarted(name, tmp_path):
    """Meanwhile the proxy answers that the server is unavailable."""

    async def conversation():
        target = unused_port()
        with proxy(name, tmp_path, target) as running:
            url = f"{running.port(False).url}/ws"
            async with AsyncExitStack() as first:
                handler = await first.enter_async_context(WebSocketBinaryHandler())
                await first.enter_async_context(serve(handler, "127.0.0.1", target))
                async with impatient(url) as viewer, viewer.subscribe(STREAM) as stream:
                    await until(lambda: stream.status == "subscribed")
                    await first.aclose()
                    with pytest.raises(websockets.InvalidStatus, match=r"HTTP 50[23]"):
                        await websockets.connect(url)
                    assert viewer.state is State.RECONNECTING
                    async with WebSocketBinaryHandler() as second, serve(second, "127.0.0.1", target):
                        await until(lambda: any(one.streams for one in second.connections()))
                        await second.publish(STREAM, MessageType.ECG_DATA, {"n": 1})
                        assert (await anext(stream)).data["n"] == 1

    run(conversation())


@each_proxy
def test_an_incomplete_handshake_does_not_reach_the_server(name, tmp_path):
    async def conversation():
        heads = []

        async def accept(reader, writer):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            with proxy(name, tmp_path, server.sockets[0].getsockname()[1]) as running:
                port = int(running.port(False))
                half, whole = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
                half[1].write(b"GET /half HTTP/1.1\r\nHost: ecg.example.org\r\n")
                whole[1].write(b"GET /whole HTTP/1.1\r\nHost: ecg.example.org\r\n\r\n")
                assert b" 200 " in await whole[0].readline()
                assert [head.split()[1] for head in heads] == [b"/whole"]
                half[1].write(b"\r\n")
                assert b" 200 " in await half[0].readline()
                for _, writer in (half, whole):
                    writer.close()

    run(conversation())


@asynccontextmanager
async def slow_viewer(port: Port, handler: WebSocketBinaryHandler, *, answers: bool = True):
    """Start a process that watches the stream at 1 MB/s, and ends when an alert has arrived."""
    viewer = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SLOW_VIEWER),
        f"{port.url}/ws",
        str(RATE),
        "PONG" if answers else "SILENT",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "SSL_CERT_FILE": str(certificate()[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until(lambda: viewer.returncode is not None or any(one.streams for one in handler.connections()))
        yield viewer
    finally:
        if viewer.returncode is None:
            viewer.kill()
        await viewer.wait()


@pytest.mark.slow
@each_case
def test_the_client_resumes_without_a_gap_when_the_proxy_is_restarted(name, engine, tls, page, tmp_path):
    async def conversation():
        async with behind(name, tmp_path, engine, page=page, settings=UNCOMPRESSED) as (handler, running):
            port = running.port(tls)
            async with impatient(f"{port.url}/ws", **port.tls) as viewer, viewer.subscribe(STREAM) as stream:
                published = 0

                async def publish():
                    nonlocal published
                    for _ in range(20):
                        await handler.publish(STREAM, MessageType.ECG_DATA, {"n": published})
                        published += 1

                for _ in range(2):
                    await publish()
                    running.stop()
                    await publish()
                    await until(lambda: viewer.state is not State.CONNECTED)
                    running.start()
                    await publish()
                    await until(lambda: viewer.state is State.CONNECTED)
                got = [(await anext(stream)).data["n"] for _ in range(published)]
                assert got == list(range(published))
                assert stream.gap_count == 0
                assert viewer.stats()["connections"] == 3

    run(conversation())


@pytest.mark.slow
@each_proxy
def test_heartbeats_keep_an_idle_connection_open(name, tmp_path):
    async def conversation():
        settings = Settings(heartbeat_interval=HEARTBEAT)
        async with behind(name, tmp_path, idle=IDLE, settings=settings) as (_, running):
            port = running.port(True)
            async with impatient(f"{port.url}/ws", **port.tls) as viewer, viewer.subscribe(STREAM):
                await until(lambda: viewer.stats()["received"].get("HEARTBEAT", 0) > 2 * IDLE / HEARTBEAT)
                assert viewer.stats()["connections"] == 1

    run(conversation())


@pytest.mark.parametrize("name", ["nginx", "haproxy"])  # Caddy has no idle timeout for WebSockets
def test_without_heartbeats_in_time_an_idle_connection_is_closed(name, tmp_path):
    """This shows that heartbeats keep the other connection open."""

    async def conversation():
        async with (
            behind(name, tmp_path, idle=IDLE, settings=Settings(heartbeat_interval=60.0)) as (_, running),
            client(running.port(False)) as viewer,
        ):
            began = time.monotonic()
            await viewer.connection.wait_closed()
            assert 0.5 * IDLE < time.monotonic() - began < 5 * IDLE

    run(conversation())


def headers_of_the_browser(name, directory, engine="websockets", *, page, tls):
    """The request of a browser with forged headers as ``authenticate`` gets it, and the origin of the page."""
    seen = []

    async def authenticate(request):
        seen.append(request)
        return True

    async def conversation():
        async with behind(name, directory, engine, page=page, authenticate=authenticate) as (_, running):
            port = running.port(tls)
            host = f"ecg.example.org:{int(port)}"
            options = {"ssl": client_context(), "server_hostname": "127.0.0.1"} if tls else {}
            async with websockets.connect(
                f"{'wss' if tls else 'ws'}://{host}/ws",
                host="127.0.0.1",
                port=int(port),
                origin=f"{'https' if tls else 'http'}://{host}",
                additional_headers={"X-Forwarded-For": "203.0.113.66"},
                **options,
            ):
                await until(lambda: seen)
        return seen[0], host

    return run(conversation())


@each_proxy
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_origin_of_a_page_is_recognized(name, tls, tmp_path):
    request, host = headers_of_the_browser(name, tmp_path, page=True, tls=tls)
    assert request.headers["host"] == host
    assert Origins(host="0.0.0.0").admits(request.headers["origin"], request.headers["host"])
    assert not Origins(host="0.0.0.0").admits("https://elsewhere.example.org", request.headers["host"])


@each_proxy
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_the_documented_configuration_replaces_forged_addresses(name, tls, tmp_path):
    request, _ = headers_of_the_browser(name, tmp_path, page=True, tls=tls)
    assert request.headers["x-forwarded-for"] == "127.0.0.1"
    assert request.headers["x-forwarded-proto"] == ("https" if tls else "http")


@each_proxy
def test_by_default_only_caddy_replaces_forged_addresses(name, tmp_path):
    request, host = headers_of_the_browser(name, tmp_path, page=False, tls=False)
    assert request.headers["x-forwarded-for"] == ("127.0.0.1" if name == "caddy" else "203.0.113.66")
    assert (request.headers["host"] == host) is (name != "nginx")  # nginx sends the server's own address as Host


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
@pytest.mark.parametrize("page", [False, True], ids=["defaults", "page"])
def test_uvicorn_trusts_the_headers_of_the_proxy(name, page, tmp_path):
    request, _ = headers_of_the_browser(name, tmp_path, "starlette", page=page, tls=False)
    assert request.peer == ("127.0.0.1:0" if page else "203.0.113.66:0")


def test_the_documented_program_trusts_proxies_only():
    names: dict = {}
    exec(page_blocks("python")[0], names)
    seen = names["handler"]._from_proxy
    headers = {"x-forwarded-for": "203.0.113.66, 10.20.0.7"}
    assert seen(Request(headers=headers, peer="127.0.0.1:50000")).peer == "10.20.0.7"
    assert run(names["authenticate"](seen(Request(headers=headers, peer="10.9.0.1:50000"))))
    assert not run(names["authenticate"](seen(Request(headers=headers, peer="192.0.2.1:50000"))))
    assert seen(Request(headers={}, peer="127.0.0.1:50000")).peer == "127.0.0.1:50000"


@each_proxy
@pytest.mark.parametrize("engine", ["websockets", "picows", "starlette", "aiohttp"])
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "not named"])
def test_the_address_behind_a_named_proxy_is_in_audit_log_and_metrics(name, engine, is_named, tmp_path):
    """A viewer at 127.0.0.2 sends a forged header through the documented configuration."""
    optional("prometheus_client")
    from ecgframe.server.prometheus import Exposition

    proxies = Proxies(["127.0.0.1", "unix"] if is_named else ["10.9.0.1"])

    async def conversation():
        async with (
            behind(name, tmp_path, engine, page=True, proxies=proxies) as (handler, running),
            websockets.connect(
                f"ws://127.0.0.1:{int(running.port(False))}/ws",
                local_addr=("127.0.0.2", 0),
                additional_headers={"X-Forwarded-For": "203.0.113.66"},
            ),
        ):
            await until(handler.connections)
            [info] = handler.connections()
            metrics, _ = Exposition(handler).answer("text/plain")
            return info.peer, info.request.proxy, metrics.decode()

    with AuditLog(tmp_path / "audit.jsonl"):
        peer, proxy, metrics = run(conversation())
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    [opened] = [record for record in records if record["event"] == "opened"]
    if is_named:
        assert (peer, opened["peer"]) == ("127.0.0.2", "127.0.0.2")
        assert proxy.startswith("127.0.0.1:")
        assert opened["proxy"] == proxy
        assert 'ecgframe_peer_addresses_total{origin="forwarded"} 1.0' in metrics
    else:
        assert peer.startswith("127.0.0.1:")
        assert opened["peer"] == peer
        assert "proxy" not in opened
        assert 'ecgframe_peer_addresses_total{origin="untrusted"} 1.0' in metrics

"""Commands that connect: certificates, closing, and errors for a missing server, proxy or stream."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar

import numpy as np
import pytest
from certificates import certificate, server_context
from cli.live_server import ENVIRONMENT, live
from cli.server_thread import listening, within_a_thread
from command_line import run
from ports import unused_port
from recordings import optional

from ecgframe import MessageType, encode
from ecgframe.server import WebSocketBinaryHandler

optional("websockets")

from websockets import ServerConnection  # noqa: E402 - after the skip
from websockets.asyncio.server import serve as serve_websockets  # noqa: E402

from ecgframe.server.adapters.websockets import serve  # noqa: E402
from ecgframe.server.pages import Pages  # noqa: E402
from ecgframe.tools.connecting import proxy_for, stream_names  # noqa: E402

ECG = {"signal": np.arange(40, dtype="int16"), "sampling_rate": 400, "stream": "ecg/1"}


class Codes(ServerConnection):
    """Records the close code of connections that both sides have opened; others are pages, or were given up before."""

    seen: ClassVar[list[int | None]] = []
    opened = threading.Event()
    is_open = False

    def data_received(self, data):
        self.is_open = self.response is not None and self.response.status_code == 101
        super().data_received(data)

    def connection_lost(self, exc):
        if self.is_open:
            self.seen.append(self.close_code)
        super().connection_lost(exc)


@contextmanager
def serving(*, tls=False, streams=("ecg/1", "ecg/2")):
    """Run a server in a thread that publishes on ecg/1 and records close codes; yield its port."""
    Codes.seen = []
    Codes.opened.clear()

    async def publish(handler):
        while True:
            await handler.publish("ecg/1", MessageType.ECG_DATA, ECG)
            if handler.stats()["bytes"]["received"]:  # so the client has opened the connection as well
                Codes.opened.set()
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def start():
        options = {"ssl": server_context() if tls else None, "create_connection": Codes}
        async with WebSocketBinaryHandler() as handler:
            pages = Pages(handler, streams)
            async with serve(handler, "127.0.0.1", 0, process_request=pages, **options) as server:
                publishing = asyncio.ensure_future(publish(handler))
                yield server
                publishing.cancel()
                await asyncio.wait([publishing])

    with within_a_thread(start) as port:
        yield port


@pytest.fixture(scope="module")
def server():
    with serving() as port:
        yield port


def closed(count=1):
    """Wait for that many close codes, and return them."""
    deadline = time.monotonic() + 20
    while len(Codes.seen) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return list(Codes.seen)


@pytest.fixture
def recording(tmp_path):
    frames = [encode(MessageType.PROTOCOL_NEGOTIATION, {"version": 3, "capabilities": []}, version=1)]
    frames += [encode(MessageType.ECG_DATA, ECG, timestamp=1_000_000 * number) for number in range(600)]
    (tmp_path / "a.frames").write_bytes(b"".join(frames))
    return tmp_path / "a.frames"


# --- the end ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "URL", "--count", "1"),
        ("inspect", "URL", "--stream", "ecg/1", "--count", "3"),
        ("inspect", "URL", "--stream", "ecg/1", "--seconds", "1", "--summary", "--json"),
        ("sizes", "URL", "--stream", "ecg/1", "--seconds", "1"),
        ("watch", "URL", "ecg/1", "--seconds", "1"),
        ("replay", "FRAMES", "URL", "--speed", "1e9", "--linger", "0.1"),
        ("conformance", "URL", "--case", "1.1"),
    ],
)
def test_commands_that_succeed_close_with_1000(recording, arguments):
    with serving() as port:
        places = {"URL": f"ws://127.0.0.1:{port}/ws", "FRAMES": str(recording)}
        codes = []
        while not codes:  # on a busy machine, the seconds may be over before it is connected
            run(*(places.get(one, one) for one in arguments), code=None)
            codes = [code for code in closed() if code is not None]
    assert set(codes) == {1000}


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (("inspect", "URL", "--stream", "ecg/1"), signal.SIGINT),
        pytest.param(("sizes", "URL", "--stream", "ecg/1", "--seconds", "60"), signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(("watch", "URL", "ecg/1"), signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(("replay", "FRAMES", "URL"), signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_is_a_good_end(recording, arguments, number):
    with serving() as port:
        places = {"URL": f"ws://127.0.0.1:{port}/ws", "FRAMES": str(recording)}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ecgframe", *(places.get(one, one) for one in arguments)],
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert Codes.opened.wait(120)  # it handles signals before it connects
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        codes = closed()
    assert "Traceback" not in said
    assert codes == [1000]


# --- trust ---

COMMANDS = [
    ("watch", "ws", "ecg/1", "--seconds", "1"),
    ("record", "ws", "ecg/1", "-o", "EDF", "--force", "--duration", "1"),
    ("inspect", "ws", "--count", "1"),
    ("sizes", "ws", "--stream", "ecg/1", "--seconds", "1"),
    ("conformance", "ws", "--case", "1.1"),
    ("replay", "FRAMES", "ws", "--speed", "1e9", "--linger", "0.1"),
    ("top", "ws", "--once", "--interval", "0.1"),
]


@pytest.fixture(scope="module")
def secure():
    optional("trustme")
    with serving(tls=True) as port:
        yield port


def at(place, recording, arguments):
    places = {"ws": place, "FRAMES": recording, "EDF": recording.with_suffix(".edf")}
    return [places.get(one, one) for one in arguments]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_server_that_is_not_trusted_is_said_and_can_be(secure, recording, arguments):
    command = at(f"wss://localhost:{secure}/ws", recording, arguments)
    refused = run(*command, code=1)
    assert "its certificate is not trusted: " in refused.output
    assert "--ca FILE" in refused.output
    for options in (("--ca", certificate()[2]), ("--insecure",)):
        trusted = run(*command, *options, code=None)
        assert trusted.code == 0, trusted.output
    assert "is not checked (--insecure)" in trusted.output


def test_a_certificate_of_another_host_is_said(secure):
    refused = run("watch", f"wss://[::ffff:127.0.0.1]:{secure}/ws", "a", "--ca", certificate()[2], code=1)
    assert "not valid for" in refused.output


@pytest.mark.slow
@pytest.mark.parametrize("insecure", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_proxy_trusts_the_target_by_the_same_options(secure, insecure):
    port = unused_port()
    options = ["--insecure"] if insecure else ["--ca", str(certificate()[2])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ecgframe", "proxy", str(port), f"wss://localhost:{secure}", "--quiet", *options],
        env=os.environ | ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "Listening" not in process.stderr.readline():
            pass
        run("inspect", f"ws://127.0.0.1:{port}/ws", "--count", "1")
        assert stream_names(f"ws://127.0.0.1:{port}/ws") == ["ecg/1", "ecg/2"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_trust_is_for_addresses_that_need_it(server, recording, tmp_path, arguments):
    command = at(f"ws://127.0.0.1:{server}/ws", recording, arguments)
    assert "wss://" in run(*command, "--insecure", code=2).output
    (tmp_path / "empty.pem").write_text("nothing")
    secure = at(f"wss://127.0.0.1:{server}/ws", recording, arguments)
    assert "no certificates in it" in run(*secure, "--ca", tmp_path / "empty.pem", code=1).output
    assert "No such file" in run(*secure, "--ca", tmp_path / "nowhere.pem", code=1).output
    assert "cannot be combined" in run(*secure, "--ca", tmp_path / "empty.pem", "--insecure", code=2).output


def test_a_server_without_tls_is_said(server):
    assert (
        "use ws:// or http:// to connect without TLS"
        in run("watch", f"wss://127.0.0.1:{server}/ws", "a", code=1).output
    )


# --- proxies ---


@pytest.fixture
def proxied(monkeypatch):
    """Set a proxy at a port on which nothing listens."""

    def set_proxy(name="http_proxy"):
        for one in ("http", "https", "ws", "wss", "socks", "all", "no"):
            for spelled in (f"{one}_proxy", f"{one}_PROXY".upper()):
                monkeypatch.delenv(spelled, raising=False)
        port = unused_port()
        monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{port}")
        return f"http://127.0.0.1:{port}"

    return set_proxy


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_the_proxy_is_named_that_does_not_answer(server, recording, proxied, arguments):
    proxy = proxied()
    failed = run(*at(f"ws://127.0.0.1:{server}/ws", recording, arguments), code=1)
    assert f"error: the proxy {proxy} (http_proxy): Connection refused (connecting to " in failed.output
    assert "secret" not in failed.output


def test_the_answer_of_a_proxy_is_reported_as_the_proxys(proxied, monkeypatch):
    proxied()

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy\x1b[2J\r\n\r\n")
        await writer.drain()
        writer.close()

    with within_a_thread(lambda: listening(refuse)) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        output = run("watch", "ws://192.0.2.1/ws", "a", code=1).output
    assert f"the proxy http://127.0.0.1:{port}" in output
    assert "\x1b" not in output


def test_which_proxy_is_taken(monkeypatch, proxied):
    proxy = proxied("https_proxy")
    assert proxy_for("wss://a/ws") == proxy_for("ws://a/ws") == f"the proxy {proxy} (https_proxy)"
    assert proxy_for("http://a/metrics") is None
    assert proxy_for("http://a:99999") is None
    monkeypatch.setenv("no_proxy", "a")
    assert proxy_for("wss://a/ws") is None


# --- streams ---


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nope", "[/bold]\x1b[2J"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "ws", "NAME", "--seconds", "0.7"),
        ("watch", "ws", "NAME", "--seconds", "0.7", "--json"),
        ("watch", "ws", "NAME", "--seconds", "0.7", "--samples"),
        ("inspect", "ws", "--stream", "NAME", "--seconds", "0.7"),
        ("inspect", "ws", "--stream", "NAME", "--stream", "ecg/1", "--seconds", "0.7", "--summary", "--json"),
        ("sizes", "ws", "--stream", "NAME", "--seconds", "0.7"),
        ("conformance", "ws", "--stream", "NAME", "--case", "1.1"),
    ],
)
def test_a_stream_that_is_nowhere_is_said(server, arguments, name):
    command = [{"ws": f"ws://127.0.0.1:{server}/ws", "NAME": name}.get(one, one) for one in arguments]
    failed = run(*command, code=1)
    assert f"there is no stream {name!r}; there are 'ecg/1', 'ecg/2'" in failed.output
    assert "\x1b" not in failed.output


def test_a_stream_has_to_be_named_if_there_are_several(server):
    refused = run("watch", f"ws://127.0.0.1:{server}/ws", "--samples", code=1)
    assert "there are 'ecg/1', 'ecg/2'; name the stream to follow" in refused.output
    assert run("watch", "ws://127.0.0.1:1/ws", "--samples", code=1).output.endswith("/ws: Connection refused\n")


def test_a_stream_that_is_silent_is_no_error(server):
    url = f"ws://127.0.0.1:{server}/ws"
    run("watch", url, "ecg/2", "--seconds", "0.5")
    run("inspect", url, "--stream", "ecg/2", "--seconds", "0.5")


def test_a_stream_that_no_file_has_is_said(recording):
    failed = run("inspect", recording, "--stream", "nope", code=1)
    assert "there is no stream 'nope'; there is 'ecg/1'" in failed.output
    assert run("inspect", recording, "--stream", "ecg/1", "--count", "1").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"", b"[]", b'{"streams": [1]}', b"[" * 100_000, b'{"streams": {"a": 1}}'])
def test_a_server_that_lists_no_streams(body):
    """An invalid list of streams counts as a missing one; that no message came is reported."""

    def page(connection, request):
        if request.path != "/streams":
            return None
        response = connection.respond(200, "")
        response.body = body
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(body))
        return response

    async def silent(connection):
        await connection.wait_closed()

    with within_a_thread(lambda: serve_websockets(silent, "127.0.0.1", 0, process_request=page)) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        assert stream_names(url) is None
        said = run("inspect", url, "--stream", "a", "--seconds", "0.3").output
    assert "the server does not list its streams" in said


@pytest.mark.slow
def test_the_list_is_beside_the_websocket():
    with live("--streams", "2") as running:
        assert stream_names(f"ws://127.0.0.1:{running.port}/ws") == ["ecg/1", "ecg/2"]
        failed = run("watch", f"ws://127.0.0.1:{running.port}/ws", "ecg/3", "--seconds", "0.5", "--json", code=1)
        assert json.loads(failed.stdout.splitlines()[-1])["event"] == "summary"

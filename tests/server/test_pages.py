"""The pages beside the WebSockets, asked for over a bare socket: urllib would not send what some peers send."""

import asyncio
import sys
from contextlib import asynccontextmanager

from recordings import optional, uninstall
from running import run
from server.engines import client

from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.pages import Pages

websockets = optional("websockets")


@asynccontextmanager
async def serving():
    """A handler on a server of its own, with pages; gives the port."""
    from ecgframe.server.adapters.websockets import serve

    async with WebSocketBinaryHandler() as handler:
        pages = Pages(handler, ["ecg/1", "ecg/2"])
        async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
            yield server.sockets[0].getsockname()[1]


def ask(request):
    """What a server answers to these bytes until it closes: status line, headers, body."""

    async def asking():
        async with serving() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            status, *headers = head.decode().split("\r\n")
            return status, dict(header.split(": ", 1) for header in headers), body

    return run(asking())


def test_a_page_is_whole_and_the_connection_ends_with_it():
    status, headers, body = ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert (headers["Content-Length"], headers["Connection"], body) == ("3", "close", b"ok\n")


def test_a_header_may_come_twice_or_not_at_all():
    optional("prometheus_client")
    twice = b"Accept: text/html\r\nAccept: application/openmetrics-text; version=1.0.0\r\n"
    _, headers, body = ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + twice + b"\r\n")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    _, headers, body = ask(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert headers["Content-Type"].startswith("text/plain")
    assert int(headers["Content-Length"]) == len(body)


def test_the_overview_names_the_host_as_it_was_asked():
    _, _, body = ask(b"GET / HTTP/1.1\r\nHost: monitor.example:8000\r\n\r\n")
    assert body.decode().splitlines() == [
        "ecgframe: live ECG streams",
        "",
        "http://monitor.example:8000/         the monitor, in a browser",
        "ws://monitor.example:8000/ws         the streams, over WebSocket",
        "http://monitor.example:8000/streams  their names, as JSON",
        "http://monitor.example:8000/healthz  whether the server lives",
        "http://monitor.example:8000/metrics  its numbers, for Prometheus",
        "",
        "Streams:",
        "  ecg/1",
        "  ecg/2",
    ]


def test_a_websocket_elsewhere_is_not_found():
    async def connecting():
        async with serving() as port:
            async with client(port, "/ws?token=1"):
                pass
            try:
                async with client(port, "/elsewhere"):
                    raise AssertionError("it was let in")
            except websockets.InvalidStatus as refused:
                return refused.response.status_code, refused.response.body

    assert run(connecting()) == (404, b"There is nothing here, but at /ws, /healthz, /metrics, /streams and /.\n")


def test_without_prometheus_client_it_says_what_to_install(monkeypatch):
    uninstall(monkeypatch, "prometheus_client")
    monkeypatch.delitem(sys.modules, "ecgframe.server.prometheus", raising=False)
    status, _, body = ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == "HTTP/1.1 404 Not Found"
    assert body == b'/metrics needs prometheus_client, which is not installed: pip install "ecgframe[metrics]"\n'


def test_a_page_from_elsewhere_may_read_the_streams_where_it_may_connect():
    for origin, is_let_in in ((b"http://127.0.0.1:8000", True), (b"https://stranger.example", False)):
        _, headers, body = ask(b"GET /streams HTTP/1.1\r\nHost: a\r\nOrigin: " + origin + b"\r\n\r\n")
        assert headers.get("Access-Control-Allow-Origin") == (origin.decode() if is_let_in else None)
        assert headers["Vary"] == "Origin"
        assert body == b'{"streams": ["ecg/1", "ecg/2"]}'

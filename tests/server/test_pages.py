"""HTTP pages, requested over a plain socket, since urllib does not send some of the requests that peers send."""

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
    """Run a server with pages; yield its port."""
    from ecgframe.server.adapters.websockets import serve

    async with WebSocketBinaryHandler() as handler:
        pages = Pages(handler, ["ecg/1", "ecg/2"])
        async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
            yield server.sockets[0].getsockname()[1]


def ask(request):
    """Send bytes, and return the response: status line, headers, body."""

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


def test_a_response_is_complete_and_closes_the_connection():
    status, headers, body = ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert (headers["Content-Length"], headers["Connection"], body) == ("3", "close", b"ok\n")


def test_headers_may_be_repeated_or_missing():
    optional("prometheus_client")
    twice = b"Accept: text/html\r\nAccept: application/openmetrics-text; version=1.0.0\r\n"
    _, headers, body = ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + twice + b"\r\n")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    _, headers, body = ask(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert headers["Content-Type"].startswith("text/plain")
    assert int(headers["Content-Length"]) == len(body)


def test_the_overview_uses_the_host_of_the_request():
    _, _, body = ask(b"GET / HTTP/1.1\r\nHost: monitor.example:8000\r\n\r\n")
    assert body.decode().splitlines() == [
        "ecgframe: live ECG streams",
        "",
        "http://monitor.example:8000/         the monitor, in a browser",
        "http://monitor.example:8000/wall     all streams on one page",
        "ws://monitor.example:8000/ws         the streams, over WebSocket",
        "http://monitor.example:8000/streams  the names of the streams, as JSON",
        "http://monitor.example:8000/healthz  whether the server is running",
        "http://monitor.example:8000/metrics  metrics for Prometheus",
        "",
        "Streams:",
        "  ecg/1",
        "  ecg/2",
    ]


def test_a_websocket_at_another_path_is_not_found():
    async def connecting():
        async with serving() as port:
            async with client(port, "/ws?token=1"):
                pass
            try:
                async with client(port, "/elsewhere"):
                    raise AssertionError("it was let in")
            except websockets.InvalidStatus as refused:
                return refused.response.status_code, refused.response.body

    assert run(connecting()) == (404, b"Not found. There are /ws, /healthz, /metrics, /streams, /wall and /.\n")


def test_without_prometheus_client_metrics_say_what_to_install(monkeypatch):
    uninstall(monkeypatch, "prometheus_client")
    monkeypatch.delitem(sys.modules, "ecgframe.server.prometheus", raising=False)
    status, _, body = ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == "HTTP/1.1 404 Not Found"
    assert body == b'/metrics needs prometheus_client, which is not installed: pip install "ecgframe[metrics]"\n'


def test_cors_headers_of_the_list_of_streams():
    for origin, is_let_in in ((b"http://127.0.0.1:8000", True), (b"https://stranger.example", False)):
        _, headers, body = ask(b"GET /streams HTTP/1.1\r\nHost: a\r\nOrigin: " + origin + b"\r\n\r\n")
        assert headers.get("Access-Control-Allow-Origin") == (origin.decode() if is_let_in else None)
        assert headers["Vary"] == "Origin"
        assert body == b'{"streams": ["ecg/1", "ecg/2"]}'

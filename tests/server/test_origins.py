"""Which web pages may connect, and the answer of a real server to those that may not."""

import asyncio

import pytest
from cases import each_case
from recordings import optional
from running import run
from server.engines import client

from ecgframe import decode
from ecgframe.records import shipped_ecg
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.origins import Origins
from ecgframe.server.player import Loop

websockets = optional("websockets")

OWN = "monitor.example.org:8765"


@each_case(
    "origin",
    [
        "",
        "http://localhost:5173",
        "http://LOCALHOST",
        "http://app.localhost:3000",
        "http://127.0.0.1:8765",
        "http://127.8.9.1",
        "https://[::1]:8443",
    ],
)
@each_case("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", ""])
def test_pages_of_this_machine_may_connect(origin, host):
    assert Origins(host=host).admits(origin, OWN)


@each_case(
    "origin",
    [
        "null",
        "https://example.org",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org:8765",
        "http://127.0.0.1@example.org",
        "http://10.0.0.7:8765",
        "http://[::1",
        "http://",
        "monitor.example.org:8765",
        "http://127.0.0.1:8765, https://example.org",
    ],
)
@each_case("host", ["127.0.0.1", "0.0.0.0"])
def test_pages_of_other_origins_may_not_connect(origin, host):
    assert not Origins(["https://other.example.org"], host=host).admits(origin, OWN)


def test_the_servers_own_page_may_connect_by_name():
    own = f"http://{OWN}"
    assert Origins(host="0.0.0.0").admits(own, OWN)
    assert Origins(host="10.0.0.7").admits("http://10.0.0.7:8765", "10.0.0.7:8765")
    assert not Origins(host="0.0.0.0").admits("http://monitor.example.org", OWN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_dns_rebinding_is_refused(host):
    assert not Origins(host=host).admits(f"http://{OWN}", OWN)


@pytest.mark.parametrize("allowed", ["https://example.org", "https://example.org/", "HTTPS://EXAMPLE.org", "*"])
def test_allowed_origins(allowed):
    assert Origins([allowed]).admits("https://example.org", OWN)
    assert Origins([allowed]).admits("http://example.org", OWN) == (allowed == "*")
    assert Origins(["null"]).admits("null", OWN)


@pytest.mark.parametrize(
    ("origin", "first"), [("https://example.org", "ERROR"), ("https://ward.example.org", "PROTOCOL_NEGOTIATION")]
)
def test_authenticate_can_check_origins_as_documented(origin, first):
    from ecgframe.server.adapters.websockets import serve

    origins = Origins(["https://ward.example.org"], host="0.0.0.0")

    async def authenticate(request):
        return origins.admits(request.headers.get("origin", ""), request.headers.get("host", ""))

    async def connecting():
        handler = WebSocketBinaryHandler(authenticate=authenticate)
        async with handler, serve(handler, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with websockets.connect(url, origin=origin) as page:
                return decode(await page.recv()).type.name

    assert run(connecting()) == first


def test_a_refused_page_gets_an_explanation():
    from ecgframe.server.live import LiveServer

    async def connecting(origin, **options):
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        server = LiveServer(loop=Loop(shipped_ecg()), streams=("ecg/1",), **options)
        running = asyncio.create_task(server.run(stop, ready.set_result))
        try:
            async with client(await ready, origin=origin) as viewer:
                await viewer.subscribe("ecg/1")
                return None
        except websockets.InvalidStatus as refused:
            return refused.response.status_code, refused.response.body.decode()
        finally:
            stop.set()
            await running

    assert run(connecting("http://localhost:5173")) is None
    assert run(connecting("https://example.org", allowed_origins=("https://example.org",))) is None
    status, words = run(connecting("https://example.org"))
    assert status == 403
    assert words == (
        "Pages of https://example.org may not connect here; "
        "ecgframe serve --allow-origin https://example.org allows it.\n"
    )

"""Subprotocols: which one is selected, and the token among them."""

import pytest
from running import run
from server.engines import ENGINES, websockets

import ecgframe
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.link import Request
from ecgframe.server.subprotocols import bearer_token, choose, offered

each_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))

OFFERS = [
    (["ecgframe", "bearer.abc"], "ecgframe", "abc"),
    (["bearer.abc", "ecgframe"], "ecgframe", "abc"),  # never the token
    (["bearer", "abc"], "bearer", "abc"),
    (["ecgframe"], "ecgframe", None),
    (["another"], None, None),
    (["bearer.abc"], None, "abc"),
    (None, None, None),
]


@each_engine
def test_an_adapter_selects_a_subprotocol_and_authenticate_gets_the_token(engine):
    asked = []

    async def authenticate(request):
        asked.append(request.bearer_token)
        return request.bearer_token or "nobody"

    async def serve():
        handler = WebSocketBinaryHandler(authenticate=authenticate)
        async with handler, engine(handler) as port:
            chosen = []
            for names, _, _ in OFFERS:
                url = f"{port.url}/ws"
                async with websockets.connect(url, subprotocols=names, compression=None) as connection:
                    await connection.recv()
                    chosen.append(connection.subprotocol)
            assert chosen == [name for _, name, _ in OFFERS]
            assert asked == [token for _, _, token in OFFERS]
            async with ecgframe.connect(f"{port.url}/ws", subprotocols=["ecgframe", "bearer.mine"]) as client:
                assert client.state == "connected"
            assert asked[-1] == "mine"
            await handler.close()

    run(serve())


def test_the_accepted_subprotocols_can_be_configured():
    async def serve():
        from ecgframe.server.adapters import websockets as adapter

        handler = WebSocketBinaryHandler()
        async with handler, adapter.serve(handler, "127.0.0.1", 0, subprotocols=["v2.mine", "v1.mine"]) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
            for names, expected in ((["v1.mine", "v2.mine"], "v2.mine"), (["ecgframe"], None)):
                async with websockets.connect(url, subprotocols=names, compression=None) as connection:
                    assert connection.subprotocol == expected
            await handler.close()

    run(serve())


def test_the_header_of_a_request_wins_over_its_subprotocols():
    headers = {"authorization": "Bearer of-the-header", "sec-websocket-protocol": "ecgframe, bearer.of-the-browser"}
    assert Request(headers=headers).bearer_token == "of-the-header"
    assert Request(headers={**headers, "authorization": "Basic dXNlcjpwYXNz"}).bearer_token == "of-the-browser"
    assert Request(headers=headers).subprotocols == ["ecgframe", "bearer.of-the-browser"]
    assert Request(headers={}).bearer_token is None


def test_the_parts_of_the_header():
    assert offered(" a,b , ,c") == ["a", "b", "c"]
    assert choose(["x", "b", "a"], ("a", "b")) == "a"
    assert choose([], ("a",)) is None
    assert bearer_token(["bearer."]) is None
    assert bearer_token(["bearer"]) is None
    assert bearer_token(["bearer.a.b.c"]) == "a.b.c"

"""docs/servers.md: every example is a server that runs."""

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import ports
import pytest
from recordings import optional
from running import run
from server.engines import client, websockets

import ecgframe
from ecgframe import connect
from ecgframe.client import ConnectionLost
from ecgframe.server.adapters.websockets import serve

PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TOKENS = EXAMPLES.pop("Tokens")
RIGHTS = EXAMPLES.pop("Rights that end")
WATCHERS = EXAMPLES.pop("Who watches now")
AUDIT = EXAMPLES.pop("Audit log")
ALGORITHMS = EXAMPLES.pop("zstd and LZ4")
FRAMEWORKS = {
    "Starlette and FastAPI": ("fastapi", "uvicorn"),
    "aiohttp": ("aiohttp",),
    "websockets": ("websockets",),
    "picows": ("picows",),
}


def test_each_adapter_has_an_example():
    assert EXAMPLES.keys() == FRAMEWORKS.keys()
    assert len(EXAMPLES) + 5 == PAGE.count("```python\n")
    for code in EXAMPLES.values():
        assert len([line for line in code.splitlines() if line.strip()]) <= 16


def test_the_choice_of_algorithms_is_limited():
    names = {}
    exec(ALGORITHMS, names)
    assert names["zlib_only"].compression.algorithms == (ecgframe.protocol.Algorithm.ZLIB,)
    assert names["in_the_house"].compression.link_speed == 10e9


def test_the_watchers_are_listed():
    names = {}
    exec(WATCHERS, names)

    async def conversation():
        async with names["handler"] as handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with (
                connect(f"ws://127.0.0.1:{port}/ws", token="f3b0c442") as viewer,
                viewer.subscribe("ecg/bed-7"),
            ):
                return await names["who_watches"]("ecg/bed-7")

    assert run(conversation()) == ["head nurse ward 7"]
    assert run(names["may_see_watchers"](names["Request"](headers={}), "head nurse ward 7", "ecg/bed-7"))


@pytest.mark.slow
def test_the_token_of_a_browser_says_who_it_is():
    names = {}
    exec(TOKENS, names)
    authenticate, request = names["authenticate"], names["Request"]
    for headers, identity in (
        ({"sec-websocket-protocol": "ecgframe, bearer.f3b0c442"}, "ward 7"),
        ({"sec-websocket-protocol": "bearer, f3b0c442"}, "ward 7"),
        ({"authorization": "Bearer f3b0c442"}, "ward 7"),
        ({"sec-websocket-protocol": "ecgframe, bearer.guessed"}, None),
        ({}, None),
    ):
        assert run(authenticate(request(headers=headers))) == identity


@pytest.mark.slow
def test_rights_are_taken_away():
    async def conversation():
        names = {}
        exec(RIGHTS, names)
        handler = ecgframe.server.WebSocketBinaryHandler(authenticate=lambda request: asyncio.sleep(0, "ann"))
        async with handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/ws") as viewer, viewer.subscribe("ecg/1") as subscription:
                await names["take_away"](handler, "ecg/1")
                assert subscription.status == "subscribed"  # without the hook, everybody may watch
                await names["lock_out"](handler, "ann")
                with pytest.raises(ConnectionLost, match="your account is closed"):
                    await viewer.closed

    run(conversation())


@pytest.mark.slow
def test_the_audit_log_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(AUDIT, {})
    assert (tmp_path / "audit.jsonl").exists()


@asynccontextmanager
async def program(code, port, tmp_path):
    """An example in a process of its own, on a port that is free."""
    path = tmp_path / "program.py"
    path.write_text(code.replace("8000", str(port)), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env={"PYTHONPATH": ":".join(sys.path)}, stdout=-3, stderr=-3
    )
    try:
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_example_serves(name, tmp_path, unused_port):
    for library in FRAMEWORKS[name]:
        optional(library)

    async def talk():
        async with program(EXAMPLES[name], unused_port, tmp_path):
            async with asyncio.timeout(20):
                while True:
                    try:
                        async with client(unused_port, compression="deflate") as peer:
                            assert "Sec-WebSocket-Extensions" not in peer.connection.response.headers
                            await peer.subscribe("ecg/bed-7")
                            return
                    except (OSError, websockets.InvalidMessage):
                        await asyncio.sleep(0.05)

    run(talk())


@pytest.mark.slow
def test_the_program_of_the_readme_publishes(tmp_path, unused_port):
    for library in FRAMEWORKS["Starlette and FastAPI"]:
        optional(library)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [code] = [block for block in re.findall(r"^```python\n(.*?)^```$", readme, re.M | re.S) if "FastAPI" in block]

    async def talk():
        async with program(code, unused_port, tmp_path):
            async with asyncio.timeout(20):
                while True:
                    try:
                        url = f"ws://127.0.0.1:{unused_port}/ws"
                        async with connect(url, reconnect=False) as viewer, viewer.subscribe("ecg/bed-7") as stream:
                            return await anext(aiter(stream))
                    except (OSError, websockets.InvalidMessage):
                        await asyncio.sleep(0.05)

    message = run(talk())
    assert ecgframe.physical(message).shape == (2, 12)


@pytest.fixture
def unused_port():
    return ports.unused_port()

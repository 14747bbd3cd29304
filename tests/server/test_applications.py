"""The application that is mounted in one's own server: every framework, several servers, and every page of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from cli.live_server import ENVIRONMENT
from pages import ROOT, blocks
from ports import unused_port
from recordings import optional
from running import run

import ecgframe

websockets = optional("websockets")

STREAM = "ecg/bed-7"

PAGE = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
DEVICE = blocks("docs/frameworks.md")[0].text
PROGRAMS = {
    name.lower(): block.text
    for name, block in zip(re.findall(r"^## (.+)$", PAGE, re.M), blocks("docs/frameworks.md")[1:], strict=False)
}
"""The programs of the page, by framework."""

SERVERS = {
    "uvicorn": ["-m", "uvicorn", "own:app", "--port", "PORT", "--log-level", "warning"],
    "hypercorn": ["-m", "hypercorn", "own:app", "--bind", "127.0.0.1:PORT"],
    "granian": ["-m", "granian", "own:app", "--interface", "asgi", "--port", "PORT", "--log-level", "warning"],
    "daphne": ["-m", "daphne", "own:app", "--port", "PORT"],
}
CASES = [
    ("aiohttp", None),
    ("fastapi", "uvicorn"),
    *[pytest.param(framework, "uvicorn", marks=pytest.mark.slow) for framework in ("starlette", "litestar", "django")],
    *[pytest.param("fastapi", server, marks=pytest.mark.slow) for server in ("hypercorn", "granian")],
    pytest.param("django", "daphne", marks=pytest.mark.slow),  # it knows no lifespan
]


@contextmanager
def own_server(folder, framework, server):
    """Run the program; yield the address of its application."""
    for library in filter(None, (framework, server)):
        optional(library, group="test" if library in ("aiohttp", "fastapi", "uvicorn") else "frameworks")
    port = unused_port()
    (folder / "device.py").write_text(DEVICE, encoding="utf-8")
    (folder / "own.py").write_text(PROGRAMS[framework].replace("port=8000", f"port={port}"), encoding="utf-8")
    words = [word.replace("PORT", str(port)) for word in SERVERS[server]] if server else ["own.py"]
    environment = os.environ | ENVIRONMENT
    environment["PYTHONPATH"] += os.pathsep + str(folder)
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = f"http://127.0.0.1:{port}/ecg"
        deadline = time.monotonic() + 120
        while True:
            try:
                assert ask(f"{address}/healthz")[2] == b"ok\n"
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=120)
    assert "Traceback" not in said, said


def ask(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize(("framework", "server"), CASES)
def test_a_server_of_ones_own(tmp_path, framework, server):
    with own_server(tmp_path, framework, server) as address:
        status, headers, page = ask(f"{address}/", Accept="text/html")
        assert (status, headers["Content-Type"], b"<title>" in page) == (200, "text/html; charset=utf-8", True)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert ask(f"{address}/", **{"Accept": "text/html", "If-None-Match": headers["ETag"]})[0] == 304
        assert ask(address, Accept="text/html")[2] == page  # after a redirect
        with urllib.request.urlopen(f"{address}?stream=a", timeout=60) as answer:
            assert answer.url == f"{address}/?stream=a"  # the addresses in the page are relative to it
        for name in ("monitor.js", "monitor.css", "wall", "wall.js", "wall-worker.js", "wall.css"):
            assert ask(f"{address}/{name}")[0] == 200
        assert json.loads(ask(f"{address}/streams")[2]) == {"streams": [STREAM]}
        text = ask(f"{address}/")[2].decode()
        assert f"{address}/streams" in text
        assert f"{address.replace('http', 'ws')}/ws" in text
        assert b"ecgframe_connections" in ask(f"{address}/metrics")[2]
        assert ask(f"{address}/nothing")[0] == 404
        assert "python own.py" in PAGE if server is None else "uvicorn own:app" in PAGE
        assert ask(f"{address}/streams", "POST")[0] in (404, 405)
        head = ask(f"{address}/monitor.js", "HEAD")
        assert (head[0], head[2]) == (200, b"")

        async def watch():
            url = f"{address.replace('http', 'ws')}/ws"
            async with ecgframe.connect(url) as client, client.subscribe(STREAM) as stream:
                for _ in range(3):
                    assert (await anext(stream)).data["sampling_rate"] == 500
            for path, origin in ((url, "https://elsewhere.example"), (f"{url}x", None)):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await websockets.connect(path, origin=origin)
                assert refused.value.response.status_code in (403, 404)

        run(watch())


def test_run_by_itself_it_closes_its_handler():
    optional("starlette")
    from ecgframe.server import WebSocketBinaryHandler
    from ecgframe.server.adapters.asgi import application

    async def main():
        handler, said = WebSocketBinaryHandler(), []
        told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive():
            return next(told)

        async def send(message):
            said.append(message["type"])

        await application(handler)({"type": "lifespan"}, receive, send)
        with pytest.raises(RuntimeError):
            await handler.publish(STREAM, ecgframe.MessageType.ECG_DATA, {"signal": [1], "sampling_rate": 1})
        return said

    assert asyncio.run(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

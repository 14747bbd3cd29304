"""What others would pick for a fan-out, each as its documentation shows it, and the least that a loop in C does.

None of them encodes: each sends the same prepared bytes to all viewers. Those that are not in Python are processes of
their own, on the same core; each byte on their standard input is a frame to publish.
"""

# ruff: noqa: PLC0415

import asyncio
import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .crowd import KEY, bytes_on_the_wire
from .engines import SAMPLES, Engine, Station, frame

FOLDER = Path(__file__).parent / "others"
ANSWER = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
"""What a server answers to the one key of the viewers."""

COMPILER = shutil.which("cc") or shutil.which("gcc")
NODE = shutil.which("node")
MODULES = FOLDER / "node_modules"
BUN = MODULES / ".bin" / "bun"
INSTALL = f"npm install in {FOLDER.parent.name}/{FOLDER.name}"

NAMES = {
    "C loop": "(a loop of `send` in C, without queues)",
    "bun": "Bun, `server.publish`",
    "ws": "Node, `ws`",
    "starlette": "Starlette by hand, uvicorn",
    "socketio": "python-socketio, uvicorn",
}


def others() -> dict[str, Engine]:
    """Return those of the other servers that can run here, by name."""
    return {name: engine for name, (engine, lacks) in _ENGINES.items() if not lacks()}


def missing() -> dict[str, str]:
    """Return what the others lack here, by name."""
    return {name: lack for name, (_, lacks) in _ENGINES.items() if (lack := lacks())}


def versions() -> list[str]:
    """Return the versions of those that are not in Python, as far as they are here."""
    found = [f"Node {_output([NODE, '--version']).lstrip('v')}"] if "ws" in others() else []
    for name in ("ws", "bun"):
        package = MODULES / name / "package.json"
        if name in others() and package.is_file():
            found.append(f"{NAMES[name].split(',')[0] if name == 'bun' else name} {_json(package)['version']}")
    return found


# --- in Python, in the process of the benchmark ---


@asynccontextmanager
async def _uvicorn(app: Any) -> AsyncIterator[int]:
    """Serve an application; yield the port."""
    import uvicorn

    from ecgframe.server.adapters.starlette import listen

    listener = listen("127.0.0.1", 0)
    options = {"ws_per_message_deflate": False, "ws_ping_interval": None, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, log_level="error", **options))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def _starlette(*, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    connections: set[WebSocket] = set()

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        connections.add(websocket)
        try:
            while True:
                await websocket.receive_bytes()
        except WebSocketDisconnect:
            pass
        finally:
            connections.discard(websocket)

    async def publish() -> None:
        for websocket in list(connections):
            await websocket.send_bytes(frame(samples))

    async with _uvicorn(Starlette(routes=[WebSocketRoute("/ws", live)])) as port:
        yield Station(port, publish)


@asynccontextmanager
async def _socketio(*, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    import socketio

    server = socketio.AsyncServer(async_mode="asgi", ping_interval=3600, ping_timeout=3600)

    async def publish() -> None:
        await server.emit("ecg", frame(samples))

    event = b'451-["ecg",{"_placeholder":true,"num":0}]'
    async with _uvicorn(socketio.ASGIApp(server)) as port:
        path = "/socket.io/?EIO=4&transport=websocket"
        try:
            yield Station(port, publish, ["40"], hears=2, path=path, more=bytes_on_the_wire(event))
        finally:
            await server.shutdown()


# --- processes of their own ---


@asynccontextmanager
async def _process(words: Sequence[object]) -> AsyncIterator[Station]:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    order = process.stdin.write

    async def publish() -> None:
        order(b".")

    try:
        port = int(await process.stdout.readline())
        yield Station(port, publish, spent=lambda: _spent(process.pid))
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _spent(process: int) -> float:
    """Seconds of processor time of all threads of a process."""
    return (
        sum(
            int((thread / "schedstat").read_text(encoding="ascii").split()[0])
            for thread in Path(f"/proc/{process}/task").iterdir()
        )
        / 1e9
    )


@asynccontextmanager
async def _loop(*, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "loop"
        subprocess.run([str(COMPILER), "-O2", "-o", str(program), str(FOLDER / "loop.c")], check=True)
        async with _process([program, len(frame(samples)), ANSWER]) as station:
            yield station


@asynccontextmanager
async def _ws(*, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    async with _process([NODE, FOLDER / "ws.mjs", len(frame(samples))]) as station:
        yield station


@asynccontextmanager
async def _bun(*, samples: int = SAMPLES, **_: Any) -> AsyncIterator[Station]:
    async with _process([BUN, FOLDER / "bun.mjs", len(frame(samples))]) as station:
        yield station


# --- what they need ---


def _modules(*names: str) -> Callable[[], str]:
    def lacks() -> str:
        return ", ".join(name for name in names if find_spec(name) is None)

    return lacks


def _loop_lacks() -> str:
    return _proc_lacks() or ("" if COMPILER else "a C compiler")


def _ws_lacks() -> str:
    return _proc_lacks() or ("Node" if NODE is None else "" if (MODULES / "ws").is_dir() else INSTALL)


def _bun_lacks() -> str:
    if lack := _proc_lacks():
        return lack
    if not BUN.exists():
        return INSTALL
    try:
        done = subprocess.run([str(BUN), "--version"], capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "a Bun that runs on this machine"
    return "" if done.returncode == 0 else "a Bun that runs on this machine"


def _output(words: Sequence[object]) -> str:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout.strip()


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _proc_lacks() -> str:
    return "" if Path("/proc/self/schedstat").exists() else "Linux"


_ENGINES: dict[str, tuple[Engine, Callable[[], str]]] = {
    "C loop": (_loop, _loop_lacks),
    "bun": (_bun, _bun_lacks),
    "ws": (_ws, _ws_lacks),
    "starlette": (_starlette, _modules("starlette", "uvicorn")),
    "socketio": (_socketio, _modules("socketio", "uvicorn")),
}

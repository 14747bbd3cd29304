"""Running a suite: a connection for each case, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from ...libraries import library
from ...protocol import CloseCode
from .. import ToolError
from .cases import Case, Failed, NotApplicable, Result, Settings, Verdict
from .talker import MORE_THAN_ANY, Talker

if TYPE_CHECKING:
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
else:
    library("websockets", extra="tools", purpose="testing conformance")
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import serve as serve_websockets


async def run_on_server(
    url: str, cases: Sequence[Case], settings: Settings, headers: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[Result]:
    """Hold each case's conversation with a server, and give what became of it.

    Raises:
        OSError, websockets.exceptions.WebSocketException: the server cannot be reached.
    """
    for case in cases:
        async with open_websocket(
            url, compression=None, ping_interval=None, max_size=MORE_THAN_ANY, additional_headers=list(headers)
        ) as websocket:
            talker = Talker(websocket, settings)
            yield await _judge(case, talker)


async def run_on_clients(
    host: str, port: int, cases: Sequence[Case], settings: Settings, ready: Callable[[int], object]
) -> AsyncIterator[Result]:
    """Hold each case's conversation with the next connection of a client that connects again and again.

    Args:
        host: to listen on.
        port: to listen on; 0 is any that is free.
        cases: one for each connection.
        settings: of the suite; ``patience`` is how long it waits for the next connection.
        ready: called with the port once a client can come.

    Raises:
        ToolError: there is no listening at that address, or nobody came.
    """
    waiting: asyncio.Queue[tuple[ServerConnection, asyncio.Event]] = asyncio.Queue()

    async def serve(websocket: ServerConnection) -> None:
        done = asyncio.Event()
        await waiting.put((websocket, done))
        await done.wait()

    try:
        server = await serve_websockets(serve, host, port, compression=None, ping_interval=None, max_size=MORE_THAN_ANY)
    except OSError as error:
        raise ToolError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
    async with server:
        ready(server.sockets[0].getsockname()[1])
        for number, case in enumerate(cases):
            try:
                async with asyncio.timeout(settings.patience if number else None):
                    websocket, done = await _next_open(waiting)
            except TimeoutError:
                reason = f"no connection came for it within {settings.patience:g} s"
                yield Result(case, Verdict.FAILED, reason)
                continue
            yield await _judge(case, Talker(websocket, settings))
            await websocket.close(CloseCode.GOING_AWAY, "the next case wants a connection of its own")
            done.set()


async def _next_open(
    waiting: asyncio.Queue[tuple[ServerConnection, asyncio.Event]],
) -> tuple[ServerConnection, asyncio.Event]:
    """The next connection that its client has not given up meanwhile."""
    while True:
        websocket, done = await waiting.get()
        if websocket.close_code is None:
            return websocket, done
        done.set()


async def _judge(case: Case, talker: Talker) -> Result:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    verdict, reason = Verdict.PASSED, ""
    try:
        await case.test(talker)
    except Failed as failed:
        verdict, reason = Verdict.FAILED, str(failed)
    except NotApplicable as skipped:
        verdict, reason = Verdict.SKIPPED, str(skipped)
    return Result(case, verdict, reason, talker.transcript, loop.time() - begin)

"""Running a suite: a connection for each case, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ...libraries import library
from ...protocol import CloseCode
from .. import ToolError
from .cases import Case, Result, Verdict
from .checks import Failed, NotApplicable
from .peer import MORE_THAN_ANY, ScriptedPeer
from .transcript import Settings

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
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
        async with AsyncExitStack() as opened:

            async def connect(opened: AsyncExitStack = opened) -> ClientConnection:
                opening = open_websocket(
                    url, compression=None, ping_interval=None, max_size=MORE_THAN_ANY, additional_headers=list(headers)
                )
                return await opened.enter_async_context(opening)

            yield await _judge(case, ScriptedPeer(await connect(), settings, connect))


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
    guests = _Guests(settings.patience)
    try:
        server = await serve_websockets(
            guests.receive, host, port, compression=None, ping_interval=None, max_size=MORE_THAN_ANY
        )
    except OSError as error:
        raise ToolError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error
    async with server:
        ready(server.sockets[0].getsockname()[1])
        for number, case in enumerate(cases):
            try:
                websocket = await (guests.next() if number else guests.first())
            except TimeoutError:
                reason = f"no connection came for it within {settings.patience:g} s"
                yield Result(case, Verdict.FAILED, reason)
                continue
            yield await _judge(case, ScriptedPeer(websocket, settings, guests.next))
            await guests.dismiss()


class _Guests:
    """The connections of clients, one after the other.

    Args:
        patience: seconds to wait for the next.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: asyncio.Queue[tuple[ServerConnection, asyncio.Event]] = asyncio.Queue()
        self._present: list[tuple[ServerConnection, asyncio.Event]] = []

    async def receive(self, websocket: ServerConnection) -> None:
        """Keep a connection until it is dismissed."""
        done = asyncio.Event()
        await self._waiting.put((websocket, done))
        await done.wait()

    async def next(self) -> ServerConnection:
        """The next connection.

        Raises:
            TimeoutError: none came in time.
        """
        async with asyncio.timeout(self._patience):
            return await self.first()

    async def first(self) -> ServerConnection:
        """The next connection that its client has not given up meanwhile, however long it takes to come."""
        while True:
            websocket, done = await self._waiting.get()
            if websocket.close_code is None:
                self._present.append((websocket, done))
                return websocket
            done.set()

    async def dismiss(self) -> None:
        """Close all that a case has had."""
        for websocket, done in self._present:
            await websocket.close(CloseCode.GOING_AWAY, "the next case wants a connection of its own")
            done.set()
        self._present.clear()


async def _judge(case: Case, peer: ScriptedPeer) -> Result:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    verdict, reason = Verdict.PASSED, ""
    try:
        await case.test(peer)
    except Failed as failed:
        verdict, reason = Verdict.FAILED, str(failed)
    except NotApplicable as skipped:
        verdict, reason = Verdict.SKIPPED, str(skipped)
    return Result(case, verdict, reason, peer.transcript, loop.time() - begin)

"""Running a suite, with a connection for each case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ...libraries import library
from ...protocol import CloseCode
from .. import ToolError
from ..connecting import open_websocket
from .cases import Case, Result, Verdict
from .checks import Failed, NotApplicable
from .peer import MORE_THAN_ANY, ScriptedPeer
from .transcript import Settings

if TYPE_CHECKING:
    from ssl import SSLContext

    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
else:
    library("websockets", extra="tools", purpose="testing conformance")
    from websockets.asyncio.server import serve as serve_websockets


async def run_on_server(
    url: str,
    cases: Sequence[Case],
    settings: Settings,
    headers: Sequence[tuple[str, str]] = (),
    trusted: SSLContext | None = None,
) -> AsyncIterator[Result]:
    """Run the cases on a server, and yield their results.

    Raises:
        OSError, websockets.exceptions.WebSocketException: the server cannot be reached.
    """
    for case in cases:
        async with AsyncExitStack() as opened:

            async def connect(opened: AsyncExitStack = opened) -> ClientConnection:
                opening = open_websocket(url, headers=headers, max_size=MORE_THAN_ANY, trusted=trusted)
                return await opened.enter_async_context(opening)

            yield await _judge(case, ScriptedPeer(await connect(), settings, connect))


async def run_on_clients(
    host: str, port: int, cases: Sequence[Case], settings: Settings, ready: Callable[[int], object]
) -> AsyncIterator[Result]:
    """Run the cases on a client that connects repeatedly, one case per connection, and yield their results.

    Args:
        host: host to listen on.
        port: port to listen on; 0 for any free port.
        cases: the cases.
        settings: settings of the suite; ``patience`` is the time limit for the next connection.
        ready: called with the port once it is listening.

    Raises:
        ToolError: the address cannot be listened on.
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
    """Queues the connections of a client.

    Args:
        patience: seconds to wait for the next connection.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: asyncio.Queue[tuple[ServerConnection, asyncio.Event]] = asyncio.Queue()
        self._present: list[tuple[ServerConnection, asyncio.Event]] = []

    async def receive(self, websocket: ServerConnection) -> None:
        """Handle a connection until it is dismissed or closed."""
        done = asyncio.Event()
        await self._waiting.put((websocket, done))
        waiting = {asyncio.ensure_future(done.wait()), asyncio.ensure_future(websocket.wait_closed())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def next(self) -> ServerConnection:
        """Return the next connection.

        Raises:
            TimeoutError: there is none in time.
        """
        async with asyncio.timeout(self._patience):
            return await self.first()

    async def first(self) -> ServerConnection:
        """Return the next connection that is still open, without a time limit."""
        while True:
            websocket, done = await self._waiting.get()
            if websocket.close_code is None:
                self._present.append((websocket, done))
                return websocket
            done.set()

    async def dismiss(self) -> None:
        """Close all connections of a case."""
        for websocket, done in self._present:
            await websocket.close(CloseCode.GOING_AWAY, "connect again for the next case")
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

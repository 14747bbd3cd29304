"""A live server on a port of this machine."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from ..server import WebSocketBinaryHandler
from .either_way import EitherWay

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from ..protocol import Flag, MessageType

T = TypeVar("T")


class LiveServer(EitherWay):
    """Serves a handler on a free port of 127.0.0.1, with the ``websockets`` library.

    It is a context manager: with ``async with``, it runs in the event loop of the test; with ``with``, in a thread of
    its own. It closes the handler at its end.

    >>> with LiveServer() as server, ecgframe.connect_sync(server.url) as client:
    ...     with client.subscribe("ecg/1") as stream:
    ...         server.publish("ecg/1", MessageType.ECG_DATA, {"signal": [[0.1, 0.2]], "sampling_rate": 250})
    ...         message = stream.recv(timeout=5)

    Args:
        handler: the handler of your program; None for one with default settings.
        ssl: TLS context of the server; without it, it serves ``ws://``.
        options: for ``ecgframe.server.adapters.websockets.serve``.

    Attributes:
        handler: the handler. In a test without an event loop, call it through ``run``.
        port: the port on 127.0.0.1.
    """

    _thread_name = "server"

    def __init__(
        self, handler: WebSocketBinaryHandler | None = None, *, ssl: ssl.SSLContext | None = None, **options: Any
    ) -> None:
        self.handler = WebSocketBinaryHandler() if handler is None else handler
        self.port = 0
        self._is_tls = ssl is not None
        self._options: dict[str, Any] = {"ssl": ssl, **options}
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"{'wss' if self._is_tls else 'ws'}://127.0.0.1:{self.port}/ws"

    def publish(self, stream: str, message_type: MessageType, data: Any, flags: Flag | int = 0) -> int:
        """Publish a message, in a test without an event loop; with one, await ``handler.publish``.

        Returns:
            The timestamp of the message, in microseconds since 1970.

        Raises:
            RuntimeError: the server runs in an event loop of the test.
        """
        return self.run(self.handler.publish, stream, message_type, data, flags)

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **options: Any) -> T:
        """Run a coroutine function in the thread of the server, and return its result.

        Raises:
            RuntimeError: the server runs in an event loop of the test, or not at all.
            Exception: any of the function.
        """
        if self._thread is None:
            raise RuntimeError("the server has no thread of its own: await the function in the event loop of the test")
        return self._thread.run(function, *arguments, **options)

    async def _start(self) -> None:
        from ..server.adapters.websockets import serve  # noqa: PLC0415 - its error says what to install

        await self._stack.enter_async_context(self.handler)
        server = await self._stack.enter_async_context(serve(self.handler, "127.0.0.1", 0, **self._options))
        self.port = server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        await self.handler.close()
        for _ in range(20):
            # A connection that is accepted while the server closes is left open by Python 3.11. Those that still
            # waited to be accepted, because a proxy has cut them, are closed with the server.
            await asyncio.sleep(0)
        await self._stack.aclose()

"""Listening sockets for many clients that connect at once: a long queue, short turns, and a pause if files run out."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from ..link import keep_unsent_low
from ..open_files import EXHAUSTED, end_of_share, failed_accepts

BACKLOG: Final = 4096
"""Connections that may wait to be accepted. The system may allow fewer (Linux: net.core.somaxconn)."""

ACCEPTS: Final = 4
"""Connections that are accepted in one turn of the event loop, so that open connections get their turn as well."""

_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)

Server = TypeVar("Server", bound=asyncio.AbstractServer)


class ListeningSocket(socket.socket):
    """A listening socket that limits how many connections the event loop accepts in one turn.

    By default, asyncio accepts in one turn as many connections as fit into the queue. If files run out, it logs a
    traceback and sets a timer for each of them (python/cpython#151615); aiofastnet, which picows uses, retries without
    a pause. This socket returns at most ``ACCEPTS`` connections in a turn, and at most one error, which is not logged
    as a traceback. Both event loops then pause for a second, and waiting connections stay in the queue.

    Args:
        sock: a bound socket; the new object replaces it and closes it.
        backlog: connections that may wait to be accepted, regardless of what the event loop asks for.
    """

    def __init__(self, sock: socket.socket, backlog: int = BACKLOG) -> None:
        super().__init__(fileno=sock.fileno())
        self._sock = sock
        self._backlog = backlog
        self._left = ACCEPTS
        self._is_tight = False
        self.setblocking(sock.getblocking())

    def listen(self, backlog: int = 0, /) -> None:
        """Listen, with the larger of ``backlog`` and the socket's own."""
        super().listen(max(backlog, self._backlog))

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: no connection waits, or ``ACCEPTS`` were accepted in this turn of the event loop.
            OSError: files or memory are exhausted, up to the files that are kept back from viewers (EMFILE).
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return super().accept()
        if self._left == ACCEPTS:
            loop.call_soon(self._begin_turn)
        elif not self._left:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        try:
            if self._is_tight:
                self._leave_some()
            self._left -= 1
            connection, address = super().accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._left = 0
                failed_accepts.note(error)
                _keep_quiet(loop, error)
            raise
        self._is_tight = connection.fileno() >= end_of_share() - ACCEPTS
        return connection, address

    def detach(self) -> int:
        """Return the descriptor without closing it."""
        self._sock.detach()
        return super().detach()

    def close(self) -> None:
        """Close the socket."""
        super().detach()
        self._sock.close()

    def remove_reader(self, descriptor: int) -> None:
        """Remove the socket from the event loop; aiofastnet (1.2) calls this method of the loop on the socket."""
        asyncio.get_running_loop().remove_reader(descriptor)

    def __reduce__(self) -> tuple[Callable[..., ListeningSocket], tuple[socket.socket, int]]:
        """Pickle the underlying socket, for uvicorn, which passes its sockets to the processes that it starts."""
        return ListeningSocket, (self._sock, self._backlog)

    def _begin_turn(self) -> None:
        self._left = ACCEPTS

    def _leave_some(self) -> None:
        """Raise EMFILE if only the files that are kept back from viewers are free."""
        descriptor = os.dup(self.fileno())
        os.close(descriptor)
        if descriptor >= end_of_share():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def listen(host: str, port: int, *, backlog: int = BACKLOG, stall_seconds: float = 30.0) -> socket.socket:
    """Return a listening socket for ASGI servers and aiohttp, with options that its connections inherit.

    An ASGI server does not let an application limit the unsent bytes in the kernel, which an alert cannot overtake, nor
    drop a peer that stops reading. Connections inherit both settings from this socket. The socket also handles many
    clients that connect at once, and keeps open connections served if the process runs out of files (see
    ``docs/servers.md``).

    Args:
        host: name or address to listen on.
        port: port to listen on; 0 for any free one.
        backlog: connections that may wait to be accepted, regardless of what the server asks for.
        stall_seconds: seconds after which a peer that does not read is dropped.

    Raises:
        OSError: the port is in use, or the host is not an address of this machine.
    """
    [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listener = socket.create_server(address, family=family, backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a server that gets a descriptor does not set it
    keep_unsent_low(listener)
    if _USER_TIMEOUT is not None:
        listener.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(stall_seconds * 1000))
    return listener if sys.platform == "win32" else ListeningSocket(listener, backlog)


async def begin_serving(
    server: Server, backlog: int, *, start: bool = True, more: Sequence[socket.socket] = ()
) -> Server:
    """Replace a server's sockets by ``ListeningSocket``, and start it.

    Args:
        server: a server created with ``start_serving=False`` and ``backlog=ACCEPTS``. The sockets of uvloop are not
            replaced, since it does not accept in Python.
        backlog: connections that may wait to be accepted.
        start: whether to start the server now.
        more: further bound sockets on which it listens.

    Raises:
        RuntimeError: there are further sockets, and the server is not of asyncio.
    """
    sockets = getattr(server, "_sockets", None)  # create_server() takes only one socket, but a host may have several
    if isinstance(sockets, list):
        sockets[:] = [_ours(sock, backlog) for sock in (*sockets, *more)]
    elif more:
        raise RuntimeError("this event loop listens on one socket only")
    if start:
        await server.start_serving()
        for sock in getattr(server, "sockets", ()):
            with socket.socket(fileno=os.dup(sock.fileno())) as same:  # sets the backlog of sockets not replaced above
                same.listen(backlog)
    return server


def _ours(sock: socket.socket, backlog: int) -> socket.socket:
    """The socket as a ``ListeningSocket``; a Unix socket stays, since asyncio finds its path by the object."""
    return ListeningSocket(sock, backlog) if sock.family in (socket.AF_INET, socket.AF_INET6) else sock


def _keep_quiet(loop: asyncio.AbstractEventLoop, error: OSError) -> None:
    """Keep the loop from logging this error in the rest of its turn: ``failed_accepts`` has logged it."""
    handler = loop.get_exception_handler()
    if isinstance(handler, _Quiet):
        handler.errors.append(error)
    else:
        loop.set_exception_handler(quiet := _Quiet(handler, error))
        loop.call_soon(quiet.end, loop)


class _Quiet:
    """An exception handler that ignores some errors for the rest of a turn of the loop."""

    def __init__(self, before: Callable[..., object] | None, error: OSError) -> None:
        self.errors = [error]
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") in self.errors:
            return
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.get_exception_handler() is self:
            loop.set_exception_handler(self._before)

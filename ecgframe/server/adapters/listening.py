"""Listening sockets that many may knock at at once: a long queue, short turns, and calm where open files run out."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..link import keep_unsent_low
from ..open_files import EXHAUSTED, end_of_share, failed_accepts

BACKLOG: Final = 4096
"""Connections that may wait to be accepted. The system may allow fewer (Linux: net.core.somaxconn)."""

ACCEPTS: Final = 4
"""Connections that are accepted in one turn of the event loop, so that those which are open get theirs."""

_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)

Server = TypeVar("Server", bound=asyncio.AbstractServer)


class ListeningSocket(socket.socket):
    """A listening socket that spares the event loop which accepts from it.

    asyncio accepts as many connections in one turn as the queue is long. Where files run out, it logs a traceback and
    sets a timer for each of them (python/cpython#151615); aiofastnet, on which picows runs, tries again without a
    pause. From this socket either gets ``ACCEPTS`` connections a turn, and one error, of which it tells nobody; so it
    pauses for a second, as it means to. What waits in the queue goes on waiting.

    Args:
        sock: bound already; this one takes its place and closes it with itself.
        backlog: connections that may wait, whatever the event loop asks for.
    """

    def __init__(self, sock: socket.socket, backlog: int = BACKLOG) -> None:
        super().__init__(fileno=sock.fileno())
        self._sock = sock
        self._backlog = backlog
        self._left = ACCEPTS
        self._is_tight = False
        self.setblocking(sock.getblocking())

    def listen(self, backlog: int = 0, /) -> None:
        """Listen, with the longer of the two queues."""
        super().listen(max(backlog, self._backlog))

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: none waits, or enough were accepted in this turn of the event loop.
            OSError: the system has no room for it, or only what viewers leave to others (EMFILE).
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
        """Let go of the descriptor, and return it."""
        self._sock.detach()
        return super().detach()

    def close(self) -> None:
        """Close it."""
        super().detach()
        self._sock.close()

    def remove_reader(self, descriptor: int) -> None:
        """Have the event loop look no more; aiofastnet (1.2) calls this method of the loop on the socket."""
        asyncio.get_running_loop().remove_reader(descriptor)

    def __reduce__(self) -> tuple[Callable[..., ListeningSocket], tuple[socket.socket, int]]:
        """For uvicorn, which hands its sockets to the processes that it starts: plain sockets know how to get there."""
        return ListeningSocket, (self._sock, self._backlog)

    def _begin_turn(self) -> None:
        self._left = ACCEPTS

    def _leave_some(self) -> None:
        """Raise what ``accept`` would if the files that are kept back did not exist."""
        descriptor = os.dup(self.fileno())
        os.close(descriptor)
        if descriptor >= end_of_share():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def listen(host: str, port: int, *, backlog: int = BACKLOG, stall_seconds: float = 30.0) -> socket.socket:
    """A listening socket for servers that make none like it, with good habits for its connections.

    An ASGI server does not let an application set how much waits in the kernel, where an alert cannot overtake it, nor
    drop a peer that reads no more; connections take both over from the socket that they come from. Many may connect at
    once, and where the process runs out of open files, the others are served on (see ``docs/servers.md``).

    Args:
        host: to listen on, a name or an address.
        port: to listen on, 0 for any that is free.
        backlog: connections that may wait to be accepted, whatever the server asks for.
        stall_seconds: after which a peer that takes nothing of what waits for it is dropped.

    Raises:
        OSError: the port is taken, or the host is not of this machine.
    """
    [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listener = socket.create_server(address, family=family, backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # servers that get it as a descriptor leave that out
    keep_unsent_low(listener)
    if _USER_TIMEOUT is not None:
        listener.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, round(stall_seconds * 1000))
    return listener if sys.platform == "win32" else ListeningSocket(listener, backlog)


async def begin_serving(server: Server, backlog: int, *, start: bool = True) -> Server:
    """Have a server accept from sockets of ours, and begin.

    Args:
        server: made with ``start_serving=False`` and ``backlog=ACCEPTS``. Its sockets are exchanged where it accepts
            in Python, which those of uvloop do not.
        backlog: connections that may wait.
        start: whether it is to begin now.
    """
    sockets = getattr(server, "_sockets", None)  # create_server() takes but one socket, and a host may have several
    if isinstance(sockets, list):
        sockets[:] = [_ours(sock, backlog) for sock in sockets]
    if start:
        await server.start_serving()
        for sock in getattr(server, "sockets", ()):
            with socket.socket(fileno=os.dup(sock.fileno())) as same:  # for the servers that accept by themselves
                same.listen(backlog)
    return server


def _ours(sock: socket.socket, backlog: int) -> socket.socket:
    """The socket in ours; that of a Unix path stays, since asyncio looks the path up by the very object."""
    return ListeningSocket(sock, backlog) if sock.family in (socket.AF_INET, socket.AF_INET6) else sock


def _keep_quiet(loop: asyncio.AbstractEventLoop, error: OSError) -> None:
    """Have the loop not log this error, of which our own line tells, in what remains of its turn."""
    handler = loop.get_exception_handler()
    if isinstance(handler, _Quiet):
        handler.errors.append(error)
    else:
        loop.set_exception_handler(quiet := _Quiet(handler, error))
        loop.call_soon(quiet.end, loop)


class _Quiet:
    """An exception handler of a loop for the rest of one turn."""

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

"""Many viewers in a separate process: raw sockets that open a WebSocket, send given messages, and count bytes.

They do not parse what they receive, so that one core of viewers keeps up with one core of any server.
"""

import asyncio
import base64
import multiprocessing
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Self

ROOM = 1 << 20
KEY = base64.b64encode(bytes(16)).decode()


def websocket_frame(message: bytes | str) -> bytes:
    """Return a message as a client sends it, with a mask of zeros; a str is a text message."""
    first, payload = (0x81, message.encode()) if isinstance(message, str) else (0x82, message)
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


def bytes_on_the_wire(message: bytes) -> int:
    """Return the size of a server's message with its WebSocket header."""
    size = len(message)
    return size + (2 if size < 126 else 4 if size < 1 << 16 else 10)


def first_message(received: bytes) -> tuple[bytes, int] | None:
    """Return the first message of a server, and where it ends; None if it is incomplete."""
    if len(received) < 2 or len(received) < (head := {126: 4, 127: 10}.get(received[1], 2)):
        return None
    size = received[1] if head == 2 else int.from_bytes(received[2:head], "big")
    return (received[head : head + size], head + size) if len(received) >= head + size else None


def open_websocket(port: int, receive_buffer: int | None = None, path: str = "/ws") -> tuple[socket.socket, bytes]:
    """Open a connection to a server on this machine; return it, and the bytes received after the handshake."""
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += more_of(sock)
    return sock, received.partition(b"\r\n\r\n")[2]


def more_of(sock: socket.socket, nbytes: int = ROOM) -> bytes:
    """Receive the next bytes; the connection must be open."""
    data = sock.recv(nbytes)
    assert data, "the server closed the connection"
    return data


# --- in the process of the benchmark ---


class Crowd:
    """Controls the viewers from the process of the server. A context manager, for use from one event loop.

    Args:
        core: processor core on which the viewers run; None for any.
    """

    def __init__(self, core: int | None = None) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_watch, args=(theirs, core), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    async def open(
        self,
        port: int,
        viewers: int,
        says: Sequence[bytes | str] = (),
        hears: int = 0,
        reads: bool = True,
        path: str = "/ws",
    ) -> int:
        """Open connections.

        Args:
            port: port of a server on this machine.
            viewers: number of viewers.
            says: messages that each viewer sends when the connection is open.
            hears: number of messages that each viewer receives before counting.
            reads: whether the viewers continue reading then.
            path: path at which they connect.

        Returns:
            A number by which the other methods find these viewers.
        """
        return await self._ask("open", port, [list(says)] * viewers, hears, reads, path)

    async def open_each(self, port: int, says: Sequence[Sequence[bytes | str]], hears: int, path: str = "/ws") -> int:
        """Open a connection for each item of ``says``: the messages that this viewer sends. Otherwise as ``open``."""
        return await self._ask("open", port, [list(words) for words in says], hears, True, path)

    async def received(self, group: int, nbytes: int) -> float:
        """Wait until each viewer has received ``nbytes``; return the time of that (time.monotonic)."""
        return await self._ask("received", group, nbytes)

    async def counts(self, group: int) -> list[int]:
        """Return the bytes that each viewer has received."""
        return await self._ask("counts", group)

    async def say(self, group: int, message: bytes) -> None:
        """Let each viewer send a message."""
        await self._ask("say", group, message)

    async def talk(self, group: int, message: bytes, answer: int, times: int) -> float:
        """Let each viewer send a message, and send it again after each answer.

        Args:
            group: the viewers.
            message: the message.
            answer: size of the answer in bytes, with its WebSocket header.
            times: total number of answers to wait for.

        Returns:
            Seconds that it took.
        """
        return await self._ask("talk", group, message, answer, times)

    async def _ask(self, *question: object) -> Any:
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        self._pipe.send(question)
        loop.add_reader(self._pipe.fileno(), lambda: answered.done() or answered.set_result(None))
        try:
            await answered
        finally:
            loop.remove_reader(self._pipe.fileno())
        return self._pipe.recv()


# --- the other process ---


@dataclass
class _Group:
    sockets: list[socket.socket] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    """Bytes by file descriptor."""
    target: int = 0
    behind: int = 0
    """Number of viewers that have not reached the target."""


def _watch(pipe: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    _Watcher(pipe).run()


class _Watcher:
    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.groups: list[_Group] = []
        self.group_of: dict[int, tuple[socket.socket, _Group]] = {}
        self.poll = select.epoll()
        self.poll.register(pipe.fileno(), select.EPOLLIN)
        self.room = memoryview(bytearray(ROOM))

    def run(self) -> None:
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.pipe.fileno():
                    question, *arguments = self.pipe.recv()
                    getattr(self, question)(*arguments)
                else:
                    self.count(descriptor)

    def count(self, descriptor: int) -> None:
        sock, group = self.group_of[descriptor]
        nbytes = sock.recv_into(self.room)
        if not nbytes:
            self.poll.unregister(descriptor)
            return
        before = group.counts[descriptor]
        group.counts[descriptor] = before + nbytes
        if before < group.target <= before + nbytes:
            group.behind -= 1
            if not group.behind:
                self.pipe.send(time.monotonic())

    # --- commands ---

    def open(self, port: int, says: list[list[bytes | str]], hears: int, reads: bool, path: str) -> None:
        group = _Group()
        for words in says:
            sock, received = open_websocket(port, path=path)
            for message in words:
                sock.sendall(websocket_frame(message))
            for _ in range(hears):
                while (first := first_message(received)) is None:
                    received += more_of(sock)
                received = received[first[1] :]
            sock.setblocking(False)
            group.sockets.append(sock)
            group.counts[sock.fileno()] = len(received)
            self.group_of[sock.fileno()] = (sock, group)
            if reads:
                self.poll.register(sock.fileno(), select.EPOLLIN)
        self.groups.append(group)
        self.pipe.send(len(self.groups) - 1)

    def received(self, number: int, nbytes: int) -> None:
        group = self.groups[number]
        group.target = nbytes
        group.behind = sum(count < nbytes for count in group.counts.values())
        if not group.behind:
            self.pipe.send(time.monotonic())

    def counts(self, number: int) -> None:
        self.pipe.send(list(self.groups[number].counts.values()))

    def say(self, number: int, message: bytes) -> None:
        frame = websocket_frame(message)
        for sock in self.groups[number].sockets:
            sock.send(frame)
        self.pipe.send(None)

    def talk(self, number: int, message: bytes, answer: int, times: int) -> None:
        frame, group = websocket_frame(message), self.groups[number]
        got = dict.fromkeys(group.counts, 0)
        poll = select.epoll()
        for sock in group.sockets:
            poll.register(sock.fileno(), select.EPOLLIN)
        began = time.monotonic()
        for sock in group.sockets:
            sock.send(frame)
        while times > 0:
            for descriptor, _ in poll.poll():
                sock, _ = self.group_of[descriptor]
                got[descriptor] += sock.recv_into(self.room)
                if got[descriptor] >= answer:
                    got[descriptor] -= answer
                    times -= 1
                    sock.send(frame)
        self.pipe.send(time.monotonic() - began)
        self.hear_out(got, answer)

    def hear_out(self, got: dict[int, int], answer: int) -> None:
        """Receive the remaining answers, so that they are not counted the next time."""
        for descriptor, nbytes in got.items():
            sock, _ = self.group_of[descriptor]
            missing = answer - nbytes
            while missing > 0:
                select.select([sock], [], [])
                missing -= sock.recv_into(self.room)

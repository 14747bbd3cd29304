"""One of several processes that serve on one port, and its connection to the parent process.

Both send messages over it: JSON objects, one in a line. A worker sends one each second, which is empty if nothing has
changed, as a heartbeat.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ...server.client_streams import ClientStreams

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
"""Seconds from one heartbeat of a worker to the next."""

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of a message between parent and worker."""

MAX_STREAMS: Final = 4096
"""Streams of clients that a worker reports, and that it receives of the other workers."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """What a worker process gets from its parent.

    Attributes:
        number: its number, from 1.
        count: number of workers.
        sockets: the bound sockets on which all of them listen.
        connection: its end of the connection to the parent.
        metrics: directory in which the workers add up their metrics.
        elsewhere: the streams that clients publish at the other workers.
    """

    number: int
    count: int
    sockets: tuple[socket.socket, ...]
    connection: socket.socket
    metrics: Path
    elsewhere: tuple[str, ...] = ()
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    def share(self, streams: tuple[str, ...]) -> frozenset[str]:
        """Return which of the streams this worker plays."""
        return frozenset(streams[self.number - 1 :: self.count])

    def ready(self, lines: list[str]) -> None:
        """Report to the parent that this worker serves, and what to print about it."""
        self._send({"ready": lines})

    @asynccontextmanager
    async def connected(self, stop: asyncio.Event, shown: ClientStreams) -> AsyncIterator[None]:
        """Exchange messages with the parent: set ``stop`` if it says so or has ended; report what clients publish."""
        reader, self._writer = await asyncio.open_connection(sock=self.connection, limit=MAX_MESSAGE)
        tasks = [asyncio.create_task(self._receive(reader, stop)), asyncio.create_task(self._report(shown))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _receive(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        """Process the messages of the parent until the connection ends."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                if "stop" in message:
                    stop.set()
                if "elsewhere" in message:
                    self.elsewhere = tuple(message["elsewhere"])
        if stop.is_set():
            os._exit(1)  # the parent was ended at once, by a second Ctrl-C
        logger.error("the parent process has ended; stopping")
        stop.set()

    async def _report(self, shown: ClientStreams) -> None:
        """Report the streams of clients whenever they have changed, and send a heartbeat otherwise."""
        reported: list[str] = []
        while True:
            streams = shown.of_clients()[:MAX_STREAMS]
            self._send({} if streams == reported else {"streams": streams})
            reported = streams
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._writer is not None
        if message or not self._writer.transport.get_write_buffer_size():  # no heartbeats for a parent that hangs
            self._writer.write(json.dumps(message).encode() + b"\n")

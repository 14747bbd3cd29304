"""One of several processes that serve on one port: what it hears from its parent, and tells it."""

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

BEAT: Final = 1.0
"""Seconds from one sign of life to the next."""

LONGEST_LINE: Final = 4 * 1024 * 1024
"""Bytes of a line between parent and worker."""

MOST_STREAMS: Final = 4096
"""Streams of clients that a worker tells the others, and takes from them."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """What a worker process is handed.

    Attributes:
        number: its number, from 1.
        count: number of workers.
        sockets: the bound sockets on which all of them listen.
        line: its end of the line to the parent.
        metrics: directory in which the workers add up their metrics.
        elsewhere: the streams that clients publish at the other workers.
    """

    number: int
    count: int
    sockets: tuple[socket.socket, ...]
    line: socket.socket
    metrics: Path
    elsewhere: tuple[str, ...] = ()
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    def share(self, streams: tuple[str, ...]) -> frozenset[str]:
        """Those of the streams that this worker plays."""
        return frozenset(streams[self.number - 1 :: self.count])

    def ready(self, lines: list[str]) -> None:
        """Tell the parent that this worker serves, and what to print about it."""
        self._tell({"ready": lines})

    @asynccontextmanager
    async def connected(self, stop: asyncio.Event, shown: ClientStreams) -> AsyncIterator[None]:
        """Be in touch with the parent: set ``stop`` when it says so or has ended, and tell it what clients publish."""
        reader, self._writer = await asyncio.open_connection(sock=self.line, limit=LONGEST_LINE)
        tasks = [asyncio.create_task(self._hear(reader, stop)), asyncio.create_task(self._live(shown))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                told = json.loads(line)
                if "stop" in told:
                    stop.set()
                if "elsewhere" in told:
                    self.elsewhere = tuple(told["elsewhere"])
        if stop.is_set():
            os._exit(1)  # the parent was ended at once, by a second Ctrl-C
        logger.error("the parent process has ended; stopping")
        stop.set()

    async def _live(self, shown: ClientStreams) -> None:
        told: list[str] = []
        while True:
            here = shown.of_clients()[:MOST_STREAMS]
            self._tell({} if here == told else {"streams": here})
            told = here
            await asyncio.sleep(BEAT)

    def _tell(self, what: dict[str, Any]) -> None:
        assert self._writer is not None
        if what or not self._writer.transport.get_write_buffer_size():  # a parent that stands still needs no more signs
            self._writer.write(json.dumps(what).encode() + b"\n")

"""The parent of several processes that serve on one port: it starts them, replaces those that end, and ends them."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from ...plural import counted
from ...server.live import bind
from ..console import say
from ..logs import log_to_stderr
from ..plain_errors import plain_errors
from ..stopping import stop_signals
from .worker import HEARTBEAT_SECONDS, MAX_MESSAGE, MAX_STREAMS, Worker
from .worker_process import signals_blocked, work

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from .options import ServeOptions

logger = logging.getLogger(__name__)

SILENT_SECONDS: Final = 30.0
"""Seconds without a heartbeat after which a worker is killed and replaced: its event loop hangs."""

STOP_SECONDS: Final = 14.0
"""Seconds that the workers have to end, before they are killed."""

SETTLED_SECONDS: Final = 30.0
"""Seconds after which a worker counts as settled; until then, its replacement waits longer each time."""

MAX_BACKOFF: Final = 30.0
"""Seconds at most before a worker is replaced."""


class DidNotStart(Exception):
    """A worker has ended before it served.

    Attributes:
        code: its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def serve_with_workers(options: ServeOptions, count: int) -> None:
    """Serve with several processes on one port until SIGINT or SIGTERM.

    Args:
        options: those of the command.
        count: number of workers, above 1.

    Raises:
        typer.Exit: the first worker did not start, or the address cannot be listened on. The reason has been printed.
    """
    with plain_errors(), log_to_stderr(options.log_level, options.log_json), _metrics() as directory:
        code = asyncio.run(_serve(options, count, directory))
    if code:
        raise typer.Exit(code)


async def _serve(options: ServeOptions, count: int, metrics: Path) -> int:
    with stop_signals() as stop:
        sockets = await bind(options.host, options.port)
        try:
            return await Workers(options, count, sockets, metrics).run(stop)
        finally:
            for sock in sockets:
                sock.close()


@dataclass(slots=True, kw_only=True, eq=False)
class _Process:
    """A worker process, as its parent sees it.

    Attributes:
        number: number of the worker.
        process: the process.
        writer: writes to it.
        ready: the lines to print, once it serves.
        started: when it was started, in seconds of the monotonic clock.
        last_heartbeat: when its last message came.
        receiving: receives its messages; done when its end of the connection is closed.
        streams: what its clients publish.
    """

    number: int
    process: BaseProcess
    writer: asyncio.StreamWriter
    ready: asyncio.Future[list[str]]
    started: float = field(default_factory=time.monotonic)
    last_heartbeat: float = field(default_factory=time.monotonic)
    receiving: asyncio.Task[None] | None = None
    streams: tuple[str, ...] = ()

    def send(self, message: dict[str, Any]) -> None:
        """Send it a message, which is lost if the worker ends before it has read it."""
        self.writer.write(json.dumps(message).encode() + b"\n")


class Workers:
    """Starts workers, replaces those that end or hang, and ends them.

    Args:
        options: those of the command.
        count: number of workers.
        sockets: the bound sockets on which all of them listen.
        metrics: directory in which they add up their metrics.
    """

    def __init__(self, options: ServeOptions, count: int, sockets: tuple[socket.socket, ...], metrics: Path) -> None:
        self._options = options
        self._count = count
        self._sockets = sockets
        self._metrics = metrics
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, _Process] = {}

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until ``stop`` is set; return the exit code of the command."""
        serving, stopping = asyncio.create_task(self._keep_serving()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            return 0
        except DidNotStart as error:
            return error.code if 0 < error.code < 256 else 1
        finally:
            for task in (serving, stopping):
                task.cancel()
            await asyncio.wait({serving, stopping})
            await self._end()

    async def _keep_serving(self) -> None:
        """Start all workers, print where they serve, and replace those that end.

        The first one starts alone, so that an error in a file is printed once.

        Raises:
            DidNotStart: one of them has ended before it served.
        """
        lines = await self._start(1)
        await asyncio.gather(*(self._start(number) for number in range(2, self._count + 1)))
        logger.info("%s serve on port %d", counted(self._count, "worker"), self._sockets[0].getsockname()[1])
        say(f"Workers: {self._count}, joined by {'Redis' if self._options.nats is None else 'NATS'}", *lines)
        async with asyncio.TaskGroup() as group:
            for number in range(1, self._count + 1):
                group.create_task(self._keep_running(number))
            group.create_task(self._kill_hanging())

    async def _start(self, number: int) -> list[str]:
        """Start a worker; return what to print once it serves.

        Raises:
            DidNotStart: it has ended before.
        """
        ours, theirs = socket.socketpair()
        worker = Worker(
            number=number, count=self._count, sockets=self._sockets, connection=theirs, metrics=self._metrics
        )
        process = self._context.Process(
            target=work, args=(self._options, worker), name=f"ecgframe worker {number}", daemon=True
        )
        with signals_blocked():
            process.start()
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_MESSAGE)
        one = _Process(number=number, process=process, writer=writer, ready=asyncio.get_running_loop().create_future())
        self._running[number] = one
        one.receiving = asyncio.create_task(self._receive(reader, one))
        either: list[asyncio.Future[Any]] = [one.receiving, one.ready]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not one.ready.done():
            code = await self._exit_code(one)
            raise DidNotStart(code)
        self._send_streams()
        logger.info("worker %d serves, process %d", number, process.pid, extra={"worker": number, "pid": process.pid})
        return one.ready.result()

    async def _receive(self, reader: asyncio.StreamReader, one: _Process) -> None:
        """Process the messages of a worker until it closes the connection."""
        with suppress(ConnectionError, ValueError):  # the latter: half a message, of one that was killed
            while line := await reader.readline():
                one.last_heartbeat = time.monotonic()
                message = json.loads(line)
                if "ready" in message and not one.ready.done():
                    one.ready.set_result(message["ready"])
                if "streams" in message:
                    one.streams = tuple(message["streams"])
                    self._send_streams()

    def _send_streams(self) -> None:
        """Send each worker the streams that clients publish at the others."""
        for one in self._running.values():
            names = {name for other in self._running.values() if other is not one for name in other.streams}
            one.send({"elsewhere": sorted(names)[:MAX_STREAMS]})

    async def _exit_code(self, one: _Process) -> int:
        """The exit code of a worker that has closed its connection."""
        await asyncio.to_thread(one.process.join, STOP_SECONDS)
        if one.process.is_alive():
            one.process.kill()
            await asyncio.to_thread(one.process.join)
        one.writer.close()
        return one.process.exitcode or 0

    async def _keep_running(self, number: int) -> None:
        """Replace a worker whenever it has ended."""
        backoff = 0.0
        while True:
            one = self._running[number]
            assert one.receiving is not None
            await asyncio.wait({one.receiving})
            code = await self._exit_code(one)
            one.streams = ()
            self._send_streams()
            if time.monotonic() - one.started > SETTLED_SECONDS:
                backoff = 0.0
            logger.error(
                "worker %d, process %d, has ended with %s; %s",
                number,
                one.process.pid,
                _describe_exit(code),
                f"another one starts in {backoff:g} s" if backoff else "another one starts now",
                extra={"worker": number, "pid": one.process.pid, "code": code},
            )
            await asyncio.sleep(backoff)
            backoff = min(max(1.0, 2 * backoff), MAX_BACKOFF)
            with suppress(DidNotStart):  # the next iteration logs it
                await self._start(number)

    async def _kill_hanging(self) -> None:
        """Kill workers that send no heartbeats; they are replaced then."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = time.monotonic()
            for one in self._running.values():
                if now - before > 2 * HEARTBEAT_SECONDS:  # this process was suspended, and so may have been the workers
                    one.last_heartbeat = now
                elif one.ready.done() and now - one.last_heartbeat > SILENT_SECONDS and one.process.is_alive():
                    logger.error("worker %d sends no heartbeats; killing it", one.number, extra={"worker": one.number})
                    one.process.kill()

    async def _end(self) -> None:
        """End all workers: those that serve close their connections; those that do not yet are killed."""
        alive = [one for one in self._running.values() if one.process.is_alive()]
        logger.info("stopping %s", counted(len(alive), "worker"))
        for one in alive:
            if one.ready.done():
                one.send({"stop": True})
            else:
                one.process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(one.receiving for one in alive if one.receiving is not None))
        for one in alive:
            if one.receiving is not None and not one.receiving.done():
                logger.error("worker %d did not end within %g s; killing it", one.number, STOP_SECONDS)
                one.process.kill()
            await self._exit_code(one)


@contextmanager
def _metrics() -> Iterator[Path]:
    """A directory that only this user can read, for as long as the server runs."""
    directory = Path(tempfile.mkdtemp(prefix="ecgframe-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _describe_exit(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {abs(code)}"

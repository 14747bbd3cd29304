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
from .worker import BEAT, LONGEST_LINE, MOST_STREAMS, Worker
from .worker_process import signals_blocked, work

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from .options import ServeOptions

logger = logging.getLogger(__name__)

SILENT_SECONDS: Final = 30.0
"""Seconds without a sign of life after which a worker is killed and replaced: its event loop hangs."""

STOP_SECONDS: Final = 14.0
"""Seconds that the workers have to end, before they are killed."""

SETTLED_SECONDS: Final = 30.0
"""Seconds after which a worker counts as settled; until then, its replacement waits longer each time."""

LONGEST_PAUSE: Final = 30.0
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
        typer.Exit: the first worker did not start, and has told why.
        typer.Exit: the address cannot be listened on, which has been told.
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
        began: when it began, in seconds of the monotonic clock.
        heard: when it was last heard.
        ready: the lines to print, once it serves.
        ended: done when its end of the line is closed.
        streams: what its clients publish.
        writer: writes to it.
    """

    number: int
    process: BaseProcess
    writer: asyncio.StreamWriter
    ready: asyncio.Future[list[str]]
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    ended: asyncio.Task[None] | None = None
    streams: tuple[str, ...] = ()

    def tell(self, what: dict[str, Any]) -> None:
        """Tell it something. What a worker that ends does not read is lost."""
        self.writer.write(json.dumps(what).encode() + b"\n")


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
        """Start all workers, tell where they serve, and replace them.

        The first one starts alone, so that what is wrong with a file is told once.

        Raises:
            DidNotStart: one of them has ended before it served.
        """
        lines = await self._start(1)
        await asyncio.gather(*(self._start(number) for number in range(2, self._count + 1)))
        logger.info("%s serve on port %d", counted(self._count, "worker"), self._sockets[0].getsockname()[1])
        say(f"Workers: {self._count}, joined by Redis", *lines)
        async with asyncio.TaskGroup() as tending:
            for number in range(1, self._count + 1):
                tending.create_task(self._tend(number))
            tending.create_task(self._watch())

    async def _start(self, number: int) -> list[str]:
        """Start a worker; return what to print once it serves.

        Raises:
            DidNotStart: it has ended before.
        """
        ours, theirs = socket.socketpair()
        worker = Worker(number=number, count=self._count, sockets=self._sockets, line=theirs, metrics=self._metrics)
        process = self._context.Process(
            target=work, args=(self._options, worker), name=f"ecgframe worker {number}", daemon=True
        )
        with signals_blocked():
            process.start()
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
        one = _Process(number=number, process=process, writer=writer, ready=asyncio.get_running_loop().create_future())
        self._running[number] = one
        one.ended = asyncio.create_task(self._hear(reader, one))
        either: list[asyncio.Future[Any]] = [one.ended, one.ready]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not one.ready.done():
            code = await self._code_of(one)
            raise DidNotStart(code)
        self._tell_streams()
        logger.info("worker %d serves, process %d", number, process.pid, extra={"worker": number, "pid": process.pid})
        return one.ready.result()

    async def _hear(self, reader: asyncio.StreamReader, one: _Process) -> None:
        """Take what a worker tells, until its end of the line is closed."""
        with suppress(ConnectionError, ValueError):  # the latter: half a line, of one that was killed
            while line := await reader.readline():
                one.heard = time.monotonic()
                told = json.loads(line)
                if "ready" in told and not one.ready.done():
                    one.ready.set_result(told["ready"])
                if "streams" in told:
                    one.streams = tuple(told["streams"])
                    self._tell_streams()

    def _tell_streams(self) -> None:
        """Tell each worker what clients publish at the others."""
        for one in self._running.values():
            names = {name for other in self._running.values() if other is not one for name in other.streams}
            one.tell({"elsewhere": sorted(names)[:MOST_STREAMS]})

    async def _code_of(self, one: _Process) -> int:
        """The exit code of a worker that has closed its line."""
        await asyncio.to_thread(one.process.join, STOP_SECONDS)
        if one.process.is_alive():
            one.process.kill()
            await asyncio.to_thread(one.process.join)
        one.writer.close()
        return one.process.exitcode or 0

    async def _tend(self, number: int) -> None:
        """Replace a worker whenever it has ended."""
        pause = 0.0
        while True:
            one = self._running[number]
            assert one.ended is not None
            await asyncio.wait({one.ended})
            code = await self._code_of(one)
            one.streams = ()
            self._tell_streams()
            if time.monotonic() - one.began > SETTLED_SECONDS:
                pause = 0.0
            logger.error(
                "worker %d, process %d, has ended with %s; %s",
                number,
                one.process.pid,
                _ending(code),
                f"another one starts in {pause:g} s" if pause else "another one starts now",
                extra={"worker": number, "pid": one.process.pid, "code": code},
            )
            await asyncio.sleep(pause)
            pause = min(max(1.0, 2 * pause), LONGEST_PAUSE)
            with suppress(DidNotStart):  # the next turn tells it
                await self._start(number)

    async def _watch(self) -> None:
        """Kill workers that show no sign of life; they are replaced then."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            for one in self._running.values():
                if now - before > 2 * BEAT:  # this process itself stood still, and so may have the workers
                    one.heard = now
                elif one.ready.done() and now - one.heard > SILENT_SECONDS and one.process.is_alive():
                    logger.error(
                        "worker %d shows no sign of life; killing it", one.number, extra={"worker": one.number}
                    )
                    one.process.kill()

    async def _end(self) -> None:
        """End all workers: those that serve close their connections; those that do not yet are killed."""
        alive = [one for one in self._running.values() if one.process.is_alive()]
        logger.info("stopping %s", counted(len(alive), "worker"))
        for one in alive:
            if one.ready.done():
                one.tell({"stop": True})
            else:
                one.process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(one.ended for one in alive if one.ended is not None))
        for one in alive:
            if one.ended is not None and not one.ended.done():
                logger.error("worker %d did not end within %g s; killing it", one.number, STOP_SECONDS)
                one.process.kill()
            await self._code_of(one)


@contextmanager
def _metrics() -> Iterator[Path]:
    """A directory that only this user can read, for as long as the server runs."""
    directory = Path(tempfile.mkdtemp(prefix="ecgframe-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ending(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {abs(code)}"

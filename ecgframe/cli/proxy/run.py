"""Running a proxy, or a recording, until a signal comes, and showing what passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from ...tools.capture.wireshark_export import Recorder
from ...tools.faults import Faults
from ...tools.observation import Delivery, Observation
from ...tools.proxy import Proxy
from ..inspect.run import Looking, Wanted, looking_for
from ..stopping import stop_signals

if TYPE_CHECKING:
    from websockets.asyncio.server import Server


def run_proxy(
    host: str,
    port: int,
    target: str,
    *,
    record: Path | None,
    delay: float,
    drop: float,
    corrupt: float,
    throttle: float | None,
    seed: int | None,
    errors: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Relay until Ctrl-C. The arguments are those of the command; ``delay`` is in seconds.

    Raises:
        ToolError: there is no listening at that address.
        OSError: the recording cannot be written.
        MissingLibrary: websockets is not installed.
    """
    faults = Faults(delay=delay, drop=drop, corrupt=corrupt, throttle=throttle, seed=seed)
    looking = looking_for(Wanted(errors=errors), shown=not quiet, as_json=as_json)
    with ExitStack() as files:
        recorder = Recorder(files.enter_context(record.open("wb"))) if record else None

        def see(observation: Observation) -> None:
            if recorder and isinstance(observation, Delivery) and not observation.is_text:
                recorder.write(observation)
            looking.take(observation)

        witness = Witness(see)
        proxy = Proxy(target, witness, faults)
        asyncio.run(serve_until_signal(lambda: proxy.listen(host, port), f"to {target}", witness))
    if not as_json:
        _sum_up(looking, record)


class Witness:
    """Is told what passes. What goes wrong in telling it (a closed pipe, a full disk) ends the whole, not a connection.

    Args:
        see: is told next.
    """

    def __init__(self, see: Callable[[Observation], object]) -> None:
        self._see = see
        self.stop: asyncio.Event | None = None
        self.trouble: Exception | None = None

    def __call__(self, observation: Observation) -> None:
        """Something passed."""
        if self.trouble is None:
            try:
                self._see(observation)
            except Exception as error:
                self.trouble = error
                if self.stop:
                    self.stop.set()


async def serve_until_signal(listen: Callable[[], Awaitable[Server]], purpose: str, witness: Witness) -> None:
    """Listen, say where, and go on until SIGINT, SIGTERM, or the witness is in trouble; then raise that."""
    with stop_signals() as stop:
        witness.stop = stop
        server = await listen()
        host, port = server.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"Listening at ws://{shown}:{port} {purpose}", err=True)
        await stop.wait()
        server.close()
        await server.wait_closed()
    if witness.trouble:
        raise witness.trouble


def _sum_up(looking: Looking, record: Path | None) -> None:
    summary = looking.summary
    console = Console(stderr=True, highlight=False)
    broken = summary.errors.total()
    console.print(f"{summary.frames:,} good frames passed, {broken:,} broken ones")
    if record is not None:
        console.print(f"Next: ecgframe inspect {record}", markup=False, soft_wrap=True)

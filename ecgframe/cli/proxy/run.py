"""Running a proxy or a replay until a signal, and showing the traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING

from ...private_files import growing_file
from ...tools.capture.wireshark_export import Recorder
from ...tools.faults import Faults
from ...tools.frame_analysis import Examiner
from ...tools.observation import Delivery, Observation
from ...tools.proxy import Proxy
from ..console import Terminal, say
from ..inspect.run import FrameReporter, Wanted, frame_reporter
from ..keys.run import read_keys
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
    keys: Path | None = None,
    trusted: SSLContext | None = None,
) -> None:
    """Relay until Ctrl-C. The arguments are those of the command, except that ``delay`` is in seconds.

    Raises:
        ToolError: the address cannot be listened on.
        OSError: the recording cannot be written.
        MissingLibrary: websockets is not installed.
    """
    faults = Faults(delay=delay, drop=drop, corrupt=corrupt, throttle=throttle, seed=seed)
    examiner = Examiner(keyring=None if keys is None else read_keys(keys, "--keys"))
    reporter = frame_reporter(Wanted(errors=errors), shown=not quiet, as_json=as_json, examiner=examiner)
    with ExitStack() as files:
        recorder = Recorder(files.enter_context(growing_file(record))) if record else None

        def see(observation: Observation) -> None:
            if recorder and isinstance(observation, Delivery) and not observation.is_text:
                recorder.write(observation)
            reporter.take(observation)

        sink = ObservationSink(see)
        proxy = Proxy(target, sink, faults, trusted)
        asyncio.run(serve_until_signal(lambda: proxy.listen(host, port), f"to {target}", sink))
    if not as_json:
        _sum_up(reporter, record)


class ObservationSink:
    """Passes observations on. An error in showing or recording them (closed pipe, full disk) stops the whole command.

    Args:
        see: called with each observation.

    Attributes:
        stop: set when ``see`` raises.
        trouble: the exception that ``see`` raised; None while there is none.
    """

    def __init__(self, see: Callable[[Observation], object]) -> None:
        self._see = see
        self.stop: asyncio.Event | None = None
        self.trouble: Exception | None = None

    def __call__(self, observation: Observation) -> None:
        """Pass an observation on; after an error, do nothing."""
        if self.trouble is None:
            try:
                self._see(observation)
            except Exception as error:
                self.trouble = error
                if self.stop:
                    self.stop.set()


async def serve_until_signal(listen: Callable[[], Awaitable[Server]], purpose: str, sink: ObservationSink) -> None:
    """Listen, print the address, and serve until SIGINT, SIGTERM, or an error of the sink, which is raised."""
    with stop_signals() as stop:
        sink.stop = stop
        server = await listen()
        host, port = server.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"Listening at ws://{shown}:{port} {purpose}", err=True)
        await stop.wait()
        server.close()
        await server.wait_closed()
    if sink.trouble:
        raise sink.trouble


def _sum_up(reporter: FrameReporter, record: Path | None) -> None:
    summary = reporter.summary
    console = Terminal(stderr=True)
    broken = summary.errors.total()
    console.say(f"{summary.frames:,} valid frames relayed, {broken:,} broken")
    if record is not None:
        console.say(f"Next: ecgframe inspect {record}")

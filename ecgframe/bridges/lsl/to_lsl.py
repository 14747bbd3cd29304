"""From a server to LSL: follows streams over one connection and sends each to LSL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from ...client import Client, State, connect
from ...errors import ProtocolError
from ...protocol import SESSION_VERSIONS
from ...session import Settings
from .libraries import load_pylsl
from .outgoing import OutgoingStream, ToLslSummary
from .running import run_until
from .server_clock import ClockKeeper

ECG: Final = "ECG"


class ToLsl:
    """Sends streams of one server to LSL, each as an LSL stream of the same name, and its alerts as markers.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        streams: names of the streams.
        kind: type of the LSL streams.
        versions: protocol versions to speak.
        on_state: called with each new state of the client.
        on_error: called with each error that the server reports, and with each error in its frames.
        websockets_options: further arguments of ``ecgframe.connect``.

    Raises:
        ValueError: ``streams`` is empty or names a stream twice.
        MissingLibrary: pylsl or liblsl is not installed.
    """

    def __init__(
        self,
        url: str,
        streams: Sequence[str],
        *,
        kind: str = ECG,
        versions: tuple[int, ...] = SESSION_VERSIONS,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ProtocolError], object] | None = None,
        **websockets_options: Any,
    ) -> None:
        if not streams or len(set(streams)) < len(streams):
            raise ValueError("name at least one stream, and each stream only once")
        pylsl = load_pylsl()
        self._keeper = ClockKeeper(pylsl.local_clock)
        self._ending = asyncio.Event()
        self._on_state = on_state
        self._outgoing = [
            OutgoingStream(pylsl, stream, source_id(url, stream), kind, self._keeper.clock) for stream in streams
        ]
        settings = Settings(versions=versions, numeric_lists="ndarray", validate=True)
        self._client = connect(url, settings=settings, on_state=self._note, on_error=on_error, **websockets_options)

    @property
    def client(self) -> Client:
        """The client, with its state and its counters."""
        return self._client

    @property
    def summaries(self) -> tuple[ToLslSummary, ...]:
        """What was sent of each stream; ``run`` updates the summaries."""
        return tuple(outgoing.summary for outgoing in self._outgoing)

    @property
    def clock_steps(self) -> int:
        """Number of times that the server's clock was found to be set, by more than 50 ms."""
        return self._keeper.clock.steps

    async def run(self, seconds: float | None = None, stop: asyncio.Event | None = None) -> None:
        """Send until ``seconds`` have passed, ``stop`` is set, or the server ends all streams. Call it once only.

        After a lost connection the client reconnects, and each stream continues where it stopped if the server's
        history still has it. The LSL streams stay open meanwhile.

        Raises:
            OSError: the first connection failed.
            websockets.exceptions.WebSocketException: the server refused the WebSocket handshake.
            ConnectionLost: the client has given up reconnecting.
            ProtocolError: the server denies a stream.
            BridgeError: a stream changes its format too often.
        """
        try:
            await run_until(self._send(), seconds, stop, self._ending)
        finally:
            for outgoing in self._outgoing:
                outgoing.close()

    async def _send(self) -> None:
        async with self._client, asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._keeper.keep(self._client))
            following = [tasks.create_task(self._follow(outgoing)) for outgoing in self._outgoing]
            ending = tasks.create_task(self._ending.wait())
            waiting: set[asyncio.Task[Any]] = {*following}
            while waiting and not ending.done():
                _, waiting = await asyncio.wait({*waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
                waiting.discard(ending)
            for task in (keeping, ending, *following):
                task.cancel()

    async def _follow(self, outgoing: OutgoingStream) -> None:
        async for message in self._client.subscribe(outgoing.summary.stream, on_gap=outgoing.take_gap):
            await self._keeper.ready()
            outgoing.take(message)

    def _note(self, state: State) -> None:
        self._keeper.on_state(state)
        if self._on_state:
            self._on_state(state)


async def to_lsl(
    url: str,
    streams: str | Sequence[str],
    *,
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> tuple[ToLslSummary, ...]:
    """Send live streams to the Lab Streaming Layer until ``seconds`` have passed or ``stop`` is set.

    >>> [summary] = await to_lsl("wss://monitor.example/ws", "ecg/bed-7", seconds=3600)
    >>> summary.samples, summary.gaps, summary.markers

    Each stream is an LSL stream of the same name, with physical values (double64) in the unit of the stream, and the
    names of the leads and the unit in its description. Missing samples are NaN. Alerts are markers, in the LSL stream
    ``STREAM alerts``. Timestamps are the times of measurement, mapped from the server's clock to that of LSL.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        streams: the name of a stream, or several names.
        seconds: how long to send; None until ``stop`` is set or the server ends all streams.
        stop: ends the sending when it is set.
        options: further arguments of ``ToLsl``.

    Returns:
        What was sent of each stream.

    Raises:
        Exception: as ``ToLsl`` and its ``run``.
    """
    bridge = ToLsl(url, [streams] if isinstance(streams, str) else list(streams), **options)
    await bridge.run(seconds, stop)
    return bridge.summaries


def source_id(url: str, stream: str) -> str:
    """Identify a stream of a server, the same whenever the bridge runs; without user, password and query of the URL."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return f"ecgframe:{place}{parts.path}:{stream}"

"""From LSL to a server: finds LSL streams and publishes each as a stream of ECG_DATA."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ...client import Client, State, connect
from ...errors import PermissionDenied, ProtocolError
from ...protocol import MAX_STREAM_NAME, SESSION_VERSIONS, MessageType
from ...session import Settings
from .errors import BridgeError
from .finding import Query, find
from .incoming import STRING, FromLslSummary, IncomingStream, LslReceiver, alert_of
from .libraries import load_pylsl
from .running import run_until
from .server_clock import ClockKeeper

ECG: Final = "ECG"

MARKERS: Final = "Markers"
"""Type of LSL streams of markers."""

OPENING_SECONDS: Final = 10.0
"""Seconds that an LSL sender may take to answer."""

POLLS_PER_FRAME: Final = 2

LONGEST_POLL: Final = 0.05
"""Longest time in seconds between two looks for samples."""


class FromLsl:
    """Publishes LSL streams on a server that lets clients publish.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        names: names of the LSL streams; None for any name.
        kind: type of the LSL streams; by default "ECG" if there are neither names nor a predicate, else any.
        predicate: a condition in XPath 1.0, such as "hostname='amp-3'".
        wait: seconds to wait for the first LSL stream, or for all that are named.
        stream: name of the published stream, for one LSL stream; by default ``lsl/NAME``.
        channels: labels of the channels to publish; None for all.
        units: unit of the samples of LSL streams that state none.
        frame_seconds: seconds of signal in each message.
        markers: whether to publish the markers of LSL streams of the type "Markers" as alerts, on each of the streams.
        versions: protocol versions to speak.
        on_state: called with each new state of the client.
        on_error: called with each error that the server reports.
        websockets_options: further arguments of ``ecgframe.connect``.

    Raises:
        ValueError: the name of the published stream is too long, or ``frame_seconds`` is not above 0.
        MissingLibrary: pylsl or liblsl is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        names: Sequence[str] | None = None,
        kind: str | None = None,
        predicate: str | None = None,
        wait: float = 10.0,
        stream: str | None = None,
        channels: Sequence[str] | None = None,
        units: str | None = None,
        frame_seconds: float = 0.05,
        markers: bool = False,
        versions: tuple[int, ...] = SESSION_VERSIONS,
        on_state: Callable[[State], object] | None = None,
        on_error: Callable[[ProtocolError], object] | None = None,
        **websockets_options: Any,
    ) -> None:
        if stream is not None and not 0 < len(stream) <= MAX_STREAM_NAME:
            raise ValueError(f"the name of a stream must have 1 to {MAX_STREAM_NAME} characters")
        if not frame_seconds > 0:
            raise ValueError(f"a frame has more than {frame_seconds:g} seconds")
        is_open = not names and predicate is None
        self._query = Query(tuple(names or ()), ECG if kind is None and is_open else kind, predicate)
        self._pylsl = load_pylsl()
        self._wait = wait
        self._stream = stream
        self._channels = channels
        self._units = units
        self._frame_seconds = frame_seconds
        self._wants_markers = markers
        self._on_state = on_state
        self._on_error = on_error
        self._keeper = ClockKeeper(self._pylsl.local_clock)
        self._ending = asyncio.Event()
        self._incoming: list[IncomingStream] = []
        self._markers: list[LslReceiver] = []
        self._denial: asyncio.Future[None] | None = None
        settings = Settings(versions=versions)
        self._client = connect(
            url, settings=settings, on_state=self._note, on_error=self._take_error, **websockets_options
        )

    @property
    def client(self) -> Client:
        """The client, with its state and its counters."""
        return self._client

    @property
    def summaries(self) -> tuple[FromLslSummary, ...]:
        """What was published of each LSL stream; empty until they are found. ``run`` updates the summaries."""
        return tuple(incoming.summary for incoming in self._incoming)

    @property
    def clock_steps(self) -> int:
        """Number of times that the server's clock was found to be set, by more than 50 ms."""
        return self._keeper.clock.steps

    async def run(self, seconds: float | None = None, stop: asyncio.Event | None = None) -> None:
        """Publish until ``seconds`` have passed, ``stop`` is set, or all LSL streams have ended. Call it once only.

        While the server cannot be reached, LSL keeps the samples of up to two minutes, and they are published
        afterwards, with their times. If an LSL sender with a source id is restarted, its stream continues.

        Raises:
            BridgeError: no LSL stream was found, one cannot be published, or the server does not let this client
                publish.
            OSError: the first connection failed.
            websockets.exceptions.WebSocketException: the server refused the WebSocket handshake.
            ConnectionLost: the client has given up reconnecting.
        """
        try:
            await run_until(self._publish_all(), seconds, stop, self._ending)
        finally:
            self._markers.clear()

    async def _publish_all(self) -> None:
        self._denial = asyncio.get_running_loop().create_future()
        async with self._client:
            await asyncio.to_thread(self._open)
            if not self._incoming:  # stopped before any was found
                return
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._keeper.keep(self._client)),
                    tasks.create_task(_raise_from(self._denial)),
                    *(tasks.create_task(self._publish_markers(receiver)) for receiver in self._markers),
                ]
                await asyncio.wait([tasks.create_task(self._publish(incoming)) for incoming in self._incoming])
                for task in beside:
                    task.cancel()

    def _open(self) -> None:
        """Find the LSL streams, connect to them, and read their descriptions. Blocks."""
        infos = find(self._pylsl, self._query, self._wait, self._ending.is_set)
        for info in infos:
            if not info.channel_format():
                raise BridgeError(f"the LSL stream {info.name()!r} does not state the format of its samples")
            if info.channel_format() == STRING:
                raise BridgeError(
                    f"the LSL stream {info.name()!r} has texts, not samples; name others, and add --markers for texts"
                )
        if self._stream is not None and len(infos) > 1:
            raise BridgeError(
                f"{len(infos)} LSL streams match, so they cannot all be published as {self._stream!r}; "
                "name one of them (--name NAME)"
            )
        taken: set[str] = set()
        for info in infos:
            receiver = LslReceiver(self._pylsl, info, self._keeper.clock)
            name = _free_name(self._stream or f"lsl/{receiver.name}", taken)
            taken.add(name)
            self._incoming.append(
                IncomingStream(
                    receiver,
                    receiver.open(OPENING_SECONDS),
                    name,
                    chosen=self._channels,
                    units=self._units,
                    frame_seconds=self._frame_seconds,
                )
            )
        if self._wants_markers:
            for info in find(self._pylsl, Query(kind=MARKERS), self._wait, self._ending.is_set):
                if info.channel_format() == STRING:
                    self._markers.append(LslReceiver(self._pylsl, info, self._keeper.clock))
                    self._markers[-1].open(OPENING_SECONDS)

    async def _publish(self, incoming: IncomingStream) -> None:
        pause = min(self._frame_seconds / POLLS_PER_FRAME, LONGEST_POLL)
        try:
            while not self._ending.is_set():
                await self._keeper.ready()
                if not self._keeper.clock.is_measured:
                    incoming.summary.remark(
                        "the server does not state its time (before V3); its clock is taken for this machine's"
                    )
                await self._send_all(incoming, incoming.payloads())
                await asyncio.sleep(pause)
        except EOFError:
            incoming.summary.remark("its LSL sender ended, and it has no source id by which LSL finds it again")
        await self._send_all(incoming, incoming.rest())

    async def _send_all(self, incoming: IncomingStream, payloads: Iterator[dict[str, Any]]) -> None:
        for payload in payloads:
            await self._send(MessageType.ECG_DATA, payload)
            incoming.summary.frames += 1

    async def _publish_markers(self, receiver: LslReceiver) -> None:
        try:
            while True:
                await self._keeper.ready()
                before = receiver.unreadable
                texts = receiver.pull_texts()
                for incoming in self._incoming if receiver.unreadable > before else ():
                    incoming.summary.refused += receiver.unreadable - before
                    incoming.summary.remark("markers that are not UTF-8 or have no valid time were not published")
                for text, stamp in texts:
                    for incoming in self._incoming:
                        alert = alert_of(text, round(receiver.server_time(stamp), 6))
                        await self._send(MessageType.ANOMALY_ALERT, {**alert, "stream": incoming.summary.stream})
                        incoming.summary.markers += 1
                await asyncio.sleep(LONGEST_POLL)
        except EOFError:
            return

    async def _send(self, type: MessageType, data: dict[str, Any]) -> None:
        """Send a message; wait for a connection as long as it takes."""
        while True:
            try:
                await self._client.send_message(type, data)
            except TimeoutError:
                continue
            return

    def _note(self, state: State) -> None:
        self._keeper.on_state(state)
        if state is State.RECONNECTING:
            for summary in self.summaries:
                summary.remark("the connection was lost; messages that were on their way may be missing")
        if self._on_state:
            self._on_state(state)

    def _take_error(self, error: ProtocolError) -> None:
        if isinstance(error, PermissionDenied) and self._denial is not None and not self._denial.done():
            self._denial.set_exception(
                BridgeError(f"the server does not let this client publish ({error}); ecgframe serve --publish does")
            )
        elif self._on_error:
            self._on_error(error)


async def from_lsl(
    url: str, *, seconds: float | None = None, stop: asyncio.Event | None = None, **options: Any
) -> tuple[FromLslSummary, ...]:
    """Publish LSL streams on a server until ``seconds`` have passed, ``stop`` is set, or they have ended.

    >>> [summary] = await from_lsl("ws://127.0.0.1:8765/ws", names=["Polar H10"], seconds=3600)
    >>> summary.stream, summary.samples, summary.gaps

    Each LSL stream is published as a stream of ECG_DATA, with the names and the unit of its channels. The timestamps
    are those of LSL, corrected for the sender's clock and mapped to the server's. Samples that are missing by the
    timestamps are NaN.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        seconds: how long to publish; None until ``stop`` is set or the LSL streams have ended.
        stop: ends the publishing when it is set.
        options: further arguments of ``FromLsl``.

    Returns:
        What was published of each LSL stream.

    Raises:
        Exception: as ``FromLsl`` and its ``run``.
    """
    bridge = FromLsl(url, **options)
    await bridge.run(seconds, stop)
    return bridge.summaries


async def _raise_from(denial: asyncio.Future[None]) -> None:
    await denial


def _free_name(name: str, taken: set[str]) -> str:
    """Return the name, or the name with a number if another stream has it."""
    name = name[: MAX_STREAM_NAME - 5]
    return next(
        one for number in range(1, len(taken) + 2) if (one := name if number == 1 else f"{name}-{number}") not in taken
    )

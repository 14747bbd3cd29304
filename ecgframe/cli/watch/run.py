"""Following a stream until it is enough, and showing it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from websockets.exceptions import InvalidURI, WebSocketException

from ...client import Gap, State, connect
from ...protocol import MAX_STREAM_NAME
from ..stopping import stop_signals
from .stream_stats import Observation
from .views import JsonLines, Lines, LiveTable, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...codec import Message
    from ...errors import ProtocolError


def watch_stream(
    url: str,
    stream: str,
    *,
    seconds: float | None,
    as_json: bool,
    since: float | datetime | None,
    headers: list[tuple[str, str]],
) -> None:
    """Follow a stream. The arguments are those of the command; ``since`` is seconds ago, or a moment.

    Raises:
        OSError: there is no connection to be had, or it is lost for good.
        ProtocolError: the server denies the stream.
    """
    if not 0 < len(stream) <= MAX_STREAM_NAME:
        raise typer.BadParameter(f"the name of a stream has 1 to {MAX_STREAM_NAME} characters", param_hint="STREAM")
    console = Console(highlight=False)
    view = JsonLines() if as_json else LiveTable(console) if console.is_terminal else Lines(console)
    logging.getLogger("ecgframe").addHandler(logging.NullHandler())  # the view tells what there is to tell
    try:
        asyncio.run(Watcher(url, stream, since, headers, view).run(seconds))
    except BrokenPipeError:
        raise
    except (OSError, WebSocketException) as error:
        raise _Unreachable(f"{url}: {_reason(error)}") from error


class _Unreachable(OSError):
    """The server. The message says which, and why."""


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidURI):
        return error.msg
    if isinstance(error, OSError):
        number = error.errno or 0
        # asyncio's own text says where, and not what; names that cannot be resolved have negative numbers
        return os.strerror(number) if number > 0 else error.strerror or str(error)
    return str(error)


class Watcher:
    """One stream, followed and shown.

    Args:
        url: of the server.
        stream: its name.
        since: from so many seconds ago on, or from a moment on; None for from now on.
        headers: for the server.
        view: that shows it.
    """

    def __init__(
        self, url: str, stream: str, since: float | datetime | None, headers: list[tuple[str, str]], view: View
    ) -> None:
        self._client = connect(url, additional_headers=headers, on_state=self._on_state, on_error=self._on_error)
        self._stream = stream
        self._since = since
        self._view = view
        self._seen = Observation(time.monotonic())
        self._connected_at = 0.0
        self._trouble: asyncio.Future[None] | None = None

    async def run(self, seconds: float | None) -> None:
        """Follow until the time is up, Ctrl-C is pressed, or there is nothing more to follow."""
        self._trouble = asyncio.get_running_loop().create_future()
        with stop_signals() as stop, self._view.shown(self._stream):
            doing = (self._follow(), self._refresh(), stop.wait(), self._trouble)
            tasks = [asyncio.ensure_future(one) for one in doing]
            try:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        if self._connected_at:
            self._seen.nbytes = self._client.stats()["received_bytes"]
            self._view.sum_up(self._client, self._seen)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _follow(self) -> None:
        async with self._client as client:
            async for message in client.subscribe(self._stream, await self._begin(), on_gap=self._on_gap):
                latency = self._latency(message)
                self._seen.note(message, latency)
                self._view.message(message, latency)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._view.period)
            self._seen.nbytes = self._client.stats()["received_bytes"]
            self._view.refresh(self._client, self._seen)

    async def _begin(self) -> datetime | None:
        """The moment from which on, by the server's clock."""
        if self._since is None or isinstance(self._since, datetime):
            return self._since
        await self._client.ping()
        moment = time.time() + (self._client.clock_offset or 0.0) - self._since
        return datetime.fromtimestamp(max(moment, 0.0), UTC)

    def _latency(self, message: Message) -> float | None:
        """Seconds from sending to now; None where nobody knows, and for what was sent before this connection stood."""
        offset = self._client.clock_offset
        if message.timestamp is None or offset is None:
            return None
        sent_at = message.timestamp / 1_000_000 - offset
        return None if sent_at < self._connected_at else max(time.time() - sent_at, 0.0)

    def _on_state(self, state: State) -> None:
        if state is State.CONNECTED:
            self._connected_at = time.time()
            self._seen.reconnections = max(self._client.stats()["connections"] - 1, 0)
        self._show(self._view.state, self._client, state)

    def _on_gap(self, gap: Gap) -> None:
        self._seen.note_gap(gap)
        self._view.gap(gap)

    def _on_error(self, error: ProtocolError) -> None:
        self._show(self._view.error, error)

    def _show(self, show: Callable[..., None], *arguments: object) -> None:
        """Within a callback of the client: what goes wrong here (a closed pipe) is the end of the watching."""
        try:
            show(*arguments)
        except Exception as error:
            if self._trouble and not self._trouble.done():
                self._trouble.set_exception(error)

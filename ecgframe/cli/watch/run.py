"""Following a stream and showing its statistics."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...client import ConnectionLost, Gap, State, connect
from ...tools.connecting import (
    ConnectingError,
    no_such_stream,
    only_stream,
    sealed_with_another_key,
    stream_names,
)
from ..console import Terminal, say
from ..keys.run import read_keys
from ..live_streams import check_stream_names, connecting_to
from ..stopping import stop_signals
from .sample_views import CsvSamples, JsonSamples
from .stream_stats import StreamStats
from .views import JsonLines, Lines, LiveTable, View

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from ssl import SSLContext

    from ...codec import Message
    from ...errors import ProtocolError
    from ...seal import Keyring
    from ...signing import Attested, Unattested


LEAVING_SECONDS: Final = 3.0
"""Maximum time in seconds to wait until the server has confirmed the end of the subscription."""


def watch_stream(
    url: str,
    stream: str | None,
    *,
    seconds: float | None,
    samples: bool,
    as_json: bool,
    since: float | datetime | None,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    trusted: SSLContext | None = None,
    keys: Path | None = None,
    signers: list[bytes] | None = None,
) -> bool:
    """Follow a stream. The arguments are those of the command; ``since`` is a number of seconds ago, or a time.
    ``versions`` are the protocol versions to speak; ``signers`` the public keys by which messages are verified.

    Returns:
        True if everything that was asked for was shown, and with ``signers`` if nothing was found that they have not
        signed.

    Raises:
        ConnectingError: the connection cannot be made, or is lost and cannot be restored; or no stream is named, and
            the server does not have exactly one.
        ProtocolError: the server denies the stream.
        ToolError: the samples do not fit the columns of a CSV file any more.
    """
    stream = only_stream(url, headers, trusted) if stream is None else stream
    check_stream_names([stream])
    keyring = None if keys is None else read_keys(keys, "--keys")
    view = _view(stream, samples=samples, as_json=as_json, verifies=bool(signers))
    logging.getLogger("ecgframe").addHandler(logging.NullHandler())  # the view reports the same events
    with connecting_to(url):
        watcher = Watcher(url, stream, since, versions, headers, view, trusted, keyring, signers or None)
        asyncio.run(watcher.run(seconds))
    return view.is_whole and watcher.is_proven


def _view(stream: str, *, samples: bool, as_json: bool, verifies: bool) -> View:
    if samples:
        kind = JsonSamples if as_json else CsvSamples
        return kind(stream, sys.stdout.buffer, Terminal(stderr=True))
    console = Terminal()
    if as_json:
        return JsonLines(verifies=verifies)
    return LiveTable(console, verifies=verifies) if console.is_terminal else Lines(console, verifies=verifies)


class Watcher:
    """Follows one stream and shows it.

    Args:
        url: URL of the server.
        stream: name of the stream.
        since: where to start: a number of seconds ago, or a time; None for now.
        versions: protocol versions to speak.
        headers: HTTP headers of the opening request.
        view: shows the messages and the statistics.
        trusted: TLS context; None to trust the system's certificate authorities.
        keys: keys of sealed streams; None for those of the server.
        signers: public keys by which messages are verified; None to verify nothing.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        since: float | datetime | None,
        versions: tuple[int, ...],
        headers: list[tuple[str, str]],
        view: View,
        trusted: SSLContext | None = None,
        keys: Keyring | None = None,
        signers: list[bytes] | None = None,
    ) -> None:
        options: dict[str, Any] = {} if trusted is None else {"ssl": trusted}
        self._client = connect(
            url,
            settings=replace(view.settings, versions=versions),
            on_state=self._on_state,
            on_error=self._on_error,
            additional_headers=headers,
            keys=keys,
            signers=signers,
            **options,
        )
        self._url = url
        self._names = partial(stream_names, url, headers, trusted)
        self._stream = stream
        self._since = since
        self._view = view
        self._seen = StreamStats(time.monotonic(), verifies=signers is not None)
        self._connected_at = 0.0
        self._trouble: asyncio.Future[None] | None = None

    @property
    def is_proven(self) -> bool:
        """False if signatures are verified, and something was found that no known signer has signed."""
        return not self._seen.unproven

    async def run(self, seconds: float | None) -> None:
        """Follow for ``seconds``, or until Ctrl-C or the end of the stream."""
        self._trouble = asyncio.get_running_loop().create_future()
        with stop_signals() as stop, self._view.shown(self._stream):
            doing = (self._follow(), self._refresh(), stop.wait(), self._trouble)
            tasks = [asyncio.ensure_future(one) for one in doing]
            try:
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if self._view.is_drained and self._connected_at and not tasks[0].done():
                    await self._leave(tasks[0])
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        failures = [error for task in tasks if not task.cancelled() and (error := task.exception())]
        if self._connected_at:
            self._count()
            self._view.sum_up(self._client, self._seen)
            await self._view.finish()
        if failures:
            raise failures[0]
        if self._connected_at and not self._seen.messages:
            await self._explain_silence()

    async def _leave(self, following: asyncio.Future[Any]) -> None:
        """Unsubscribe, and show what has already arrived, within ``LEAVING_SECONDS``."""
        with suppress(TimeoutError, ConnectionLost):
            async with asyncio.timeout(LEAVING_SECONDS):
                await self._client.unsubscribe(self._stream)
                await asyncio.wait([following])

    async def _explain_silence(self) -> None:
        """Explain why no message came.

        Raises:
            ConnectingError: its messages are sealed with an unknown key, or the server has other streams.
        """
        if self._client.stats()["sealed"].get("keys asked for"):
            raise ConnectingError(sealed_with_another_key([self._stream]))
        known = await asyncio.to_thread(self._names)
        if known is None or self._stream not in known:
            silence = no_such_stream([self._stream], known, self._url)
            if known is None:
                say(silence, err=True)
            else:
                raise ConnectingError(silence)

    async def _follow(self) -> None:
        async with self._client as client:
            on_attestation = self._on_attestation if self._seen.verifies else None
            async for message in client.subscribe(
                self._stream, await self._begin(), on_gap=self._on_gap, on_attestation=on_attestation
            ):
                latency = self._latency(message)
                self._seen.note(message, latency)
                self._view.message(message, latency)
                await self._view.flush()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._view.period)
            self._count()
            self._view.refresh(self._client, self._seen)

    def _count(self) -> None:
        """Take over what the client counts."""
        stats = self._client.stats()
        self._seen.nbytes = stats["received_bytes"]
        self._seen.unopened = stats["sealed"].get("unknown key", 0)

    async def _begin(self) -> datetime | None:
        """Return the time at which to start, by the server's clock; None for now."""
        if self._since is None or isinstance(self._since, datetime):
            return self._since
        await self._client.ping()
        moment = time.time() + (self._client.clock_offset or 0.0) - self._since
        return datetime.fromtimestamp(max(moment, 0.0), UTC)

    def _latency(self, message: Message) -> float | None:
        """Seconds since the message was sent; None if unknown, or if it was sent before this connection was made."""
        offset = self._client.clock_offset
        if message.timestamp is None or offset is None:
            return None
        sent_at = message.timestamp / 1_000_000 - offset
        return None if sent_at < self._connected_at else max(time.time() - sent_at, 0.0)

    def _on_state(self, state: State) -> None:
        if state is State.CONNECTED:
            self._connected_at = time.time()
            self._seen.reconnections = max(self._client.stats()["connections"] - 1, 0)
            self._seen.note_version(self._client.version)
        self._show(self._view.state, self._client, state)

    def _on_gap(self, gap: Gap) -> None:
        self._seen.note_gap(gap)
        self._view.gap(gap)

    def _on_attestation(self, found: Attested | Unattested) -> None:
        self._seen.note_attestation(found)
        self._show(self._view.attestation, found)

    def _on_error(self, error: ProtocolError) -> None:
        self._seen.note_error(error)
        self._show(self._view.error, error)

    def _show(self, show: Callable[..., None], *arguments: object) -> None:
        """Show something from within a callback of the client. An error, such as a closed pipe, ends ``run``."""
        try:
            show(*arguments)
        except Exception as error:
            if self._trouble and not self._trouble.done():
                self._trouble.set_exception(error)

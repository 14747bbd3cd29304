"""Replaying one side of a recorded connection at its recorded pace, to a server or to clients."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..libraries import library
from . import ToolError
from .budget import Budget
from .capture.websocket_reassembly import LARGEST_MESSAGE
from .connecting import open_websocket
from .frame_analysis import header_fields
from .listening import address
from .observation import Delivery, Observation, Origin, Remark
from .signal_pace import SignalPace

if TYPE_CHECKING:
    from ssl import SSLContext

    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed
else:
    library("websockets", extra="tools", purpose="playing a recording")
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed

See = Callable[[Observation], object]


@dataclass(frozen=True, slots=True)
class Cue:
    """A message to send.

    Attributes:
        after: when to send it, in seconds after the beginning.
        octets: the bytes.
        is_text: whether to send it as a text message.
    """

    after: float
    octets: bytes
    is_text: bool = False


def part_of(
    observations: Iterable[Observation], *, from_server: bool, connection: int = 1, budget: Budget | None = None
) -> list[Cue]:
    """Return the messages that one side sent in a recording.

    Args:
        observations: the recording. The frames of a file count as a server's. They are timed by their samples: by the
            timestamps in the messages, or else by the sampling rate; without samples, by the timestamps of the headers.
        from_server: whether to return the messages of the server or of the client.
        connection: number of the connection, from 1, in the order of first messages.
        budget: limits the work of unpacking frames.

    Raises:
        ToolError: there is no such connection, or that side sent nothing.
    """
    connections: dict[tuple[str | None, str | None], int] = {}
    pace = SignalPace(Budget() if budget is None else budget)
    begin: float | None = None
    cues: list[Cue] = []  # at first with the time of each message, 0 if it is not known
    by_signal = array("d")
    for one in observations:
        if not isinstance(one, Delivery):
            continue
        ends = one.origin.client, one.origin.server
        if connections.setdefault(ends, len(connections) + 1) != connection:
            continue
        seen = _time(one)
        if seen:
            begin = seen if begin is None else min(begin, seen)
        if one.origin.from_server in (None, from_server):
            cues.append(Cue(seen or 0.0, one.octets, one.is_text))
            if one.origin.time is None:
                by_signal.append(pace.due(one))
    if not 0 < connection <= len(connections):
        count = "no connection" if not connections else f"{len(connections)} connections"
        raise ToolError(f"there is no connection {connection}: {count} in this recording")
    if not cues:
        raise ToolError(f"the {'server' if from_server else 'client'} sends nothing in connection {connection}")
    has_signal = pace.has_signal and len(by_signal) == len(cues)
    start = begin or 0.0
    for index, cue in enumerate(cues):  # in place, since a recording may be large
        after = by_signal[index] if has_signal else max((cue.after or start) - start, 0.0)
        cues[index] = Cue(after, cue.octets, cue.is_text)
    return cues


def _time(delivery: Delivery) -> float | None:
    if delivery.origin.time is not None:
        return delivery.origin.time
    timestamp = header_fields(delivery.octets).get("timestamp")
    return None if timestamp is None else timestamp / 1_000_000


class Replay:
    """Sends recorded messages at their pace.

    Args:
        cues: the messages.
        see: called with every message of both sides.
        speed: factor of the recorded pace.
        linger: seconds to stay connected after the last message.
    """

    def __init__(self, cues: Sequence[Cue], see: See, *, speed: float = 1.0, linger: float = 1.0) -> None:
        self._cues = cues
        self._see = see
        self._speed = speed
        self._linger = linger

    async def to_server(
        self, url: str, headers: Sequence[tuple[str, str]] = (), trusted: SSLContext | None = None
    ) -> None:
        """Connect to a server and send the messages.

        Raises:
            OSError, websockets.exceptions.WebSocketException: the connection could not be opened.
        """
        async with open_websocket(url, headers=headers, max_size=LARGEST_MESSAGE, trusted=trusted) as connection:
            await self._play(connection, from_server=False)

    async def listen(self, host: str, port: int) -> Server:
        """Send the messages to each client that connects, until the returned server is closed.

        Raises:
            ToolError: the address cannot be listened on.
        """

        async def serve(connection: ServerConnection) -> None:
            await self._play(connection, from_server=True)

        try:
            return await serve_websockets(
                serve, host, port, compression=None, ping_interval=None, max_size=LARGEST_MESSAGE
            )
        except OSError as error:
            raise ToolError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error

    async def _play(self, connection: ClientConnection | ServerConnection, *, from_server: bool) -> None:
        here, there = address(connection.local_address), address(connection.remote_address)
        client, server = (there, here) if from_server else (here, there)

        def origin(of_ours: bool) -> Origin:
            return Origin(time.time(), client, server, from_server is of_ours)

        async def hear() -> None:
            async for message in _messages(connection):
                octets = message.encode() if isinstance(message, str) else message
                self._see(Delivery(octets, origin(False), is_text=isinstance(message, str)))

        hearing = asyncio.create_task(hear())
        try:
            async for cue in self._paced():
                await connection.send(cue.octets.decode("utf-8", "replace") if cue.is_text else cue.octets)
                self._see(Delivery(cue.octets, origin(True), is_text=cue.is_text))
            await asyncio.wait({hearing}, timeout=self._linger)
            await connection.close()
        except ConnectionClosed:
            code, reason = connection.close_code, connection.close_reason or ""
            self._see(Remark(f"closes before the end: {code} {reason}".rstrip(), origin(False), is_fault=True))
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})

    async def _paced(self) -> AsyncIterator[Cue]:
        now = asyncio.get_running_loop().time
        begin = now()
        for cue in self._cues:
            await asyncio.sleep(max(begin + cue.after / self._speed - now(), 0))
            yield cue


async def _messages(websocket: ClientConnection | ServerConnection) -> AsyncIterator[bytes | str]:
    """Yield the messages until the connection ends, for any reason."""
    try:
        async for message in websocket:
            yield message
    except ConnectionClosed:
        return

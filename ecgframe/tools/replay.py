"""One side of a recorded conversation, played again at its own pace: to a server, or to whoever connects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..libraries import library
from . import ToolError
from .capture.websocket_reassembly import LARGEST_MESSAGE
from .frame_analysis import header_fields
from .listening import address
from .observation import Delivery, Observation, Origin, Remark

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed
else:
    library("websockets", extra="tools", purpose="playing a recording")
    from websockets.asyncio.client import connect as open_websocket
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed

See = Callable[[Observation], object]


@dataclass(frozen=True, slots=True)
class Cue:
    """A message that is to be said.

    Attributes:
        after: seconds after the beginning.
        octets: its bytes.
        is_text: whether it is a text message.
    """

    after: float
    octets: bytes
    is_text: bool = False


def part_of(observations: Iterable[Observation], *, from_server: bool, connection: int = 1) -> list[Cue]:
    """What one side said in a recording.

    Args:
        observations: the recording. Frames of a file count as a server's; their headers say when.
        from_server: whose part.
        connection: which one, counted from 1 in the order of their first messages.

    Raises:
        ToolError: that side says nothing in it, or there is no such connection.
    """
    connections: dict[tuple[str | None, str | None], list[Delivery]] = {}
    for observation in observations:
        if isinstance(observation, Delivery):
            connections.setdefault((observation.origin.client, observation.origin.server), []).append(observation)
    if not 0 < connection <= len(connections):
        held = "no connection" if not connections else f"{len(connections)} connections"
        raise ToolError(f"there is no connection {connection}: {held} in this recording")
    said = list(connections.values())[connection - 1]
    begin = min(filter(None, map(_time, said)), default=0.0)
    cues = [
        Cue(max((_time(one) or begin) - begin, 0.0), one.octets, one.is_text)
        for one in said
        if one.origin.from_server in (None, from_server)
    ]
    if not cues:
        raise ToolError(f"the {'server' if from_server else 'client'} says nothing in connection {connection}")
    return cues


def _time(delivery: Delivery) -> float | None:
    if delivery.origin.time is not None:
        return delivery.origin.time
    timestamp = header_fields(delivery.octets).get("timestamp")
    return None if timestamp is None else timestamp / 1_000_000


class Replay:
    """Says a part.

    Args:
        cues: the part.
        see: is told of every message of both sides.
        speed: how many times as fast as it was.
        linger: seconds that it listens after its last word.
    """

    def __init__(self, cues: Sequence[Cue], see: See, *, speed: float = 1.0, linger: float = 1.0) -> None:
        self._cues = cues
        self._see = see
        self._speed = speed
        self._linger = linger

    async def to_server(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Connect to a server, and say it.

        Raises:
            OSError, websockets.exceptions.WebSocketException: the connection could not be made.
        """
        async with open_websocket(
            url, compression=None, ping_interval=None, max_size=LARGEST_MESSAGE, additional_headers=list(headers)
        ) as websocket:
            await self._play(websocket, from_server=False)

    async def listen(self, host: str, port: int) -> Server:
        """Say it to each that connects, until the server that this gives is closed.

        Raises:
            ToolError: there is no listening at that address.
        """

        async def serve(websocket: ServerConnection) -> None:
            await self._play(websocket, from_server=True)

        try:
            return await serve_websockets(
                serve, host, port, compression=None, ping_interval=None, max_size=LARGEST_MESSAGE
            )
        except OSError as error:
            raise ToolError(f"cannot listen at {host}, port {port}: {error.strerror or error}") from error

    async def _play(self, websocket: ClientConnection | ServerConnection, *, from_server: bool) -> None:
        here, there = address(websocket.local_address), address(websocket.remote_address)
        client, server = (there, here) if from_server else (here, there)

        def origin(of_ours: bool) -> Origin:
            return Origin(time.time(), client, server, from_server is of_ours)

        async def hear() -> None:
            async for message in _messages(websocket):
                octets = message.encode() if isinstance(message, str) else message
                self._see(Delivery(octets, origin(False), is_text=isinstance(message, str)))

        hearing = asyncio.create_task(hear())
        try:
            async for cue in self._paced():
                await websocket.send(cue.octets.decode("utf-8", "replace") if cue.is_text else cue.octets)
                self._see(Delivery(cue.octets, origin(True), is_text=cue.is_text))
            await asyncio.wait({hearing}, timeout=self._linger)
            await websocket.close()
        except ConnectionClosed:
            code, reason = websocket.close_code, websocket.close_reason or ""
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
    """All that come; its end, however it came, is no error here."""
    try:
        async for message in websocket:
            yield message
    except ConnectionClosed:
        return

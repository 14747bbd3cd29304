"""The suite's side of a connection: sends any bytes, receives messages, and records both."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..._core import Clock
from ...codec import Codec, Message
from ...errors import ProtocolError
from ...libraries import library
from ...messages import check_received
from ...messages.templates import Template
from ...protocol import (
    DATA_TYPES,
    STANDALONE_VERSIONS,
    VERSIONS,
    CloseCode,
    ErrorCode,
    Flag,
    MessageType,
)
from ..frame_analysis import header_fields
from .checks import Failed, NotApplicable
from .transcript import Said, Settings

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection
    from websockets.exceptions import ConnectionClosed
else:
    library("websockets", extra="tools", purpose="testing conformance")
    from websockets.exceptions import ConnectionClosed

MORE_THAN_ANY: Final = 64 * 1024 * 1024
"""Largest message that the suite accepts, in bytes."""

_RECEIVING: Final = Codec(max_payload=MORE_THAN_ANY, versions=STANDALONE_VERSIONS)
_RECEIVING_RECORDS: Final = Codec(max_payload=MORE_THAN_ANY, versions=VERSIONS)
"""For connections that have agreed on version 4."""

_UNASKED: Final = DATA_TYPES | {MessageType.HEARTBEAT}
"""What a peer may send at any time, besides PING, which is answered automatically."""


class ScriptedPeer:
    """One connection of a case.

    Args:
        websocket: the open connection.
        settings: settings of the suite.
        connect: opens another connection to the server, or waits for the next one of the client.

    Attributes:
        settings: settings of the suite.
        offer: the offer of the server; empty before it arrives.
        version: protocol version in which the suite sends.
        templates: the templates that the peer has sent, by stream id and number.
        transcript: all messages and events.
    """

    def __init__(
        self,
        websocket: ClientConnection | ServerConnection,
        settings: Settings,
        connect: Callable[[], Awaitable[ClientConnection | ServerConnection]],
    ) -> None:
        self.settings = settings
        self.offer: dict[str, Any] = {}
        self.version = 1
        self.templates: dict[tuple[int, int], Template] = {}
        self.transcript: list[Said] = []
        self._websocket = websocket
        self._connect = connect
        self._codec = _RECEIVING
        self._clock = Clock()
        self._heard: deque[Message] = deque()
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._pings = count(1)
        self._next_beat = inf

    # --- connections ---

    async def reconnect(self) -> None:
        """Abort the connection, and continue with the next one, before its negotiation.

        Raises:
            Failed: there is no next connection in time.
        """
        self._websocket.transport.abort()
        self._write_down(True, b"", "aborted the connection")
        self._websocket = await self._next_connection()
        self._heard.clear()
        self.offer = {}
        self.version = 1
        self.templates = {}
        self._codec = _RECEIVING

    async def another(self) -> ScriptedPeer:
        """Open another connection to the server, which shares the transcript."""
        other = ScriptedPeer(await self._next_connection(), self.settings, self._connect)
        other.transcript, other._begin = self.transcript, self._begin
        self._write_down(True, b"", "opened another connection")
        return other

    async def _next_connection(self) -> ClientConnection | ServerConnection:
        try:
            return await self._connect()
        except TimeoutError:
            raise Failed(f"no other connection came within {self.settings.patience:g} s") from None

    # --- saying ---

    async def send(self, octets: bytes | str) -> None:
        """Send bytes, or a text message. A closed connection is not an error yet."""
        shown = octets.encode() if isinstance(octets, str) else octets
        self._write_down(True, shown, "text message" if isinstance(octets, str) else "")
        with suppress(ConnectionClosed):
            await self._websocket.send(octets)

    async def flood(self, octets: bytes, times: int) -> None:
        """Send the same bytes repeatedly; the transcript shows them once."""
        self._write_down(True, octets, f"the same message {times:,} times")
        with suppress(ConnectionClosed):
            for _ in range(times):
                await self._websocket.send(octets)

    def frame(
        self, type: MessageType, data: Any, *, flags: Flag | int = 0, version: int | None = None, **position: int
    ) -> bytes:
        """Encode a frame, by default in the current version. ``position``: ``stream_id``, ``sequence`` and ``form``."""
        number = version or self.version
        stamp = self._clock.next() if number >= 3 else None
        return Codec(version=number, compression=None).encode(type, data, flags=flags, timestamp=stamp, **position)

    async def say(
        self, type: MessageType, data: Any, *, flags: Flag | int = 0, version: int | None = None, **position: int
    ) -> int:
        """Send a message; return its timestamp, or 0 before version 3."""
        octets = self.frame(type, data, flags=flags, version=version, **position)
        await self.send(octets)
        return header_fields(octets).get("timestamp", 0)

    # --- hearing ---

    def soon(self) -> float:
        """Return the deadline of an answer, by the clock of the event loop."""
        return self._loop.time() + self.settings.timeout

    async def hear(self, what: str, end: float | None = None) -> Message:
        """Return the next message of any type.

        Args:
            what: what is expected, for the error.
            end: the deadline; ``soon()`` by default.

        Raises:
            Failed: no message arrived in time, the connection was closed, or the message is broken.
        """
        by_then = end or self.soon()
        while not self._heard:
            try:
                await self._receive(by_then)
            except TimeoutError:
                raise Failed(f"expected {what}; it did not come within {self.settings.timeout:g} s") from None
            except ConnectionClosed:
                self._write_down(False, b"", self._closing())
                raise Failed(f"expected {what}; the connection was closed: {self._closing()}") from None
        return self._heard.popleft()

    async def pause(self, seconds: float) -> None:
        """Read nothing for a while, so that the messages of the peer queue up."""
        end = self._loop.time() + seconds
        while self._loop.time() < end:
            await self._keep_alive()
            await asyncio.sleep(min(end, self._next_beat) - self._loop.time())

    @property
    def elapsed(self) -> float:
        """Seconds since the case began."""
        return self._loop.time() - self._begin

    async def listen(self, seconds: float) -> AsyncIterator[Message]:
        """Yield the messages that arrive within ``seconds``.

        Raises:
            Failed: the connection was closed, or a message is broken.
        """
        end = self._loop.time() + seconds
        while self._loop.time() < end or self._heard:
            if self._heard:
                yield self._heard.popleft()
                continue
            try:
                await self._receive(end)
            except TimeoutError:
                return
            except ConnectionClosed:
                self._write_down(False, b"", self._closing())
                raise Failed(f"the connection has to stay open; it was closed: {self._closing()}") from None

    async def _receive(self, end: float) -> None:
        """Process the next WebSocket message. Raises TimeoutError if none arrives before ``end``."""
        while self._loop.time() < end:
            await self._keep_alive()
            try:
                async with asyncio.timeout_at(min(end, self._next_beat)):
                    octets = await self._websocket.recv()
            except TimeoutError:
                continue
            await self._take(octets)
            return
        raise TimeoutError

    async def _keep_alive(self) -> None:
        """Send HEARTBEAT if it is due, since a server closes silent connections."""
        if self._loop.time() < self._next_beat:
            return
        await self.say(MessageType.HEARTBEAT, None)
        self._set_next_beat()

    def _set_next_beat(self) -> None:
        interval = self.offer.get("heartbeat_interval")
        self._next_beat = self._loop.time() + max(interval / 2, 0.01) if isinstance(interval, int | float) else inf

    async def hear_one(self, type: MessageType, *, among: frozenset[MessageType] = _UNASKED) -> Message:
        """Return the next message of that type. Only types in ``among`` may arrive before it."""
        end = self.soon()
        while True:
            message = await self.hear(type.name, end)
            if message.type is type:
                return message
            if message.type not in among:
                raise Failed(f"expected {type.name}; {_shown(message)} came")

    async def hear_error(self, code: ErrorCode, *, among: frozenset[MessageType] = _UNASKED) -> Message:
        """Return the next ERROR, which has to have that code. Only types in ``among`` may arrive before it."""
        message = await self.hear_one(MessageType.ERROR, among=among)
        said = message.data.get("code") if isinstance(message.data, dict) else None
        if said != code:
            raise Failed(f"expected ERROR 0x{code:03x} {code.name}; ERROR {_code(said)} came")
        return message

    async def hear_close(self, code: CloseCode, *, or_within: range = range(0)) -> None:
        """Check that the peer closes the connection with that code, or one within a range."""
        end = self.soon()
        while True:
            try:
                await self._receive(end)
            except TimeoutError:
                raise Failed(f"expected the connection to be closed with {int(code)}; it stays open") from None
            except ConnectionClosed:
                break
        self._write_down(False, b"", self._closing())
        if self._websocket.close_code != code and self._websocket.close_code not in or_within:
            raise Failed(f"expected a close with {int(code)}; it was closed with {self._closing()}")

    async def expect_silence(self, what: str, *, among: frozenset[MessageType] = _UNASKED) -> None:
        """Check, by a PING, that the peer sends no answer and keeps the connection open."""
        for message in await self.still_there():
            if message.type not in among:
                raise Failed(f"{what}; {_shown(message)} came")

    async def is_left(self) -> bool:
        """Return whether the peer closes the connection without sending a message."""
        end = self.soon()
        while not self._heard:
            try:
                await self._receive(end)
            except (TimeoutError, ConnectionClosed):
                self._write_down(False, b"", self._closing())
                return self._websocket.close_code is not None
        return False

    async def still_there(self) -> list[Message]:
        """Send a PING, and return the messages before its PONG. Raises Failed if there is none."""
        token = {"conformance": next(self._pings)}
        await self.say(MessageType.PING, token)
        before: list[Message] = []
        end = self.soon()
        while True:
            message = await self.hear("PONG, since the connection has to stay open", end)
            if message.type is MessageType.PONG and message.data == token:
                return before
            before.append(message)

    # --- opening, as a client ---

    async def hear_offer(self) -> Message:
        """Receive the offer, which has to be the server's first message."""
        message = await self.hear("PROTOCOL_NEGOTIATION as the server's first message")
        if message.type is not MessageType.PROTOCOL_NEGOTIATION:
            raise Failed(f"expected PROTOCOL_NEGOTIATION as the server's first message; {_shown(message)} came")
        if isinstance(message.data, dict):
            self.offer = message.data
            self._set_next_beat()
        return message

    async def negotiate(self, version: int | None = None, capabilities: Iterable[str] = ()) -> None:
        """Receive the offer, and choose a version, by default the highest before 4, and capabilities.

        Raises:
            NotApplicable: the server does not offer them.
        """
        await self.hear_offer()
        offered = [one for one in self.offer.get("versions", ()) if isinstance(one, int)]
        if not offered:
            raise Failed("the offer has no versions")
        chosen = version or max((one for one in offered if one in STANDALONE_VERSIONS), default=3)
        if chosen not in offered:
            raise NotApplicable(f"the server does not offer version {chosen}")
        self.needs(*capabilities)
        await self.choose({"version": chosen, "capabilities": list(capabilities)})

    async def choose(self, answer: dict[str, Any]) -> None:
        """Answer the offer, in version 1 as required."""
        await self.say(MessageType.PROTOCOL_NEGOTIATION, answer, version=1)
        if answer.get("version") in VERSIONS:
            self.agree(answer["version"])

    def agree(self, version: int) -> None:
        """Send in a version from now on, and receive version 4 only if it is that."""
        self.version = version
        self._codec = _RECEIVING_RECORDS if version >= 4 else _RECEIVING

    def needs(self, *capabilities: str) -> None:
        """Raise NotApplicable unless the server offers these capabilities."""
        offered = self.offer.get("capabilities", ())
        missing = [name for name in capabilities if name not in offered]
        if missing:
            raise NotApplicable(f"the server does not offer {', '.join(missing)}")

    @property
    def limit(self) -> int:
        """Largest payload that the peer accepts, in bytes."""
        announced = self.offer.get("max_payload")
        if not isinstance(announced, int):
            raise NotApplicable("the server announces no max_payload")
        return announced

    # --- what was said ---

    async def _take(self, octets: bytes | str) -> None:
        if isinstance(octets, str):
            self._write_down(False, octets.encode(), "text message")
            raise Failed("a text message was received; frames are binary messages")
        self._write_down(False, octets)
        if not octets:
            raise Failed("an empty message came")
        for item in self._codec.decode_each(octets, None, self.templates):
            if isinstance(item, ProtocolError):
                raise Failed(f"a broken frame came: 0x{item.code:03x}, {item}")
            if item.type not in DATA_TYPES:
                try:
                    item.data = check_received(item.type, item.data, item.version)
                    self._keep_templates(item)
                except ProtocolError as error:
                    raise Failed(f"an invalid message for its type was received: {error}") from error
            if item.type is MessageType.PING:  # a peer may send PING at any time
                await self.say(MessageType.PONG, item.data)
            else:
                self._heard.append(item)

    def read(self, frame: bytes) -> Message:
        """Decode a frame that the peer has sent inside another one.

        Raises:
            Failed: it is broken.
        """
        try:
            return self._codec.decode(frame, None, self.templates)
        except ProtocolError as error:
            raise Failed(f"a broken frame came: 0x{error.code:03x}, {error}") from error

    def _keep_templates(self, message: Message) -> None:
        """Keep a template, or those in the answer to SUBSCRIBE. Raises ProtocolError if one is invalid."""
        if message.type is MessageType.STREAM_TEMPLATE:
            data = message.data
            fields = {name: data[name] for name in ("missing", "scale") if name in data}
            template = Template(data["template"], data["stream"], data["dtype"], data["rows"], data["fields"], **fields)
            self.templates[message.stream_id or 0, template.number] = template
        elif message.type is MessageType.SUBSCRIPTION_ACK and message.version >= 4:
            for frame in message.data.get("templates", ()):
                self._keep_templates(self._codec.decode(frame))

    def _write_down(self, ours: bool, octets: bytes, text: str = "") -> None:
        self.transcript.append(Said(self.elapsed, ours, octets, text))

    def _closing(self) -> str:
        code, reason = self._websocket.close_code, self._websocket.close_reason
        return f"{code or 'no code'} {reason or ''}".rstrip()


def _shown(message: Message) -> str:
    if message.type is MessageType.ERROR and isinstance(message.data, dict):
        return f"ERROR {_code(message.data.get('code'))} ({message.data.get('message')})"
    return str(message.type.name)


def _code(code: object) -> str:
    if not isinstance(code, int):
        return f"with the code {code!r}"
    known = {int(one): one.name for one in ErrorCode}
    return f"0x{code:03x} {known.get(code, '')}".rstrip()

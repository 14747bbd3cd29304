"""The suite's side of a connection: says any bytes, hears messages, and writes down both."""

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
from ...protocol import DATA_TYPES, LATEST_VERSION, CloseCode, ErrorCode, Flag, MessageType
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
"""Bytes of a message that the suite reads, whatever limit it plays."""

_UNASKED: Final = DATA_TYPES | {MessageType.HEARTBEAT}
"""What a peer may say at any time, beside PING, which is answered before a case gets to see it."""


class ScriptedPeer:
    """One connection of a case.

    Args:
        websocket: open.
        settings: of the suite.
        connect: opens another connection to the server, or waits for the client's next.

    Attributes:
        settings: of the suite.
        offer: what the server offered; empty before.
        version: in which the suite talks.
        transcript: all that was said.
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
        self.transcript: list[Said] = []
        self._websocket = websocket
        self._connect = connect
        self._codec = Codec(max_payload=MORE_THAN_ANY)
        self._clock = Clock()
        self._heard: deque[Message] = deque()
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._pings = count(1)
        self._next_beat = inf

    # --- connections ---

    async def reconnect(self) -> None:
        """Break the connection off, and go on over the next one, where nothing is agreed yet.

        Raises:
            Failed: there is none in time.
        """
        self._websocket.transport.abort()
        self._write_down(True, b"", "broke the connection off")
        self._websocket = await self._next_connection()
        self._heard.clear()
        self.offer = {}
        self.version = 1

    async def another(self) -> ScriptedPeer:
        """Another client of the same server, whose words are written down with those of this one."""
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
        """Say these bytes, or this text. A connection that is closed meanwhile is no failure yet."""
        shown = octets.encode() if isinstance(octets, str) else octets
        self._write_down(True, shown, "text message" if isinstance(octets, str) else "")
        with suppress(ConnectionClosed):
            await self._websocket.send(octets)

    async def flood(self, octets: bytes, times: int) -> None:
        """Say the same bytes that often, which a transcript shows once."""
        self._write_down(True, octets, f"the same message {times:,} times")
        with suppress(ConnectionClosed):
            for _ in range(times):
                await self._websocket.send(octets)

    def frame(self, type: MessageType, data: Any, *, flags: Flag | int = 0, version: int | None = None) -> bytes:
        """A good frame in the version in which the suite talks."""
        number = version or self.version
        stamp = self._clock.next() if number == LATEST_VERSION else None
        return Codec(version=number, compression=None).encode(type, data, flags=flags, timestamp=stamp)

    async def say(self, type: MessageType, data: Any, *, flags: Flag | int = 0, version: int | None = None) -> int:
        """Say a message. Gives its timestamp, 0 before version 3."""
        octets = self.frame(type, data, flags=flags, version=version)
        await self.send(octets)
        return self._codec.decode(octets).timestamp or 0

    # --- hearing ---

    def soon(self) -> float:
        """By when an answer has to be there, on the loop's clock."""
        return self._loop.time() + self.settings.timeout

    async def hear(self, what: str, end: float | None = None) -> Message:
        """The next message, whatever it is; ``what`` was expected, by then or ``soon``.

        Raises:
            Failed: nothing came in time, the connection was closed, or it was broken.
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
        """Read nothing for a while, so that what the peer says has to wait."""
        end = self._loop.time() + seconds
        while self._loop.time() < end:
            await self._keep_alive()
            await asyncio.sleep(min(end, self._next_beat) - self._loop.time())

    @property
    def elapsed(self) -> float:
        """Seconds since the case began."""
        return self._loop.time() - self._begin

    async def listen(self, seconds: float) -> AsyncIterator[Message]:
        """The messages that come within that time.

        Raises:
            Failed: the connection was closed, or what came was broken.
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
                raise Failed(f"the connection has to go on; it was closed: {self._closing()}") from None

    async def _receive(self, end: float) -> None:
        """Take what comes next. TimeoutError where nothing comes before that moment of the loop's clock."""
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
        """Beat where it is time: to a server, who is silent for long is dead."""
        if self._loop.time() < self._next_beat:
            return
        await self.say(MessageType.HEARTBEAT, None)
        self._set_next_beat()

    def _set_next_beat(self) -> None:
        interval = self.offer.get("heartbeat_interval")
        self._next_beat = self._loop.time() + max(interval / 2, 0.01) if isinstance(interval, int | float) else inf

    async def hear_one(self, type: MessageType, *, among: frozenset[MessageType] = _UNASKED) -> Message:
        """The next message of that type; those ``among`` may come before it, others may not."""
        end = self.soon()
        while True:
            message = await self.hear(type.name, end)
            if message.type is type:
                return message
            if message.type not in among:
                raise Failed(f"expected {type.name}; {_shown(message)} came")

    async def hear_error(self, code: ErrorCode, *, among: frozenset[MessageType] = _UNASKED) -> Message:
        """The ERROR of that code that has to come; those ``among`` may come before it."""
        message = await self.hear_one(MessageType.ERROR, among=among)
        said = message.data.get("code") if isinstance(message.data, dict) else None
        if said != code:
            raise Failed(f"expected ERROR 0x{code:03x} {code.name}; ERROR {_code(said)} came")
        return message

    async def hear_close(self, code: CloseCode, *, or_within: range = range(0)) -> None:
        """The close frame of that code, or of one within a range, that has to come at once."""
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
        """Nothing of the peer's may answer what was said, and the connection goes on: a PING shows both."""
        for message in await self.still_there():
            if message.type not in among:
                raise Failed(f"{what}; {_shown(message)} came")

    async def is_left(self) -> bool:
        """Whether the peer just closes the connection, and says nothing."""
        end = self.soon()
        while not self._heard:
            try:
                await self._receive(end)
            except (TimeoutError, ConnectionClosed):
                self._write_down(False, b"", self._closing())
                return self._websocket.close_code is not None
        return False

    async def still_there(self) -> list[Message]:
        """Ping; give what came before the PONG. Fails where none comes."""
        token = {"conformance": next(self._pings)}
        await self.say(MessageType.PING, token)
        before: list[Message] = []
        end = self.soon()
        while True:
            message = await self.hear("PONG, since the connection has to go on", end)
            if message.type is MessageType.PONG and message.data == token:
                return before
            before.append(message)

    # --- opening, as a client ---

    async def hear_offer(self) -> Message:
        """The server's first word."""
        message = await self.hear("PROTOCOL_NEGOTIATION, since the server speaks first")
        if message.type is not MessageType.PROTOCOL_NEGOTIATION:
            raise Failed(f"expected PROTOCOL_NEGOTIATION as the server's first word; {_shown(message)} came")
        if isinstance(message.data, dict):
            self.offer = message.data
            self._set_next_beat()
        return message

    async def negotiate(self, version: int | None = None, capabilities: Iterable[str] = ()) -> None:
        """Hear the offer and choose from it: a version, by default the highest, and capabilities.

        Raises:
            NotApplicable: the server offers none of that.
        """
        await self.hear_offer()
        offered = [one for one in self.offer.get("versions", ()) if isinstance(one, int)]
        if not offered:
            raise Failed("the offer has no versions")
        chosen = version or max(one for one in offered if one <= LATEST_VERSION)
        if chosen not in offered:
            raise NotApplicable(f"the server does not offer version {chosen}")
        self.needs(*capabilities)
        await self.choose({"version": chosen, "capabilities": list(capabilities)})

    async def choose(self, answer: dict[str, Any]) -> None:
        """Answer the offer, in version 1 as has to be."""
        await self.say(MessageType.PROTOCOL_NEGOTIATION, answer, version=1)
        if answer.get("version") in (1, 2, 3):
            self.version = answer["version"]

    def needs(self, *capabilities: str) -> None:
        """Go on only with a server that offers these."""
        offered = self.offer.get("capabilities", ())
        missing = [name for name in capabilities if name not in offered]
        if missing:
            raise NotApplicable(f"the server does not offer {', '.join(missing)}")

    @property
    def limit(self) -> int:
        """Bytes of a payload that the peer accepts."""
        announced = self.offer.get("max_payload")
        if not isinstance(announced, int):
            raise NotApplicable("the server announces no max_payload")
        return announced

    # --- what was said ---

    async def _take(self, octets: bytes | str) -> None:
        if isinstance(octets, str):
            self._write_down(False, octets.encode(), "text message")
            raise Failed("a text message came; frames travel in binary ones")
        self._write_down(False, octets)
        if not octets:
            raise Failed("an empty message came")
        for item in self._codec.decode_each(octets):
            if isinstance(item, ProtocolError):
                raise Failed(f"a broken frame came: 0x{item.code:03x}, {item}")
            if item.type not in DATA_TYPES:
                try:
                    item.data = check_received(item.type, item.data)
                except ProtocolError as error:
                    raise Failed(f"a message came that is not what its type requires: {error}") from error
            if item.type is MessageType.PING:  # a peer may ask at any time, a slow suite above all
                await self.say(MessageType.PONG, item.data)
            else:
                self._heard.append(item)

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

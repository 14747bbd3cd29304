"""One stream that a client publishes: each message once, over all connections, as far as memory reaches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, get_args

from ..background.threads import ENCODED_AT_ONCE, in_thread
from ..errors import AuthenticationFailed, InvalidDataFormat, MessageTooLarge
from ..exact import ExactSamples
from ..foreign_text import gated_logger
from ..protocol import DATA_TYPES, SEAL_OVERHEAD, TRAILER_SIZE, Capability, ErrorCode, Flag, MessageType
from ..session import Acknowledged, ErrorReceived, Settings, StreamWriter, Undelivered, prepare_outgoing
from ..session.outgoing import encoding_for
from ..session.record_writer import Counts
from ..session.sealed_content import sealed_content
from ..session.stream_writer import sealed_encoding
from ..signing.attester import ATTESTING_SECONDS
from .backoff import as_error
from .callbacks import call_safely
from .errors import ConnectionLost, NotAcknowledged

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from ..seal import Keyring
    from ..session import Encoding, Outgoing
    from ..signing import SigningKey
    from .connection import Connection

log = gated_logger("ecgframe.client")

Samples = Literal["as given", "exact"]
"""How the samples of a message travel in records."""

MOST_UNSENT: Final = 64
"""Messages that may wait to be sent over an open connection before ``send`` waits."""

ASK_AGAIN: Final = 2.0
"""Seconds after which a stream is opened again that the server could not open."""

NUMBERED: Final = 4
"""The first version with numbered messages."""


class Lost(NamedTuple):
    """Messages of a publisher that the server does not have: they were not in memory any more, or were refused.

    Attributes:
        stream: name of the stream.
        messages: how many more are lost, templates included. Viewers of version 4 get the same number.
    """

    stream: str
    messages: int


class Sender(Protocol):
    """``Client.send_message``, for servers before version 4."""

    def __call__(
        self, type: MessageType, data: Any, flags: Flag | int = 0, acknowledged: bool = False, *, timeout: float = 30.0
    ) -> Awaitable[int]:
        """Send a message."""


class _Receipt(NamedTuple):
    """A message whose sender waits until the server has it."""

    number: int
    type: MessageType
    future: asyncio.Future[None]


class Publisher:
    """What a client publishes on one stream. ``Client.publisher`` creates it and documents its arguments.

    Attributes:
        stream: name of the stream.
    """

    def __init__(
        self,
        stream: str,
        id: int,
        settings: Settings,
        *,
        samples: Samples,
        memory_frames: int,
        memory_bytes: int,
        on_lost: Callable[[Lost], object] | None,
        keyring: Keyring | None,
        bulk: bool,
        signer: SigningKey | None = None,
        wall_clock_us: Callable[[], int],
        send_message: Sender,
        forget: Callable[[Publisher], None],
    ) -> None:
        if samples not in get_args(Samples):
            raise ValueError(f"samples is one of {get_args(Samples)}, not {samples!r}")
        if memory_frames < 1 or memory_bytes < 1:
            raise ValueError("the memory of a publisher is at least 1 message and 1 byte")
        self.stream = stream
        self._writer = StreamWriter(
            stream,
            id,
            settings,
            frames=memory_frames,
            nbytes=memory_bytes,
            keyring=keyring,
            bulk=bulk,
            signer=signer,
        )
        self._settings = settings
        self._exact = ExactSamples() if samples == "exact" else None
        self._on_lost = on_lost
        self._wall_clock_us = wall_clock_us
        self._send_message = send_message
        self._forget = forget
        self._encoding: Encoding = encoding_for(NUMBERED, settings.capabilities)
        self._max_payload = settings.max_payload
        self._connection: Connection | None = None
        self._asked: int | None = None  # timestamp of the opening that is not answered
        self._asked_at = 1  # the number that was next then
        self._reported = 0  # messages whose loss was reported
        self._receipts: dict[int, _Receipt] = {}  # by the timestamps of their messages
        self._in_order = asyncio.Lock()
        self._work = asyncio.Event()
        self._moved = asyncio.Event()
        self._failure: Exception | None = None
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._send_all(), name="ecgframe publisher")
        self._attesting: asyncio.Task[None] | None = None
        if signer is not None:
            self._attesting = self._loop.create_task(self._attest_each_second(), name="ecgframe attestations")

    def __repr__(self) -> str:
        return f"<Publisher of {self.stream!r}, {self.status}>"

    # --- what the application calls ---

    @property
    def status(self) -> str:
        """The state: "open" if the server takes messages now, "waiting" if it may later, "over" if it never will."""
        if self._is_over:
            return "over"
        return "open" if self._writer.is_open else "waiting"

    @property
    def epoch(self) -> int:
        """The epoch of the numbers, a random integer."""
        return self._writer.epoch

    @property
    def lost(self) -> int:
        """Messages that the server has reported as lost; templates are counted, too."""
        return self._writer.lost

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values. Sizes are in bytes; numbers count templates as messages."""
        writer = self._writer
        return {
            "status": self.status,
            "written": writer.next - 1,
            "confirmed": writer.confirmed - 1,
            "unsent": writer.unsent,
            "kept": writer.kept,
            "kept_bytes": writer.nbytes,
            "lost": writer.lost,
        }

    async def send(
        self,
        type: MessageType,
        data: Any,
        flags: Flag | int = 0,
        acknowledged: bool = False,
        *,
        timeout: float = 30.0,
    ) -> int:
        """Publish a message on the stream.

        It is kept in memory and sent as soon as the server takes it; without a connection, this returns at once. If the
        server falls behind over an open connection, or memory is full before it has begun, this waits. An alert, and a
        message with PRIORITY, overtakes the messages that wait.

        Args:
            type: ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT or FEATURE_DATA.
            data: its payload. A dict needs no "stream".
            flags: PRIORITY.
            acknowledged: whether to wait until the server has it.
            timeout: seconds to wait for space, and with ``acknowledged`` for the server.

        Returns:
            The timestamp of the message, in microseconds since 1970.

        Raises:
            PermissionDenied: 0x203, this client may not publish on the stream, or another client has opened it.
            ConnectionLost: the client is closed, or does not reconnect any more.
            NotAcknowledged: with ``acknowledged``, the server did not acknowledge it, or it is lost.
            TimeoutError: the server did not take it in that time.
            ValueError: it is not a data message, names another stream, or is a broadcast. Of a sealed stream: it has no
                ``timestamp``, or no key is valid now.
            AuthenticationFailed: the stream is to be sealed, and the server takes no sealed messages.
            TypeError, OverflowError, ProtocolError: the payload cannot be encoded; see ``Codec.encode``.
        """
        self._check(type, data, Flag(flags))
        wanted = Flag(flags) | (Flag.ACK_REQUIRED if acknowledged else Flag(0))
        if self._is_unnumbered:
            named = {**data, "stream": self.stream} if isinstance(data, dict) else data
            return await self._send_message(type, named, flags, acknowledged, timeout=timeout)
        urgent = bool(wanted & Flag.PRIORITY) or type is MessageType.ANOMALY_ALERT
        async with asyncio.timeout(timeout):
            if urgent:
                outgoing = await self._write(type, data, wanted)
            else:
                async with self._in_order:
                    while self._is_behind:
                        await self._progress()
                    outgoing = await self._write(type, data, wanted)
            if acknowledged:
                await self._receipt(outgoing)
        return outgoing.timestamp

    async def flush(self, *, timeout: float = 30.0) -> None:
        """Wait until the server has all messages that were sent so far, or knows that they are lost.

        Raises:
            TimeoutError: it did not say so in that time.
            PermissionDenied, ConnectionLost: as ``send``.
        """
        number = self._writer.next
        async with asyncio.timeout(timeout):
            while self._writer.confirmed < number:
                self._check_over()
                if self._writer.is_open and not self._writer.unsent and self._asked is None:
                    self._ask()
                await self._progress()

    async def close(self, *, timeout: float = 30.0) -> None:
        """Wait until the server has all messages, then stop publishing. Leaving the publisher's block does the same.

        Closing the client does not wait: it ends its publishers, and logs how many messages were not confirmed.

        Raises:
            TimeoutError: the server did not confirm that in time; ``stats`` shows how far it has got.
            PermissionDenied, ConnectionLost: as ``send``.
        """
        try:
            if not self._is_over:
                self._attest(last=True)
            await self.flush(timeout=timeout)
        finally:
            self.end(ConnectionLost("the publisher is closed"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            self.end(ConnectionLost("the publisher is closed"))

    # --- the client's side ---

    def connected(self, connection: Connection) -> None:
        """Note that there is a connection whose version is known, and open the stream."""
        session = connection.session
        if self._writer.is_sealed and not _takes_sealed(connection):
            self.end(
                AuthenticationFailed(
                    f"{self.stream!r} is to be sealed, and the server takes no sealed messages: that needs version 4 "
                    "and the capability 'encryption'"
                )
            )
            return
        self._connection = connection
        self._asked = None
        self._writer.disconnected()
        if session.version >= NUMBERED:
            self._encoding = session.encoding
            limit = session.max_payload_of_peer
            self._max_payload = self._settings.max_payload if limit is None else limit
            self._ask()
        self._moved.set()

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        self._connection = None
        self._asked = None
        self._writer.disconnected()
        self._wake()

    def acknowledged(self, event: Acknowledged) -> bool:
        """Note that the server acknowledged a message. Returns whether it is one of this publisher."""
        receipt = self._receipts.pop(event.timestamp, None)
        if receipt is not None:
            _settle(receipt.future, None)
        if event.timestamp != self._asked:
            return receipt is not None
        self._asked = None
        if event.next is None:
            self.end(InvalidDataFormat("the server acknowledged an opening without a number"))
        elif self._writer.is_open and event.next >= self._asked_at:
            self._writer.confirm(event.next, event.lost)
        else:
            self._writer.opened(event.next, event.lost)
        self._settle_confirmed()
        self._tell_loss()
        self._wake()
        return True

    def undelivered(self, event: Undelivered) -> None:
        """Note that the server did not acknowledge a message over the present connection."""
        if event.timestamp == self._asked and self._connection is not None:
            self._asked = None
            self._ask_later()
        elif self._connection is not None and (receipt := self._receipts.pop(event.timestamp, None)):
            _settle(receipt.future, NotAcknowledged(receipt.type, event.timestamp, event.attempts))

    def refused(self, event: ErrorReceived) -> bool:
        """Process an ERROR about this stream in this epoch. Returns whether the publisher is over."""
        match event.details:
            case {"stream": self.stream, "epoch": self.epoch}:
                pass
            case _:
                return False
        if event.code == ErrorCode.PERMISSION_DENIED:
            self.end(as_error(event.code, event.message))
        elif not self._writer.is_open and self._asked is not None:
            self._forget_question()
            self._ask_later()
        return self._is_over

    def end(self, failure: Exception | None) -> None:
        """Note that nothing more is sent."""
        if self._is_over:
            return
        self._is_over = True
        unconfirmed = self._writer.next - self._writer.confirmed
        if unconfirmed:
            log.warning(
                "the publisher of %r ends with %d messages that the server has not confirmed; %d were not sent",
                self.stream,
                unconfirmed,
                self._writer.unsent,
            )
        self._failure = failure or ConnectionLost("the client is closed")
        self._forget_question()
        self._writer.disconnected()
        for receipt in self._receipts.values():
            _settle(receipt.future, self._failure)
        self._receipts.clear()
        self._task.cancel()
        if self._attesting is not None:
            self._attesting.cancel()
        self._moved.set()
        self._forget(self)

    # --- inside ---

    @property
    def _is_unnumbered(self) -> bool:
        """Return whether there is a connection to a server before version 4."""
        connection = self._connection
        return connection is not None and connection.session.version < NUMBERED

    @property
    def _is_behind(self) -> bool:
        """Return whether a message has to wait until others were sent. Without a connection, none does."""
        if self._connection is None or self._is_unnumbered:
            return False
        return self._writer.is_tight or (self._writer.is_open and self._writer.unsent >= MOST_UNSENT)

    def _check(self, type: MessageType, data: Any, flags: Flag) -> None:
        self._check_over()
        if type not in DATA_TYPES:
            raise ValueError(f"{MessageType(type).name} is not a data message: the client sends it by itself")
        if flags & ~Flag.PRIORITY:
            raise ValueError(f"a message of a stream has no flag but PRIORITY; got {flags!r}")
        if isinstance(data, dict) and data.get("stream", self.stream) != self.stream:
            raise ValueError(f"the publisher of {self.stream!r} sends nothing on {data['stream']!r}")

    def _check_over(self) -> None:
        if self._is_over:
            assert self._failure is not None
            raise self._failure

    async def _write(self, type: MessageType, data: Any, flags: Flag) -> Outgoing:
        """Give the message its number; a large one is encoded in a thread first."""
        self._check_over()
        limit = self._max_payload
        try:
            outgoing = self._writer.write(
                self._encoding,
                type,
                data,
                wall_clock_us=self._wall_clock_us,
                now=self._loop.time(),
                flags=flags,
                counts=self._counts_of(type, data),
                max_payload=min(limit, ENCODED_AT_ONCE),
            )
        except MessageTooLarge:
            if limit <= ENCODED_AT_ONCE:
                raise
            encoding = self._encoding
            if self._writer.is_sealed:
                data = sealed_content(self.stream, type, {"stream": self.stream, **data})
                encoding, limit = sealed_encoding(encoding), limit - SEAL_OVERHEAD - TRAILER_SIZE
            prepared = await in_thread(
                prepare_outgoing,
                encoding,
                type,
                data,
                settings=self._settings,
                flags=flags,
                max_payload=limit,
                form=self._writer.class_of(type, flags),
            )
            self._check_over()
            outgoing = self._writer.write_prepared(prepared, self._wall_clock_us())
        self._wake()
        return outgoing

    def _counts_of(self, type: MessageType, data: Any) -> Counts | None:
        if self._exact is None or type is not MessageType.ECG_DATA or not isinstance(data, dict):
            return None
        found = self._exact.take(data.get("signal"))
        return None if found is None else Counts({**data, "signal": found.counts}, found.missing, found.scale)

    async def _receipt(self, outgoing: Outgoing) -> None:
        assert outgoing.number is not None, "messages of a stream are numbered"
        receipt = _Receipt(outgoing.number, outgoing.type, self._loop.create_future())
        self._receipts[outgoing.timestamp] = receipt
        try:
            await receipt.future
        finally:
            self._receipts.pop(outgoing.timestamp, None)

    def _settle_confirmed(self) -> None:
        for timestamp, receipt in list(self._receipts.items()):
            if receipt.number < self._writer.confirmed:
                del self._receipts[timestamp]
                _settle(receipt.future, None)

    def _ask(self) -> None:
        """Open the stream, or ask the server how far it has got."""
        if self._is_over or self._connection is None or self._connection.over:
            return
        opening = self._writer.opening(self._wall_clock_us())
        self._asked, self._asked_at = opening.timestamp, self._writer.next
        self._connection.send(opening)

    def _forget_question(self) -> None:
        if self._asked is not None and self._connection is not None:
            self._connection.session.give_up(self._asked)
        self._asked = None

    def _ask_later(self) -> None:
        connection = self._connection

        def ask_again() -> None:
            if connection is self._connection and self._asked is None:
                self._ask()

        self._loop.call_later(ASK_AGAIN, ask_again)

    def _wake(self) -> None:
        self._work.set()
        self._moved.set()

    async def _progress(self) -> None:
        """Wait until something was sent or confirmed, or the publisher is over."""
        self._check_over()
        self._moved.clear()
        await self._moved.wait()
        self._check_over()

    def _attest(self, *, last: bool = False) -> None:
        try:
            if self._writer.attest(self._wall_clock_us(), last=last):
                self._wake()
        except ValueError as error:
            log.warning("the publisher of %r cannot attest its messages: %s", self.stream, error)

    async def _attest_each_second(self) -> None:
        while True:
            await asyncio.sleep(ATTESTING_SECONDS)
            self._attest()

    async def _send_all(self) -> None:
        """Send what waits whenever there is an open connection with space in its send queue."""
        while True:
            await self._work.wait()
            self._work.clear()
            while (connection := self._connection) is not None and self._writer.is_open and self._writer.unsent:
                has_room = connection.has_room_for_data()
                frames = self._writer.take(urgent_only=not has_room) if connection.has_room_for_urgent() else []
                for outgoing in frames:
                    connection.send(outgoing)
                self._ask_about_loss()
                self._moved.set()
                if frames:
                    continue
                if not has_room:
                    await connection.progress()

    def _ask_about_loss(self) -> None:
        """Ask the server how many messages are lost, if some were not in memory any more."""
        numbers = self._writer.skipped
        if not numbers or self._asked is not None:
            return
        self._writer.skipped = range(0)
        for timestamp, receipt in list(self._receipts.items()):
            if receipt.number in numbers:
                del self._receipts[timestamp]
                _settle(receipt.future, NotAcknowledged(receipt.type, timestamp, 0))
        self._ask()

    def _tell_loss(self) -> None:
        lost, self._reported = self._writer.lost - self._reported, self._writer.lost
        if lost > 0 and self._on_lost is not None:
            call_safely(self._on_lost, Lost(self.stream, lost))


def _takes_sealed(connection: Connection) -> bool:
    session = connection.session
    return session.version >= NUMBERED and Capability.ENCRYPTION in session.capabilities


def _settle(future: asyncio.Future[None], failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)

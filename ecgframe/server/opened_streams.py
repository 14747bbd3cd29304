"""Streams that clients open: their openings, and the messages, templates and sealed messages that they publish there.

Section "Publishing with numbers" of the specification. The numbers are those of the client, so each message is
published once, however often it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ..codec import EncodedFrame, SealedPayload
from ..errors import InvalidDataFormat, PermissionDenied, ProtocolError, RateLimitExceeded
from ..messages.templates import Template
from ..protocol import LARGEST_SEQUENCE, Check, ErrorCode, Flag, Form, MessageType
from ..session import StreamPosition
from .connection import StreamRefused
from .opaque_publication import WHY_DENIED, can_watch, opaque_frame
from .publisher import Verdict
from .sealing import verified
from .stream import Source
from .streams import TooManyStreams, is_stream_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..codec import Message
    from ..session import FrameRefused, Numbered, OpeningRequested, Received, Settings, StreamEpoch
    from .backplane import Backplane, NumberedBackplane
    from .connection import Connection
    from .hooks import Action, Hooks
    from .limits import Limits
    from .message_encoder import MessageEncoder
    from .publisher import Publisher
    from .sealing import Seals
    from .stream import Stream
    from .streams import Streams

_BROADCAST: Final = int(Flag.BROADCAST)
_PRIORITY: Final = int(Flag.PRIORITY)
"""The flag of a client's message that viewers get as well; the others concern only the client and this server."""


class OpenedStreams:
    """The streams that the connections of a handler have opened.

    Args:
        hooks: hooks of the handler.
        limits: limits of the handler.
        settings: those of the sessions.
        streams: streams of the handler.
        encoder: encodes the messages.
        backplane: publishes them.
        numbered: the same, if several servers share the numbers; None if there are no other servers.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        connections: all connections, by id.
        seals: those of the handler; None if it seals no streams.
    """

    def __init__(
        self,
        hooks: Hooks,
        limits: Limits,
        settings: Settings,
        streams: Streams,
        encoder: MessageEncoder,
        backplane: Backplane,
        numbered: NumberedBackplane | None,
        wall_clock_us: Callable[[], int],
        connections: Mapping[str, Connection],
        seals: Seals | None,
    ) -> None:
        self._hooks = hooks
        self._limits = limits
        self._settings = settings
        self._streams = streams
        self._encoder = encoder
        self._backplane = backplane
        self._numbered = numbered
        self._wall_clock_us = wall_clock_us
        self._connections = connections
        self._seals = seals

    # --- opening and leaving ---

    async def open(self, connection: Connection, request: OpeningRequested) -> None:
        """Open a stream for a client, or answer how far its stream has got.

        Raises:
            StreamRefused: the client may not open it, or not now.
        """
        name, epoch = request.stream, request.epoch
        try:
            if not is_stream_name(name, self._limits):
                raise InvalidDataFormat(f"a stream's name has 1 to {self._limits.stream_name} characters")
            if not publishes(self._hooks):
                raise PermissionDenied("this server does not publish what clients send")
            await require(self._hooks, connection, "publish", name)
            if name not in connection.opened and len(connection.opened) >= self._limits.streams_per_connection:
                raise RateLimitExceeded(f"{len(connection.opened)} streams are opened over this connection, the most")
            with self._hold(name) as stream:
                await self._streams.join(stream)
                if self._numbered is None:
                    expected = self._streams.open(stream, epoch, connection, connection.now())
                else:
                    expected = await self._streams.open_shared(stream, epoch, connection, connection.now())
                publisher = connection.opened[name] = _checked_publisher(stream, epoch, connection)
                if request.first is not None:
                    publisher.give_up_before(request.first)
                    expected = publisher.line + 1
        except ProtocolError as error:
            if error.code is ErrorCode.PERMISSION_DENIED:  # otherwise it may try again
                connection.session.forget_opening(name)
            raise StreamRefused(error, name, epoch) from error
        connection.session.answer_opening(request.message, expected, publisher.lost)

    def leave(self, name: str, publisher: Publisher) -> None:
        """Report to the other servers that the connection of a publisher has ended."""
        opening = self._streams.admission(name)
        if self._numbered is not None and opening is not None and opening.publisher is publisher:
            self._numbered.leave_opened(name, opening)

    # --- messages ---

    async def take(self, connection: Connection, event: Received, place: StreamEpoch) -> bool:
        """Publish a message of a stream that the client has opened.

        Returns:
            True if it is new and for the application as well. A sealed message is not, as nobody here can read it.

        Raises:
            StreamRefused: it is invalid, comes too late, or the client may not publish on the stream any more.
        """
        message = event.message
        try:
            if int(message.flags) & _BROADCAST:
                raise InvalidDataFormat("a broadcast belongs to no stream")
            _check_number(message.sequence or 0)
            await require(self._hooks, connection, "publish", place.name)
            if isinstance(message.data, SealedPayload):
                await self._publish_sealed(connection, message, place)
                return False
            is_new = await self._publish(connection, event, place)
        except ProtocolError as error:
            self._pass_over_number(connection, place, message.sequence or 0, overtakes=overtakes(message))
            raise StreamRefused(error, place.name, place.epoch) from error
        if is_new:
            connection.audit.published(place.name)
        return is_new

    def pass_over(self, connection: Connection, event: FrameRefused) -> None:
        """Note that a message of an opened stream was refused before it was read."""
        if event.of_stream is not None and event.number:
            self._pass_over_number(connection, event.of_stream, event.number, overtakes=True)

    def _pass_over_number(self, connection: Connection, place: StreamEpoch, number: int, *, overtakes: bool) -> None:
        publisher = connection.opened.get(place.name)
        if publisher is not None and publisher.epoch == place.epoch and publisher.owner is connection:
            publisher.pass_over(number, overtakes=overtakes)

    async def _publish(self, owner: Connection, event: Received, place: StreamEpoch) -> bool:
        """Publish a message under the publisher's number.

        Returns:
            True if it is new. A message that came before, or comes too late, is not published.

        Raises:
            PermissionDenied: the connection has not opened the stream, or another one has opened it since.
            Exception: those of ``WebSocketBinaryHandler.publish``.
        """
        message = event.message
        data, number = message.data, message.sequence or 0
        flags, ahead = int(message.flags) & _PRIORITY, overtakes(message)
        if isinstance(data, dict) and data.get("stream") != place.name:
            raise InvalidDataFormat(f"a message of the stream {place.name!r} that names another one in its map")
        if self._seals is not None:
            try:
                data = self._seals.prepared(place.name, message.type, data)
            except ValueError as error:
                raise InvalidDataFormat(str(error)) from error
        verdict = Verdict.RECEIVED
        is_bulk = bool((message.form or 0) & Form.BULK)

        def admit(entry: Stream) -> bool:
            """Take the number. From then on, nothing is awaited until the message is delivered."""
            nonlocal verdict
            if not ahead:
                entry.decide_opened_class(message)
            verdict = _checked_publisher(entry, place.epoch, owner).take(number, overtakes=ahead)
            if verdict is Verdict.NEW:
                entry.source = Source(data, number=number, record=event.record)
            return verdict is Verdict.NEW

        async def hand_over(entry: Stream, encoded: EncodedFrame, timestamp: int) -> int:
            opening = None if entry.numbering is None else entry.numbering.admission
            if self._numbered is None or opening is None:
                return await self._backplane.publish(entry.name, timestamp, encoded)
            record, entry.source = entry.record_handed_on(encoded, event.record, opening), None
            return await self._numbered.publish_opened(
                entry.name, timestamp, encoded, opening, number, record, is_bulk=is_bulk
            )

        try:  # not _hold, which is slower
            with self._streams.hold(place.name) as entry:
                await self._streams.join(entry)
                verdict = _checked_publisher(entry, place.epoch, owner).look(number)
                if verdict is Verdict.NEW:
                    await self._publish_admitted(entry, message.type, data, flags, admit, hand_over)
        except TooManyStreams as error:
            raise RateLimitExceeded(str(error)) from error
        if verdict is Verdict.LOST:
            raise InvalidDataFormat(f"message {number} comes too late: it was reported to viewers as lost")
        return verdict is Verdict.NEW

    async def _publish_admitted(
        self,
        entry: Stream,
        type: MessageType,
        data: Any,
        flags: int,
        admit: Callable[[Stream], bool],
        hand_over: Callable[[Stream, EncodedFrame, int], Awaitable[int]],
    ) -> None:
        """Encode a message, and hand it over if ``admit`` then still returns True."""
        encoded, timestamp = self._encoder.encode(entry.name, type, data, flags)

        async def publish_if_admitted(encoded: EncodedFrame, timestamp: int) -> int:
            return await hand_over(entry, encoded, timestamp) if admit(entry) else timestamp

        try:
            if encoded is None:
                await self._encoder.encode_large(entry.name, type, data, flags, publish_if_admitted)
            else:
                await publish_if_admitted(encoded, timestamp)
        finally:
            entry.source = None

    # --- templates ---

    async def take_template(self, connection: Connection, event: Numbered) -> None:
        """Publish a template of a stream that the client has opened.

        Raises:
            StreamRefused: it is invalid, or the client may not publish on the stream any more.
        """
        number, name, epoch = event.message.sequence or 0, event.stream.name, event.stream.epoch
        try:
            _check_number(number)
            await require(self._hooks, connection, "publish", name)
            if isinstance(event.message.data, SealedPayload):
                await self._publish_sealed(connection, event.message, event.stream)
                return
            if event.message.type is not MessageType.STREAM_TEMPLATE:
                raise PermissionDenied("attestations of publishers are taken in streams that they seal only")
            with self._hold(name) as stream:
                await self._streams.join(stream)
                publisher = _checked_publisher(stream, epoch, connection)
                stream.decide_opened_class(event.message)
                if publisher.take(number, overtakes=False) is not Verdict.NEW:
                    return
                template = Template.unpack(event.payload or b"")
                self._check_template(stream, publisher, template, connection.now())
                if self._numbered is not None:
                    await self._publish_shared(stream, event.message, template, self._numbered)
                    return
                if not stream.deliver_opened_template(template, number, self._wall_clock_us(), connection.now()):
                    raise InvalidDataFormat("a template that cannot be sent to viewers")
        except ProtocolError as error:
            raise StreamRefused(error, name, epoch) from error

    def _check_template(self, stream: Stream, publisher: Publisher, template: Template, now: float) -> None:
        """Check that a template is new in its epoch, or has the content that its number had before."""
        if template.number <= publisher.latest_template:
            numbering = stream.numbering
            is_present = numbering is not None and numbering.epoch == publisher.epoch
            known = numbering.present.known(template.number) if numbering is not None and is_present else None
            if known is None or known.payload != template.payload:
                raise InvalidDataFormat(
                    f'data["template"] must be a new number; the latest of this epoch is {publisher.latest_template}',
                    check=Check.FIELDS,
                    path='data["template"]',
                )
        self._streams.admit_novelty(stream.name, now)
        publisher.latest_template = max(publisher.latest_template, template.number)

    # --- what the publisher has sealed ---

    async def _publish_sealed(self, connection: Connection, message: Message, place: StreamEpoch) -> None:
        """Hand on a message that the publisher has sealed. The application does not get it.

        Raises:
            PermissionDenied: the connection has not opened the stream, or this server seals the stream itself.
            InvalidDataFormat: it comes too late, or there were too many templates.
        """
        if self._seals is not None and self._seals.seals(place.name):
            raise PermissionDenied("this server seals the stream itself; publish it in plain")
        with self._hold(place.name) as stream:
            await self._streams.join(stream)
            publisher = _checked_publisher(stream, place.epoch, connection)
            now = connection.now()
            if message.type is MessageType.STREAM_TEMPLATE:
                self._streams.admit_novelty(place.name, now)
            verdict = publisher.take(message.sequence or 0, overtakes=overtakes(message))
            if verdict is Verdict.LOST:
                raise InvalidDataFormat(
                    f"message {message.sequence} comes too late: it was reported to viewers as lost"
                )
            if verdict is not Verdict.NEW:
                return
            if self._numbered is not None:
                if not overtakes(message):
                    stream.decide_opened_class(message)
                await self._publish_shared(stream, message, None, self._numbered)
            else:
                if not stream.is_sealed_by_publisher:
                    stream.note_sealed_by_publisher()
                    self.end_for_those_who_cannot(place.name)
                stream.deliver_sealed(message, self._wall_clock_us(), now)

    async def _publish_shared(
        self, stream: Stream, message: Message, template: Template | None, numbered: NumberedBackplane
    ) -> None:
        """Publish a template on all servers; without one, a message that its publisher has sealed."""
        assert stream.numbering is not None
        opening = stream.numbering.admission
        if opening is None:
            raise PermissionDenied("another connection has opened the stream since")
        timestamp, is_bulk = self._wall_clock_us(), bool((message.form or 0) & Form.BULK)
        if template is None:
            opening.is_sealed = True
            encoded = opaque_frame(message, timestamp, 1)
        else:
            outgoing = stream.numbering.encode_template_at(template, StreamPosition(1, 1), timestamp, self._settings)
            if outgoing is None:
                raise InvalidDataFormat("a template that cannot be sent to viewers")
            encoded = verified(outgoing.frame)
        await numbered.publish_opened(stream.name, timestamp, encoded, opening, message.sequence or 0, is_bulk=is_bulk)

    def end_for_those_who_cannot(self, name: str) -> None:
        """End the subscriptions and histories of viewers that cannot get a stream which its publisher seals."""
        for connection in list(self._connections.values()):
            if name in connection.watched and not can_watch(connection.session.encoding):
                connection.revoke(name, ErrorCode.AUTHENTICATION_FAILED, WHY_DENIED)

    @contextmanager
    def _hold(self, name: str) -> Iterator[Stream]:
        """Hold a stream; if there are too many, the client is refused."""
        try:
            with self._streams.hold(name) as stream:
                yield stream
        except TooManyStreams as error:
            raise RateLimitExceeded(str(error)) from error


def publishes(hooks: Hooks) -> bool:
    """Return whether the server publishes what clients send.

    Without ``authorize`` nobody may publish: messages with a stream's name then go to ``on_message`` only.
    """
    return hooks.authorize is not None or hooks.on_message is None


async def require(hooks: Hooks, connection: Connection, action: Action, name: str | None) -> None:
    """Ask ``authorize`` whether a connection may do something with a stream, and record it if not.

    Raises:
        PermissionDenied: it may not.
    """
    if not await hooks.may(connection.info, action, name):
        what = "broadcast" if name is None else f"publish on {name!r}"
        connection.audit.denied(action, name, ErrorCode.PERMISSION_DENIED)
        raise PermissionDenied(f"this connection may not {what}")


def overtakes(message: Message) -> bool:
    """Return whether a message of a stream may arrive before others with lower numbers."""
    return bool(int(message.flags) & Flag.PRIORITY) or message.type is MessageType.ANOMALY_ALERT


def _check_number(number: int) -> None:
    """Refuse the largest number: there has to be one that follows.

    Raises:
        InvalidDataFormat: it is that one.
    """
    if number >= LARGEST_SEQUENCE:
        raise InvalidDataFormat(f"a message of an opened stream has a number below {LARGEST_SEQUENCE}")


def _checked_publisher(stream: Stream, epoch: int, connection: Connection) -> Publisher:
    """Return the publisher of a stream that this connection has opened.

    Raises:
        PermissionDenied: it has not, or not any more.
    """
    publisher = stream.publisher_of(epoch, connection)
    if publisher is None:
        raise PermissionDenied("this connection has not opened the stream, or another one has opened it since")
    return publisher

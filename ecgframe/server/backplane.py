"""Backplanes carry a published message to every server that has viewers of its stream."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeGuard

from ..codec import EncodedFrame
from ..protocol import LARGEST_TIMESTAMP

if TYPE_CHECKING:
    from ..messages.templates import Template
    from ..session.record_writer import Record
    from ..signing import SigningKey
    from .envelope import Envelopes
    from .opening import Opening

EVERYONE: Final = ""
"""The backplane's stream of broadcasts. No viewer can subscribe to a stream with an empty name."""

COMMANDS: Final = "\0commands"
"""The backplane's stream of messages between servers. No peer can watch it, or publish on it."""

PRESENCE: Final = "\0presence"
"""The backplane's stream of who watches what. No peer can watch it, or publish on it."""

OF_SERVERS: Final = frozenset({COMMANDS, PRESENCE})
"""Streams of the servers, which no peer and no application uses."""

UNNUMBERED: Final = frozenset({EVERYONE, *OF_SERVERS})
"""Streams whose messages have no numbers."""


class PublishedBy(Enum):
    """Who has published a message, as far as the backplane can prove it."""

    HERE = auto()
    """This server."""

    ALIKE = auto()
    """Another server with the same signing key."""

    OTHERS = auto()
    """Anybody who can write to the engine. A server signs and attests nothing of it."""


class Link(NamedTuple):
    """The place of an attestation among those of one signer in an epoch.

    Attributes:
        signer: name of the key, 8 bytes.
        number: of the attestation, from 1 on.
        own: SHA-256 of its payload as packed, which the next one names, 32 bytes.
        position: its number in the stream; 0 if it is not published yet.
    """

    signer: bytes
    number: int
    own: bytes
    position: int = 0


class SharedNumber(NamedTuple):
    """The number of a message, which all servers agree on, and the message as a record.

    Attributes:
        epoch: of the number.
        number: from 1 on.
        record: the message as a record; None if it travels as MessagePack.
        template: the message, if it is a template.
        before: templates of the epoch before the message, each with its number, where they may not have been delivered;
            the frame of one that its publisher has sealed.
        opening: of the client that has opened the stream and has numbered the message; None if servers have.
        is_bulk: whether the messages of the epoch are of the class BULK; None if that is not known.
        lost: number of messages that are lost before it, where another epoch begins with it; None if that is not known.
            They have the numbers before its own.
    """

    epoch: int
    number: int
    record: Record | None = None
    template: Template | None = None
    before: tuple[tuple[int, Template | EncodedFrame], ...] = ()
    opening: Opening | None = None
    is_bulk: bool | None = None
    lost: int | None = None


class Deliver(Protocol):
    """Takes a message that arrived."""

    def __call__(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame | bytes,
        place: SharedNumber | None = None,
        by: PublishedBy = PublishedBy.HERE,
        missing: int = 0,
        /,
    ) -> None:
        """Take a message.

        Args:
            stream: name of the stream.
            timestamp: in microseconds since 1970; it replaces the one in the frame's header.
            frame: a V3 frame with arrays in binary form. An ``EncodedFrame``, such as the one that was passed to
                ``publish``, has been checked already; the handler checks bytes from another server. Of a template,
                or an attestation, its frame of V4. Of a message that its publisher has sealed, its
                frame of V4.
            place: the number of the message; None if it has none. Only a ``NumberedBackplane`` passes it. Within an
                epoch, numbers increase; what is missing between them, no viewer of this server will get. An epoch
                does not come again after another one, or after a message without a number.
            by: who has published it. A backplane without a signer passes nothing.
            missing: number of messages of the stream between the one before and this one that this server will never
                get. Viewers of versions 1 to 3 are told it; those of version 4 see it by the numbers.
        """


NO_PAST: Final = LARGEST_TIMESTAMP
"""``join`` returns this if the backplane keeps no history: then only the handler's own history is available."""


class Backplane(Protocol):
    """What a handler needs of the engine that joins several servers.

    The handler joins a stream before it publishes on it and before a viewer may watch it. The stream with the empty
    name (``""``) carries broadcasts: messages for all connections of all servers. The streams ``COMMANDS`` and
    ``PRESENCE`` carry messages between servers.

    A backplane that cannot reach its engine still delivers to its own server what that server publishes. It raises
    only if it cannot do even that.
    """

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. ``deliver`` is called from the handler's event loop and does not raise.

        Within a stream, the timestamps passed to ``deliver`` increase strictly.
        """

    async def publish(self, stream: str, timestamp: int, frame: EncodedFrame) -> int:
        """Deliver a message on every server that has joined the stream.

        On this server it is delivered exactly once, in the stream's order, before this returns.

        Args:
            stream: name of a stream that this server has joined.
            timestamp: in microseconds since 1970, by the clock of ``now``; larger than that of any earlier message of
                this server.
            frame: the message, in the form that ``Deliver`` describes; its attribute ``frame`` holds the bytes for
                other servers.

        Returns:
            The timestamp with which the message was delivered. It differs from ``timestamp`` if a message of another
            server came first, or if the engine's clock shows another time.
        """

    async def join(self, stream: str, since: int) -> int:
        """Follow a stream: deliver its past messages, then each new one. Returns once the past is delivered.

        Joining a stream again does nothing.

        Args:
            stream: name of the stream.
            since: in microseconds since 1970; of the past, messages later than this are delivered.

        Returns:
            The timestamp after which no message is missing: ``since``, or a later one if the engine's history does not
            reach back that far; ``NO_PAST`` if it keeps none.
        """

    async def catch_up(self, stream: str) -> bool:
        """Deliver here every message that any server published on the stream before this call.

        Returns:
            True once they are delivered; False if that cannot be known, because the engine does not answer.
        """

    def now(self) -> int | None:
        """The time by the engine's clock, in microseconds since 1970, if that clock orders the messages.

        None if messages are ordered by the clock of the server that publishes them.
        """

    def leave(self, stream: str) -> None:
        """Stop following the stream; does nothing if it was not followed."""

    async def close(self) -> None:
        """Stop the backplane."""

    def stats(self) -> dict[str, int | float | bool]:
        """Numbers for an operator. Keys that end in "_total" count since the start; others are current values."""


class NumberedBackplane(Backplane, Protocol):
    """A backplane that numbers the messages of each stream, so that viewers of version 4 can resume on any server.

    The streams ``UNNUMBERED`` have no numbers.

    Attributes:
        version: the version of the frames that travel between the servers: 4, or 3 if the servers do not offer their
            viewers version 4 yet.
    """

    version: int

    async def publish(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame,
        epoch: int = 0,
        record: bytes | None = None,
        *,
        is_bulk: bool | None = None,
    ) -> int:
        """Deliver a message on every server. See ``Backplane.publish``.

        Args:
            stream: see ``Backplane.publish``.
            timestamp: see ``Backplane.publish``.
            frame: see ``Backplane.publish``.
            epoch: the epoch of the template of ``record``.
            record: the payload of the message as a record, which travels in place of ``frame`` as long as that epoch
                is the present one.
            is_bulk: the class of the message; None if it overtakes. The first message of an epoch decides.

        Raises:
            ValueError: the epoch has messages of the other class.
        """

    async def publish_template(
        self,
        stream: str,
        timestamp: int,
        epoch: int,
        make: Callable[[int], Template],
        *,
        is_bulk: bool | None = None,
    ) -> bool:
        """Publish a template on every server.

        Args:
            stream: name of a stream that this server has joined.
            timestamp: in microseconds since 1970.
            epoch: the epoch of the stream for which it is made.
            make: returns the template, given its number. No other template of the epoch has that one.
            is_bulk: the class of the messages of the stream.

        Returns:
            True if it is published, or will be; False if the epoch has ended, or the engine cannot be reached.
        """

    def position(self, stream: str) -> tuple[int, int] | None:
        """Return epoch and number of the last message of a stream, after ``join`` or ``catch_up``.

        None if messages are delivered without numbers now, because the engine cannot be reached.
        """

    def templates(self, stream: str, epoch: int) -> list[tuple[int, Template | EncodedFrame]]:
        """Return the latest templates of the epoch that ``position`` has named, each with its number.

        Of a template that its publisher has sealed, the frame is returned.
        """

    def opening(self, stream: str) -> Opening | None:
        """Return who has opened the stream, after ``position``; None if servers number its messages."""

    def class_of(self, stream: str) -> bool | None:
        """Return whether the messages of the stream are of the class BULK; None if that is not decided."""

    async def open_stream(self, stream: str, epoch: int) -> Opening | None:
        """Open a stream for a client. From then on, no server takes messages of an earlier opening.

        Args:
            stream: name of a stream that this server has joined.
            epoch: of the client's numbers.

        Returns:
            The opening, with what is known of the epoch; None if the engine cannot be reached.

        Raises:
            PermissionDenied: the epoch has ended.
        """

    async def publish_opened(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame,
        opening: Opening,
        number: int,
        record: bytes | None = None,
        *,
        is_bulk: bool = False,
    ) -> int:
        """Deliver a message of a stream that a client has opened on every server, once. See ``publish``.

        Args:
            stream: see ``publish``.
            timestamp: see ``publish``.
            frame: the message, in the form that ``Deliver`` describes; of a template, or a message that its publisher
                has sealed, its frame of V4.
            opening: that of the client; what is known of the epoch with this message travels with it.
            number: that the client has given the message.
            record: the payload of the message as a record, whose template was published.
            is_bulk: the class of the message.

        Raises:
            PermissionDenied: the stream was opened again since.
        """

    async def publish_attestation(
        self, stream: str, timestamp: int, epoch: int, payload: bytes, link: Link, *, is_bulk: bool | None = None
    ) -> bool:
        """Publish an attestation of what servers with one signing key have published.

        Args:
            stream: name of a stream that this server has joined.
            timestamp: in microseconds since 1970.
            epoch: the epoch of the stream for which it is made.
            payload: its payload, packed.
            link: its place. It is published only if the one before it is the latest of this signer in the epoch.
            is_bulk: the class of the messages of the stream; None if that is not decided.

        Returns:
            True once it is delivered here; False if it is not the next one, the epoch has ended, or the engine cannot
            be reached.
        """

    async def last_attestation(self, stream: str, epoch: int, signer: bytes) -> Link | None:
        """Return the latest attestation of a signer in an epoch of a stream.

        None if there is none, the epoch has ended, or the engine cannot be reached.
        """

    def sign_with(self, signer: SigningKey) -> None:
        """Prove to servers with the same key what this one publishes, and look for such proofs. Before ``open``."""

    def seal_with(self, envelopes: Envelopes) -> None:
        """Seal the messages of sealed streams on the way between the servers. Called before ``open``.

        Raises:
            ValueError: this backplane does not do that now.
        """

    def leave_opened(self, stream: str, opening: Opening) -> None:
        """Note that the connection of the client that has opened a stream has ended."""


def numbers_messages(backplane: Backplane) -> TypeGuard[NumberedBackplane]:
    """Return whether a backplane numbers messages for peers of version 4: whether its ``version`` is 4.

    Raises:
        ValueError: its version is 4, but it lacks a part of ``NumberedBackplane``.
    """
    if getattr(backplane, "version", 0) < 4:
        return False
    missing = [name for name in _PARTS if not hasattr(backplane, name)]
    if missing:
        raise ValueError(f"a backplane of version 4 is a NumberedBackplane; this one lacks {', '.join(missing)}")
    return True


_PARTS: Final = [name for name in vars(Backplane) | vars(NumberedBackplane) if not name.startswith("_")]
"""Methods of a ``NumberedBackplane``."""


class LocalBackplane:
    """The backplane of a single server: every published message is delivered at once."""

    def __init__(self) -> None:
        self._deliver: Deliver | None = None
        self._published = 0

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. See ``Backplane.open``.

        Raises:
            RuntimeError: another handler has opened it.
        """
        if self._deliver is not None:
            raise RuntimeError("a LocalBackplane serves one handler; make another one for this")
        self._deliver = deliver

    async def publish(self, stream: str, timestamp: int, frame: EncodedFrame) -> int:
        """Deliver the message to this server and return ``timestamp``.

        Raises:
            RuntimeError: the backplane is not open.
        """
        if self._deliver is None:
            raise RuntimeError("the backplane is not open")
        self._published += 1
        self._deliver(stream, timestamp, frame)
        return timestamp

    async def join(self, stream: str, since: int) -> int:
        """Return ``NO_PAST``: the handler's own history is the only one."""
        return NO_PAST

    async def catch_up(self, stream: str) -> bool:
        """Return True: there are no other servers."""
        return True

    def now(self) -> None:
        """Return None: messages are ordered by the server's own clock."""

    def leave(self, stream: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Stop the backplane."""
        self._deliver = None

    def stats(self) -> dict[str, int | float | bool]:
        """The number of published messages."""
        return {"published_total": self._published}


if TYPE_CHECKING:
    _is_whole: type[Backplane] = LocalBackplane

"""The numbers of messages in Redis."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple


class Position(NamedTuple):
    """The number of a message of a stream.

    Attributes:
        epoch: of the number.
        number: from 1 on; 0 before the first message.
    """

    epoch: int
    number: int


NOTHING: Final = Position(0, 0)
"""What a server tells Redis that knows no number."""


class Written(NamedTuple):
    """What Redis says of a message that was to be written.

    Attributes:
        time: its timestamp in Redis, in microseconds since 1970; 0 if it was written before.
        position: its number, if that is known.
        refusal: why it was not written; None if it was.
    """

    time: int
    position: Position | None = None
    refusal: Refusal | None = None


class Refusal(Enum):
    """Why Redis did not write a message."""

    STALE = auto()
    """It, or one before it, was made for another epoch."""

    DENIED = auto()
    """Another connection has opened the stream since, or nobody has."""

    OTHER_CLASS = auto()
    """The messages of the epoch are of the other class."""

    NOT_NEXT = auto()
    """An attestation that does not follow the latest one of its signer."""


class OwnPlace(NamedTuple):
    """The number that the publisher of an opened stream has given a message.

    Attributes:
        epoch: of the publisher.
        number: of the message.
        token: of the opening.
        state: how far the publisher has got with this message, for the server that it opens the stream on next.
        is_bulk: whether the message is of the class BULK.
    """

    epoch: int
    number: int
    token: str
    state: bytes
    is_bulk: bool = False


class Standing(NamedTuple):
    """What Redis says of the numbers of a stream.

    Attributes:
        position: the present epoch, and the number of its last message.
        token: of the publisher that has opened the stream; empty if nobody has.
        state: how far that has got.
        is_bulk: the class of the messages; None if it is not decided.
    """

    position: Position
    token: str = ""
    state: bytes = b""
    is_bulk: bool | None = None


class Known(NamedTuple):
    """What this server knows of the numbers of a stream, in case that Redis has forgotten it.

    Attributes:
        position: the present epoch and the largest number of it.
        token: of the publisher that has opened the stream; empty if nobody has.
        state: how far that has got.
    """

    position: Position = NOTHING
    token: str = ""
    state: bytes = b""

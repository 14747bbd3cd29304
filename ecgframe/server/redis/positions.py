"""The numbers of messages in Redis."""

from __future__ import annotations

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
        is_stale: whether it was not written, because it or one before it was made for another epoch.
    """

    time: int
    position: Position | None = None
    is_stale: bool = False

"""A stream that a client has opened on one of several servers: its opening, and how far the messages have got.

Section "Publishing with numbers" of the specification.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ..protocol import LARGEST_SEQUENCE
from .publisher import LOSSES, REMEMBERED, Publisher

MOST_BYTES: Final = 64 * 1024
"""Bytes of a state, at most."""

MOST_DIGITS: Final = 20
"""An order has fewer digits."""


class Opening:
    """An opening of a stream by a client, which all servers know by its token.

    Args:
        token: names it; a later opening has a token of a higher ``order``.
        publisher: the numbers of its epoch, as far as this server has them.
        is_bulk: whether its messages have BULK; None before the first of them.
        is_sealed: whether its publisher seals them.

    Attributes:
        token: as passed.
        publisher: as passed.
        is_bulk: as passed.
        is_sealed: as passed.
    """

    __slots__ = ("is_bulk", "is_sealed", "publisher", "token")

    def __init__(
        self, token: str, publisher: Publisher, *, is_bulk: bool | None = None, is_sealed: bool = False
    ) -> None:
        self.token = token
        self.publisher = publisher
        self.is_bulk = is_bulk
        self.is_sealed = is_sealed

    @property
    def epoch(self) -> int:
        """The epoch of the publisher."""
        return self.publisher.epoch

    @property
    def order(self) -> int:
        """Later openings of a stream have higher ones."""
        return order_of(self.token)

    def pack(self) -> bytes:
        """Return how far it has got, for a server that knows nothing of it."""
        line, lost, ahead, losses, template = self.publisher.state()
        return json.dumps([line, lost, ahead, losses, template, self.is_bulk, self.is_sealed]).encode()

    @classmethod
    def unpack(cls, epoch: int, token: str, state: bytes, owner: object = None) -> Opening:
        """Return an opening that another server has packed; from its beginning if the state is empty.

        Raises:
            ValueError: no server has packed it.
        """
        publisher = Publisher(epoch, owner)
        if not state:
            return cls(token, publisher)
        line, lost, ahead, losses, template, is_bulk, is_sealed = _checked(state)
        publisher.restore(line, lost, ahead, losses, template)
        return cls(token, publisher, is_bulk=is_bulk, is_sealed=is_sealed)


def order_of(token: str) -> int:
    """The order of a token, 0 if it has none."""
    digits = token.partition(":")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < MOST_DIGITS else 0


def _checked(state: bytes) -> list[Any]:
    if len(state) > MOST_BYTES:
        raise ValueError("the state of an opened stream is too long")
    try:
        found = json.loads(state)
        line, lost, ahead, losses, template, is_bulk, is_sealed = found
        numbers = [line, lost, template, *ahead, *(end for pair in losses for end in pair)]
        is_sound = (
            len(ahead) <= REMEMBERED
            and len(losses) <= LOSSES
            and all(type(one) is int and 0 <= one <= LARGEST_SEQUENCE for one in numbers)
            and all(len(pair) == 2 for pair in losses)
            and is_bulk in {None, True, False}
            and type(is_sealed) is bool
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("the state of an opened stream is damaged") from error
    if not is_sound:
        raise ValueError("the state of an opened stream is damaged")
    return list(found)

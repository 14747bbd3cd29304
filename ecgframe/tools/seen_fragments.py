"""The unfinished messages of a source, for each direction of each connection: what its fragments are put together to.

An observer may begin in the middle of a message. Then its fragments are refused, as by a receiver that lacks the first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from .._core import flatten
from ..protocol import FRAGMENT_HEADER
from ..session.reassembly import Reassembly

if TYPE_CHECKING:
    from .._core._header import Header
    from .observation import Origin

MOST_UNFINISHED: Final = 64 * 1024 * 1024
"""Bytes of unfinished messages that are kept, of all connections together; those that grew last."""

MOST_DIRECTIONS: Final = 1024
"""Directions of connections of which unfinished messages are kept."""

_Key = tuple[str | None, str | None, bool | None]
"""Client, server, direction."""


class Fragment(NamedTuple):
    """The part of a message that a fragment holds.

    Attributes:
        offset: where its piece begins in the payload of the message.
        nbytes: bytes of the piece.
        total: bytes of the payload of the message.
    """

    offset: int
    nbytes: int
    total: int


class SeenFragments:
    """The unfinished messages of all connections of a source.

    Args:
        max_payload: largest payload of a message, in bytes.
    """

    def __init__(self, max_payload: int) -> None:
        self._max_payload = max_payload
        self._unfinished: OrderedDict[_Key, Reassembly] = OrderedDict()
        self._nbytes = 0

    def add(self, origin: Origin, frame: bytes, header: Header) -> tuple[Fragment, bytes | None]:
        """Add a fragment.

        Args:
            origin: of the fragment.
            frame: the fragment.
            header: its header.

        Returns:
            What it has, and the whole frame if it is the last one.

        Raises:
            ProtocolError: (check 7 or 13) it is damaged, or does not continue its message.
        """
        flat = flatten(frame)
        flat.check_sum(0, header)
        key = (origin.client, origin.server, origin.from_server)
        reassembly = self._unfinished.pop(key, None) or Reassembly(self._max_payload)
        payload = flat.view(header.size, flat.nbytes)
        self._nbytes -= reassembly.nbytes
        try:
            whole = reassembly.add(header, payload, 0.0).frame
        finally:
            self._unfinished[key] = reassembly
            self._nbytes += reassembly.nbytes
            self._forget_some()
        total, offset = (int.from_bytes(payload[start : start + 4], "big") for start in (0, 4))
        found = Fragment(offset, len(payload) - FRAGMENT_HEADER, total)
        return found, None if whole is None else bytes(whole)

    def _forget_some(self) -> None:
        while len(self._unfinished) > MOST_DIRECTIONS or (len(self._unfinished) > 1 and self._nbytes > MOST_UNFINISHED):
            _, forgotten = self._unfinished.popitem(last=False)
            self._nbytes -= forgotten.nbytes

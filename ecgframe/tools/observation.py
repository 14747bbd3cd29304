"""Observed messages and remarks, with where and when they were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when something was seen. Unknown attributes are None.

    Attributes:
        time: Unix seconds.
        client: address of the client.
        server: address of the server.
        from_server: whether the server sent it.
    """

    time: float | None = None
    client: str | None = None
    server: str | None = None
    from_server: bool | None = None


NOWHERE = Origin()


@dataclass(slots=True)  # not frozen: that takes twice as long to create, and there are millions
class Delivery:
    """A WebSocket message, or a part of a file: one or more frames, unless it is broken.

    Attributes:
        octets: the bytes; of a text message, its UTF-8.
        origin: where and when it was seen.
        offset: position in the file of frames, in bytes; None for other sources.
        is_text: whether it was a text message, which is not part of the protocol.
        fault: why the frame is broken, if the reader of the file has found that already.
    """

    octets: bytes
    origin: Origin = NOWHERE
    offset: int | None = None
    is_text: bool = False
    fault: ProtocolError | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A note about the source, between messages.

    Attributes:
        text: the note, for the user.
        origin: where and when it applies.
        is_fault: whether something is wrong or missing.
    """

    text: str
    origin: Origin = NOWHERE
    is_fault: bool = False


Observation = Delivery | Remark

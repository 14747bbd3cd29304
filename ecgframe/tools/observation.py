"""What was seen on the wire, and where: the bytes of a message, and remarks on what is between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when something was seen; what is not known is None.

    Attributes:
        time: in Unix seconds.
        client: address of the client.
        server: address of the server.
        from_server: who sent it.
    """

    time: float | None = None
    client: str | None = None
    server: str | None = None
    from_server: bool | None = None


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One WebSocket message, or a piece of a file: frames laid end to end, if all is well.

    Attributes:
        octets: its bytes; those of its UTF-8 where it was a text message.
        origin: where it was seen.
        offset: byte of the file at which it begins; None where it comes from no file of frames.
        is_text: whether it travelled as text, which no frame may.
        fault: why the frame that begins here is broken, where that was found out on the way.
    """

    octets: bytes
    origin: Origin = NOWHERE
    offset: int | None = None
    is_text: bool = False
    fault: ProtocolError | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something worth saying that is no message.

    Attributes:
        text: a sentence for a person.
        origin: where it was noticed.
        is_fault: whether something is wrong, or missing from the capture.
    """

    text: str
    origin: Origin = NOWHERE
    is_fault: bool = False


Observation = Delivery | Remark

"""Decide whether to reconnect, and after which delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ERRORS, ProtocolError
from ..protocol import CloseCode, ErrorCode
from .errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLASSES: Final = {int(code): error for code, error in ERRORS.items()}

STEADY: Final = 10.0
"""Seconds that a connection has to last for the delays to start anew."""


class Backoff:
    """The delay before the next connection.

    If a connection breaks that lasted for ``STEADY`` seconds, the client reconnects at once, as the cause is most
    likely local. If it breaks again soon, or if the server closed it, the client waits: the server may have closed
    thousands of connections at the same time.

    Args:
        delays: returns an iterator of increasing delays in seconds, as ``websockets.client.backoff`` does. It is called
            again after each connection that lasted.
    """

    def __init__(self, delays: Callable[[], Iterator[float]]) -> None:
        self._make = delays
        self._delays: Iterator[float] | None = None
        self._last = 0.0

    def pause(self, lasted: float, *, closed: bool) -> float:
        """Return the seconds to wait.

        Args:
            lasted: seconds from the end of the negotiation to the end of the connection; 0 if it never got that far.
            closed: whether one side closed the connection; otherwise it broke.
        """
        if lasted >= STEADY:
            self._delays = None
        if self._delays is None:
            self._delays = self._make()
            if not closed:
                return 0.0
        self._last = next(self._delays, self._last)
        return self._last


def given_up(code: int | None, reason: str, said: ProtocolError | None) -> ConnectionLost | None:
    """Return the exception to raise if the client must not reconnect, else None.

    That is after close code 1008, and if both sides have no protocol version in common.

    Args:
        code: the WebSocket close code; None if the connection broke.
        reason: the text of the side that closed it.
        said: the last error that the server reported, or the error in its last frame.
    """
    stranger = code == CloseCode.PROTOCOL_ERROR and said and said.code is ErrorCode.INVALID_PROTOCOL_VERSION
    if code == CloseCode.POLICY or stranger:
        return ConnectionLost(reason, code=code, error=said)
    return None


def as_error(code: int, text: str) -> ProtocolError:
    """Convert an ERROR message to an exception of the class that belongs to its code."""
    return _CLASSES.get(code, ProtocolError)(text)

"""When to connect again, and when not to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ERRORS, ProtocolError
from ..protocol import CloseCode, ErrorCode
from .errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLASSES: Final = {int(code): error for code, error in ERRORS.items()}

STEADY: Final = 10.0
"""Seconds after which a connection that breaks counts as one that was good."""


class Backoff:
    """How long to wait before the next connection.

    A good connection that breaks off is replaced at once: most likely the trouble is this viewer's own. One that breaks
    again soon, or that the server closed, which may have closed a thousand others with it, waits its turn.

    Args:
        delays: makes the delays of one stretch of trouble, in seconds, such as ``websockets.client.backoff``.
    """

    def __init__(self, delays: Callable[[], Iterator[float]]) -> None:
        self._make = delays
        self._delays: Iterator[float] | None = None
        self._last = 0.0

    def pause(self, lasted: float, *, closed: bool) -> float:
        """Seconds to wait.

        Args:
            lasted: seconds that the connection stood, from the moment when both sides could talk.
            closed: whether a side closed it; it broke off otherwise.
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
    """What to raise if it is of no use to connect again.

    Args:
        code: with which the connection was closed; None where it broke off.
        reason: of the side that closed it.
        said: what the server said was wrong, or this client.
    """
    stranger = code == CloseCode.PROTOCOL_ERROR and said and said.code is ErrorCode.INVALID_PROTOCOL_VERSION
    if code == CloseCode.POLICY or stranger:
        return ConnectionLost(reason, code=code, error=said)
    return None


def as_error(code: int, text: str) -> ProtocolError:
    """An ERROR message as an exception of that code's class."""
    return _CLASSES.get(code, ProtocolError)(text)

"""What a client raises besides the errors of the protocol: the connection's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import ProtocolError
    from ..protocol import MessageType


class ConnectionLost(ConnectionError):
    """There is no connection, and the client does not try for another one.

    Attributes:
        code: with which the WebSocket was closed; None where it broke off, or never opened.
        reason: in the words of the side that closed it, or of this client.
        error: what the server said was wrong, or what was wrong with what it said; None where it said nothing.
            It is the exception's cause as well.
    """

    def __init__(self, reason: str, *, code: int | None = None, error: ProtocolError | None = None) -> None:
        super().__init__(_text(reason, code, error))
        self.code = code
        self.reason = reason
        self.error = error
        self.__cause__ = error


class NotAcknowledged(TimeoutError):
    """A message was sent as often as it may be, and the server's application never said that it has it.

    It may have arrived all the same. What the server said was wrong in the meantime, if anything, is the cause.

    Attributes:
        type: of the message.
        timestamp: of the message, in microseconds since 1970.
        attempts: how often it was sent.
    """

    def __init__(self, type: MessageType, timestamp: int, attempts: int) -> None:
        super().__init__(f"{type.name} was sent {_times(attempts)}, and the server acknowledged none")
        self.type = type
        self.timestamp = timestamp
        self.attempts = attempts


def _text(reason: str, code: int | None, error: ProtocolError | None) -> str:
    told = [reason] if reason and reason != str(error) else []  # a server closes with the words of its last error
    if error:
        told.append(f"0x{error.code:x}: {error}")
    if code is None:
        return "; ".join(told)
    return f"closed with {code}" + (f" ({'; '.join(told)})" if told else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

"""The errors of connections, which a client raises besides the errors of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import ProtocolError
    from ..protocol import MessageType


class ConnectionLost(ConnectionError):
    """The connection is lost, and the client does not reconnect.

    Attributes:
        code: the WebSocket close code; None if the connection broke or never opened.
        reason: a text of the side that closed it, or of this client.
        error: the last error that the server reported, or the error in its last frame; None if there was none. It is
            also the cause of the exception.
    """

    def __init__(self, reason: str, *, code: int | None = None, error: ProtocolError | None = None) -> None:
        super().__init__(_text(reason, code, error))
        self.code = code
        self.reason = reason
        self.error = error
        self.__cause__ = error

    def __reduce__(self) -> tuple[object, ...]:
        return _connection_lost, (type(self), self.reason, self.code, self.error), self.__dict__


class NotAcknowledged(TimeoutError):
    """A message was sent as often as allowed, and the application of the server did not acknowledge it.

    It may still have arrived. If the server reported an error in the meantime, that is the cause.

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

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.type, self.timestamp, self.attempts), self.__dict__


def _connection_lost(
    cls: type[ConnectionLost], reason: str, code: int | None, error: ProtocolError | None
) -> ConnectionLost:
    """Unpickle: a pickle cannot hold keyword arguments."""
    return cls(reason, code=code, error=error)


def _text(reason: str, code: int | None, error: ProtocolError | None) -> str:
    causes = [reason] if reason and reason != str(error) else []  # a server closes with the text of its last error
    if error:
        causes.append(f"0x{error.code:x}: {error}")
    if code is None:
        return "; ".join(causes)
    return f"closed with {code}" + (f" ({'; '.join(causes)})" if causes else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

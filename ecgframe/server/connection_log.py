"""Log records of one connection. They say what happened and never quote a message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ..session import BudgetExceeded
from .logs import log_failure, logger

if TYPE_CHECKING:
    from ..protocol import CloseCode, ErrorCode, MessageType
    from ..session import FrameRefused, Negotiated, PingUnanswered, ServerSession, Undelivered
    from .connection_info import ConnectionInfo

DROP_LOG_PAUSE: Final = 1.0
"""Least number of seconds between two log records of dropped frames, for each connection."""


class ConnectionLog:
    """Writes log records of one connection, each with the connection's id and the peer's address.

    Args:
        info: the connection.
    """

    __slots__ = ("_dropped", "_dropped_at", "_info")

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._dropped = 0  # frames that the log has reported
        self._dropped_at = 0.0

    def opened(self) -> None:
        """Log that the peer was accepted."""
        self._tell(logging.INFO, "connection %s from %s opened", self._info.id, self._info.peer)

    def negotiated(self, event: Negotiated) -> None:
        """Log the version that the connection uses from now on."""
        self._tell(
            logging.INFO,
            "connection %s uses V%d (%s)",
            self._info.id,
            event.version,
            "negotiated" if event.negotiated else "assumed",
            version=event.version,
            negotiated=event.negotiated,
            capabilities=sorted(event.capabilities),
        )

    def refused_frame(self, event: FrameRefused) -> None:
        """Log that a frame of the peer was refused. The error's text is left out: it may quote the payload."""
        error = event.error
        self._tell(
            logging.WARNING,
            "connection %s from %s: frame refused (0x%03x, check %s, message of %d bytes%s)",
            self._info.id,
            self._info.peer,
            error.code,
            error.check,
            event.nbytes,
            f", over budget: {error.resource}" if isinstance(error, BudgetExceeded) else "",
            code=int(error.code),
            check=error.check,
            nbytes=event.nbytes,
            resource=error.resource if isinstance(error, BudgetExceeded) else None,
        )

    def refused(self, code: ErrorCode) -> None:
        """Log that a request of the peer was denied or has failed."""
        self._tell(logging.WARNING, "connection %s: request denied (0x%03x)", self._info.id, code, code=int(code))

    def reported(self, code: int) -> None:
        """Log an ERROR that the peer sent."""
        self._tell(logging.WARNING, "connection %s: peer reports error 0x%03x", self._info.id, code, code=code)

    def undelivered(self, event: Undelivered) -> None:
        """Log that the peer did not acknowledge a message."""
        self._tell(
            logging.WARNING,
            "connection %s did not acknowledge %s after %d attempts",
            self._info.id,
            event.type.name,
            event.attempts,
            type=event.type.name,
            timestamp=event.timestamp,
            attempts=event.attempts,
        )

    def answers_no_ping(self, event: PingUnanswered) -> None:
        """Log that the peer no longer answers PING, so that the server cannot tell how far it has read."""
        self._tell(
            logging.WARNING,
            "connection %s has not answered PING for %.0f s: it is slow, or does not answer at all",
            self._info.id,
            event.seconds,
            seconds=event.seconds,
            on_its_way=event.on_its_way,
        )

    def slow(self, type: MessageType, seconds: float) -> None:
        """Log that the application took long to handle a message."""
        self._tell(
            logging.WARNING,
            "%s of connection %s took %.3f s to handle",
            type.name,
            self._info.id,
            seconds,
            type=type.name,
            seconds=seconds,
        )

    def cancelled_hook(self, seconds: float) -> None:
        """Log that a hook was cancelled because it took too long."""
        self._tell(logging.ERROR, "a hook took more than %g s and was cancelled", seconds, seconds=seconds)

    def drops(self, dropped: int, now: float) -> None:
        """Log dropped frames, at most once every ``DROP_LOG_PAUSE`` seconds: a slow viewer may lose thousands.

        Args:
            dropped: number of frames dropped since the connection began.
            now: in seconds of the loop's clock.
        """
        more = dropped - self._dropped
        if not more or now < self._dropped_at + DROP_LOG_PAUSE:
            return
        self._dropped, self._dropped_at = dropped, now
        self._tell(
            logging.WARNING,
            "connection %s is too slow: %d frames dropped",
            self._info.id,
            more,
            dropped=more,
        )

    def failed(self, what: str, error: Exception) -> None:
        """Log that code of the application or of the server raised an exception.

        Args:
            what: name of the hook or the step that failed.
            error: the exception; the record has its type and place, but not its text.
        """
        log_failure(what, error, **self._fields())

    def broke(self, error: Exception) -> None:
        """Log that the link failed."""
        self._tell(logging.DEBUG, "connection %s broke: %s", self._info.id, type(error).__name__)

    def left_work(self) -> None:
        """Log that messages of the peer were still unhandled when the connection was closed."""
        self._tell(logging.WARNING, "connection %s closed with unhandled messages", self._info.id)

    def closed(self, code: CloseCode | int, session: ServerSession) -> None:
        """Log that the connection was closed, with its code and the numbers of its messages."""
        counters = session.counters
        self._tell(
            logging.INFO,
            "connection %s from %s closed: %d",
            self._info.id,
            self._info.peer,
            code,
            code=code,
            sent=sum(counters.sent.values()) + session.passed,
            received=sum(counters.received.values()),
            dropped=counters.dropped,
        )

    def _tell(self, level: int, text: str, *arguments: Any, **fields: Any) -> None:
        if logger.isEnabledFor(level):
            logger.log(level, text, *arguments, extra=self._fields() | fields, stacklevel=2)

    def _fields(self) -> dict[str, Any]:
        return {"connection": self._info.id, "peer": self._info.peer}

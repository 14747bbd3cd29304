"""What the log tells of one connection: what happened, never what a message held."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from .logs import log_failure, logger

if TYPE_CHECKING:
    from ..protocol import CloseCode, ErrorCode, MessageType
    from ..session import FrameRefused, Negotiated, PingUnanswered, ServerSession, Undelivered
    from .connection_info import ConnectionInfo

DROP_LOG_PAUSE: Final = 1.0
"""Seconds after telling the log of dropped frames in which it is not told again, for one connection."""


class ConnectionLog:
    """Records of one connection, each with its id and its peer's address.

    Args:
        info: the connection.
    """

    __slots__ = ("_dropped", "_dropped_at", "_info")

    def __init__(self, info: ConnectionInfo) -> None:
        self._info = info
        self._dropped = 0  # as far as it was told
        self._dropped_at = 0.0

    def opened(self) -> None:
        """The peer has been let in."""
        self._tell(logging.INFO, "connection %s from %s opened", self._info.id, self._info.peer)

    def negotiated(self, event: Negotiated) -> None:
        """It is known how the peer talks."""
        self._tell(
            logging.INFO,
            "connection %s talks V%d (%s)",
            self._info.id,
            event.version,
            "negotiated" if event.negotiated else "assumed",
            version=event.version,
            negotiated=event.negotiated,
            capabilities=sorted(event.capabilities),
        )

    def refused_frame(self, event: FrameRefused) -> None:
        """The peer sent something wrong. The error's text is left out: it may quote the payload."""
        error = event.error
        self._tell(
            logging.WARNING,
            "connection %s from %s sent a frame that was refused: 0x%03x by check %s, message of %d bytes",
            self._info.id,
            self._info.peer,
            error.code,
            error.check,
            event.nbytes,
            code=int(error.code),
            check=error.check,
            nbytes=event.nbytes,
        )

    def refused(self, code: ErrorCode) -> None:
        """The peer asked for something that is not to be, or that failed."""
        self._tell(logging.WARNING, "connection %s is refused something: 0x%03x", self._info.id, code, code=int(code))

    def reported(self, code: int) -> None:
        """The peer says that something of ours was wrong."""
        self._tell(logging.WARNING, "connection %s reports error 0x%03x", self._info.id, code, code=code)

    def undelivered(self, event: Undelivered) -> None:
        """The peer did not acknowledge a message."""
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
        """The peer no longer tells how far it has read."""
        self._tell(
            logging.WARNING,
            "connection %s answers PING no more, for %.0f s: alerts may have to wait behind waveforms on their way",
            self._info.id,
            event.seconds,
            seconds=event.seconds,
            on_its_way=event.on_its_way,
        )

    def slow(self, type: MessageType, seconds: float) -> None:
        """A message took long to handle."""
        self._tell(
            logging.WARNING,
            "%s of connection %s took %.3f s",
            type.name,
            self._info.id,
            seconds,
            type=type.name,
            seconds=seconds,
        )

    def cancelled_hook(self, seconds: float) -> None:
        """A hook took too long."""
        self._tell(logging.ERROR, "a hook took more than %g s and was cancelled", seconds, seconds=seconds)

    def drops(self, dropped: int, now: float) -> None:
        """Tell of dropped frames, once in a while: a viewer that is too slow drops thousands.

        Args:
            dropped: frames, since the connection began.
            now: by the loop's clock.
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
        """Code of the application's failed, or of ours."""
        log_failure(what, error, **self._fields())

    def broke(self, error: Exception) -> None:
        """The link is of no use any more."""
        self._tell(logging.DEBUG, "connection %s broke: %s", self._info.id, type(error).__name__)

    def left_work(self) -> None:
        """The application did not finish in time what the peer had sent."""
        self._tell(logging.WARNING, "connection %s left work behind", self._info.id)

    def closed(self, code: CloseCode | int, session: ServerSession) -> None:
        """It is over."""
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

"""The audit log: who connected, what they watched and published, from when to when, and what was denied.

The records go to the logger ``ecgframe.audit`` at level INFO, with the fields of ``audit_events.Event`` as attributes,
and contain nothing of the messages. ``ecgframe.tools.audit_log`` writes them to files and reads them.

Records of one run of a server have the same ``run``. While a server runs, it writes ``server_alive`` every
``ALIVE_EVERY`` seconds, so that the end of what it served is known even after it was killed.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..audit_events import Event
from ..foreign_text import gated_logger
from .audit_repeats import Repeats
from .identity import name_of

if TYPE_CHECKING:
    from ..protocol import CloseCode, ErrorCode
    from .connection_info import ConnectionInfo

log = gated_logger("ecgframe.audit")

ALIVE_EVERY: Final = 30.0
"""Seconds between two records that the server is alive."""

DENIALS_EVERY: Final = 1.0
"""Seconds between two records of denials of one connection, so that a peer cannot fill a disk with them."""

STREAMS: Final = 1024
"""Streams on which a connection publishes that are counted; the oldest is recorded when there is one more."""


class _Part(NamedTuple):
    """A subscription, or publishing on a stream.

    Attributes:
        at: when it began, in seconds since 1970.
        number: of its first message in the ring; of what is published, the number of messages so far.
    """

    at: float
    number: int


class Audit:
    """Writes the records of a server.

    Attributes:
        run: identifies this run of the server.
    """

    def __init__(self) -> None:
        self.run = uuid.uuid4().hex
        self._timer: asyncio.TimerHandle | None = None
        self._refusals = Repeats(self._tell_refusal)

    @property
    def is_on(self) -> bool:
        """True if a handler may take the records."""
        return log.isEnabledFor(logging.INFO)

    def start(self) -> None:
        """Note that the server has started. A log that is switched on later does not say that it is alive."""
        self.record(Event.SERVER_STARTED, "server started")
        if self.is_on:
            self._timer = asyncio.get_running_loop().call_later(ALIVE_EVERY, self._alive)

    def stop(self) -> None:
        """Note that the server has stopped."""
        if self._timer is not None:
            self._timer.cancel()
        self._refusals.flush()
        self.record(Event.SERVER_STOPPED, "server stopped")

    def rights(self, command: str, of: str | None, ended: int, late: int = 0, *, stream: str | None = None) -> None:
        """Note that rights were taken away; ``late`` are those that ended because ``authorize`` did not answer."""
        fields = {"command": command, "of": of, "ended": ended, "late": late}
        if stream is not None:
            fields["stream"] = stream
        self.record(Event.RIGHTS, "%s of %s: %d ended, %d for want of an answer", command, of, ended, late, **fields)

    def asked(self, peer: str, person: str | None, stream: str | None, *, is_granted: bool) -> None:
        """Note that somebody has asked over HTTP who watches a stream, or all streams."""
        fields = {"peer": peer, "person": person, "stream": stream, "granted": is_granted}
        self.record(Event.ASKED, "%s at %s asks who watches %s", person, peer, stream, **fields)

    def page_refused(self, peer: str, person: str | None, page: str, status: int, origin: str | None = None) -> None:
        """Note that a request for a page was refused.

        Args:
            peer: address of whoever asked.
            person: name of the identity; None if it is unknown.
            page: path of the page.
            status: of the answer.
            origin: of the web page that may not open a WebSocket.
        """
        if self.is_on:
            fields = {"peer": peer, "person": person, "page": page, "status": int(status), "origin": origin}
            self._refusals.note(peer.rpartition(":")[0], fields, time.monotonic())

    def acknowledged(self, info: ConnectionInfo, stream: str, alarm: str, by: str, **fields: Any) -> None:
        """Note that an alarm was acknowledged over a connection. ``fields`` are the others of the event."""
        record = {"stream": stream, "alarm": alarm, "by": by, **fields}
        self.record_of(info, Event.ACKNOWLEDGED, "acknowledges an alarm of %s", stream, **record)

    def paused(self, info: ConnectionInfo, seconds: float, by: str) -> None:
        """Note that a page has paused the sound of its alarms, or ended the pause: 0 seconds."""
        self.record_of(info, Event.PAUSED, "pauses the sound of alarms for %g s", seconds, seconds=seconds, by=by)

    def limits(self, info: ConnectionInfo, stream: str, limits: dict[str, float | None], by: str) -> None:
        """Note that alarm limits were set over a connection."""
        self.record_of(info, Event.LIMITS, "sets the limits of %s", stream, stream=stream, limits=limits, by=by)

    def record_of(self, info: ConnectionInfo, event: Event, text: str, *arguments: object, **fields: Any) -> None:
        """Write a record of a connection."""
        if self.is_on:
            person = name_of(info.identity)
            whose = {"connection": info.id, "peer": info.peer, "person": person}
            if proxy := info.request.proxy:
                whose["proxy"] = proxy
            self.record(event, f"%s at %s (%s) {text}", person, info.peer, info.id, *arguments, **whose, **fields)

    def record(self, event: Event, text: str, *arguments: object, **fields: Any) -> None:
        """Write a record."""
        if self.is_on:
            record = {"event": str(event), "run": self.run, "at": time.time(), **fields}
            log.info(text, *arguments, extra=record)

    def _tell_refusal(self, fields: dict[str, Any]) -> None:
        text = "%s at %s may not read %s: %d"
        who = fields["person"], fields["peer"], fields["page"], fields["status"]
        self.record(Event.PAGE_REFUSED, text, *who, **fields)

    def _alive(self) -> None:
        self._refusals.flush()
        self.record(Event.SERVER_ALIVE, "server is alive")
        self._timer = asyncio.get_running_loop().call_later(ALIVE_EVERY, self._alive)


class ConnectionAudit:
    """Writes the records of one connection.

    Args:
        audit: of the server.
        info: the connection.
    """

    __slots__ = ("_audit", "_denial", "_denied_at", "_info", "_published", "_times", "_watched")

    def __init__(self, audit: Audit, info: ConnectionInfo) -> None:
        self._audit = audit
        self._info = info
        self._watched: dict[str, _Part] | None = None
        self._published: dict[str, _Part] | None = None
        self._denial: dict[str, Any] | None = None  # the last one, if it is not recorded
        self._denied_at = 0.0
        self._times = 0

    def opened(self) -> None:
        """Note that the peer was accepted."""
        self._tell(Event.OPENED, "opened")

    def refused(self) -> None:
        """Note that ``authenticate`` refused the peer."""
        self._tell(Event.REFUSED, "refused")

    def watches(self, stream: str, since: int | None, first: int) -> None:
        """Note that a subscription begins.

        Args:
            stream: name of the stream.
            since: what the peer asked for, in microseconds since 1970.
            first: number in the stream's ring of the first message.
        """
        if not self._audit.is_on:
            return
        self._watched = self._watched or {}
        self._watched[stream] = _Part(time.time(), first)
        self._tell(Event.WATCHES, "watches %s", stream, stream=stream, since=None if since is None else since / 1e6)

    def watched(self, stream: str, end: int, why: str) -> None:
        """Note that a subscription ends.

        Args:
            stream: name of the stream.
            end: number in the stream's ring after the last message that was sent or queued.
            why: see ``Event.WATCHED``.
        """
        part = self._watched.pop(stream, None) if self._watched else None
        if part is not None:
            fields = {"stream": stream, "from": part.at, "messages": max(0, end - part.number), "why": why}
            self._tell(Event.WATCHED, "watched %s: %d messages (%s)", stream, fields["messages"], why, **fields)

    def published(self, stream: str) -> None:
        """Count a message of the peer."""
        if not self._audit.is_on:
            return
        self._published = {} if self._published is None else self._published
        if (part := self._published.get(stream)) is None:
            if len(self._published) >= STREAMS:
                self._end_publishing(next(iter(self._published)))
            self._tell(Event.PUBLISHES, "publishes on %s", stream, stream=stream)
            part = _Part(time.time(), 0)
        self._published[stream] = part._replace(number=part.number + 1)

    def broadcast(self) -> None:
        """Note a message to all connections."""
        self._tell(Event.BROADCAST, "broadcasts")

    def denied(self, action: str, stream: str | None, code: ErrorCode | None) -> None:
        """Note that the peer may not do something."""
        if not self._audit.is_on:
            return
        self._times += 1
        self._denial = {"action": action, "stream": stream, "code": None if code is None else int(code)}
        if (now := time.monotonic()) >= self._denied_at + DENIALS_EVERY:
            self._denied_at = now
            self._tell_denials()

    def closed(self, code: CloseCode | int, dropped: int) -> None:
        """Note that the connection is closed, and what it has published."""
        self._tell_denials()
        for stream in list(self._published or ()):
            self._end_publishing(stream)
        self._tell(Event.CLOSED, "closed: %d", code, code=int(code), dropped=dropped)

    def _tell_denials(self) -> None:
        if self._denial is not None:
            denial, times = self._denial, self._times
            self._denial, self._times = None, 0
            self._tell(Event.DENIED, "may not %s %s", denial["action"], denial["stream"], times=times, **denial)

    def _end_publishing(self, stream: str) -> None:
        assert self._published is not None
        part = self._published.pop(stream)
        fields = {"stream": stream, "from": part.at, "messages": part.number}
        self._tell(Event.PUBLISHED, "published %d messages on %s", part.number, stream, **fields)

    def _tell(self, event: Event, text: str, *arguments: object, **fields: Any) -> None:
        self._audit.record_of(self._info, event, text, *arguments, **fields)

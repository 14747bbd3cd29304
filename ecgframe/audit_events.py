"""The events of the audit log, and the fields of their records."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What happened. Each member's text is the field ``event``; the others depend on it.

    All records have ``run`` and ``at`` (seconds since 1970); those of a connection have ``connection``, ``peer`` and
    ``person``, the name of its identity or None; and ``proxy``, if ``peer`` is what a trusted proxy at that address has
    said.
    """

    SERVER_STARTED = "server_started"
    SERVER_ALIVE = "server_alive"
    SERVER_STOPPED = "server_stopped"
    OPENED = "opened"
    REFUSED = "refused"
    """``authenticate`` refused the connection, or its identity had expired already."""
    CLOSED = "closed"
    """``code``: the close code; ``dropped``: frames that were dropped because the peer read too slowly."""
    WATCHES = "watches"
    """A subscription begins, or begins anew at another place. ``stream``; ``since``: seconds since 1970 from which the
    peer wants messages, or None."""
    WATCHED = "watched"
    """A subscription ends. ``stream``; ``from``: when it began; ``messages``: messages of the stream that were sent or
    queued for the peer; ``why``: "unsubscribed", "denied", "begins anew" or "closed"."""
    PUBLISHES = "publishes"
    """The first message of a connection on a ``stream``."""
    PUBLISHED = "published"
    """The connection is closed. ``stream``, ``from``, and the number of ``messages``."""
    DENIED = "denied"
    """``action``: "subscribe", "publish" or "broadcast"; ``stream``, None if the message was not read; ``code``: the
    error code, or None; ``times``: denials since the last such record of the connection, with this one, which is the
    latest. There is at most one record in a second, and one more when the connection is closed."""
    BROADCAST = "broadcast"
    """A connection sent a message to all connections."""
    RIGHTS = "rights"
    """Rights were taken away. ``command``: "recheck", "disconnect" or "unsubscribe"; ``of``: the stream or the
    name; ``stream``: of "unsubscribe"; ``ended``: how many subscriptions or connections ended here."""
    ASKED = "asked"
    """Somebody asked over HTTP who watches a ``stream``, or all streams (None). ``peer`` and ``person`` as of a
    connection; ``granted``: whether it got the answer."""

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
    """``action``: "subscribe", "publish", "broadcast" or "message", which the application has refused, such as an
    acknowledgement; ``stream``, None if the message was not read, or has none; ``code``: the error code, or None;
    ``times``: denials since the last such record of the connection, with this one, which is the latest. There is at
    most one record in a second, and one more when the connection is closed."""
    BROADCAST = "broadcast"
    """A connection sent a message to all connections."""
    RIGHTS = "rights"
    """Rights were taken away. ``command``: "recheck", "disconnect" or "unsubscribe"; ``of``: the stream or the
    name; ``stream``: of "unsubscribe"; ``ended``: how many subscriptions or connections ended here."""
    ASKED = "asked"
    """Somebody asked over HTTP who watches a ``stream``, or all streams (None). ``peer`` and ``person`` as of a
    connection; ``granted``: whether it got the answer."""
    PAGE_REFUSED = "page_refused"
    """A request for a page was refused. ``peer`` and ``person`` as of a connection; ``page``: its path; ``status``:
    401 or 403; ``origin``: of the web page that may not open a WebSocket, or None; ``times``: refusals of this address
    since the last such record, with this one, which is the latest. There is at most one record in a second for each
    address; what is left is recorded with the next SERVER_ALIVE, or when the server stops."""
    ACKNOWLEDGED = "acknowledged"
    """An alarm was acknowledged over a connection. ``stream``; ``alarm``: its name; ``kind`` and ``severity``; ``by``:
    the name that the page states, with that of the identity; ``began``: when the alarm began, in seconds since 1970."""
    PAUSED = "paused"
    """A page has paused the sound of its alarms, or ended the pause. ``seconds``: how long the pause lasts, 0 for its
    end; ``by``: as of ACKNOWLEDGED."""
    LIMITS = "limits"
    """The alarm limits of a ``stream`` were set over a connection. ``limits``: the features as in the message, None for
    no alarm; ``by``: as of ACKNOWLEDGED."""

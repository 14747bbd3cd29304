"""``ecgframe watch``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from datetime import datetime
from typing import Annotated

import typer

from ..places import server_address
from ..terminal import http_headers, plain_errors, positive


def _moment(text: str | None) -> float | datetime | None:
    """What follows ``--since``: seconds ago, or a moment."""
    if text is None:
        return None
    try:
        ago = float(text)
    except ValueError:
        pass
    else:
        if 0 <= ago < 1e9:
            return ago
        raise typer.BadParameter(f"{text} is no number of seconds to go back")
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number of seconds nor a time") from None


def watch(
    url: Annotated[
        str,
        typer.Argument(callback=server_address, metavar="URL", help="The server, as **ws://localhost:8765/ws**."),
    ],
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="What to follow, as **ecg/1**.")],
    *,
    seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="End after that time. Without it, Ctrl-C ends it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line for all that comes.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS|TIME",
            help="Begin with what the server still has from so many seconds ago on, or from a time on, as "
            "**2026-01-15T10:30:45**.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="An HTTP header for the server, as for authentication. Repeatable."),
    ] = None,
) -> None:
    """Follow a stream over WebSocket: rate, latency, gaps and reconnections, as they are now.

    A connection that breaks is made anew, and the stream goes on where it was. Latency is from the moment when the
    server stamped a message until it is here, by the server's clock, which is measured as well.
    """
    begin, headers = _moment(since), http_headers(header)
    with plain_errors():
        from .run import watch_stream  # noqa: PLC0415 - asyncio and websockets are for those who watch

        watch_stream(url, stream, seconds=seconds, as_json=as_json, since=begin, headers=headers)

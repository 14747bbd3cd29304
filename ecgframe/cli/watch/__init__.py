"""``ecgframe watch``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..places import server_address
from ..terminal import Headers, http_headers, moment, plain_errors, positive
from ..trust import Ca, Insecure, trusted_by


def watch(
    url: Annotated[
        str,
        typer.Argument(callback=server_address, metavar="URL", help="The server, such as **ws://localhost:8765/ws**."),
    ],
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="The stream to follow, such as **ecg/1**.")],
    *,
    seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="Stop after this time. Default: until Ctrl-C."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS|TIME",
            help="Start this many seconds ago, or at a time such as **2026-01-15T10:30:45**, as far back as the server "
            "keeps the stream.",
        ),
    ] = None,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Follow a stream over WebSocket, and show its rate, latency, gaps and reconnections.

    A lost connection is restored, and the stream resumes where it was. Latency is the time from the timestamp of a
    message to its arrival, corrected by the measured offset of the server's clock.
    """
    begin, headers = moment(since), http_headers(header)
    with plain_errors():
        from .run import watch_stream  # noqa: PLC0415 - loads asyncio and websockets

        watch_stream(
            url,
            stream,
            seconds=seconds,
            as_json=as_json,
            since=begin,
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
        )

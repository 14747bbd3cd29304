"""``ecgframe sizes``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..places import server_or_other
from ..terminal import http_headers, plain_errors, positive

EPILOG = """\
**ecgframe sizes session.pcap** tells where the bytes of a session go.

**ecgframe sizes day.frames --json** gives the same to a program.

**ecgframe sizes ws://127.0.0.1:8765/ws --stream ecg/1 --seconds 5** measures what a server sends.
"""


def sizes(
    source: Annotated[
        str,
        typer.Argument(
            callback=server_or_other,
            metavar="SOURCE",
            help="What **ecgframe inspect** takes: a file of frames, a capture, hexadecimal digits, **-**, a server.",
            show_default=False,
        ),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object.")] = False,
    stream: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="At a server: subscribe to this stream. Repeatable.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="At a server: for how long.")
    ] = 10,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="At a server: an HTTP header, as for authentication. Repeatable."),
    ] = None,
) -> None:
    """Tell where the bytes go, by message type and field, and what other forms would take.

    The messages are encoded anew as JSON, as lists and in binary form, as floats of both sizes and as integers, with
    and without compression. The last line of each type says in plain words what would be smaller.
    """
    headers = http_headers(header)
    with plain_errors():
        from .run import measure_sizes  # noqa: PLC0415 - the tools are for those who look

        measure_sizes(source, streams=stream or [], seconds=seconds, headers=headers, as_json=as_json)

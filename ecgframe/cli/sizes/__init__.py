"""``ecgframe sizes``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..options import FrameKeys, Headers, http_headers, positive
from ..places import server_or_other
from ..plain_errors import plain_errors
from ..protocol_versions import DEFAULT_PROTOCOL, Protocol, versions_up_to
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe sizes session.pcap** shows which messages and fields the bytes of a capture go to.

**ecgframe sizes day.frames --json** prints the same as JSON.

**ecgframe sizes ws://127.0.0.1:8765/ws --stream ecg/1 --seconds 5** measures what a server sends.
"""


def sizes(
    source: Annotated[
        str,
        typer.Argument(
            callback=server_or_other,
            metavar="SOURCE",
            help="A source as for **ecgframe inspect**: file of frames, capture, hexadecimal digits, **-** or server.",
            show_default=False,
        ),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    stream: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="For a server: subscribe to this stream. Repeatable.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="For a server: duration of the measurement.")
    ] = 10,
    keys: FrameKeys = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Measure sizes by message type and field, and compare other ways to encode the same messages.

    The messages are encoded again as JSON, as lists and in binary form, as float32, float64 and integers, with and
    without compression. The last lines of each type show the size and the time of each compression algorithm of version
    4 that is installed, and recommend the smallest encoding.
    """
    headers = http_headers(header)
    with plain_errors():
        from .run import measure_sizes  # noqa: PLC0415 - loads the tools

        measure_sizes(
            source,
            streams=stream or [],
            seconds=seconds,
            versions=versions_up_to(protocol),
            headers=headers,
            as_json=as_json,
            keys=keys,
            trusted=trusted_by(source, ca, insecure),
        )

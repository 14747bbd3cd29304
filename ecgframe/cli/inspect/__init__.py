"""``ecgframe inspect``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ...protocol import DEFAULT_MAX_PAYLOAD, LARGEST_LENGTH, MessageType
from ..places import server_or_other
from ..terminal import http_headers, plain_errors, positive

EPILOG = """\
**ecgframe inspect 03 10 00 00000000 00000000 00060ef981a72180** takes one frame apart.

**ecgframe inspect session.pcap --type ECG_DATA --count 3** shows the first waveforms of a capture.

**ecgframe inspect session.pcap --errors --hex** shows what is broken in it, byte by byte.

**ecgframe inspect day.frames --summary** counts a file of any size.

**ecgframe inspect ws://127.0.0.1:8765/ws --stream ecg/1 --seconds 5** listens to a server.

It ends with 0 when all frames were good, with 3 when some were broken, with 1 when the source could not be read.
"""


def _type_number(text: str) -> int:
    """What follows ``--type``: a name or a number."""
    name = text.strip().upper()
    if name in MessageType.__members__:
        return int(MessageType[name])
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 255:
        raise typer.BadParameter(f"{text!r} is neither a number nor one of {', '.join(MessageType.__members__)}")
    return number


def inspect(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="A file of frames, a capture (pcap, pcapng), a file of hexadecimal digits or the digits themselves, "
            "**-** for standard input, or a server, as **ws://localhost:8765/ws**.",
            show_default=False,
        ),
    ],
    *,
    type: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only messages of this type. Repeatable.")
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only messages of this stream; at a server it is subscribed to. Repeatable."),
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only what is broken.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only totals. Of a file of frames, headers and checksums are checked.")
    ] = False,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="With --summary, check the payloads of a file as well, which takes longer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    as_hex: Annotated[bool, typer.Option("--hex", help="The bytes, those of the header with their names.")] = False,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many frames.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="At a server: end after that time."),
    ] = None,
    max_payload: Annotated[
        int, typer.Option(min=0, max=LARGEST_LENGTH, metavar="BYTES", help="The limit of the receiver that it plays.")
    ] = DEFAULT_MAX_PAYLOAD,
    validate: Annotated[
        bool,
        typer.Option("--validate", help="Check the fields of data messages as well; control messages always are."),
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="At a server: an HTTP header, as for authentication. Repeatable."),
    ] = None,
) -> None:
    """Show what is on the wire, frame by frame: header, flags, sizes, checksum, payload. Broken frames as well.

    Of a broken frame it shows where it is broken and what a receiver would answer, and goes on. Of a capture, masks,
    fragments, permessage-deflate and the order of TCP are undone.
    """
    named = server_or_other(" ".join(source))
    types = frozenset(_type_number(name) for name in type or ())
    headers = http_headers(header)
    with plain_errors():
        from .run import Wanted, inspect_source  # noqa: PLC0415 - the tools are for those who look

        wanted = Wanted(types=types, streams=frozenset(stream or ()), errors=errors, count=count)
        broken = inspect_source(
            named,
            wanted,
            summary=summary,
            unpack=unpack,
            as_json=as_json,
            as_hex=as_hex,
            seconds=seconds,
            max_payload=max_payload,
            validate=validate,
            headers=headers,
        )
    if broken:
        raise typer.Exit(3)

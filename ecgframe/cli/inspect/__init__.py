"""``ecgframe inspect``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ...protocol import DEFAULT_MAX_PAYLOAD, LARGEST_LENGTH, MessageType
from ..options import FrameKeys, Headers, http_headers, positive, public_keys
from ..places import server_or_other
from ..plain_errors import plain_errors
from ..protocol_versions import DEFAULT_PROTOCOL, Protocol, versions_up_to
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe inspect 03 10 00 00000000 00000000 00060ef981a72180** decodes one frame.

**ecgframe inspect session.pcap --type ECG_DATA --count 3** shows the first three waveforms in a capture.

**ecgframe inspect session.pcap --errors --hex** shows its broken frames, with their bytes.

**ecgframe inspect day.frames --summary** summarizes a file of any size.

**ecgframe inspect ws://127.0.0.1:8765/ws --stream ecg/1 --seconds 5** shows what a server sends.

Exit code: 0 if all frames are valid, 3 if some are broken, 1 if the source cannot be read.
"""


def _type_number(text: str) -> int:
    """Parse the value of ``--type``, a name or a number, to the number of a message type."""
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
            help="A file of frames, a capture (pcap, pcapng), a file of hexadecimal digits, the digits themselves, "
            "**-** for standard input, or a server, such as **ws://localhost:8765/ws**.",
            show_default=False,
        ),
    ],
    *,
    type: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Show only messages of this type. Repeatable.")
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Show only messages of this stream; for a server, subscribe to it. Repeatable."
        ),
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show only broken frames.")] = False,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Show only totals. For a file of frames, check only headers and checksums."),
    ] = False,
    unpack: Annotated[
        bool, typer.Option("--unpack", help="With --summary: check the payloads of a file as well, which takes longer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    as_hex: Annotated[
        bool, typer.Option("--hex", help="Show the bytes as well, with the fields of the header.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after this number of frames.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="For a server: stop after this time."),
    ] = None,
    max_payload: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_LENGTH, metavar="BYTES", help="Limit of a payload; larger ones are errors."),
    ] = DEFAULT_MAX_PAYLOAD,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate", help="Check the fields of data messages as well; those of control messages always are."
        ),
    ] = False,
    keys: FrameKeys = None,
    verify: Annotated[
        list[str] | None,
        typer.Option(
            "--verify",
            metavar="KEY",
            help="Verify the signatures of this signer: its public key, 64 hexadecimal digits, or a file with a key in "
            "each line. Repeatable. **ecgframe verify** proves a whole recording.",
        ),
    ] = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Show every frame of a file, a capture or a connection: header, flags, sizes, checksum and payload.

    For a broken frame, it shows where the error is and which error code a receiver would answer, and continues. In a
    capture, TCP segments are put in order, and WebSocket masks, fragments and permessage-deflate are undone.
    """
    named = server_or_other(" ".join(source))
    types = frozenset(_type_number(name) for name in type or ())
    headers, signers = http_headers(header), public_keys(verify)
    with plain_errors():
        from .run import Wanted, inspect_source  # noqa: PLC0415 - loads the tools

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
            keys=keys,
            signers=signers,
            versions=versions_up_to(protocol),
            headers=headers,
            trusted=trusted_by(named, ca, insecure),
        )
    if broken:
        raise typer.Exit(3)

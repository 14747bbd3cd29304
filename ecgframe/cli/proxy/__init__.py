"""``ecgframe proxy``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..places import listening_place, server_address
from ..terminal import Force, plain_errors, positive, refuse_to_overwrite

EPILOG = """\
**ecgframe proxy 8766 ws://127.0.0.1:8765** shows what passes; point the client at port 8766.

**ecgframe proxy 8766 ws://127.0.0.1:8765 --record session.pcap** keeps it, for **inspect**, **replay** and Wireshark.

**ecgframe proxy 8766 ws://127.0.0.1:8765 --drop 0.02 --corrupt 0.01 --delay 300 --seed 7** is a bad day of the network.
"""


def share(value: float) -> float:
    """The value of an option from 0 to 1; a usage error if it is not."""
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{value:g} is not from 0 to 1")
    return value


def proxy(
    listen: Annotated[
        str,
        typer.Argument(metavar="LISTEN", help="Where clients connect, as **8766** or **0.0.0.0:8766**; 0 is any port."),
    ],
    target: Annotated[
        str,
        typer.Argument(
            callback=server_address,
            metavar="TARGET",
            help="The server, as **ws://127.0.0.1:8765**; the path is the client's.",
        ),
    ],
    *,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write what passes into a capture.")
    ] = None,
    delay: Annotated[float, typer.Option(min=0, metavar="MS", help="Let everything arrive so much later.")] = 0,
    drop: Annotated[float, typer.Option(callback=share, metavar="P", help="Lose this share of messages, 0 to 1.")] = 0,
    corrupt: Annotated[
        float, typer.Option(callback=share, metavar="P", help="Flip a bit in this share of messages, 0 to 1.")
    ] = 0,
    throttle: Annotated[
        float | None, typer.Option(callback=positive, metavar="BYTES", help="Let so many bytes a second through.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Let the same go wrong each time.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show only what is broken.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing of what passes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    force: Force = False,
) -> None:
    """Stand between a client and a server: show both directions, record them, and play a bad network.

    Frames are shown and recorded as they arrive, with whatever went wrong on the way. Each direction has its own line;
    the negotiation at the beginning is never lost or changed. Ctrl-C ends it.
    """
    host, port = listening_place(listen)
    if record is not None:
        refuse_to_overwrite(record, force)
    with plain_errors():
        from .run import run_proxy  # noqa: PLC0415 - asyncio and websockets are for those who need them

        run_proxy(
            host,
            port,
            target,
            record=record,
            delay=delay / 1000,
            drop=drop,
            corrupt=corrupt,
            throttle=throttle,
            seed=seed,
            errors=errors,
            quiet=quiet,
            as_json=as_json,
        )

"""``ecgframe proxy``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..options import Force, FrameKeys, positive
from ..overwriting import refuse_to_overwrite
from ..places import listening_place, server_address
from ..plain_errors import plain_errors
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe proxy 8766 ws://127.0.0.1:8765** shows the traffic of clients that connect to port 8766.

**ecgframe proxy 8766 ws://127.0.0.1:8765 --record session.pcap** records it for **inspect**, **replay** and Wireshark.

**ecgframe proxy 8766 ws://127.0.0.1:8765 --drop 0.02 --corrupt 0.01 --delay 300 --seed 7** simulates a bad network.
"""


def share(value: float) -> float:
    """Return the value of an option that must be from 0 to 1.

    Raises:
        typer.BadParameter: it is not.
    """
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{value:g} is not from 0 to 1")
    return value


def proxy(
    listen: Annotated[
        str,
        typer.Argument(
            metavar="LISTEN", help="Address for clients, such as **8766** or **0.0.0.0:8766**; port 0 is any free port."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            callback=server_address,
            metavar="TARGET",
            help="The server, such as **ws://127.0.0.1:8765**. Without a path, that of the client's request is used.",
        ),
    ],
    *,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Record the traffic as a capture file.")
    ] = None,
    delay: Annotated[float, typer.Option(min=0, metavar="MS", help="Delay every message, in milliseconds.")] = 0,
    drop: Annotated[float, typer.Option(callback=share, metavar="P", help="Drop this share of messages, 0 to 1.")] = 0,
    corrupt: Annotated[
        float, typer.Option(callback=share, metavar="P", help="Flip a bit in this share of messages, 0 to 1.")
    ] = 0,
    throttle: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="BYTES", help="Limit each direction, in bytes per second."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Make the random faults repeatable.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show only broken frames.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the traffic.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    keys: FrameKeys = None,
    ca: Ca = None,
    insecure: Insecure = False,
    force: Force = False,
) -> None:
    """Relay between clients and a server: show both directions, record them, and simulate a bad network.

    Frames are shown and recorded as they are delivered, faults included. The faults of the two directions are
    independent; PROTOCOL_NEGOTIATION is never dropped or changed. Stop with Ctrl-C.

    Keys of sealed streams pass through the proxy to the client, but are neither shown nor recorded.
    """
    host, port = listening_place(listen)
    if record is not None:
        refuse_to_overwrite(record, force)
    with plain_errors():
        from .run import run_proxy  # noqa: PLC0415 - loads asyncio and websockets

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
            keys=keys,
            trusted=trusted_by(target, ca, insecure),
        )

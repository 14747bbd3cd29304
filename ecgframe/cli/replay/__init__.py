"""``ecgframe replay``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..places import is_server, listening_place, server_or_other
from ..terminal import http_headers, plain_errors, positive

EPILOG = """\
**ecgframe replay session.pcap 8766** plays the server's part to each client that connects to port 8766.

**ecgframe replay session.pcap ws://127.0.0.1:8765/ws --speed 4** plays the client's part to a server.

**ecgframe replay day.frames 8766** plays a file of frames as a server would send them.
"""


def replay(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING",
            help="A recording of **ecgframe proxy**, another capture (pcap, pcapng), or a file of frames.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Argument(
            callback=server_or_other,
            metavar="TO",
            help="A server, as **ws://127.0.0.1:8765/ws**, to which the client's part is played; or where to listen, "
            "as **8766**, and play the server's part.",
        ),
    ],
    *,
    speed: Annotated[
        float, typer.Option(callback=positive, metavar="FACTOR", help="Play it so many times as fast as it was.")
    ] = 1,
    connection: Annotated[int, typer.Option(min=1, metavar="N", help="Which connection of the recording.")] = 1,
    linger: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Listen so long after the last message.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing of what passes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="To a server: an HTTP header, as for authentication. Repeatable."),
    ] = None,
) -> None:
    """Play one side of a recorded conversation again, byte for byte and at its own pace.

    It says what was said then, whatever the other side says now; what the other side says is shown.
    """
    headers = http_headers(header)
    place = None if is_server(to) else listening_place(to)
    with plain_errors():
        from .run import run_replay  # noqa: PLC0415 - asyncio and websockets are for those who need them

        run_replay(
            recording,
            to,
            place,
            speed=speed,
            connection=connection,
            linger=linger,
            quiet=quiet,
            as_json=as_json,
            headers=headers,
        )

"""``ecgframe replay``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..options import Headers, http_headers, positive
from ..places import is_server, listening_place, server_or_other
from ..plain_errors import plain_errors
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe replay session.pcap 8766** replays the server's side to each client that connects to port 8766.

**ecgframe replay session.pcap ws://127.0.0.1:8765/ws --speed 4** replays the client's side, at four times the speed.

**ecgframe replay day.frames 8766** sends a file of frames as a server would.
"""


def replay(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING",
            help="A recording of **ecgframe proxy**, any other capture (pcap, pcapng), or a file of frames.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Argument(
            callback=server_or_other,
            metavar="TO",
            help="A server, such as **ws://127.0.0.1:8765/ws**, to replay the client's side; or an address to listen "
            "on, such as **8766**, to replay the server's side.",
        ),
    ],
    *,
    speed: Annotated[
        float, typer.Option(callback=positive, metavar="FACTOR", help="Speed of the replay; 2 is twice as fast.")
    ] = 1,
    connection: Annotated[int, typer.Option(min=1, metavar="N", help="Number of the connection in the recording.")] = 1,
    linger: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Stay connected this long after the last message.")
    ] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show the traffic.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Replay one side of a recorded connection, byte for byte and at the recorded pace.

    The messages are sent as recorded, regardless of what the other side answers; its answers are shown. A file of
    frames is sent in real time: by the timestamps in the messages, or else by the samples and the sampling rate.
    """
    headers = http_headers(header)
    place = None if is_server(to) else listening_place(to)
    with plain_errors():
        from .run import run_replay  # noqa: PLC0415 - loads asyncio and websockets

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
            trusted=trusted_by(to, ca, insecure),
        )

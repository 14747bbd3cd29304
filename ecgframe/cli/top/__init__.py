"""``ecgframe top``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..options import Headers, http_headers, positive
from ..places import metrics_address
from ..plain_errors import plain_errors
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe top ws://127.0.0.1:8765/ws** shows the load of a server until q is pressed.

**ecgframe top ws://127.0.0.1:8765/ws --once** prints it once and exits.

**ecgframe top ws://127.0.0.1:8765/ws --once --json** prints it as JSON.
"""


def top(
    url: Annotated[
        str,
        typer.Argument(
            callback=metrics_address,
            metavar="URL",
            help="The server, such as **ws://127.0.0.1:8765/ws**, or the URL of its metrics, such as "
            "**http://127.0.0.1:9090/metrics**.",
        ),
    ],
    *,
    interval: Annotated[
        float,
        typer.Option(
            callback=positive, metavar="SECONDS", help="Time between two readings, over which rates are taken."
        ),
    ] = 1,
    once: Annotated[bool, typer.Option("--once", help="Print one interval and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print a JSON object.")] = False,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Show the load of a server: connections, streams, rates, latencies, queues, drops, compression, errors.

    The numbers are read from the Prometheus metrics of the server, at /metrics on the port of its WebSocket, and are
    totals over all streams and connections.
    """
    if as_json and not once:
        raise typer.BadParameter("requires --once", param_hint="--json")
    with plain_errors():
        from .run import look_once, watch_performance  # noqa: PLC0415 - loads the tools

        trusted, headers = trusted_by(url, ca, insecure), http_headers(header)
        if once:
            look_once(url, interval, headers, as_json=as_json, trusted=trusted)
        else:
            watch_performance(url, interval, headers, trusted=trusted)

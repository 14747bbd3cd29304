"""``ecgframe top``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..places import metrics_address
from ..terminal import plain_errors, positive

EPILOG = """\
**ecgframe top ws://127.0.0.1:8765/ws** shows how a server does, until q is pressed.

**ecgframe top ws://127.0.0.1:8765/ws --once** prints it once.

**ecgframe top ws://127.0.0.1:8765/ws --once --json** gives it to a script.
"""


def top(
    url: Annotated[
        str,
        typer.Argument(
            callback=metrics_address,
            metavar="URL",
            help="The server, as **ws://127.0.0.1:8765/ws**, or its metrics, as **http://127.0.0.1:9090/metrics**.",
        ),
    ],
    *,
    interval: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="How long each look takes; rates are over that.")
    ] = 1,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once, a JSON object.")] = False,
) -> None:
    """Show how a server does: connections, streams, rates, latencies, queues, drops, compression, errors.

    It reads the server's metrics for Prometheus, which are beside its WebSocket. Streams and connections are summed.
    """
    if as_json and not once:
        raise typer.BadParameter("goes with --once", param_hint="--json")
    with plain_errors():
        from .run import look_once, watch_performance  # noqa: PLC0415 - the tools are for those who look

        if once:
            look_once(url, interval, as_json=as_json)
        else:
            watch_performance(url, interval)

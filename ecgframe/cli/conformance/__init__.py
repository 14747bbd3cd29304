"""``ecgframe conformance``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..options import Force, Headers, http_headers, positive
from ..overwriting import refuse_to_overwrite
from ..places import listening_place, optional_server_address
from ..plain_errors import plain_errors
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe conformance ws://127.0.0.1:8765/ws --stream ecg/1** tests a server.

**ecgframe conformance ws://127.0.0.1:8765/ws --case 3 --report report.html** runs section 3 and writes a report.

**ecgframe conformance --listen 8767** tests a client that connects to ws://127.0.0.1:8767 again for each case.

Exit code: 0 if no case failed, 3 if some did, 1 if there was no server or client to test.
"""


def conformance(
    url: Annotated[
        str | None,
        typer.Argument(
            callback=optional_server_address, metavar="URL", help="The server, such as **ws://127.0.0.1:8765/ws**."
        ),
    ] = None,
    *,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Test a client: listen on this address, such as **8767** or **0.0.0.0:8767**."
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A stream on which the server publishes data; enables the cases about streams."
        ),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER", help="Run only this case, such as **3.7**, or section, such as **3**. Repeatable."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a report with the bytes of each case.")
    ] = None,
    timeout: Annotated[float, typer.Option(callback=positive, metavar="SECONDS", help="Time limit for an answer.")] = 2,
    patience: Annotated[
        float,
        typer.Option(
            callback=positive, metavar="SECONDS", help="Time limit for a heartbeat, or for a client to connect."
        ),
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per case.")] = False,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
    force: Force = False,
) -> None:
    """Test whether any server or client conforms to the protocol.

    Each rule of the protocol is a numbered case, tested over a separate connection. Cases about features that the
    peer does not offer are skipped, with the reason.
    """
    if (url is None) is (listen is None):
        raise typer.BadParameter("give either the URL of a server, or --listen to test a client", param_hint="URL")
    place = None if listen is None else listening_place(listen)
    if report is not None:
        refuse_to_overwrite(report, force)
    headers = http_headers(header)
    with plain_errors():
        from .run import run_suite  # noqa: PLC0415 - loads asyncio and websockets

        failed = run_suite(
            url,
            place,
            stream=stream,
            wanted=tuple(case or ()),
            report=report,
            timeout=timeout,
            patience=patience,
            as_json=as_json,
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
        )
    if failed:
        raise typer.Exit(3)

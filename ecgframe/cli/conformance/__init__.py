"""``ecgframe conformance``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..places import listening_place, optional_server_address
from ..terminal import Force, http_headers, plain_errors, positive, refuse_to_overwrite

EPILOG = """\
**ecgframe conformance ws://127.0.0.1:8765/ws --stream ecg/1** tests a server.

**ecgframe conformance ws://127.0.0.1:8765/ws --case 3 --report report.html** tests section 3, and shows the bytes.

**ecgframe conformance --listen 8767** tests a client that connects to ws://127.0.0.1:8767 anew for each case.

It ends with 0 when no case failed, with 3 when some did, with 1 when there was nobody to test.
"""


def conformance(
    url: Annotated[
        str | None,
        typer.Argument(
            callback=optional_server_address, metavar="[URL]", help="The server, as **ws://127.0.0.1:8765/ws**."
        ),
    ] = None,
    *,
    listen: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Test clients that connect there, as **8767** or **0.0.0.0:8767**."),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A stream of the server on which data comes by itself; more can be tested."),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER", help="Only this case, as **3.7**, or section, as **3**. Repeatable."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with the bytes of each case.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="How long an answer may take.")
    ] = 2,
    patience: Annotated[
        float,
        typer.Option(
            callback=positive, metavar="SECONDS", help="How long to wait for a heartbeat, or for a client to connect."
        ),
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a case.")] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="An HTTP header for the server, as for authentication. Repeatable."),
    ] = None,
    force: Force = False,
) -> None:
    """Test whether a server, or a client, of whoever's making keeps to the protocol.

    Each rule of the protocol is a numbered case with a connection of its own. A case that is about something which the
    peer does not offer is skipped, with the reason.
    """
    if (url is None) is (listen is None):
        raise typer.BadParameter("a server's URL, or --listen for clients: one of them", param_hint="URL")
    place = None if listen is None else listening_place(listen)
    if report is not None:
        refuse_to_overwrite(report, force)
    headers = http_headers(header)
    with plain_errors():
        from .run import run_suite  # noqa: PLC0415 - asyncio and websockets are for those who test

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
        )
    if failed:
        raise typer.Exit(3)

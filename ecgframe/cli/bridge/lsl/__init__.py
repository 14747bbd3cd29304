"""``ecgframe bridge lsl``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ...live_streams import Duration, Server, StreamNames, SummaryAsJson
from ...options import Headers, http_headers, names, positive
from ...plain_errors import plain_errors
from ...protocol_versions import DEFAULT_PROTOCOL, Protocol, versions_up_to
from ...trust import Ca, Insecure, trusted_by

EXIT_CODES = """\
The exit code is 0 if everything was passed on, 3 if samples were missing or refused, 1 if it failed, and 2 for a usage
error.
"""

OUT_EPILOG = f"""\
**ecgframe bridge lsl out ws://127.0.0.1:8765/ws ecg/1** sends a stream to LSL, where LabRecorder and other programs
find it.

{EXIT_CODES}"""

IN_EPILOG = f"""\
**ecgframe bridge lsl in ws://127.0.0.1:8765/ws** publishes all LSL streams of the type ECG.

**ecgframe bridge lsl in ws://127.0.0.1:8765/ws --name "Polar H10" --units uV --stream ecg/bed-7** publishes one, whose
description states no unit.

{EXIT_CODES}"""

lsl = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Connect to the Lab Streaming Layer (LSL), with the extra **lsl**. "
    "Its own settings are in lsl_api.cfg or in the file that LSLAPICFG names.",
)


@lsl.command("out", epilog=OUT_EPILOG)
def send(
    url: Server,
    streams: StreamNames,
    *,
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="Type of the LSL streams.")] = "ECG",
    duration: Duration = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Send live streams of a server to LSL.

    Each stream becomes an LSL stream of the same name, with physical values, the names of the leads and their unit.
    Missing samples are NaN. Alerts become markers, in the LSL stream **STREAM alerts**. Timestamps are the times of
    measurement, mapped from the server's clock to that of LSL.
    """
    headers = http_headers(header)
    with plain_errors():
        from .run import send_streams  # noqa: PLC0415 - loads asyncio, websockets and pylsl

        is_whole = send_streams(
            url,
            streams,
            kind=kind,
            seconds=duration,
            versions=versions_up_to(protocol),
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
            as_json=as_json,
        )
    if not is_whole:
        raise typer.Exit(3)


@lsl.command("in", epilog=IN_EPILOG)
def publish(
    url: Server,
    *,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Publish the LSL stream of this name. Repeatable.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Publish LSL streams of this type; by default **ECG**, or any type with --name or --predicate.",
            show_default=False,
        ),
    ] = None,
    predicate: Annotated[
        str | None,
        typer.Option(
            metavar="XPATH", help="Publish LSL streams for which this is true, such as **hostname='amplifier'**."
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(callback=positive, metavar="SECONDS", help="How long to look for the LSL streams.")
    ] = 10,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="STREAM",
            help="Name of the published stream, if it is one; by default **lsl/** and the name of the LSL stream.",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Publish these channels only, in this order: comma-separated names."),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT", help="Unit of the samples, such as **mV** or **uV**, where LSL does not state it."
        ),
    ] = None,
    frame_ms: Annotated[
        float,
        typer.Option(callback=positive, max=10_000, metavar="MS", help="Duration of the samples in one message."),
    ] = 50,
    markers: Annotated[
        bool,
        typer.Option(
            "--markers", help="Publish the texts of LSL streams of the type Markers as alerts, on each of the streams."
        ),
    ] = False,
    duration: Duration = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Publish LSL streams on a server that lets clients publish, such as **ecgframe serve --publish**.

    Each LSL stream becomes a stream of ECG_DATA, with the names and the unit of its channels. An unknown unit is
    published as "unknown". The times are those of LSL, corrected for the sender's clock and mapped to the server's.
    Samples that are missing by these times are NaN.
    """
    headers = http_headers(header)
    with plain_errors():
        from .run import publish_streams  # noqa: PLC0415 - loads asyncio, websockets and pylsl

        is_whole = publish_streams(
            url,
            names=name or (),
            kind=kind,
            predicate=predicate,
            wait=wait,
            stream=stream,
            channels=names(channels),
            units=units,
            frame_seconds=frame_ms / 1000,
            markers=markers,
            seconds=duration,
            versions=versions_up_to(protocol),
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
            as_json=as_json,
        )
    if not is_whole:
        raise typer.Exit(3)

"""``ecgframe record``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..live_streams import Duration, Server, StreamNames, SummaryAsJson
from ..options import Force, Headers, Keys, http_headers, moment, positive
from ..plain_errors import plain_errors
from ..protocol_versions import DEFAULT_PROTOCOL, Protocol, versions_up_to
from ..standard_streams import STREAM
from ..trust import Ca, Insecure, trusted_by

EPILOG = """\
**ecgframe record ws://127.0.0.1:8765/ws ecg/1 -o bed-7.edf --duration 300** records five minutes.

**ecgframe record ws://127.0.0.1:8765/ws ecg/1 ecg/2 -o night --format wfdb --rotate-seconds 3600** records two streams
into the folder night, with a new file each hour.

**ecgframe record ws://127.0.0.1:8765/ws ecg/1 -o bed-7.frames --signatures** records what the server has signed.

The exit code is 0 if the recording is complete, 3 if samples are missing or messages were refused, 1 if it failed, and
2 for a usage error.
"""


class Form(StrEnum):
    """Format of the files."""

    EDF = "edf"
    BDF = "bdf"
    WFDB = "wfdb"
    FRAMES = "frames"
    MCAP = "mcap"


def record(
    url: Server,
    streams: StreamNames,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER|FILE",
            help="A folder, which is created if it does not exist; or, for one stream, a file that ends in .edf, .bdf, "
            ".hea (WFDB), .mcap or .frames.",
        ),
    ],
    format: Annotated[
        Form | None,
        typer.Option(
            help="Format of the files; by default the format of the file's suffix, or EDF+ in a folder.",
            show_default=False,
        ),
    ] = None,
    duration: Duration = None,
    rotate_seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="Start a new file after this duration of signal."),
    ] = None,
    rotate_bytes: Annotated[
        int | None,
        typer.Option(min=1, metavar="BYTES", help="Start a new file when one has reached this size."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS|TIME",
            help="Also record what the server has in its history, from this many seconds ago, or from a time, such as "
            "**2026-01-15T10:30:45**.",
        ),
    ] = None,
    patient: Annotated[str, typer.Option(metavar="CODE", help="Patient code for the header of EDF+ and BDF+.")] = "",
    signatures: Annotated[
        bool,
        typer.Option(
            "--signatures",
            help="Record into files of frames as it comes, with signatures and attestations, so that **ecgframe "
            "verify** can prove the recording. Speaks version 4; gaps are not filled.",
        ),
    ] = False,
    protocol: Protocol = DEFAULT_PROTOCOL,
    keys: Keys = None,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
    as_json: SummaryAsJson = False,
    force: Force = False,
) -> None:
    """Record live streams over WebSocket, as EDF+, BDF+, WFDB, MCAP or files of frames.

    The files can be read while they are written. If the recorder is killed, at most the last second is lost. After a
    lost connection the recorder reconnects, and each stream continues where it stopped if the server's history still
    has it. Gaps that remain are filled with missing samples, so that every sample is at its time. Alerts become
    annotations. MCAP and files of frames also hold features and predictions.

    A new file is started after a gap of unknown length or of more than ten minutes, and when a stream changes its
    leads, units, calibration or sampling rate, or its samples exceed the range of the file. Existing files are never
    replaced, except for the named file with **--force**.
    """
    if output == STREAM:
        raise typer.BadParameter(
            "recordings cannot be written to standard output; name a folder or a file", param_hint="--output"
        )
    begin, headers = moment(since), http_headers(header)
    with plain_errors():
        from .run import record_streams  # noqa: PLC0415 - loads asyncio and websockets

        is_whole = record_streams(
            url,
            streams,
            output,
            form=format and str(format),
            seconds=duration,
            rotate_seconds=rotate_seconds,
            rotate_bytes=rotate_bytes,
            since=begin,
            patient=patient,
            signatures=signatures,
            versions=versions_up_to(4 if signatures else protocol),
            keys=keys,
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
            as_json=as_json,
            overwrite=force,
        )
    if not is_whole:
        raise typer.Exit(3)

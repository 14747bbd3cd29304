"""``ecgframe watch``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from typing import Annotated

import typer

from ..live_streams import Server
from ..options import Headers, Keys, Signers, http_headers, moment, positive, public_keys
from ..plain_errors import plain_errors
from ..protocol_versions import DEFAULT_PROTOCOL, Protocol, versions_up_to
from ..trust import Ca, Insecure, trusted_by


def watch(
    url: Server,
    stream: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STREAM",
            help="The stream to follow, such as **ecg/1**. It may be left out if the server has only one.",
        ),
    ] = None,
    *,
    seconds: Annotated[
        float | None,
        typer.Option(callback=positive, metavar="SECONDS", help="Stop after this time. Default: until Ctrl-C."),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option(
            "--samples",
            help="Write the samples to standard output: CSV with a row for each sample, its time in Unix seconds, and "
            "the leads in physical units; with **--json**, JSON lines.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS|TIME",
            help="Start this many seconds ago, or at a time such as **2026-01-15T10:30:45**, as far back as the server "
            "keeps the stream.",
        ),
    ] = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    keys: Keys = None,
    signer: Signers = None,
    header: Headers = None,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Follow a stream over WebSocket, and show its rate, latency, gaps and reconnections.

    A lost connection is restored, and the stream resumes where it was. Latency is the time from the timestamp of a
    message to its arrival, corrected by the measured offset of the server's clock.

    With **--samples**, missing samples are empty cells (null in JSON). Gaps are reported on standard error, or are
    objects of their own in JSON lines. The exit code is then 3 if samples were missing between messages or could not
    be shown.

    With **--signer**, version 4 is spoken and signatures are verified. Messages that nobody known has signed or
    attested are reported, and the exit code is 3 if there were any. The last seconds before the end cannot be attested
    yet.
    """
    if stream is not None and len(stream) > 1:
        message = "one stream is followed at a time; ecgframe record writes several to files"
        raise typer.BadParameter(message, param_hint="STREAM")
    begin, headers, signers = moment(since), http_headers(header), public_keys(signer)
    with plain_errors():
        from .run import watch_stream  # noqa: PLC0415 - loads asyncio and websockets

        is_whole = watch_stream(
            url,
            stream[0] if stream else None,
            seconds=seconds,
            samples=samples,
            as_json=as_json,
            since=begin,
            versions=versions_up_to(4 if signers else protocol),
            keys=keys,
            signers=signers,
            headers=headers,
            trusted=trusted_by(url, ca, insecure),
        )
    if not is_whole:
        raise typer.Exit(3)

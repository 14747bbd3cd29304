"""Recording streams, showing the progress and printing the summary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from ssl import SSLContext
from typing import Any

import typer
from rich.table import Table

from ...errors import ProtocolError
from ...foreign_text import printable
from ...plural import counted
from ...recording import Recorder, Rotation, StreamSummary
from ...tools import ToolError
from ..console import Terminal, print_json
from ..formats import duration, size
from ..keys.run import read_keys
from ..live_streams import check_stream_names, connecting_to, refuse_silence
from ..live_view import LiveView
from ..stopping import stop_signals


def record_streams(
    url: str,
    streams: Sequence[str],
    output: Path,
    *,
    form: str | None,
    seconds: float | None,
    rotate_seconds: float | None,
    rotate_bytes: int | None,
    since: float | datetime | None,
    patient: str,
    signatures: bool,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    trusted: SSLContext | None,
    keys: Path | None,
    as_json: bool,
    overwrite: bool,
) -> bool:
    """Record streams and print the summary. The arguments are those of the command.

    Returns:
        True if the recording is complete.

    Raises:
        OSError: a file cannot be written.
        ConnectingError: the connection failed, or nothing was received of a stream.
        ProtocolError: the server denies a stream.
        RecordError: the format cannot store the samples of a stream.
    """
    check_stream_names(streams)
    console = Terminal(stderr=True)
    view = LiveView(console)
    keyring = None if keys is None else read_keys(keys, "--keys")
    options: dict[str, Any] = {} if trusted is None else {"ssl": trusted}
    logging.getLogger("ecgframe").addHandler(logging.NullHandler())  # the view prints errors and states

    async def main() -> Recorder:
        recorder = Recorder(
            url,
            streams,
            output,
            format=form,
            rotation=Rotation(rotate_seconds, rotate_bytes),
            since=since,
            patient=patient,
            signatures=signatures,
            overwrite=overwrite,
            versions=versions,
            on_state=view.state,
            on_error=view.error,
            additional_headers=headers,
            keys=keyring,
            **options,
        )
        with stop_signals() as stop:
            try:
                async with view.showing(lambda: _progress(recorder.summaries)):
                    await recorder.run(seconds, stop)
            finally:
                if any(summary.files for summary in recorder.summaries):
                    _tell(recorder.summaries, signatures=signatures, as_json=as_json)
        return recorder

    try:
        with connecting_to(url):
            recorder = asyncio.run(main())
    except FileExistsError as error:
        message = f"{error.filename} is there already; --force replaces it"
        raise typer.BadParameter(message, param_hint="--output") from error
    except ValueError as error:
        if isinstance(error, (ProtocolError, ToolError)) or type(error) is not ValueError:
            raise
        raise typer.BadParameter(str(error)) from error
    silent = [summary.stream for summary in recorder.summaries if not summary.files]
    if silent and recorder.client.stats()["sealed"].get("keys asked for"):
        from ...tools.connecting import ConnectingError, sealed_with_another_key  # noqa: PLC0415 - as live_streams does

        raise ConnectingError(f"{sealed_with_another_key(silent)}, so nothing was recorded")
    refuse_silence(silent, url, headers, trusted, so=", so nothing was recorded")
    return all(summary.is_whole for summary in recorder.summaries)


def _progress(summaries: Sequence[StreamSummary]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("stream", "recorded", "size", "gaps", "alerts"):
        table.add_column(name, justify="left" if name == "stream" else "right", no_wrap=True)
    for summary in summaries:
        gaps = summary.gaps + summary.unfilled
        recorded = duration(int(summary.seconds)), size(summary.nbytes)
        table.add_row(printable(summary.stream), *recorded, f"{gaps:,}", f"{summary.alerts:,}")
    return table


def _tell(summaries: Sequence[StreamSummary], *, signatures: bool, as_json: bool) -> None:
    """Print what was recorded of each stream, what is missing, and the files."""
    if as_json:
        print_json({"streams": [_plain(summary) for summary in summaries]})
        return
    console = Terminal()
    for summary in summaries:
        if not summary.files:
            continue
        console.say(f"{summary.stream}: recorded {duration(summary.seconds)}, {summary.samples:,} samples per lead")
        if summary.gaps:
            console.say(f"  missing: {summary.missing:,} samples per lead, in {counted(summary.gaps, 'gap')}")
        if summary.unfilled:
            behind = "" if signatures else ", each followed by a new file"
            console.say(f"  not filled: {counted(summary.unfilled, 'gap')}{behind}")
        if summary.refused:
            console.say(f"  refused: {counted(summary.refused, 'message')} that cannot be recorded")
        if summary.repeated:
            console.say(f"  repeated: {counted(summary.repeated, 'message')}, written only once")
        if summary.alerts:
            console.say(f"  alerts: {summary.alerts:,}, of which {summary.annotated:,} were written as annotations")
        _tell_others(console, summary)
        for remark in summary.remarks:
            console.say(f"  note: {remark}")
        for file in summary.files:
            console.say(f"  {file}: {size(file.stat().st_size)}")


def _tell_others(console: Terminal, summary: StreamSummary) -> None:
    """Print what was recorded besides signals and alerts."""
    for name, count in summary.messages.items():
        console.say(f"  also recorded: {counted(count, name + ' message')}")
    for name, count in summary.left_out.items():
        console.say(f"  not recorded: {counted(count, name + ' message')}")
    if summary.signatures or summary.attestations:
        signed, attested = counted(summary.signatures, "signature"), counted(summary.attestations, "attestation")
        console.say(f"  kept: {signed}, {attested}; ecgframe verify checks them")


def _plain(summary: StreamSummary) -> dict[str, Any]:
    return {**asdict(summary), "is_whole": summary.is_whole, "files": [str(file) for file in summary.files]}

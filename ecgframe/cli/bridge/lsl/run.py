"""Passing streams to and from LSL, showing the progress and printing the summary."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from ssl import SSLContext
from typing import Any

import typer
from rich.table import Table

from ....bridges.lsl import BridgeError, FromLsl, FromLslSummary, ToLsl, ToLslSummary
from ....foreign_text import printable
from ....plural import counted
from ....tools import ToolError
from ...console import Terminal, print_json
from ...live_streams import check_stream_names, connecting_to, refuse_silence
from ...live_view import LiveView
from ...stopping import stop_signals

Bridge = ToLsl | FromLsl


def send_streams(
    url: str,
    streams: Sequence[str],
    *,
    kind: str,
    seconds: float | None,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    trusted: SSLContext | None,
    as_json: bool,
) -> bool:
    """Send streams to LSL and print the summary. The arguments are those of the command.

    Returns:
        True if everything was sent.

    Raises:
        ConnectingError: the connection failed, or nothing was received of a stream.
        ProtocolError: the server denies a stream.
        MissingLibrary: pylsl is not installed.
        ToolError: a stream cannot be sent.
    """
    check_stream_names(streams)

    def make(view: LiveView, options: dict[str, Any]) -> ToLsl:
        return ToLsl(url, streams, kind=kind, versions=versions, on_state=view.state, on_error=view.error, **options)

    bridge = _run(url, make, _sent, seconds, headers, trusted, "STREAM")
    _tell(bridge, _sent_lines, as_json=as_json)
    summaries = bridge.summaries
    silent = [one.stream for one in summaries if not (one.formats or one.markers or one.refused or one.left_out)]
    refuse_silence(silent, url, headers, trusted)
    return all(summary.is_whole for summary in summaries)


def publish_streams(
    url: str,
    *,
    seconds: float | None,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    trusted: SSLContext | None,
    as_json: bool,
    **choice: Any,
) -> bool:
    """Publish LSL streams and print the summary. ``choice`` are the arguments of ``FromLsl``.

    Returns:
        True if everything was published.

    Raises:
        ConnectingError: the connection failed.
        MissingLibrary: pylsl is not installed.
        ToolError: no LSL stream was found, one cannot be published, or the server does not allow it.
    """

    def make(view: LiveView, options: dict[str, Any]) -> FromLsl:
        view.say(f"looking for LSL streams for up to {choice['wait']:g} s")
        return FromLsl(url, versions=versions, on_state=view.state, on_error=view.error, **choice, **options)

    bridge = _run(url, make, _published, seconds, headers, trusted, "--stream")
    _tell(bridge, _published_lines, as_json=as_json)
    return all(summary.is_whole for summary in bridge.summaries)


def _run(
    url: str,
    make: Callable[[LiveView, dict[str, Any]], Any],
    progress: Callable[[Any], Table],
    seconds: float | None,
    headers: list[tuple[str, str]],
    trusted: SSLContext | None,
    argument: str,
) -> Any:
    """Make a bridge, run it until it is stopped, and return it."""
    view = LiveView(Terminal(stderr=True))
    options: dict[str, Any] = {"additional_headers": headers} | ({} if trusted is None else {"ssl": trusted})
    logging.getLogger("ecgframe").addHandler(logging.NullHandler())  # the view prints errors and states

    async def main() -> Bridge:
        try:
            bridge: Bridge = make(view, options)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=argument) from error
        with stop_signals() as stop:
            async with view.showing(lambda: progress(bridge.summaries)):
                await bridge.run(seconds, stop)
        return bridge

    try:
        with connecting_to(url):
            return asyncio.run(main())
    except BridgeError as error:
        raise ToolError(str(error)) from error


def _tell(bridge: Bridge, lines: Callable[[Any], list[str]], *, as_json: bool) -> None:
    """Print what was passed on of each stream, and what was not."""
    if as_json:
        streams = [{**asdict(summary), "is_whole": summary.is_whole} for summary in bridge.summaries]
        print_json({"streams": streams, "clock_steps": bridge.clock_steps})
        return
    console = Terminal()
    for summary in bridge.summaries:
        first, *others = [*lines(summary), *summary.remarks]
        console.say(first)
        for line in others:
            console.say(f"  {line}")
    if bridge.clock_steps:
        console.say(f"the server's clock was set {counted(bridge.clock_steps, 'time')}; the timestamps followed it")


def _sent_lines(summary: ToLslSummary) -> list[str]:
    lines = [f"{summary.stream}: sent {summary.samples:,} samples per lead, {counted(summary.markers, 'marker')}"]
    if summary.gaps:
        lines.append(f"{counted(summary.gaps, 'gap')} filled with {summary.missing:,} missing samples per lead")
    if summary.unfilled:
        lines.append(f"{counted(summary.unfilled, 'gap')} not filled")
    if summary.repeated:
        lines.append(f"{counted(summary.repeated, 'message')} received twice and sent once")
    if summary.refused:
        lines.append(f"{counted(summary.refused, 'message')} refused")
    lines += [f"left out: {counted(count, 'message')} of {name}" for name, count in summary.left_out.items()]
    return lines


def _published_lines(summary: FromLslSummary) -> list[str]:
    lines = [
        f"{summary.name} as {summary.stream}: published {summary.samples:,} samples per channel in {summary.units}, "
        f"{counted(summary.frames, 'message')}"
    ]
    if summary.markers:
        lines.append(f"{counted(summary.markers, 'marker')} published as alerts")
    if summary.gaps:
        lines.append(f"{counted(summary.gaps, 'gap')} filled with {summary.missing:,} missing samples per channel")
    if summary.breaks:
        lines.append(f"{counted(summary.breaks, 'jump')} of the timestamps")
    if summary.refused:
        lines.append(f"{counted(summary.refused, 'sample')} refused")
    return lines


def _sent(summaries: Sequence[ToLslSummary]) -> Table:
    table = _table("stream", "sent", "missing", "gaps", "markers")
    for one in summaries:
        counts = one.samples, one.missing, one.gaps + one.unfilled, one.markers
        table.add_row(printable(one.stream), *(f"{count:,}" for count in counts))
    return table


def _published(summaries: Sequence[FromLslSummary]) -> Table:
    table = _table("LSL stream", "stream", "published", "missing", "gaps", "markers")
    for one in summaries:
        counts = one.samples, one.missing, one.gaps + one.breaks, one.markers
        table.add_row(printable(one.name), printable(one.stream), *(f"{count:,}" for count in counts))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, justify="left" if "stream" in name else "right", no_wrap=True)
    return table

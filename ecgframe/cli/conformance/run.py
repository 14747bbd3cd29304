"""Running a conformance suite and printing its results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from ssl import SSLContext

import typer
from rich.text import Text

from ...foreign_text import printable
from ...private_files import whole_file
from ...tools.conformance.cases import Case, Result, Suite, Verdict
from ...tools.conformance.of_clients import CLIENTS
from ...tools.conformance.of_servers import SERVERS
from ...tools.conformance.report import counted, html_report
from ...tools.conformance.runner import run_on_clients, run_on_server
from ...tools.conformance.transcript import Settings
from ...tools.connecting import no_such_stream, stream_names
from ...tools.sources import SourceError
from ..console import Terminal, print_json, say
from ..inspect.live import raise_plainly
from ..own_version import own_version

Show = Callable[[Result], None]

STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "bold red", Verdict.SKIPPED: "dim"}


def run_suite(
    url: str | None,
    place: tuple[str, int] | None,
    *,
    stream: str | None,
    wanted: tuple[str, ...],
    report: Path | None,
    timeout: float,
    patience: float,
    as_json: bool,
    headers: list[tuple[str, str]],
    trusted: SSLContext | None = None,
) -> int:
    """Test a server, or the clients that connect, and return the number of failed cases.

    The arguments are those of the command.

    Raises:
        SourceError: the server cannot be reached.
        ToolError: the address cannot be listened on, or no client connected.
        MissingLibrary: websockets is not installed.
    """
    settings = Settings(timeout=timeout, patience=patience, stream=stream)
    console = Terminal()

    def show(result: Result) -> None:
        if as_json:
            print_json(_plain(result))
        else:
            console.print(_line(result), soft_wrap=True)

    if url is not None:
        _check_stream(url, stream, headers, trusted)
        running = run_on_server(url, _cases(SERVERS, wanted), settings, headers, trusted)
        results = asyncio.run(_collect(running, show, url))
    else:
        assert place is not None

        def ready(port: int) -> None:
            say(f"Waiting for a client at ws://{place[0]}:{port}", err=True)

        running = run_on_clients(*place, _cases(CLIENTS, wanted), settings, ready)
        results = asyncio.run(_collect(running, show, ""))
    if report is not None:
        peer = url or "a client"
        with whole_file(report) as file:
            file.write(html_report(results, peer, own_version()).encode())
    failed = sum(result.verdict is Verdict.FAILED for result in results)
    if not as_json:
        console.print(Text(counted(results), "bold red" if failed else "bold green"))
        if report is not None:
            console.say(f"Report: {report}")
    return failed


def _check_stream(url: str, name: str | None, headers: list[tuple[str, str]], trusted: SSLContext | None) -> None:
    known = None if name is None else stream_names(url, headers, trusted)
    if name is not None and known is not None and name not in known:
        raise SourceError(no_such_stream([name], known, url))


def _cases(suite: Suite, wanted: tuple[str, ...]) -> list[Case]:
    try:
        return suite.cases(wanted)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--case") from error


async def _collect(running: AsyncIterator[Result], show: Show, url: str) -> list[Result]:
    results = []
    try:
        async for result in running:
            show(result)
            results.append(result)
    except Exception as error:
        raise_plainly(url, error)
    return results


def _line(result: Result) -> Text:
    style = STYLES[result.verdict]
    line = Text.assemble((f"{result.verdict:8}", style), f"{result.case.number:6}", result.case.title)
    if result.reason:
        line.append(f"\n{'':14}{printable(result.reason)}", style)
    return line


def _plain(result: Result) -> dict[str, object]:
    return {
        "case": result.case.number,
        "title": result.case.title,
        "section": result.case.section,
        "verdict": str(result.verdict),
        "reason": result.reason,
        "seconds": result.seconds,
        "transcript": [
            {"seconds": said.seconds, "ours": said.ours, "hex": said.octets.hex(), "text": said.text}
            for said in result.transcript
        ],
    }

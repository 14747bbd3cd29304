"""Running a conformance suite, and showing what becomes of each case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ...tools.conformance.cases import Case, Result, Suite, Verdict
from ...tools.conformance.of_clients import CLIENTS
from ...tools.conformance.of_servers import SERVERS
from ...tools.conformance.report import counted, html_report
from ...tools.conformance.runner import run_on_clients, run_on_server
from ...tools.conformance.transcript import Settings
from ..inspect.run import raise_plainly
from ..terminal import own_version, whole_file

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
) -> int:
    """Test a server, or the clients that connect. The arguments are those of the command. Gives how many cases failed.

    Raises:
        SourceError: the server cannot be reached.
        ToolError: there is no listening at that address, or no client came.
        MissingLibrary: websockets is not installed.
    """
    settings = Settings(timeout=timeout, patience=patience, stream=stream)
    console = Console(highlight=False)

    def show(result: Result) -> None:
        if as_json:
            typer.echo(orjson.dumps(_plain(result)).decode())
        else:
            console.print(_line(result), soft_wrap=True)

    if url is not None:
        running = run_on_server(url, _cases(SERVERS, wanted), settings, headers)
        results = asyncio.run(_collect(running, show, url))
    else:
        assert place is not None

        def ready(port: int) -> None:
            typer.echo(f"Waiting for a client at ws://{place[0]}:{port}", err=True)

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
            console.print(f"{report}: the bytes of each case", markup=False, soft_wrap=True)
    return failed


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
        line.append(f"\n{'':14}{_printable(result.reason)}", style)
    return line


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


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

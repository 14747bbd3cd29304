"""Measuring a source, and the table of where its bytes go."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...tools.frame_analysis import Examiner
from ...tools.observation import Delivery, Observation, Remark
from ...tools.sizes import Comparison, SizeAnalysis
from ...tools.sources import SourceError, open_source
from ..inspect.run import byte_progress, follow_live, told
from ..places import is_server
from ..terminal import size

FIELDS_SHOWN = 8
"""Fields of a type that are shown; the smallest beyond that are one line."""


def measure_sizes(
    text: str, *, streams: list[str], seconds: float, headers: list[tuple[str, str]], as_json: bool
) -> None:
    """Measure a source; the arguments are those of the command.

    Raises:
        SourceError: it is not there, or holds no frame.
        OSError: it cannot be read, or not be connected to.
        MissingLibrary: a library that reads it is not installed.
    """
    analysis, examiner = SizeAnalysis(), Examiner()

    def take(observation: Observation) -> bool:
        if isinstance(observation, Delivery):
            for frame in examiner.examine(observation):
                analysis.add(frame)
        elif isinstance(observation, Remark) and observation.is_fault:
            Console(stderr=True).print(f"note: {observation.text}", markup=False, highlight=False, soft_wrap=True)
        return False

    if is_server(text):
        asyncio.run(follow_live(text, streams, headers, seconds, take))
    else:
        with open_source(text, sys.stdin.buffer) as source, byte_progress("reading", source.nbytes) as tell:
            for observation in told(source.observations(), tell):
                take(observation)
    if not analysis.types:
        raise SourceError(f"{text}: no good frame in it; ecgframe inspect tells what is wrong")
    comparisons = analysis.compare()
    if as_json:
        typer.echo(orjson.dumps({"broken": analysis.broken, "types": list(map(_plain, comparisons))}).decode())
    else:
        _print(Console(highlight=False), comparisons, analysis.broken)


def _plain(comparison: Comparison) -> dict[str, Any]:
    found = comparison.found
    integers = comparison.integers
    return {
        "type": found.type.name,
        "frames": found.frames,
        "wire_bytes": found.wire_bytes,
        "header_bytes": found.header_bytes,
        "payload_bytes": found.payload_bytes,
        "compressed": found.compressed,
        "fields": dict(found.fields.most_common()),
        "sent_as": dict(found.forms),
        "numbers": comparison.numbers,
        "sent": comparison.sent,
        "forms": [
            {"name": form.name, "nbytes": form.nbytes, "compressed": form.compressed} for form in comparison.forms
        ],
        "integers": integers and {"dtype": integers.dtype, "gain": integers.gain, "error": integers.error},
        "advice": comparison.advice,
    }


def _print(console: Console, comparisons: list[Comparison], broken: int) -> None:
    total = sum(comparison.found.wire_bytes for comparison in comparisons)
    for comparison in comparisons:
        console.print(_heading(comparison, total), soft_wrap=True)
        console.print(_fields(comparison))
        if comparison.numbers is not None:
            console.print(_forms(comparison))
        console.print(Text.assemble("  ", ("advice ", "bold green"), comparison.advice), soft_wrap=True)
        console.print()
    if broken:
        console.print(Text(f"left out: {broken:,} broken; ecgframe inspect --errors shows what is wrong", "yellow"))


def _heading(comparison: Comparison, total: int) -> Text:
    found = comparison.found
    frames = "1 frame" if found.frames == 1 else f"{found.frames:,} frames"
    return Text.assemble(
        (found.type.name, "bold cyan"),
        f"  {frames}, {size(found.wire_bytes)}, {found.wire_bytes / total:.0%} of all; "
        f"{size(comparison.sent)} a frame, {found.compressed / found.frames:.0%} compressed",
    )


def _fields(comparison: Comparison) -> Table:
    """Bytes of a payload by field, inflated, on average."""
    found = comparison.found
    table = _table("field", "bytes", "share")
    named = found.fields.most_common()
    rows = dict(named[:FIELDS_SHOWN])
    if len(named) > FIELDS_SHOWN:
        rows[f"{len(named) - FIELDS_SHOWN} more fields"] = sum(count for _, count in named[FIELDS_SHOWN:])
    rows["(header)"] = found.header_bytes
    whole = found.payload_bytes + found.header_bytes
    for name, count in rows.items():
        table.add_row(f"  {name}", f"{count / found.frames:,.0f}", f"{count / whole:.0%}")
    return table


def _forms(comparison: Comparison) -> Table:
    """Bytes of a frame in each form."""
    table = _table(f"{comparison.numbers} as", "bytes", "compressed", "against sent")
    sent_as = comparison.found.forms.most_common(1)
    table.add_row(
        f"  sent: {sent_as[0][0] if sent_as else 'as it is'}", f"{comparison.sent:,.0f}", "", "", style="bold"
    )
    for form in comparison.forms:
        compressed = "" if form.compressed is None else f"{form.compressed:,.0f}"
        change = form.smallest / comparison.sent - 1
        style = "green" if change < -0.005 else "red" if change > 0.005 else ""
        table.add_row(f"  {form.name}", f"{form.nbytes:,.0f}", compressed, Text(f"{change:+.0%}", style))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(f"  {headings[0]}", no_wrap=True, min_width=36)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True, min_width=10)
    return table

"""Measuring the sizes of a source, and printing them as tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ...foreign_text import printable
from ...plural import counted
from ...protocol import DATA_TYPES
from ...tools.algorithm_costs import first_to_arrive
from ...tools.frame_analysis import Examiner
from ...tools.observation import Delivery, Observation, Remark
from ...tools.sizes import Comparison, SizeAnalysis
from ...tools.sources import SourceError, open_source
from ..console import Terminal, print_json, say
from ..formats import size
from ..inspect.run import byte_progress, with_progress
from ..keys.run import read_keys
from ..places import is_server

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

FIELDS_SHOWN = 8
"""Fields of a type that are shown, the largest first; the rest are summed up in one line."""

MOST_NOTES = 100
"""Notes on the source that are shown; the rest are counted."""


def measure_sizes(
    text: str,
    *,
    streams: list[str],
    seconds: float,
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    as_json: bool,
    keys: Path | None = None,
    trusted: SSLContext | None = None,
) -> None:
    """Measure a source. The arguments are those of the command.

    Raises:
        SourceError: the source does not exist, or contains no valid frame; or the server has no such stream.
        OSError: the source cannot be read, or the server cannot be reached.
        MissingLibrary: a library that is needed to read the source is not installed.
    """
    keyring = None if keys is None else read_keys(keys, "--keys")
    analysis, examiner = SizeAnalysis(), Examiner(keyring=keyring)
    silent = set(streams)
    notes = 0

    def take(observation: Observation) -> bool:
        nonlocal notes
        if isinstance(observation, Delivery):
            for frame in examiner.examine(observation):
                analysis.add(frame)
                if frame.message is not None and frame.message.type in DATA_TYPES and frame.stream is not None:
                    silent.discard(frame.stream)
        elif isinstance(observation, Remark) and observation.is_fault and (notes := notes + 1) <= MOST_NOTES:
            Terminal(stderr=True).say(f"note: {observation.text}")
        return False

    if is_server(text):
        from ...tools.connecting import no_such_stream, stream_names  # noqa: PLC0415 - needs websockets
        from ..inspect.live import follow_live  # noqa: PLC0415 - as above

        follow_live(text, streams, versions, headers, seconds, take, trusted, keyring=keyring)
        if silent:
            known = stream_names(text, headers, trusted)
            nowhere = sorted(silent if known is None else silent.difference(known))
            if nowhere:
                raise SourceError(no_such_stream(nowhere, known, text))
    else:
        with open_source(text, sys.stdin.buffer) as source, byte_progress("reading", source.nbytes) as report:
            examiner.budget = source.budget
            for observation in with_progress(source.observations(), report):
                take(observation)
    if notes > MOST_NOTES:
        say(f"note: {notes - MOST_NOTES:,} more notes are not shown", err=True)
    sealed = examiner.sealed.unopened
    if sealed:
        say(f"note: {sealed:,} sealed frames are left out; --keys opens them", err=True)
    if (too_many := analysis.unread - sealed) > 0:
        say(f"note: {too_many:,} frames are left out: too many values for a source of this size", err=True)
    if analysis.fragments:
        say(f"note: {analysis.fragments:,} fragments of large messages are left out", err=True)
    if not analysis.types:
        raise SourceError(f"{text}: no valid frame in it; ecgframe inspect shows what is wrong")
    comparisons = analysis.compare()
    if as_json:
        print_json({"broken": analysis.broken, "types": list(map(_plain, comparisons))})
    else:
        _print(Terminal(), comparisons, analysis.broken)


def _plain(comparison: Comparison) -> dict[str, Any]:
    found = comparison.found
    integers = comparison.integers
    return {
        "type": found.type.name,
        "frames": found.frames,
        "wire_bytes": found.wire_bytes,
        "header_bytes": found.header_bytes,
        "payload_bytes": found.payload_bytes,
        "measured": found.measured,
        "compressed": found.compressed,
        "fields": dict(found.fields.most_common()),
        "sent_as": dict(found.forms),
        "numbers": comparison.numbers,
        "sent": comparison.sent,
        "forms": [
            {"name": form.name, "nbytes": form.nbytes, "compressed": form.compressed, "once": form.once}
            for form in comparison.forms
        ],
        "integers": integers and {"dtype": integers.dtype, "gain": integers.gain, "error": integers.error},
        "algorithms": [
            {"name": cost.algorithm.name.lower(), "nbytes": cost.nbytes, "microseconds": cost.seconds * 1e6}
            for cost in comparison.algorithms
        ],
        "advice": comparison.advice,
    }


def _print(console: Terminal, comparisons: list[Comparison], broken: int) -> None:
    total = sum(comparison.found.wire_bytes for comparison in comparisons)
    for comparison in comparisons:
        console.print(_heading(comparison, total), soft_wrap=True)
        console.print(_fields(comparison))
        if comparison.found.measured < comparison.found.frames:
            console.print(Text(f"  fields of the first {comparison.found.measured:,} frames", "dim"))
        if comparison.found.left_out:
            text = f"  {comparison.found.left_out:,} messages are too large to be encoded again"
            console.print(Text(text, "yellow"))
        if comparison.numbers is not None:
            console.print(_forms(comparison))
        if comparison.algorithms:
            console.print(Text.assemble("  ", ("compression ", "bold"), _algorithms(comparison)), soft_wrap=True)
        console.print(Text.assemble("  ", ("advice ", "bold green"), printable(comparison.advice)), soft_wrap=True)
        console.print()
    if broken:
        console.print(Text(f"left out: {broken:,} broken; ecgframe inspect --errors shows what is wrong", "yellow"))


def _heading(comparison: Comparison, total: int) -> Text:
    found = comparison.found
    return Text.assemble(
        (found.type.name, "bold cyan"),
        f"  {counted(found.frames, 'frame')}, {size(found.wire_bytes)}, {found.wire_bytes / total:.0%} of all; "
        f"{size(comparison.sent)} a frame, {found.compressed / found.frames:.0%} compressed",
    )


def _fields(comparison: Comparison) -> Table:
    """Tabulate the mean uncompressed bytes of each field."""
    found = comparison.found
    table = _table("field", "bytes", "share")
    named = found.fields.most_common()
    rows = dict(named[:FIELDS_SHOWN])
    if len(named) > FIELDS_SHOWN:
        rows[f"{len(named) - FIELDS_SHOWN} more fields"] = sum(count for _, count in named[FIELDS_SHOWN:])
    rows["(header)"] = round(found.header_bytes * found.measured / found.frames)
    rows |= {"(seal)": found.seal_bytes} if found.seal_bytes else {}
    rows |= {"(signature)": found.signature_bytes} if found.signature_bytes else {}
    whole = sum(rows.values())
    for name, count in rows.items():
        table.add_row(f"  {printable(name)}", f"{count / found.measured:,.0f}", f"{count / (whole or 1):.0%}")
    return table


def _forms(comparison: Comparison) -> Table:
    """Tabulate the mean bytes of a frame in each form."""
    table = _table(f"{printable(comparison.numbers)} as", "bytes", "compressed", "vs sent")
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


def _algorithms(comparison: Comparison) -> str:
    """Describe what each algorithm of version 4 makes of a payload in binary form, and which one a sender takes."""
    costs = comparison.algorithms
    each = ", ".join(f"{cost.name} {size(cost.nbytes)} in {cost.seconds * 1e6:,.0f} µs" for cost in costs)
    return f"of a payload in binary form: {each}; version 4 takes {first_to_arrive(costs).name} at 100 Mbit/s"


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(f"  {headings[0]}", no_wrap=True, min_width=36)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True, min_width=10)
    return table

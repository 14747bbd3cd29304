"""Output of ``ecgframe top``: the state of the server, rates by type, histograms of latencies and sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ...foreign_text import printable
from ...tools.metrics_reader import Performance, Spread
from ..formats import size

Unit = Callable[[float], str]

STEPS_SHOWN = 12
"""Buckets of a histogram that are shown."""


def overview(found: Performance) -> Group:
    """Return all tables."""
    return Group(state(found), Text(), messages(found), Text(), Columns([*histograms(found)], padding=(0, 6)))


def state(found: Performance) -> Table:
    """Tabulate the state of the server: connections, rates, queues, drops, errors."""
    lines = list(_state_lines(found))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True, min_width=max(len(name) for name, _ in lines))
    table.add_column(overflow="fold")  # a narrow terminal wraps the text and hides nothing
    for name, value in lines:
        table.add_row(name, value)
    return table


def _state_lines(found: Performance) -> Iterator[tuple[str, Text]]:
    versions = ", ".join(f"V{printable(version)} {count:,}" for version, count in sorted(found.by_version.items()))
    refused = f", {found.totals['refused']:,} refused" if found.totals.get("refused") else ""
    yield "connections", Text(f"{found.connections:,} open{f' ({versions})' if versions else ''}{refused}", "bold")
    yield "streams", Text(f"{found.streams:,}, {found.subscriptions:,} subscriptions")
    sent, received = (sum(found.messages[direction].values()) for direction in ("sent", "received"))
    yield "sent", Text(f"{sent:,.1f} messages/s, {size(found.nbytes['sent'])}/s, of {found.encoded:,.1f} encodings/s")
    yield "received", Text(f"{received:,.1f} messages/s, {size(found.nbytes['received'])}/s")
    if any(found.fragments.values()):
        rates = ", ".join(f"{rate:,.1f}/s {direction}" for direction, rate in found.fragments.items())
        yield "fragments", Text(rates)
    queues = found.queues
    waiting = f"{queues['frames']:,} frames, {size(queues['bytes'])} wait; {queues['longest_frames']:,} in the longest"
    if found.queued_by_class:
        waiting += f" ({', '.join(f'{printable(name)} {count:,}' for name, count in found.queued_by_class.items())})"
    yield "queues", Text(waiting, "yellow" if queues["longest_frames"] > 100 else "")
    waited = f", {found.expired:,.1f} of them had waited too long" if found.expired else ""
    lost = f"{found.dropped:,.1f} frames/s now{waited}, {found.totals.get('dropped', 0):,} in all"
    yield "dropped", Text(lost, "bold red" if found.dropped else "")
    if found.resent or found.undelivered:
        yield "unacknowledged", Text(f"{found.resent:,.1f}/s sent again, {found.undelivered:,.1f}/s given up", "yellow")
    for direction, ratio in found.compression.items():
        yield "compression", Text(f"to {ratio:.0%} of the size, {printable(direction)}")
    if any(found.algorithms.values()):
        rates = ", ".join(f"{rate:,.1f}/s {printable(name)}" for name, rate in found.algorithms.items() if rate)
        yield "compressed", Text(rates)
    for direction, what in (("sent", "errors sent"), ("received", "errors received")):
        counts = found.errors[direction]
        if counts:
            yield what, Text(", ".join(f"{printable(code)} {count:,}" for code, count in counts.items()), "red")
    if found.memory is not None and found.processor is not None:
        yield "process", Text(f"{size(found.memory)} of memory, {found.processor:.0%} of a processor")


def messages(found: Performance) -> Table:
    """Tabulate the rates of messages by type, per second."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("messages a second", no_wrap=True)
    for direction in found.messages:
        table.add_column(direction, justify="right", no_wrap=True, min_width=10)
    names = sorted({name for rates in found.messages.values() for name in rates})
    for name in names:
        rates = [found.messages[direction].get(name, 0.0) for direction in found.messages]
        table.add_row(
            Text(printable(name)),
            *(f"{rate:,.1f}" if rate else "" for rate in rates),
            style="" if any(rates) else "dim",
        )
    return table


def histograms(found: Performance) -> Iterator[Table]:
    """Yield latencies and sizes, each with percentiles and a histogram."""
    for stage, spread in found.latency.items():
        if spread.count:
            yield _histogram(f"time to {printable(stage)}", spread, short_time)
    for direction, spread in found.sizes.items():
        if spread.count:
            yield _histogram(f"size, {printable(direction)}", spread, size)


def _histogram(title: str, spread: Spread, unit: Unit) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim", show_edge=False)
    table.add_column(Text(title), justify="right", no_wrap=True, min_width=14)
    table.add_column(f"of {spread.count:,}", no_wrap=True)
    for percent, value in spread.percentiles.items():
        table.add_row(f"p{percent}", "" if value is None else unit(value))
    most = max(count for _, count in spread.buckets)
    for bound, count in spread.buckets[-STEPS_SHOWN:]:
        label = f"≤ {unit(bound)}" if bound != float("inf") else "more"
        table.add_row(Text(label, "dim"), Text(bar(count / most), "cyan"))
    return table


def bar(share: float, width: int = 16) -> str:
    """Return a bar of ``width`` block characters at a share of 1; never empty."""
    eighths = max(round(share * width * 8), 1)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def short_time(seconds: float) -> str:
    """Format a time in seconds with three digits, in s, ms or µs."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"

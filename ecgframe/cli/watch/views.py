"""Output of ``ecgframe watch``: a live table in a terminal, lines of text, or JSON lines."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...client import State
from ...foreign_text import printable
from ...plural import counted
from ...protocol import MessageType
from ...session import Settings
from ...signing import Signature, Unattested
from ..console import print_json
from ..formats import duration, size
from .stream_stats import NUMBERED

if TYPE_CHECKING:
    from ...client import Client, Gap
    from ...codec import Message
    from ...errors import ProtocolError
    from ...signing import Attested
    from ..console import Terminal
    from .stream_stats import Latency, Rates, StreamStats

LONGEST_LIST: Final = 16
"""Longest list that is shown; of longer ones, only the length is."""


class View(ABC):
    """Shows a stream and its statistics.

    Attributes:
        period: seconds between two calls of ``refresh``.
        settings: settings of the client, except its versions.
        is_drained: whether messages that have arrived are shown when the command is stopped.
    """

    period = 1.0
    settings = Settings()
    is_drained = False

    @contextmanager
    def shown(self, stream: str) -> Iterator[None]:
        """Context within which the stream is followed."""
        yield

    @abstractmethod
    def state(self, client: Client, state: State) -> None:
        """Show that the client has entered a state."""

    @abstractmethod
    def message(self, message: Message, latency: float | None) -> None:
        """Show a message. ``latency`` is in seconds; None if unknown."""

    @abstractmethod
    def gap(self, gap: Gap) -> None:
        """Show a gap."""

    @abstractmethod
    def error(self, error: ProtocolError) -> None:
        """Show an error that the server reported or the client found."""

    def attestation(self, found: Attested | Unattested) -> None:
        """Show that messages were attested, or were not in time."""
        if isinstance(found, Unattested):
            self.warn(not_attested(found))

    @abstractmethod
    def warn(self, text: str) -> None:
        """Show a warning."""

    async def flush(self) -> None:  # noqa: B027 - most views have nothing to wait for
        """Wait until what ``message`` has shown is written."""

    async def finish(self) -> None:  # noqa: B027 - as above
        """Write the rest; called once, after ``sum_up``."""

    @property
    def is_whole(self) -> bool:
        """True if everything was shown that the command is for."""
        return True

    @abstractmethod
    def refresh(self, client: Client, seen: StreamStats) -> None:
        """Show the current statistics; called once a ``period``."""

    @abstractmethod
    def sum_up(self, client: Client, seen: StreamStats) -> None:
        """Show the statistics over the whole time, at the end."""


# --- for people ---


class _ForPeople(View):
    """Prints events as lines of text."""

    def __init__(self, console: Terminal, *, verifies: bool = False) -> None:
        self._console = console
        self._verifies = verifies

    def warn(self, text: str) -> None:
        """Print a line."""
        self._say(text, "bold red")

    def state(self, client: Client, state: State) -> None:
        """Print that the client has connected or lost the connection; the summary says the rest."""
        if state is State.CONNECTED:
            self._say(f"connected, V{client.version}", "green")
            if self._verifies and (client.version or 0) < NUMBERED:
                self.warn(f"nothing can be verified: the server speaks version {client.version}")
        elif state is State.RECONNECTING:
            self._say("the connection is lost; connecting again", "yellow")

    def message(self, message: Message, latency: float | None) -> None:
        """Print an alert."""
        if message.type is MessageType.ANOMALY_ALERT and isinstance(message.data, dict):
            self._say(f"{_alert(message.data)}{_signed(message, self._verifies)}", "bold red")

    def gap(self, gap: Gap) -> None:
        """Print a gap."""
        frames = "messages are lost" if gap.frames is None else f"{gap.frames:,} frames were dropped by the server"
        self._say(f"{frames}: {duration((gap.stop - gap.start) / 1_000_000)} from {_clock(gap.start)} on", "yellow")

    def error(self, error: ProtocolError) -> None:
        """Print an error."""
        self._say(f"error 0x{error.code:x}: {error}", "yellow")

    def sum_up(self, client: Client, seen: StreamStats) -> None:
        """Print totals, latencies and losses."""
        now = time.monotonic()
        lines = {
            "total": f"{seen.messages:,} messages, {seen.samples:,} samples, {size(seen.nbytes)} "
            f"in {duration(seen.elapsed(now))}: {_rates(seen.average(now))}",
            "latency": _latency(seen.latency()),
            "lost": _losses(seen),
        }
        if seen.sealed or seen.unopened:
            lines["sealed"] = sealed_told(seen)
        if seen.verifies:
            lines["signed"] = proofs_told(seen)
        if seen.alerts:
            lines["alerts"] = f"{seen.alerts:,}"
        for name, value in lines.items():
            self._console.say(f"{name:9}{value}")

    def _say(self, text: str, style: str) -> None:
        line = Text.assemble((f"{datetime.now():%H:%M:%S}", "dim"), " ", (printable(text), style))
        self._console.print(line, soft_wrap=True)


class Lines(_ForPeople):
    """Prints the statistics as a line once a second, for files and pipes."""

    def refresh(self, client: Client, seen: StreamStats) -> None:
        """Print a line."""
        now = time.monotonic()
        parts = [_rates(seen.rates(now)), f"latency {_latency(seen.latency(recent=True))}", _losses(seen)]
        parts += [f"sealed {sealed_told(seen)}"] if seen.unopened else []
        parts += [proofs_told(seen)] if seen.verifies else []
        self._say("  ".join(parts), "none")


class LiveTable(_ForPeople):
    """Shows the statistics as a table that is updated in place, below the lines about events."""

    period = 0.25

    def __init__(self, console: Terminal, *, verifies: bool = False) -> None:
        super().__init__(console, verifies=verifies)
        self._live: Live | None = None
        self._stream = ""

    @contextmanager
    def shown(self, stream: str) -> Iterator[None]:
        """Context within which the stream is followed."""
        self._stream = stream
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            yield
        self._live = None

    def refresh(self, client: Client, seen: StreamStats) -> None:
        """Update the table."""
        if self._live:
            self._live.update(self._table(client, seen), refresh=True)

    def _table(self, client: Client, seen: StreamStats) -> Table:
        now = time.monotonic()
        rates = seen.rates(now)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_row("stream", Text(f"{printable(self._stream)}: {_signal(seen)}", style="bold"))
        table.add_row("state", _state(client, seen.elapsed(now)))
        table.add_row("now", _rates(rates))
        table.add_row("latency", _latency(seen.latency(recent=True)))
        table.add_row("network", _network(client))
        table.add_row("so far", f"{seen.messages:,} messages, {seen.samples:,} samples, {size(seen.nbytes)}")
        table.add_row("lost", Text(_losses(seen), style="yellow" if seen.gaps else ""))
        if seen.sealed or seen.unopened:
            table.add_row("sealed", Text(sealed_told(seen), style="bold red" if seen.unopened else ""))
        if seen.verifies:
            table.add_row("signed", Text(proofs_told(seen), style="bold red" if seen.unproven else ""))
        if seen.alerts:
            table.add_row("alerts", Text(f"{seen.alerts:,}; last: {_alert(seen.last_alert)}", style="red"))
        return table


def sealed_told(seen: StreamStats) -> str:
    """Say how many messages came sealed, and how many could not be opened."""
    more = f", {seen.unopened:,} MORE WITH AN UNKNOWN KEY" if seen.unopened else ""
    return f"{seen.sealed:,} of {counted(seen.messages, 'message')}{more}"


def proofs_told(seen: StreamStats) -> str:
    """Say what is known of the signatures."""
    found = [f"{seen.proofs['signed']:,} signed, {seen.proofs['attested']:,} attested"]
    names = ("unattested", "unsigned", "refused", "unverifiable")
    return ", ".join([*found, *(f"{seen.proofs[name]:,} {name.upper()}" for name in names if seen.proofs[name])])


def not_attested(found: Unattested) -> str:
    """Say which messages nobody known has attested."""
    numbers = found.numbers
    which = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"nobody known has made {counted(len(numbers), 'message')}: {which}"


def _signed(message: Message, verifies: bool) -> str:
    return "" if not verifies or message.signature == Signature.VALID else f" ({message.signature or 'UNSIGNED'})"


def _state(client: Client, elapsed: float) -> Text:
    connected = client.state is State.CONNECTED
    style = "green" if connected else "yellow"
    version = f", V{client.version}" if connected else ""
    return Text.assemble((str(client.state), style), f"{version}, {duration(round(elapsed))}")


def _signal(seen: StreamStats) -> str:
    if not seen.leads:
        return "no signal yet"
    return f"{counted(seen.leads, 'lead')} at {seen.sampling_rate:g} Hz"


def _network(client: Client) -> str:
    if client.round_trip is None:
        return "not measured yet"
    offset = client.clock_offset
    clock = "" if offset is None else f", the server's clock {offset * 1000:+,.1f} ms"
    return f"round trip {_milliseconds(client.round_trip)}{clock}"


def _rates(rates: Rates) -> str:
    return f"{rates.messages:,.1f} messages/s, {rates.samples:,.0f} samples/s, {size(rates.nbytes)}/s"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "unknown"
    return f"{_milliseconds(latency.median)} median, {_milliseconds(latency.p99)} p99"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _losses(seen: StreamStats) -> str:
    gaps = counted(seen.gaps, "gap")
    return f"{gaps}, {counted(seen.dropped, 'dropped frame')}, {counted(seen.reconnections, 'reconnection')}"


def _alert(data: dict[Any, Any]) -> str:
    words = [printable(data[name]) for name in ("severity", "kind", "lead", "message") if data.get(name)]
    return ", ".join(words) or "an alert without text"


def _clock(timestamp: int) -> str:
    try:
        return f"{datetime.fromtimestamp(timestamp / 1_000_000):%H:%M:%S.%f}"[:-3]
    except (ValueError, OverflowError, OSError):  # a peer may send any time
        return f"{timestamp / 1_000_000:.3f} s"


# --- for programs ---


class JsonLines(View):
    """Prints one JSON object a line, with ``event`` and ``time`` (Unix seconds). Latencies are in seconds."""

    def __init__(self, *, verifies: bool = False) -> None:
        self._verifies = verifies

    def warn(self, text: str) -> None:
        """Print an event."""
        self._print("warning", message=text)

    def attestation(self, found: Attested | Unattested) -> None:
        """Print which messages were attested by whom, or were not in time."""
        if isinstance(found, Unattested):
            self._print("unattested", numbers=list(found.numbers))
        else:
            fields = {"unseen": found.unseen, "missing": found.missing, "last": found.last}
            self._print("attested", numbers=list(found.numbers), signer=found.signer.hex(), **fields)

    def state(self, client: Client, state: State) -> None:
        """Show that the client has entered a state."""
        self._print("state", state=str(state), version=client.version)

    def message(self, message: Message, latency: float | None) -> None:
        """Print a message: header and payload, with signals replaced by their dtypes and shapes."""
        self._print(
            "message",
            type=message.type.name,
            timestamp=message.timestamp,
            flags=int(message.flags),
            **({"number": message.sequence, "signature": message.signature} if self._verifies else {}),
            latency=latency,
            data=_shown(message.data),
        )

    def gap(self, gap: Gap) -> None:
        """Show a gap."""
        self._print("gap", start=gap.start, stop=gap.stop, frames=gap.frames)

    def error(self, error: ProtocolError) -> None:
        """Show an error that the server reported or the client found."""
        self._print("error", code=int(error.code), message=str(error))

    def refresh(self, client: Client, seen: StreamStats) -> None:
        """Print the current statistics."""
        self._print("now", **self._numbers(client, seen, seen.rates(time.monotonic()), recent=True))

    def sum_up(self, client: Client, seen: StreamStats) -> None:
        """Print the statistics over the whole time."""
        now = time.monotonic()
        numbers = self._numbers(client, seen, seen.average(now), recent=False)
        self._print("summary", seconds=seen.elapsed(now), **numbers)

    def _numbers(self, client: Client, seen: StreamStats, rates: Rates, *, recent: bool) -> dict[str, Any]:
        latency = seen.latency(recent=recent)
        return {
            "messages": seen.messages,
            "samples": seen.samples,
            "bytes": seen.nbytes,
            "alerts": seen.alerts,
            "messages_per_second": rates.messages,
            "samples_per_second": rates.samples,
            "bytes_per_second": rates.nbytes,
            "latency": None if latency is None else latency._asdict(),
            "round_trip": client.round_trip,
            "clock_offset": client.clock_offset,
            "gaps": seen.gaps,
            "dropped": seen.dropped,
            "reconnections": seen.reconnections,
            **({"proofs": dict(seen.proofs)} if seen.verifies else {}),
        }

    def _print(self, event: str, **fields: Any) -> None:
        line = {"event": event, "time": time.time(), **fields}
        print_json(line)


def _shown(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    """Make a payload serializable: arrays and long lists become their shapes, dates and UUIDs become text."""
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"length": len(value)} if len(value) > LONGEST_LIST else [_shown(item) for item in value]
    if isinstance(value, bytes | memoryview):
        return {"bytes": len(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value

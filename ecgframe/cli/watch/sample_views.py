"""Output of ``ecgframe watch --samples``: a row for each sample on standard output, as CSV or JSON lines."""

from __future__ import annotations

import asyncio
import csv
import io
from abc import abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from ...foreign_text import json_text, spreadsheet_cell
from ...plural import counted
from ...session import Settings
from ...signal_fields import SignalFormat, each_once
from ...tools import ToolError
from ..formats import duration
from ..live_view import ERRORS_TOLD, LiveView
from .live_samples import LiveSamples, Missing, Rows
from .views import View, proofs_told

if TYPE_CHECKING:
    from ...client import Client, Gap, State
    from ...codec import Message
    from ...errors import ProtocolError
    from ..console import Terminal
    from .stream_stats import StreamStats


class FormatChanged(ToolError):
    """The columns of a CSV file no longer fit the stream."""


class SampleView(View):
    """Writes the samples of a stream, and prints everything else to standard error.

    Output is written in a thread: a program that reads slowly does not keep the client from answering the server.

    Args:
        stream: name of the stream.
        file: standard output.
        console: of standard error.
    """

    settings = Settings(numeric_lists="ndarray", validate=True)
    is_drained = True

    def __init__(self, stream: str, file: BinaryIO, console: Terminal) -> None:
        self._stream = stream
        self._samples = LiveSamples()
        self._live = LiveView(console)
        self._file = file
        self._waiting: list[str] = []
        self._writing: asyncio.Future[None] | None = None
        self._has_gaps = False

    # --- what comes ---

    def state(self, client: Client, state: State) -> None:
        """Print that the connection is made, lost or restored."""
        self._live.state(state)

    def error(self, error: ProtocolError) -> None:
        """Print an error that the server reported or the client found."""
        self._live.error(error)

    def gap(self, gap: Gap) -> None:
        """Note a gap; the next message shows how many samples are missing."""
        self._samples.take_gap(gap)

    def message(self, message: Message, latency: float | None) -> None:
        """Format the samples of a message."""
        try:
            for found in self._samples.take(message):
                self._take(found)
        except FormatChanged:
            raise
        except ValueError as error:
            if self._samples.refused <= ERRORS_TOLD:
                self._live.say(f"a message of {self._stream!r} cannot be shown: {error}")

    def warn(self, text: str) -> None:
        """Print a warning to standard error."""
        self._live.say(text)

    def refresh(self, client: Client, seen: StreamStats) -> None:
        """Show no statistics."""

    def sum_up(self, client: Client, seen: StreamStats) -> None:
        """Print what was received and not written."""
        for missing in self._samples.rest():
            self._take(missing)
        if seen.verifies:
            self._live.say(f"signatures: {proofs_told(seen)}")
        if self._samples.refused:
            self._live.say(f"refused: {counted(self._samples.refused, 'message')} that cannot be shown")
        if self._samples.repeated:
            self._live.say(f"repeated: {counted(self._samples.repeated, 'message')}, written only once")
        for name, count in self._samples.left_out.items():
            self._live.say(f"not written: {counted(count, name + ' message')}")

    @property
    def is_whole(self) -> bool:
        """True if there was no gap and no message that cannot be shown."""
        return not self._has_gaps and not self._samples.refused

    def _take(self, found: SignalFormat | Missing | Rows) -> None:
        if isinstance(found, Rows):
            self._waiting.append(self._rows(found))
        elif isinstance(found, Missing):
            self._has_gaps = self._has_gaps or found.samples != 0  # messages without samples may be lost, too
            self._gap(found)
        else:
            self._begin(found)

    # --- what is written ---

    @abstractmethod
    def _begin(self, signal_format: SignalFormat) -> None:
        """Write what precedes the samples of a format."""

    @abstractmethod
    def _gap(self, missing: Missing) -> None:
        """Format a gap."""

    @abstractmethod
    def _rows(self, rows: Rows) -> str:
        """Format samples."""

    async def flush(self) -> None:
        """Write what has been formatted, whole, and wait until it is written.

        Raises:
            OSError: standard output is closed.
        """
        if self._waiting:
            text = "".join(self._waiting).encode()
            self._waiting.clear()
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, text))
            await asyncio.shield(self._writing)

    async def finish(self) -> None:
        """Write the rest, also after ``flush`` was cancelled."""
        if self._writing is not None:
            await self._writing
        await self.flush()

    def _write(self, text: bytes) -> None:
        self._file.write(text)
        self._file.flush()


class CsvSamples(SampleView):
    """Writes CSV: a header with the names and the units of the leads, and a row for each sample."""

    _format: SignalFormat | None = None

    def _begin(self, signal_format: SignalFormat) -> None:
        before, self._format = self._format, signal_format
        if before is None:
            names = each_once(signal_format.leads)
            cells = [spreadsheet_cell(f"{name} ({signal_format.unit(lead)})") for lead, name in enumerate(names)]
            self._waiting.append(_csv([["time", *cells]]))
        elif before[1:] == signal_format[1:]:
            self._live.say(f"the sampling rate changed from {before.rate:g} to {signal_format.rate:g} Hz")
        else:
            raise FormatChanged(
                f"{self._stream}: the stream changed its leads or its unit, and the columns no longer fit; "
                "start again, or use --json, where this is an object of its own"
            )

    def _gap(self, missing: Missing) -> None:
        self._live.say(f"gap: {_described(missing, self._format)}")

    def _rows(self, rows: Rows) -> str:
        return _csv([time, *values] for time, values in zip(rows.times, rows.values, strict=True))


class JsonSamples(SampleView):
    """Writes JSON lines with ``event``: ``header``, ``sample`` or ``gap``. Times are those of the samples."""

    _names: tuple[str, ...] = ()

    def _begin(self, signal_format: SignalFormat) -> None:
        self._names = each_once(signal_format.leads)
        self._waiting.append(
            _line(
                event="header",
                stream=self._stream,
                sampling_rate=signal_format.rate,
                leads=self._names,
                units=signal_format.units,
                **({} if signal_format.lead_units is None else {"lead_units": signal_format.lead_units}),
            )
        )

    def _gap(self, missing: Missing) -> None:
        self._waiting.append(
            _line(
                event="gap",
                time=missing.start,
                until=missing.stop,
                samples=missing.samples,
                frames=missing.frames,
                reason=missing.why or None,
            )
        )

    def _rows(self, rows: Rows) -> str:
        return "".join(
            _line(event="sample", time=time, values=dict(zip(self._names, values, strict=True)))
            for time, values in zip(rows.times, rows.values, strict=True)
        )


def _line(**fields: Any) -> str:
    return f"{json_text(fields)}\n"


def _csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _described(missing: Missing, signal_format: SignalFormat | None) -> str:
    if missing.samples is None:
        what = f"an unknown number of samples, because {missing.why}"
    else:
        seconds = missing.samples / signal_format.rate if signal_format else 0.0
        what = f"{counted(missing.samples, 'sample')} of each lead, {duration(seconds)}"
    dropped = "" if missing.frames is None else f" ({counted(missing.frames, 'message')} dropped by the server)"
    return f"{what}, from {_clock(missing.start)} on{dropped}"


def _clock(time: float) -> str:
    """Format a time like those in the rows, and as a date if it is one."""
    try:
        return f"{time:.6f} ({datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ})" if time >= 1e8 else f"{time:g} s"
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s"

"""The full-screen view of ``ecgframe top``."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from ssl import SSLContext
from typing import ClassVar

from rich.table import Table
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Sparkline, Static

from ...foreign_text import printable
from ...tools import ToolError
from ...tools.metrics_reader import Performance, Reading, between, read_metrics
from .views import histograms, messages, state

PAST = 120
"""Readings that the sparkline of rates covers."""


class MonitorApp(App[None]):
    """Reads the metrics periodically and shows them.

    Args:
        url: URL of the metrics.
        interval: seconds between two readings.
        first: the first reading.
        trusted: TLS context, as ``connecting.trust`` returns it.
        headers: HTTP headers for the server.
    """

    TITLE = "ecgframe top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #where { background: $panel; padding: 0 1; }
    #state { padding: 1 1 0 1; }
    #rate { height: 2; margin: 0 1; }
    #parts { padding: 1; height: auto; }
    #messages { width: 50; }
    .histogram { width: 40; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("p", "pause", "Pause"),
    ]

    def __init__(
        self,
        url: str,
        interval: float,
        first: Reading,
        trusted: SSLContext | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__()
        self._url = url
        self._interval = interval
        self._trusted = trusted
        self._headers = headers
        self._last = first
        self._rates: deque[float] = deque([0.0], maxlen=PAST)
        self._is_paused = False
        self._is_reading = False

    def compose(self) -> ComposeResult:
        """Lay out the widgets, from top to bottom."""
        yield Static(printable(self._url), id="where", markup=False)
        with VerticalScroll():
            yield Static("reading ...", id="state")
            yield Sparkline(list(self._rates), id="rate")
            with Horizontal(id="parts"):
                yield Static(id="messages")
                yield Static(id="first", classes="histogram")
                yield Static(id="second", classes="histogram")
        yield Footer()

    def on_mount(self) -> None:
        """Start reading periodically."""
        self.set_interval(self._interval, self.look)

    def action_pause(self) -> None:
        """Pause or resume reading."""
        self._is_paused = not self._is_paused
        self._say("paused" if self._is_paused else "")

    def look(self) -> None:
        """Read in a thread, so that a server that does not answer cannot block the view."""
        if not (self._is_paused or self._is_reading):
            self._is_reading = True
            self.run_worker(self._read, thread=True)

    def _read(self) -> None:
        try:
            found: Reading | ToolError = read_metrics(self._url, self._trusted, self._headers)
        except ToolError as error:
            found = error
        self.call_from_thread(self._take, found)

    def _say(self, text: str) -> None:
        self.query_one("#where", Static).update(printable(f"{self._url}   {text}"))

    def _take(self, found: Reading | ToolError) -> None:
        self._is_reading = False
        if self._is_paused:  # a reading that was started before the pause
            return
        if isinstance(found, ToolError):
            self._say(str(found))
        else:
            self._say("")
            self.show(between(self._last, found))
            self._last = found

    def show(self, found: Performance) -> None:
        """Show the numbers between two readings."""
        self._rates.append(sum(found.messages["sent"].values()))
        self.query_one("#state", Static).update(state(found))
        self.query_one("#rate", Sparkline).data = list(self._rates)
        self.query_one("#messages", Static).update(messages(found))
        tables: list[Table | str] = [*histograms(found), "", ""]
        for place, table in zip(("#first", "#second"), tables, strict=False):
            self.query_one(place, Static).update(table)

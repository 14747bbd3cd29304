"""What commands show while they follow streams: states and errors of the client, and a table of the progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.live import Live

if TYPE_CHECKING:
    from rich.table import Table

    from ..client import State
    from ..errors import ProtocolError
    from .console import Terminal

REFRESHING: Final = 0.25
"""Interval in seconds at which the progress is refreshed."""

ERRORS_TOLD: Final = 20
"""Maximum number of errors that are printed."""


class LiveView:
    """Prints states and errors, and shows the progress if the console is a terminal.

    Args:
        console: of standard error.
    """

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._errors = 0

    def state(self, state: State) -> None:
        """Print that the connection is lost or restored."""
        if state == "reconnecting":
            self.say("connection lost; reconnecting")
        elif state == "connected":
            self.say("connected")

    def error(self, error: ProtocolError) -> None:
        """Print an error, one of the first ``ERRORS_TOLD``."""
        self._errors += 1
        if self._errors <= ERRORS_TOLD:
            self.say(f"error 0x{error.code:x}: {error}")

    @asynccontextmanager
    async def showing(self, progress: Callable[[], Table]) -> AsyncIterator[None]:
        """Show a table of the progress within the context, and refresh it."""
        if not self._console.is_terminal:
            yield
            return
        refreshing = asyncio.create_task(self._refresh(progress))
        try:
            yield
        finally:
            refreshing.cancel()
            await asyncio.wait([refreshing])

    async def _refresh(self, progress: Callable[[], Table]) -> None:
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(progress(), refresh=True)
                await asyncio.sleep(REFRESHING)

    def say(self, text: str) -> None:
        """Print a line with the time of day."""
        self._console.say(f"{datetime.now():%H:%M:%S} {text}")

"""Telling what a command is doing when that takes longer than a moment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..foreign_text import printable
from .console import Terminal

logger = logging.getLogger(__name__)

MOMENT: Final = 1.0
"""Seconds without a message."""

BETWEEN: Final = 10.0
"""Seconds from one log message to the next."""


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Show what is being done until the context is left: on the last line of a terminal, otherwise in the log.

    Args:
        what: what is being done, such as "reading day.csv".
    """
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(what: str, done: threading.Event) -> None:
    begin = time.monotonic()
    if done.wait(MOMENT):
        return
    console = Terminal(stderr=True)
    if not console.is_terminal:
        while not done.is_set():
            logger.info("%s, for %.0f s so far", what, time.monotonic() - begin)
            done.wait(BETWEEN)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - only then

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as line:
        line.add_task(printable(what), total=None)
        done.wait()

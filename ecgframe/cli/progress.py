"""A progress bar in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from .console import Terminal

T = TypeVar("T")


class Track(Protocol):
    """Passes an iterable through, and shows the progress."""

    def __call__(self, iterable: Iterable[T], total: int | None = None) -> Iterable[T]:
        """Yield the items of ``iterable``; ``total`` is their number, if known."""
        ...


@contextmanager
def progress(task: str) -> Iterator[Track]:
    """Show a progress bar on stderr, if that is a terminal, until the context is left."""
    console = Terminal(stderr=True)
    if not console.is_terminal:
        yield lambda iterable, total=None: iterable
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - only in a terminal

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:

        def track(iterable: Iterable[T], total: int | None = None) -> Iterable[T]:
            return bar.track(iterable, total=total, description=task)

        yield track

"""What a worker process runs, and how it is started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from ..console import Terminal
from .options import ServeOptions
from .start import start
from .worker import Worker

MAY_BLOCK: Final = hasattr(signal, "pthread_sigmask")  # not on Windows


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Start processes within, which Ctrl-C does not interrupt before ``work`` runs."""
    if not MAY_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(options: ServeOptions, worker: Worker) -> None:
    """Run a worker. The target of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until it serves; its parent ends it before that
    if MAY_BLOCK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        start(options, worker)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except typer.BadParameter as error:
        Terminal(stderr=True).say(f"error: {error.format_message()}", "bold red")
        sys.exit(2)

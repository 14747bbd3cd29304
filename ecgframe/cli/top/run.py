"""How a server does, once as text or JSON, or in a terminal that changes."""

from __future__ import annotations

import time

import orjson
import typer
from rich.console import Console

from ...tools.metrics_reader import between, metrics_url, plain, read_metrics
from .views import overview


def look_once(url: str, interval: float, *, as_json: bool) -> None:
    """Read twice, so long apart, and print what lies between.

    Raises:
        ToolError: the server cannot be reached, or has no metrics there.
        MissingLibrary: prometheus-client is not installed.
    """
    address = metrics_url(url)
    before = read_metrics(address)
    time.sleep(interval)
    found = between(before, read_metrics(address))
    if as_json:
        typer.echo(orjson.dumps(plain(found)).decode())
    else:
        Console(highlight=False).print(overview(found))


def watch_performance(url: str, interval: float) -> None:
    """A view in the terminal until it is left.

    Raises:
        ToolError: the server cannot be reached, or has no metrics there.
        MissingLibrary: textual or prometheus-client is not installed.
    """
    from ...libraries import library  # noqa: PLC0415

    address = metrics_url(url)
    first = read_metrics(address)
    library("textual", extra="tools", purpose="a view in the terminal (--once does without)")
    from .app import MonitorApp  # noqa: PLC0415 - needs textual

    MonitorApp(address, interval, first).run()

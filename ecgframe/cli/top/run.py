"""Showing the load of a server, once as text or JSON, or continuously in the terminal."""

from __future__ import annotations

import time
from ssl import SSLContext

from ...tools.metrics_reader import between, metrics_url, plain, read_metrics
from ..console import Terminal, print_json
from .views import overview


def look_once(
    url: str, interval: float, headers: list[tuple[str, str]], *, as_json: bool, trusted: SSLContext | None = None
) -> None:
    """Read the metrics twice, ``interval`` seconds apart, and print the rates between.

    Raises:
        ToolError: the server cannot be reached, or has no metrics at that URL.
        MissingLibrary: prometheus-client is not installed.
    """
    address = metrics_url(url)
    before = read_metrics(address, trusted, headers)
    time.sleep(interval)
    found = between(before, read_metrics(address, trusted, headers))
    if as_json:
        print_json(plain(found))
    else:
        Terminal().print(overview(found))


def watch_performance(
    url: str, interval: float, headers: list[tuple[str, str]], *, trusted: SSLContext | None = None
) -> None:
    """Show the metrics in the terminal until the user quits.

    Raises:
        ToolError: the server cannot be reached, or has no metrics at that URL.
        MissingLibrary: textual or prometheus-client is not installed.
    """
    from ...libraries import library  # noqa: PLC0415

    address = metrics_url(url)
    first = read_metrics(address, trusted, headers)
    library("textual", extra="tools", purpose="the full-screen view (--once works without it)")
    from .app import MonitorApp  # noqa: PLC0415 - needs textual

    MonitorApp(address, interval, first, trusted, headers).run()

"""Addresses on the command line: of a server to connect to, or to listen on."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

import typer

WEBSOCKET = ("ws", "wss")
METRICS = (*WEBSOCKET, "http", "https", "")
EXAMPLE = "ws://127.0.0.1:8765/ws"


def is_server(text: str) -> bool:
    """Return whether the text is the URL of a server rather than a file or a port."""
    return text.startswith(tuple(f"{scheme}://" for scheme in WEBSOCKET))


def server_address(text: str) -> str:
    """Return the URL of a WebSocket server unchanged.

    Raises:
        typer.BadParameter: it is not such a URL.
    """
    return _address(text, WEBSOCKET)


def optional_server_address(text: str | None) -> str | None:
    """Check an optional argument like ``server_address``."""
    return None if text is None else server_address(text)


def server_or_other(text: str) -> str:
    """Check the text like ``server_address`` if it looks like a URL, else return it unchanged."""
    return server_address(text) if is_server(text) else text


def metrics_address(text: str) -> str:
    """Return the URL of a server or of its metrics unchanged.

    Raises:
        typer.BadParameter: it is not such a URL.
    """
    return _address(text, METRICS)


def listening_place(text: str) -> tuple[str, int]:
    """Parse an address to listen on, such as ``8766``, ``127.0.0.1:8766`` or ``[::1]:8766``, to host and port.

    Raises:
        typer.BadParameter: it is not such an address.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise typer.BadParameter(f"{text!r} is not an address to listen on (examples: 8766, 127.0.0.1:8766)")
    return host.strip("[]") or "127.0.0.1", int(port)


def _address(text: str, schemes: Collection[str]) -> str:
    problem = _problem(text if "://" in text else f"//{text}", schemes)
    if problem is not None:
        raise typer.BadParameter(f"{text!r} is not the address of a server: {problem} (example: {EXAMPLE})")
    return text


def _problem(text: str, schemes: Collection[str]) -> str | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in schemes:
        return f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes if scheme)}"
    if not parts.hostname:
        return "it names no host"
    return "no server is at port 0" if port == 0 else None

"""The places on the command line: a server to connect to, and where to listen."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

import typer

WEBSOCKET = ("ws", "wss")
METRICS = (*WEBSOCKET, "http", "https", "")
EXAMPLE = "ws://127.0.0.1:8765/ws"


def is_server(text: str) -> bool:
    """Whether the text means a server rather than a file or a port."""
    return text.startswith(tuple(f"{scheme}://" for scheme in WEBSOCKET))


def server_address(text: str) -> str:
    """The address of a WebSocket server, as it was given; a usage error if it is none."""
    return _address(text, WEBSOCKET)


def optional_server_address(text: str | None) -> str | None:
    """The same for an argument that can be left out."""
    return None if text is None else server_address(text)


def server_or_other(text: str) -> str:
    """What may be the address of a server, and is then held to be one."""
    return server_address(text) if is_server(text) else text


def metrics_address(text: str) -> str:
    """The address of a server or of its metrics; a usage error if it is none."""
    return _address(text, METRICS)


def listening_place(text: str) -> tuple[str, int]:
    """Host and port of a place to listen at: ``8766``, ``127.0.0.1:8766`` or ``[::1]:8766``."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise typer.BadParameter(f"{text!r} is no place to listen at; 8766 or 127.0.0.1:8766 is")
    return host.strip("[]") or "127.0.0.1", int(port)


def _address(text: str, schemes: Collection[str]) -> str:
    problem = _problem(text if "://" in text else f"//{text}", schemes)
    if problem is not None:
        raise typer.BadParameter(f"{text!r} is no address of a server: {problem}; {EXAMPLE} is one")
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

"""Addresses of sockets as text."""

from __future__ import annotations

from typing import Any


def address(peername: Any) -> str:
    """Format the address of a peer as "host:port"; "" if it has none, as with Unix sockets.

    Args:
        peername: the socket's peer name: a tuple that begins with host and port, or anything else.
    """
    match peername:
        case [str(host), int(port), *_]:
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ""

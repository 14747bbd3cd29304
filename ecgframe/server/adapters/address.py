"""Addresses as people write them."""

from __future__ import annotations

from typing import Any


def address(peername: Any) -> str:
    """What a socket says of its peer, as "host:port"; "" where it says nothing, as sockets of one machine do.

    Args:
        peername: (host, port) and more, or anything else.
    """
    match peername:
        case [str(host), int(port), *_]:
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ""

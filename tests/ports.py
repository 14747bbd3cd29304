"""Ports for servers that are to be started by their number."""

from __future__ import annotations

import socket


def unused_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port

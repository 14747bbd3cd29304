"""Accepts a connection in a spawned process, which imports this function by name."""

from __future__ import annotations

import socket
from contextlib import closing


def send_type(listener: socket.socket) -> None:
    """Accept one connection and send the name of the listening socket's type over it."""
    with closing(listener), listener.accept()[0] as connection:
        connection.sendall(type(listener).__name__.encode())

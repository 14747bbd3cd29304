"""Chooses a WebSocket subprotocol, and reads a token from the ones that a client offers.

A browser cannot send the header ``Authorization`` with a WebSocket, and a token in the URL ends up in the logs of
proxies. It can send subprotocols: ``new WebSocket(url, ["ecgframe", "bearer.<token>"])``, or ``["bearer", token]``. The
server must then choose one of them, or the browser closes the connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEADER: Final = "Sec-WebSocket-Protocol"
"""The header of the request and of the response."""

SUBPROTOCOLS: Final = ("ecgframe", "bearer")
"""The subprotocols that adapters accept by default, the preferred one first."""

_BEARER: Final = "bearer"


def offered(header: str) -> list[str]:
    """Return the names in the header of a request, in order."""
    return [name for part in header.split(",") if (name := part.strip())]


def choose(names: Sequence[str], accepted: Sequence[str]) -> str | None:
    """Return the first accepted name that is offered; None if there is none. A token is never chosen."""
    return next((name for name in accepted if name in names), None)


def bearer_token(names: Sequence[str]) -> str | None:
    """Return the token in ``["bearer.<token>", ...]`` or ``["bearer", token, ...]``; None if there is none."""
    for place, name in enumerate(names):
        if name.startswith(f"{_BEARER}.") and len(name) > len(_BEARER) + 1:
            return name[len(_BEARER) + 1 :]
        if name == _BEARER and place + 1 < len(names):
            return names[place + 1]
    return None

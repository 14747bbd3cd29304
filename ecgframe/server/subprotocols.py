"""Which of the subprotocols that a client offers is chosen, and what token comes with them.

A browser cannot send an ``Authorization`` header with a WebSocket, and a token in the URL is in the logs of every
proxy. What it can send are subprotocols: ``new WebSocket(url, ["ecgframe", "bearer.<token>"])``, or
``["bearer", token]``. It refuses a connection whose server has not chosen one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEADER: Final = "Sec-WebSocket-Protocol"
"""Of the request, and of the answer."""

SUBPROTOCOLS: Final = ("ecgframe", "bearer")
"""Those that the adapters choose from by default, the preferred one first."""

_BEARER: Final = "bearer"


def offered(header: str) -> list[str]:
    """The names in the header of a request, in order."""
    return [name for part in header.split(",") if (name := part.strip())]


def choose(names: Sequence[str], accepted: Sequence[str]) -> str | None:
    """The first of the accepted names that is offered; None where none is. A token is never chosen: it is no name."""
    return next((name for name in accepted if name in names), None)


def bearer_token(names: Sequence[str]) -> str | None:
    """The token in ``["bearer.<token>", ...]`` or ``["bearer", token, ...]``; None where there is none."""
    for place, name in enumerate(names):
        if name.startswith(f"{_BEARER}.") and len(name) > len(_BEARER) + 1:
            return name[len(_BEARER) + 1 :]
        if name == _BEARER and place + 1 < len(names):
            return names[place + 1]
    return None

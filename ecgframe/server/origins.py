"""Which web pages may open a WebSocket: a browser lets every page try, and says in ``Origin`` whose it is."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"


class Origins:
    """The origins of the pages that are let in. What is no browser sends none, and is always.

    Besides those allowed, pages of this very machine are, which developers have open, and the server's own. Where only
    this machine can connect, the server's own page has no other name than this machine's: a name that a stranger's
    page has had point here is none.

    Args:
        allowed: more origins, as ``https://monitor.example.org``, or ``*`` for any.
        host: where the server listens.
    """

    def __init__(self, allowed: Collection[str] = (), *, host: str = "127.0.0.1") -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._has_names = not is_loopback(host)

    def admits(self, origin: str, host: str) -> bool:
        """Whether a page may connect.

        Args:
            origin: the request's ``Origin``; empty where it has none.
            host: the request's ``Host``.
        """
        if not origin or ANY in self._allowed or origin.lower() in self._allowed:
            return True
        try:
            parts = urlsplit(origin)
            _ = parts.port
        except ValueError:
            return False
        name = parts.hostname or ""
        is_own = parts.netloc.lower() == host.lower() and (self._has_names or _address(name) is not None)
        return is_own or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a host is this machine, as seen from itself."""
    if address := _address(name):
        return address.is_loopback
    return name.lower() == "localhost" or name.lower().endswith(".localhost")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """What the host is as an address; None where it is a name."""
    try:
        return ip_address(name)
    except ValueError:
        return None

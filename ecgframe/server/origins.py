"""Which web pages may open a WebSocket, by the header ``Origin``: browsers themselves let every page connect."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Origins"]

ANY: Final = "*"


class Origins:
    """The origins of web pages that may connect. Clients that are not browsers send no origin and may connect.

    Pages of this machine and of the server itself may always connect. If the server listens on the loopback address
    only, its own page is recognized by a loopback address, not by a name: another site could make its name resolve to
    this machine (DNS rebinding).

    Args:
        allowed: more origins, such as ``https://monitor.example.org``; ``*`` allows any.
        host: address on which the server listens.
    """

    def __init__(self, allowed: Collection[str] = (), *, host: str = "127.0.0.1") -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._has_names = not is_loopback(host)

    def admits(self, origin: str, host: str) -> bool:
        """Return whether a page may connect.

        Args:
            origin: the request's header ``Origin``; ``""`` if it has none.
            host: the request's header ``Host``.
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
    """Return whether a host is a loopback address or a name for one."""
    if address := _address(name):
        return address.is_loopback
    return name.lower() == "localhost" or name.lower().endswith(".localhost")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """The host as an address; None if it is a name."""
    try:
        return ip_address(name)
    except ValueError:
        return None

"""Addresses of peers behind proxies, from ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239).

Anybody can send these headers. So they count only if the connection comes from a proxy that the operator has named, and
are read from their end: each proxy appends the address that it has seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from .link import Request

Header = Literal["X-Forwarded-For", "Forwarded"]

UNIX: Final = "unix"
"""Names the peers of a Unix socket, which have no address."""

MAX_PROXIES: Final = 16
"""Trusted proxies through which a request may have come; an address behind more of them is not looked for."""

_Network = IPv4Network | IPv6Network
_PORT: Final = re.compile(r"[0-9]{1,5}")
_PAIR: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s";,]*)\s*')


class Origin(Enum):
    """Where the address of a peer comes from."""

    DIRECT = auto()
    """The connection itself; there is no such header."""
    FORWARDED = auto()
    """The header of a trusted proxy."""
    UNTRUSTED = auto()
    """The connection itself, although there is a header: its sender is no trusted proxy."""
    UNREADABLE = auto()
    """The last address that a trusted proxy has named, since the one before it cannot be read; or its own."""


class Proxies:
    """The proxies whose word about the address of a peer is taken.

    Args:
        trusted: their addresses or networks, such as "127.0.0.1" and "10.20.0.0/16"; "unix" for the peers of a Unix
            socket.
        header: the header that they write. Name the one that they replace or append to: a proxy passes the other one
            on as the client has sent it.

    Raises:
        ValueError: one of ``trusted`` is neither an address nor a network, or there is none, or the header is another.
    """

    def __init__(self, trusted: Collection[str], *, header: Header = "X-Forwarded-For") -> None:
        if isinstance(trusted, str) or not trusted:
            raise ValueError(f"trusted is a collection of addresses or networks, not {trusted!r}")
        if header not in ("X-Forwarded-For", "Forwarded"):
            raise ValueError(f"header is X-Forwarded-For or Forwarded, not {header!r}")
        self._header = header.lower()
        self._has_unix = UNIX in trusted
        self._networks: tuple[_Network, ...] = tuple(ip_network(one) for one in trusted if one != UNIX)

    def resolve(self, request: Request) -> tuple[Request, Origin]:
        """Return the request with the address of the peer behind the proxies, and where that comes from.

        The address is the last one in the header that is not of a trusted proxy. It has a port if the proxy names one.
        ``Request.proxy`` is then the address of the connection.
        """
        value = request.headers.get(self._header)
        if value is None:
            return request, Origin.DIRECT
        if not self._trusts(request.peer):
            return request, Origin.UNTRUSTED
        read = _last_of_list if self._header == "x-forwarded-for" else _last_forwarded
        peer, origin, rest = "", Origin.UNREADABLE, value
        for _ in range(MAX_PROXIES):
            rest, text = read(rest)
            address = _address(text)
            if address is None:
                break
            peer = address
            if not self._trusts(address):
                origin = Origin.FORWARDED
                break
            if not rest.strip():
                origin = Origin.FORWARDED  # a request of a proxy itself, such as its check of the server's health
                break
        if not peer:
            return request, origin
        return replace(request, peer=peer, proxy=request.peer), origin

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return self._has_unix
        host, _ = _split(peer)
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address.version == one.version and address in one for one in self._networks)


def _split(text: str) -> tuple[str, str]:
    """Split "host:port", "[host]:port" or "host" into host and port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, ""


def _address(text: str) -> str | None:
    """An address of a header in the form of ``Request.peer``; None if it is none, such as "unknown"."""
    host, port = _split(text)
    if port and not _PORT.fullmatch(port):
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    name = f"[{address}]" if isinstance(address, IPv6Address) and port else str(address)
    return f"{name}:{port}" if port else name


def _last_of_list(text: str) -> tuple[str, str]:
    """Split off the last entry of X-Forwarded-For."""
    rest, _, last = text.rpartition(",")
    return rest, last.strip()


def _last_forwarded(text: str) -> tuple[str, str]:
    """Split off the last entry of Forwarded, and return the address of its ``for``; "" if it has none."""
    begin, is_quoted, at = 0, False, 0
    while at < len(text):  # a comma in quotes separates nothing
        letter = text[at]
        if letter == "\\" and is_quoted:
            at += 1
        elif letter == '"':
            is_quoted = not is_quoted
        elif letter == "," and not is_quoted:
            begin = at + 1
        at += 1
    rest, last = text[: max(0, begin - 1)], text[begin:]
    if is_quoted:
        return "", ""
    found = ""
    for pair in last.split(";"):
        match = _PAIR.fullmatch(pair)
        if match is None:
            return rest, ""
        if match[1].lower() == "for":
            if found:
                return rest, ""
            found = match[2].strip('"')
    return rest, found

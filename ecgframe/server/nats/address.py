"""Addresses of NATS, and the backplane for each.

::

    nats://USER:PASSWORD@HOST:4222                one server; tls:// over TLS
    nats://TOKEN@HOST,HOST,HOST?replicas=3        servers of one cluster

User, password and token are percent-encoded. Arguments of ``NatsBackplane`` follow a question mark: ``name``,
``replicas``, ``max_bytes``; besides, ``ca=FILE`` names the certificate of the authority of the servers.
"""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .backplane import NatsBackplane

_NUMBERS: Final = ("replicas", "max_bytes")
_KNOWN: Final = ("name", *_NUMBERS, "ca")


def backplane_of(url: str, *, seconds: float = 30.0, patience: float = 0.5) -> NatsBackplane:
    """Return the backplane for an address of NATS.

    Args:
        url: the address, ``nats://`` or ``tls://``; see above.
        seconds: see ``NatsBackplane``.
        patience: see ``NatsBackplane``.

    Raises:
        MissingLibrary: nats-py is not installed.
        ValueError: it is no such address, a number is out of range, or there is no certificate in the file. The message
            does not have the password.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"nats", "tls"}:
        raise ValueError("an address of NATS begins with nats://, or with tls:// for TLS")
    if parts.path.strip("/"):
        raise ValueError("an address of NATS has no path; a password is percent-encoded")
    arguments = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(arguments.keys() - set(_KNOWN)):
        raise ValueError(f"{unknown[0]} is none of the options behind an address of NATS: {', '.join(_KNOWN)}")
    options = _access(parts)
    authority = arguments.pop("ca", None)
    if parts.scheme == "tls":
        options["tls"] = _context(authority)
    elif authority is not None:
        raise ValueError("ca is for TLS: tls://")
    bounds: dict[str, Any] = {name: _number(name, arguments[name]) for name in _NUMBERS if name in arguments}
    name = arguments.get("name", "ecgframe")
    return NatsBackplane(_servers(parts), name=name, seconds=seconds, patience=patience, options=options, **bounds)


def _context(authority: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ValueError(f"ca names a file with a certificate (PEM), not {authority}: {error.strerror}") from None


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or not text.isascii():
        raise ValueError(f"{name} is a number")
    return int(text)


def _access(parts: SplitResult) -> dict[str, Any]:
    """The options of nats-py for user and password, or the token, of an address: nats-py does not decode them."""
    if parts.username is None:
        return {}
    user = unquote(parts.username)
    return {"token": user} if parts.password is None else {"user": user, "password": unquote(parts.password)}


def _servers(parts: SplitResult) -> list[str]:
    """The URL of each server, without user and password.

    Raises:
        ValueError: there is no host, or a port is no number.
    """
    hosts = parts.netloc.rpartition("@")[2]
    found = [urlsplit(f"{parts.scheme}://{host}") for host in hosts.split(",")]
    for server in found:
        try:
            _ = server.port
        except ValueError:  # its text may be a password in which "/" is not written as %2F
            raise ValueError("a port is a number up to 65535, and a password is percent-encoded") from None
        if not server.hostname:
            raise ValueError("hosts are separated by single commas, each with its port or without one")
    return [server.geturl() for server in found]

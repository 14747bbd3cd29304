"""Addresses of one Redis, of Sentinels and of a cluster, and the backplane for each.

::

    redis://USER:PASSWORD@HOST:6379/0                           one Redis; rediss:// over TLS, unix:// for a socket
    redis+sentinel://USER:PASSWORD@HOST,HOST:26379/NAME/0       the master NAME, as the Sentinels say
    redis+cluster://USER:PASSWORD@HOST:6379,HOST:6379           a cluster; two or three of its nodes are enough

User and password are those of Redis, percent-encoded. ``rediss+sentinel`` and ``rediss+cluster`` are over TLS. Options
of redis-py follow a question mark (``?ssl_ca_certs=/etc/ca.pem``); besides, Sentinels take ``sentinel_username`` and
``sentinel_password``, a cluster takes ``lanes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from ...libraries import library
from .backplane import RedisBackplane
from .cluster import LANES, RedisClusterBackplane

if TYPE_CHECKING:
    import redis.asyncio as redis
else:
    redis = library("redis.asyncio", extra="redis", purpose="the Redis backplane")

SENTINEL_PORT: Final = 26379
"""Port of Sentinels whose address has none."""

SENTINEL_ANSWERS: Final = 0.5
"""Seconds that a Sentinel has to answer, before the next one is asked."""

_DIRECT: Final = frozenset({"redis", "rediss", "unix"})
_OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}


def backplane_of(
    url: str, *, seconds: float = 30.0, patience: float = 0.5, version: Literal[3, 4] = 3
) -> RedisBackplane | RedisClusterBackplane:
    """Return the backplane for an address: of one Redis, of the master that Sentinels name, or of a cluster.

    Args:
        url: the address, ``redis://``, ``redis+sentinel://`` or ``redis+cluster://``; see above.
        seconds: see ``RedisBackplane``.
        patience: see ``RedisBackplane``.
        version: see ``RedisBackplane``.

    Raises:
        MissingLibrary: redis-py is not installed.
        ValueError: it is no such address, or a number is out of range. The message does not have the password.
    """
    parts = urlsplit(url)
    kind, _, group = parts.scheme.partition("+")
    if kind in _DIRECT and not group:
        _check_port(parts)
        return RedisBackplane(url, seconds=seconds, patience=patience, version=version)
    if kind in {"redis", "rediss"} and group == "sentinel":
        return _WatchedBackplane(parts, kind, seconds=seconds, patience=patience, version=version)
    if kind in {"redis", "rediss"} and group == "cluster":
        urls, lanes = _nodes_of(parts, kind)
        return RedisClusterBackplane(urls, lanes=lanes, seconds=seconds, patience=patience, version=version)
    raise ValueError(
        "an address of Redis begins with redis://, rediss:// or unix://, with redis+sentinel:// for Sentinels, or with "
        "redis+cluster:// for a cluster"
    )


class _WatchedBackplane(RedisBackplane):
    """The backplane of the master that Sentinels name. It has their clients, and closes them."""

    def __init__(self, parts: SplitResult, kind: str, **options: Any) -> None:
        service, _, database = parts.path.strip("/").partition("/")
        if not service or (database and not database.isdecimal()):
            raise ValueError(
                "the path of redis+sentinel:// is the name of the master, as in redis+sentinel://HOST/NAME"
            )
        query = parse_qs(parts.query)
        credentials = {name: query.pop(key)[0] for key, name in _OF_SENTINELS.items() if key in query}
        rest = urlencode(query, doseq=True)
        settings = redis.ConnectionPool.from_url(
            f"{kind}://{_userinfo(parts)}localhost/{database or 0}?{rest}"
        ).connection_kwargs
        settings = {name: value for name, value in settings.items() if name not in {"host", "port"}}
        secure: dict[str, Any] = {"ssl": True} if kind == "rediss" else {}
        of_tls = {name: value for name, value in settings.items() if name.startswith("ssl_")}
        waits = {"socket_timeout": SENTINEL_ANSWERS, "socket_connect_timeout": SENTINEL_ANSWERS}
        self._sentinel = redis.Sentinel(  # type: ignore[no-untyped-call]
            [(address.hostname, address.port or SENTINEL_PORT) for address in _addresses(parts, kind)],
            sentinel_kwargs={**waits, **credentials, **secure, **of_tls},
        )
        super().__init__(self._sentinel.master_for(unquote(service), **settings, **secure), **options)

    async def close(self) -> None:
        """Stop the backplane. See ``RedisBackplane.close``."""
        await super().close()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


def _nodes_of(parts: SplitResult, kind: str) -> tuple[list[str], int]:
    """The URLs of the nodes of a cluster, and the number of lanes.

    Raises:
        ValueError: the address is not that of a cluster.
    """
    if parts.path.strip("/") not in {"", "0"}:
        raise ValueError("a cluster has only the database 0")
    query = parse_qs(parts.query)
    [lanes] = query.pop("lanes", [str(LANES)])[:1]
    if not lanes.isdecimal():
        raise ValueError("lanes is a number")
    rest = urlencode(query, doseq=True)
    return [f"{address.geturl()}?{rest}" for address in _addresses(parts, kind)], int(lanes)


def _addresses(parts: SplitResult, kind: str) -> list[SplitResult]:
    """The address of each host, with user and password.

    Raises:
        ValueError: there is no host, or a port is no number.
    """
    found = [urlsplit(f"{kind}://{_userinfo(parts)}{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    for address in found:
        _check_port(address)
        if not address.hostname:
            raise ValueError("hosts are separated by single commas, each with its port or without one")
    return found


def _check_port(address: SplitResult) -> None:
    try:
        _ = address.port
    except ValueError:  # its text may be a password in which "/" is not written as %2F
        raise ValueError("a port is a number up to 65535, and a password is percent-encoded") from None


def _userinfo(parts: SplitResult) -> str:
    user, at, _ = parts.netloc.rpartition("@")
    return user + at

"""Who may watch and publish which streams, in a file that is read again when it changes.

The file is TOML, with a table for each person or device::

    [[person]]
    name = "ward 7"
    token_sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    watch = ["ecg/bed-7?", "ecg/bed-8?"]
    publish = []
    watchers = true
    expires_at = 2027-01-01T00:00:00Z

    [[person]]
    name = "prometheus"
    token_sha256 = "174591972de079bef8971d5fedc541bc537fef2640c29b956dae76e5176f044e"
    metrics = true

``token_sha256`` is the SHA-256 of the token, in hexadecimal, so that the file has no secret. ``watch`` and ``publish``
are patterns of streams with ``*``, ``?`` and ``[...]``; without them, nothing is allowed. With ``watchers``, the person
may ask who watches the streams that they may watch, and with ``metrics``, they may read ``/metrics``. ``/streams``
lists the streams that they may watch. ``expires_at`` may be left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..protocol import MessageType
from .connection_info import ConnectionInfo
from .hooks import Action, Authorize
from .link import Request
from .logs import log_failure, logger

if TYPE_CHECKING:
    from .handler import WebSocketBinaryHandler

BETWEEN_LOOKS: Final = 1.0
"""Seconds between two checks whether the file has changed."""

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of the file."""

MAX_TOKEN: Final = 4096
"""Characters of a token; a longer one is unknown."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An identity of the file.

    Attributes:
        name: the name, which no other one has.
        watch: patterns of the streams that it may watch.
        publish: patterns of the streams on which it may publish.
        watchers: whether it may ask who watches the streams that it may watch.
        metrics: whether it may read the metrics.
        expires_at: when its connections end; None if they do not.
    """

    name: str
    watch: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    watchers: bool = False
    metrics: bool = False
    expires_at: datetime | None = None

    def may(self, action: Action, stream: str | None) -> bool:
        """Return whether it may watch a stream or publish on it. Nobody may broadcast."""
        patterns = {"subscribe": self.watch, "publish": self.publish}.get(action, ())
        return stream is not None and any(fnmatchcase(stream, pattern) for pattern in patterns)


class TokenFile:
    """The tokens of a server in a file; its methods are the hooks of a handler.

    Args:
        path: path of the file.

    Attributes:
        also: another hook that has to allow each action as well; None for none.

    Raises:
        ValueError: the file is not of this form.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.also: Authorize | None = None
        self._seen = self._stamp()
        self._is_failing = False
        self._by_digest, self._by_name = _read(self._path)

    async def authenticate(self, request: Request) -> Person | None:
        """Return the person whose token a request has; None if it has no token, or an unknown one."""
        token = request.bearer_token
        if token is None or len(token) > MAX_TOKEN:
            return None
        return self._by_digest.get(hashlib.sha256(token.encode()).hexdigest())

    async def authorize(self, connection: ConnectionInfo, action: Action, stream: str | None) -> bool:
        """Return whether a person may do something, by what the file says now."""
        if not self._may(connection.identity, action, stream):
            return False
        return self.also is None or await self.also(connection, action, stream)

    def may_publish(self, connection: ConnectionInfo, type: MessageType) -> bool:
        """Return whether a person may publish on any stream."""
        person = self._find_person(connection.identity)
        return person is not None and bool(person.publish)

    async def may_see_watchers(self, request: Request, identity: object, stream: str | None) -> bool:
        """Return whether a person may know who watches a stream."""
        person = self._find_person(identity)
        return person is not None and person.watchers and person.may("subscribe", stream)

    async def visible_streams(self, request: Request, identity: object, streams: Sequence[str]) -> list[str]:
        """Return those of the streams that a person may watch."""
        person = self._find_person(identity)
        return [] if person is None else [stream for stream in streams if person.may("subscribe", stream)]

    async def may_see_metrics(self, request: Request, identity: object) -> bool:
        """Return whether a person may read the metrics."""
        person = self._find_person(identity)
        return person is not None and person.metrics

    async def follow(self, handler: WebSocketBinaryHandler) -> None:
        """Look at the file every second until this is cancelled, and end what it does not allow any more."""
        while True:
            await asyncio.sleep(BETWEEN_LOOKS)
            await self.look(handler)

    async def look(self, handler: WebSocketBinaryHandler) -> bool:
        """Read the file again if it has changed. If that fails, present rights stay, and the log says why, once.

        Returns:
            True if it was read: rights that were taken away have ended, on all servers of a backplane.
        """
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            by_digest, by_name = _read(self._path)
        except (OSError, ValueError) as error:
            if not self._is_failing:
                logger.error("the file of tokens was not read again, present rights stay: %s", error)
            self._is_failing = True
            return False
        before, self._by_digest, self._by_name = self._by_digest, by_digest, by_name
        self._seen, self._is_failing = stamp, False
        logger.info("the file of tokens was read again")
        replaced = {person.name for digest, person in before.items() if digest not in by_digest}
        try:
            for name in sorted(replaced):
                await handler.disconnect(name, "the token is not valid any more")
            await handler.recheck()
        except Exception as error:
            log_failure("ending rights that the file of tokens does not give any more", error)
        return True

    def _find_person(self, identity: object) -> Person | None:
        """Return the person of an identity, by what the file says now; None if there is none, or it has expired."""
        person = self._by_name.get(identity.name) if isinstance(identity, Person) else None
        is_expired = person is not None and person.expires_at is not None and person.expires_at <= datetime.now(UTC)
        return None if is_expired else person

    def _may(self, identity: object, action: Action, stream: str | None) -> bool:
        person = self._find_person(identity)
        return person is not None and person.may(action, stream)

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[dict[str, Person], dict[str, Person]]:
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"{path}: a file of tokens has at most {MAX_FILE} bytes")
    try:
        found = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: it is not TOML: {error}") from None
    people = found.pop("person", None)
    if found or not isinstance(people, list) or not people:
        raise ValueError(f"{path}: it has tables [[person]], at least one, and nothing else")
    by_digest: dict[str, Person] = {}
    by_name: dict[str, Person] = {}
    for number, fields in enumerate(people, 1):
        digest, person = _person(fields, f"{path}: person {number}")
        if person.name in by_name or digest in by_digest:
            raise ValueError(f"{path}: person {number} has the name or the token of another one")
        by_digest[digest] = by_name[person.name] = person
    return by_digest, by_name


def _person(fields: Any, where: str) -> tuple[str, Person]:
    if not isinstance(fields, dict):
        raise ValueError(f"{where} is no table")
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "name": (lambda value: isinstance(value, str) and 0 < len(value) <= 256, "a text of 1 to 256 characters"),
        "token_sha256": (
            lambda value: isinstance(value, str) and _DIGEST.fullmatch(value) is not None,
            "the SHA-256 of the token: 64 of 0 to 9 and a to f",
        ),
        "watch": (_is_patterns, "a list of patterns of streams"),
        "publish": (_is_patterns, "a list of patterns of streams"),
        "watchers": (lambda value: isinstance(value, bool), "true or false"),
        "metrics": (lambda value: isinstance(value, bool), "true or false"),
        "expires_at": (
            lambda value: isinstance(value, datetime) and value.tzinfo is not None,
            "a date and a time with a time zone, such as 2027-01-01T00:00:00Z",
        ),
    }
    if unknown := sorted(fields.keys() - checks.keys()):
        raise ValueError(f"{where} has an unknown field: {unknown[0]}")
    for name in ("name", "token_sha256"):
        if name not in fields:
            raise ValueError(f"{where} has no {name}")
    for name, value in fields.items():
        is_valid, what = checks[name]
        if not is_valid(value):
            raise ValueError(f"{where}: {name} is {what}")
    person = Person(
        name=fields["name"],
        watch=tuple(fields.get("watch", ())),
        publish=tuple(fields.get("publish", ())),
        watchers=fields.get("watchers", False),
        metrics=fields.get("metrics", False),
        expires_at=fields.get("expires_at"),
    )
    return fields["token_sha256"], person


def _is_patterns(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and 0 < len(one) <= 256 for one in value)

"""Presence: who watches a stream now, on all servers of a backplane.

Each server says every ``HERE_EVERY`` seconds that it is there. So a server that is asked knows which others have to
answer, and says so if one of them does not. It keeps nothing of what they answer: a connection that has ended is in no
answer after that, and neither are those of a server that was killed.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..codec import Codec
from ..errors import ProtocolError
from ..protocol import MessageType
from .backplane import PRESENCE, Backplane, LocalBackplane
from .identity import name_of
from .logs import log_failure, logger

if TYPE_CHECKING:
    from .connection import Connection

HERE_EVERY: Final = 5.0
"""Seconds between two messages of a server that it is there."""

GONE_AFTER: Final = 3 * HERE_EVERY
"""Seconds without one after which a server is not waited for any more."""

ANSWER_SECONDS: Final = 1.0
"""Seconds for which the answers of the other servers are waited for."""

LISTED: Final = 1_000
"""Watchers that one server lists in an answer; all of them are counted."""

SERVERS: Final = 1_000
"""Servers that are remembered."""

NAME_LENGTH: Final = 256
"""Characters of a name or an address that are passed on."""

_codec: Final = Codec(compression=None)


class Watcher(NamedTuple):
    """A connection that watches a stream.

    Attributes:
        stream: name of the stream.
        name: name of the identity, see ``identity``; None if it has none.
        connection: id of the connection.
        peer: address of the peer, as ``ConnectionInfo.peer``.
        since: when it began to watch, in seconds since 1970 by the clock of its server.
        server: the run of its server, as in the records of the audit log.
    """

    stream: str
    name: str | None
    connection: str
    peer: str
    since: float
    server: str


class Presence(NamedTuple):
    """Who watches a stream.

    Attributes:
        watchers: the subscriptions, ordered by stream and by when they began; of each server, the ``LISTED`` oldest.
        total: number of all subscriptions, including those that are not listed.
        servers: number of servers that have answered, this one included.
        silent: number of servers that were there in the last ``GONE_AFTER`` seconds and have not answered. Those who
            watch over them are missing.
        is_everywhere: whether all servers have answered; False also if the backplane cannot be reached.
    """

    watchers: tuple[Watcher, ...]
    total: int
    servers: int
    silent: int
    is_everywhere: bool


class _Question:
    """A question that others answer.

    Attributes:
        watchers: of those who have answered.
        count: of all their subscriptions.
        answered: the runs of the servers that have answered.
    """

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.count = 0
        self.answered: set[str] = set()
        self.news = asyncio.Event()


class PresenceRoom:
    """Knows the other servers, asks them, and answers them.

    Args:
        run: identifies this run of the server.
        connections: connections of this server, by id.
        backplane: joins this server with others.
        wall_clock_us: returns microseconds since 1970, strictly increasing.
    """

    def __init__(
        self,
        run: str,
        connections: Mapping[str, Connection],
        backplane: Backplane,
        wall_clock_us: Callable[[], int],
    ) -> None:
        self._run = run
        self._connections = connections
        self._backplane = backplane
        self._wall_clock_us = wall_clock_us
        self._is_alone = isinstance(backplane, LocalBackplane)
        self._servers: dict[str, float] = {}
        self._questions: dict[str, _Question] = {}
        self._asked: dict[str | None, asyncio.Task[Presence]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to say that this server is there."""
        if not self._is_alone:
            self._beating = asyncio.create_task(self._beat(), name="ecgframe presence")

    async def stop(self, seconds: float) -> None:
        """Say that this server goes away, within ``seconds``. Those who ask meanwhile get what is known."""
        if self._beating is not None:
            self._beating.cancel()
        asked = set(self._asked.values())
        for task in self._tasks - asked:
            task.cancel()
        if waited_for := {*self._tasks, *([] if self._beating is None else [self._beating])}:
            await asyncio.wait(waited_for, timeout=seconds)
        if not self._is_alone:
            with suppress(Exception):  # others find out after ``GONE_AFTER``
                async with asyncio.timeout(seconds):
                    await self._say("gone")

    async def watchers(self, stream: str | None) -> Presence:
        """Ask all servers who watches a stream, or any. Callers that ask the same at the same time share the answer."""
        if self._is_alone:
            watchers, count = self._own(stream)
            return Presence(_ordered(watchers), count, 1, 0, is_everywhere=True)
        task = self._asked.get(stream)
        if task is None:
            task = self._asked[stream] = self._begin(self._ask(stream))
            task.add_done_callback(lambda _: self._asked.pop(stream, None))
        return await asyncio.shield(task)

    def hear(self, frame: bytes) -> None:
        """Take a message of a server, which may be this one."""
        try:
            said = _codec.decode(frame).data["features"]
            what, run = said["says"], said["run"]
            if not isinstance(run, str):
                raise TypeError("a run is no text")
            if run == self._run:
                return
            self._note(run, is_here=what != "gone")
            if what == "asks":
                self._begin(self._answer(said["question"], said["of"]))
            elif what == "answers" and (question := self._questions.get(said["question"])) is not None:
                _take(question, run, said)
            elif what == "comes":
                self._begin(self._say("here"))
        except (ProtocolError, KeyError, TypeError, ValueError) as error:
            logger.error("the backplane delivered a damaged message about presence: %s", type(error).__name__)

    # --- asking ---

    async def _ask(self, stream: str | None) -> Presence:
        id, question = uuid.uuid4().hex, _Question()
        self._questions[id] = question
        expected = self._others()
        is_told = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._say("asks", question=id, of=stream)
                    is_told = await self._backplane.catch_up(PRESENCE)
                    expected |= self._others()
                    while is_told and not expected <= question.answered:
                        question.news.clear()
                        await question.news.wait()
                        expected &= self._others() | question.answered
        except Exception as error:
            log_failure("asking who watches", error)
        finally:
            del self._questions[id]
        silent = len((expected & self._others()) - question.answered)
        own, count = self._own(stream)
        watchers, total = _ordered([*own, *question.watchers]), count + question.count
        return Presence(watchers, total, 1 + len(question.answered), silent, is_told and not silent)

    async def _answer(self, question: str, stream: str | None) -> None:
        watchers, count = self._own(stream)
        await self._say("answers", question=question, count=count, watchers=[list(one)[:-1] for one in watchers])

    def _own(self, stream: str | None) -> tuple[list[Watcher], int]:
        found = sorted(self._watching(stream), key=lambda one: one.since)
        return found[:LISTED], len(found)

    def _watching(self, stream: str | None) -> Iterator[Watcher]:
        for connection in self._connections.values():
            if not connection.is_open:
                continue
            for name in connection.subscriptions if stream is None else (stream,):
                if (since := connection.watched_since.get(name)) is None:
                    continue
                person = name_of(connection.identity)
                yield Watcher(
                    name,
                    None if person is None else person[:NAME_LENGTH],
                    connection.id,
                    connection.info.peer[:NAME_LENGTH],
                    since,
                    self._run,
                )

    # --- the other servers ---

    def _others(self) -> set[str]:
        """The runs of the servers that are there."""
        now = time.monotonic()
        for run in [run for run, heard_at in self._servers.items() if heard_at + GONE_AFTER <= now]:
            del self._servers[run]
        return set(self._servers)

    def _note(self, run: str, *, is_here: bool) -> None:
        self._servers.pop(run, None)
        if is_here:
            if len(self._servers) >= SERVERS:
                del self._servers[next(iter(self._servers))]
            self._servers[run] = time.monotonic()

    async def _beat(self) -> None:
        what = "comes"
        while True:
            await self._say(what)
            what = "here"
            await asyncio.sleep(HERE_EVERY)

    async def _say(self, what: str, **more: Any) -> None:
        timestamp = self._wall_clock_us()
        features = {"says": what, "run": self._run, **more}
        encoded = _codec.encode_frame(
            MessageType.FEATURE_DATA, {"stream": PRESENCE, "features": features}, timestamp=timestamp
        )
        try:
            await self._backplane.publish(PRESENCE, timestamp, encoded)
        except Exception as error:
            log_failure("telling the other servers about presence", error)

    def _begin(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _ordered(watchers: list[Watcher]) -> tuple[Watcher, ...]:
    return tuple(sorted(watchers, key=lambda one: (one.stream, one.since, one.connection)))


def _take(question: _Question, run: str, said: Mapping[str, Any]) -> None:
    """Take the answer of a server.

    Raises:
        KeyError, TypeError, ValueError: it is damaged.
    """
    if run in question.answered:
        return
    listed = [_watcher(one, run) for one in said["watchers"][:LISTED]]
    count = said["count"]
    if not isinstance(count, int) or count < len(listed):
        raise ValueError("a count that is no number, or too small")
    question.watchers += listed
    question.count += count
    question.answered.add(run)
    question.news.set()


def _watcher(fields: list[Any], run: str) -> Watcher:
    stream, name, connection, peer, since = fields
    texts = (stream, connection, peer) if name is None else (stream, name, connection, peer)
    if not all(isinstance(text, str) for text in texts) or not isinstance(since, int | float):
        raise TypeError("a watcher of other fields")
    return Watcher(stream, name, connection, peer, float(since), run)

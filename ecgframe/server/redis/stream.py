"""One stream in Redis, as one server follows it: how far it has read, and what it has delivered of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ...codec import Codec
from ...errors import ProtocolError
from ...protocol import LARGEST_LENGTH
from ..backplane import Deliver
from .outbox import Message
from .script import LATEST

REMEMBERED_ORIGINS: Final = 64
"""Servers whose last message is remembered in each stream."""

_codec: Final = Codec(max_payload=LARGEST_LENGTH)


class ForeignEntry(ValueError):
    """Something in a stream that no backplane has written."""


class Entry(NamedTuple):
    """What Redis has of a message.

    Attributes:
        origin: which server published it.
        number: counts that server's messages.
        time: its timestamp, in microseconds.
        frame: the canonical frame.
    """

    origin: bytes
    number: int
    time: int
    frame: bytes


def read_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """The entry as it was written; its frame is yet to be checked.

    Raises:
        ForeignEntry: no backplane has written this.
    """
    try:
        entry = Entry(fields[b"o"], int(fields[b"n"]), int(entry_id.partition(b"-")[0]), fields[b"f"])
    except KeyError as missing:
        raise ForeignEntry(f"it has no field {missing}") from None
    except ValueError:
        raise ForeignEntry("its number is none") from None
    if entry.time > LATEST:
        raise ForeignEntry(f"its timestamp {entry.time} is after the year 2255")
    return entry


def check_frame(frame: bytes) -> None:
    """See that it is a whole frame of V3.

    Raises:
        ForeignEntry: it is not; the error tells nothing of what it holds.
    """
    try:
        version = _codec.split(frame)[0].version
    except ProtocolError as error:
        raise ForeignEntry(f"its frame is none: {error}") from None
    if version != 3:
        raise ForeignEntry(f"its frame is of V{version}, not V3")


class FollowedStream:
    """The order of one stream on this server.

    Args:
        name: of the stream.
        key: of the stream in Redis.
        since: what is later than this is to be delivered, in microseconds.
        origin: names this server.
        deliver: takes what is delivered.

    Attributes:
        since: as given.
        position: id of the last entry read.
        reach: the timestamp after which nothing is missing; None until Redis was asked.
        behind: more may be in Redis than was read.
        readable: False where the key turned out to hold something else than a stream.
        settled: there is nothing to wait for: all was read, or Redis is away.
        pending: messages of this server that are to be delivered when they are read, by number.
        distrusted: it was said that something is wrong with what Redis has of it.
        leaving: it is to be followed only until those are delivered.
    """

    def __init__(self, name: str, key: bytes, since: int, *, origin: bytes, deliver: Deliver) -> None:
        self.name = name
        self.key = key
        self.since = since
        self.position: bytes = b"%d-0" % since
        self.reach: int | None = None
        self.behind = True
        self.readable = True
        self.settled = asyncio.Event()
        self.pending: dict[int, Message] = {}
        self.distrusted = False
        self.leaving = False
        self._origin = origin
        self._deliver = deliver
        self._last = since
        self._earliest: int | None = None
        self._numbers: dict[bytes, int] = {}

    @property
    def next_time(self) -> int:
        """The earliest timestamp that the next message can have."""
        return self._last + 1

    def shift(self, microseconds: int) -> None:
        """The clock by which it is followed turns out to be that much ahead. Nothing was read yet."""
        self.since = max(0, self.since + microseconds)
        self.position = b"%d-0" % self.since
        if self._earliest is None:  # nothing was delivered here either
            self._last = self.since

    def has_read(self, entry_id: bytes) -> bool:
        """Whether all up to that entry was read."""
        return _numbers_of(self.position) >= _numbers_of(entry_id)

    def catch_up(self, *, anew: bool) -> None:
        """Redis is there again: what it has is to be read first.

        Args:
            anew: it may be another Redis, or one that has lost something. What it has then may be new here, even where
                its id is not; what is not new is known by its number.
        """
        if anew:
            self.position = b"%d-0" % self.since
        self.behind = True
        self.readable = True
        self.settled.clear()

    def caught_up(self) -> None:
        """All that Redis had was read."""
        self.behind = False
        self._earliest = 0
        self.settled.set()

    def receive(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
        """Deliver an entry of Redis, unless it was delivered before.

        Raises:
            ForeignEntry: no backplane has written it.
        """
        self.position = entry_id
        entry = read_entry(entry_id, fields)
        if entry.number <= self._numbers.get(entry.origin, 0) or entry.time < (self._earliest or 0):
            return entry
        if entry.origin == self._origin and entry.number in self.pending:
            self.deliver_pending(before=entry.number)  # Redis has dropped them before they were read
            self.pending[entry.number].time = entry.time
            self.deliver_pending(before=entry.number + 1)
        else:
            check_frame(entry.frame)
            self._hand_over(entry.origin, entry.number, entry.time, entry.frame)
        return entry

    def deliver_pending(self, before: int | None = None) -> None:
        """Deliver messages of this server that wait to be read: all, or those with smaller numbers."""
        while self.pending and (before is None or next(iter(self.pending)) < before):
            message = self.pending.pop(next(iter(self.pending)))
            message.time = self._hand_over(self._origin, message.number, message.time, message.frame)
            if not message.delivery.done():
                message.delivery.set_result(message.time)

    def _hand_over(self, origin: bytes, number: int, time: int, frame: bytes) -> int:
        if self._earliest is None:
            self._earliest = time  # what is older and read later would come behind what is delivered now
        self._last = max(time, self._last + 1)
        self._remember(origin, number)
        self._deliver(self.name, self._last, frame)
        return self._last

    def _remember(self, origin: bytes, number: int) -> None:
        self._numbers.pop(origin, None)
        self._numbers[origin] = number
        if len(self._numbers) > REMEMBERED_ORIGINS:
            del self._numbers[next(iter(self._numbers))]


def _numbers_of(entry_id: bytes) -> tuple[int, int]:
    time, _, sequence = entry_id.partition(b"-")
    return int(time), int(sequence)


class FollowedStreams:
    """The streams that a server follows, by name.

    Args:
        make: gives a new one: name, and since when.
    """

    def __init__(self, make: Callable[[str, int], FollowedStream]) -> None:
        self._make = make
        self._streams: dict[str, FollowedStream] = {}

    def __iter__(self) -> Iterator[FollowedStream]:
        return iter(list(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, followed: FollowedStream) -> bool:
        return self._streams.get(followed.name) is followed

    def get(self, name: str) -> FollowedStream | None:
        """The stream, if it is followed."""
        return self._streams.get(name)

    def follow(self, name: str, since: int) -> FollowedStream:
        """The stream, followed from now on if it was not."""
        followed = self._streams.get(name)
        if followed is None:
            followed = self._streams[name] = self._make(name, since)
        followed.leaving = False
        return followed

    def leave(self, name: str) -> None:
        """Follow it no more, once what is being published on it here is delivered."""
        followed = self._streams.get(name)
        if followed is not None:
            followed.leaving = True
            self.drop_if_left(followed)

    def drop_if_left(self, followed: FollowedStream) -> None:
        """Follow it no more if it was left, and nobody waits for a message of it."""
        if followed.leaving and not followed.pending and followed in self:
            del self._streams[followed.name]
            followed.settled.set()

"""One stream in Redis that a server follows: how far it was read, and what was delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ...codec import Codec, EncodedFrame
from ...errors import ProtocolError
from ...protocol import LARGEST_LENGTH
from ..backplane import Deliver
from .outbox import Message
from .script import LATEST

REMEMBERED_ORIGINS: Final = 64
"""Most servers whose last message number is remembered for each stream."""

_codec: Final = Codec(max_payload=LARGEST_LENGTH)


class ForeignEntry(ValueError):
    """An entry that no backplane has written."""


class Entry(NamedTuple):
    """One message in Redis.

    Attributes:
        origin: id of the server that published it.
        number: number of the message on that server.
        time: timestamp, in microseconds since 1970.
        frame: the canonical frame.
    """

    origin: bytes
    number: int
    time: int
    frame: bytes


def read_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    """Parse an entry; its frame is not checked here.

    Raises:
        ForeignEntry: no backplane has written the entry.
    """
    try:
        entry = Entry(fields[b"o"], int(fields[b"n"]), int(entry_id.partition(b"-")[0]), fields[b"f"])
    except KeyError as missing:
        raise ForeignEntry(f"it has no field {missing}") from None
    except ValueError:
        raise ForeignEntry("its number or id is not a number") from None
    if entry.time > LATEST:
        raise ForeignEntry(f"its timestamp {entry.time} is after the year 2255")
    return entry


def check_frame(frame: bytes) -> EncodedFrame:
    """Check that the bytes are a complete V3 frame, and return the frame with the fields of its header.

    Raises:
        ForeignEntry: they are not; the text of the error does not quote them.
    """
    try:
        encoded = _codec.verify(frame)
    except ProtocolError as error:
        raise ForeignEntry(f"its frame is invalid: {error}") from None
    if encoded.version != 3:
        raise ForeignEntry(f"its frame is of V{encoded.version}, not V3")
    return encoded


class FollowedStream:
    """One followed stream: delivers its messages in one order, each once.

    Args:
        name: name of the stream.
        key: key of the stream in Redis.
        since: in microseconds since 1970; later messages are delivered.
        origin: id of this server.
        deliver: takes the messages.

    Attributes:
        since: as passed, but by Redis' clock.
        position: id of the last entry read.
        reach: the timestamp after which no message is missing; None until Redis was asked.
        behind: whether Redis may have entries that were not read.
        readable: False if the key holds something other than a stream.
        settled: set if there is nothing to wait for: all entries were read, or Redis is unreachable.
        pending: messages of this server that are delivered when they are read from Redis, by number.
        problem_logged: whether a problem with the entries of this stream was logged.
        leaving: whether the stream is followed only until ``pending`` is empty.
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
        self.problem_logged = False
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
        """Correct ``since`` to a clock that is that much ahead. Call this before anything is read."""
        self.since = max(0, self.since + microseconds)
        self.position = b"%d-0" % self.since
        if self._earliest is None:  # nothing was delivered
            self._last = self.since

    def has_read(self, entry_id: bytes) -> bool:
        """Return whether all entries up to that id were read."""
        return _numbers_of(self.position) >= _numbers_of(entry_id)

    def catch_up(self, *, restarted: bool) -> None:
        """Read the stream after Redis was unreachable.

        Args:
            restarted: whether Redis was restarted or replaced. Then the stream is read again from ``since``, because
                entries with old ids may be new; messages that were delivered are recognized by their numbers.
        """
        if restarted:
            self.position = b"%d-0" % self.since
        self.behind = True
        self.readable = True
        self.settled.clear()

    def caught_up(self) -> None:
        """Note that all entries were read."""
        self.behind = False
        self._earliest = 0
        self.settled.set()

    def receive(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Entry:
        """Deliver the message of an entry, unless it was delivered before.

        Raises:
            ForeignEntry: no backplane has written the entry.
        """
        self.position = entry_id
        entry = read_entry(entry_id, fields)
        if entry.number <= self._numbers.get(entry.origin, 0) or entry.time < (self._earliest or 0):
            return entry
        if entry.origin == self._origin and entry.number in self.pending:
            self.deliver_pending(before=entry.number)  # Redis has dropped these before they were read
            self.pending[entry.number].time = entry.time
            self.deliver_pending(before=entry.number + 1)
        else:
            self._hand_over(entry.origin, entry.number, entry.time, check_frame(entry.frame))
        return entry

    def deliver_pending(self, before: int | None = None) -> None:
        """Deliver pending messages without reading them from Redis: all, or those with numbers below ``before``."""
        while self.pending and (before is None or next(iter(self.pending)) < before):
            message = self.pending.pop(next(iter(self.pending)))
            message.time = self._hand_over(self._origin, message.number, message.time, message.encoded)
            if not message.delivery.done():
                message.delivery.set_result(message.time)

    def _hand_over(self, origin: bytes, number: int, time: int, frame: EncodedFrame) -> int:
        if self._earliest is None:
            self._earliest = time  # older messages that are read later would be out of order
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
        make: returns a new stream, given its name and ``since``.
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
        """Return the stream, or None if it is not followed."""
        return self._streams.get(name)

    def follow(self, name: str, since: int) -> FollowedStream:
        """Return the stream; start to follow it if necessary."""
        followed = self._streams.get(name)
        if followed is None:
            followed = self._streams[name] = self._make(name, since)
        followed.leaving = False
        return followed

    def leave(self, name: str) -> None:
        """Stop following a stream, once its pending messages are delivered."""
        followed = self._streams.get(name)
        if followed is not None:
            followed.leaving = True
            self.drop_if_left(followed)

    def drop_if_left(self, followed: FollowedStream) -> None:
        """Remove a stream that was left and has no pending messages."""
        if followed.leaving and not followed.pending and followed in self:
            del self._streams[followed.name]
            followed.settled.set()

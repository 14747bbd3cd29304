"""What was published on a stream of late: kept for viewers that come back, bounded in seconds and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from .._core import build_frame
from ..background.threads import ENCODED_AT_ONCE, let_go
from ..codec import Codec
from ..errors import MessageTooLarge
from ..protocol import LARGEST_LENGTH, LATEST_VERSION, ErrorCode, MessageType
from ..session import Encoding, Loss, Outgoing, Settings, encode_outgoing
from ..session.outgoing import Tier, encoding_for
from ..session.settings import EVERYTHING

CANONICAL: Final = encoding_for(LATEST_VERSION, EVERYTHING)
"""The encoding in which messages are kept and go from server to server: what a peer of today understands."""

_reader: Final = Codec(max_payload=LARGEST_LENGTH)  # what the server itself has encoded is within its limit
_small_reader: Final = Codec(max_payload=ENCODED_AT_ONCE)


class Publication:
    """One published message, encoded once for each encoding that its viewers need.

    Args:
        stream: its name; None for what goes to all connections.
        timestamp: microseconds since 1970, larger than those before it on the stream.
        frame: in ``CANONICAL``.
        settings: of the server, for the other encodings.

    Attributes:
        type: of the message.
        number: within its ring.
        arrived: when the ring got it, in seconds of the loop's clock.
        nbytes: of all its frames.
        urgent: whether it overtakes what waits.
        is_large: whether it may be that to encode it in another way takes long; ``takes_long`` tells.
        kept: whether a ring holds it.

    Raises:
        ProtocolError: the frame is damaged.
    """

    __slots__ = (
        "_frames",
        "_inflates_large",
        "_settings",
        "arrived",
        "flags",
        "is_large",
        "kept",
        "nbytes",
        "number",
        "stream",
        "timestamp",
        "type",
        "urgent",
    )

    def __init__(self, stream: str | None, timestamp: int, frame: bytes, settings: Settings) -> None:
        header, payload = _reader.split(frame)
        if header.timestamp != timestamp:
            frame = build_frame(header.version, header.type, header.bits, timestamp, payload)
        outgoing = Outgoing(frame, header.type, header.bits, timestamp, stream)
        self.stream = stream
        self.timestamp = timestamp
        self.type = header.type
        self.flags = header.bits & CANONICAL.flags
        self.urgent = outgoing.tier is Tier.URGENT
        self.nbytes = outgoing.nbytes
        self.is_large = outgoing.deflated or outgoing.nbytes > ENCODED_AT_ONCE
        self._inflates_large: bool | None = None
        self.number = 0
        self.arrived = 0.0
        self.kept = False
        self._settings = settings
        self._frames = {CANONICAL: outgoing, self.needed(CANONICAL): outgoing}

    @property
    def frame(self) -> bytes:
        """In ``CANONICAL``."""
        return self._frames[CANONICAL].frame

    @property
    def encodings(self) -> int:
        """How many different frames there are of it."""
        return len({id(outgoing) for outgoing in self._frames.values()})

    def outgoing(self, encoding: Encoding) -> Outgoing:
        """The frame for every peer of that encoding. Where it would be too large, an ERROR in its place."""
        return self._frames.get(encoding) or self._encoded(encoding)

    def takes_long(self, encoding: Encoding) -> bool:
        """Whether ``outgoing`` would have to encode it first, and that holds up an event loop."""
        if not self.is_large or encoding in self._frames or self.needed(encoding) in self._frames:
            return False
        return len(self.frame) > ENCODED_AT_ONCE or self._is_large_inflated()

    def keep(self, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep a frame that ``encode`` made."""
        needed = self.needed(encoding)
        if needed not in self._frames:
            self._frames[needed] = outgoing
            self.nbytes += outgoing.nbytes
        self._frames[encoding] = self._frames[needed]

    def strip(self) -> int:
        """Keep only the frame in ``CANONICAL``, of which others can be made again. Returns the bytes that are freed."""
        outgoing = self._frames[CANONICAL]
        freed = self.nbytes - outgoing.nbytes
        self.nbytes = outgoing.nbytes
        self._frames = {CANONICAL: outgoing, self.needed(CANONICAL): outgoing}
        return freed

    def _encoded(self, encoding: Encoding) -> Outgoing:
        needed = self.needed(encoding)
        outgoing = self._frames.get(needed) or self.encode(needed)
        self.keep(encoding, outgoing)
        return outgoing

    def _is_large_inflated(self) -> bool:
        """Whether it is large before deflating: up to a thousand times what it looks like."""
        if self._inflates_large is None:
            try:
                _small_reader.decode(self.frame)
            except MessageTooLarge:
                self._inflates_large = True
            else:
                self._inflates_large = False
        return self._inflates_large

    def needed(self, encoding: Encoding) -> Encoding:
        """The encoding without the flags that this message does not have: so fewer encodings differ."""
        return encoding._replace(flags=encoding.flags & self.flags)

    def encode(self, encoding: Encoding) -> Outgoing:
        """The frame for peers of that encoding, which is not kept. May be called in any thread."""
        data = _reader.decode(self.frame).data
        try:
            return self._encode_as(encoding, self.type, data, self.flags)
        except MessageTooLarge as error:
            return self._encode_as(encoding, MessageType.ERROR, _loss(self, str(error)), 0)
        finally:
            if self.is_large:
                let_go(data)

    def _encode_as(self, encoding: Encoding, type: MessageType, data: Any, flags: int) -> Outgoing:
        return encode_outgoing(
            encoding,
            type,
            data,
            timestamp=self.timestamp,
            settings=self._settings,
            flags=flags,
            stream=self.stream,
        )


def _loss(publication: Publication, why: str) -> dict[str, Any]:
    details = Loss(publication.timestamp, publication.timestamp).details(publication.stream)
    return {"code": int(ErrorCode.MESSAGE_TOO_LARGE), "message": why, "details": details}


class Room:
    """Bytes that all rings of a server share.

    Attributes:
        limit: how many there are.
        used: by all rings.
        rings: how many there are.
    """

    __slots__ = ("limit", "rings", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.rings = 0

    def is_short(self, nbytes: int) -> bool:
        """Tell whether a ring of that size is to become smaller: one that has no more than its share never is."""
        return self.used > self.limit and nbytes * self.rings > self.limit


class Ring:
    """The latest publications of one stream, numbered from 0 on.

    Args:
        seconds: after which a publication is let go.
        nbytes: that it keeps at most.
        room: that it shares with other rings.

    Attributes:
        floor: microseconds since 1970: all publications later than this are here.
        nbytes: of what is kept.
        first: number of the oldest publication that is kept.
        end: number that the next one gets.
    """

    __slots__ = ("_limit", "_publications", "_room", "_seconds", "_stripped", "end", "floor", "nbytes")

    def __init__(self, seconds: float, nbytes: int, room: Room) -> None:
        self.floor = 0
        self.nbytes = 0
        self.end = 0
        self._stripped = 0  # the publications before this number have no other frame than the canonical one
        self._seconds = seconds
        self._limit = nbytes
        self._room = room
        room.rings += 1
        self._publications: deque[Publication] = deque()

    def __len__(self) -> int:
        return len(self._publications)

    @property
    def first(self) -> int:
        """Number of the oldest publication that is kept; ``end`` where none is."""
        return self.end - len(self._publications)

    @property
    def oldest(self) -> int | None:
        """Timestamp of the oldest publication that is kept."""
        return self._publications[0].timestamp if self._publications else None

    @property
    def span(self) -> float:
        """Seconds from the oldest to the newest."""
        kept = self._publications
        return (kept[-1].timestamp - kept[0].timestamp) / 1_000_000 if kept else 0.0

    def append(self, publication: Publication, now: float) -> None:
        """Keep it. Call ``trim`` afterwards."""
        publication.number = self.end
        publication.arrived = now
        publication.kept = True
        self.end += 1
        self._publications.append(publication)
        self._grow(publication.nbytes)

    def frame(self, publication: Publication, encoding: Encoding) -> Outgoing:
        """The publication in that encoding, kept with it from now on."""
        before = publication.nbytes
        outgoing = publication.outgoing(encoding)
        self._note_growth(publication, before)
        return outgoing

    def keep(self, publication: Publication, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep with a publication what it was encoded to elsewhere."""
        before = publication.nbytes
        publication.keep(encoding, outgoing)
        self._note_growth(publication, before)

    def trim(self, now: float) -> None:
        """Let go what is too old; where there is too much, first what can be made again, then the oldest."""
        while self._publications and self._publications[0].arrived < now - self._seconds:
            self._drop()
        while self._publications and self._is_over():
            if self._stripped < self.end:
                self._strip_next()
            else:
                self._drop()

    def close(self) -> None:
        """Let all go, and the share of the room."""
        while self._publications:
            self._drop()
        self._room.rings -= 1

    def raise_floor(self, timestamp: int) -> None:
        """Note that publications up to that timestamp may be missing here."""
        self.floor = max(self.floor, timestamp)

    def knows(self, timestamp: int) -> bool:
        """Tell whether that is a place in this stream: of a message that is kept, or the last one before these."""
        if timestamp == self.floor:
            return True
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                return publication.timestamp == timestamp
        return False

    @property
    def latest(self) -> int:
        """The latest place in this stream: of the newest message, or the last one before those that were kept."""
        return self._publications[-1].timestamp if self._publications else self.floor

    def number_after(self, timestamp: int) -> int:
        """Number of the first publication that is later than that; ``end`` if none is."""
        number = self.end
        for publication in reversed(self._publications):
            if publication.timestamp <= timestamp:
                break
            number = publication.number
        return number

    def start_from(self, number: int) -> Iterator[Publication]:
        """The publications from that number on."""
        return islice(self._publications, max(0, number - self.first), None)

    def _note_growth(self, publication: Publication, before: int) -> None:
        if publication.kept and publication.nbytes > before:
            self._grow(publication.nbytes - before)
            self._stripped = min(self._stripped, publication.number)

    def _is_over(self) -> bool:
        return self.nbytes > self._limit or self._room.is_short(self.nbytes)

    def _strip_next(self) -> None:
        number = max(self._stripped, self.first)
        self._grow(-self._publications[number - self.first].strip())
        self._stripped = number + 1

    def _drop(self) -> None:
        dropped = self._publications.popleft()
        dropped.kept = False
        self.raise_floor(dropped.timestamp)
        self._grow(-dropped.nbytes)

    def _grow(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self._room.used += nbytes

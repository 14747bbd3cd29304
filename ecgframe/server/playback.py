"""The history of a stream that one viewer has asked for, sent as BULK beside what is live.

Section "History on request" of the specification. The messages come from the ring, under an id of their own, in the
class BULK: so they take one part of eight of the bytes while live data waits, and delay nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from ..codec import EncodedFrame
from ..protocol import Flag, Form, MessageType
from ..session import HistoryPart, Outgoing

if TYPE_CHECKING:
    from ..session import HistoryRequested
    from .encodings import Encodings
    from .history import Ring
    from .publication import Publication
    from .stream import Stream
    from .viewers import Viewer

MOST_AT_ONCE: Final = 4
"""Histories that a connection may be sent at once."""

CHUNK_FRAMES: Final = 64
"""Most frames that are queued at once."""

CHUNK_BYTES: Final = 64 * 1024
"""Bytes at which no further frame is queued."""

_KEPT_FLAGS: Final = int(Flag.COMPRESSED | Flag.ENCRYPTED | Flag.SIGNED)
_ENCRYPTED: Final = int(Flag.ENCRYPTED)
_BULK: Final = int(Form.BULK)
_FLAGS_AT: Final = 2
_FORM_AT: Final = 19
_STREAM_AT: Final = slice(20, 24)


class Past(NamedTuple):
    """Messages of a stream that are not in its ring.

    Attributes:
        ring: has them.
        epoch_id: id of their epoch.
        part: what the answer to the viewer states of them.
        close: called when they are no longer needed.
    """

    ring: Ring
    epoch_id: int
    part: HistoryPart
    close: Callable[[], object]


class Playback:
    """One part of a history, of one epoch: from the first message in the range to the last that is kept now.

    Args:
        stream: the stream, held until the end.
        viewer: the connection.
        request: what it has asked for.
        id: of the part in the headers, which nothing else has.
        encodings: encodes large publications in a thread.
        past: the messages, if they are not in the ring of the stream.

    Attributes:
        is_bulk: True: its messages are of the class BULK.
        part: what the answer says; None if no message is in the range.
    """

    is_bulk = True

    def __init__(
        self,
        stream: Stream,
        viewer: Viewer,
        request: HistoryRequested,
        id: int,
        encodings: Encodings,
        past: Past | None = None,
    ) -> None:
        self.stream = stream
        self._past = past
        self._ring = stream.ring if past is None else past.ring
        self.number = request.number
        self.sent = 0
        self._viewer = viewer
        self._id = id
        self._encodings = encodings
        self._held = ExitStack()
        self._held.enter_context(stream.hold())
        if past is not None:
            self._held.callback(past.close)
        self._encoded: dict[int, Outgoing] = {}
        self._is_over = False
        self._epoch_id = 0
        self._next = self._end = self._ring.end
        self.part = self._find(request) if past is None else self._all_of(past)

    def _find(self, request: HistoryRequested) -> HistoryPart | None:
        """Find the messages in the range, and what the answer says of them."""
        first: Publication | None = None
        last = 0
        more: int | None = None
        ring = self._ring
        for publication in ring.start_from(ring.number_after(request.start - 1)):
            position, timestamp = publication.position, publication.timestamp
            if position is None:
                continue  # it is beside the numbers
            if request.stop is not None and timestamp > request.stop:
                break
            if first is None:
                first, self._epoch_id, self._next = publication, position.id, publication.number
            elif position.id != self._epoch_id:
                more = timestamp
                break
            last = max(last, position.number)
            self._end = publication.number + 1
        numbering = self.stream.numbering
        epoch = None if numbering is None else numbering.find(self._epoch_id)
        if first is None or first.position is None or epoch is None:
            self._end = self._next
            return None
        binding = self.stream.announcer.sealed_binding(epoch.binding(first.position.number), self._viewer.session)
        templates = tuple(frame[:20] + self._id.to_bytes(4, "big") + frame[24:] for frame in binding.templates)
        return HistoryPart(binding._replace(id=self._id, templates=templates), last + 1, more)

    def _all_of(self, past: Past) -> HistoryPart:
        """Take all messages of a past from elsewhere, and return what the answer to the viewer states of them."""
        self._epoch_id, self._next = past.epoch_id, self._ring.first
        binding = self.stream.announcer.sealed_binding(past.part.binding, self._viewer.session)
        return past.part._replace(binding=binding._replace(id=self._id))

    def is_behind(self, viewer: Viewer) -> bool:
        """Return whether there is more to do for the viewer."""
        return not self._is_over

    def catch_up(self, viewer: Viewer, now: float) -> bool:
        """Queue the next messages; after the last one has been sent, say that the history has ended.

        Args:
            viewer: the connection.
            now: in seconds of the loop's clock.

        Returns:
            True if this has to be called again, once nothing of the class BULK waits.
        """
        ring, session = self._ring, viewer.session
        self._next = max(self._next, ring.first)  # what was dropped meanwhile is missing in the numbers
        if self._next >= self._end:
            session.answer_subscription(self.stream.name, "unsubscribed", history=self.number)
            self.close()
            return False
        queued = nbytes = 0
        must_be_sealed = session.encoding.sealed and self.stream.is_sealed  # it refuses what was published before
        for publication in ring.start_from(self._next):
            if publication.number >= self._end or queued >= CHUNK_FRAMES or nbytes >= CHUNK_BYTES:
                break
            outgoing = self._encoded.pop(publication.number, None)
            if outgoing is None and publication.takes_long(session.encoding):
                self._have_encoded(publication)
                return False
            self._next = publication.number + 1
            position = publication.position
            if position is None or position.id != self._epoch_id:
                continue
            outgoing = outgoing or ring.frame(publication, session.encoding)
            if outgoing is None or outgoing.number is None or (must_be_sealed and not _is_sealed(outgoing)):
                continue  # it cannot be sent to this viewer
            queued += 1
            nbytes += outgoing.nbytes
            session.enqueue(self._as_history(outgoing), now)
        self.sent += queued
        ring.trim(now)
        return True

    def _have_encoded(self, publication: Publication) -> None:
        """Encode a publication in a thread, then go on."""
        viewer = self._viewer

        def go_on(outgoing: Outgoing | None) -> None:
            if self._is_over:
                return
            if outgoing is None:  # encoding failed, and has been logged
                self._next = publication.number + 1
            else:
                self._encoded[publication.number] = outgoing
            viewer.bring_up_to_date(self)
            viewer.pump(asyncio.get_running_loop().time())

        self._encodings.prepare(publication, viewer.session.encoding, go_on)

    def _as_history(self, outgoing: Outgoing) -> Outgoing:
        """Return a frame with the id of this part, of the class BULK, and without flags of the hop."""
        head = bytearray(outgoing.frame[:32])
        flags = head[_FLAGS_AT] = head[_FLAGS_AT] & _KEPT_FLAGS
        if outgoing.type is not MessageType.ANOMALY_ALERT:
            head[_FORM_AT] |= _BULK
        head[_STREAM_AT] = self._id.to_bytes(4, "big")
        frame = bytes(head) + outgoing.frame[32:]
        nbytes = len(frame) - len(head)
        encoded = EncodedFrame(
            frame, 4, outgoing.type, flags, outgoing.timestamp, nbytes, None, head[_FORM_AT], self._id, outgoing.number
        )
        return Outgoing(encoded, flags, outgoing.timestamp, None)

    def close(self) -> None:
        """Send no more. Calling this again does nothing."""
        self._is_over = True
        self._held.close()


def _is_sealed(outgoing: Outgoing) -> bool:
    return bool(outgoing.frame[_FLAGS_AT] & _ENCRYPTED)

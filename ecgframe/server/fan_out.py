"""One publication to many viewers: at once where it is small, in portions where it is large.

What holds up the event loop is a large frame that has to be encoded in another way than the one it came in, for
viewers of old, and its copy for each viewer (WebSocket framing, TLS, what the kernel does not take at once). The first
is done in a thread, and those viewers get what follows behind it. The second is spread over turns of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from ..session import Encoding, Outgoing, ServerSession
from ..session.outgoing import Tier
from .encodings import Encodings
from .portions import LARGE, Portions
from .publication import Publication

NoteSent = Callable[[Outgoing, int, int], None]
"""Is told to how many viewers a frame went, and to how many of them without being queued."""


class Viewer(Protocol):
    """A connection, as far as a fan-out knows it."""

    session: ServerSession

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame that is encoded for the session, or queue it. Tells whether it was sent without queueing."""

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame that is encoded for the session, and send it when ``portions`` give the turn."""


Parked = deque[tuple[Publication, dict[Viewer, None]]]

_encoding_of: Callable[[Viewer], Encoding] = attrgetter("session.encoding")


class FanOut:
    """The way of a stream's publications to its viewers, or of all that goes to all connections.

    Args:
        encodings: makes the frames that take long.
        portions: of all large frames of the server.
        frame: gives a publication in an encoding, and keeps it.
        keep: is given what was encoded for a publication.
        note_sent: is told of each frame.
    """

    __slots__ = ("_encodings", "_frame", "_keep", "_note_sent", "_parked", "_portions")

    def __init__(
        self,
        encodings: Encodings,
        portions: Portions,
        frame: Callable[[Publication, Encoding], Outgoing],
        keep: Callable[[Publication, Encoding, Outgoing], None],
        note_sent: NoteSent,
    ) -> None:
        self._encodings = encodings
        self._portions = portions
        self._frame = frame
        self._keep = keep
        self._note_sent = note_sent
        # By encoding, what waits for a large publication to be encoded, that one first; each with its viewers.
        self._parked: dict[Encoding, Parked] = {}

    def send(self, publication: Publication, viewers: Sequence[Viewer], now: float) -> None:
        """Send it, encoded once for each encoding; viewers of one encoding mostly stand side by side."""
        for encoding, group in groupby(viewers, _encoding_of):
            if self._parked or publication.is_large:
                self._send_large(publication, encoding, list(group), now)
            else:
                outgoing = self._frame(publication, encoding)
                sent = [viewer.take(outgoing, now) for viewer in group]
                self._note_sent(outgoing, len(sent), sum(sent))

    def forget(self, viewer: Viewer) -> None:
        """Send it nothing of what waits to be encoded."""
        for parked in self._parked.values():
            for _, viewers in parked:
                viewers.pop(viewer, None)

    def _send_large(self, publication: Publication, encoding: Encoding, viewers: list[Viewer], now: float) -> None:
        parked = self._parked.get(encoding)
        if publication.takes_long(encoding):
            if parked is None:
                parked = self._parked[encoding] = deque()
                self._encode_next(encoding, publication)
            parked.append((publication, dict.fromkeys(viewers)))
            return
        outgoing = self._frame(publication, encoding)
        if parked is not None and not _overtakes(outgoing, parked):
            parked.append((publication, dict.fromkeys(viewers)))
        else:
            self.write(outgoing, viewers, now)

    def write(self, outgoing: Outgoing, viewers: Sequence[Viewer], now: float) -> None:
        """Send a frame that is encoded for each of the viewers."""
        passed = 0
        if outgoing.nbytes > LARGE:
            for viewer in viewers:
                viewer.take_in_turn(outgoing, self._portions)
        else:
            passed = sum([viewer.take(outgoing, now) for viewer in viewers])
        self._note_sent(outgoing, len(viewers), passed)

    def _encode_next(self, encoding: Encoding, publication: Publication) -> None:
        self._encodings.prepare(publication, encoding, lambda outgoing: self._on_encoded(encoding, outgoing))

    def _on_encoded(self, encoding: Encoding, outgoing: Outgoing | None) -> None:
        """Send what was waited for, and what waits behind it, up to the next that has to be encoded."""
        now = asyncio.get_running_loop().time()
        parked = self._parked[encoding]
        publication, viewers = parked.popleft()
        if outgoing is not None:
            self._keep(publication, encoding, outgoing)
            self._send_parked(publication, encoding, outgoing, viewers, now)
        while parked:
            publication, viewers = parked[0]
            if publication.takes_long(encoding):
                self._encode_next(encoding, publication)
                return
            parked.popleft()
            self._send_parked(publication, encoding, self._frame(publication, encoding), viewers, now)
        del self._parked[encoding]

    def _send_parked(
        self, publication: Publication, encoding: Encoding, outgoing: Outgoing, viewers: dict[Viewer, None], now: float
    ) -> None:
        self.write(outgoing, [viewer for viewer in viewers if viewer.session.encoding is encoding], now)
        if others := [viewer for viewer in viewers if viewer.session.encoding is not encoding]:
            self.send(publication, others, now)  # they have agreed on something else with the server meanwhile


def _overtakes(outgoing: Outgoing, parked: Parked) -> bool:
    """What is urgent overtakes what is not, and keeps its own order: an alarm does not end before it has begun."""
    return outgoing.tier is Tier.URGENT and not any(publication.urgent for publication, _ in parked)

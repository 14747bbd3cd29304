"""Sends one publication to many viewers: a small one at once, a large one over several turns of the event loop.

A large frame would hold up the event loop in two ways. It may have to be encoded again for older peers: a thread does
this, and later messages to these viewers wait for it. And each viewer needs a copy (WebSocket framing, TLS, bytes that
the kernel does not take at once): the copies are spread over turns of the event loop.
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
from .lingering import Linger, LingeringWriter, in_order
from .portions import LARGE, Portions
from .publication import Publication

NoteSent = Callable[[Outgoing, int, int], None]
"""Called with a frame, the number of viewers that it was sent to, and for how many of them it was not queued."""


class Viewer(Protocol):
    """What a fan-out needs of a connection."""

    session: ServerSession

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame that is encoded for the session, or queue it. Returns whether it was sent without queueing."""

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame that is encoded for the session, and write it after a turn from ``portions``."""


Parked = deque[tuple[Publication, dict[Viewer, None]]]

Group = tuple[Encoding, tuple[LingeringWriter, ...], list[Viewer]]
"""An encoding, the viewers with it that join frames, and the others."""

_encoding_of: Callable[[Viewer], Encoding] = attrgetter("session.encoding")


class FanOut:
    """Sends the publications of one stream to its viewers, or broadcasts to all connections.

    Args:
        encodings: encodes large publications in a thread.
        portions: turns for writing large frames.
        frame: returns a publication in an encoding, and keeps the frame; None if it is not for viewers with it.
        keep: keeps a frame that was encoded in a thread.
        note_sent: called for each frame.
        linger: lets frames wait for others; None if none waits.
    """

    __slots__ = ("_encodings", "_frame", "_groups", "_keep", "_linger", "_note_sent", "_parked", "_portions")

    def __init__(
        self,
        encodings: Encodings,
        portions: Portions,
        frame: Callable[[Publication, Encoding], Outgoing | None],
        keep: Callable[[Publication, Encoding, Outgoing], None],
        note_sent: NoteSent,
        linger: Linger | None = None,
    ) -> None:
        self._linger = linger
        self._groups: tuple[Sequence[Viewer], int, list[Group]] = ((), -1, [])
        self._encodings = encodings
        self._portions = portions
        self._frame = frame
        self._keep = keep
        self._note_sent = note_sent
        # By encoding: a large publication that is being encoded, then those that wait for it, each with its viewers.
        self._parked: dict[Encoding, Parked] = {}

    def send(self, publication: Publication, viewers: Sequence[Viewer], now: float) -> None:
        """Send a publication, encoded once for each encoding.

        Args:
            publication: the message.
            viewers: connections to send it to; sorted by encoding they are faster.
            now: in seconds of the loop's clock.
        """
        if self._parked or publication.is_large:
            for shared, group in groupby(viewers, _encoding_of):
                self._send_large(publication, shared, list(group), now)
            return
        if self._linger is not None:
            self._send_lingering(publication, viewers, now, self._linger)
            return
        # A plain loop: this runs for each viewer of each message.
        encoding: Encoding | None = None
        outgoing: Outgoing | None = None
        taken = passed = 0
        for viewer in viewers:
            if viewer.session.encoding is not encoding:
                if outgoing is not None:
                    self._note_sent(outgoing, taken, passed)
                encoding = viewer.session.encoding
                outgoing = self._frame(publication, encoding)
                taken = passed = 0
            if outgoing is not None:
                taken += 1
                if viewer.take(outgoing, now):
                    passed += 1
        if outgoing is not None:
            self._note_sent(outgoing, taken, passed)

    def _send_lingering(self, publication: Publication, viewers: Sequence[Viewer], now: float, linger: Linger) -> None:
        """Let a publication wait for others where it may: that costs once for all viewers of an encoding."""
        for encoding, joining, others in self._grouped(viewers, linger):
            outgoing = self._frame(publication, encoding)
            if outgoing is None:
                continue
            at_once: Sequence[Viewer] = others
            if joining and linger.may_wait(outgoing):
                linger.share(outgoing, joining, self._note_sent)
            else:
                at_once = [*joining, *others]
            if at_once:
                passed = sum([viewer.take(outgoing, now) for viewer in at_once])
                self._note_sent(outgoing, len(at_once), passed)

    def _grouped(self, viewers: Sequence[Viewer], linger: Linger) -> list[Group]:
        """The viewers by encoding, and whether they join frames. Most messages have those of the one before."""
        known, generation, groups = self._groups
        if generation == linger.generation and known == viewers:
            return groups
        groups = []
        for encoding, group in groupby(viewers, _encoding_of):
            members = list(group)
            joining = in_order([each for each in members if isinstance(each, LingeringWriter) and each.joins])
            joined = frozenset(joining)
            groups.append((encoding, joining, [each for each in members if each not in joined]))
        self._groups = viewers, linger.generation, groups
        return groups

    def forget(self, viewer: Viewer) -> None:
        """Do not send a viewer the publications that wait to be encoded."""
        self._groups = ((), -1, [])
        for parked in self._parked.values():
            for _, viewers in parked:
                viewers.pop(viewer, None)

    def first_waiting(self, viewer: Viewer, id: int) -> int | None:
        """Return the number of the first publication of a stream that waits to be encoded for a viewer, if one does.

        Args:
            viewer: the connection.
            id: number of the stream in this direction.
        """
        waiting = (
            publication.position.number
            for parked in self._parked.values()
            for publication, viewers in parked
            if publication.position is not None and publication.position.id == id and viewer in viewers
        )
        return min(waiting, default=None)

    def _send_large(self, publication: Publication, encoding: Encoding, viewers: list[Viewer], now: float) -> None:
        parked = self._parked.get(encoding)
        if publication.takes_long(encoding):
            if parked is None:
                parked = self._parked[encoding] = deque()
                self._encode_next(encoding, publication)
            parked.append((publication, dict.fromkeys(viewers)))
            return
        outgoing = self._frame(publication, encoding)
        if outgoing is None:
            return
        if parked is not None and not _overtakes(outgoing, parked):
            parked.append((publication, dict.fromkeys(viewers)))
        else:
            self.write(outgoing, viewers, now)

    def write(self, outgoing: Outgoing, viewers: Sequence[Viewer], now: float) -> None:
        """Send a frame to viewers that all have its encoding."""
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
        """Send the publication that was encoded, and those after it up to the next that has to be encoded."""
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
            following = self._frame(publication, encoding)
            if following is None:
                continue
            self._send_parked(publication, encoding, following, viewers, now)
        del self._parked[encoding]

    def _send_parked(
        self, publication: Publication, encoding: Encoding, outgoing: Outgoing, viewers: dict[Viewer, None], now: float
    ) -> None:
        self.write(outgoing, [viewer for viewer in viewers if viewer.session.encoding is encoding], now)
        if others := [viewer for viewer in viewers if viewer.session.encoding is not encoding]:
            self.send(publication, others, now)  # they have negotiated another encoding meanwhile


def _overtakes(outgoing: Outgoing, parked: Parked) -> bool:
    """Return whether a frame is sent at once: it is urgent, and no earlier urgent frame waits."""
    return outgoing.tier is Tier.URGENT and not any(publication.urgent for publication, _ in parked)

"""Sends one publication to many viewers: a small one at once, a large one over several turns of the event loop.

A large frame would hold up the event loop in two ways. It may have to be encoded again for older peers: a thread does
this, and later messages to these viewers wait for it. And each viewer needs a copy (WebSocket framing, TLS, bytes that
the kernel does not take at once): the copies are spread over turns of the event loop.

A small frame is the same bytes for all viewers with an encoding. ``send_to_all`` of the core passes it to the sockets
of those that can take it, without a look at each of them in Python; their links and writers send the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from .._core import OTHER_ENCODING, QUEUE, send_to_all
from ..session import Encoding, Outgoing, ServerSession
from ..session.outgoing import Tier
from .encodings import Encodings
from .lingering import Linger, LingeringWriter, in_order
from .portions import LARGE, Portions
from .publication import Publication
from .websocket_frame import binary_frame

NoteSent = Callable[[Outgoing, int, int], None]
"""Called with a frame, the number of viewers that it was sent to, and for how many of them it was not queued."""


class Viewer(Protocol):
    """What a fan-out needs of a connection."""

    session: ServerSession

    def take(self, outgoing: Outgoing, now: float) -> bool:
        """Send a frame that is encoded for the session, or queue it. Returns whether it was sent without queueing."""

    def finish(self, rest: bytes) -> None:
        """Write the rest of a WebSocket frame of which the socket has taken a part, or nothing."""

    def take_in_turn(self, outgoing: Outgoing, portions: Portions) -> None:
        """Queue a large frame that is encoded for the session, and write it after a turn from ``portions``."""


Parked = deque[tuple[Publication, dict[Viewer, None]]]

LingeringGroup = tuple[Encoding, tuple[LingeringWriter, ...], list[Viewer]]
"""An encoding, the viewers with it that join frames, and the others."""


class Group(NamedTuple):
    """Viewers that get the same frames.

    Attributes:
        encoding: theirs, the same object for all.
        viewers: the connections.
        sessions: those of the connections, in the same order.
    """

    encoding: Encoding
    viewers: tuple[Viewer, ...]
    sessions: tuple[ServerSession, ...]

    def renegotiated(self) -> list[Viewer]:
        """Return those that have another encoding by now."""
        return [viewer for viewer in self.viewers if viewer.session.encoding is not self.encoding]


_NO_GROUPS: Final[tuple[Sequence[Viewer], list[Group]]] = ((), [])

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

    __slots__ = (
        "_encodings",
        "_frame",
        "_groups",
        "_keep",
        "_linger",
        "_lingering_groups",
        "_note_sent",
        "_parked",
        "_portions",
    )

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
        self._groups = _NO_GROUPS
        self._lingering_groups: tuple[Sequence[Viewer], int, list[LingeringGroup]] = ((), -1, [])
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
            viewers: connections to send it to. It is faster if the same tuple comes again with the next publication.
            now: in seconds of the loop's clock.
        """
        if self._linger is not None and not (self._parked or publication.is_large):
            self._send_lingering(publication, viewers, now, self._linger)
            return
        others: list[Viewer] = []
        for each in self._by_encoding(viewers):
            others += self._send_to_group(publication, each, now)
        if others:  # they have negotiated another encoding since the last publication
            self._groups = _NO_GROUPS
            self.send(publication, others, now)

    def _by_encoding(self, viewers: Sequence[Viewer]) -> list[Group]:
        """Group the viewers by encoding. Most messages have those of the one before."""
        known, groups = self._groups
        if viewers is known and all(each.sessions[0].encoding is each.encoding for each in groups):
            return groups
        members: dict[int, list[Viewer]] = {}
        for viewer in viewers:
            members.setdefault(id(viewer.session.encoding), []).append(viewer)
        groups = [
            Group(each[0].session.encoding, tuple(each), tuple([viewer.session for viewer in each]))
            for each in members.values()
        ]
        if isinstance(viewers, tuple):  # which does not change
            self._groups = viewers, groups
        return groups

    def _send_to_group(self, publication: Publication, group: Group, now: float) -> list[Viewer]:
        """Send a publication to viewers with one encoding; return those that have another one now."""
        encoding = group.encoding
        waits = self._parked or publication.is_large
        if waits and publication.takes_long(encoding):
            if encoding not in self._parked:
                self._parked[encoding] = deque()
                self._encode_next(encoding, publication)
            return self._park(publication, group)
        outgoing = self._frame(publication, encoding)
        if outgoing is None:
            return group.renegotiated()
        if waits and (parked := self._parked.get(encoding)) is not None and not _overtakes(outgoing, parked):
            return self._park(publication, group)
        if outgoing.queued or outgoing.nbytes > LARGE:
            others = group.renegotiated()
            self.write(outgoing, [viewer for viewer in group.viewers if viewer not in others], now)
            return others
        return self._write_past_links(outgoing, group, now)

    def _park(self, publication: Publication, group: Group) -> list[Viewer]:
        """Let a publication wait for the one that is being encoded. Returns the viewers with another encoding."""
        others = group.renegotiated()
        viewers = [viewer for viewer in group.viewers if viewer not in others]
        self._parked[group.encoding].append((publication, dict.fromkeys(viewers)))
        return others

    def _write_past_links(self, outgoing: Outgoing, group: Group, now: float) -> list[Viewer]:
        """Send a small frame to the sockets that can take it, and all else by the viewers' writers.

        Returns:
            Those that have another encoding now, and were sent nothing.
        """
        viewers = group.viewers
        message = binary_frame(outgoing.frame)
        rest = send_to_all(group.sessions, group.encoding, message, outgoing.nbytes, now)
        passed = len(viewers) - len(rest)
        others: list[Viewer] = []
        # What a socket has begun with goes first, before anything else can be written.
        for index, taken in rest:
            if taken >= 0:
                viewers[index].finish(message[taken:])
                passed += 1
        for index, taken in rest:
            if taken == QUEUE:
                passed += viewers[index].take(outgoing, now)
            elif taken == OTHER_ENCODING:
                others.append(viewers[index])
        if len(others) < len(viewers):
            self._note_sent(outgoing, len(viewers) - len(others), passed)
        return others

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

    def _grouped(self, viewers: Sequence[Viewer], linger: Linger) -> list[LingeringGroup]:
        """The viewers by encoding, and whether they join frames. Most messages have those of the one before."""
        known, generation, groups = self._lingering_groups
        if generation == linger.generation and known == viewers:
            return groups
        groups = []
        for encoding, group in groupby(viewers, _encoding_of):
            members = list(group)
            joining = in_order([each for each in members if isinstance(each, LingeringWriter) and each.joins])
            joined = frozenset(joining)
            groups.append((encoding, joining, [each for each in members if each not in joined]))
        self._lingering_groups = viewers, linger.generation, groups
        return groups

    def forget(self, viewer: Viewer) -> None:
        """Do not send a viewer the publications that wait to be encoded."""
        self._groups = _NO_GROUPS
        self._lingering_groups = ((), -1, [])
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

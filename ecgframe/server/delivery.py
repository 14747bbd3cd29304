"""Takes what the backplane delivers, from this server and others, and sends it to the viewers here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..codec import EncodedFrame
from ..protocol import Flag, MessageType
from ..signing.digests import SIGNED_TYPES
from .backplane import COMMANDS, EVERYONE, OF_SERVERS, PublishedBy
from .logs import logger
from .publication import Publication
from .sealed_publication import SealedPublication

if TYPE_CHECKING:
    from ..session import Settings
    from ..signing import SigningKey
    from .backplane import SharedNumber
    from .broadcasts import Broadcasts
    from .opened_streams import OpenedStreams
    from .presence import PresenceRoom
    from .rights import Rights
    from .sealing import Seals
    from .stats import ServerStats
    from .streams import Streams
    from .timestamps import Timestamps


class Delivery:
    """Takes the messages of the backplane, see ``backplane.Deliver``.

    Args:
        streams: streams of the handler.
        opened: those that clients have opened.
        broadcasts: get the messages for all connections.
        rights: get the commands of other servers.
        presence: gets what servers report to each other about their viewers.
        timestamps: checks the clock now and then.
        stats: counters of the handler.
        settings: for the frames of viewers.
        seals: those of the handler; None if it seals no streams.
        signer: signs alerts and predictions; None to sign nothing.
        is_numbered: whether the numbers of messages come from the backplane.
    """

    def __init__(
        self,
        *,
        streams: Streams,
        opened: OpenedStreams,
        broadcasts: Broadcasts,
        rights: Rights,
        presence: PresenceRoom,
        timestamps: Timestamps,
        stats: ServerStats,
        settings: Settings,
        seals: Seals | None,
        signer: SigningKey | None,
        is_numbered: bool,
    ) -> None:
        self._streams = streams
        self._opened = opened
        self._broadcasts = broadcasts
        self._rights = rights
        self._presence = presence
        self._timestamps = timestamps
        self._stats = stats
        self._settings = settings
        self._seals = seals
        self._signer = signer
        self._is_numbered = is_numbered

    def deliver(
        self,
        stream: str,
        timestamp: int,
        frame: EncodedFrame | bytes,
        place: SharedNumber | None = None,
        by: PublishedBy = PublishedBy.HERE,
        missing: int = 0,
        /,
    ) -> None:
        """Send a message that the backplane delivers, from this server or another one, to its viewers here."""
        if place is not None and place.template is not None:
            if entry := self._streams.get(stream):
                entry.deliver_template(place.template, place, timestamp, _now(), by)
            return
        if stream in OF_SERVERS:
            take = self._rights.obey if stream == COMMANDS else self._presence.hear
            take(bytes(frame))
            return
        if place is not None and isinstance(frame, EncodedFrame) and frame.flags & Flag.ENCRYPTED:
            self._deliver_sealed(stream, timestamp, frame, place)
            return
        if place is not None and isinstance(frame, EncodedFrame) and frame.type is MessageType.STREAM_ATTESTATION:
            if entry := self._streams.get(stream):
                entry.deliver_attestation(frame, place, timestamp, _now())
            return
        try:
            publication = self._publication(stream, timestamp, frame, by)
        except ValueError as error:
            logger.error("the backplane delivered a damaged frame: %s", type(error).__name__, extra={"stream": stream})
            return
        publication.missing = missing
        now = _now()
        self._timestamps.watch(now)
        if stream == EVERYONE:
            self._broadcasts.deliver(publication, bytes(frame), now)
        elif entry := self._streams.get(stream):
            if self._is_numbered:
                entry.deliver_at(publication, place, now, by)
            else:
                entry.deliver(publication, now)
        self._stats.encoded += publication.encodings

    def _deliver_sealed(self, stream: str, timestamp: int, frame: EncodedFrame, place: SharedNumber) -> None:
        """Send a message that its publisher has sealed to the viewers of the stream that can open it."""
        entry = self._streams.get(stream)
        if entry is None:
            return
        was_sealed = entry.is_sealed_by_publisher
        entry.deliver_sealed_at(frame, place, timestamp, _now())
        if entry.is_sealed_by_publisher and not was_sealed:
            self._opened.end_for_those_who_cannot(stream)

    def _publication(self, stream: str, timestamp: int, frame: EncodedFrame | bytes, by: PublishedBy) -> Publication:
        seal = None if self._seals is None or stream == EVERYONE else self._seals.of(stream)
        if seal is None:
            publication = Publication(stream or None, timestamp, frame, self._settings)
        else:
            publication = SealedPublication(stream, timestamp, frame, self._settings, seal)
        is_signed = stream != EVERYONE and publication.type in SIGNED_TYPES and by is not PublishedBy.OTHERS
        if self._signer is not None and is_signed:
            publication.sign_with(self._signer)
        return publication


def _now() -> float:
    return asyncio.get_running_loop().time()

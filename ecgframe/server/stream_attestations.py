"""The attestations of one stream: which messages the next one names, and when it is published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .attesting import StreamAttester, attestation_frame
from .backplane import PublishedBy

if TYPE_CHECKING:
    from ..messages.templates import Template
    from ..session import StreamPosition
    from .announcing import Announcer
    from .history import Ring
    from .numbering import Numbering
    from .publication import Publication
    from .viewers import Viewers


class StreamAttestations:
    """Attests the messages of one stream that servers with the signing key publish. See ``attesting``.

    Args:
        name: name of the stream.
        ring: ring of the stream.
        numbering: its numbers; None if the server does not speak version 4, so that nothing is attested.
        announcer: makes the publications of attestations.
        viewers: gets the attestations.

    Attributes:
        name: as passed.
    """

    __slots__ = ("_announcer", "_numbering", "_ring", "_viewers", "name")

    def __init__(
        self, name: str, ring: Ring, numbering: Numbering | None, announcer: Announcer, viewers: Viewers
    ) -> None:
        self.name = name
        self._ring = ring
        self._numbering = numbering
        self._announcer = announcer
        self._viewers = viewers

    @property
    def attester(self) -> StreamAttester | None:
        """Collects the messages for the next attestation of this server; None if there is no signer."""
        return None if self._numbering is None else self._numbering.attester

    @property
    def attests_together(self) -> bool:
        """True if other servers have the numbers of the present epoch, too."""
        return self._numbering is not None and self._numbering.is_shared and self._numbering.publisher is None

    @property
    def delivered(self) -> int:
        """Number of the last message of the present epoch in order."""
        return 0 if self._numbering is None else self._numbering.next - 1

    @property
    def class_for_all(self) -> bool | None:
        """The class of the messages of the present epoch; None if it is not decided."""
        return None if self._numbering is None else self._numbering.present.is_bulk

    def note(self, publication: Publication, now: float, by: PublishedBy) -> None:
        """Have the next attestation name a message that a server with the signing key has published."""
        attester = self.attester
        if attester is not None and publication.signer is None and by is not PublishedBy.OTHERS:
            attester.note(publication, now, is_own=by is PublishedBy.HERE)

    def note_template(self, template: Template, now: float, by: PublishedBy) -> None:
        """Have the next attestation name a template that a server with the signing key has published."""
        attester = self.attester
        if attester is not None and by is not PublishedBy.OTHERS:
            attester.note_template(self.name, template.payload, now, is_own=by is PublishedBy.HERE)

    def attest(self, timestamp: int, now: float, *, last: bool = False) -> int:
        """Attest the messages that this server has published since the attestation before.

        Args:
            timestamp: of the attestation, in microseconds since 1970.
            now: in seconds of the loop's clock.
            last: whether nothing more is published in this epoch.

        Returns:
            The number of attestations: 0 or 1. It is 0 in epochs of publishers, and in those that other servers have.
        """
        numbering = self._numbering
        if numbering is None or numbering.attester is None or numbering.publisher is not None or numbering.is_shared:
            return 0
        payload = numbering.attester.attest(last=last)
        if payload is None:
            return 0
        self._send(payload, numbering.take(), timestamp, now)
        return 1

    def finish_epoch(self) -> None:
        """Attest the rest of the present epoch, if only this server has it. Another one begins."""
        if self.attester is not None:
            self.attest(self._ring.latest + 1, asyncio.get_running_loop().time(), last=True)

    def deliver(self, payload: bytes, position: StreamPosition, timestamp: int, now: float) -> None:
        """Send an attestation to the viewers that a server with any signing key has published.

        Args:
            payload: of its frame.
            position: its number.
            timestamp: in microseconds since 1970.
            now: in seconds of the loop's clock.
        """
        if self.attester is not None:
            self.attester.follow(payload, position.number)
        self._send(payload, position, timestamp, now)

    def _send(self, payload: bytes, position: StreamPosition, timestamp: int, now: float) -> None:
        outgoing = attestation_frame(payload, timestamp, position, self.name)
        self._viewers.send(self._announcer.template_publication(timestamp, outgoing, position), now)

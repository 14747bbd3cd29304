"""Attests what a server publishes: once a second, one signature for all messages of a stream since the one before.

Section "Signatures" of the specification. Servers that share their streams through a backplane do not attest: the
numbers of attestations would have to be theirs together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from .._core import build_frame
from ..background.threads import in_thread
from ..codec import EncodedFrame
from ..protocol import MAX_DIGESTS, MessageType
from ..session import Outgoing, StreamPosition
from ..signing import ATTESTING_SECONDS, Attester, digest
from .logs import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..signing import SigningKey
    from .publication import Publication

_ATTESTATION: Final = MessageType.STREAM_ATTESTATION


class StreamAttester:
    """The messages of one stream that the next attestation signs, over the epochs of this server.

    Args:
        key: that of the signer.
        stream: name of the stream.
        epoch: its epoch.
    """

    __slots__ = ("_attester", "_has_begun", "_is_over", "_waiting")

    def __init__(self, key: SigningKey, stream: str, epoch: int) -> None:
        self._attester = Attester(key, stream, epoch)
        self._has_begun = self._is_over = False
        self._waiting: list[bytes | Publication] = []
        """Digests; and messages that are too large to be hashed at once."""

    @property
    def is_full(self) -> bool:
        """True if an attestation has to be made before the next message."""
        return len(self._waiting) > MAX_DIGESTS - 2  # a message, and a template before it

    @property
    def has_large(self) -> bool:
        """True if ``hash_large`` has something to do, which a thread should."""
        return any(not isinstance(one, bytes) for one in self._waiting)

    def hash_large(self) -> None:
        """Hash the large messages that wait. May be called in any thread."""
        waiting = self._waiting
        for index, one in enumerate(waiting):
            if not isinstance(one, bytes):
                waiting[index] = one.digest()

    def begin(self, epoch: int) -> None:
        """Begin another epoch, after the last attestation of the one before."""
        self._waiting = []
        self._attester.begin(epoch)
        self._has_begun = self._is_over = False

    def note(self, publication: Publication) -> None:
        """Add a message of the present epoch, which has its position and is not signed itself."""
        if not self._is_over:
            publication.is_attested = True
            self._waiting.append(publication if publication.is_large else publication.digest())

    def note_template(self, name: str, payload: bytes) -> None:
        """Add a template of the stream, as packed."""
        if not self._is_over:
            self._waiting.append(digest(name, MessageType.STREAM_TEMPLATE, 0, payload))

    def attest(self, *, last: bool = False) -> bytes | None:
        """Return the payload of the next attestation; None if there is nothing to attest.

        Args:
            last: whether nothing more is published in the epoch.
        """
        if self._is_over or not (self._waiting or (last and self._has_begun)):
            self._is_over = self._is_over or last
            return None
        self._has_begun = True
        self.hash_large()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            assert isinstance(one, bytes), "the large ones are hashed"
            self._attester.add_digest(one)
        self._is_over = last
        return self._attester.attest(last=last)


def attestation_frame(payload: bytes, timestamp: int, position: StreamPosition, stream: str) -> Outgoing:
    """Return the frame of an attestation."""
    place = position.form, position.id, position.number
    frame = build_frame(4, int(_ATTESTATION), 0, timestamp, payload, *place)
    encoded = EncodedFrame(frame, 4, _ATTESTATION, 0, timestamp, len(payload), len(payload), *place)
    return Outgoing(encoded, 0, timestamp, stream)


class AttestedStream(Protocol):
    """What attesting needs of a stream."""

    name: str

    @property
    def attester(self) -> StreamAttester | None:
        """What the next attestation signs; None if the stream is not attested."""

    def attest(self, timestamp: int, now: float, *, last: bool = False) -> int:
        """Publish an attestation, if there is something to attest. Returns how many were made."""


class Attesting:
    """Attests the streams of a server once a second.

    Args:
        streams: returns the streams in memory.
        wall_clock_us: returns microseconds since 1970, always more than the time before.

    Attributes:
        made: number of attestations that were made.
    """

    def __init__(self, streams: Callable[[], Iterator[AttestedStream]], wall_clock_us: Callable[[], int]) -> None:
        self.made = 0
        self._streams = streams
        self._wall_clock_us = wall_clock_us

    async def run(self) -> None:
        """Attest until this is cancelled."""
        while True:
            await asyncio.sleep(ATTESTING_SECONDS)
            for stream in list(self._streams()):
                attester = stream.attester
                if attester is not None and attester.has_large:
                    await in_thread(attester.hash_large)
                self._attest(stream, last=False)
                await asyncio.sleep(0)  # a signature takes 30 us, and there may be thousands

    def finish(self) -> None:
        """Make the last attestation of each stream."""
        for stream in list(self._streams()):
            self._attest(stream, last=True)

    def _attest(self, stream: AttestedStream, *, last: bool) -> None:
        try:
            self.made += stream.attest(self._wall_clock_us(), asyncio.get_running_loop().time(), last=last)
        except Exception as error:
            log_failure("attesting", error, stream=stream.name)

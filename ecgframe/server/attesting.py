"""Attests what servers publish: once a second, one signature for all messages of a stream since the one before.

Section "Signatures" of the specification. The attestations of servers that share Redis and a signing key form one
chain: each server that has published on a stream may make the next one, of all that the servers with this key have
published as far as it has read it, and Redis takes it only if it follows the latest. So each message misses one
attestation at most.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from .._core import build_frame
from ..background.threads import in_thread
from ..codec import EncodedFrame
from ..errors import ProtocolError
from ..protocol import DIGEST_SIZE, MAX_DIGESTS, MessageType
from ..session import Outgoing, StreamPosition
from ..signing import Attester, Signature, Verifier, digest
from ..signing.attester import ATTESTING_SECONDS
from .backplane import Link
from .logs import log_failure, logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..signing import SigningKey
    from .backplane import NumberedBackplane
    from .publication import Publication

_ATTESTATION: Final = MessageType.STREAM_ATTESTATION

TAKEOVER_SECONDS: Final = 2.5
"""Seconds after which a server attests what only others with its key have published: they may have ended."""

MOST_WAITING: Final = 4 * MAX_DIGESTS
"""Messages of a stream that wait for an attestation at most; beyond that, the oldest ones are not attested."""


class _Noted(NamedTuple):
    """A message that waits for an attestation.

    Attributes:
        what: its digest; or the message, if it is too large to be hashed at once.
        is_own: whether this server has published it.
        since: when it was delivered, in seconds of the loop's clock.
    """

    what: bytes | Publication
    is_own: bool
    since: float


class NextAttestation(NamedTuple):
    """An attestation that is not published yet.

    Attributes:
        epoch: of the stream.
        payload: as packed.
        link: its place among those of the signer.
    """

    epoch: int
    payload: bytes
    link: Link


class StreamAttester:
    """The messages of one stream that the next attestation signs, over the epochs of this server.

    Args:
        key: that of the signer.
        stream: name of the stream.
        epoch: its epoch.

    Attributes:
        skipped: number of messages that are not attested, since too many waited.
    """

    __slots__ = ("_attester", "_has_begun", "_is_over", "_key", "_latest", "_verifier", "_waiting", "skipped")

    def __init__(self, key: SigningKey, stream: str, epoch: int) -> None:
        self._key = key
        self._attester = Attester(key, stream, epoch)
        self._verifier: Verifier | None = None
        self._has_begun = self._is_over = False
        self._latest = Link(key.name, 0, bytes(DIGEST_SIZE))
        self._waiting: list[_Noted] = []
        self.skipped = 0

    @property
    def signer(self) -> bytes:
        """Name of the key."""
        return self._key.name

    @property
    def latest(self) -> Link:
        """The latest attestation of the servers with this key in the epoch, as far as it is known here."""
        return self._latest

    @property
    def is_full(self) -> bool:
        """True if an attestation has to be made before the next message."""
        return len(self._waiting) > MAX_DIGESTS - 2  # a message, and a template before it

    @property
    def has_large(self) -> bool:
        """True if ``hash_large`` has something to do, which a thread should."""
        return any(not isinstance(one.what, bytes) for one in self._waiting)

    def hash_large(self) -> None:
        """Hash the large messages that wait. May be called in any thread."""
        waiting = self._waiting
        for index, one in enumerate(waiting):
            if not isinstance(one.what, bytes):
                waiting[index] = one._replace(what=one.what.digest())

    def begin(self, epoch: int) -> None:
        """Begin another epoch, after the last attestation of the one before."""
        self._waiting = []
        self._attester.begin(epoch)
        self._latest = Link(self.signer, 0, bytes(DIGEST_SIZE))
        self._has_begun = self._is_over = False

    def note(self, publication: Publication, now: float = 0.0, *, is_own: bool = True) -> None:
        """Add a message of the present epoch, which has its position and is not signed itself.

        Args:
            publication: the message.
            now: in seconds of the loop's clock.
            is_own: whether this server has published it, not another one with the same key.
        """
        if not self._is_over:
            publication.is_attested = True
            self._add(_Noted(publication if publication.is_large else publication.digest(), is_own, now))

    def note_template(self, name: str, payload: bytes, now: float = 0.0, *, is_own: bool = True) -> None:
        """Add a template of the stream, as packed. See ``note``."""
        if not self._is_over:
            self._add(_Noted(digest(name, MessageType.STREAM_TEMPLATE, 0, payload), is_own, now))

    def _add(self, noted: _Noted) -> None:
        self._waiting.append(noted)
        if len(self._waiting) > MOST_WAITING:
            excess = len(self._waiting) - MOST_WAITING // 2
            del self._waiting[:excess]
            self.skipped += excess
            logger.warning("stream %r: %d messages are not attested: too many wait", self._attester.stream, excess)

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
        waiting = self._waiting[:MAX_DIGESTS]
        del self._waiting[:MAX_DIGESTS]
        for one in waiting:
            assert isinstance(one.what, bytes), "the large ones are hashed"
            self._attester.add_digest(one.what)
        self._is_over = last
        return self._attester.attest(last=last)

    # --- attestations that several servers with the key make ---

    def is_due(self, now: float, *, closing: bool = False) -> bool:
        """Return whether this server should make the next attestation.

        Args:
            now: in seconds of the loop's clock.
            closing: whether what others have published is left to them.
        """
        waiting = self._waiting
        if any(one.is_own for one in waiting):
            return True
        return bool(waiting) and not closing and now - waiting[0].since >= TAKEOVER_SECONDS

    def draft(self) -> NextAttestation:
        """Make the attestation that follows the latest one. What it names waits until it is read: see ``follow``."""
        self.hash_large()
        attester, latest = self._attester, self._latest
        attester.go_on_after(latest.number, latest.own)
        for one in self._waiting[:MAX_DIGESTS]:
            assert isinstance(one.what, bytes), "the large ones are hashed"
            attester.add_digest(one.what)
        payload = attester.attest()
        assert payload is not None, "something is waiting"
        return NextAttestation(attester.epoch, payload, Link(self.signer, latest.number + 1, sha256(payload).digest()))

    def follow(self, payload: bytes, position: int) -> None:
        """Take an attestation of the present epoch that was read: what this key has attested waits no longer.

        Args:
            payload: as packed; one of another key, or that is not right, changes nothing.
            position: its number in the stream.
        """
        stream, epoch = self._attester.stream, self._attester.epoch
        if self._verifier is None:
            self._verifier = Verifier([self._key.public])
        try:
            read = self._verifier.attestation(payload, stream=stream, epoch=epoch)
        except ProtocolError as error:
            logger.warning("stream %r: an attestation that was read is not right: %s", stream, error)
            return
        latest = self._latest
        if read.signature is not Signature.VALID or read.number <= latest.number:
            return
        if read.number == latest.number + 1 and latest.number and read.previous != latest.own:
            logger.warning("stream %r: attestation %d does not follow the one before", stream, read.number)
        self._latest = Link(read.signer, read.number, read.own, position)
        named = Counter(read.digests)
        kept: list[_Noted] = []
        for one in self._waiting:
            hashed = one.what if isinstance(one.what, bytes) else one.what.digest()
            if named[hashed] > 0:
                named[hashed] -= 1
            else:
                kept.append(one._replace(what=hashed))
        self._waiting = kept

    def go_on_after(self, latest: Link, delivered: int) -> None:
        """Take what Redis says of the latest attestation, if that was published before this server read the stream.

        Args:
            latest: the attestation.
            delivered: number of the last message of the stream that was delivered here.
        """
        if latest.number > self._latest.number and latest.position <= delivered:
            self._latest = latest


def encode_attestation(payload: bytes, timestamp: int, position: StreamPosition) -> EncodedFrame:
    """Return the frame of an attestation, given its payload as packed."""
    place = position.form, position.id, position.number
    frame = build_frame(4, int(_ATTESTATION), 0, timestamp, payload, *place)
    return EncodedFrame(frame, 4, _ATTESTATION, 0, timestamp, len(payload), len(payload), *place)


def attestation_frame(payload: bytes, timestamp: int, position: StreamPosition, stream: str) -> Outgoing:
    """Return the frame of an attestation for viewers."""
    return Outgoing(encode_attestation(payload, timestamp, position), 0, timestamp, stream)


class AttestedStream(Protocol):
    """What attesting needs of a stream."""

    name: str

    @property
    def attester(self) -> StreamAttester | None:
        """Collects the messages for the next attestation; None if the stream is not attested."""

    @property
    def attests_together(self) -> bool:
        """True if other servers have the numbers of the present epoch, too."""

    @property
    def delivered(self) -> int:
        """Number of the last message of the present epoch in order."""

    @property
    def class_for_all(self) -> bool | None:
        """The class of the messages of the epoch; None if it is not decided."""

    def attest(self, timestamp: int, now: float, *, last: bool = False) -> int:
        """Publish an attestation, if there is something to attest. Returns how many were made."""


class Attesting:
    """Attests the streams of a server once a second.

    Args:
        streams: returns the streams in memory.
        wall_clock_us: returns microseconds since 1970, always more than the time before.
        backplane: publishes the attestations of streams that servers number together; None without one.

    Attributes:
        made: number of attestations that were made.
    """

    def __init__(
        self,
        streams: Callable[[], Iterator[AttestedStream]],
        wall_clock_us: Callable[[], int],
        backplane: NumberedBackplane | None = None,
    ) -> None:
        self.made = 0
        self._streams = streams
        self._wall_clock_us = wall_clock_us
        self._backplane = backplane

    async def run(self) -> None:
        """Attest until this is cancelled."""
        while True:
            await asyncio.sleep(ATTESTING_SECONDS)
            together: list[AttestedStream] = []
            for stream in list(self._streams()):
                attester = stream.attester
                if attester is not None and attester.has_large:
                    await in_thread(attester.hash_large)
                if stream.attests_together:
                    together.append(stream)
                else:
                    self._attest(stream, last=False)
                await asyncio.sleep(0)  # a signature takes 30 us, and there may be thousands
            await self._attest_together(together)

    async def finish(self) -> None:
        """Make the last attestation of each stream; of what servers number together, one that is not the last."""
        together: list[AttestedStream] = []
        for stream in list(self._streams()):
            if stream.attests_together:
                together.append(stream)
            else:
                self._attest(stream, last=True)
        await self._attest_together(together, closing=True)

    def _attest(self, stream: AttestedStream, *, last: bool) -> None:
        try:
            self.made += stream.attest(self._wall_clock_us(), asyncio.get_running_loop().time(), last=last)
        except Exception as error:
            log_failure("attesting", error, stream=stream.name)

    async def _attest_together(self, streams: list[AttestedStream], *, closing: bool = False) -> None:
        if self._backplane is not None and streams:
            tasks = (self._attest_through(self._backplane, stream, closing=closing) for stream in streams)
            await asyncio.gather(*tasks)

    async def _attest_through(self, backplane: NumberedBackplane, stream: AttestedStream, *, closing: bool) -> None:
        """Publish the next attestation of a stream, and further ones as long as too much waits for one."""
        attester, is_first = stream.attester, True
        try:
            while attester is not None and stream.attests_together and (is_first or attester.is_full):
                now = asyncio.get_running_loop().time()
                if not attester.is_due(now, closing=closing):
                    return
                is_first, draft = False, attester.draft()
                timestamp, bulk = self._wall_clock_us(), stream.class_for_all
                place = stream.name, timestamp, draft.epoch, draft.payload, draft.link
                if not await backplane.publish_attestation(*place, is_bulk=bulk):
                    await self._learn_latest(backplane, stream, draft)
                    return
                self.made += 1
        except Exception as error:
            log_failure("attesting", error, stream=stream.name)

    async def _learn_latest(self, backplane: NumberedBackplane, stream: AttestedStream, draft: NextAttestation) -> None:
        """Find out after which attestation the next one comes, where this server has not read that one."""
        attester = stream.attester
        if attester is None or attester.latest.number >= draft.link.number:
            return  # it was read meanwhile
        latest = await backplane.last_attestation(stream.name, draft.epoch, attester.signer)
        if latest is not None and attester.latest.number == draft.link.number - 1:
            attester.go_on_after(latest, stream.delivered)

"""Messages of sealed streams: sealed once for each encoding, with the present key, and shared by all viewers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..codec import EncodedFrame
from ..errors import MessageTooLarge
from ..protocol import LARGEST_LENGTH, Flag, Form, MessageType, RecordFilter, RecordOption
from ..session import Encoding, Outgoing, Settings, StreamPosition, encode_frame
from .publication import Publication, TemplatePublication, loss_of, without_limit
from .sealing import OF_TEMPLATES, verified

if TYPE_CHECKING:
    from ..session.record_writer import Record
    from .sealing import StreamSeal

_FILTER_AT = 2  # byte of a record that names its filter
_OPTIONS_AT = 3
# Plain integers: arithmetic with members of an enum costs more than the rest of what is done with them here.
_SIGNED = int(Flag.SIGNED)
_RECORD = int(Form.RECORD)
_BOUND = int(RecordOption.BOUND)
_DELTA, _UNFILTERED = int(RecordFilter.DELTA), int(RecordFilter.NONE)


class SealedPublication(Publication):
    """One published message of a sealed stream. It is kept in plain, as this server has the key.

    Args:
        stream: name of the stream.
        timestamp: see ``Publication``.
        frame: see ``Publication``.
        settings: see ``Publication``.
        seal: seals it.

    Raises:
        ProtocolError: the frame is damaged.
    """

    __slots__ = ("_key_ids", "_seal")

    def __init__(
        self, stream: str, timestamp: int, frame: EncodedFrame | bytes, settings: Settings, seal: StreamSeal
    ) -> None:
        self._seal = seal
        self._key_ids: dict[Encoding, int] = {}
        super().__init__(stream, timestamp, frame, settings)

    @property
    def seal(self) -> StreamSeal:
        """The seal of its stream."""
        return self._seal

    def outgoing(self, encoding: Encoding) -> Outgoing | None:
        """The frame for peers with that encoding, sealed with the present key; plain only where the policy says so."""
        if not encoding.sealed:
            return super().outgoing(encoding) if self._seal.offers_plain else None
        needed = self.needed(encoding)
        found = self._frames.get(needed)
        if found is None or self._key_ids.get(needed) != self._seal.key().id:
            found = self.encode(needed)
            self._keep_sealed(needed, found)
        return found

    def takes_long(self, encoding: Encoding) -> bool:
        """Return whether ``outgoing`` would hold up the event loop."""
        if not self.is_large:
            return False
        if not encoding.sealed:
            return super().takes_long(encoding) if self._seal.offers_plain else False
        needed = self.needed(encoding)
        return needed not in self._frames or self._key_ids.get(needed) != self._seal.key().id

    def keep(self, encoding: Encoding, outgoing: Outgoing) -> None:
        """Keep a frame that ``encode`` made, in place of one with an earlier key."""
        if not encoding.sealed:
            super().keep(encoding, outgoing)
            return
        self._keep_sealed(self.needed(encoding), outgoing)

    def _keep_sealed(self, needed: Encoding, outgoing: Outgoing) -> None:
        before = self._frames.get(needed)
        self.nbytes += outgoing.nbytes - (0 if before is None else before.nbytes)
        self._frames[needed] = outgoing
        self._key_ids[needed] = int.from_bytes(_payload_start(outgoing), "big")

    def strip(self) -> int:
        """Drop all frames but the one in ``CANONICAL``. Returns the freed bytes."""
        self._key_ids.clear()
        return super().strip()

    def needed(self, encoding: Encoding) -> Encoding:
        """The encoding reduced to what this message has, and to constant sizes unless they may vary."""
        if not encoding.sealed:
            return super().needed(encoding)
        record = self.record if encoding.record else None
        if record is None:
            return _of_message(encoding, self.flags, self._seal.compress)
        is_filtered = record.payload[_FILTER_AT] == _DELTA
        return _of_record(encoding, self.flags, self._seal.compress and is_filtered)

    def encode(self, encoding: Encoding) -> Outgoing:
        """Encode and seal the message for peers with that encoding, and do not keep the frame. In any thread."""
        if not encoding.sealed:
            return super().encode(encoding)
        try:
            encoded = self._plain_for(encoding)
        except MessageTooLarge as error:
            return self._encode_as(without_limit(encoding), MessageType.ERROR, loss_of(self, str(error)), 0)
        return Outgoing(encoded.sealed(self._seal.sealer(encoding)), self.flags, self.timestamp, self.stream)

    def _plain_for(self, encoding: Encoding) -> EncodedFrame:
        if encoding.record and self.record is not None:
            if not self.record_fits(self.record, encoding.max_payload):
                raise MessageTooLarge(f"the record exceeds the {encoding.max_payload} bytes that this client takes")
            return self._bound_record(encoding, self.record)
        if self.signer is not None and encoding.flags & _SIGNED:
            return self._signed(encoding, self.signer)
        canonical = self._encoded
        fits = encoding.max_payload == LARGEST_LENGTH or 0 < (canonical.packed or 0) <= encoding.max_payload
        is_same = encoding.flags == self.flags & ~_SIGNED and encoding.has_zlib >= self._is_deflated
        if fits and is_same and encoding.binary:
            if encoding.version == 3:
                return canonical
            place = self.position_for(encoding) or StreamPosition(0, 0)
            if not (place.form or self.is_attested):  # arrays are padded otherwise in version 4
                return canonical.in_version_4(place.id, place.number)
        return encode_frame(
            encoding,
            self.type,
            self.data,
            timestamp=self.timestamp,
            settings=self._settings,
            flags=self.flags & ~_SIGNED,
            position=self.position_for(encoding),
        )

    def _bound_record(self, encoding: Encoding, record: Record) -> EncodedFrame:
        payload = record.payload
        is_bound = payload[_OPTIONS_AT] & _BOUND
        if not is_bound or (payload[_FILTER_AT] != _UNFILTERED and not encoding.delta):
            payload = record.template.bind(payload, delta=encoding.delta)
        position = self.position_for(encoding, _RECORD)
        assert position is not None, "records are numbered"
        return encode_frame(
            encoding,
            self.type,
            payload,
            timestamp=self.timestamp,
            settings=self._settings,
            flags=self.flags,
            position=position,
        )


class SealedTemplate(TemplatePublication):
    """A template of a sealed stream in its ring.

    Args:
        stream: see ``TemplatePublication``.
        timestamp: see ``TemplatePublication``.
        position: see ``TemplatePublication``.
        seal: seals it.
    """

    __slots__ = ("_seal", "_sealed")

    def __init__(
        self, stream: str, timestamp: int, outgoing: Outgoing, position: StreamPosition, seal: StreamSeal
    ) -> None:
        super().__init__(stream, timestamp, outgoing, position)
        self._seal = seal
        self._sealed: tuple[int, Outgoing] | None = None

    def outgoing(self, encoding: Encoding) -> Outgoing | None:
        """The frame for viewers of version 4, sealed with the present key; plain only where the policy says so."""
        if encoding.version < 4 or not encoding.sealed:
            return super().outgoing(encoding) if self._seal.offers_plain else None
        key = self._seal.key()
        if self._sealed is None or self._sealed[0] != key.id:
            sealed = verified(self._outgoing.frame).sealed(self._seal.sealer(OF_TEMPLATES))
            self._sealed = key.id, Outgoing(sealed, 0, self.timestamp, self.stream)
        return self._sealed[1]


@lru_cache(maxsize=1024)
def _of_message(encoding: Encoding, flags: int, compress: bool) -> Encoding:
    return encoding._replace(
        flags=encoding.flags & flags,
        compressed=encoding.compressed and compress,
        binary=encoding.binary or not compress,
        record=False,
        delta=False,
    )


@lru_cache(maxsize=1024)
def _of_record(encoding: Encoding, flags: int, may_filter: bool) -> Encoding:
    return encoding._replace(
        flags=encoding.flags & flags, compressed=False, binary=False, delta=encoding.delta and may_filter
    )


def _payload_start(outgoing: Outgoing) -> bytes:
    """The key id of a sealed frame."""
    size = 32 if outgoing.frame[0] >= 4 else 19
    return outgoing.frame[size : size + 4]

"""One published message, encoded once for each encoding that its viewers need."""

from __future__ import annotations

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

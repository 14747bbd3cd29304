# cython: binding=True
"""A complete frame with the fields of its header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Header, build_frame, flatten
from ..protocol import HEADER_SIZES, LARGEST_LENGTH, VERSIONS, Flag, Form, MessageType
from .header_values import check_timestamp

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .interfaces import PayloadSealer

__all__ = ["EncodedFrame", "describe_frame"]

# Plain integers: each frame uses them, and arithmetic on enum members runs Python code.
_ENCRYPTED = int(Flag.ENCRYPTED)
_SIGNED = int(Flag.SIGNED)
_TRANSFORMED = int(Flag.COMPRESSED | Flag.ENCRYPTED)
_RECORD = int(Form.RECORD)
# Tables of small numbers are bytes: their elements are C integers, those of a tuple are objects.
_TYPES: list[MessageType | None] = [None] * 256
for _member in MessageType:
    _TYPES[_member] = _member
_HEADER_SIZES = bytes(HEADER_SIZES.get(version, 0) for version in range(VERSIONS[-1] + 1))


class EncodedFrame:
    """A frame and the fields of its header, so that the code that passes it on does not have to parse it again.

    ``Codec.encode_frame``, ``PreparedFrame.finish`` and ``Codec.verify`` return it. It is immutable.

    Attributes:
        frame: the bytes of the frame.
        version: protocol version.
        type: type of the message.
        flags: flags of the header as an integer, including COMPRESSED if the payload is compressed.
        timestamp: microseconds since the Unix epoch; None before V3.
        nbytes: size of the payload in the frame, in bytes.
        packed: size of the payload before compression, in bytes; None if the frame was received compressed.
        form: form of the header as an integer; None before V4.
        stream_id: number of the stream, 0 for none; None before V4.
        sequence: number of the message in the stream, 0 for none; None before V4.
    """

    def __init__(
        self,
        frame: bytes,
        version: int,
        type: MessageType,
        flags: int,
        timestamp: int | None,
        nbytes: int,
        packed: int | None,
        form: int | None = None,
        stream_id: int | None = None,
        sequence: int | None = None,
    ) -> None:
        self.frame = frame
        self.version = version
        self.type = type
        self.flags = flags
        self.timestamp = timestamp
        self.nbytes = nbytes
        self.packed = packed
        self.form = form
        self.stream_id = stream_id
        self.sequence = sequence

    def __bytes__(self) -> bytes:
        return self.frame

    def __repr__(self) -> str:
        return f"EncodedFrame({self.type.name}, V{self.version}, {len(self.frame)} bytes, timestamp={self.timestamp})"

    def with_timestamp(self, timestamp: int) -> EncodedFrame:
        """Return a copy of the frame with another timestamp. The checksum stays: it does not cover the header.

        Raises:
            ValueError: the frame is of V1 or V2, or the timestamp is out of range.
        """
        if self.timestamp is None:
            raise ValueError(f"a V{self.version} frame has no timestamp")
        return self._with_header(self.version, timestamp, self.form, self.stream_id, self.sequence)

    def as_message(self, timestamp: int, form: int, stream_id: int, sequence: int) -> EncodedFrame:
        """Return the same payload in a frame of V4, as another message of a stream.

        Raises:
            ValueError: the frame is not of V4, or a number is out of range.
        """
        if self.version != 4:
            raise ValueError(f"{self!r} is not of V4")
        return self._with_header(4, timestamp, form, stream_id, sequence)

    def in_version_3(self) -> EncodedFrame:
        """Return the same MessagePack payload in a frame of V3, or the frame itself if it is one.

        Raises:
            ValueError: the frame is of V1 or V2, or its payload is a record.
        """
        if self.version == 3:
            return self
        if self.timestamp is None or (self.form or 0) & _RECORD:
            raise ValueError(f"{self!r} has no equivalent in V3")
        return self._with_header(3, self.timestamp)

    def in_version_4(self, stream_id: int, sequence: int) -> EncodedFrame:
        """Return the same MessagePack payload in a frame of V4, as a message of a stream.

        Raises:
            ValueError: the frame is not of V3.
        """
        if self.version != 3 or self.timestamp is None:
            raise ValueError(f"{self!r} is not of V3")
        return self._with_header(4, self.timestamp, 0, stream_id, sequence)

    def sealed(self, sealer: PayloadSealer) -> EncodedFrame:
        """Return the same message with its payload sealed.

        Args:
            sealer: that of the stream.

        Raises:
            ValueError: the frame is of V1 or V2, sealed already, or as ``Sealer.seal``.
        """
        if self.flags & _ENCRYPTED or self.timestamp is None:
            raise ValueError(
                f"{self!r} cannot be sealed: {'it is' if self.flags & _ENCRYPTED else 'only V3 and V4 can'}"
            )
        form = self.form or 0
        flat = flatten(self.frame)
        payload = flat.view(flat.nbytes - self.nbytes, flat.nbytes)
        sealed = sealer.seal(payload, version=self.version, type=self.type, flags=self.flags, form=form)
        flags = self.flags | _ENCRYPTED
        stream_id, sequence = self.stream_id or 0, self.sequence or 0
        frame = build_frame(self.version, self.type, flags, self.timestamp, sealed, form, stream_id, sequence)
        return EncodedFrame(
            frame,
            self.version,
            self.type,
            flags,
            self.timestamp,
            len(sealed),
            self.packed,
            self.form,
            self.stream_id,
            self.sequence,
        )

    def signed(self, trailer: Buffer) -> EncodedFrame:
        """Return the same message with a signature.

        Args:
            trailer: that of the payload, 72 bytes; see ``SigningKey.trailer``.

        Raises:
            ValueError: the frame is not of V4, or its payload is compressed, signed or sealed already.
        """
        if self.version < 4 or self.flags & (_TRANSFORMED | _SIGNED):
            raise ValueError(f"{self!r} cannot be signed: only plain frames of V4 can")
        flat = flatten(self.frame)
        payload = bytes(flat.view(flat.nbytes - self.nbytes, flat.nbytes)) + bytes(trailer)
        flags, stamp = self.flags | _SIGNED, self.timestamp or 0
        place = self.form or 0, self.stream_id or 0, self.sequence or 0
        frame = build_frame(self.version, self.type, flags, stamp, payload, *place)
        return EncodedFrame(frame, self.version, self.type, flags, stamp, len(payload), len(payload), *place)

    def _with_header(
        self,
        version: int,
        timestamp: int,
        form: int | None = None,
        stream_id: int | None = None,
        sequence: int | None = None,
    ) -> EncodedFrame:
        flat = flatten(self.frame)
        old = flat.header_at(0, LARGEST_LENGTH)
        stamp = check_timestamp(timestamp)
        numbering = form, stream_id, sequence
        header = Header(version, self.type, self.flags, self.nbytes, old.checksum, stamp, *numbering)
        frame = b"".join((bytes(header), flat.view(old.size, flat.nbytes)))
        return EncodedFrame(frame, version, self.type, self.flags, stamp, self.nbytes, self.packed, *numbering)


def describe_frame(
    frame: bytes,
    version: int,
    type: int,
    flags: int,
    stamp: int,
    packed: int,
    form: int,
    stream_id: int,
    sequence: int,
) -> EncodedFrame:
    """Return the frame with the fields of its header. ``packed`` may be -1 if the payload is not compressed."""
    member = _TYPES[type]
    assert member is not None, "the type was checked"
    nbytes = len(frame) - _HEADER_SIZES[version]
    if packed < 0:
        packed = nbytes
    if version < 4:
        return EncodedFrame(frame, version, member, flags, None if version < 3 else stamp, nbytes, packed)
    return EncodedFrame(frame, version, member, flags, stamp, nbytes, packed, form, stream_id, sequence)

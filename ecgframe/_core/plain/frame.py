"""Adds the header and the checksum to a packed payload.

The plain twin of ``frame.pyx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ...errors import MessageTooLarge
from ...protocol import HEADER_SIZES, LARGEST_LENGTH
from ._header import FlatBuffer, crc32, flatten, header_bytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PendingFrame", "build_frame", "pending_frame"]


@final
class PendingFrame:
    """A frame whose payload is packed and whose header is not written yet. It can be finished once.

    Args:
        room: size of the header, in bytes.
        payload: the packed payload.
        target: buffer into which ``finish`` also writes the frame, or None.
        offset: offset of the frame in the target.
    """

    __slots__ = ("_checksum", "_is_finished", "_offset", "_target", "payload", "room")

    def __init__(self, room: int, payload: bytes, target: FlatBuffer | None = None, offset: int = 0) -> None:
        self.room = room
        self.payload = memoryview(payload)
        self._target = target
        self._offset = offset
        self._is_finished = False
        self._checksum: int | None = None

    @property
    def nbytes(self) -> int:
        """Size of the payload, in bytes."""
        return self.payload.nbytes

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.payload

    def replace(self, deflated: Buffer) -> None:
        """Replace the packed payload in the caller's buffer by a shorter one."""
        flat = flatten(deflated)
        if self._target is None:
            raise ValueError("a frame in its own bytes object cannot be shortened; use build_frame")
        if flat.nbytes > self.nbytes:
            raise ValueError(f"{flat.nbytes} bytes do not fit in the place of {self.nbytes}")
        self.payload = flat.view(0, flat.nbytes)
        self._checksum = None

    def sum_now(self) -> None:
        """Compute the checksum, so that ``finish`` only has to write the header and copy the payload."""
        self._checksum = crc32(self.payload)

    def finish(
        self,
        version: int,
        type: int,
        flags: int,
        timestamp: int,
        form: int = 0,
        stream_id: int = 0,
        sequence: int = 0,
    ) -> bytes:
        """Compute the checksum, write the header, and return the frame."""
        if self._is_finished:
            raise ValueError("this frame has been finished before")
        if HEADER_SIZES[version] != self.room:
            raise ValueError(f"the frame leaves {self.room} bytes for a header; V{version} has {HEADER_SIZES[version]}")
        checksum = crc32(self.payload) if self._checksum is None else self._checksum
        header = header_bytes(
            version, type, flags, timestamp, form, stream_id, sequence, length=self.nbytes, checksum=checksum
        )
        frame = b"".join((header, self.payload))
        if self._target is not None:
            self._target.write(self._offset, frame)
        self._is_finished = True
        return frame


def build_frame(
    version: int,
    type: int,
    flags: int,
    timestamp: int,
    payload: Buffer,
    form: int = 0,
    stream_id: int = 0,
    sequence: int = 0,
) -> bytes:
    """Return a frame with a payload that is already packed and, if at all, compressed.

    Args:
        version: protocol version, which determines the size of the header.
        type: number of the message type.
        flags: the header's flags.
        timestamp: microseconds since the Unix epoch; ignored before V3.
        payload: any C-contiguous buffer, such as an ndarray.
        form: ``Form`` bits, the encoding of the payload; this and the next two are ignored before V4.
        stream_id: number of the stream, 0 for none.
        sequence: number of the message in the stream, 0 for none.
    """
    octets = _checked(payload)
    header = header_bytes(
        version, type, flags, timestamp, form, stream_id, sequence, length=octets.nbytes, checksum=crc32(octets)
    )
    return b"".join((header, octets))


def pending_frame(version: int, payload: Buffer) -> PendingFrame:
    """Return a pending frame with a copy of a payload that is already packed and, if at all, compressed.

    Args:
        version: protocol version, which determines the size of the header.
        payload: any C-contiguous buffer.
    """
    return PendingFrame(HEADER_SIZES[version], bytes(_checked(payload)))


def _checked(payload: Buffer) -> memoryview:
    flat = flatten(payload)
    octets = flat.view(0, flat.nbytes)
    if octets.nbytes > LARGEST_LENGTH:
        raise MessageTooLarge(f"a payload of {octets.nbytes} bytes; the header's length field ends at {LARGEST_LENGTH}")
    return octets

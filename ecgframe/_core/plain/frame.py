"""Frames to go out: a packed payload gets its sum and its header.

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
    """A frame whose payload is packed and whose header is still to be written, once, by ``seal``.

    Args:
        room: bytes that the header will take.
        payload: the packed payload.
        target: where ``seal`` writes the frame to, besides giving it away; None for nowhere.
        offset: byte of the target where the frame starts.
    """

    __slots__ = ("_checksum", "_offset", "_sealed", "_target", "payload", "room")

    def __init__(self, room: int, payload: bytes, target: FlatBuffer | None = None, offset: int = 0) -> None:
        self.room = room
        self.payload = memoryview(payload)
        self._target = target
        self._offset = offset
        self._sealed = False
        self._checksum: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return self.payload.nbytes

    def __buffer__(self, flags: int, /) -> memoryview:
        return self.payload

    def replace(self, deflated: Buffer) -> None:
        """Put a shorter payload in the place of the packed one, within the caller's buffer."""
        flat = flatten(deflated)
        if self._target is None:
            raise ValueError("a frame of its own bytes ends where they end; build_frame makes a shorter one")
        if flat.nbytes > self.nbytes:
            raise ValueError(f"{flat.nbytes} bytes do not fit in the place of {self.nbytes}")
        self.payload = flat.view(0, flat.nbytes)
        self._checksum = None

    def sum_now(self) -> None:
        """Sum the payload, so that ``seal`` has nothing left to do but the header, and a copy."""
        self._checksum = crc32(self.payload)

    def seal(self, version: int, type: int, flags: int, timestamp: int) -> bytes:
        """Sum the payload, write the header in front of it, and give the finished frame away."""
        if self._sealed:
            raise ValueError("this frame has been sealed before")
        if HEADER_SIZES[version] != self.room:
            raise ValueError(f"the frame leaves {self.room} bytes for a header; V{version} has {HEADER_SIZES[version]}")
        checksum = crc32(self.payload) if self._checksum is None else self._checksum
        header = header_bytes(version, type, flags, timestamp, length=self.nbytes, checksum=checksum)
        frame = b"".join((header, self.payload))
        if self._target is not None:
            self._target.write(self._offset, frame)
        self._sealed = True
        return frame


def build_frame(version: int, type: int, flags: int, timestamp: int, payload: Buffer) -> bytes:
    """One frame around a payload that is already as it shall travel.

    Args:
        version: protocol version, which says how long the header is.
        type: number of the message type.
        flags: the header's flags.
        timestamp: microseconds since the Unix epoch; ignored before V3.
        payload: any C-contiguous buffer; an ndarray's bytes are taken from where they lie.
    """
    octets = _checked(payload)
    header = header_bytes(version, type, flags, timestamp, length=octets.nbytes, checksum=crc32(octets))
    return b"".join((header, octets))


def pending_frame(version: int, payload: Buffer) -> PendingFrame:
    """A pending frame around a payload that is already as it shall travel, with a copy of it.

    Args:
        version: protocol version, which says how long the header is.
        payload: any C-contiguous buffer.
    """
    return PendingFrame(HEADER_SIZES[version], bytes(_checked(payload)))


def _checked(payload: Buffer) -> memoryview:
    flat = flatten(payload)
    octets = flat.view(0, flat.nbytes)
    if octets.nbytes > LARGEST_LENGTH:
        raise MessageTooLarge(f"a payload of {octets.nbytes} bytes; the header's length field ends at {LARGEST_LENGTH}")
    return octets

"""Reading consecutive frames from a file or a pipe of any size, in constant memory, past broken ones.

The file is read through a window, which grows only for a frame that is larger, so never beyond the largest payload
and a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from .._core import Header, flatten
from ..errors import ProtocolError
from ..protocol import DEFAULT_MAX_PAYLOAD, HEADER_SIZES, VERSIONS, Check, MessageType

WINDOW: Final = 1 << 20
"""Bytes that are read at a time."""

SEARCH: Final = 1 << 30
"""Bytes of a file that are checksummed at most to find the valid frames after broken ones. Without this limit, a file
that looks like the beginning of a frame everywhere would take very long."""

SEARCH_PER_BYTE: Final = 32
"""Further bytes for each byte of the file."""

_ATTEMPT: Final = 1024
"""Bytes that an attempt counts as, in addition to those that it checksums."""

_LONGEST_HEADER: Final = max(HEADER_SIZES.values())
_MAY_BEGIN: Final = re.compile(
    b"[" + re.escape(bytes(VERSIONS)) + b"][" + re.escape(bytes(sorted(MessageType))) + b"]", re.DOTALL
)
"""The first two bytes of a frame: version and type."""


@dataclass(slots=True)
class Stretch:
    """A frame, or the bytes between two valid frames. It is valid until the next one is read.

    Attributes:
        offset: position in the file, in bytes.
        header: header of a frame that passes checks 1 to 7; None for other bytes.
        fault: what reading the window gave for other bytes, with places in the window; None for a frame. Its code and
            its check are right, its text is not: see ``error``.
        octets: the bytes; if broken and longer than a window, the first ones.
        nbytes: number of bytes.
        fault_at: position in the window that the places in ``fault`` count from.
    """

    offset: int
    header: Header | None
    fault: ProtocolError | None
    octets: memoryview
    nbytes: int
    fault_at: int = 0

    @property
    def error(self) -> ProtocolError | None:
        """Why other bytes are not a valid frame, with places in the frame; None for a frame.

        Its text is completed on first access: of a file with a million faults, most are only counted.
        """
        if self.fault is not None and self.fault_at:
            _count_from_frame(self.fault, self.fault_at)
            self.fault_at = 0
        return self.fault


class FrameStream:
    """Reads frames from a file that need not be seekable.

    Args:
        file: file opened for reading bytes, buffered or not.
        max_payload: largest payload, in bytes.
        begun: bytes that were already read from the file.

    Attributes:
        gave_up: whether reading stopped before the end of the file, at the limit of the search for valid frames.
    """

    def __init__(self, file: BinaryIO, *, max_payload: int = DEFAULT_MAX_PAYLOAD, begun: bytes = b"") -> None:
        self._read = getattr(file, "read1", file.read)  # read1 returns what a pipe has, without waiting for more
        self._max_payload = max_payload
        self._window = begun
        self._flat = flatten(begun)
        self._base = 0
        self._is_all = False
        self._searched = 0
        self.gave_up = False

    @property
    def position(self) -> int:
        """Number of bytes that were read so far."""
        return self._base + len(self._window)

    def headers(self) -> Iterator[Header | Stretch]:
        """Yield the headers of valid frames, and a stretch for other bytes. Faster than ``stretches``."""
        offset = 0
        frame_at, limit, nbytes = self._flat.frame_at, self._max_payload, len(self._window)
        while offset < nbytes or not self._is_all:
            try:
                header = frame_at(offset, limit)
            except ProtocolError as error:
                if self._may_grow(offset, error):
                    offset = self._advance(offset)
                else:
                    stretch = self._broken(offset, error)
                    yield stretch
                    offset = stretch.offset + stretch.nbytes - self._base
                frame_at, nbytes = self._flat.frame_at, len(self._window)
            else:
                offset += header.size + header.length
                yield header

    def stretches(self) -> Iterator[Stretch]:
        """Yield all frames and the bytes between them, in the order of the file."""
        place = 0
        for found in self.headers():
            if isinstance(found, Stretch):
                place = found.offset + found.nbytes
                yield found
            else:
                nbytes = found.size + found.length
                start = place - self._base
                yield Stretch(place, found, None, self._flat.view(start, start + nbytes), nbytes)
                place += nbytes

    def _may_grow(self, offset: int, error: ProtocolError) -> bool:
        """Return whether the frame may be valid once the window reaches further."""
        return not self._is_all and error.check in (Check.HEADER, Check.LENGTH)

    def _advance(self, offset: int) -> int:
        """Move the window to begin at the offset and reach further; return the offset in the new window."""
        pieces = [self._window[offset:]]
        missing = self._wanted(pieces[0]) - len(pieces[0])
        while more := self._read(WINDOW):
            pieces.append(more)
            missing -= len(more)
            if missing <= 0:
                break
        else:
            self._is_all = True
        if len(pieces) == 1:
            return offset
        self._base += offset
        self._window = b"".join(pieces)
        self._flat = flatten(self._window)
        return 0

    def _wanted(self, rest: bytes) -> int:
        """Return the size of the frame at the beginning; 0 if its header is incomplete or invalid."""
        try:
            header = flatten(rest).header_at(0, self._max_payload)
        except ProtocolError:
            return 0
        return header.size + header.length

    def _broken(self, offset: int, error: ProtocolError) -> Stretch:
        """Return the stretch from the offset to the next valid frame."""
        place, fault_at = self._base + offset, offset
        if error.check == Check.CHECKSUM:  # the length may be right: then the frame ends where the next begins
            header = self._flat.header_at(offset, self._max_payload)
            nbytes = header.size + header.length
            while len(self._window) < offset + nbytes + _LONGEST_HEADER and not self._is_all:
                offset = self._advance(offset)
            if self._is_followed(offset + nbytes):
                return Stretch(place, None, error, self._flat.view(offset, offset + nbytes), nbytes, fault_at)
        octets = self._window[offset : offset + WINDOW]
        stop = self._next_good(offset + 1)
        nbytes = self._base + stop - place
        return Stretch(place, None, error, memoryview(octets)[:nbytes], nbytes, fault_at)

    def _is_followed(self, offset: int) -> bool:
        """Return whether a valid header or the end of the file is at the offset."""
        if offset == len(self._window):
            return True
        try:
            self._flat.header_at(offset, self._max_payload)
        except ProtocolError:
            return False
        return True

    def _next_good(self, offset: int) -> int:
        """Return the offset of the next valid frame, or of the end."""
        while self._searched < SEARCH + SEARCH_PER_BYTE * self.position:
            begin = _MAY_BEGIN.search(self._window, offset)
            if begin is None:
                offset = max(len(self._window) - 1, offset)  # the last byte may be the first of a frame
                if not self._is_all:
                    offset = self._advance(offset)
                    continue
                return len(self._window)
            offset = begin.start()
            try:
                self._flat.frame_at(offset, self._max_payload)
            except ProtocolError as error:
                if self._may_grow(offset, error):
                    offset = self._advance(offset)
                    continue
                self._searched += _ATTEMPT
                if error.check == Check.CHECKSUM:
                    self._searched += self._flat.header_at(offset, self._max_payload).length
                offset += 1
            else:
                return offset
        self.gave_up = self._is_all = True
        return len(self._window)


def _count_from_frame(error: ProtocolError, offset: int) -> None:
    """Make the offset of the error relative to the frame instead of the window, also in its text."""
    if error.offset is not None:
        place = error.offset - offset
        error.args = (str(error).replace(f"(byte {error.offset})", f"(byte {place})"),)
        error.offset = place

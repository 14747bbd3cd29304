"""Frames laid end to end in a file or a pipe of any size, in constant memory; behind a broken one, the next good one.

The file is read through a window. A window grows only for a frame that is larger than it, so never beyond the limit
of a payload and a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from .._core import Header, flatten
from ..errors import ProtocolError
from ..protocol import DEFAULT_MAX_PAYLOAD, HEADER_SIZES, LATEST_VERSION, VERSIONS, Check, MessageType

WINDOW: Final = 1 << 20
"""Bytes that are read at once."""

SEARCH: Final = 1 << 30
"""Bytes that are summed at most to find the frame behind a broken one: bytes that look like frames everywhere would
otherwise take for ever."""

_LONGEST_HEADER: Final = HEADER_SIZES[LATEST_VERSION]
_MAY_BEGIN: Final = re.compile(
    b"[" + re.escape(bytes(VERSIONS)) + b"][" + re.escape(bytes(sorted(MessageType))) + b"]", re.DOTALL
)
"""What a frame's first two bytes are."""


@dataclass(slots=True)
class Stretch:
    """A frame, or what stands between two good ones. It is good until the next one is asked for.

    Attributes:
        offset: byte of the file at which it begins.
        header: of a frame that passes the checks 1 to 7; None for anything else.
        error: what is wrong with it.
        octets: its bytes; of something broken that is longer than a window, the first ones.
        nbytes: how many it has.
    """

    offset: int
    header: Header | None
    error: ProtocolError | None
    octets: memoryview
    nbytes: int


class FrameStream:
    """Reads frames from a file that need not be seekable.

    Args:
        file: opened for reading bytes, unbuffered or not.
        max_payload: bytes that a payload may have.
        begun: bytes that were read from it already.

    Attributes:
        gave_up: whether the end was not reached, since no frame was found for too long.
    """

    def __init__(self, file: BinaryIO, *, max_payload: int = DEFAULT_MAX_PAYLOAD, begun: bytes = b"") -> None:
        self._read = getattr(file, "read1", file.read)  # what a pipe has by now, where it can be had
        self._max_payload = max_payload
        self._window = begun
        self._flat = flatten(begun)
        self._base = 0
        self._is_all = False
        self.gave_up = False

    @property
    def position(self) -> int:
        """Bytes that were read so far."""
        return self._base + len(self._window)

    def headers(self) -> Iterator[Header | Stretch]:
        """The headers of good frames, and a stretch for what is broken. The quick way, for counting."""
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
        """All frames with their bytes, good and broken, in the order of the file."""
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
        """Whether the error is only that the window ends here."""
        return not self._is_all and error.check in (Check.HEADER, Check.LENGTH)

    def _advance(self, offset: int) -> int:
        """Move the window so that it begins at the offset, and reaches further. Gives the offset in the new one."""
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
        """Bytes that the frame at the beginning has, if it tells."""
        try:
            header = flatten(rest).header_at(0, self._max_payload)
        except ProtocolError:
            return 0
        return header.size + header.length

    def _broken(self, offset: int, error: ProtocolError) -> Stretch:
        """What stands from there to the next good frame."""
        error = _told_of_the_frame(error, offset)
        place = self._base + offset
        if error.check == Check.CHECKSUM:  # its length may be right
            header = self._flat.header_at(offset, self._max_payload)
            nbytes = header.size + header.length
            while len(self._window) < offset + nbytes + _LONGEST_HEADER and not self._is_all:
                offset = self._advance(offset)
            if self._is_followed(offset + nbytes):
                return Stretch(place, None, error, self._flat.view(offset, offset + nbytes), nbytes)
        octets = self._window[offset : offset + WINDOW]
        stop = self._next_good(offset + 1)
        nbytes = self._base + stop - place
        return Stretch(place, None, error, memoryview(octets)[:nbytes], nbytes)

    def _is_followed(self, offset: int) -> bool:
        """Whether a header follows there, or the end."""
        if offset == len(self._window):
            return True
        try:
            self._flat.header_at(offset, self._max_payload)
        except ProtocolError:
            return False
        return True

    def _next_good(self, offset: int) -> int:
        """The offset of the next frame that is whole, or of the end."""
        left = SEARCH
        while left > 0:
            begin = _MAY_BEGIN.search(self._window, offset)
            if begin is None:
                offset = max(len(self._window) - 1, offset)  # the last byte may be a first one
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
                left -= 1 if error.check != Check.CHECKSUM else self._flat.header_at(offset, self._max_payload).length
                offset += 1
            else:
                return offset
        self.gave_up = self._is_all = True
        return len(self._window)


def _told_of_the_frame(error: ProtocolError, offset: int) -> ProtocolError:
    """The error with the bytes of the frame, not of the window, counted."""
    if error.offset is None or not offset:
        return error
    text = str(error).replace(f"(byte {error.offset})", f"(byte {error.offset - offset})")
    return type(error)(text, check=error.check, path=error.path, offset=error.offset - offset)

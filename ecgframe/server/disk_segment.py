"""One file of a history on disk: consecutive frames of one stream, and what is damaged in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from .._core import flatten
from ..codec import Codec, EncodedFrame
from ..errors import ProtocolError
from ..protocol import DEFAULT_VERSION, LARGEST_LENGTH, STANDALONE_VERSIONS

SUFFIX: Final = ".frames"

_NAME: Final = re.compile(
    rf"(?P<first>0|[1-9][0-9]{{0,18}})(-(?P<lost>[1-9][0-9]{{0,9}}))?{re.escape(SUFFIX)}", re.ASCII
)

SEGMENT_SECONDS: Final = 60.0
"""Seconds of signal in a file."""

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""Bytes at which a file gets no further frame."""

_FIRST_BYTE: Final = bytes([DEFAULT_VERSION])
"""With this byte, the version, the frames of a history begin."""

_READER: Final = Codec(max_payload=LARGEST_LENGTH, versions=STANDALONE_VERSIONS)


@dataclass(slots=True)
class Segment:
    """A file of the history.

    Attributes:
        folder: that of the stream.
        first: timestamp of its first message, in microseconds since 1970.
        nbytes: its size.
        lost: number of messages just before the first one that were not kept.
    """

    folder: Path
    first: int
    nbytes: int
    lost: int = 0

    @property
    def path(self) -> Path:
        """Its path: the timestamp, and the number of lost messages if there are any."""
        return self.folder / f"{self.first}{f'-{self.lost}' if self.lost else ''}{SUFFIX}"

    def takes(self, timestamp: int) -> bool:
        """Return whether a message with that timestamp goes into the file, or into the next one."""
        return self.nbytes < SEGMENT_BYTES and timestamp - self.first < SEGMENT_SECONDS * 1e6


class NumberedFrame(NamedTuple):
    """A frame of a segment.

    Attributes:
        number: its number in the segment, from 1 on. What is damaged has numbers, too.
        encoded: the frame.
    """

    number: int
    encoded: EncodedFrame

    @property
    def timestamp(self) -> int:
        """Timestamp of the message, in microseconds since 1970."""
        return self.encoded.timestamp or 0


class SegmentFrames(NamedTuple):
    """The contents of a segment.

    Attributes:
        frames: those that are whole.
        end: the number after the last message.
        damaged: number of messages that are not whole, at least: a stretch that cannot be read counts as one.
    """

    frames: list[NumberedFrame]
    end: int
    damaged: int


def segments_in(folder: Path) -> list[Segment]:
    """Find the segments of a stream, the oldest first. Files with other names are left alone.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for entry in os.scandir(folder):
        name = _NAME.fullmatch(entry.name)
        if name is not None and entry.is_file(follow_symlinks=False):
            nbytes = entry.stat(follow_symlinks=False).st_size
            found.append(Segment(folder, int(name["first"]), nbytes, int(name["lost"] or 0)))
    return sorted(found, key=lambda segment: segment.first)


def read_segment(path: Path, most: int) -> SegmentFrames:
    """Read a segment, and skip what is damaged.

    Args:
        path: the file.
        most: bytes that are read; of a larger file, the rest counts as damaged.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(most)
        is_cut = bool(file.read(1))
    frames: list[NumberedFrame] = []
    damaged = 0
    for encoded in _frames(content):
        if encoded is None:
            damaged += 1
        else:
            frames.append(NumberedFrame(len(frames) + damaged + 1, encoded))
    damaged += is_cut
    return SegmentFrames(frames, len(frames) + damaged + 1, damaged)


def _frames(content: bytes) -> Iterator[EncodedFrame | None]:
    """Yield the frames, and None for each stretch that is none."""
    flat, offset = flatten(content), 0
    while offset < len(content):
        try:
            header = flat.frame_at(offset, LARGEST_LENGTH)
            stop = offset + header.size + header.length
            encoded = _READER.verify(content[offset:stop])
            if encoded.timestamp is None:
                raise ValueError("a frame without a time")
            yield encoded
            offset = stop
        except (ProtocolError, ValueError):
            yield None
            offset = _next_frame(content, offset + 1)


def _next_frame(content: bytes, offset: int) -> int:
    """Find the next place at which a frame begins that is whole; the end if there is none."""
    flat = flatten(content)
    while (offset := content.find(_FIRST_BYTE, offset)) >= 0:
        try:
            flat.frame_at(offset, LARGEST_LENGTH)
        except ProtocolError:
            offset += 1
        else:
            return offset
    return len(content)

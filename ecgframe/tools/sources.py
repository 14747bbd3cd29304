"""Sources of frames on the command line: files of frames, captures, hexadecimal digits, standard input."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, cast

from ..protocol import DEFAULT_MAX_PAYLOAD, ErrorCode
from ..records.compressed import compression_of
from . import ToolError
from .budget import WORK_PER_BROKEN, WORK_PER_MESSAGE, Budget
from .capture.pcap_file import MAGIC
from .frame_analysis import is_fatal
from .frame_stream import FrameStream
from .hex_text import read_hex
from .observation import Delivery, Observation, Remark

STDIN: Final = "-"

_FIRST_BYTES: Final = 4096
"""Bytes by which the format is determined."""
_PORTION: Final = 1 << 20
"""Bytes of text that are read at a time."""
_SMALL_FRAME: Final = 256
"""Largest frame or message, in bytes, that is only counted once the budget of the file is used up."""
_TEXT: Final = frozenset(range(32, 127)) | {9, 10, 13}
"""Bytes of printable ASCII text, with tabs and line ends."""


class SourceError(ToolError):
    """A source does not exist, or has an unknown format."""


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Consecutive frames.

    Attributes:
        name: the name that the user gave.
        frames: reads the frames.
        nbytes: size in bytes, if known.
        budget: limits the work that the source may cause.
    """

    name: str
    frames: FrameStream
    nbytes: int | None
    budget: Budget = field(default_factory=Budget)

    def observations(self) -> Iterator[Observation]:
        """Yield each frame as a delivery, and a remark after bytes that are not frames.

        Once the budget is used up, small frames are only counted, valid or broken. The last remarks say how many.
        """
        passed = 0
        broken: Counter[ErrorCode] = Counter()
        for stretch in self.frames.stretches():
            self.budget.nbytes += stretch.nbytes
            if stretch.nbytes <= _SMALL_FRAME and not self.budget.may_work:
                if stretch.fault is None:
                    passed += 1
                else:
                    broken[stretch.fault.code] += 1
                continue
            if stretch.fault is not None:
                self.budget.work += WORK_PER_BROKEN
            yield Delivery(bytes(stretch.octets), offset=stretch.offset, fault=stretch.error)
            if stretch.fault is not None and is_fatal(stretch.fault):
                end = stretch.offset + stretch.nbytes
                yield Remark(f"{stretch.nbytes:,} bytes are not frames, from byte {stretch.offset:,} to {end:,}")
        if passed:
            text = f"{passed:,} more small frames have valid headers and checksums, but were not decoded"
            yield Remark(text, is_fault=True)
        for code, count in sorted(broken.items()):
            text = f"{count:,} more small frames are broken, with 0x{code:03x} {code.name}; they were only counted"
            yield Remark(text, is_fault=True)
        if self.frames.gave_up:
            yield Remark("too many bytes without a valid frame; the rest of the file was not read", is_fault=True)


@dataclass(frozen=True, slots=True)
class CaptureSource:
    """A network capture, or a recording of ``ecgframe proxy``.

    Attributes:
        name: the name that the user gave.
        file: file opened for reading bytes.
        nbytes: size in bytes, if known.
        budget: limits the work that the source may cause.
    """

    name: str
    file: BinaryIO
    nbytes: int | None
    budget: Budget = field(default_factory=Budget)

    def observations(self) -> Iterator[Observation]:
        """Yield the WebSocket messages in the capture. Raises the same as ``read_capture``.

        Once the budget is used up, small messages are only counted, and of messages of several frames, the first one is
        read. The last remarks say how many, and how many bytes were not read.
        """
        from .capture.pcap import read_capture  # noqa: PLC0415 - needs websockets

        passed = 0
        for one in read_capture(self.file, self.budget):
            if isinstance(one, Delivery):
                if len(one.octets) <= _SMALL_FRAME and not self.budget.may_work:
                    passed += 1
                    continue
                self.budget.work += WORK_PER_MESSAGE
            yield one
        if passed:
            text = f"{passed:,} more small messages were not decoded: the source has too many values for its size"
            yield Remark(text, is_fault=True)
        if self.budget.passed_over:
            text = f"{self.budget.passed_over:,} bytes of messages with several frames were not read after their first"
            yield Remark(f"{text} frame: the source has too many values for its size", is_fault=True)


Source = FrameSource | CaptureSource


@contextmanager
def open_source(text: str, stdin: BinaryIO, *, max_payload: int = DEFAULT_MAX_PAYLOAD) -> Iterator[Source]:
    """Open the source that the text names: ``-``, a path, or hexadecimal digits.

    Args:
        text: the argument of the user.
        stdin: standard input, for ``-``.
        max_payload: largest payload, in bytes, that counts as valid.

    Raises:
        SourceError: there is no such file and the text is not hexadecimal, or the source is empty, compressed or
            unknown text.
        OSError: the file cannot be read.
    """
    path = Path(text)
    if text == STDIN:
        yield _detect_format("standard input", stdin, None, max_payload)
    elif _exists(path):
        if path.is_dir():
            raise SourceError(f"{text} is a folder")
        with path.open("rb", buffering=0) as file:
            yield _detect_format(text, file, path.stat().st_size, max_payload)
    else:
        octets = read_hex([text.encode("utf-8", "surrogateescape")])
        if octets is None:
            raise SourceError(f"{text}: there is no such file, and it is neither a ws:// address nor hexadecimal")
        yield FrameSource("the digits", _frames(octets, max_payload), len(octets))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a file name
        return False


def _detect_format(name: str, file: BinaryIO, nbytes: int | None, max_payload: int) -> Source:
    """Return the source that the first bytes of a file indicate."""
    begin = _read(file, _FIRST_BYTES)
    if not begin:
        raise SourceError(f"{name} is empty")
    if packed := compression_of(begin):
        raise SourceError(f"{name}: {packed}")
    if begin.startswith(MAGIC):
        return CaptureSource(name, cast("BinaryIO", io.BufferedReader(_Rejoined(begin, file))), nbytes)
    if set(begin) <= _TEXT:
        octets = read_hex(chain([begin], iter(partial(_read, file, _PORTION), b"")))
        if octets is None:
            raise SourceError(f"{name} is text, neither frames nor hexadecimal digits: {_quoted(begin)}")
        return FrameSource(name, _frames(octets, max_payload), len(octets))
    return FrameSource(name, FrameStream(file, max_payload=max_payload, begun=begin), nbytes)


def _read(file: BinaryIO, nbytes: int) -> bytes:
    read = getattr(file, "read1", file.read)
    return cast("bytes", read(nbytes))


def _frames(octets: bytes, max_payload: int) -> FrameStream:
    return FrameStream(io.BytesIO(octets), max_payload=max_payload)


def _quoted(begin: bytes) -> str:
    first = begin[:40].decode("latin-1").splitlines()[0]
    return f'it begins with "{first}"'


class _Rejoined(io.RawIOBase):
    """A file, with the bytes that were already read put back in front."""

    def __init__(self, begin: bytes, file: BinaryIO) -> None:
        self._begin = begin
        self._file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read the next bytes."""
        octets = self._begin[: len(buffer)] or _read(self._file, len(buffer))
        self._begin = self._begin[len(octets) :]
        buffer[: len(octets)] = octets
        return len(octets)

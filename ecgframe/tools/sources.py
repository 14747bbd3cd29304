"""What a person names as a source: a file of frames, a capture, hexadecimal digits, standard input."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from ..protocol import DEFAULT_MAX_PAYLOAD
from . import ToolError
from .capture.pcap import is_capture, read_capture
from .frame_analysis import is_fatal
from .frame_stream import FrameStream
from .observation import Delivery, Observation, Remark

STDIN: Final = "-"

_SNIFFED: Final = 4096
_HEX_LINE: Final = re.compile(r"\s*((?:[0-9a-f]{2}[ :,]?)+)(?:\s+.*)?", re.IGNORECASE)
"""A line of digits in pairs, with words behind them as in docs/protocol.md."""
_TEXT: Final = frozenset(range(32, 127)) | {9, 10, 13}


class SourceError(ToolError):
    """A source that is not there, or not what it was taken for."""


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Frames laid end to end.

    Attributes:
        name: as the person gave it.
        frames: reads them.
        nbytes: how many there are, if that is known.
    """

    name: str
    frames: FrameStream
    nbytes: int | None

    def observations(self) -> Iterator[Observation]:
        """Each frame as a delivery of its own, and a remark behind each stretch that is none."""
        for stretch in self.frames.stretches():
            yield Delivery(bytes(stretch.octets), offset=stretch.offset, fault=stretch.error)
            if stretch.error is not None and is_fatal(stretch.error):
                end = stretch.offset + stretch.nbytes
                yield Remark(f"{stretch.nbytes:,} bytes are no frames, from byte {stretch.offset:,} to {end:,}")
        if self.frames.gave_up:
            yield Remark("no frame was found for too long; what follows was not read", is_fault=True)


@dataclass(frozen=True, slots=True)
class CaptureSource:
    """A capture of the network, or a recording of ``ecgframe proxy``.

    Attributes:
        name: as the person gave it.
        file: opened for reading.
        nbytes: how large it is, if that is known.
    """

    name: str
    file: BinaryIO
    nbytes: int | None

    def observations(self) -> Iterator[Observation]:
        """The WebSocket messages in it. Raises as ``read_capture`` does."""
        return read_capture(self.file)


Source = FrameSource | CaptureSource


@contextmanager
def open_source(text: str, stdin: BinaryIO, *, max_payload: int = DEFAULT_MAX_PAYLOAD) -> Iterator[Source]:
    """The source that the text names: ``-``, a path, or hexadecimal digits. It is closed in the end.

    Args:
        text: what the person wrote.
        stdin: standard input.
        max_payload: the receiver's limit, in bytes.

    Raises:
        SourceError: there is no such file, and the text is no hexadecimal; or there is nothing in it.
        OSError: the file cannot be read.
    """
    path = Path(text)
    if text == STDIN:
        yield _sniffed("standard input", stdin, None, max_payload)
    elif _exists(path):
        if path.is_dir():
            raise SourceError(f"{text} is a folder")
        with path.open("rb", buffering=0) as file:
            yield _sniffed(text, file, path.stat().st_size, max_payload)
    else:
        octets = _from_hex(text)
        if octets is None:
            raise SourceError(f"{text}: there is no such file, and it is neither a ws:// address nor hexadecimal")
        yield FrameSource("the digits", _frames(octets, max_payload), len(octets))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name: digits
        return False


def _sniffed(name: str, file: BinaryIO, nbytes: int | None, max_payload: int) -> Source:
    """What the first bytes tell."""
    begin = _read(file, _SNIFFED)
    if not begin:
        raise SourceError(f"{name} is empty")
    if is_capture(begin):
        return CaptureSource(name, cast("BinaryIO", io.BufferedReader(_Rejoined(begin, file))), nbytes)
    if set(begin) <= _TEXT:
        octets = _from_hex((begin + file.read()).decode("latin-1"))
        if octets is None:
            raise SourceError(f"{name} is text, neither frames nor their hexadecimal: {_quoted(begin)}")
        return FrameSource(name, _frames(octets, max_payload), len(octets))
    return FrameSource(name, FrameStream(file, max_payload=max_payload, begun=begin), nbytes)


def _read(file: BinaryIO, nbytes: int) -> bytes:
    read = getattr(file, "read1", file.read)
    return cast("bytes", read(nbytes))


def _frames(octets: bytes, max_payload: int) -> FrameStream:
    return FrameStream(io.BytesIO(octets), max_payload=max_payload)


def _from_hex(text: str) -> bytes | None:
    """The bytes that hexadecimal digits say, or None where it is something else."""
    octets = b""
    for line in text.replace("0x", "").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _HEX_LINE.fullmatch(line)
        if match is None:
            return None
        octets += bytes.fromhex(re.sub(r"[ :,]", "", match[1]))
    return octets or None


def _quoted(begin: bytes) -> str:
    first = begin[:40].decode("latin-1").splitlines()[0]
    return f'it begins with "{first}"'


class _Rejoined(io.RawIOBase):
    """A file with the bytes in front that were read from it already."""

    def __init__(self, begin: bytes, file: BinaryIO) -> None:
        self._begin = begin
        self._file = file

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes."""
        octets = self._begin[: len(buffer)] or _read(self._file, len(buffer))
        self._begin = self._begin[len(octets) :]
        buffer[: len(octets)] = octets
        return len(octets)

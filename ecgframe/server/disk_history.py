"""The history of streams on disk: it reaches further back than the memory, and outlasts the server.

Each stream has a folder with files of frames, a minute each, which every tool for files of frames reads. A thread
writes what was published, once a second, and reads what viewers ask for.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from ..protocol import LARGEST_SEQUENCE
from .disk_segment import (
    SEGMENT_BYTES,
    SEGMENT_SECONDS,
    NumberedFrame,
    Segment,
    read_segment,
    segments_in,
)
from .logs import logger

__all__ = ["DiskHistory", "HistoryBusy", "Piece"]

BETWEEN_WRITES: Final = 1.0
"""Seconds from one write to the next: so much is lost at most if the process is killed."""

MOST_WAITING: Final = 64 * 1024 * 1024
"""Bytes that wait to be written. While the disk is slower, further messages are not kept."""

MOST_READ: Final = 256 * 1024 * 1024
"""Bytes of files that are being sent to viewers."""

_LONGEST_FOLDER: Final = 160
_FULL: Final = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_LOCK: Final = "in-use"


class HistoryBusy(RuntimeError):
    """Too much is being sent from disk. The message is for the viewer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Piece(NamedTuple):
    """A part of the history of a stream: messages of one file.

    Attributes:
        epoch: of the numbers of its messages.
        next: the number from which on messages are expected; earlier messages than the first one were damaged.
        frames: the messages in the range.
        end: the number after the last message.
        more: the time from which there are more in the range, in microseconds since 1970; None if there are none.
        nbytes: bytes of memory that it takes. To be given back with ``DiskHistory.release``.
    """

    epoch: int
    next: int
    frames: list[NumberedFrame]
    end: int
    more: int | None
    nbytes: int


class Waiting(NamedTuple):
    """A message that is to be written.

    Attributes:
        stream: name of the stream.
        timestamp: in microseconds since 1970.
        frame: the message as a frame.
        lost: number of messages of the stream just before it that were not kept.
    """

    stream: str
    timestamp: int
    frame: bytes
    lost: int


class DiskHistory:
    """Keeps the messages of streams in a folder, up to an age and a size. Nobody but its owner may read it.

    Args:
        folder: the folder, which is made if it is not there. What else it contains is left alone.
        hours: age at which messages are deleted.
        nbytes: bytes of all files, beyond which the oldest are deleted.

    Attributes:
        written: number of messages that were written.
        dropped: number of messages that were not kept, as the disk was full or too slow.
        damaged: number of messages that could not be read.
        nbytes: bytes of all files.

    Raises:
        ValueError: another server uses the folder.
        OSError: the folder cannot be made, read or written to.
    """

    def __init__(self, folder: str | os.PathLike[str], *, hours: float = 24.0, nbytes: int = 4_000_000_000) -> None:
        self.written = self.dropped = self.damaged = self.nbytes = 0
        self._folder = Path(folder)
        self._seconds = 3600 * hours
        self._limit = nbytes
        self._segments: dict[str, deque[Segment]] = {}  # by the name of the folder
        self._current: dict[str, Segment] = {}
        self._latest: dict[str, int] = {}
        self._waiting: list[Waiting] = []
        self._lost: dict[str, int] = {}  # by stream: messages since the last one that waits
        self._unwritten: dict[Path, int] = {}  # by folder: messages since the last one that was written
        self._waiting_bytes = self._reading_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._told: set[str] = set()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(self._folder)
        for entry in sorted(self._folder.iterdir()):
            if entry.is_dir() and (found := segments_in(entry)):
                self._segments[entry.name] = deque(found)
                self.nbytes += sum(segment.nbytes for segment in found)
        self._thread = ThreadPoolExecutor(1, "ecgframe-history")
        self._trim()

    def describe(self) -> str:
        """Describe where it is kept, and its bounds."""
        kept = f", with {self.nbytes / 1e6:,.0f} MB from before" if self.nbytes else ""
        return (
            f"what is published is kept in {self._folder} for {self._seconds / 3600:g} hours, "
            f"up to {self._limit / 1e6:,.0f} MB{kept}; for viewers of version 4"
        )

    def stats(self) -> dict[str, int]:
        """Numbers for an operator."""
        return {
            "bytes": self.nbytes,
            "written": self.written,
            "dropped": self.dropped,
            "damaged": self.damaged,
        }

    def add(self, stream: str, timestamp: int, frame: bytes) -> None:
        """Keep a message. It is written within a second or so.

        Args:
            stream: name of the stream.
            timestamp: in microseconds since 1970.
            frame: the message as a frame.
        """
        if self._waiting_bytes + len(frame) > MOST_WAITING:
            self.dropped += 1
            self._lost[stream] = self._lost.get(stream, 0) + 1
            self._tell_once("the disk of the history is too slow: messages are not kept")
            return
        self._waiting.append(Waiting(stream, timestamp, frame, self._lost.pop(stream, 0)))
        self._waiting_bytes += len(frame)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BETWEEN_WRITES, self._begin_write)

    def skip(self, stream: str) -> None:
        """Note that a sealed stream is not kept: it would lie on the disk in plain, or nobody could open it."""
        self._tell_once(f"the stream {stream!r} is sealed, and not kept on disk")

    async def read(self, stream: str, start: int, stop: int) -> Piece | None:
        """Read the first messages of a range of time.

        Args:
            stream: name of the stream.
            start: in microseconds since 1970.
            stop: the same; included.

        Returns:
            None if there are none.

        Raises:
            HistoryBusy: too much is being sent.
        """
        if self._reading_bytes + SEGMENT_BYTES > MOST_READ:
            raise HistoryBusy("too much is being sent from the history on disk; try again")
        self._reading_bytes += SEGMENT_BYTES
        try:
            self._begin_write()
            piece = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, stream, start, stop)
        except BaseException:
            self._reading_bytes -= SEGMENT_BYTES
            raise
        if piece is None:
            self._reading_bytes -= SEGMENT_BYTES
        return piece

    def release(self, piece: Piece) -> None:
        """Give back the memory of a piece that was sent."""
        self._reading_bytes -= piece.nbytes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Write what waits, and let another server use the folder."""
        self._begin_write()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._unlock)
        self._thread.shutdown()

    # --- in the thread ---

    def _begin_write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._thread.submit(self._write, waiting)

    def _write(self, waiting: list[Waiting]) -> None:
        try:
            by_segment: dict[int, tuple[Segment, list[bytes]]] = {}
            for message in waiting:
                segment = self._segment_for(message)
                segment.nbytes += len(message.frame)
                self.nbytes += len(message.frame)
                by_segment.setdefault(id(segment), (segment, []))[1].append(message.frame)
            for segment, frames in by_segment.values():
                self._append(segment, frames)
            self._trim()
        except Exception:
            logger.exception("the history on disk failed")

    def _segment_for(self, message: Waiting) -> Segment:
        """Return the file in which a message belongs.

        It is a new one if the latest is full, if a clock went back, or if messages before this one are lost.
        """
        folder, timestamp = folder_of(message.stream), message.timestamp
        segment = self._current.get(folder)
        goes_on = timestamp > self._latest.get(folder, 0)
        self._latest[folder] = timestamp
        if segment is not None and goes_on and not message.lost and segment.takes(timestamp):
            return segment
        segment = self._current[folder] = Segment(self._folder / folder, timestamp, 0, message.lost)
        kept = self._segments.setdefault(folder, deque())
        kept.append(segment)
        if not goes_on:
            self._segments[folder] = deque(sorted(kept, key=lambda one: one.first))
        return segment

    def _append(self, segment: Segment, frames: list[bytes]) -> None:
        """Append frames to a file. If the disk is full, the oldest files are deleted."""
        joined = b"".join(frames)
        is_new = segment.nbytes == len(joined)
        if is_new:
            segment.lost += self._unwritten.pop(segment.folder, 0)
        while True:
            try:
                _append(segment.path, joined)
            except OSError as error:
                if error.errno in _FULL and self._delete_oldest(but=segment):
                    self._tell_once(f"{segment.path}: {error.strerror}: the oldest history is deleted")
                    continue
                segment.nbytes -= len(joined)
                self.nbytes -= len(joined)
                self.dropped += len(frames)
                lost = len(frames) + (segment.lost if is_new else 0)
                self._unwritten[segment.folder] = self._unwritten.get(segment.folder, 0) + lost
                if is_new:
                    self._delete(segment.folder.name, segment)
                else:
                    self._current.pop(segment.folder.name, None)  # the next file has the number of those lost
                self._tell_once(f"{segment.folder}: {error.strerror}: messages are not kept")
            else:
                self.written += len(frames)
            return

    def _trim(self) -> None:
        """Delete what is too old, or beyond the size."""
        before = (time.time() - self._seconds) * 1e6
        for folder, kept in list(self._segments.items()):
            while kept and kept[0].first + SEGMENT_SECONDS * 1e6 < before and kept[0] is not self._current.get(folder):
                self._delete(folder, kept[0])
        while self.nbytes > self._limit and self._delete_oldest():
            self._tell_once(
                f"{self._folder}: the history has {self._limit:,} bytes, so it reaches less than "
                f"{self._seconds / 3600:g} hours back; the oldest is deleted"
            )

    def _delete_oldest(self, but: Segment | None = None) -> bool:
        """Delete the oldest file of all streams. Returns False if there is none but the given one."""
        kept = [(ones[0].first, folder) for folder, ones in self._segments.items() if ones and ones[0] is not but]
        if not kept:
            return False
        folder = min(kept)[1]
        self._delete(folder, self._segments[folder][0])
        return True

    def _delete(self, folder: str, segment: Segment) -> None:
        self._segments[folder].remove(segment)
        self.nbytes -= segment.nbytes
        if self._current.get(folder) is segment:
            del self._current[folder]
        try:
            segment.path.unlink(missing_ok=True)
            if not self._segments[folder]:
                del self._segments[folder]
                segment.path.parent.rmdir()
        except OSError as error:
            self._tell_once(f"{segment.path}: {error.strerror}: it cannot be deleted")

    def _read(self, stream: str, start: int, stop: int) -> Piece | None:
        kept = list(self._segments.get(folder_of(stream), ()))
        missing = 0  # damaged or not kept, before the first message that is found
        for place, segment in enumerate(kept):
            following = kept[place + 1].first if place + 1 < len(kept) else None
            if segment.first > stop:
                break
            if following is not None and following <= start:
                continue
            try:
                frames, end, broken = read_segment(segment.path, 2 * SEGMENT_BYTES)
            except OSError as error:
                self._tell_once(f"{segment.path}: {error.strerror}: it cannot be read")
                frames, end, broken = [], 2, 1
            if broken:
                self.damaged += broken
                self._tell_once(f"{segment.path}: damaged, {broken} messages or stretches of it are skipped")
            found = [one for one in frames if start <= one.timestamp <= stop]
            if not found:
                missing += broken + (segment.lost if segment.first >= start else 0)
                continue
            is_last = found[-1] is frames[-1]
            begin = found[0].number
            if found[0] is frames[0]:
                begin = 1
                missing += segment.lost
            return Piece(
                epoch=1 + segment.first % LARGEST_SEQUENCE,
                next=begin,
                frames=[one._replace(number=one.number + missing) for one in found],
                end=missing + (end if is_last else found[-1].number + 1),
                more=following if is_last and following is not None and following <= stop else None,
                nbytes=SEGMENT_BYTES,
            )
        return None

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _tell_once(self, what: str) -> None:
        """Log a fault, once for each."""
        if what not in self._told and len(self._told) < 1000:
            self._told.add(what)
            logger.warning(what)


def folder_of(stream: str) -> str:
    """Name of the folder of a stream: readable, valid on every system, and different for different names."""
    readable = quote(stream, safe="").replace(".", "%2E").replace("~", "%7E")[:_LONGEST_FOLDER]
    return f"{readable}-{hashlib.sha256(stream.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _append(path: Path, content: bytes) -> None:
    """Append to a file, all or nothing.

    Raises:
        OSError: it cannot be written to; what was written of it is cut off again.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, flags, 0o600)
    try:
        before = os.fstat(file).st_size
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError:
            os.ftruncate(file, before)
            raise
    finally:
        os.close(file)


def _locked(folder: Path) -> int | None:
    """Keep other servers from using the folder; None where the system has no such locks.

    Raises:
        ValueError: one uses it.
        OSError: the folder cannot be written to.
    """
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        os.close(file)
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise ValueError(f"{folder}: another server keeps its history there; each needs a folder of its own") from None
    return file

"""The recording of a stream whose messages are in a network capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ..codec import Message, pack
from ..foreign_text import printable
from ..frame_file import FIRST_DATE
from ..messages.times import unix_seconds
from ..plural import counted
from ..protocol import DATA_TYPES, MessageType
from ..records import Record, RecordError
from ..records.bounds import most_bytes, most_inflated
from ..tools.budget import Budget
from ..tools.capture.pcap import read_capture
from ..tools.frame_analysis import Examined, Examiner
from ..tools.observation import Observation, Origin, Remark
from .memory_parts import MemoryPart, MemoryParts
from .stream_recorder import StreamRecorder

MOST_STREAMS: Final = 1000
"""Streams of a capture whose names are remembered."""

STREAMS_TOLD: Final = 20
"""Streams that an error names; the rest are counted."""

NOTES_TOLD: Final = 20
"""Faults of a capture that are described one by one; the rest are counted."""

BYTES_A_VALUE: Final = 2
"""Bytes of the limit of the samples for each value that may be unpacked: most samples are of int16 or larger."""

WITHOUT_NAME: Final = ""
"""Name that stands for messages without the field ``stream``."""

Direction = tuple[str | None, str | None, bool | None]
"""Client, server, and whether the server sent it."""


@dataclass(frozen=True, eq=False, slots=True)
class Captured:
    """The recording of a stream in a capture.

    Attributes:
        record: the recording. What the capture lacks is missing in it.
        notes: a sentence on each thing that is lost, damaged, repeated or left out.
    """

    record: Record
    notes: tuple[str, ...]


class _Held(NamedTuple):
    """A message, the direction in which it was sent, and whether something was lost or damaged there before it."""

    message: Message
    direction: Direction
    is_after_loss: bool


def read_captured(path: Path, stream: str | None = None, *, max_bytes: int | None = None) -> Captured:
    """Read the recording of a stream from a network capture.

    If several connections carry the stream, their messages are joined, each once: those of viewers that watch together,
    and those of a viewer that reconnects. Gaps are filled as ``StreamRecorder`` does; alerts become annotations.

    Args:
        path: a capture, pcap or pcapng.
        stream: name of the stream, "" for messages that name none; not needed if the capture has only one.
        max_bytes: limit of the samples in bytes. Default: nine times the size of the file, at least 80 MiB.

    Raises:
        RecordError: the capture has no such stream, no stream at all, or several and none is chosen; or its samples
            exceed the limit.
        CaptureError: the file is not a capture, or its link type is not supported.
        MissingLibrary: websockets is not installed.
        OSError: the file cannot be read.
    """
    most = max_bytes or most_bytes(path.stat().st_size)
    reader = _CaptureReader(path, stream, most)
    with path.open("rb") as file:
        budget = Budget(free_work=most // BYTES_A_VALUE, free_inflated=most_inflated(most))
        examiner = Examiner(validate=True, budget=budget)
        for one in read_capture(file, examiner.budget):
            reader.take(one, examiner)
    name = reader.chosen()
    notes = reader.notes
    held = _each_once(_of_server(reader.held, notes), notes)
    recorder = StreamRecorder(name or "the stream", outputs := MemoryParts(most))
    for message, _, is_after_loss in _released(held):
        if is_after_loss:
            recorder.take_gap()
        recorder.take(message)
    recorder.close()
    summary = recorder.summary
    notes += summary.remarks
    if summary.gaps:
        notes.append(f"{counted(summary.gaps, 'gap')} filled with missing samples")
    if summary.refused:
        notes.append(f"{counted(summary.refused, 'message')} refused")
    if summary.repeated:
        notes.append(f"{counted(summary.repeated, 'message')} repeated, and read once")
    if summary.alerts > summary.annotated:
        notes.append(f"{counted(summary.alerts - summary.annotated, 'alert')} left out: without a place in the signal")
    if not outputs.parts:
        raise RecordError(f"{path}: no message of {_named(name)} can be read; {notes[0]}")
    part = max(outputs.parts, key=lambda part: part.samples)
    notes += _other_parts(outputs.parts, part)
    record = part.joined()
    left_out = tuple(counted(count, f"{kind} message") for kind, count in summary.left_out.items())
    return Captured(replace(record, source=f"{path}, {_named(name)}", left_out=left_out), tuple(map(printable, notes)))


class _CaptureReader:
    """Collects the messages of the chosen stream; or those of the first one, until there is a second to choose from.

    Args:
        path: the capture, for error messages.
        stream: the chosen stream, or None.
        most: limit of the samples in bytes.

    Attributes:
        held: the messages.
        notes: what is lost or damaged.
    """

    def __init__(self, path: Path, stream: str | None, most: int) -> None:
        self.held: list[_Held] = []
        self._path = path
        self._stream = stream
        self._most = most
        self._nbytes = 0
        self._streams: Counter[str] = Counter()
        self._messages_of_others = 0  # of streams beyond the most that are told apart
        self._losses: Counter[Direction] = Counter()
        self._noted: dict[tuple[Direction, str], int] = {}
        self._faults: list[str] = []
        self._more_faults = 0
        self._broken = 0

    @property
    def notes(self) -> list[str]:
        """A sentence on each thing that is lost or damaged in the capture."""
        found = list(self._faults)
        if self._more_faults:
            found.append(f"{self._more_faults:,} more faults of the capture")
        if self._broken:
            found.append(f"{counted(self._broken, 'broken frame')} left out; ecgframe inspect --errors shows them")
        return found

    def take(self, one: Observation, examiner: Examiner) -> None:
        """Take a message or a remark of the capture."""
        if isinstance(one, Remark):
            if one.is_fault:
                self._fault(one.text, one.origin)
            return
        passed_over = examiner.budget.passed_over
        for frame in examiner.examine(one):
            if frame.error is not None:
                self._broken += 1
                self._losses[_direction(one.origin)] += 1
            elif frame.unread is not None:
                self._fault(f"a frame was not read: {frame.unread}", one.origin)
            elif frame.message is not None and frame.message.type in DATA_TYPES:
                self._hold(frame, frame.message)
        if examiner.budget.passed_over > passed_over:
            self._fault("frames of a message were not read: the source has too many values for its size", one.origin)

    def chosen(self) -> str:
        """Return the name of the stream to read.

        Raises:
            RecordError: there is no such stream, no stream, or several and none is chosen.
        """
        if not self._streams:
            first = f"; {self.notes[0]}" if self.notes else "; ecgframe inspect shows what it has"
            raise RecordError(f"{self._path}: no stream with ECG_DATA in the capture{first}")
        if self._stream is None and len(self._streams) == 1 and not self._messages_of_others:
            return next(iter(self._streams))
        if self._stream is not None and self._stream in self._streams:
            return self._stream
        names = [f"{_named(name)} ({counted(count, 'message')})" for name, count in self._streams.most_common()]
        listed = ", ".join(names[:STREAMS_TOLD])
        if len(names) > STREAMS_TOLD:
            listed += f" and {len(names) - STREAMS_TOLD:,} more"
        if self._messages_of_others:
            listed += f", and others with {counted(self._messages_of_others, 'message')}"
        if self._stream is None:
            raise RecordError(f"{self._path}: several streams, choose one (--stream): {listed}")
        raise RecordError(f"{self._path}: no {_named(self._stream)} with ECG_DATA in the capture; it has {listed}")

    def _fault(self, text: str, origin: Origin) -> None:
        self._losses[_direction(origin)] += 1
        if text in self._faults:
            return
        if len(self._faults) < NOTES_TOLD:
            self._faults.append(text)
        else:
            self._more_faults += 1

    def _hold(self, frame: Examined, message: Message) -> None:
        name = frame.stream or WITHOUT_NAME
        is_signal = message.type is MessageType.ECG_DATA
        if is_signal and (name in self._streams or len(self._streams) < MOST_STREAMS):
            self._streams[name] += 1
            if self._stream is None and len(self._streams) == 2:
                self.held.clear()  # a stream has to be chosen first
        elif is_signal:
            self._messages_of_others += 1
        is_wanted = name == self._stream if self._stream is not None else len(self._streams) < 2
        if not is_wanted:
            return
        if is_signal:
            self._nbytes += np.asarray(message.data["signal"]).nbytes
            if self._nbytes > self._most:
                problem = f"its samples take more than {self._most:,} bytes, more than a capture of this size may hold"
                raise RecordError(f"{self._path}: {problem}")
        direction = _direction(frame.origin)
        losses = self._losses[direction]
        is_after_loss = is_signal and self._noted.get((direction, name), 0) < losses
        if is_signal:
            self._noted[direction, name] = losses
        self.held.append(_Held(message, direction, is_after_loss))


def _released(held: list[_Held]) -> Iterator[_Held]:
    """Yield the messages, and release the memory of each that has been read."""
    held.reverse()
    while held:
        yield held.pop()


def _of_server(held: list[_Held], notes: list[str]) -> list[_Held]:
    """Leave out what clients published, if a server sent the stream, too."""
    signals = [one for one in held if one.message.type is MessageType.ECG_DATA]
    if not any(one.direction[2] for one in signals) or all(one.direction[2] for one in held):
        return held
    kept = [one for one in held if one.direction[2]]
    notes.append(f"{counted(len(held) - len(kept), 'message')} of clients left out: the server sent the stream, too")
    return kept


def _each_once(held: list[_Held], notes: list[str]) -> list[_Held]:
    """Join the messages of several connections: each once, and in the order in which they were published."""
    directions = Counter(one.direction for one in held if one.message.type is MessageType.ECG_DATA)
    if len(directions) < 2:
        return held
    if not all(_is_marked(one.message) for one in held):
        most = directions.most_common(1)[0][0]
        kept = [one for one in held if one.direction == most]
        notes.append(
            f"{len(directions):,} connections carry the stream, and it is unknown which of their messages are the "
            f"same; those of {most[0]} are read, and {counted(len(held) - len(kept), 'message')} left out"
        )
        return kept
    times = [_published(one.message) for one in held]
    if all(time is not None for time in times):
        order = sorted(range(len(held)), key=lambda number: times[number] or 0.0)
        held = [held[number] for number in order]
    seen: set[object] = set()
    kept = []
    for one in held:
        mark = _mark(one.message)
        if mark not in seen:
            seen.add(mark)
            kept.append(one)
    notes.append(
        f"{len(directions):,} connections carry the stream; their messages are joined, "
        f"{len(held) - len(kept):,} of them were sent more than once"
    )
    return kept


def _is_marked(message: Message) -> bool:
    """Return whether something distinguishes the message from others of the same content."""
    data = message.data
    return any(mark is not None for mark in (message.timestamp, data.get("sequence"), data.get("timestamp")))


def _mark(message: Message) -> object:
    """Return what is the same for a message on every connection, whatever the version and the form of its arrays."""
    data = message.data
    sequence, measured = data.get("sequence"), unix_seconds(data.get("timestamp"))
    when = message.timestamp if sequence is None and measured is None else measured
    if message.type is MessageType.ECG_DATA:
        return message.type, sequence, when, hash(np.asarray(data["signal"], np.float64).tobytes())
    return message.type, sequence, when, hash(bytes(pack(data)))


def _published(message: Message) -> float | None:
    """Return when the message was published, in Unix seconds; or else when its samples were measured."""
    if message.timestamp is not None:
        return message.timestamp / 1e6
    measured = unix_seconds(message.data.get("timestamp"))
    return measured if measured is not None and measured >= FIRST_DATE else None


def _other_parts(parts: Sequence[MemoryPart], kept: MemoryPart) -> Iterator[str]:
    """Describe the parts that are left out."""
    others = [part for part in parts if part is not kept]
    if not others:
        return
    rate = kept.record.sampling_rate
    seconds = sum(part.samples / part.record.sampling_rate for part in others)
    yield (
        f"the stream has {len(parts):,} parts that cannot be joined; the longest, {kept.samples / rate:.4g} s, is "
        f"read, and {counted(len(others), 'other')} of {seconds:.4g} s together left out"
    )


def _direction(origin: Origin) -> Direction:
    return origin.client, origin.server, origin.from_server


def _named(stream: str) -> str:
    return f"stream {stream!r}" if stream else "stream without a name"

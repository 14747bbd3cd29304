"""A recording as a file of ECG_DATA frames laid end to end, and back: equal to the last sample."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from ._core import flatten
from .codec import Codec, Message
from .errors import ProtocolError
from .protocol import LARGEST_LENGTH, Flag, MessageType
from .records import Record, RecordError
from .records.record import COUNTS

READER = Codec(numeric_lists="ndarray", validate=True)
"""Reads frames of other programs as well, which may hold plain lists; what it gives has the fields of ECG_DATA."""

CONSTANT_FIELDS = ("sampling_rate", "leads", "units", "gain", "baseline")
"""Fields that every frame of one recording repeats."""


class FrameFileError(ValueError):
    """A file of frames that holds no whole recording.

    Attributes:
        frame: number of the frame concerned, from 0; as many before it are good.
        offset: byte of the file at which that frame begins.
        code: the protocol's error code, or None where the frame is whole and the recording is not.
    """

    def __init__(self, message: str, *, frame: int, offset: int, code: int | None = None) -> None:
        super().__init__(message)
        self.frame = frame
        self.offset = offset
        self.code = code


@dataclass(frozen=True, eq=False, slots=True)
class FrameFile:
    """What a file of frames held.

    Attributes:
        record: the recording, put together.
        frames: how many frames it came in.
        compressed: how many of them were compressed.
        versions: the protocol versions that occurred, oldest first.
    """

    record: Record
    frames: int
    compressed: int
    versions: tuple[int, ...]


def samples_per_frame(record: Record, seconds: float) -> int:
    """The nearest whole number of samples to that many seconds, and no more than there are.

    Raises:
        RecordError: not even one.
    """
    samples = round(min(seconds * record.sampling_rate, record.samples)) if seconds > 0 else 0
    if samples < 1:
        raise RecordError(f"{record.source}: a frame of {seconds:g} s holds no sample at {record.sampling_rate:g} Hz")
    return samples


def ecg_messages(record: Record, samples: int, signal: npt.NDArray[Any] | None = None) -> Iterator[dict[str, Any]]:
    """The recording as payloads of ECG_DATA, ``samples`` of each lead in each; the last has what remains.

    Args:
        record: the recording.
        samples: how many of each lead go into one message.
        signal: [leads, samples], in the place of the record's own: the same samples in another form.
    """
    signal = record.signal if signal is None else signal
    constant = constant_fields(record, calibrated=signal.dtype.kind in "iu")
    for sequence, start in enumerate(range(0, record.samples, samples)):
        yield {
            "signal": signal[:, start : start + samples],
            **constant,
            "sequence": sequence,
            "timestamp": start / record.sampling_rate,
        }


def constant_fields(record: Record, *, calibrated: bool) -> dict[str, Any]:
    """What every ECG_DATA message of the recording says besides its samples; ``calibrated``: with gain and baseline."""
    fields: dict[str, Any] = {
        "sampling_rate": record.sampling_rate,
        "leads": list(record.leads),
        "units": record.units,
    }
    if calibrated and record.gain is not None and record.baseline is not None:
        fields |= {"gain": _one_or_each(record.gain), "baseline": _one_or_each(record.baseline)}
    return fields


def _one_or_each(numbers: Sequence[float]) -> float | list[float]:
    return numbers[0] if len(set(numbers)) == 1 else list(numbers)


def write_frames(file: BinaryIO, codec: Codec, messages: Iterable[dict[str, Any]]) -> int:
    """Write a frame for each message. Returns the bytes written; raises as ``Codec.encode`` does."""
    return sum(file.write(codec.encode(MessageType.ECG_DATA, message)) for message in messages)


def read_frames(path: Path, watch: Callable[[Iterator[Message]], Iterable[Message]] = iter) -> FrameFile:
    """The recording in a file of frames.

    Args:
        path: the file. It is mapped, not read: frames in binary form are copied once, into the recording.
        watch: handed the iterator of messages and asked for an equal one; for progress.

    Raises:
        FrameFileError: a frame is broken, or missing, or of another recording than those before it.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise FrameFileError(f"{path}: empty, it holds no frames", frame=0, offset=0)
        # Never closed by hand: the signals are views of it until they are joined, and it closes with the last of them.
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    joining = _Joining(path, buffer)
    try:
        for message in watch(READER.decode_all(buffer)):
            joining.add(message)
    except ProtocolError as error:
        joining.fail(f"0x{error.code:03x} {error.code.name}: {error}", error)
    return joining.whole()


class _Joining:
    """The frames of one recording, so far."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        self.path = path
        self.buffer = buffer
        self.signals: list[npt.NDArray[Any]] = []
        self.constant: dict[str, Any] = {}
        self.versions: set[int] = set()
        self.compressed = 0

    def add(self, message: Message) -> None:
        if message.type is not MessageType.ECG_DATA:
            self.fail(f"it is {message.type.name}, and only ECG_DATA makes a recording")
        signal = np.atleast_2d(message.data["signal"])
        constant = _as_lists({name: message.data.get(name) for name in CONSTANT_FIELDS})
        self._check_sequence(message.data.get("sequence"))
        if self.signals:
            self._check_same(constant, signal)
        self.constant = constant
        self.signals.append(signal)
        self.versions.add(message.version)
        self.compressed += Flag.COMPRESSED in message.flags

    def _check_sequence(self, sequence: int | None) -> None:
        expected = len(self.signals)
        if sequence is None or sequence == expected:
            return
        if sequence > expected:
            missing = f"{expected} is" if sequence == expected + 1 else f"{expected} to {sequence - 1} are"
            self.fail(f"a gap: its sequence number is {sequence}, so {missing} missing")
        self.fail(f"its sequence number is {sequence}, where {expected} comes next")

    def _check_same(self, constant: dict[str, Any], signal: npt.NDArray[Any]) -> None:
        for name in CONSTANT_FIELDS:
            if constant[name] != self.constant[name]:
                self.fail(f"its {name} is {constant[name]}, and {self.constant[name]} in the frames before it")
        before = self.signals[-1]
        if len(signal) != len(before) or signal.dtype != before.dtype:
            self.fail(
                f"it holds {len(signal)} leads of {signal.dtype}, "
                f"and the frames before it {len(before)} of {before.dtype}"
            )

    def fail(self, problem: str, cause: ProtocolError | None = None) -> NoReturn:
        number = len(self.signals)
        offset = self._offset(number)
        before = f"the {number} {'frame' if number == 1 else 'frames'} before it {'is' if number == 1 else 'are'} good"
        raise FrameFileError(
            f"{self.path}: frame {number}, at byte {offset}: {problem}; "
            f"{before if number else 'is this a file of frames?'}",
            frame=number,
            offset=offset,
            code=None if cause is None else cause.code,
        ) from cause

    def _offset(self, number: int) -> int:
        """Where that frame begins; those before it are known to be whole."""
        frames = flatten(self.buffer)
        offset = 0
        for _ in range(number):
            header = frames.frame_at(offset, LARGEST_LENGTH)
            offset += header.size + header.length
        return offset

    def whole(self) -> FrameFile:
        signal = np.concatenate(self.signals, axis=1)
        leads = self.constant["leads"] or [f"ch{number}" for number in range(1, len(signal) + 1)]
        known = self.constant["gain"] is not None or signal.dtype.kind == "f"
        record = Record(
            signal=signal,
            sampling_rate=self.constant["sampling_rate"],
            leads=tuple(leads),
            units=self.constant["units"] or ("mV" if known else COUNTS),
            gain=_each(self.constant["gain"], len(signal)),
            baseline=_each(self.constant["baseline"], len(signal)),
            source=str(self.path),
        )
        return FrameFile(record, len(self.signals), self.compressed, tuple(sorted(self.versions)))


def _as_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()}


def _each(value: Any, leads: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    return tuple(value) if isinstance(value, list) else (value,) * leads

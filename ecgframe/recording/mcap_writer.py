"""Writing MCAP piece by piece, with the library of the format, in chunks that can be read while the file grows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..codec import Message
from ..frame_file import FIRST_DATE, annotation_alert
from ..libraries import library
from ..messages.times import unix_seconds
from ..protocol import MessageType
from ..records import Annotation, Record
from ..records.new_files import NewFile
from ..records.scaling import Range
from .mcap_messages import (
    ALERTS,
    FEATURES,
    GAPS,
    PREDICTIONS,
    Kind,
    alert_message,
    json_bytes,
    sample_kind,
    sample_messages,
)

if TYPE_CHECKING:
    from types import ModuleType

MOST_CHUNKS: Final = 100_000
"""Chunks of a file after which a new one is started: about fourteen hours. The library keeps an index of them."""

_KINDS: Final = {MessageType.FEATURE_DATA: FEATURES, MessageType.PREDICTION_RESULT: PREDICTIONS}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 1 << 63
_HELD: Final = 1 << 21
"""Bytes that are held until the next ``flush``."""


def mcap_library() -> ModuleType:
    """Return the module that writes MCAP.

    Raises:
        MissingLibrary: it is not installed.
    """
    module: ModuleType = library("mcap.writer", extra="mcap", purpose="recording MCAP")
    return module


class McapWriter:
    """Writes an MCAP file with a channel for the samples of a stream, and one for each other kind of its messages.

    After each ``flush``, the file can be read up to there, even if the process is killed. The file has a summary, by
    which readers find their way, once it is closed.

    Args:
        path: the path, where nothing may exist.
        record: the beginning of the recording; the constructor writes none of its samples.
        reach: the range of its samples.
        stream: name of the stream, which is the topic of its samples.

    Raises:
        MissingLibrary: mcap is not installed.
        OSError: the path exists, or the file cannot be created.
    """

    suffix: Final = ".mcap"

    def __init__(self, path: Path, record: Record, reach: Range, *, stream: str) -> None:
        module = mcap_library()
        self.record = record
        self.samples = 0
        self._stream = stream
        start = record.start
        self._begin = 0 if start is None else (start.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1000
        self._chunks = 0
        self._has_news = False
        self._infinite = 0
        self._channels: dict[str, int] = {}
        self._counts: Counter[int] = Counter()
        self._sink = _Sink(NewFile(path))
        self._writer = module.Writer(self._sink)
        self._writer.start(library="ecgframe")
        about = {"stream": stream, **({} if start is None else {"start": start.isoformat()})}
        self._writer.add_metadata("ecgframe", about)
        self._samples_to = self._channel(sample_kind(record), _properties(record))

    @property
    def files(self) -> tuple[Path, ...]:
        """The path of the file."""
        return (self._sink.file.path,)

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return self._sink.tell()

    @property
    def is_full(self) -> bool:
        """True if the file has so many chunks that a new one should be started."""
        return self._chunks >= MOST_CHUNKS

    def fits(self, reach: Range) -> bool:
        """Return True: JSON holds any number."""
        return True

    def append(self, record: Record) -> None:
        """Append samples of the same leads: a message for each, at its time."""
        numbers = range(self.samples, self.samples + record.samples)
        for number, message in zip(numbers, sample_messages(record), strict=True):
            if message is not None:
                self._add(self._samples_to, self._time(number), message, number)
        self._infinite += int(np.isinf(record.signal).sum()) if record.signal.dtype.kind == "f" else 0
        self.samples += record.samples
        if not self._chunks:  # from the first samples on, the file can be read
            self.flush()

    def append_missing(self, samples: int) -> None:
        """Append this number of missing samples to each lead: a message about the gap, and none for its samples."""
        gap = {"seconds": samples / self.record.sampling_rate, "samples": samples}
        self._add(self._channel(GAPS), self._time(self.samples), json_bytes(gap))
        self.samples += samples

    def annotate(self, annotations: Iterable[Annotation]) -> None:
        """Append annotations, as alerts. Their times count in seconds from the first sample of the file."""
        for note in annotations:
            self.write_alert(note, annotation_alert(note, self._begin / 1e9 + note.time))

    def write_alert(self, note: Annotation, alert: Mapping[str, Any]) -> None:
        """Append an alert with all its fields, at its own time, moved with the signal."""
        start, own = unix_seconds(alert.get("start")), unix_seconds(alert.get("timestamp"))
        after = 0.0 if start is None or own is None else own - start
        at = self._moment(self._begin + round(min(max(note.time + after, -_LATEST), _LATEST) * 1e9))
        self._add(self._channel(ALERTS), at, alert_message(alert, note.text, self._stream, at))

    def write_message(self, message: Message) -> None:
        """Append a message as it was received, at the time that it states, or else at that of its publication."""
        stated = unix_seconds(message.data.get("timestamp"))
        sent = None if message.timestamp is None else message.timestamp * 1000
        known = sent if stated is None or stated < FIRST_DATE else round(stated * 1e6) * 1000
        at = self._time(self.samples) if known is None else self._moment(known)
        published = at if sent is None else self._moment(sent)
        self._add(self._channel(_KINDS[message.type]), at, json_bytes(message.data), published=published)

    def flush(self) -> None:
        """Write everything that was appended as a chunk."""
        if self._has_news:
            self._has_news = False
            self._chunks += 1
            self._writer.flush()
            self._sink.drain()

    def close(self) -> tuple[str, ...]:
        """Write the summary and close the file. Returns a remark if samples were infinite."""
        self._writer.finish()
        self._sink.drain()
        self._sink.file.close()
        return (f"{self._infinite:,} infinite samples are left out, as JSON has none",) if self._infinite else ()

    def _channel(self, kind: Kind, metadata: Mapping[str, str] | None = None) -> int:
        topic = f"{self._stream}{kind.suffix}"
        if topic not in self._channels:
            schema = self._writer.register_schema(kind.name, "jsonschema", json.dumps(kind.schema).encode())
            self._channels[topic] = self._writer.register_channel(topic, "json", schema, dict(metadata or {}))
        return self._channels[topic]

    def _add(
        self, channel: int, at: int, message: bytes, number: int | None = None, published: int | None = None
    ) -> None:
        number = self._counts[channel] if number is None else number
        self._counts[channel] += 1
        self._writer.add_message(channel, at, message, at if published is None else published, number & 0xFFFFFFFF)
        self._has_news = True

    def _time(self, sample: int) -> int:
        return self._moment(self._begin + round(sample * 1e9 / self.record.sampling_rate))

    @staticmethod
    def _moment(at: int) -> int:
        """Return a time in the range of the format."""
        return min(max(at, 0), _LATEST)


class _Sink:
    """The file as the library sees it. Bytes are held until ``drain``, so that a chunk is written at once."""

    def __init__(self, file: NewFile) -> None:
        self.file = file
        self._held = bytearray()

    def write(self, octets: bytes) -> int:
        """Hold further bytes."""
        self._held += octets
        if len(self._held) > _HELD:
            self.drain()
        return len(octets)

    def tell(self) -> int:
        """Return the number of bytes so far."""
        return self.file.nbytes + len(self._held)

    def flush(self) -> None:
        """Do nothing: ``drain`` writes."""

    def drain(self) -> None:
        """Write the bytes that are held."""
        self.file.append(bytes(self._held))
        self._held.clear()


def _properties(record: Record) -> dict[str, str]:
    """Return what is the same for all samples, as metadata of their channel. Lists are JSON."""
    lists = {"leads": record.leads, "gain": record.gain, "baseline": record.baseline}
    return {
        "sampling_rate": repr(record.sampling_rate),
        "units": record.units,
        "dtype": str(record.signal.dtype),
        **{name: json.dumps(values) for name, values in lists.items() if values is not None},
    }

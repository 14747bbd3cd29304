"""Totals over a source: frames and bytes by type, compression, broken frames, time span."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import ProtocolError
from ..protocol import DEFAULT_VERSION, VERSIONS, ErrorCode, Flag
from .frame_analysis import Examined, flag_names, type_name
from .frame_stream import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Header

PLACES: Final = 5
"""Broken frames of each code that are described; the rest are counted."""

_COMPRESSED: Final = int(Flag.COMPRESSED)
_BATCH: Final = 4096


@dataclass(slots=True)
class OfType:
    """Totals of one message type.

    Attributes:
        frames: number of valid frames.
        nbytes: bytes of those frames, headers included.
        compressed: number of compressed frames.
        deflated_bytes: payload bytes of the compressed frames as sent.
        inflated_bytes: uncompressed bytes of the same payloads; 0 if they were not unpacked.
    """

    frames: int = 0
    nbytes: int = 0
    compressed: int = 0
    deflated_bytes: int = 0
    inflated_bytes: int = 0


@dataclass(slots=True)
class Summary:
    """Totals over a source.

    Attributes:
        errors: number of broken frames by code.
        places: descriptions of the first broken frames of each code.
        broken_bytes: bytes of broken frames, and between good ones.
        unread: number of valid frames whose payload was not unpacked, since the budget did not allow it.
        first: smallest timestamp, in microseconds since 1970; None if no frame has one.
        last: largest timestamp, likewise.
    """

    errors: Counter[ErrorCode] = field(default_factory=Counter)
    places: dict[ErrorCode, list[str]] = field(default_factory=dict)
    broken_bytes: int = 0
    unread: int = 0
    first: int | None = None
    last: int | None = None
    # Indexed by the byte in the header: a list is much faster than a dictionary of enum members.
    _types: list[OfType | None] = field(default_factory=lambda: [None] * 256)
    _versions: list[int] = field(default_factory=lambda: [0] * 256)
    # Of V4, which gives two bits a meaning that they have not before, in the second half.
    _flags: list[int] = field(default_factory=lambda: [0] * 512)

    @property
    def types(self) -> dict[int, OfType]:
        """Totals by the number of the message type."""
        return {number: kind for number, kind in enumerate(self._types) if kind is not None}

    @property
    def versions(self) -> dict[int, int]:
        """Number of valid frames by version."""
        return {version: count for version, count in enumerate(self._versions) if count}

    @property
    def flags(self) -> dict[str, int]:
        """Number of valid frames by flag."""
        counts: Counter[str] = Counter()
        for index, count in enumerate(self._flags):
            if count:
                in_v4, bits = divmod(index, 256)
                counts.update(dict.fromkeys(flag_names(bits, VERSIONS[-1] if in_v4 else DEFAULT_VERSION), count))
        return dict(counts)

    @property
    def frames(self) -> int:
        """Number of valid frames."""
        return sum(kind.frames for kind in self.types.values())

    @property
    def nbytes(self) -> int:
        """Bytes of valid frames."""
        return sum(kind.nbytes for kind in self.types.values())

    @property
    def seconds(self) -> float | None:
        """Seconds from the smallest timestamp to the largest; None if there are not two different ones."""
        if self.first is None or self.last is None or self.first == self.last:
            return None
        return (self.last - self.first) / 1_000_000

    def add(self, header: Header) -> None:
        """Count a valid frame by its header."""
        kind = self._types[header.type] or self._begin(header.type)
        bits, length, timestamp = header.bits, header.length, header.timestamp
        kind.frames += 1
        kind.nbytes += header.size + length
        if bits & _COMPRESSED:
            kind.compressed += 1
            kind.deflated_bytes += length
        self._versions[header.version] += 1
        self._flags[bits + 256 if header.version >= 4 else bits] += 1
        if timestamp is not None:
            self._note_time(timestamp)

    def add_examined(self, frame: Examined) -> None:
        """Count a decoded frame."""
        if frame.error is not None:
            self.add_error(frame.error, f"frame {frame.number}", len(frame.octets))
            return
        fields, message = frame.fields, frame.message
        self.unread += message is None and frame.fragment is None
        kind = self._types[fields["type"]] or self._begin(fields["type"])
        kind.frames += 1
        kind.nbytes += len(frame.octets)
        if fields["flags"] & _COMPRESSED:
            kind.compressed += 1
            kind.deflated_bytes += fields["length"]
            kind.inflated_bytes += 0 if message is None else message.nbytes
        version, bits = fields["version"], fields["flags"]
        self._versions[version] += 1
        self._flags[bits + 256 if version >= 4 else bits] += 1
        if "timestamp" in fields:
            self._note_time(fields["timestamp"])

    def add_error(self, error: ProtocolError, place: str, nbytes: int) -> None:
        """Count a broken frame. ``place`` says where it is, ``nbytes`` how long."""
        self.errors[error.code] += 1
        self.broken_bytes += nbytes
        places = self.places.setdefault(error.code, [])
        if len(places) < PLACES:
            places.append(f"{place}: {error}")

    def add_all(self, found: Iterable[Header | Stretch]) -> Iterator[int]:
        """Count what ``FrameStream.headers`` yields; yield the number so far from time to time, for progress."""
        add = self.add
        for count, one in enumerate(found, 1):
            if isinstance(one, Stretch):
                assert one.error is not None
                self.add_error(one.error, f"byte {one.offset:,}", one.nbytes)
            else:
                add(one)
            if not count % _BATCH:
                yield count

    def as_dict(self) -> dict[str, Any]:
        """Return all totals as plain values, for JSON."""
        return {
            "frames": self.frames,
            "bytes": self.nbytes,
            "types": {
                type_name(number): {
                    "frames": kind.frames,
                    "bytes": kind.nbytes,
                    "compressed": kind.compressed,
                    "deflated_bytes": kind.deflated_bytes,
                    "inflated_bytes": kind.inflated_bytes or None,
                }
                for number, kind in self.types.items()
            },
            "versions": {str(version): count for version, count in self.versions.items()},
            "flags": self.flags,
            "errors": {f"0x{code:03x}": count for code, count in sorted(self.errors.items())},
            "places": {f"0x{code:03x}": places for code, places in sorted(self.places.items())},
            "broken_bytes": self.broken_bytes,
            "unread": self.unread,
            "first": self.first,
            "last": self.last,
            "seconds": self.seconds,
        }

    def _begin(self, number: int) -> OfType:
        kind = self._types[number] = OfType()
        return kind

    def _note_time(self, timestamp: int) -> None:
        if self.last is None or self.first is None:
            self.first = self.last = timestamp
        elif timestamp > self.last:
            self.last = timestamp
        elif timestamp < self.first:
            self.first = timestamp

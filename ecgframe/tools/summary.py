"""What a source holds on the whole: frames and bytes by type, what is compressed, what is broken, from when to when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..errors import ProtocolError
from ..protocol import ErrorCode, Flag
from .frame_analysis import Examined, flag_names, type_name
from .frame_stream import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .._core import Header

PLACES: Final = 5
"""Broken places of each code that are remembered."""

_COMPRESSED: Final = int(Flag.COMPRESSED)
_BATCH: Final = 4096


@dataclass(slots=True)
class OfType:
    """What came of one message type.

    Attributes:
        frames: good ones.
        nbytes: of those, headers included.
        compressed: frames of those.
        deflated_bytes: payload bytes of the compressed ones, as they travelled.
        inflated_bytes: the same inflated; 0 where payloads were not unpacked.
    """

    frames: int = 0
    nbytes: int = 0
    compressed: int = 0
    deflated_bytes: int = 0
    inflated_bytes: int = 0


@dataclass(slots=True)
class Summary:
    """Totals.

    Attributes:
        errors: broken frames by code.
        places: where the first ones of each code are, in words.
        broken_bytes: bytes of broken frames, and between good ones.
        first: the smallest timestamp, in microseconds since 1970; None before V3.
        last: the largest.
    """

    errors: Counter[ErrorCode] = field(default_factory=Counter)
    places: dict[ErrorCode, list[str]] = field(default_factory=dict)
    broken_bytes: int = 0
    first: int | None = None
    last: int | None = None
    # By the byte of the header: a list is indexed in a fraction of the time in which an enum member is hashed.
    _types: list[OfType | None] = field(default_factory=lambda: [None] * 256)
    _versions: list[int] = field(default_factory=lambda: [0] * 256)
    _flags: list[int] = field(default_factory=lambda: [0] * 256)

    @property
    def types(self) -> dict[int, OfType]:
        """What came, by message type."""
        return {number: kind for number, kind in enumerate(self._types) if kind is not None}

    @property
    def versions(self) -> dict[int, int]:
        """Good frames by version."""
        return {version: count for version, count in enumerate(self._versions) if count}

    @property
    def flags(self) -> dict[str, int]:
        """Good frames that have each flag set."""
        counts: Counter[str] = Counter()
        for bits, count in enumerate(self._flags):
            if count:
                counts.update(dict.fromkeys(flag_names(bits), count))
        return dict(counts)

    @property
    def frames(self) -> int:
        """Good ones."""
        return sum(kind.frames for kind in self.types.values())

    @property
    def nbytes(self) -> int:
        """Of good frames."""
        return sum(kind.nbytes for kind in self.types.values())

    @property
    def seconds(self) -> float | None:
        """From the first timestamp to the last; None where there are no two."""
        if self.first is None or self.last is None or self.first == self.last:
            return None
        return (self.last - self.first) / 1_000_000

    def add(self, header: Header) -> None:
        """Count a good frame."""
        kind = self._types[header.type] or self._begin(header.type)
        bits, length, timestamp = header.bits, header.length, header.timestamp
        kind.frames += 1
        kind.nbytes += header.size + length
        if bits & _COMPRESSED:
            kind.compressed += 1
            kind.deflated_bytes += length
        self._versions[header.version] += 1
        self._flags[bits] += 1
        if timestamp is not None:
            self._note_time(timestamp)

    def add_examined(self, frame: Examined) -> None:
        """Count a frame that was taken apart."""
        if frame.error is not None:
            self.add_error(frame.error, f"frame {frame.number}", len(frame.octets))
            return
        assert frame.message is not None
        fields = frame.fields
        kind = self._types[fields["type"]] or self._begin(fields["type"])
        kind.frames += 1
        kind.nbytes += len(frame.octets)
        if fields["flags"] & _COMPRESSED:
            kind.compressed += 1
            kind.deflated_bytes += fields["length"]
            kind.inflated_bytes += frame.message.nbytes
        self._versions[fields["version"]] += 1
        self._flags[fields["flags"]] += 1
        if "timestamp" in fields:
            self._note_time(fields["timestamp"])

    def add_error(self, error: ProtocolError, place: str, nbytes: int) -> None:
        """Count a broken frame."""
        self.errors[error.code] += 1
        self.broken_bytes += nbytes
        places = self.places.setdefault(error.code, [])
        if len(places) < PLACES:
            places.append(f"{place}: {error}")

    def add_all(self, found: Iterable[Header | Stretch]) -> Iterator[int]:
        """Count what ``FrameStream.headers`` gives; yields now and then, for progress, how many it has counted."""
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
        """Everything as plain values, for JSON."""
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

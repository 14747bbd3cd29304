"""Ways to make the integer samples of a live frame smaller: the filter of records, and general compressors.

All of them write bytes and read an array.
"""

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from ecgframe.messages.templates import Template
from ecgframe.records import shipped_ecg

LIMIT = 16 * 1024 * 1024
LEADS = list(shipped_ecg().leads)


class Way(Protocol):
    """A way to write samples, ``[leads, samples]`` of int16, and to read them again."""

    name: str

    def write(self, samples: np.ndarray) -> bytes:
        """Return them as bytes."""

    def read(self, written: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """Return the samples again."""


class Filtered:
    """A record with or without the filter."""

    def __init__(self, name: str, *, delta: bool, leads: list[str]) -> None:
        self.name = name
        self._delta = delta
        self._fields = {"leads": leads}
        self._templates: dict[int, Template] = {}

    def template(self, samples: np.ndarray) -> Template:
        """Make the template once, as in a stream."""
        rows = len(samples)
        if rows not in self._templates:
            self._templates[rows] = Template(1, "ecg/bed-7", "int16", rows, self._fields)
        return self._templates[rows]

    def write(self, samples: np.ndarray) -> bytes:
        return self.template(samples).encode(samples, 0, delta=self._delta)

    def read(self, written: bytes, shape: tuple[int, ...]) -> Any:
        return self._templates[shape[0]].decode(written).counts


class Compressed:
    """A compressor of differences of the samples, with high bytes and low bytes separated."""

    def __init__(self, name: str, compress: Callable[[bytes], bytes], decompress: Callable[[bytes], bytes]) -> None:
        self.name = f"differences, bytes apart, {name}"
        self._compress = compress
        self._decompress = decompress

    def write(self, samples: np.ndarray) -> bytes:
        differences = np.diff(samples, axis=1, prepend=np.int16(0))
        return self._compress(differences.view(np.uint8).reshape(-1, 2).T.tobytes())

    def read(self, written: bytes, shape: tuple[int, ...]) -> np.ndarray:
        octets = np.frombuffer(self._decompress(written), np.uint8).reshape(2, -1)
        return np.cumsum(np.ascontiguousarray(octets.T).view(np.int16).reshape(shape), axis=1, dtype=np.int16)


DELTA = Filtered("record, filter DELTA", delta=True, leads=LEADS)
NONE = Filtered("record, filter NONE", delta=False, leads=LEADS)


def ways() -> Iterator[Way]:
    """Return all that can run here."""
    yield DELTA
    yield Filtered("record, filter DELTA, no names of leads", delta=True, leads=[])
    yield NONE
    yield Compressed("zlib 6", lambda octets: zlib.compress(octets, 6), zlib.decompress)
    if module := _optional("zlib_ng.zlib_ng"):
        yield Compressed("zlib-ng 6", lambda octets: module.compress(octets, 6), module.decompress)
    if libdeflate := _optional("deflate"):
        yield Compressed(
            "libdeflate 6",
            lambda octets: bytes(libdeflate.zlib_compress(octets, 6)),
            lambda deflated: bytes(libdeflate.zlib_decompress(deflated, LIMIT)),
        )
    if zstd := _optional("compression.zstd") or _optional("backports.zstd"):
        yield Compressed("zstd 1", lambda octets: zstd.compress(octets, 1), zstd.decompress)


def _optional(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None

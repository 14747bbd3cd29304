"""Compares libraries for checksums, compression and decompression, with payloads in list form from 0.3 to 500 KB.

The name of each result of compression states the compressed size in percent.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ecg
import pytest

import ecgframe
from ecgframe.compression import deflate, inflate

LIMIT = 16 * 1024 * 1024
# From a header's worth to what one message may have; what lies between, the payloads of the other benchmarks are.
SUMMED = [11, 64, 250, 1_200, 6_000, 48_000, 480_000, 4 << 20]
SIZES = [ecg.Size(1, 32, every=4), ecg.ONE_LEAD, ecg.ONE_SECOND, ecg.TEN_SECONDS]


@dataclass(frozen=True)
class Library:
    """A library for the zlib format; ``module`` is None if it is not installed."""

    name: str
    module: Any
    crc32: Callable[[bytes], int]
    compress: Callable[[bytes, int], bytes]
    decompress: Callable[[bytes], bytes]
    levels: tuple[int, ...]


def _optional(name):
    try:
        return import_module(name)
    except ImportError:
        return None


def _like_zlib(name: str, module: Any, levels: tuple[int, ...]) -> Library:
    """A module with the interface of zlib. It inflates up to a limit, since a payload may expand to any size."""

    def decompress(deflated):
        stream = module.decompressobj()
        inflated = stream.decompress(deflated, LIMIT)
        assert stream.eof
        return inflated

    return Library(name, module, module and module.crc32, module and module.compress, decompress, levels)


libdeflate = _optional("deflate")
LIBRARIES = [
    _like_zlib("zlib", zlib, (1, 6)),
    _like_zlib("zlib-ng", _optional("zlib_ng.zlib_ng"), (1, 6)),
    _like_zlib("isal", _optional("isal.isal_zlib"), (1, 3)),
    Library(
        "libdeflate",
        libdeflate,
        libdeflate and libdeflate.crc32,
        libdeflate and libdeflate.zlib_compress,
        lambda deflated: libdeflate.zlib_decompress(deflated, LIMIT),
        (1, 6),
    ),
    Library(
        "ecgframe",
        ecgframe,
        ecgframe.crc32,
        lambda payload, level: bytes(deflate(memoryview(payload), level)),
        lambda deflated: inflate(memoryview(deflated), LIMIT),
        (6,),
    ),
]

each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: size.id)


def _param(library, *values):
    return pytest.param(
        library,
        *values,
        id="-".join([library.name, *map(str, values)]),
        marks=pytest.mark.skipif(library.module is None, reason=f"{library.name} is not installed"),
    )


each_library = pytest.mark.parametrize("library", [_param(library) for library in LIBRARIES])
each_level = pytest.mark.parametrize(
    ("library", "level"), [_param(library, level) for library in LIBRARIES for level in library.levels]
)


def payload_of(size, dtype="float64"):
    return ecgframe.pack(ecg.message(size, dtype))


def titled(verb, payload):
    return f"{verb} {len(payload):,} bytes"


@each_size
@each_library
def test_sum(measure, library, size):
    payload = payload_of(size)
    assert measure(titled("sum", payload), library.name, library.crc32, payload) == zlib.crc32(payload)


@pytest.mark.parametrize("nbytes", SUMMED)
@each_library
def test_sum_of_any_size(measure, library, nbytes):
    data = bytes(range(256)) * (nbytes // 256 + 1)
    data = data[:nbytes]
    assert measure(titled("sum", data), library.name, library.crc32, data) == zlib.crc32(data)


@each_size
@each_level
def test_deflate(measure, library, level, size):
    payload = payload_of(size)
    deflated = library.compress(payload, level)
    assert zlib.decompress(deflated) == payload
    share = len(deflated) / len(payload)
    line = f"{library.name}, level {level}: {share:.1%} left"
    measure(titled("deflate", payload), line, library.compress, payload, level, share=share)


@each_size
@each_library
def test_inflate(measure, library, size):
    payload = payload_of(size)
    deflated = zlib.compress(payload, 6)
    assert measure(titled("inflate to", payload), library.name, library.decompress, deflated) == payload

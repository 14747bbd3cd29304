"""Compressing integer samples: the filter DELTA of records compared with general compressors.

The name of each result states the compressed size in percent. All of them write bytes and read an array.
"""

import zlib
from importlib import import_module

import ecg
import numpy as np
import pytest

from ecgframe.messages.templates import Template
from ecgframe.records import shipped_ecg

LIMIT = 16 * 1024 * 1024
SIZES = [ecg.Size(12, 25, every=2), ecg.Size(12, 50, every=1), ecg.ONE_SECOND]
LEADS = list(shipped_ecg().leads)
each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: size.id)


def _optional(name):
    try:
        return import_module(name)
    except ImportError:
        return None


class Filtered:
    """A record with or without the filter."""

    def __init__(self, name, *, delta, leads):
        self.name = name
        self._delta = delta
        self._fields = {"leads": leads}
        self._templates = {}

    def template(self, samples):
        """Make the template once, as in a stream."""
        rows = len(samples)
        if rows not in self._templates:
            self._templates[rows] = Template(1, "ecg/bed-7", "int16", rows, self._fields)
        return self._templates[rows]

    def write(self, samples):
        return self.template(samples).encode(samples, 0, delta=self._delta)

    def read(self, record, shape):
        return self._templates[shape[0]].decode(record).counts


class Compressed:
    """A compressor of differences of the samples, with high bytes and low bytes separated."""

    def __init__(self, name, compress, decompress):
        self.name = f"differences, bytes apart, {name}"
        self._compress = compress
        self._decompress = decompress

    def write(self, samples):
        differences = np.diff(samples, axis=1, prepend=np.int16(0))
        return self._compress(differences.view(np.uint8).reshape(-1, 2).T.tobytes())

    def read(self, compressed, shape):
        octets = np.frombuffer(self._decompress(compressed), np.uint8).reshape(2, -1)
        return np.cumsum(np.ascontiguousarray(octets.T).view(np.int16).reshape(shape), axis=1, dtype=np.int16)


def _ways():
    yield Filtered("record, filter DELTA", delta=True, leads=LEADS)
    yield Filtered("record, filter DELTA, no names of leads", delta=True, leads=[])
    yield Filtered("record, filter NONE", delta=False, leads=LEADS)
    yield Compressed("zlib 6", lambda octets: zlib.compress(octets, 6), zlib.decompress)
    if module := _optional("zlib_ng.zlib_ng"):
        yield Compressed("zlib-ng 6", lambda octets: module.compress(octets, 6), module.decompress)
    if libdeflate := _optional("deflate"):
        yield Compressed(
            "libdeflate 6",
            lambda octets: libdeflate.zlib_compress(octets, 6),
            lambda deflated: libdeflate.zlib_decompress(deflated, LIMIT),
        )
    if zstd := _optional("compression.zstd") or _optional("backports.zstd"):
        yield Compressed("zstd 1", lambda octets: zstd.compress(octets, 1), zstd.decompress)


each_way = pytest.mark.parametrize("way", list(_ways()), ids=lambda way: way.name)


def samples_of(size):
    return ecg.signal(size, "int16")


@each_size
@each_way
def test_write(measure, way, size):
    samples = samples_of(size)
    share = len(way.write(samples)) / samples.nbytes
    written = measure(f"samples {size} to bytes", f"{way.name}: {share:.1%} left", way.write, samples, share=share)
    assert np.array_equal(way.read(written, samples.shape), samples)


@each_size
@each_way
def test_read(measure, way, size):
    samples = samples_of(size)
    written = way.write(samples)
    read = measure(f"bytes to samples {size}", way.name, way.read, written, samples.shape)
    assert np.array_equal(read, samples)

"""Compressing integer samples: the filter DELTA of records compared with general compressors.

The name of each result states the compressed size in percent. All of them write bytes and read an array.
"""

import ecg
import filters
import numpy as np
import pytest

SIZES = [ecg.Size(12, 25, every=2), ecg.Size(12, 50, every=1), ecg.ONE_SECOND]
each_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: size.id)
each_way = pytest.mark.parametrize("way", list(filters.ways()), ids=lambda way: way.name)


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

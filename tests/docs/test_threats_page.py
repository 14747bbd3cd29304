"""docs/threats.md: each test that it names exists, and the sizes of frames reveal the heart rate as it says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pages import ROOT, read

from ecgframe import Codec, Compression, MessageType
from ecgframe.records import shipped_ecg

PAGE = read("docs/threats.md")
NAMED = re.findall(r"`((?:tests|client)/[\w./-]+)(?:::(\w+))?`", PAGE)
FRAME = 50
"""Samples of each lead in a frame: 50 ms at 1,000 Hz."""


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_each_test_that_it_names_exists(path, test):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not test or re.search(rf"^(async )?def {test}\(", text, re.M)


def test_the_page_names_a_test_for_each_threat():
    [table] = re.findall(r"^\| threat \| countermeasure \| test \|\n\| --- .*\n((?:\|.*\n)+)", PAGE, re.M)
    for row in table.splitlines():
        assert re.search(r"\| `(?:tests|client)/[^|]+` \|$", row), row


def sizes(codec: Codec, signal: np.ndarray) -> np.ndarray:
    parts = (signal[:, start : start + FRAME] for start in range(0, signal.shape[1], FRAME))
    return np.array(
        [len(codec.encode(MessageType.ECG_DATA, {"signal": part, "sampling_rate": 1000})) for part in parts]
    )


def beats_a_minute(sizes: np.ndarray) -> float | None:
    """The heart rate by the largest peak of the sizes' autocorrelation; None where all frames have one size."""
    if sizes.min() == sizes.max():
        return None
    apart = sizes - sizes.mean()
    alike = np.correlate(apart, apart, "full")[len(apart) - 1 :]
    frames_a_minute = 60 * 1000 / FRAME
    first, last = round(frames_a_minute / 180), round(frames_a_minute / 35)
    return frames_a_minute / (first + int(np.argmax(alike[first:last])))


@pytest.mark.parametrize("leads", [slice(None), slice(1, 2)])
@pytest.mark.parametrize(
    ("codec", "as_floats", "tells"),
    [
        (Codec(compression=None), False, True),
        (Codec(ndarray="binary", compression=Compression(threshold=0)), False, True),
        (Codec(ndarray="binary", compression=None), False, False),
        (Codec(compression=None), True, False),
    ],
    ids=["list form", "deflated", "binary form", "float64 in list form"],
)
def test_sizes_of_frames_reveal_the_heart_rate_as_the_page_says(codec, as_floats, tells, leads):
    """The truth is 61; a frame more or less between two beats is 3 a minute."""
    record = shipped_ecg()
    signal = np.tile(record.physical() if as_floats else record.signal, (1, 6))[leads]
    found = beats_a_minute(sizes(codec, signal))
    if tells:
        assert found == pytest.approx(61, abs=3)
    else:
        assert found is None

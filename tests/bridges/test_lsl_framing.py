"""Samples with timestamps, cut into frames: gaps, jitter, and clocks that are set. Without LSL."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import optional

optional("websockets")

from ecgframe.bridges.lsl.framing import MOST_CORRECTION, Framing  # noqa: E402 - after the skip

RATE = 250
STEP = 1 / RATE
KNOWN = 600
"""Samples after which the jitter is known."""


class Feed:
    """A framing that is fed, and what came out of it."""

    def __init__(self, channels: int = 1, samples: int = 10) -> None:
        self.framing = Framing(RATE, channels, samples, np.float64, 0.0)
        self.frames: list = []

    def add(self, numbers, times, now: float | None = None) -> None:
        values = np.asarray(numbers, np.float64)[:, None]
        times = np.asarray(times, np.float64)
        self.frames += self.framing.add(values, times, float(times[-1]) if now is None else now)

    def whole(self) -> np.ndarray:
        """All samples, in order."""
        self.frames += self.framing.rest()
        return np.concatenate([frame.values[0] for frame in self.frames])


def grid(numbers) -> np.ndarray:
    return 1000 + np.asarray(numbers) * STEP


@given(st.lists(st.integers(1, 70), min_size=1, max_size=40), st.integers(1, 50))
def test_chunks_of_any_length_become_frames_of_one(chunks, samples):
    feed = Feed(samples=samples)
    at = 0
    for count in chunks:
        feed.add(range(at, at + count), grid(range(at, at + count)))
        at += count
    assert {frame.values.shape for frame in feed.frames} <= {(1, samples)}
    for number, frame in enumerate(feed.frames):
        assert frame.begin == pytest.approx(1000 + number * samples * STEP, abs=1e-6)
    assert feed.whole().tolist() == list(range(at))
    assert (feed.framing.gaps, feed.framing.breaks) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 500)), min_size=1, max_size=10),
    st.integers(1, 40),
)
def test_missing_samples_are_at_their_place(parts, chunk):
    """Where timestamps do not jitter, each lost sample is NaN, be it one or two seconds of them."""
    here = list(range(KNOWN))
    at = KNOWN
    for there, lost in parts:
        at += lost
        here += range(at, at + there)
        at += there
    feed = Feed()
    for start in range(0, len(here), chunk):
        some = here[start : start + chunk]
        feed.add(some, grid(some))
    expected = np.full(at, np.nan)
    expected[here] = here
    np.testing.assert_array_equal(feed.whole(), expected)
    assert feed.framing.gaps == len(parts)
    assert feed.framing.missing == sum(lost for _, lost in parts)


@pytest.mark.parametrize("jitter", [0.002, 0.02, 0.2])
def test_jitter_is_no_gap(jitter):
    """Chunks that are stamped when they arrive, up to that much late: nothing is inserted, and times stay even."""
    random = np.random.default_rng(7)
    feed = Feed()
    for start in range(0, 20_000, 25):
        numbers = np.arange(start, start + 25)
        feed.add(numbers, grid(numbers) + random.uniform(0, jitter))
    assert feed.framing.gaps == feed.framing.breaks == 0
    begins = [frame.begin for frame in feed.frames]
    np.testing.assert_allclose(np.diff(begins), 10 * STEP, atol=25 * STEP * MOST_CORRECTION + 1e-9)
    assert feed.whole().tolist() == list(range(20_000))


def test_a_gap_is_found_in_spite_of_jitter():
    random = np.random.default_rng(7)
    feed = Feed()
    for start in [*range(0, 5000, 25), *range(5250, 10_000, 25)]:
        numbers = np.arange(start, start + 25)
        feed.add(numbers, grid(numbers) + random.uniform(0, 0.03))
    found = feed.whole()
    assert feed.framing.gaps == 1
    assert abs(feed.framing.missing - 250) <= 8  # 30 ms are 7.5 samples
    assert np.flatnonzero(np.isnan(found))[0] == 5000


@pytest.mark.parametrize("rate", [RATE * 0.997, RATE * 1.003])
def test_a_device_that_is_faster_or_slower_than_it_says_is_followed(rate):
    feed = Feed()
    for start in range(0, 30_000, 25):
        numbers = np.arange(start, start + 25)
        feed.add(numbers, 1000 + numbers / rate)
    assert feed.framing.gaps == feed.framing.breaks == 0
    last = len(feed.frames) - 1
    assert feed.frames[-1].begin == pytest.approx(1000 + last * 10 / rate, abs=0.02)


def test_a_rate_that_is_wrong_shows_as_gaps():
    """A device that says 250 Hz and sends 200: a fifth of the samples is missing by its own words."""
    feed = Feed()
    for start in range(0, 20_000, 20):
        numbers = np.arange(start, start + 20)
        feed.add(numbers, 1000 + numbers / 200)
    assert feed.framing.missing == pytest.approx(5000, rel=0.05)


@pytest.mark.parametrize("jump", [-3600.0, -2.0, 61.0, 1e9])
def test_times_that_jump_begin_a_new_frame(jump):
    feed = Feed()
    feed.add(range(605), grid(range(605)))
    feed.add(range(605, 625), grid(range(605, 625)) + jump)
    assert (feed.framing.gaps, feed.framing.breaks) == (0, 1)
    assert feed.whole().tolist() == list(range(625))
    short, following = feed.frames[60:62]
    assert short.values.shape == (1, 5)
    assert following.begin == pytest.approx(grid(605) + jump)


def test_a_sender_cannot_make_it_insert_more_than_time_passes():
    """Timestamps that advance by 59 s with each sample, all within a second."""
    feed = Feed()
    feed.add(range(100), 1000 + np.arange(100) * 59.0, now=0.5)
    assert feed.framing.missing <= 61 * RATE
    assert feed.framing.breaks >= 98
    assert np.count_nonzero(~np.isnan(feed.whole())) == 100


def test_times_of_frames_rise():
    random = np.random.default_rng(3)
    feed = Feed(samples=1)
    numbers = np.sort(random.choice(5000, 4000, replace=False))
    for some in np.array_split(numbers, 100):
        feed.add(some, grid(some))
    assert all(one.begin < other.begin for one, other in pairwise(feed.frames))

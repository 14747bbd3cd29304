"""The detector gives the results of the vectors for chunks of any size; so does the TypeScript detector."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_heart_vectors import VECTORS, millivolts, told, unpacked

from ecgframe.features import HeartDetector

ALL = {vector["name"]: vector for vector in json.loads(VECTORS.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ALL)
def test_python_gives_the_results_of_the_vectors(name):
    vector = ALL[name]
    rng = np.random.default_rng(len(name))
    chunks = iter(lambda: int(rng.integers(1, vector["sampling_rate"] // 3)), None)
    detector = HeartDetector(vector["sampling_rate"], vector["leads"])
    beats, looks, spikes = told(detector, millivolts(unpacked(vector)), vector["pacing"], chunks)
    assert (beats, looks, spikes) == (vector["beats"], vector["looks"], vector["pacing_seen"])


def test_the_vectors_hold_every_state_and_quality():
    looks = [look for vector in ALL.values() for look in vector["looks"]]
    assert {look[2] for look in looks} == {"unknown", "beating", "asystole", "fibrillation"}
    assert {quality for look in looks for quality in look[4]} == {"ok", "off", "saturated", "noisy"}
    assert {look[3] for look in looks} >= {0, 1}
    assert {spike[1] for vector in ALL.values() for spike in vector["pacing_seen"]} == {0, 1}


@pytest.mark.slow
@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=12).filter(any))
def test_the_chunks_do_not_matter(sizes):
    vector = ALL["everything at 250 Hz in three leads"]
    signal = millivolts(unpacked(vector))[:, :5000]
    whole, cut = (HeartDetector(250, vector["leads"]) for _ in range(2))
    beats, at, turn = [], 0, 0
    while at < signal.shape[1]:
        size = sizes[turn % len(sizes)]
        beats += cut.feed(signal[:, at : at + size])
        at, turn = at + size, turn + 1
    assert beats == whole.feed(signal)
    assert cut.status == whole.status


@pytest.mark.slow
@given(before=st.integers(0, 40), samples=st.integers(0, 9000), after=st.integers(1, 40))
@settings(max_examples=15)
def test_skipped_samples_are_missing_ones(before, samples, after):
    vector = ALL["280 a minute"]
    signal = millivolts(unpacked(vector))
    detectors = [HeartDetector(250, vector["leads"]) for _ in range(2)]
    beats = []
    for one, is_skipped in zip(detectors, (True, False), strict=True):
        found = one.feed(signal[:, : 600 + before])
        found += one.skip(samples) if is_skipped else one.feed(np.full((1, samples), np.nan))
        beats.append(found + one.feed(signal[:, : 700 + after]))
    assert beats[0] == beats[1]
    assert detectors[0].status == detectors[1].status

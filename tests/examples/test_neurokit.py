"""The example of neurokit2, with neurokit2 where it is installed: it brings scikit-learn, and is in no group."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from programs import output_of

from ecgframe.features import HeartDetector
from ecgframe.records import Annotation, read_record, save_record, shipped_ecg

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("neurokit2") is None,
    reason="needs neurokit2, which is not installed: pip install neurokit2",
)


def waves(tmp_path, source: object) -> tuple[str, tuple[Annotation, ...]]:
    """Return the output of the example, and the annotations of the file that it writes."""
    target = tmp_path / "waves.npz"
    printed = output_of("neurokit_waves.py", source, target, "II")
    return printed, read_record(target).annotations


@pytest.mark.slow
def test_the_beats_of_neurokit_are_those_of_the_heart_detector(tmp_path):
    ecg = shipped_ecg()
    printed, notes = waves(tmp_path, "shipped")
    assert printed.startswith("10 beats, ")
    assert {note.text for note in notes} == {"p", "Q", "t"}
    detector = HeartDetector(ecg.sampling_rate, ecg.leads)
    ours = [beat.sample / ecg.sampling_rate for beat in detector.feed(ecg.physical())]
    theirs = np.array([note.time for note in notes if note.text == "Q"])
    assert len(ours) >= 8
    assert all(np.abs(theirs - time).min() < 0.03 for time in ours)


@pytest.mark.slow
def test_waves_after_a_gap_are_at_their_time(tmp_path):
    ecg = shipped_ecg().take(["II"])
    signal = np.concatenate([ecg.physical()[:, :3000], np.full((1, 2000), np.nan), *[ecg.physical()] * 2], axis=1)
    gap = replace(ecg, signal=signal, gain=None, baseline=None, annotations=(Annotation(0.1, "before"),))
    save_record(gap, tmp_path / "gap.npz")
    printed, notes = waves(tmp_path, tmp_path / "gap.npz")
    assert "5 s left out" in printed  # of which 3 s are too short
    assert notes[0] == Annotation(0.1, "before")
    beats = np.array([note.time for note in notes if note.text == "Q"])
    assert beats.min() > 5
    expected = 5 + np.array([0.525, 1.524, 2.503, 3.487])
    np.testing.assert_allclose(beats[:4], expected, atol=0.03)

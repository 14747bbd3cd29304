"""Files of the pyedflib library, and files that it writes, read by both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import optional

from ecgframe.records import read_record

pyedflib = optional("pyedflib")
optional("edfio")

MILLIVOLTS = {"uV": 1e-3, "V": 1e3}
FILES = sorted((Path(pyedflib.__file__).parent / "tests" / "data").glob("*.[eb]df"))


def assert_alike(path: Path) -> None:
    """Compare samples, rates and annotations with those that pyedflib reads."""
    with pyedflib.EdfReader(str(path)) as reader:
        are_known = "EDF Annotations" not in reader.getSignalLabels()  # of EDF, not EDF+
        notes = {(round(float(at), 4), str(text)) for at, _, text in zip(*reader.readAnnotations(), strict=True)}
        for number, header in enumerate(reader.getSignalHeaders()):
            if header["label"] == "EDF Annotations" or reader.getSignalLabels().count(header["label"]) > 1:
                continue
            found = read_record(path, leads=[header["label"]])
            expected = reader.readSignal(number) * MILLIVOLTS.get(header["dimension"], 1)
            scale = max(np.abs(expected).max(initial=0), 1e-9)
            np.testing.assert_allclose(found.physical()[0], expected, rtol=1e-9, atol=1e-9 * scale)
            assert found.sampling_rate == reader.getSampleFrequency(number)
            if are_known:
                assert {(round(note.time, 4), note.text) for note in found.annotations} == notes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_of_pyedflib_are_read_alike(path):
    assert_alike(path)


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@given(
    leads=st.integers(1, 4),
    seconds=st.integers(1, 5),
    units=st.sampled_from(["uV", "mV", "V", "Ohm"]),
    physical=st.tuples(st.integers(-9999, -1), st.integers(0, 9999)),
    notes=st.lists(st.tuples(st.integers(0, 500), st.text("abcäö @", min_size=1, max_size=8)), max_size=5),
    seed=st.integers(0, 1 << 32),
)
def test_files_that_pyedflib_writes_are_read_alike(
    tmp_path_factory, suffix, leads, seconds, units, physical, notes, seed
):
    path, random = tmp_path_factory.mktemp("by") / f"a{suffix}", np.random.default_rng(seed)
    bits = 16 if suffix == ".edf" else 24
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    kind = pyedflib.FILETYPE_EDFPLUS if suffix == ".edf" else pyedflib.FILETYPE_BDFPLUS
    with pyedflib.EdfWriter(str(path), leads, kind) as writer:
        for number in range(leads):
            header = {
                "label": f"V{number}", "dimension": units, "sample_frequency": 50, "physical_min": physical[0],
                "physical_max": physical[1], "digital_min": low, "digital_max": high,
            }  # fmt: skip
            writer.setSignalHeader(number, header)
        counts = random.integers(low, high, (leads, 50 * seconds), np.int32, endpoint=True)
        writer.writeSamples(list(counts), digital=True)
        for at, text in notes:
            writer.writeAnnotation(at / 100, -1, text.strip() or "x")
    np.testing.assert_array_equal(read_record(path).signal, counts)
    assert_alike(path)

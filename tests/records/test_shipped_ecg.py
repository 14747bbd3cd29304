from __future__ import annotations

from importlib.resources import files

import make_shipped_ecg
import numpy as np
import pytest
from recordings import assert_same, optional

from ecgframe.records import shipped_ecg


def test_the_record_has_twelve_leads_of_ten_seconds():
    record = shipped_ecg()
    assert record.signal.shape == (12, 10_000)
    assert record.signal.dtype == np.int16
    assert record.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (record.sampling_rate, record.duration, record.units) == (1000, 10, "mV")


def test_the_limb_leads_obey_einthoven():
    lead = dict(zip(shipped_ecg().leads, shipped_ecg().signal, strict=True))
    np.testing.assert_array_equal(lead["III"], lead["II"] - lead["I"])


def test_the_samples_are_those_in_the_pydicom_wheel():
    optional("pydicom")
    assert_same(shipped_ecg(), make_shipped_ecg.original())


def test_the_file_can_be_made_again(tmp_path, monkeypatch, capsys):
    optional("pydicom")
    monkeypatch.setattr(make_shipped_ecg, "TARGET", tmp_path / "ecg12.npz")
    make_shipped_ecg.main()
    assert "bytes" in capsys.readouterr().out
    with np.load(tmp_path / "ecg12.npz") as new, np.load(files("ecgframe.data") / "ecg12.npz") as shipped:
        assert new.files == shipped.files
        for name in new.files:
            np.testing.assert_array_equal(new[name], shipped[name])


def test_the_file_holds_samples_and_calibration_only():
    with np.load(files("ecgframe.data") / "ecg12.npz") as stored:
        assert set(stored.files) == {"differences", "sampling_rate", "leads", "units", "gain", "baseline"}


@pytest.mark.parametrize("words", ["pydicom", "Copyright (c) 2008-2020 Darcy Mason", "MIT licence"])
def test_the_source_and_licence_are_shipped(words):
    assert words in (files("ecgframe.data") / "README.md").read_text(encoding="utf-8")


def test_the_file_is_small():
    assert len((files("ecgframe.data") / "ecg12.npz").read_bytes()) < 80_000

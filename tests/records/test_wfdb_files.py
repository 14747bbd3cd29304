from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from recordings import assert_same, optional, toy_ecg

from ecgframe.records import Record, RecordError, read_record, shipped_ecg

# wfdb writes records by pandas calls that pandas has announced to change
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")


@pytest.fixture
def wfdb():
    return optional("wfdb")


def write(wfdb, folder: Path, record: Record, fmt: str, *, units: str = "mV", gain: float | None = None) -> Path:
    leads = len(record.leads)
    wfdb.wrsamp(
        "rec",
        fs=record.sampling_rate,
        units=[units] * leads,
        sig_name=list(record.leads),
        d_signal=record.signal.T.astype(np.int64),
        fmt=[fmt] * leads,
        adc_gain=[gain] * leads if gain else list(record.gain),
        baseline=list(record.baseline),
        write_dir=str(folder),
    )
    return folder / "rec"


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_the_name_the_header_and_the_samples_all_lead_to_the_record(wfdb, tmp_path, suffix):
    path = write(wfdb, tmp_path, shipped_ecg(), "16")
    assert_same(read_record(f"{path}{suffix}"), shipped_ecg())


def test_packed_samples_come_back_exactly(wfdb, tmp_path):
    assert_same(read_record(write(wfdb, tmp_path, toy_ecg(), "212")), toy_ecg())


def test_counts_beyond_16_bits_come_back_exactly(wfdb, tmp_path):
    wide = Record(np.array([[-8_000_000, 0, 8_000_000]], np.int32), 500, ("II",), "mV", (1e6,), (0,))
    assert_same(read_record(write(wfdb, tmp_path, wide, "24")), wide)


def test_microvolts_become_millivolts_without_a_rounding_of_the_gain(wfdb, tmp_path):
    record = read_record(write(wfdb, tmp_path, toy_ecg(), "16", units="uV", gain=0.2))
    assert record.units == "mV"
    np.testing.assert_allclose(record.gain, 200, rtol=1e-15)


def mixed(wfdb, folder: Path, names: list[str], units: list[str]) -> Path:
    """Two signals at 500 Hz and one at 250."""
    ramp = np.arange(1000, dtype=np.int64)
    wfdb.wrsamp(
        "rec",
        fs=250,
        units=units,
        sig_name=names,
        e_d_signal=[ramp, ramp[::-1].copy(), ramp[:500].copy()],
        samps_per_frame=[2, 2, 1],
        fmt=["16"] * 3,
        adc_gain=[200.0] * 3,
        baseline=[0] * 3,
        write_dir=str(folder),
    )
    return folder / "rec"


def test_signals_of_several_rates_come_unsmoothed_and_the_ecg_is_chosen(wfdb, tmp_path):
    record = read_record(mixed(wfdb, tmp_path, ["I", "V5", "RESP"], ["mV", "mV", "Ohm"]))
    np.testing.assert_array_equal(record.signal, [np.arange(1000), np.arange(1000)[::-1]])
    assert (record.sampling_rate, record.leads, record.left_out) == (500, ("I", "V5"), ("RESP",))


def test_signals_of_which_none_is_called_ecg_are_listed(wfdb, tmp_path):
    path = mixed(wfdb, tmp_path, ["ABP", "CVP", "RESP"], ["mmHg", "mmHg", "Ohm"])
    listed = r"Name the leads to take .*'ABP' \(500 Hz, mmHg\), 'CVP' \(500 Hz, mmHg\), 'RESP' \(250 Hz, Ohm\)"
    with pytest.raises(RecordError, match=listed):
        read_record(path)
    assert read_record(path, leads=["CVP", "ABP"]).leads == ("CVP", "ABP")
    assert read_record(path, leads=["RESP"]).units == "Ohm"


def test_leads_that_do_not_fit_together_are_refused(wfdb, tmp_path):
    path = mixed(wfdb, tmp_path, ["I", "V5", "RESP"], ["mV", "mV", "Ohm"])
    with pytest.raises(RecordError, match="differ in rate or unit"):
        read_record(path, leads=["I", "RESP"])
    with pytest.raises(RecordError, match=r"no lead 'V1' there; it has 'I' \(500 Hz, mV\)"):
        read_record(path, leads=["V1"])


def test_missing_samples_name_the_record_and_the_way_out(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    path.with_suffix(".dat").unlink()
    with pytest.raises(RecordError, match=r"rec\.hea: not readable as WFDB .*are the files .* beside it"):
        read_record(path)


@pytest.mark.parametrize("kept", [0, 1000])
def test_samples_cut_short_are_refused(wfdb, tmp_path, kept):
    samples = write(wfdb, tmp_path, toy_ecg(), "16").with_suffix(".dat")
    samples.write_bytes(samples.read_bytes()[:kept])
    with pytest.raises(RecordError, match="not readable as WFDB"):
        read_record(samples)


@pytest.mark.parametrize("header", ["", "no header at all\n", "rec 1 360\nrec.dat 16 x\n"])
def test_a_broken_header_is_refused(wfdb, tmp_path, header):
    (tmp_path / "rec.hea").write_text(header)
    with pytest.raises(RecordError, match=r"rec\.hea: not readable as WFDB"):
        read_record(tmp_path / "rec")


def test_samples_without_their_header_say_what_is_missing(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    shutil.move(path.with_suffix(".hea"), tmp_path / "elsewhere.hea")
    with pytest.raises(RecordError, match=r"the WFDB header rec\.hea, which says how to read it, is not beside it"):
        read_record(path.with_suffix(".dat"))


def test_a_rate_that_contradicts_the_header_is_refused(wfdb, tmp_path):
    path = write(wfdb, tmp_path, toy_ecg(), "16")
    assert_same(read_record(path, sampling_rate=360), toy_ecg())
    with pytest.raises(RecordError, match="it says 360 Hz, against the 250 Hz given"):
        read_record(path, sampling_rate=250)

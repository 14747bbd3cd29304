"""Recorded ECG as it comes: five minutes of an arrhythmia, and ten seconds of twelve leads."""

import numpy as np
import oracle
import pydicom
import pytest
from pydicom.data import get_testdata_file
from recordings import toy_millivolts

from ecgframe import Codec, Compression, MessageType, decode, decode_all

WAYS = [
    (version, form, compression)
    for version in (1, 2, 3)
    for form in ("list", "binary")
    for compression in (None, Compression())
]


@pytest.fixture(scope="module")
def arrhythmia():
    """[108000], float64, mV at 360 Hz."""
    signal = toy_millivolts()
    assert signal.shape == (108_000,)
    assert signal.dtype == np.float64
    return signal


@pytest.fixture(scope="module")
def twelve_leads():
    """[12, 10000], int16 counts of 1.25 uV at 1000 Hz."""
    dataset = pydicom.dcmread(get_testdata_file("waveform_ecg.dcm"))
    group = dataset.WaveformSequence[0]
    counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, int(group.NumberOfWaveformChannels)).T
    assert counts.shape == (12, 10_000)
    assert len(np.unique(counts)) > 500
    return counts


def codec_of(form, compression):
    return Codec(ndarray=form, compression=compression)


@pytest.mark.parametrize(("version", "form", "compression"), WAYS)
def test_five_minutes_in_one_frame(arrhythmia, version, form, compression):
    codec = codec_of(form, compression)
    frame = codec.encode(MessageType.ECG_DATA, {"signal": arrhythmia, "sampling_rate": 360}, version=version)
    assert bool(frame[2] & 1) == (compression is not None and version > 1)
    data = codec.decode(frame).data
    assert oracle.same(data, {"signal": arrhythmia, "sampling_rate": 360})
    assert frame[2] & 1 or np.shares_memory(data["signal"], np.frombuffer(frame, np.uint8)) == (form == "binary")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int16", ">i2"])
@pytest.mark.parametrize("form", ["list", "binary"])
def test_twelve_leads_in_one_frame(twelve_leads, form, dtype):
    signal = twelve_leads if dtype.endswith("i2") else twelve_leads * 0.00125
    signal = signal.astype("int16" if dtype == "int16" else dtype)
    frame = codec_of(form, Compression()).encode(MessageType.ECG_DATA, {"signal": signal})
    assert oracle.same(decode(frame).data["signal"], signal)


@pytest.mark.parametrize(("version", "form", "compression"), WAYS)
def test_twelve_leads_in_frames_of_a_tenth_of_a_second(twelve_leads, version, form, compression):
    codec = codec_of(form, compression)
    pieces = [twelve_leads[:, start : start + 100] for start in range(0, 10_000, 100)]
    batch = b"".join(
        codec.encode(MessageType.ECG_DATA, {"signal": piece, "sequence": n}, version=version)
        for n, piece in enumerate(pieces)
    )
    messages = list(decode_all(batch))
    assert [message.data["sequence"] for message in messages] == list(range(100))
    assert np.array_equal(np.concatenate([message.data["signal"] for message in messages], axis=1), twelve_leads)


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("form", ["list", "binary"])
def test_the_oracle_reads_and_writes_the_same_frames(twelve_leads, arrhythmia, version, form):
    data = {"counts": twelve_leads[:, ::40], "mv": arrhythmia[:2000:3], "leads": ["I", "II"]}
    timestamp = 7 if version == 3 else None
    frame = codec_of(form, None).encode(MessageType.ECG_DATA, data, version=version, timestamp=timestamp)
    assert frame == oracle.encode_frame(1, data, version, 0, timestamp, compression=False, ndarray=form)
    assert oracle.same(oracle.decode_frame(frame).data, data)


def test_plain_lists_of_a_front_end(arrhythmia):
    values = arrhythmia[:5000].tolist()
    frame = Codec().encode(MessageType.ECG_DATA, {"signal": values})
    assert decode(frame).data["signal"] == values
    array = Codec(numeric_lists="ndarray").decode(frame).data["signal"]
    assert oracle.same(array, arrhythmia[:5000])


def test_short_decimals_of_a_front_end(twelve_leads):
    rows = [[round(float(count) * 0.00125, 3) for count in lead[:500]] for lead in twelve_leads]
    frame = oracle.encode_frame(1, {"signal": rows})
    assert frame[2] & 1
    array = Codec(numeric_lists="ndarray").decode(frame).data["signal"]
    assert oracle.same(array, np.array(rows))


def test_a_view_of_a_lead_and_of_a_beat_are_sent(twelve_leads, arrhythmia):
    for signal in (twelve_leads[1], twelve_leads.T, twelve_leads[::3, 2000:2700:7], arrhythmia[::-1][:1000]):
        for form in ("list", "binary"):
            assert oracle.same(
                decode(codec_of(form, None).encode(MessageType.ECG_DATA, {"signal": signal})).data["signal"], signal
            )

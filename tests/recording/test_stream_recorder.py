"""Recording one stream message by message."""

from __future__ import annotations

import contextlib
import stat
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recordings import assert_same, optional, toy_ecg

from ecgframe import Codec, Message, MessageType, ProtocolError, decode_all
from ecgframe.frame_file import ecg_messages, read_frames
from ecgframe.records import Annotation, RecordError, read_record, shipped_ecg

for name in ("websockets", "wfdb", "edfio", "mcap"):
    optional(name)

from recording.mcap_files import complete, record_of  # noqa: E402 - after the skip

from ecgframe.recording import Rotation, stream_recorder  # noqa: E402 - after the skip
from ecgframe.recording.file_series import FORMATS, FileSeries  # noqa: E402
from ecgframe.recording.stream_recorder import StreamRecorder  # noqa: E402

# wfdb reads annotations with a pandas call that is deprecated
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

BEGIN = 1_700_000_000.0
EVERY_FORM = pytest.mark.parametrize("form", FORMATS)


def message(type, data, at=None):
    return Message(version=3, type=type, flags=0, data=data, timestamp=None if at is None else round(at * 1e6))


def recorder(folder, form="edf", *, rotation=None, **options):
    return StreamRecorder("ecg/bed 7", FileSeries("ecg/bed 7", folder, form, is_folder=True, **options), rotation)


def messages_of(record, samples=250, begin=BEGIN):
    for data in ecg_messages(record, samples):
        yield message(MessageType.ECG_DATA, {**data, "timestamp": begin + data["timestamp"]}, begin + data["timestamp"])


def signal(values, at, sequence=None, **fields):
    data = {"signal": np.atleast_2d(values), "sampling_rate": 250, "timestamp": at, **fields}
    return message(MessageType.ECG_DATA, data if sequence is None else {**data, "sequence": sequence}, at)


def read(path):
    if path.suffix == ".mcap":
        return record_of(complete(path))
    return read_frames(path).record if path.suffix == ".frames" else read_record(path)


def openers(summary):
    return [file for file in summary.files if file.suffix in FORMATS.values()]


@EVERY_FORM
def test_the_recorded_stream_equals_the_original(tmp_path, form):
    taking = recorder(tmp_path, form)
    for one in messages_of(toy_ecg(), 333):
        taking.take(one)
    taking.close()
    summary = taking.summary
    [path] = openers(summary)
    assert path.name == f"ecg_bed_7_20231114T221320{FORMATS[form]}"
    found = read(path)
    assert_same(found, toy_ecg())
    assert found.start.replace(tzinfo=UTC) == datetime.fromtimestamp(BEGIN, UTC)
    assert (summary.samples, summary.seconds, summary.missing, summary.is_whole) == (108_000, 300, 0, True)
    assert summary.remarks == []
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in summary.files)


@pytest.mark.slow
@EVERY_FORM
def test_gaps_are_filled_with_missing_samples_and_alerts_become_annotations(tmp_path, form):
    taking = recorder(tmp_path, form)
    alert = {"kind": "asystole", "timestamp": BEGIN + 100.5, "severity": "critical", "message": "no beat for 4 s"}
    early = {"kind": "lead_off", "timestamp": BEGIN + 0.5}
    taking.take(message(MessageType.ANOMALY_ALERT, early))
    for number, one in enumerate(messages_of(toy_ecg(), 360)):
        if number == 101:
            taking.take(message(MessageType.ANOMALY_ALERT, alert))
        if not 150 <= number < 157:
            taking.take(one)
    taking.close()
    [path] = openers(taking.summary)
    found = read(path)
    gone = found.is_missing()[0]
    assert np.flatnonzero(gone).tolist() == list(range(150 * 360, 157 * 360))
    np.testing.assert_array_equal(found.signal[0][~gone], toy_ecg().signal[0][~gone])
    assert [(round(note.time * 360), note.text) for note in found.annotations] == [
        (180, "lead_off"),
        (36_180, "asystole (critical): no beat for 4 s"),
    ]
    summary = taking.summary
    assert (summary.gaps, summary.missing, summary.alerts, summary.annotated, summary.is_whole) == (
        1, 7 * 360, 2, 2, False,
    )  # fmt: skip


@pytest.mark.slow
@EVERY_FORM
def test_a_new_file_is_started_after_the_rotation_seconds(tmp_path, form):
    taking = recorder(tmp_path, form, rotation=Rotation(seconds=60))
    for number, one in enumerate(messages_of(toy_ecg(), 1000)):
        if number == 100:
            taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": BEGIN + 200}))
        taking.take(one)
    taking.close()
    paths = openers(taking.summary)
    parts = [read(path) for path in paths]
    assert [part.samples for part in parts] == [21_600] * 5
    np.testing.assert_array_equal(np.concatenate([part.signal for part in parts], axis=1), toy_ecg().signal)
    assert [part.start.replace(tzinfo=UTC).timestamp() - BEGIN for part in parts] == [0, 60, 120, 180, 240]
    # the alert arrived in the fifth file, and its time lies in the fourth
    assert [len(part.annotations) for part in parts][:4] == [0, 0, 0, 0]
    assert [note.text for note in parts[4].annotations] == ["x"]


def test_a_new_file_is_started_after_the_rotation_bytes(tmp_path):
    taking = recorder(tmp_path, rotation=Rotation(nbytes=50_000))
    for one in messages_of(toy_ecg()):
        taking.take(one)
    taking.close()
    parts = [read(path) for path in openers(taking.summary)]
    assert len(parts) > 4
    assert all(path.stat().st_size < 55_000 for path in taking.summary.files)
    np.testing.assert_array_equal(np.concatenate([part.signal for part in parts], axis=1), toy_ecg().signal)


@EVERY_FORM
def test_existing_files_are_never_replaced(tmp_path, form):
    for _ in range(3):
        taking = recorder(tmp_path, form)
        for one in list(messages_of(shipped_ecg()))[:3]:
            taking.take(one)
        taking.close()
    suffix = FORMATS[form]
    names = {path.name for path in tmp_path.glob(f"*{suffix}")}
    stem = "ecg_bed_7_20231114T221320"
    assert names == {f"{stem}{suffix}", f"{stem}_2{suffix}", f"{stem}_3{suffix}"}


@EVERY_FORM
def test_a_change_of_leads_or_units_starts_a_new_file(tmp_path, form):
    taking = recorder(tmp_path, form)
    one = np.arange(250, dtype=np.int16)
    taking.take(signal(one, BEGIN, leads=["II"], gain=200.0, baseline=0))
    taking.take(signal(one, BEGIN + 1, leads=["V1"], gain=200.0, baseline=0))
    taking.take(signal(one / 200, BEGIN + 2, leads=["V1"]))
    taking.close()
    parts = [read(path) for path in openers(taking.summary)]
    assert [(part.leads, part.samples) for part in parts] == [(("II",), 250), (("V1",), 250), (("V1",), 250)]
    assert "changed its leads, units, calibration or sampling rate" in taking.summary.remarks[0]


@EVERY_FORM
def test_samples_out_of_range_start_a_new_file_and_are_not_clipped(tmp_path, form):
    """32-bit counts far above those of the first second, and counts that the format reserves for missing samples."""
    taking = recorder(tmp_path, form)
    small, large = np.arange(250, dtype=np.int32), np.arange(250, dtype=np.int32) * 3000
    saturated = np.full(250, -32768, np.int32)
    for number, values in enumerate((small, large, saturated)):
        taking.take(signal(values, BEGIN + number, number, gain=1000.0, baseline=0))
    taking.close()
    parts = [read(path).physical()[0] for path in openers(taking.summary)]
    expected = np.concatenate((small, large, saturated))
    np.testing.assert_allclose(np.concatenate(parts) * 1000, expected, atol=64.1 if form == "edf" else 1e-6)
    if form == "edf":
        assert any("are rounded, by" in remark for remark in taking.summary.remarks)


def test_the_least_16_bit_count_is_recorded_as_a_sample(tmp_path):
    for form in FORMATS:
        taking = recorder(tmp_path / form, form)
        (tmp_path / form).mkdir()
        for number, value in enumerate((0, -32768, 5)):
            taking.take(signal(np.full(250, value, np.int16), BEGIN + number, number, gain=1000.0, baseline=0))
        taking.close()
        parts = [read(path) for path in openers(taking.summary)]
        assert not any(part.is_missing().any() for part in parts)
        values = np.concatenate([part.physical()[0] for part in parts])
        assert values[[0, 300, 600]] == pytest.approx([0, -32.768, 0.005], abs=0.0006 if form == "edf" else 1e-9)


def test_physical_values_are_rounded_to_a_microvolt_with_a_remark(tmp_path):
    values = np.sin(np.arange(2500) / 40).astype(np.float32)
    taking = recorder(tmp_path)
    for number in range(10):
        taking.take(signal(values[number * 250 :][:250], BEGIN + number, number))
    taking.close()
    [path] = taking.summary.files
    np.testing.assert_allclose(read(path).physical()[0], values, atol=0.000501)
    assert taking.summary.remarks == ["samples of ch1 are rounded, by 0.0005 mV at most"]


def test_a_long_gap_starts_a_new_file(tmp_path):
    taking = recorder(tmp_path)
    one = np.arange(250, dtype=np.int16)
    for number, at in enumerate((0, 1, 5000, 5001)):
        taking.take(signal(one, BEGIN + at, number, gain=200.0, baseline=0))
    taking.close()
    parts = [read(path) for path in taking.summary.files]
    assert [(part.samples, part.start.replace(tzinfo=UTC).timestamp() - BEGIN) for part in parts] == [
        (500, 0),
        (500, 5000),
    ]
    assert (taking.summary.unfilled, taking.summary.is_whole) == (1, False)
    assert "a gap of 4,998 s was not filled" in taking.summary.remarks[0]


def test_repeated_messages_are_written_once(tmp_path):
    taking = recorder(tmp_path)
    for number in (0, 1, 2, 1, 2, 3):
        data = {"signal": np.full((1, 250), number, np.int16), "sampling_rate": 250, "gain": 200.0, "baseline": 0}
        taking.take(message(MessageType.ECG_DATA, {**data, "sequence": number, "timestamp": BEGIN + number}))
    taking.close()
    [path] = taking.summary.files
    assert read(path).signal[0, ::250].tolist() == [0, 1, 2, 3]
    assert (taking.summary.repeated, taking.summary.is_whole) == (2, True)


def test_invalid_messages_are_refused_and_the_recording_continues(tmp_path):
    taking = recorder(tmp_path)
    one = np.arange(250, dtype=np.int16)
    taking.take(signal(one, BEGIN, 0))
    taking.take(signal(one, BEGIN + 1, 1, leads=["I", "II"]))
    taking.take(signal(np.zeros((1, 0), np.int16), BEGIN + 1, 1))
    taking.take(signal(one, BEGIN + 2, 2))
    taking.close()
    [path] = taking.summary.files
    assert np.count_nonzero(read(path).is_missing()) == 250
    assert taking.summary.refused == 2
    assert "2 lead names for 1 leads" in taking.summary.remarks[0]


def test_alerts_without_a_position_are_counted_with_a_remark(tmp_path):
    taking = recorder(tmp_path)
    taking.take(signal(np.arange(250, dtype=np.int16), BEGIN, 0))
    taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": 5.0}))
    taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": None}))
    taking.take(message(MessageType.FEATURE_DATA, {"features": {"heart_rate": 60.0}}))
    taking.close()
    assert (taking.summary.alerts, taking.summary.annotated) == (2, 0)
    assert taking.summary.left_out == {"FEATURE_DATA": 1}
    assert len(taking.summary.remarks) == 2
    assert read(taking.summary.files[0]).annotations == ()


@pytest.mark.parametrize("form", ["edf", "bdf"])
def test_values_whose_limit_in_eight_characters_is_infinite_are_refused(tmp_path, form):
    """Beyond 1.798E+308 there is no float64, and 2E+308 is what the header would have room for."""
    with pytest.raises(RecordError, match="cannot store its calibration"):
        recorder(tmp_path, form).take(signal([-1.5e192, 0.0, 3.38e307], BEGIN))


FEATURES = {"features": {"heart_rate": 61.5, "r_peaks": np.array([0.25, 1.25])}, "timestamp": BEGIN + 1, "window": 2.0}
PREDICTION = {"model": "rhythm", "label": "AF", "confidence": 0.75, "timestamp": BEGIN + 1}


def with_features(taking, seconds=4):
    """Give a recorder features before the signal, and a prediction and alerts within."""
    taking.take(message(MessageType.FEATURE_DATA, FEATURES, BEGIN + 0.5))
    for number, one in enumerate(messages_of(toy_ecg(seconds), 360)):
        taking.take(one)
        if number == 2:
            taking.take(message(MessageType.PREDICTION_RESULT, PREDICTION, BEGIN + 2.5))
            taking.take(message(MessageType.ANOMALY_ALERT, ALERT, BEGIN + 2.5))
    taking.close()


ALERT = {
    "kind": "tachycardia",
    "severity": "warning",
    "confidence": 0.75,
    "timestamp": BEGIN + 2.5,
    "start": BEGIN + 1.5,
    "end": BEGIN + 2.5,
    "lead": "MLII",
}


def test_a_file_of_frames_holds_features_and_predictions_as_received(tmp_path):
    taking = recorder(tmp_path, "frames")
    with_features(taking)
    [path] = taking.summary.files
    found = list(decode_all(path.read_bytes()))
    kinds = [one.type.name for one in found]
    assert kinds == [
        "FEATURE_DATA", "ECG_DATA", "ECG_DATA", "ECG_DATA", "PREDICTION_RESULT", "ANOMALY_ALERT", "ECG_DATA",
    ]  # fmt: skip
    features, prediction, alert = found[0], found[4], found[5]
    assert features.data["features"].pop("r_peaks").tolist() == [0.25, 1.25]
    assert features.data == {**FEATURES, "features": {"heart_rate": 61.5}}
    assert (prediction.data, prediction.timestamp, alert.data) == (PREDICTION, round((BEGIN + 2.5) * 1e6), ALERT)
    assert taking.summary.messages == {"FEATURE_DATA": 1, "PREDICTION_RESULT": 1}
    assert taking.summary.left_out == {}
    record = read(path)
    assert_same(record, toy_ecg(4))
    assert record.annotations == (Annotation(1.5, "tachycardia (warning)", "MLII", 1.0),)
    assert record.left_out == ("1 FEATURE_DATA message", "1 PREDICTION_RESULT message")


@pytest.mark.parametrize("form", ["edf", "bdf", "wfdb"])
def test_formats_without_messages_say_what_is_left_out(tmp_path, form):
    taking = recorder(tmp_path, form)
    with_features(taking)
    assert taking.summary.left_out == {"FEATURE_DATA": 1, "PREDICTION_RESULT": 1}
    assert taking.summary.messages == {}


def test_messages_of_a_stream_without_signal_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_recorder, "MOST_WAITING", 3)
    taking = recorder(tmp_path, "frames")
    for number in range(5):
        taking.take(message(MessageType.FEATURE_DATA, FEATURES, BEGIN + number))
    taking.close()
    assert taking.summary.left_out == {"FEATURE_DATA": 5}
    assert list(tmp_path.iterdir()) == []


def test_alerts_in_frames_stand_at_their_place_after_a_rotation(tmp_path):
    taking = recorder(tmp_path, "frames", rotation=Rotation(seconds=2))
    with_features(taking)
    second = decode_all(taking.summary.files[1].read_bytes())
    [alert] = [one.data for one in second if one.type is MessageType.ANOMALY_ALERT]
    assert alert == ALERT


@pytest.mark.parametrize("form", ["edf", "bdf", "wfdb"])
def test_a_file_can_be_read_after_each_second(tmp_path, form):
    """The file is read after each message, without closing it."""
    taking = recorder(tmp_path, form)
    expected = shipped_ecg().signal
    for number, one in enumerate(messages_of(shipped_ecg(), 500), 1):
        taking.take(one)
        taking.flush()
        if number == 6:
            taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": BEGIN + 1}))
        [path] = tmp_path.glob(f"*{FORMATS[form]}")
        if number < 2:
            continue
        found = read_record(path)
        least = number * 500 if form == "wfdb" else number // 2 * 1000
        np.testing.assert_array_equal(found.signal, expected[:, :least])
        assert found.repaired == ()
    taking.close()
    assert read_record(path).annotations == (Annotation(1.0, "x"),)


def test_late_alerts_are_written_in_order_of_time(tmp_path):
    """WFDB requires annotations in order of time; alerts of several detectors are not."""
    taking = recorder(tmp_path, "wfdb")
    taking.take(signal(np.arange(2500, dtype=np.int16), BEGIN, 0, gain=200.0, baseline=0))
    for at in (5, 3, 7, 1, 9):
        taking.take(message(MessageType.ANOMALY_ALERT, {"kind": f"at {at}", "timestamp": BEGIN + at}))
    [path] = tmp_path.glob("*.hea")
    assert [note.text for note in read(path).annotations] == ["at 5", "at 7", "at 9"]
    taking.flush()
    assert [note.text for note in read(path).annotations] == ["at 1", "at 3", "at 5", "at 7", "at 9"]
    taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "at 9.5", "timestamp": BEGIN + 9.5}))
    taking.take(message(MessageType.ANOMALY_ALERT, {"kind": "at 0", "timestamp": BEGIN}))
    taking.close()
    found = [(note.time, note.text) for note in read(path).annotations]
    assert found == [(at, f"at {at}") for at in (0, 1, 3, 5, 7, 9, 9.5)]
    assert not list(tmp_path.glob(".*"))


def test_a_new_file_is_started_when_one_is_full_of_alerts(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_recorder, "FULL_OF_ALERTS", 10)
    taking = recorder(tmp_path, "wfdb")
    one = np.arange(250, dtype=np.int16)
    taking.take(signal(one, BEGIN, 0, gain=200.0, baseline=0))
    for number in range(25):
        taking.take(message(MessageType.ANOMALY_ALERT, {"kind": f"{number}", "timestamp": BEGIN + number / 25}))
    taking.take(signal(one, BEGIN + 1, 1, gain=200.0, baseline=0))
    taking.close()
    parts = [read(path) for path in openers(taking.summary)]
    assert [(part.samples, len(part.annotations)) for part in parts] == [(250, 20), (250, 0)]
    assert (taking.summary.alerts, taking.summary.annotated) == (25, 20)
    assert "a file had more than 20 alerts" in taking.summary.remarks[0]


def test_streams_with_similar_names_have_separate_files(tmp_path):
    """The first sample of a stream reserves its file name, before anything is written."""
    one = signal(np.arange(100, dtype=np.int16), BEGIN, 0, gain=200.0, baseline=0)
    names = ("ecg/1", "ecg_1")
    both = [StreamRecorder(name, FileSeries(name, tmp_path, "edf", is_folder=True)) for name in names]
    for taking in both:
        taking.take(one)
    for taking in both:
        taking.close()
    assert {file.name for taking in both for file in taking.summary.files} == {
        "ecg_1_20231114T221320.edf",
        "ecg_1_20231114T221320_2.edf",
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists on Linux only")
def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    taking = recorder(tmp_path, "wfdb")
    first, second, *_ = messages_of(shipped_ecg())
    taking.take(first)
    taking.flush()
    data = taking._writer._data
    whole, data._file = data._file, open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed below
    with pytest.raises(OSError, match="No space left") as caught:
        taking.take(second)
    assert str(caught.value.filename).endswith(".dat")
    data._file.close()
    data._file = whole
    taking.close()
    assert read(taking.summary.files[0]).samples == 250


# --- arbitrary messages ---

VALID = Codec(validate=True, numeric_lists="ndarray")
NUMBERS = st.sampled_from([0, 1, -1, 0.5, 200, 1e-9, 1e12, -1e300, 1e300, 5e-324, 2**40])
TIMES = st.sampled_from([0, 1.5, BEGIN, BEGIN + 0.2, BEGIN + 1e4, BEGIN - 5, 1e12, 1e300, -1e300])


@st.composite
def payloads(draw):
    if draw(st.integers(0, 5)) == 0:
        alert = {"kind": draw(st.text(max_size=40)), "timestamp": draw(TIMES)}
        return MessageType.ANOMALY_ALERT, alert | draw(
            st.fixed_dictionaries({}, optional={"start": TIMES, "end": TIMES})
        )
    dtype = draw(st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]))
    shape = draw(st.tuples(st.integers(1, 2), st.integers(0, 60)))
    signal = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8
    )
    data = {
        "signal": signal.view(dtype)[..., 0],
        "sampling_rate": draw(st.sampled_from([250, 250, 1e-5, 0.1, 333.3, 2**20, 1e9])),
    }
    return MessageType.ECG_DATA, data | draw(
        st.fixed_dictionaries(
            {},
            optional={
                "gain": NUMBERS,
                "baseline": NUMBERS,
                "missing": st.integers(-(2**31), 2**31),
                "sequence": st.integers(0, 5) | st.just(2**60),
                "timestamp": TIMES,
                "units": st.text(max_size=12),
                "leads": st.just(["I"] * shape[0])
                | st.lists(st.text(max_size=20), min_size=shape[0], max_size=shape[0]),
            },
        )
    )


def one_sample(dtype, value, **fields):
    return MessageType.ECG_DATA, {"signal": np.array([[value]], dtype), "sampling_rate": 250, **fields}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@given(messages=st.lists(payloads(), min_size=1, max_size=8))
@example(messages=[one_sample("i1", 95, gain=1, baseline=-1e300)])
@example(messages=[one_sample("i1", 95), one_sample("u4", 3653403231)])
@example(
    messages=[
        (MessageType.ANOMALY_ALERT, {"kind": "", "timestamp": 1e300, "start": 0}),
        one_sample("i1", 95, timestamp=0),
    ]
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_arbitrary_messages_are_recorded_or_refused(tmp_path_factory, form, messages):
    """No message crashes the recorder, and all files can be read."""
    taking = recorder(tmp_path_factory.mktemp("any"), form)
    with np.errstate(all="ignore"), contextlib.suppress(RecordError):
        for type, data in messages:
            try:
                frame = VALID.encode(type, data)
            except ProtocolError:
                continue
            taking.take(VALID.decode(frame))
    with np.errstate(all="ignore"):
        taking.close()
    for path in openers(taking.summary):
        if path.stat().st_size:
            read(path)


@pytest.mark.parametrize("form", ["wfdb", "frames"])
def test_signals_of_other_units_are_left_out_with_a_remark(tmp_path, form):
    fields = {"leads": ["RESP", "II"], "units": "mV", "lead_units": ["Ohm", "mV"], "gain": [100, 200], "baseline": 0}
    taking = recorder(tmp_path, form)
    taking.take(signal(np.array([[1, 2, 3], [200, 400, 600]], np.int16), BEGIN, **fields))
    taking.close()
    assert taking.summary.remarks[0] == "signals of other units than mV were not written: RESP (Ohm)"
    found = read(Path(taking.summary.files[0]))
    assert (found.leads, found.units) == (("II",), "mV")
    np.testing.assert_allclose(found.physical(), [[1, 2, 3]])

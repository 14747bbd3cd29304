"""Heart detection in a server: beats with their times, alarms with beginning and end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import numpy as np
import pytest
from hearts import LEADS, RATE, Heart, electrode_noise, sinus
from running import run

from ecgframe import decode, encode
from ecgframe.messages import check_sent
from ecgframe.protocol import MessageType
from ecgframe.server.detection import HeartDetection, StreamDetection
from ecgframe.server.ecg_payload import NotDetectable, ecg_in_millivolts, samples_of

BEGAN = 1.7e9
SAMPLES = 25
"""Samples of each lead in a message."""


def payloads(values, *, speed=1.0, **fields):
    """Yield the payloads of a signal [leads, samples] in mV."""
    for number, first in enumerate(range(0, values.shape[1], SAMPLES)):
        yield {
            "signal": values[:, first : first + SAMPLES],
            "sampling_rate": RATE,
            "leads": list(LEADS),
            "units": "mV",
            "sequence": number,
            "timestamp": BEGAN + first / RATE / speed,
            **fields,
        }


def taken(messages, detection=None):
    """Return the features and the alerts that are found in messages, after the checks of a sender."""
    detection = detection or StreamDetection()
    found = [one for message in messages for one in detection.take(message)]
    for type, data in found:
        check_sent(type, data)
    return tuple([data for type, data in found if type == wanted] for wanted in (MessageType.FEATURE_DATA, ALERT))


ALERT = MessageType.ANOMALY_ALERT


def peaks(features):
    return np.concatenate([message["features"]["r_peaks"] for message in features])


@pytest.fixture(scope="module")
def stopping():
    """Beats for 20 s, none for 12 s, beats for 12 s."""
    heart = Heart()
    heart.beat("before", 75, 20)
    heart.add("asystole", 0 * sinus(75, 12))
    heart.beat("after", 75, 12)
    return heart


@pytest.mark.parametrize("speed", [1, 4])
def test_every_beat_is_reported_once_with_its_time(speed):
    heart = Heart()
    heart.beat("all", 72, 30)
    features, alerts = taken(payloads(heart.signal(), speed=speed))
    assert alerts == []
    expected = BEGAN + np.array(heart.beats)[:-1] / speed
    told = peaks(features)
    late = told[told > BEGAN + 3 / speed]  # a detector may need seconds to learn
    for moment in expected[expected > BEGAN + 3 / speed]:
        assert np.sum(np.abs(late - moment) < 0.02 / speed) == 1, moment
    assert len(late) <= len(expected)
    rates = [message["features"]["heart_rate"] for message in features if message["timestamp"] > BEGAN + 8 / speed]
    assert rates == pytest.approx([72] * len(rates), abs=1)
    assert features[-1]["lead"] == "II"
    # Each describes the signal since the previous one.
    ends = [message["timestamp"] + message["window"] / speed for message in features]
    assert [message["timestamp"] for message in features[1:]] == pytest.approx(ends[:-1], abs=1e-3)


def test_asystole_causes_an_alert_at_its_beginning_and_one_at_its_end(stopping):
    features, alerts = taken(payloads(stopping.signal()))
    begun, ended = alerts
    last = BEGAN + stopping.last_beat(30)
    assert (begun["kind"], begun["severity"], begun["lead"]) == ("asystole", "critical", "II")
    assert begun["start"] == pytest.approx(last, abs=0.02)
    assert 3.5 < begun["timestamp"] - begun["start"] <= 4
    assert (ended["kind"], ended["severity"], ended["start"]) == ("asystole", "info", begun["start"])
    assert ended["end"] == pytest.approx(BEGAN + stopping.begins["after"], abs=4)
    assert ended["message"].startswith("beats again after ")
    silent = [m["features"]["heart_rate"] for m in features if begun["timestamp"] < m["timestamp"] < ended["end"] - 1.5]
    assert len(silent) >= 3
    assert np.isnan(silent).all()


def test_leads_that_are_off_cause_a_warning_and_another_lead_is_used():
    heart = Heart()
    heart.beat("all", 75, 30)
    signal = heart.signal()
    signal[1, 10 * RATE : 20 * RATE] = np.nan
    features, alerts = taken(payloads(signal))
    begun, ended = alerts
    assert (begun["kind"], begun["severity"], begun["lead"]) == ("lead_off", "warning", "II")
    assert begun["message"] == "lead off: II"
    assert begun["start"] == pytest.approx(BEGAN + 10.5, abs=0.6)
    assert ended["end"] == pytest.approx(BEGAN + 22, abs=1.5)
    assert {message["lead"] for message in features if BEGAN + 13 < message["timestamp"] < BEGAN + 19} <= {"I", "V2"}


def test_a_lead_that_the_device_reports_as_off_is_ignored():
    heart = Heart()
    heart.beat("all", 75, 15)
    features, alerts = taken(payloads(heart.signal(), lead_status=["ok", "off", "ok"]))
    assert [alert["lead"] for alert in alerts] == ["II"]
    assert features[-1]["lead"] in {"I", "V2"}
    assert features[-1]["features"]["heart_rate"] == pytest.approx(75, abs=1)


def test_a_lost_message_affects_one_interval_but_not_the_rate():
    heart = Heart()
    heart.beat("all", 75, 30)
    kept = [message for message in payloads(heart.signal()) if message["sequence"] % 40 != 7]
    features, alerts = taken(kept)
    assert alerts == []
    rates = [message["features"]["heart_rate"] for message in features if message["timestamp"] > BEGAN + 8]
    assert rates == pytest.approx([75] * len(rates), abs=2)
    told = peaks(features)
    for moment in told[told > BEGAN + 3]:
        assert min(abs(BEGAN + np.array(heart.beats) - moment)) < 0.02


def test_detection_starts_again_with_another_signal_or_after_a_long_gap(stopping):
    detection = StreamDetection()
    silent = list(payloads(stopping.signal()[:, : 26 * RATE]))
    _, [begun] = taken(silent, detection)
    later = [{**message, "sequence": message["sequence"] + 10_000} for message in silent[:40]]
    _, [ended] = taken(later, detection)
    assert (ended["start"], ended["message"]) == (begun["start"], "the signal was interrupted")
    _, alerts = taken([{**silent[0], "leads": ["A", "B", "C"]}], detection)
    assert alerts == []


def test_streams_without_timestamps_have_alerts(stopping):
    messages = [{key: message[key] for key in ("signal", "sampling_rate")} for message in payloads(stopping.signal())]
    features, alerts = taken(messages, StreamDetection(wall_clock=lambda: 12.5))
    assert [(alert["timestamp"], "start" in alert) for alert in alerts] == [(12.5, False)] * 2
    assert len(peaks(features)) == 0
    assert any(message["features"]["rr_intervals"].size for message in features)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"signal": [1, 2]}, [[1, 2]]),
        ({"signal": [[1000, 2000]], "units": "uV"}, [[1, 2]]),
        ({"signal": [[0.001]], "units": "V"}, [[1]]),
        ({"signal": np.array([[10, 30], [10, 30]], "i2"), "gain": [10, 20], "baseline": [0, 10]}, [[1, 3], [0, 1]]),
        ({"signal": np.array([2200], "i2"), "gain": 2, "baseline": 200, "units": "µV"}, [[1]]),
    ],
)
def test_payloads_are_converted_to_millivolts(fields, expected):
    values = samples_of(fields)
    found, rows = ecg_in_millivolts(fields, values, ["II", "V1"][: len(values)])
    np.testing.assert_allclose(found, expected)
    assert rows == tuple(range(len(values)))


@pytest.mark.parametrize(
    "fields", [{"units": "counts"}, {"units": "mmHg"}, {"sampling_rate": 20}, {"gain": [1, 2]}, {"signal": "x"}]
)
def test_a_signal_that_cannot_be_analyzed_is_published_and_reported_once(fields):
    published, refused = [], []

    async def publishing():
        async def publish(stream, type, data):
            published.append((stream, type))
            return len(published)

        detection = HeartDetection(publish, on_refused=lambda *why: refused.append(why))
        for message in payloads(np.zeros((3, 500)), **fields):
            assert await detection.publish("a", MessageType.ECG_DATA, message) == len(published)
        await detection.publish("a", MessageType.ANOMALY_ALERT, {"kind": "x", "timestamp": 1.0})

    run(publishing())
    assert published == [("a", MessageType.ECG_DATA)] * 20 + [("a", MessageType.ANOMALY_ALERT)]
    [(stream, why)] = refused
    assert stream == "a"
    assert why
    with pytest.raises(NotDetectable):
        StreamDetection().take(next(payloads(np.zeros((3, 500)), **fields)))


def test_the_message_is_published_first_and_each_stream_has_its_own_detector(stopping):
    published = []

    async def publishing():
        async def publish(stream, type, data):
            published.append((stream, type, data))

        detection = HeartDetection(publish)
        noise = np.stack([electrode_noise(26 * RATE, seed) for seed in range(3)])
        for one, other in zip(payloads(stopping.signal()), payloads(noise), strict=False):
            await detection.publish("beats", MessageType.ECG_DATA, one)
            await detection.publish("none", MessageType.ECG_DATA, other)

    run(publishing())
    assert [type for _, type, _ in published[:2]] == [MessageType.ECG_DATA] * 2
    rates = {stream: [] for stream in ("beats", "none")}
    for stream, type, data in published:
        if type == MessageType.FEATURE_DATA:
            rates[stream].append(data["features"]["heart_rate"])
    assert np.isnan(rates["none"]).all()
    assert np.nanmedian(rates["beats"]) == pytest.approx(75, abs=1)


# --- what peers publish ---


def spoken(stream, data, type=MessageType.ECG_DATA):
    """A message of a peer, as a handler's ``on_message`` gets it."""
    return decode(encode(type, {"stream": stream, **data}))


def analyzing(messages, **options):
    """Return what is published and refused for these messages of peers."""
    published, refused = [], []

    async def publish(stream, type, data):
        published.append((stream, type, data))

    async def taking():
        detection = HeartDetection(publish, on_refused=lambda *why: refused.append(why), **options)
        for message in messages:
            await detection.on_message(None, message)

    run(taking())
    return published, refused


def test_messages_of_peers_are_analyzed():
    heart = Heart()
    heart.beat("all", 75, 12)
    others = [
        spoken("a", {"kind": "x", "timestamp": 1.0, "severity": "info"}, ALERT),
        decode(encode(MessageType.ECG_DATA, {"signal": [1.0], "sampling_rate": 250})),
    ]
    published, refused = analyzing([*others, *(spoken("bed/7", data) for data in payloads(heart.signal()))])
    assert refused == []
    assert {stream for stream, _, _ in published} == {"bed/7"}
    rates = [data["features"]["heart_rate"] for _, type, data in published if type == MessageType.FEATURE_DATA]
    assert rates[-1] == pytest.approx(75, abs=1)


@pytest.mark.slow
def test_the_number_of_analyzed_streams_is_limited_until_one_is_idle(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("ecgframe.server.detection.time.monotonic", lambda: now[0])
    published, refused = [], []

    async def publish(stream, type, data):
        published.append(stream)

    async def taking():
        detection = HeartDetection(publish, on_refused=lambda *why: refused.append(why), max_streams=2)
        signal = sinus(75, 12) * np.ones((3, 1))

        async def play(*streams):
            for data in payloads(signal):
                for stream in streams:
                    await detection.on_message(None, spoken(stream, data))

        await play("a", "b", "c")
        assert set(published) == {"a", "b"}
        now[0] += 50
        await play("b")
        now[0] += 50
        published.clear()
        await play("b", "c")  # "a" had no message for a minute
        assert set(published) == {"b", "c"}

    run(taking())
    [(stream, why)] = refused
    assert (stream, why.split()[:2]) == ("c", ["2", "streams"])
    with pytest.raises(ValueError, match="at least 1, not 0"):
        HeartDetection(publish, max_streams=0)


@pytest.mark.slow
def test_a_long_message_does_not_block_the_loop_and_stays_in_order():
    heart = Heart()
    heart.beat("all", 75, 60)
    signal = heart.signal()
    before, long, after = (signal[:, a * RATE : b * RATE] for a, b in ((0, 10), (10, 50), (50, 60)))
    published, threads = [], set()

    async def publish(stream, type, data):
        published.append(data)
        threads.add(threading.get_ident())

    class Noting(StreamDetection):
        def take(self, data):
            took.append((np.shape(data["signal"])[1], threading.get_ident()))
            return super().take(data)

    took = []

    async def taking():
        detection = HeartDetection(publish)
        detection._streams["a"] = analyzed = detection._detection_of("a")
        analyzed.detection = Noting()
        whole = [*payloads(before), {**next(payloads(before)), "signal": long}, *payloads(after)]
        messages = [{**data, "sequence": number, "timestamp": None} for number, data in enumerate(whole)]
        await asyncio.gather(*[detection.on_message(None, spoken("a", data)) for data in messages])

    run(taking())
    here = threading.get_ident()
    assert [size for size, _ in took] == [SAMPLES] * 100 + [40 * RATE] + [SAMPLES] * 100
    assert [thread == here for size, thread in took] == [size == SAMPLES for size, _ in took]
    assert threads == {here}
    intervals = np.concatenate([data["features"]["rr_intervals"] for data in published])
    assert len(intervals) >= 72


@pytest.mark.parametrize(
    "fields",
    [
        {"leads": ["I"]},
        {"leads": [1, 2, 3]},
        {"pacing": [float("nan"), "x", None, [1], -3, 5]},
        {"pacing": np.zeros((2, 2))},
        {"lead_status": [None, {}, 3]},
        {"timestamp": float("inf")},
        {"sequence": 2**62},
        {"gain": [0, 0, 0]},
        {"signal": np.zeros((65, 500))},
        {"signal": np.zeros((2, 2, 2))},
        {"signal": [[1.0], [2.0, 3.0], []]},
        {"signal": []},
        {"sampling_rate": float("nan")},
        {"sampling_rate": float("inf")},
        {"sampling_rate": -1},
    ],
)
def test_no_message_of_a_peer_breaks_the_detection(fields):
    detection, good = StreamDetection(), next(payloads(sinus(75, 1) * np.ones((3, 1))))
    for data in (good, {**good, **fields}, good, {**good, **fields, "sequence": 0}):
        assert detection.effort(data) >= 0
        with suppress(NotDetectable):
            detection.take(data)


def test_signals_beside_the_ecg_are_no_leads_of_the_detector():
    heart = Heart()
    heart.beat("beats", 75, 20)
    values = heart.signal()
    at = np.arange(values.shape[1]) / RATE
    beside = np.stack([1 + np.sin(at), 80 + 40 * np.sin(2 * np.pi * at / 0.4)])  # 150 pulses a minute
    mixed = np.concatenate([beside[:1], values, beside[1:]])
    fields = {"leads": ["RESP", *LEADS, "ABP"], "lead_units": ["Ohm", *["mV"] * len(LEADS), "mmHg"]}
    features, alerts = taken(payloads(mixed, **fields))
    alone, _ = taken(payloads(values))
    np.testing.assert_array_equal(peaks(features), peaks(alone))
    assert features[-1]["lead"] == alone[-1]["lead"]
    assert alerts == []
    states = {"lead_status": ["off", *["ok"] * len(LEADS), "off"]}
    assert taken(payloads(mixed, **fields, **states))[1] == []
    with pytest.raises(NotDetectable, match=r"none of its leads is an ECG: ABP in mmHg"):
        StreamDetection().take({"signal": [[1.0]], "sampling_rate": RATE, "leads": ["ABP"], "units": "mmHg"})

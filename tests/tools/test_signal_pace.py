from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from recordings import optional

from ecgframe import Codec, MessageType, encode

optional("websockets")

from ecgframe.tools.budget import Budget  # noqa: E402 - after the skip
from ecgframe.tools.observation import Delivery  # noqa: E402
from ecgframe.tools.replay import part_of  # noqa: E402
from ecgframe.tools.signal_pace import SignalPace  # noqa: E402

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def ecg(samples=500, rate=250, **fields):
    return encode(MessageType.ECG_DATA, {"signal": np.zeros((2, samples)), "sampling_rate": rate, **fields})


def dues(*frames):
    pace = SignalPace(Budget())
    return [pace.due(Delivery(frame)) for frame in frames]


@pytest.mark.parametrize("begin", [0.0, 1.7e9, NOON], ids=["from the start", "Unix seconds", "dates"])
def test_by_the_timestamps_in_the_messages(begin):
    times = [begin + (timedelta(seconds=n) if begin is NOON else n) for n in (0, 2, 4.5, 4.5)]
    assert dues(*[ecg(timestamp=time) for time in times]) == pytest.approx([0, 2, 4.5, 4.5])


def test_messages_without_timestamps_follow_the_samples_before():
    assert dues(ecg(500), ecg(125), ecg(500)) == pytest.approx([0, 2, 2.5])


def test_streams_go_beside_one_another():
    frames = [ecg(stream=name) for name in "abab"]
    assert dues(*frames) == pytest.approx([0, 0, 2, 2])


def test_other_messages_go_with_the_one_before():
    ping = encode(MessageType.PING, None)
    assert dues(ping, ecg(), ping, ecg(), ping) == pytest.approx([0, 0, 0, 2, 2])


@pytest.mark.parametrize("step", [-5000, 100_000])
def test_another_clock_is_no_pause(step):
    assert dues(ecg(timestamp=1e6), ecg(timestamp=1e6 + 2), ecg(timestamp=1e6 + step)) == pytest.approx([0, 2, 4])


@pytest.mark.parametrize(
    "frame", [b"\x03broken", encode(MessageType.ECG_DATA, {"signal": [], "sampling_rate": 0})], ids=["broken", "empty"]
)
def test_messages_without_a_signal_have_no_pace(frame):
    pace = SignalPace(Budget())
    assert (pace.due(Delivery(frame)), pace.has_signal) == (0.0, False)


def test_a_part_is_played_at_the_pace_of_its_signal():
    """Return half an hour of frames that were written within a second."""
    codec = Codec()
    frames = [
        codec.encode(MessageType.ECG_DATA, {"signal": np.zeros(250), "sampling_rate": 250, "timestamp": float(n)})
        for n in range(1800)
    ]
    part = part_of(map(Delivery, frames), from_server=True)
    assert [cue.after for cue in part] == pytest.approx(range(1800))

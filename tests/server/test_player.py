import asyncio
import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtually, spend

from ecgframe import Codec, MessageType
from ecgframe.records import Record, RecordError, shipped_ecg
from ecgframe.records.loop_point import seamless
from ecgframe.server.player import Frames, Loop, Player

EPOCH = 1_705_314_645.0


@dataclass
class Published:
    moment: float
    stream: str
    type: MessageType
    data: dict[str, Any]


def counting(samples: int = 1000, rate: float = 250, leads: int = 2) -> Record:
    """A signal in which every sample encodes its number and its lead."""
    signal = np.arange(samples * leads, dtype=np.int32).reshape(leads, samples)
    return Record(signal, rate, tuple(f"L{lead}" for lead in range(leads)), "mV", (200,) * leads, (0,) * leads, "count")


def play(loop, frames, streams=("ecg/1",), between=lambda number: None, *, ahead=lambda: EPOCH, **options):
    """Return the first published frames of each stream; the wall clock is ``ahead`` of the loop's."""
    published: list[Published] = []

    async def playing() -> list[Published]:
        clock = asyncio.get_running_loop().time
        enough = asyncio.Event()

        async def publish(stream: str, message_type: MessageType, data: dict[str, Any]) -> None:
            published.append(Published(clock(), stream, message_type, data))
            between(data["sequence"])
            if len(published) == frames * len(streams):
                enough.set()
                await asyncio.Future()

        player = Player(loop, streams, publish, wall_clock=lambda: clock() + ahead(), **options)
        task = asyncio.create_task(player.run())
        await enough.wait()
        task.cancel()
        return published

    return run_virtually(playing())


def signal_of(published: list[Published]):
    return np.concatenate([message.data["signal"] for message in published], axis=1)


@given(
    samples=st.integers(1, 60),
    rate=st.sampled_from([100, 125, 128.37, 250, 360, 1000]),
    milliseconds=st.sampled_from([10, 33.3, 50, 500]),
    offset=st.integers(0, 100),
)
def test_frames_hold_every_sample_once_in_order_over_every_seam(samples, rate, milliseconds, offset):
    record = counting(samples, rate)
    frames = Frames(Loop(record), Fraction(milliseconds) / 1000)
    messages = [frames.message(number, offset, 0.0) for number in range(30)]
    played = np.concatenate([message["signal"] for message in messages], axis=1)
    np.testing.assert_array_equal(
        played, np.take(record.signal, range(offset, offset + played.shape[1]), 1, mode="wrap")
    )
    lengths = [message["signal"].shape[1] for message in messages]
    assert set(lengths) <= {int(rate * milliseconds / 1000), int(rate * milliseconds / 1000) + 1}
    assert sum(lengths) == int(30 * Fraction(milliseconds) / 1000 * Fraction(rate))


def test_a_part_of_a_recording_loops_within_its_bounds():
    record = counting(100, leads=1)
    loop = Loop(record, range(10, 30))
    assert loop.length == 20
    assert loop.samples(0, 20).tolist() == [list(range(10, 30))]
    assert loop.samples(35, 45).tolist() == [[25, 26, 27, 28, 29, 10, 11, 12, 13, 14]]


def test_a_frame_needs_a_sample():
    with pytest.raises(RecordError, match="a frame of 1 ms holds no sample at 250 Hz; 4 ms is the least"):
        Frames(Loop(counting()), Fraction(1, 1000))


def test_messages_pass_the_checks_of_a_receiver():
    record = shipped_ecg()
    [published] = play(Loop(record), 1)
    codec = Codec(validate=True)
    assert published.type is MessageType.ECG_DATA
    data = codec.decode(codec.encode(published.type, published.data)).data
    assert data["signal"].dtype == np.int16
    np.testing.assert_array_equal((data["signal"] - data["baseline"]) / data["gain"], record.physical()[:, :50])
    assert (data["leads"], data["units"], data["sampling_rate"]) == (list(record.leads), "mV", 1000)


def test_physical_samples_are_sent_without_calibration():
    record = Record(np.array([[0.25, 0.5] * 50]), 100, ("I",), source="floats")
    [published] = play(Loop(record), 1)
    assert published.data["signal"].dtype == np.float64
    assert not {"gain", "baseline"} & published.data.keys()


@pytest.mark.slow
def test_timing_does_not_drift_over_hours():
    frames = 2 * 3600 * 4
    published = play(Loop(counting(rate=250)), frames, frame_seconds=Fraction(1, 4))
    moments = np.array([message.moment for message in published])
    np.testing.assert_allclose(moments, np.arange(frames) / 4, rtol=0, atol=1e-6)
    timestamps = np.array([message.data["timestamp"] for message in published])
    samples = np.array([message.data["signal"].shape[1] for message in published])
    first = np.concatenate([[0], np.cumsum(samples)[:-1]])
    np.testing.assert_allclose(timestamps, EPOCH - 0.25 + first / 250, rtol=0, atol=2e-6)
    assert [message.data["sequence"] for message in published] == list(range(frames))


def test_a_frame_is_published_when_its_last_sample_is_due():
    for message in play(Loop(counting(rate=250)), 20):
        ends = message.data["timestamp"] + message.data["signal"].shape[1] / 250
        assert ends == pytest.approx(EPOCH + message.moment, abs=1 / 250)


def test_late_frames_are_caught_up():
    published = play(Loop(counting()), 40, between=lambda number: spend(0.43) if number == 10 else None)
    on_time = np.arange(40) * 0.05
    late = np.array([message.moment for message in published]) - on_time
    assert late[:11] == pytest.approx(0, abs=1e-6)
    assert late[11:19] == pytest.approx(0.43 - 0.05 * np.arange(1, 9), abs=1e-6)
    assert late[19:] == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(signal_of(published), counting().signal[:, :500])
    timestamps = np.array([message.data["timestamp"] for message in published])
    assert np.diff(timestamps) == pytest.approx(0.05, abs=1 / 250)


def test_other_tasks_run_while_the_player_is_behind():
    turns: list[int] = []

    async def behind() -> None:
        enough = asyncio.Event()

        async def publish(stream: str, message_type: MessageType, data: dict[str, Any]) -> None:
            spend(0.1)
            turns.append(0)
            if data["sequence"] == 100:
                enough.set()

        async def other() -> None:
            while not enough.is_set():
                turns.append(1)
                await asyncio.sleep(0.01)

        player = asyncio.create_task(Player(Loop(counting()), ["ecg/1"], publish).run())
        await other()
        player.cancel()

    run_virtually(behind())
    assert sum(turns) >= 100


def test_a_player_that_cannot_keep_up_logs_it_occasionally(caplog):
    with caplog.at_level(logging.WARNING):
        play(Loop(counting()), 1000, between=lambda number: spend(0.06))
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "the player is 1.0 s behind"
    assert 4 <= len(texts) <= 6


def test_speed_applies_to_frames_and_timestamps():
    published = play(Loop(counting()), 100, speed=4)
    assert [message.moment for message in published] == pytest.approx(np.arange(100) * 0.0125)
    timestamps = np.array([message.data["timestamp"] for message in published])
    assert timestamps[-1] - timestamps[0] == pytest.approx(99 * 0.0125, abs=1 / 250)
    assert published[0].data["sampling_rate"] == 250
    np.testing.assert_array_equal(signal_of(published)[:, :1000], counting().signal)


def test_every_stream_begins_at_another_position_and_uses_the_same_clock():
    published = play(Loop(counting()), 3, streams=("ecg/1", "ecg/2", "ecg/3", "ecg/4"))
    begins = {message.stream: int(message.data["signal"][0, 0]) for message in published[:4]}
    assert begins == {"ecg/1": 0, "ecg/2": 250, "ecg/3": 500, "ecg/4": 750}
    assert len({(message.moment, message.data["timestamp"]) for message in published}) == 3


def test_timestamps_follow_a_clock_that_was_set(caplog):
    set_by = [EPOCH]

    def between(number: int) -> None:
        set_by[0] += {10: 3600.0, 20: 0.2}.get(number, 0)

    with caplog.at_level(logging.WARNING):
        published = play(Loop(counting(rate=1000)), 30, between=between, ahead=lambda: set_by[0])
    steps = np.diff([message.data["timestamp"] for message in published])
    assert steps[10] == pytest.approx(3600.05)
    assert np.delete(steps, 10) == pytest.approx(0.05, abs=1e-5)  # a small step is ignored
    assert [record.getMessage() for record in caplog.records] == ["the clock was set by 3600.000 s"]


def test_the_shipped_ecg_loops_without_a_jump():
    record = shipped_ecg()
    loop = Loop(record, seamless(record))
    around = loop.samples(loop.length - 200, loop.length + 200) * 0.00125
    steps = np.abs(np.diff(around, axis=1))
    assert steps[:, 199].max() <= 0.05  # in mV; the largest step in a QRS complex is 0.17
    everything = loop.samples(0, loop.length + 1)
    np.testing.assert_array_equal(everything[:, -1], everything[:, 0])

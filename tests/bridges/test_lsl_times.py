"""The clocks of the bridge, and how it handles wrong times. Without LSL."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import optional

optional("websockets")

from ecgframe.bridges.lsl.limits import LONGEST_FILL, MOST_VALUES, FillBudget, rate_problem  # noqa: E402 - after the skip
from ecgframe.bridges.lsl.sample_times import JUMP, MOST_CORRECTION, SampleTimes  # noqa: E402
from ecgframe.bridges.lsl.server_clock import FIRST, SLEW, STEP, ClockKeeper, ServerClock  # noqa: E402
from ecgframe.client import State  # noqa: E402


def test_the_first_measurement_is_taken_as_it_is():
    clock = ServerClock()
    assert not clock.is_measured
    clock.measure(1000.25, 10)
    assert clock.is_measured
    assert clock.difference(10) == clock.difference(99) == 1000.25
    assert clock.steps == 0


def test_a_small_change_is_followed_gradually():
    clock = ServerClock()
    clock.measure(1000.0, 0)
    clock.measure(1000.01, 2)
    assert clock.difference(2) == 1000.0
    assert clock.difference(7) == pytest.approx(1000.005)
    assert clock.difference(12) == clock.difference(50) == 1000.01


def test_a_step_is_followed_at_once_and_counted():
    clock = ServerClock()
    clock.measure(1000.0, 0)
    clock.measure(400.0, 2)
    assert clock.difference(2) == 400.0
    assert clock.steps == 1


@given(st.lists(st.floats(-STEP / 2, STEP / 2), min_size=1, max_size=50))
def test_without_steps_mapped_times_rise_evenly(errors):
    clock = ServerClock()
    mapped = []
    for number, error in enumerate(errors):
        clock.measure(1e6 + error, number * 2.0)
        mapped += [number * 2.0 + at + clock.difference(number * 2.0 + at) for at in np.arange(0, 2, 0.25)]
    assert clock.steps == 0
    np.testing.assert_allclose(np.diff(mapped), 0.25, atol=0.25 * SLEW + 1e-9)


@given(st.lists(st.floats(-JUMP / 3, JUMP / 3), min_size=1, max_size=50))
def test_jitter_of_stated_times_is_smoothed(jitter):
    times = SampleTimes()
    begins = [times.place(100 + number * 0.1 + late, 50, 500) for number, late in enumerate(jitter)]
    assert begins[0] == 100 + jitter[0]
    np.testing.assert_allclose(np.diff(begins), 0.1, atol=0.1 * MOST_CORRECTION + 1e-9)
    assert times.jumps == 0


def test_a_drifting_device_is_followed():
    """A device whose clock gains 100 ppm: after an hour its samples are still at the stated times."""
    times = SampleTimes()
    for number in range(36_000):
        stated = number * 0.1 * (1 + 1e-4)
        begin = times.place(stated, 50, 500)
    assert abs(begin - stated) < 0.001


@pytest.mark.parametrize("jump", [-3600.0, -2.0, 2.0, 3600.0])
def test_a_jump_of_stated_times_is_followed_and_counted(jump):
    times = SampleTimes()
    times.place(100, 50, 500)
    assert times.place(100.1 + jump, 50, 500) == 100.1 + jump
    assert times.jumps == 1


def test_missing_samples_take_their_time():
    times = SampleTimes()
    times.place(100, 50, 500)
    assert times.skip(100, 500) == pytest.approx(100.1)
    assert times.place(100.3, 50, 500) == pytest.approx(100.3)
    assert times.jumps == 0


def test_no_sender_can_make_the_bridge_insert_more_than_time_passes():
    budget = FillBudget(0)
    assert budget.spend(LONGEST_FILL, 0)
    assert not budget.spend(1, 0.5)
    assert budget.spend(1, 1.5)
    assert not budget.spend(1, 1.5)
    assert not budget.spend(LONGEST_FILL + 1, 1e9)


@pytest.mark.parametrize(
    ("rate", "channels", "problem"),
    [
        (500, 12, None),
        (0, 1, "its sampling rate is 0 Hz"),
        (1e6, 1, "passes on 0.001 to 100,000 Hz"),
        (500, 0, "it has 0 channels"),
        (float("nan"), 1, "its sampling rate is nan Hz"),
        (MOST_VALUES / 20, 21, "at most 1,000,000 values a second"),
        (1, 5000, "it has 5,000 channels"),
    ],
)
def test_streams_that_would_take_too_much_memory_are_refused(rate, channels, problem):
    found = rate_problem(rate, channels)
    assert found is problem or problem in found


class ScriptedClient:
    """A client whose round trips are scripted: each PING takes the next offset of the server's clock."""

    state = State.CONNECTED

    def __init__(self, offsets) -> None:
        self.offsets = deque(offsets)
        self.pings = 0
        self.clock_offset: float | None = None

    async def ping(self) -> float:
        self.pings += 1
        self.clock_offset = self.offsets.popleft() if len(self.offsets) > 1 else self.offsets[0]
        return 0.001


async def measured(keeper: ClockKeeper, client: ScriptedClient) -> None:
    """Let the keeper measure once."""
    before = client.pings
    keeping = asyncio.create_task(keeper.keep(client))
    while client.pings == before:
        await asyncio.sleep(0)
    await keeper.ready()
    keeping.cancel()
    await asyncio.wait([keeping])


def test_the_clock_is_measured_again_after_a_reconnection():
    async def main():
        keeper, client = ClockKeeper(lambda: 100.0), ScriptedClient([5.0])
        keeper.on_state(State.CONNECTED)
        await measured(keeper, client)
        assert client.pings == FIRST
        assert keeper.clock.difference(100) == pytest.approx(time.time() - 100 + 5, abs=1)
        keeper.on_state(State.RECONNECTING)
        keeper.on_state(State.CONNECTED)
        client.offsets = deque([3605.0])
        await measured(keeper, client)
        assert client.pings == 2 * FIRST
        return keeper.clock

    clock = asyncio.run(main())
    assert clock.steps == 1
    assert clock.difference(100) == pytest.approx(time.time() - 100 + 3605, abs=1)


def test_a_step_of_the_system_clock_does_not_change_the_map(monkeypatch):
    """The offset of the server's clock changes by the same step the other way."""
    system = [1e9]
    monkeypatch.setattr("ecgframe.bridges.lsl.server_clock.time", SimpleNamespace(time=lambda: system[0]))

    async def main():
        keeper, client = ClockKeeper(lambda: 100.0), ScriptedClient([5.0])
        await measured(keeper, client)
        system[0] += 60
        client.offsets = deque([5.0] * (FIRST - 1) + [-55.0])  # all but the last are from before the step
        before = client.pings
        await measured(keeper, client)
        return keeper.clock, client.pings - before

    clock, pings = asyncio.run(main())
    assert pings == FIRST
    assert clock.steps == 0
    assert clock.difference(100) == 1e9 + 5 - 100


def test_a_server_that_does_not_state_its_time_is_not_measured():
    async def main():
        keeper, client = ClockKeeper(lambda: 100.0), ScriptedClient([None])
        await measured(keeper, client)
        return keeper.clock

    assert not asyncio.run(main()).is_measured

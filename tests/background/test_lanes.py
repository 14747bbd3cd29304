"""Lanes: tasks one after the other, in the order in which they came, whatever becomes of them."""

import asyncio
import random

import pytest
from running import run

from ecgframe.background.lanes import Lanes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_each_lane_keeps_its_order_and_none_is_left(seed):
    dice = random.Random(seed)

    async def conversation():
        lanes, began, inside = Lanes(), {"a": [], "b": []}, {"a": 0, "b": 0}

        async def take(lane, number):
            async with lanes.turn(lane):
                inside[lane] += 1
                assert inside[lane] == 1
                began[lane].append(number)
                try:
                    for _ in range(dice.randrange(3)):
                        await asyncio.sleep(0)
                    if dice.random() < 0.2:
                        raise LookupError
                finally:
                    inside[lane] -= 1

        tasks = []
        for number in range(60):
            tasks.append(asyncio.create_task(take(dice.choice("ab"), number)))
            if dice.random() < 0.5:
                await asyncio.sleep(0)
            if dice.random() < 0.4:
                dice.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for lane in began.values():
            assert lane == sorted(lane)
        done = {number for number, result in enumerate(results) if not isinstance(result, asyncio.CancelledError)}
        assert done <= {*began["a"], *began["b"]}
        assert not lanes.taken

    run(conversation())


def test_a_task_cancelled_at_its_turn_passes_the_turn_on():
    async def conversation():
        lanes, order = Lanes(), []

        async def take(number):
            async with lanes.turn("lane"):
                order.append(number)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(take(number)) for number in range(3)]
        while order != [0] or not tasks[0].done():
            await asyncio.sleep(0)
            if tasks[0].done() and not tasks[1].done():
                tasks[1].cancel()
        await asyncio.wait(tasks)
        assert order in ([0, 2], [0, 1, 2])
        assert not lanes.taken

    run(conversation())

"""Viewers that come back after an interruption and ask for the present first."""

import asyncio

import numpy as np
import pytest
from server.numbered_viewer import numbered_viewer
from virtual_time import run_virtually

from ecgframe import MessageType
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

ALL = (1, 2, 3, 4)
ECG, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT


def handled(course, versions=ALL):
    async def go():
        loop = asyncio.get_running_loop()
        handler = WebSocketBinaryHandler(
            clock=lambda: 10**15 + round(loop.time() * 1e6),
            settings=Settings(versions=versions),
            limits=Limits(ring_seconds=600),
        )
        async with handler:
            await course(handler)

    run_virtually(go())


async def play(handler, first, last):
    """Publish one message for each number, twenty a second."""
    for n in range(first, last):
        signal = np.full((2, 25), n % 1000, "int16")
        await handler.publish("ecg/1", ECG, {"signal": signal, "sampling_rate": 500, "timestamp": n / 20, "n": n})
        await asyncio.sleep(0.05)


def numbers(viewer):
    return [message.data["n"] for message in viewer.received]


def test_by_number_the_present_comes_first_and_the_gap_is_exact():
    async def course(handler):
        await play(handler, 0, 100)
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1")
            await play(handler, 100, 120)
            viewer.talk()
            place = {"epoch": answer.epoch, "after": viewer.numbers[-1]}
        await play(handler, 120, 1320)  # 60 seconds
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1", **place, catch_up=1.01)
            await viewer.settle()
            assert numbers(viewer) == list(range(1300, 1320))
            assert answer.next - place["after"] - 1 == 1300 - 120
            assert viewer.numbers[0] == answer.next
            assert not viewer.errors
            await play(handler, 1320, 1325)
            viewer.talk()
            assert numbers(viewer) == list(range(1300, 1325))

    handled(course)


def test_by_time_the_answer_names_the_time_from_which_messages_follow():
    async def course(handler):
        async with numbered_viewer(handler, versions=(1, 2, 3)) as viewer:
            await viewer.subscribe("ecg/1")
            await play(handler, 0, 20)
            viewer.talk()
            since = viewer.received[-1].timestamp
        await play(handler, 20, 1220)
        async with numbered_viewer(handler, versions=(1, 2, 3)) as viewer:
            answer = await viewer.subscribe("ecg/1", since, catch_up=1.01)
            await viewer.settle()
            assert numbers(viewer) == list(range(1200, 1220))
            assert viewer.received[0].timestamp - 50_000 < answer.start <= viewer.received[0].timestamp

    handled(course)


@pytest.mark.parametrize("catch_up", [None, 100.0])
def test_a_short_interruption_leaves_no_gap(catch_up):
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1")
            await play(handler, 0, 20)
            viewer.talk()
            place = {"epoch": answer.epoch, "after": viewer.numbers[-1]}
        await play(handler, 20, 1220)
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1", **place, catch_up=catch_up)
            assert answer.next == place["after"] + 1
            await viewer.settle()
            assert numbers(viewer) == list(range(20, 1220))

    handled(course)


def test_without_messages_that_recent_only_later_ones_follow():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1")
            await play(handler, 0, 20)
            viewer.talk()
            place = {"epoch": answer.epoch, "after": viewer.numbers[9]}
        await asyncio.sleep(60)
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1", **place, catch_up=5.0)
            await viewer.settle()
            assert numbers(viewer) == []
            await play(handler, 20, 22)
            viewer.talk()
            assert numbers(viewer) == [20, 21]
            assert viewer.numbers[0] == answer.next

    handled(course)

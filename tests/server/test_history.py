"""The history of a stream on request: as BULK, beside what is live."""

import asyncio
import random

import numpy as np
import pytest
from server.numbered_viewer import numbered_viewer
from server.test_classes import RatedViewer
from virtual_time import run_virtually

from ecgframe import Flag, MessageType
from ecgframe.protocol import Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.playback import MOST_AT_ONCE
from ecgframe.session import Received, Settings

ALL = (1, 2, 3, 4)
ECG, FEATURES, ALERT = MessageType.ECG_DATA, MessageType.FEATURE_DATA, MessageType.ANOMALY_ALERT
EPOCH_US = 10**15
NOISE = random.Random(3).randbytes(200_000)


def handled(course, limits=None, **options):
    async def go():
        loop = asyncio.get_running_loop()
        handler = WebSocketBinaryHandler(
            clock=lambda: EPOCH_US + round(loop.time() * 1e6),
            settings=Settings(versions=ALL),
            limits=Limits(**{"ring_seconds": 600, "ring_bytes": 100_000_000, **(limits or {})}),
            **options,
        )
        async with handler:
            await course(handler)

    run_virtually(go())


async def play(handler, first, last, stream="ecg/1"):
    """Publish one record for each number, twenty a second."""
    for n in range(first, last):
        signal = np.full((2, 25), n % 1000, "int16")
        await handler.publish(stream, ECG, {"signal": signal, "sampling_rate": 500, "timestamp": n / 20, "sequence": n})
        await asyncio.sleep(0.05)


async def ask(viewer, number, start, stop=None, stream="ecg/1"):
    """Ask for a history, and return the first answer."""
    before = len(viewer.answers)
    viewer.session.ask_history(stream, number, start, stop)
    await viewer.until(lambda: len(viewer.answers) > before)
    return viewer.answers[before]


def past(viewer, number=1):
    events = [event for event in viewer.events if isinstance(event, Received)]
    return [event.message for event in events if event.stream and event.stream.history == number]


def live(viewer):
    events = [event for event in viewer.events if isinstance(event, Received)]
    data = [event.message.data for event in events if event.stream and event.stream.history is None]
    return [each.get("n", each.get("sequence")) for each in data]


def at(seconds):
    return EPOCH_US + round(seconds * 1e6)


def test_messages_of_a_range_come_as_bulk_with_their_numbers_and_times():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe("ecg/1")
            await play(handler, 0, 200)
            viewer.talk()
            had = {message.timestamp: message.sequence for message in viewer.received}
            first = await ask(viewer, 1, at(2.0), at(5.0))
            await viewer.until(lambda: viewer.answers[-1].status == "unsubscribed")
            found = past(viewer)
            assert [message.data["sequence"] for message in found] == list(range(40, 101))
            assert all(had[message.timestamp] == message.sequence for message in found)
            assert all(message.form & Form.BULK and message.form & Form.RECORD for message in found)
            assert (first.epoch, first.history, first.status) == (answer.epoch, 1, "subscribed")
            assert [message.sequence for message in found] == list(range(first.next, first.end))
            assert viewer.answers[-1].history == 1
            await play(handler, 200, 205)  # the subscription is as it was
            viewer.talk()
            assert live(viewer) == list(range(205))
            assert handler.stats()["histories"] == 1
            assert not viewer.errors

    handled(course)


def test_without_a_subscription_and_without_an_end():
    async def course(handler):
        await play(handler, 0, 50)
        async with numbered_viewer(handler) as viewer:
            await ask(viewer, 7, at(0.0))
            await viewer.until(lambda: viewer.answers[-1].status == "unsubscribed")
            assert [message.data["sequence"] for message in past(viewer, 7)] == list(range(50))

    handled(course)


def test_a_history_without_messages_ends_at_once():
    async def course(handler):
        await play(handler, 0, 50)
        async with numbered_viewer(handler) as viewer:
            answer = await ask(viewer, 1, at(100.0))
            assert (answer.status, answer.history) == ("unsubscribed", 1)
            answer = await ask(viewer, 2, at(0), stream="unheard of")
            assert (answer.status, answer.history) == ("unsubscribed", 2)

    handled(course)


def test_alerts_and_urgent_messages_come_too_and_are_not_acknowledged_again():
    async def course(handler):
        await play(handler, 0, 10)
        await handler.publish("ecg/1", ALERT, {"kind": "asystole", "timestamp": 1.0}, Flag.ACK_REQUIRED)
        await handler.publish("ecg/1", FEATURES, {"features": {"x": 1}}, Flag.PRIORITY | Flag.ACK_REQUIRED)
        await play(handler, 10, 20)
        async with numbered_viewer(handler) as viewer:
            await ask(viewer, 1, at(0.0))
            await viewer.until(lambda: viewer.answers[-1].status == "unsubscribed")
            found = past(viewer)
            assert sorted(message.type for message in found) == [ECG] * 20 + [ALERT, FEATURES]
            assert not any(int(message.flags) & (Flag.PRIORITY | Flag.ACK_REQUIRED) for message in found)
            [alert] = [message for message in found if message.type is ALERT]
            assert alert.form == 0

    handled(course)


def test_the_present_is_not_delayed_and_the_past_arrives_whole():
    """100 kB/s; what is live takes 30 kB/s, and 3 MB of the past are asked for."""

    async def course(handler):
        loop = asyncio.get_running_loop()
        for n in range(2000):
            await handler.publish("ecg/1", ECG, {"n": n, "t": loop.time(), "pad": NOISE[:1500]})
            await asyncio.sleep(0.05)
        viewer = RatedViewer(handler, 100_000)
        await viewer.subscribe("ecg/1")
        viewer.viewer.session.ask_history("ecg/1", 1, at(0.0))
        for n in range(2000, 3000):
            await handler.publish("ecg/1", ECG, {"n": n, "t": loop.time(), "pad": NOISE[:1500]})
            await asyncio.sleep(0.05)
        await asyncio.sleep(30)
        received = [(time, event) for time, event in viewer.came if isinstance(event, Received)]
        waits = [time - event.message.data["t"] for time, event in received if event.stream.history is None]
        assert len(waits) == 1000
        assert max(waits) < 1.0
        assert [event.message.data["n"] for _, event in received if event.stream.history][:2000] == list(range(2000))
        assert viewer.viewer.answers[-1].status == "unsubscribed"
        viewer.close()

    handled(course)


def test_messages_dropped_meanwhile_are_missing_in_the_numbers():
    async def course(handler):
        for n in range(400):
            await handler.publish("ecg/1", FEATURES, {"n": n, "pad": NOISE[:5_000]})
            await asyncio.sleep(0.05)
        viewer = RatedViewer(handler, 20_000)
        await viewer.subscribe()
        viewer.viewer.session.ask_history("ecg/1", 1, at(0.0))
        await asyncio.sleep(1)
        for n in range(400, 700):
            await handler.publish("ecg/1", FEATURES, {"n": n, "pad": NOISE[:5_000]})
            await asyncio.sleep(0.05)
        await asyncio.sleep(120)
        found = [message.sequence for message in past(viewer.viewer)]
        first, last = viewer.viewer.answers
        assert last.status == "unsubscribed"
        assert 20 < len(found) < 390
        assert found == sorted(found)
        assert first.end - 1 >= found[-1]
        viewer.close()

    handled(course, {"ring_seconds": 30})


def test_a_history_can_be_ended():
    async def course(handler):
        for n in range(200):
            await handler.publish("ecg/1", FEATURES, {"n": n, "pad": NOISE[:5_000]})
        viewer = RatedViewer(handler, 50_000)
        await viewer.subscribe("ecg/1")
        viewer.viewer.session.ask_history("ecg/1", 1, at(0.0))
        await asyncio.sleep(5)
        before = len(past(viewer.viewer))
        assert 10 < before < 150
        viewer.viewer.session.end_history("ecg/1", 1)
        await asyncio.sleep(5)
        assert len(past(viewer.viewer)) - before < 30
        assert viewer.viewer.answers[-1].status == "unsubscribed"
        await handler.publish("ecg/1", FEATURES, {"n": 200})
        await asyncio.sleep(1)
        assert live(viewer.viewer) == [200]
        assert not viewer.viewer.errors
        viewer.close()

    handled(course)


def test_histories_are_bounded_and_denied_as_subscriptions_are():
    async def course(handler):
        for n in range(200):
            await handler.publish("ecg/1", FEATURES, {"n": n, "pad": NOISE[:5_000]})
        viewer = RatedViewer(handler, 50_000)
        await viewer.subscribe()
        for number in range(1, MOST_AT_ONCE + 2):
            viewer.viewer.session.ask_history("ecg/1", number, at(0.0))
        viewer.viewer.session.ask_history("ecg/1", 1, at(0.0))
        viewer.viewer.session.ask_history("secret", 9, at(0.0))
        await asyncio.sleep(2)
        answers = {answer.history: answer for answer in viewer.viewer.answers if answer.status == "denied"}
        assert answers[MOST_AT_ONCE + 1].code == answers[1].code == 0x204
        assert answers[9].code == 0x204 or answers[9].code == 0x203
        viewer.close()

    async def may(info, action, stream):
        return stream != "secret"

    handled(course, authorize=may)


def test_version_3_has_no_history():
    async def course(handler):
        async with numbered_viewer(handler, versions=(1, 2, 3)) as viewer:
            viewer.session.ask_history("ecg/1", 1, at(0.0))
            await viewer.until(lambda: viewer.answers)
            assert viewer.answers[0].status == "subscribed"  # the field means nothing there
            assert viewer.answers[0].history is None

    handled(course)


@pytest.mark.parametrize("range_", [{}, {"start": -1.0}, {"start": 0.0, "stop": float("inf")}])
def test_a_range_that_is_none_is_refused(range_):
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            viewer.session._say(MessageType.SUBSCRIBE, {"stream": "ecg/1", "history": 1, **range_})
            await viewer.until(lambda: viewer.errors)
            assert viewer.errors[0].code == (0x201 if not range_ else 0x200)

    handled(course)

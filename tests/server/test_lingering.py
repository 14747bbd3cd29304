"""LIVE frames that wait a moment for others, to leave in one message."""

import asyncio

import pytest
from server.engines import client, on_aiohttp, on_starlette
from server.memory_link import MemoryLink
from server.numbered_viewer import numbered_viewer
from virtual_time import run_virtually

from ecgframe import Flag, MessageType, decode_all
from ecgframe.protocol import Capability
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.lingering import LARGEST, Linger
from ecgframe.server.link import Link
from ecgframe.session import Settings
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

ALL = (1, 2, 3, 4)
ECG, FEATURES, ALERT = MessageType.ECG_DATA, MessageType.FEATURE_DATA, MessageType.ANOMALY_ALERT
LINGER = 0.005


def handled(course, linger=LINGER, **settings):
    async def go():
        loop = asyncio.get_running_loop()
        handler = WebSocketBinaryHandler(
            clock=lambda: 10**15 + round(loop.time() * 1e6),
            settings=Settings(versions=ALL, linger=linger, compression=None, **settings),
        )
        async with handler:
            await course(handler)

    run_virtually(go())


def written(viewer, since):
    """The types of the frames in each message from one on."""
    return [[frame.type for frame in decode_all(message)] for message in viewer.link.sent[since:]]


async def publish(handler, *numbers, type=ECG, stream="ecg/1", size=10, **options):
    for n in numbers:
        await handler.publish(stream, type, {"n": n, "pad": bytes(size), "timestamp": 1.0}, **options)


@pytest.mark.parametrize("versions", [(1, 2, 3), ALL])
def test_frames_of_a_few_milliseconds_leave_in_one_message(versions):
    async def course(handler):
        async with numbered_viewer(handler, versions=versions) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            await asyncio.sleep(LINGER / 2)
            await publish(handler, 3)
            assert written(viewer, before) == []
            await asyncio.sleep(LINGER)
            assert written(viewer, before) == [[ECG] * 3]
            await publish(handler, 4)
            await asyncio.sleep(2 * LINGER)
            assert written(viewer, before) == [[ECG] * 3, [ECG]]
            viewer.talk()
            assert [message.data["n"] for message in viewer.received] == [1, 2, 3, 4]

    handled(course)


def test_without_it_each_frame_leaves_at_once():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            assert written(viewer, before) == [[ECG], [ECG]]

    handled(course, linger=0.0)


@pytest.mark.parametrize("what", ["alert", "priority", "control", "acknowledged", "large", "bulk"])
def test_frames_sent_at_once_take_the_waiting_ones_with_them(what):
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            await viewer.subscribe("history")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            assert written(viewer, before) == []
            if what == "alert":
                await publish(handler, 3, type=ALERT)
            elif what == "priority":
                await publish(handler, 3, type=FEATURES, flags=Flag.PRIORITY)
            elif what == "acknowledged":
                await publish(handler, 3, flags=Flag.ACK_REQUIRED)
            elif what == "large":
                await publish(handler, 3, size=LARGEST)
            elif what == "bulk":
                await publish(handler, 3, stream="history", bulk=True)
            else:
                viewer.session.ping(0.0)
                viewer.talk()
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            found = written(viewer, before) if what != "large" else [[ECG, ECG], ["fragments"]]
            if what == "control":
                assert found == [[MessageType.PONG, ECG, ECG]]  # it goes first, and all leave at once
                return
            assert found[0] == [ECG, ECG]
            assert len(viewer.link.sent) >= before + 2
            await asyncio.sleep(1)
            viewer.talk()
            if what != "control":
                assert sorted(message.data["n"] for message in viewer.received) == [1, 2, 3]

    handled(course)


def test_a_peer_without_batches_gets_each_frame_at_once():
    async def course(handler):
        async with numbered_viewer(handler, capabilities=(EVERYTHING | OF_VERSION_4) - {Capability.BATCH}) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            assert written(viewer, before) == [[ECG], [ECG]]

    handled(course)


def test_waiting_frames_are_bounded():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, *range(100), size=1000)
            assert all(len(message) <= LARGEST for message in viewer.link.sent[before:])
            await asyncio.sleep(1)
            viewer.talk()
            assert [message.data["n"] for message in viewer.received] == list(range(100))

    handled(course)


def test_viewers_of_the_same_streams_share_the_message():
    async def course(handler):
        async with numbered_viewer(handler) as one, numbered_viewer(handler) as two, numbered_viewer(handler) as other:
            for viewer in (one, two):
                await viewer.subscribe("ecg/1")
                await viewer.subscribe("ecg/2")
            await other.subscribe("ecg/2")
            for n in range(3):
                await publish(handler, n, stream="ecg/1")
                await publish(handler, n, stream="ecg/2")
            await asyncio.sleep(1)
            assert one.link.sent[-1] is two.link.sent[-1]
            assert written(other, -1) == [[ECG] * 3]

    handled(course)


def test_the_order_of_the_subscriptions_costs_nothing(monkeypatch):
    """A central station's viewers subscribe to each stream in another order, and are the same viewers all the same."""
    apart = []
    send_apart = Linger._send_apart
    monkeypatch.setattr(Linger, "_send_apart", lambda *given: (apart.append(given), send_apart(*given)))

    async def course(handler):
        async with numbered_viewer(handler) as one, numbered_viewer(handler) as two, numbered_viewer(handler) as three:
            for stream, viewers in {"ecg/1": (one, two, three), "ecg/2": (three, one, two)}.items():
                for viewer in viewers:
                    await viewer.subscribe(stream)
            before = [len(viewer.link.sent) for viewer in (one, two, three)]
            for n in range(3):
                await publish(handler, n)
                await publish(handler, n, stream="ecg/2")
            await asyncio.sleep(2 * LINGER)
            sent = [viewer.link.sent[since:] for viewer, since in zip((one, two, three), before, strict=True)]
            assert [len(messages) for messages in sent] == [1, 1, 1]
            assert sent[0][0] is sent[1][0] is sent[2][0]
            assert not apart

    handled(course)


def test_who_comes_within_the_time_gets_what_follows_alone():
    async def course(handler):
        async with numbered_viewer(handler) as one, numbered_viewer(handler) as two:
            await one.subscribe("ecg/1")
            await publish(handler, 1)
            await two.subscribe("ecg/1")
            await publish(handler, 2)
            await asyncio.sleep(1)
            for viewer, numbers in ((one, [1, 2]), (two, [2])):
                viewer.talk()
                assert [message.data["n"] for message in viewer.received] == numbers

    handled(course)


def test_who_leaves_within_the_time_gets_what_was_published_before_the_answer():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            viewer.session.unsubscribe("ecg/1")
            viewer.talk()
            await asyncio.sleep(1)
            types = [type for message in written(viewer, before) for type in message]
            assert types in ([ECG, ECG, MessageType.SUBSCRIPTION_ACK], [MessageType.SUBSCRIPTION_ACK])

    handled(course)


def test_each_frame_is_counted_once_for_each_viewer():
    """One takes nothing for a while, so that its frames are queued."""

    async def course(handler):
        async with numbered_viewer(handler) as one, numbered_viewer(handler) as two:
            for viewer in (one, two):
                await viewer.subscribe("ecg/1")
            two.link.may_write.clear()
            await publish(handler, 1, 2, 3)
            await asyncio.sleep(1)
            two.link.may_write.set()
            await asyncio.sleep(1)
            assert handler.stats()["messages"]["sent"]["ECG_DATA"] == 6
            for viewer in (one, two):
                viewer.talk()
                assert [message.data["n"] for message in viewer.received] == [1, 2, 3]

    handled(course)


def test_queued_frames_keep_their_order():
    """The link takes nothing for a while, while frames wait and are queued."""

    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            await publish(handler, 1, 2)
            viewer.link.may_write.clear()
            await publish(handler, 3, 4)
            await asyncio.sleep(1)
            viewer.link.may_write.set()
            await publish(handler, 5, 6)
            await asyncio.sleep(1)
            viewer.talk()
            assert [message.data["n"] for message in viewer.received] == [1, 2, 3, 4, 5, 6]

    handled(course)


def test_a_connection_that_ends_leaves_nothing_behind():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("ecg/1")
            await publish(handler, 1)
        before = len(viewer.link.sent)
        await asyncio.sleep(1)
        assert len(viewer.link.sent) == before

    handled(course)


def test_the_seconds_are_checked():
    for seconds in (-0.001, 1.1, float("nan")):
        with pytest.raises(ValueError, match="linger is from 0 to"):
            Settings(linger=seconds)


class AwaitedLink(MemoryLink):
    """A link that can only be awaited, as those of ASGI and aiohttp."""

    can_write = False
    write = Link.write

    async def send(self, message):
        MemoryLink.write(self, message)


@pytest.mark.parametrize("versions", [(1, 2, 3), ALL])
def test_links_that_can_only_be_awaited_wait_as_well(versions):
    async def course(handler):
        async with numbered_viewer(handler, versions=versions, link=AwaitedLink()) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            await publish(handler, 1, 2)
            await asyncio.sleep(LINGER / 2)
            await publish(handler, 3)
            assert written(viewer, before) == []
            await asyncio.sleep(LINGER)
            assert written(viewer, before) == [[ECG] * 3]
            await publish(handler, 4)
            await publish(handler, 5, type=ALERT)
            await asyncio.sleep(0.001)
            assert written(viewer, before + 1) == [[ALERT, ECG]]  # the alert overtakes
            await asyncio.sleep(1)
            viewer.talk()
            assert sorted(message.data["n"] for message in viewer.received) == [1, 2, 3, 4, 5]

    handled(course)


def test_frames_that_wait_for_an_awaited_link_are_bounded():
    async def course(handler):
        async with numbered_viewer(handler, link=AwaitedLink()) as viewer:
            await viewer.subscribe("ecg/1")
            before = len(viewer.link.sent)
            for n in range(40):
                await publish(handler, n, size=1000)
                await asyncio.sleep(0)  # before Python 3.12, the task that writes begins in the next turn of the loop
                [connection] = handler.connections()
                assert connection.queued_bytes <= LARGEST
            await asyncio.sleep(1)
            viewer.talk()
            assert [message.data["n"] for message in viewer.received] == list(range(40))
            assert len(viewer.link.sent) - before < 10

    handled(course)


def test_a_viewer_of_such_a_link_that_leaves_gets_nothing_more():
    async def course(handler):
        async with numbered_viewer(handler, link=AwaitedLink()) as viewer:
            await viewer.subscribe("ecg/1")
            await publish(handler, 1)
            before = len(viewer.link.sent)
        await asyncio.sleep(1)
        assert len(viewer.link.sent) == before

    handled(course)


@pytest.mark.parametrize("engine", [on_starlette, on_aiohttp])
def test_real_links_that_can_only_be_awaited(engine):
    """100 frames of ten streams, all published at once ten times."""

    async def go():
        handler = WebSocketBinaryHandler(settings=Settings(linger=0.02))
        async with handler, engine(handler) as port, client(port, capabilities=["batch", "timestamps"]) as viewer:
            for n in range(10):
                await viewer.subscribe(f"ecg/{n}")
            messages, seen = 0, []
            for n in range(10):
                for stream in range(10):
                    await publish(handler, n, stream=f"ecg/{stream}")
                while len(seen) < 10 * (n + 1):
                    message = await asyncio.wait_for(viewer.connection.recv(), 10)
                    frames = [frame for frame in decode_all(message) if frame.type is ECG]
                    messages += bool(frames)
                    seen += frames
            assert [frame.data["n"] for frame in seen] == [n for n in range(10) for _ in range(10)]
            assert messages <= 40

    asyncio.run(go())

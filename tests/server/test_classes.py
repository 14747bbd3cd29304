"""Streams of the class BULK, and viewers that were cut off for a while, from a handler over links without a network."""

import asyncio
import random

import numpy as np
import pytest
from server.memory_link import MemoryLink
from server.numbered_viewer import Viewer, numbered_viewer
from virtual_time import run_virtually

from ecgframe import Flag, MessageType
from ecgframe.protocol import Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import ErrorReceived, Numbered, Received, Settings

ALL = (1, 2, 3, 4)
ECG, FEATURES, ALERT = MessageType.ECG_DATA, MessageType.FEATURE_DATA, MessageType.ANOMALY_ALERT
NOISE = random.Random(3).randbytes(200_000)


def handled(course, settings=None, limits=None):
    """Run a course with a handler that speaks version 4."""

    async def go():
        loop = asyncio.get_running_loop()
        handler = WebSocketBinaryHandler(
            clock=lambda: 10**15 + round(loop.time() * 1e6),
            settings=Settings(versions=ALL, **(settings or {})),
            limits=Limits(**(limits or {})),
        )
        async with handler:
            await course(handler)

    return run_virtually(go())


class QuietLink(MemoryLink):
    """A link that has room for 16 KiB, and leaves the answers to PING to the viewer."""

    def write(self, message):
        self.sent.append(message)
        self.look()

    def look(self):
        """Note whether it can take more."""
        if sum(map(len, self.sent)) < 16 * 1024 or self.is_gone:
            self.may_write.set()
        else:
            self.may_write.clear()


class RatedViewer:
    """A viewer behind a link that takes so many bytes a second, and nothing while it is cut off.

    Attributes:
        came: the time and the event of each message and error that arrived.
        rate: bytes a second.
    """

    def __init__(self, handler, rate, **settings):
        self.viewer = Viewer(**settings)
        self.viewer.link = QuietLink()
        self.rate = rate
        self.came = []
        self.is_cut_off = False
        self._handler = handler
        self._serving = asyncio.create_task(handler.handle(self.viewer.link))
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        viewer, link, session = self.viewer, self.viewer.link, self.viewer.session
        now = asyncio.get_running_loop().time
        session.start(now())
        while not link.is_gone:
            while not self.is_cut_off and (message := session.next_message(now())) is not None:
                link.pass_on(message)
            if self.is_cut_off or not link.sent:
                await asyncio.sleep(0.005)
                continue
            message = link.sent.pop(0)
            await asyncio.sleep(len(message) / self.rate)
            link.look()
            for event in session.receive(message, now()):
                viewer._note(event)
                if isinstance(event, (Received, ErrorReceived)):
                    self.came.append((now(), event))

    async def subscribe(self, *streams):
        async with asyncio.timeout(30):
            while not self.viewer.session.negotiated:
                await asyncio.sleep(0.01)
        for stream in streams:
            self.viewer.session.subscribe(stream)
        async with asyncio.timeout(30):
            while len(self.viewer.answers) < len(streams):
                await asyncio.sleep(0.01)

    def close(self):
        self.viewer.link.abort()
        self._reading.cancel()

    def sequences(self, stream):
        events = [event for _, event in self.came if isinstance(event, Received)]
        return [event.message.sequence for event in events if event.stream and event.stream.name == stream]


def test_the_first_message_of_a_stream_decides_its_class():
    async def course(handler):
        await handler.publish("history", FEATURES, {"n": 1}, bulk=True)
        await handler.publish("ecg/1", FEATURES, {"n": 1})
        with pytest.raises(ValueError, match="was published with bulk=True, and this one without it"):
            await handler.publish("history", FEATURES, {"n": 2})
        with pytest.raises(ValueError, match="was published without bulk=True, and this one with it"):
            await handler.publish("ecg/1", FEATURES, {"n": 2}, bulk=True)
        await handler.publish("history", ALERT, {"kind": "x", "timestamp": 1.0})
        await handler.publish("history", FEATURES, {"n": 3}, Flag.PRIORITY)
        await handler.publish("history", FEATURES, {"n": 4}, bulk=True)

    handled(course)


def test_all_messages_of_the_stream_have_the_bit_but_urgent_ones():
    async def course(handler):
        async with numbered_viewer(handler) as viewer:
            await viewer.subscribe("history")
            signal = {"signal": np.array([[1, 2, 3]], "int16"), "timestamp": 5.0, "sampling_rate": 250}
            await handler.publish("history", ECG, signal, bulk=True)
            await handler.publish("history", FEATURES, {"n": 1}, bulk=True)
            await handler.publish("history", ALERT, {"kind": "x", "timestamp": 1.0}, bulk=True)
            await viewer.until(lambda: len(viewer.received) == 3)
            messages = [event.message for event in viewer.events if isinstance(event, (Received, Numbered))]
            bulk = Form.BULK
            assert sorted((message.type, message.form & bulk) for message in messages) == [
                (ECG, bulk),
                (ALERT, 0),
                (FEATURES, bulk),
                (MessageType.STREAM_TEMPLATE, bulk),
            ]
            assert sorted(viewer.numbers) == [1, 2, 3, 4]

    handled(course)


def test_a_backplane_that_does_not_number_messages_does_not_take_bulk():
    async def course(handler):
        backplane, handler._backplane = handler._backplane, object()
        with pytest.raises(ValueError, match="bulk=True needs a backplane that numbers"):
            await handler.publish("history", FEATURES, {"n": 1}, bulk=True)
        handler._backplane = backplane

    handled(course)


def test_a_slow_viewer_gets_all_of_bulk_and_live_first():
    """100 kB/s; LIVE takes 30 kB/s, and 3 MB of BULK are published at once."""

    async def course(handler):
        viewer = RatedViewer(handler, 100_000)
        await viewer.subscribe("ecg/1", "history")
        loop = asyncio.get_running_loop()
        for n in range(300):
            await handler.publish("history", FEATURES, {"n": n, "pad": NOISE[:10_000]}, bulk=True)
        waits = []
        for n in range(400):
            await handler.publish("ecg/1", ECG, {"n": n, "t": loop.time(), "pad": NOISE[:1500]})
            await asyncio.sleep(0.05)
        await asyncio.sleep(60)
        assert viewer.sequences("history") == list(range(1, 301))
        assert viewer.sequences("ecg/1") == list(range(1, 401))
        for time, event in viewer.came:
            if isinstance(event, Received) and event.message.type is ECG:
                waits.append(time - event.message.data["t"])
        assert max(waits) < 1.0
        assert not [event for _, event in viewer.came if isinstance(event, ErrorReceived)]
        viewer.close()

    handled(course, {"queue_frames": 100, "queue_bytes": 200_000}, {"ring_seconds": 600, "ring_bytes": 100_000_000})


def test_bulk_has_its_part_while_live_takes_more_than_there_is():
    async def course(handler):
        viewer = RatedViewer(handler, 100_000)
        await viewer.subscribe("ecg/1", "history")
        for n in range(100):
            await handler.publish("history", FEATURES, {"n": n, "pad": NOISE[:2_000]}, bulk=True)
        for n in range(600):
            await handler.publish("ecg/1", ECG, {"n": n, "pad": NOISE[:8_000]})  # 160 kB/s
            await asyncio.sleep(0.05)
        bulk = len(viewer.sequences("history"))
        assert bulk * 2_000 >= 0.08 * 30 * 100_000 or bulk == 100
        assert viewer.sequences("history") == list(range(1, bulk + 1))
        viewer.close()

    handled(course, {}, {"ring_seconds": 600, "ring_bytes": 100_000_000})


def test_a_viewer_out_of_a_tunnel_sees_the_present_within_a_second_and_the_gap_is_told():
    """60 s without a network, in which the connection stays open."""

    async def course(handler):
        viewer = RatedViewer(handler, 125_000)
        await viewer.subscribe("ecg/1")
        loop = asyncio.get_running_loop()
        out_at = 0.0
        for n in range(1600):
            if n == 100:
                viewer.is_cut_off = True
            if n == 1300:
                viewer.is_cut_off = False
                out_at = loop.time()
            await handler.publish("ecg/1", ECG, {"n": n, "t": loop.time(), "pad": NOISE[:800]})
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        first = next(
            time
            for time, event in viewer.came
            if isinstance(event, Received) and time >= out_at and time - event.message.data["t"] <= 0.5
        )
        assert first - out_at <= 1.0
        [error] = [event for _, event in viewer.came if isinstance(event, ErrorReceived)]
        assert error.code == 0x204
        found = viewer.sequences("ecg/1")
        assert error.details["dropped"] == 1600 - len(found) > 1000
        assert found == sorted(found)
        viewer.close()

    handled(course, {"heartbeat_interval": 60.0})

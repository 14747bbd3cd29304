"""Servers whose clocks differ: each message arrives once, or is in a gap with the right bounds.

The clocks of the servers are the test's own, so that a server whose clock is days behind may have been there for days.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from contextlib import AsyncExitStack, contextmanager
from itertools import count, takewhile
from time import time_ns

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, scripted, serving, until, url_of
from recordings import optional
from running import run
from server.redis_server import redis_server

from ecgframe import Flag, MessageType
from ecgframe.client import Gap
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

pytestmark = pytest.mark.slow

SECOND = 1_000_000
APART = [0.5, 3, 30, 3600, 2 * 86400]
LONG_MEMORY = Limits(ring_seconds=600)

each_distance = pytest.mark.parametrize("seconds", [sign * apart for apart in APART for sign in (1, -1)])


class Clock:
    """Microseconds since 1970: the system's clock, and what the test adds to it."""

    def __init__(self, seconds: float) -> None:
        self.ahead = round(seconds * SECOND)

    def __call__(self) -> int:
        return time_ns() // 1000 + self.ahead

    def go_on(self, seconds: float) -> None:
        self.ahead += round(seconds * SECOND)


class Ward:
    """Return what all servers published: number to timestamp, in order."""

    def __init__(self) -> None:
        self.stamps: dict[int, int] = {}
        self._numbers = count()

    async def publish(self, handler, messages, clock=None, pause=0.0):
        for _ in range(messages):
            number = next(self._numbers)
            if clock:
                clock.go_on(pause)
            self.stamps[number] = await handler.publish(STREAM, MessageType.ECG_DATA, {"n": number})


class Watcher:
    """A viewer that keeps its messages, and gaps in their place."""

    def __init__(self, client, **options) -> None:
        self.told: list[int | Gap] = []
        self.subscription = client.subscribe(STREAM, on_gap=self.told.append, **options)
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async for message in self.subscription:
            self.told.append(message.data["n"])

    @property
    def numbers(self) -> list[int]:
        return [item for item in self.told if isinstance(item, int)]

    async def until(self, number: int) -> None:
        await until(lambda: number in self.told)

    def check(self, ward: Ward, lives: list[range]) -> None:
        """Every message once and in order; what is missing lies in a gap that is told in its place.

        Args:
            ward: what was published.
            lives: numbers of the messages of each server's life.
        """
        assert self.numbers == sorted(set(self.numbers))
        assert self.subscription.duplicates == 0
        begun = self.numbers[0]
        for life in lives:
            for number in life:
                if number >= begun and number not in self.told:
                    self.check_lost(number, ward, life)

    def check_lost(self, number: int, ward: Ward, life: range) -> None:
        before = max(index for index, item in enumerate(self.told) if isinstance(item, int) and item < number)
        gaps = list(takewhile(lambda item: isinstance(item, Gap), self.told[before + 1 :]))
        assert gaps, f"{number} is missing without a word"
        last = self.told[before]
        assert gaps[0].start == ward.stamps[last], "none is missing before"
        if last in life:
            assert ward.stamps[number] > gaps[0].start
        following = next((item for item in self.told[before + 1 :] if isinstance(item, int)), None)
        if following in life:
            assert ward.stamps[number] < gaps[-1].stop <= ward.stamps[following], "none is missing after"


@each_distance
@pytest.mark.parametrize(
    "missed", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(20, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "pause", [pytest.param(0.0, marks=pytest.mark.slow), 0.2, pytest.param(4.0, marks=pytest.mark.slow)]
)
def test_a_server_that_is_started_again_with_another_clock(seconds, missed, pause):
    """It publishes before the viewer is back, and the viewer's cursor may be anywhere in that."""

    async def conversation():
        ward = Ward()
        now = Clock(seconds)
        first = WebSocketBinaryHandler(limits=LONG_MEMORY)
        second = WebSocketBinaryHandler(limits=LONG_MEMORY, clock=now)
        async with (
            serving(first) as port,
            serving(second) as other_port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
        ):
            watcher = Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            await ward.publish(first, 20)
            await watcher.until(19)
            proxy.targets = [other_port]
            await ward.publish(second, missed, now, pause)
            proxy.cut()
            await until(lambda: second.connections() and second.connections()[0].streams)
            await ward.publish(second, 10, now, pause)
            last = max(ward.stamps)
            await watcher.until(last)
            watcher.check(ward, [range(20), range(20, last + 1)])
            assert watcher.numbers == list(range(last + 1)), "all that the second server keeps is sent"
            assert watcher.subscription.gap_count == 1, "what it published before it was started is not known"
            # The next cut is an ordinary one: nothing is missing, and nothing is told.
            proxy.cut()
            await until(lambda: not second.connections())
            await ward.publish(second, 10, now, pause)
            await watcher.until(max(ward.stamps))
            assert watcher.numbers == list(range(max(ward.stamps) + 1))
            assert watcher.subscription.gap_count == 1

    run(conversation())


@each_distance
def test_messages_that_the_second_server_does_not_keep_are_in_the_gap(seconds):
    async def conversation():
        ward = Ward()
        now = Clock(seconds)
        first = WebSocketBinaryHandler()
        second = WebSocketBinaryHandler(limits=Limits(ring_bytes=500), clock=now)
        async with (
            serving(first) as port,
            serving(second) as other_port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url) as client,
        ):
            watcher = Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            await ward.publish(first, 5)
            await watcher.until(4)
            proxy.refuses = True
            proxy.targets = [other_port]
            proxy.cut()
            await ward.publish(second, 200, now, 0.1)
            proxy.refuses = False
            await until(lambda: second.connections() and second.connections()[0].streams)
            await ward.publish(second, 3, now, 0.1)
            await watcher.until(max(ward.stamps))
            assert 10 < len(watcher.numbers) < 30
            watcher.check(ward, [range(5), range(5, max(ward.stamps) + 1)])
            gap, *dropped = watcher.subscription.gaps
            assert gap.clock_went_back == (gap.stop < gap.start)
            # What so short a history drops on a slow machine, before the viewer has its turn, is told with its number.
            assert all(one.frames for one in dropped)

    run(conversation())


def test_a_viewer_that_has_seen_nothing_yet_loses_nothing():
    """Its cursor is at a time that the server has named; a silent stream is not a gap."""

    async def conversation():
        handler = WebSocketBinaryHandler()
        async with serving(handler) as port, cutting_proxy(port) as proxy, impatient(proxy.url) as client:
            ward, watcher = Ward(), Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            for _ in range(5):
                proxy.cut()
                await until(lambda: watcher.subscription.status == "asked" or client.stats()["connections"] > 1)
                await ward.publish(handler, 1)
            await watcher.until(4)
            assert watcher.told == [0, 1, 2, 3, 4]

    run(conversation())


@pytest.mark.parametrize("ahead", [3600 * SECOND, 365 * 86400 * SECOND, None])
def test_a_timestamp_in_the_future_hides_no_message(ahead):
    """Another implementation sends a time in the future, then the right one: there is a gap, and the stream goes on."""
    begun = time_ns() // 1000

    async def talk(server):
        await server.negotiate()
        await server.grant()
        await server.send_ecg(1, timestamp=begun)
        await server.send_ecg(2, timestamp=2**64 - 1 if ahead is None else begun + ahead)
        for number in (3, 4, 4):
            await server.send_ecg(number, timestamp=begun + number)
        await server.send_ecg(5, timestamp=begun + 5)
        await server.hear(MessageType.HEARTBEAT)

    async def conversation():
        async with scripted(talk) as url, impatient(url) as client:
            gaps: list[Gap] = []
            subscription = client.subscribe(STREAM, on_gap=gaps.append)
            got = [int((await anext(subscription)).data["signal"][0]) for _ in range(5)]
            assert got == [1, 2, 3, 4, 5]
            [gap] = gaps
            assert (gap.stop, gap.frames, gap.clock_went_back) == (begun + 3, None, True)
            assert gap.start == (2**64 - 1 if ahead is None else begun + ahead)
            assert subscription.duplicates == 1  # the one that did come twice

    run(conversation())


def test_another_implementation_that_names_no_time_to_resume_from():
    """It restarts with its clock an hour behind, and continues to send without naming a time."""
    begun = time_ns() // 1000

    async def before(server):
        await server.negotiate()
        await server.grant()
        for number in range(5):
            await server.send_ecg(number, timestamp=begun + number)
        await server.hear(MessageType.PING)
        server.cut()

    async def after(server):
        await server.negotiate()
        await server.grant()
        for number in range(5, 10):
            await server.send_ecg(number, timestamp=begun - 3600 * SECOND + number)
        await server.hear(MessageType.HEARTBEAT)

    async def conversation():
        async with scripted(before, after) as url, impatient(url) as client:
            watcher = client.subscribe(STREAM)
            assert [int((await anext(watcher)).data["signal"][0]) for _ in range(10)] == list(range(10))
            assert [gap.clock_went_back for gap in watcher.gaps] == [True]
            assert watcher.duplicates == 0

    run(conversation())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_without_timestamps_the_servers_clock_counts_and_not_the_viewers(version, seconds):
    """The two clocks are an hour apart; a viewer that comes back gets what it missed, and hardly anything twice."""

    async def conversation():
        clock = Clock(seconds)
        handler = WebSocketBinaryHandler(clock=clock)
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, settings=Settings(versions=(version,))) as client,
        ):
            ward, watcher = Ward(), Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            await ward.publish(handler, 5)
            await watcher.until(4)
            proxy.refuses = True
            proxy.cut()
            await until(lambda: not handler.connections())
            await ward.publish(handler, 5)
            proxy.refuses = False
            await watcher.until(9)
            assert sorted(set(watcher.numbers)) == list(range(10))
            assert watcher.subscription.gap_count == 0

    run(conversation())


def test_a_clock_that_is_set_while_the_server_runs_is_reported(caplog):
    async def conversation():
        clock = Clock(0)
        handler = WebSocketBinaryHandler(clock=clock)
        loop = asyncio.get_running_loop()
        async with serving(handler) as port, impatient(url_of(port)) as client:
            ward, watcher = Ward(), Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            await ward.publish(handler, 5)
            assert handler.stats()["clock"]["steps"] == 0
            clock.go_on(-3600)
            handler._timestamps.watch(loop.time() + 2)  # what a message does that comes two seconds later
            await ward.publish(handler, 5)
            stats = handler.stats()["clock"]
            assert stats["steps"] == 1
            assert stats["ahead_seconds"] == pytest.approx(3600, abs=5)
            await watcher.until(9)
            assert watcher.told == list(range(10))

    with caplog.at_level(logging.WARNING):
        run(conversation())
    [told] = [record for record in caplog.records if "was set back by" in record.getMessage()]
    assert told.clock_step_seconds == pytest.approx(-3600, abs=5)


# --- joined by Redis ---


@contextmanager
def lasting_redis(folder):
    optional("redis.asyncio")
    with redis_server(folder) as running:
        yield running


def backplane_of(server, clock):
    from ecgframe.server.redis import RedisBackplane

    return RedisBackplane(server.url, clock=clock)


@each_distance
@pytest.mark.parametrize("emptied", [False, True])
def test_servers_joined_by_redis_whose_clocks_are_apart(tmp_path, seconds, emptied):
    """A viewer moves between them, an alert now and then: each message once, in order, and nothing to tell."""
    chance = random.Random(round(seconds * 10) + emptied)

    async def conversation(server):
        clocks = [Clock(0), Clock(seconds)]
        handlers = [WebSocketBinaryHandler(backplane=backplane_of(server, clock), clock=clock) for clock in clocks]
        async with AsyncExitStack() as stack:
            ports = [await stack.enter_async_context(serving(handler)) for handler in handlers]
            proxy = await stack.enter_async_context(cutting_proxy(ports[0]))
            client = await stack.enter_async_context(impatient(proxy.url))
            ward, watcher = Ward(), Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            await ward.publish(handlers[1], 5)
            for move in range(8):
                if emptied and move == 4:
                    with socket.create_connection(("127.0.0.1", server.port)) as direct:
                        direct.sendall(b"FLUSHALL\r\n")
                        assert direct.recv(64) == b"+OK\r\n"
                proxy.targets = [chance.choice(ports)]
                proxy.cut()
                for handler in chance.choices(handlers, k=4):
                    await ward.publish(handler, 2)
            await watcher.until(max(ward.stamps))
            assert watcher.numbers == list(range(max(ward.stamps) + 1))
            if not emptied:  # whoever comes to a server that knows a message from an emptied Redis only is told
                assert watcher.subscription.gap_count == 0
            assert abs(handlers[1].stats()["backplane"]["clock_skew_seconds"] - seconds) < 1

    with lasting_redis(tmp_path) as server:
        run(conversation(server))


@each_distance
def test_a_publisher_with_another_clock_reaches_viewers_of_the_other_server(tmp_path, seconds):
    async def conversation(server):
        clock = Clock(seconds)
        publisher = WebSocketBinaryHandler(backplane=backplane_of(server, clock), clock=clock)
        viewed = WebSocketBinaryHandler(backplane=backplane_of(server, None))
        async with publisher, serving(viewed) as port, impatient(url_of(port)) as client:
            ward, watcher = Ward(), Watcher(client)
            await until(lambda: watcher.subscription.status == "subscribed")
            for _ in range(20):
                await ward.publish(publisher, 5)
                await publisher.publish(
                    STREAM, MessageType.FEATURE_DATA, {"features": {}, "n": -1}, Flag.PRIORITY
                )  # whatever overtakes
            await watcher.until(99)
            assert [number for number in watcher.numbers if number >= 0] == list(range(100))
            assert watcher.subscription.gap_count == watcher.subscription.duplicates == 0

    with lasting_redis(tmp_path) as server:
        run(conversation(server))

"""Round trips and the server's clock."""

from __future__ import annotations

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import impatient, scripted, serving, stay, until, url_of
from running import run

from ecgframe import MessageType
from ecgframe.client.clock_offset import KEPT, ClockOffset
from ecgframe.client.subscription import steady_now as now
from ecgframe.session import RoundTrip, Settings

DELAY = 0.02


def test_the_fastest_round_trip_gives_the_clock_offset():
    clock = ClockOffset()
    assert (clock.round_trip, clock.seconds) == (None, None)
    clock.add(RoundTrip(0.2, None))
    assert (clock.round_trip, clock.seconds) == (0.2, None)
    clock.add(RoundTrip(0.1, 5.0))
    clock.add(RoundTrip(0.5, 5.2))
    assert (clock.round_trip, clock.seconds) == (0.5, 5.0)
    for _ in range(KEPT):
        clock.add(RoundTrip(0.3, 6.0))
    assert clock.seconds == 6.0


def test_a_ping_takes_as_long_as_the_network():
    async def conversation():
        async with serving() as port, cutting_proxy(port) as proxy:
            proxy.delay = DELAY
            async with impatient(proxy.url) as client:
                took = await client.ping()
                assert took >= 2 * DELAY
                assert client.round_trip == took
                assert abs(client.clock_offset) < took / 2 + 0.01

    run(conversation())


@pytest.mark.slow
def test_round_trips_are_measured_regularly():
    async def conversation():
        async with serving() as port, impatient(url_of(port), settings=Settings(heartbeat_interval=0.02)) as client:
            await until(lambda: client.stats()["received"].get("PONG", 0) > 3)
            assert client.round_trip > 0

    run(conversation())


@pytest.mark.parametrize("ahead", [3600, -42])
def test_a_server_whose_clock_is_wrong(ahead):
    async def wrong(talk):
        await talk.negotiate()
        while True:
            ping = await talk.hear(MessageType.HEARTBEAT, MessageType.PING)
            await talk.say(MessageType.PONG, ping.data, timestamp=now() + ahead * 1_000_000)

    async def conversation():
        async with scripted(wrong) as url, impatient(url) as client:
            took = await client.ping()
            assert client.clock_offset == pytest.approx(ahead, abs=took)

    run(conversation())


def test_before_v3_there_is_no_clock_offset():
    async def conversation():
        async with serving() as port, impatient(url_of(port), settings=Settings(versions=(1, 2))) as client:
            assert await client.ping() > 0
            assert client.clock_offset is None

    run(conversation())


def test_a_ping_without_an_answer_times_out():
    async def deaf(talk):
        await talk.negotiate()
        await talk.websocket.wait_closed()

    async def conversation():
        async with scripted(deaf) as url, impatient(url) as client:
            with pytest.raises(TimeoutError, match=r"no answer within 0.05 s"):
                await client.ping(timeout=0.05)

    run(conversation())


def test_a_ping_outlives_the_connection():
    async def deaf(talk):
        await talk.negotiate()
        while (await talk.websocket.recv())[1] != MessageType.PING:
            pass
        talk.cut()

    async def polite(talk):
        await talk.negotiate()
        await stay(talk)

    async def conversation():
        async with scripted(deaf, polite) as url, impatient(url) as client:
            assert await client.ping() > 0
            assert client.stats()["connections"] == 2

    run(conversation())

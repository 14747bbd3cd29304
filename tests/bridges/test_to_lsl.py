"""Streams of a server, sent to LSL and received there with pylsl."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from bridges.loopback import NEAR, pylsl, receive, receiver
from client.servers import at_once, serving, until, url_of
from recordings import uninstall
from running import run

from ecgframe import MessageType
from ecgframe.bridges.lsl import BridgeError, ToLsl, outgoing, to_lsl
from ecgframe.bridges.lsl.outgoing import NOT_THE_SERVERS_CLOCK
from ecgframe.bridges.lsl.to_lsl import source_id
from ecgframe.libraries import MissingLibrary
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve

RATE = 500
COUNT = 25
"""Samples in a message."""
EVEN = 0.006 * COUNT / RATE
"""Largest correction in seconds between two messages, which follows the measured clock."""


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch):
    """Let a busy machine take minutes to publish what a test has measured: the bridge would doubt such a clock."""
    monkeypatch.setattr(outgoing, "OLDEST", 3600.0)


def frame(number: int, **others: object) -> dict[str, object]:
    """The payload of a message whose last sample was measured just now."""
    first = number * COUNT
    return {
        "signal": np.stack([np.arange(first, first + COUNT), -np.arange(first, first + COUNT)]).astype(np.int16),
        "sampling_rate": RATE,
        "leads": ["II", "V5"],
        "units": "mV",
        "gain": 200.0,
        "baseline": 0,
        "missing": -32768,
        "sequence": number,
        "timestamp": BEGIN.seconds + first / RATE,
        **others,
    }


class Begin:
    """Unix seconds of sample 0 of the test's stream: its messages are published faster than life."""

    seconds = 0.0


BEGIN = Begin()


def lsl_time(sample: int) -> float:
    """The time of a sample by LSL's clock."""
    return BEGIN.seconds + sample / RATE - time.time() + pylsl.local_clock()


@asynccontextmanager
async def bridged(stream: str, **options: object):
    """A server and a running bridge of one stream; yields the handler, the bridge and what stops it."""
    BEGIN.seconds = time.time() - 8
    handler, stop = WebSocketBinaryHandler(), asyncio.Event()
    async with serving(handler) as port:
        bridge = ToLsl(url_of(port), [stream], reconnect_delays=at_once, **options)
        running = asyncio.create_task(bridge.run(stop=stop))
        try:
            await until(lambda: running.done() or any(one.streams for one in handler.connections()))
            yield handler, bridge, running
        finally:
            stop.set()
            await asyncio.wait([running])
    await running


async def publish(handler: WebSocketBinaryHandler, stream: str, data: dict[str, object]) -> None:
    await handler.publish(stream, MessageType.ECG_DATA, data)


async def opened(bridge: ToLsl, handler: WebSocketBinaryHandler, first: dict[str, object]) -> None:
    """Publish a first message, so that the LSL stream is opened."""
    [summary] = bridge.summaries
    await publish(handler, summary.stream, first)
    await until(lambda: summary.samples)


@asynccontextmanager
async def connected(bridge: ToLsl, name: str, markers: bool = False):
    """Receive an LSL stream of the bridge; what is published from now on arrives."""
    [sending] = bridge._outgoing
    with receiver(name) as inlet:
        await until((sending._markers if markers else sending._signal).have_consumers)
        yield inlet


def test_samples_names_units_and_times_arrive():
    async def main():
        async with bridged("to/1") as (handler, bridge, _):
            await opened(bridge, handler, frame(0))
            async with connected(bridge, "to/1") as inlet:
                for number in range(1, 9):
                    data = frame(number)
                    if number == 3:
                        data["signal"][0, 4] = -32768  # missing
                    await publish(handler, "to/1", data)
                values, stamps = await asyncio.to_thread(receive, inlet, 8 * COUNT)
                return values, stamps, inlet.info(5), bridge.summaries[0]

    values, stamps, info, summary = run(main())
    expected = np.stack([np.arange(COUNT, 9 * COUNT), -np.arange(COUNT, 9 * COUNT)]) / 200
    expected[0, 2 * COUNT + 4] = np.nan
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(np.diff(stamps), 1 / RATE, atol=EVEN)
    assert stamps[0] == pytest.approx(lsl_time(COUNT), abs=NEAR)
    assert (info.type(), info.nominal_srate(), info.channel_count()) == ("ECG", RATE, 2)
    assert info.get_channel_labels() == ["II", "V5"]
    assert info.get_channel_units() == ["mV", "mV"]
    assert info.source_id().endswith("/ws:to/1")
    assert (summary.samples, summary.is_whole, summary.remarks) == (9 * COUNT, True, [])


def test_lost_messages_are_missing_samples():
    async def main():
        async with bridged("to/2") as (handler, bridge, _):
            await opened(bridge, handler, frame(0))
            async with connected(bridge, "to/2") as inlet:
                for number in (1, 2, 6, 7):
                    await publish(handler, "to/2", frame(number))
                return await asyncio.to_thread(receive, inlet, 7 * COUNT), bridge.summaries[0]

    (values, stamps), summary = run(main())
    lost = slice(2 * COUNT, 5 * COUNT)
    expected = np.arange(COUNT, 8 * COUNT) / 200
    expected[lost] = np.nan
    np.testing.assert_array_equal(values[0], expected)
    np.testing.assert_allclose(np.diff(stamps), 1 / RATE, atol=EVEN)
    assert (summary.gaps, summary.missing, summary.is_whole) == (1, 3 * COUNT, False)


def test_a_longer_gap_is_a_jump_of_the_timestamps():
    async def main():
        async with bridged("to/3") as (handler, bridge, _):
            await opened(bridge, handler, frame(0))
            async with connected(bridge, "to/3") as inlet:
                BEGIN.seconds -= 200
                began = pylsl.local_clock()
                await publish(handler, "to/3", frame(61 * 20 + 1, timestamp=time.time() - 1))
                values, stamps = await asyncio.to_thread(receive, inlet, COUNT)
                assert began - 1 - NEAR < stamps[0] < pylsl.local_clock()
                return values, bridge.summaries[0]

    values, summary = run(main())
    assert not np.isnan(values).any()
    assert (summary.unfilled, summary.missing) == (1, 0)
    assert summary.remarks == ["a gap of 61 s was not filled; the timestamps jump there"]


def test_a_device_whose_clock_is_wrong_has_the_times_of_publication():
    async def main():
        async with bridged("to/4") as (handler, bridge, _):
            await opened(bridge, handler, frame(0, timestamp=1_000_000_000.0))
            async with connected(bridge, "to/4") as inlet:
                began = pylsl.local_clock()
                await publish(handler, "to/4", frame(1, timestamp=1_000_000_000.05))
                _, stamps = await asyncio.to_thread(receive, inlet, COUNT)
                # published faster than life, so its end may be ahead of now
                assert began - NEAR < stamps[-1] < pylsl.local_clock() + NEAR
                return bridge.summaries[0]

    summary = run(main())
    assert summary.remarks == [NOT_THE_SERVERS_CLOCK]
    assert summary.is_whole


def test_alerts_are_markers_at_their_time():
    async def main():
        async with bridged("to/5") as (handler, bridge, _):
            await opened(bridge, handler, frame(0))
            async with connected(bridge, "to/5 alerts", markers=True) as inlet:
                await until(lambda: bridge.summaries[0].samples == COUNT)
                alert = {"kind": "asystole", "severity": "critical", "message": "pause of 4 s", "lead": "II"}
                at = BEGIN.seconds + 10 / RATE
                await handler.publish("to/5", MessageType.ANOMALY_ALERT, {**alert, "timestamp": at})
                await handler.publish("to/5", MessageType.FEATURE_DATA, {"features": {"heart_rate": 60}})
                texts, stamps = await asyncio.to_thread(inlet.pull_chunk, 5, 1)
                return texts, stamps, inlet.info(5), bridge.summaries[0], lsl_time(10)

    texts, [stamp], info, summary, expected = run(main())
    assert texts == [["asystole (critical): pause of 4 s, lead II"]]
    assert stamp == pytest.approx(expected, abs=NEAR)
    assert (info.type(), info.nominal_srate(), info.channel_format()) == ("Markers", 0, pylsl.cf_string)
    assert (summary.markers, summary.left_out) == (1, {"FEATURE_DATA": 1})


def test_a_stream_that_changes_its_leads_is_a_new_lsl_stream():
    async def main():
        async with bridged("to/6") as (handler, bridge, _):
            await opened(bridge, handler, frame(0))
            await publish(handler, "to/6", frame(1, leads=["I", "aVL"], units="uV"))
            await until(lambda: bridge.summaries[0].formats == 2)
            async with connected(bridge, "to/6") as inlet:
                info = inlet.info(5)
                return info.get_channel_labels(), info.get_channel_units(), bridge.summaries[0]

    labels, units, summary = run(main())
    assert (labels, units) == (["I", "aVL"], ["uV", "uV"])
    assert summary.remarks == ["it changed its leads, units or sampling rate: a new LSL stream was opened"]


def test_a_stream_that_changes_all_the_time_is_given_up(monkeypatch):
    monkeypatch.setattr(outgoing, "MOST_FORMATS", 3)

    async def main():
        async with bridged("to/7") as (handler, _, running):
            for number in range(4):
                await publish(handler, "to/7", frame(number, units=f"u{number}"))
            await asyncio.wait([running], timeout=20)

    with pytest.raises(BridgeError, match="to/7: it changed its leads, units or sampling rate more than 3 times"):
        run(main())


def test_messages_that_cannot_be_sent_are_counted():
    async def main():
        async with bridged("to/8") as (handler, bridge, _):
            await publish(handler, "to/8", frame(0, sampling_rate=1e9))
            await publish(handler, "to/8", frame(1))
            await until(lambda: bridge.summaries[0].samples)
            return bridge.summaries[0]

    summary = run(main())
    assert (summary.refused, summary.samples) == (1, COUNT)
    assert "its sampling rate is 1e+09 Hz" in summary.remarks[0]


def test_the_stream_continues_after_a_restart_of_the_server_with_another_clock():
    """A server whose clock is an hour ahead: the timestamps by LSL's clock go on, and the LSL stream stays open."""

    def an_hour_ahead() -> int:
        return time.time_ns() // 1000 + 3_600_000_000

    async def start(stack: AsyncExitStack, port: int, **options: object) -> tuple[WebSocketBinaryHandler, int]:
        handler = await stack.enter_async_context(WebSocketBinaryHandler(**options))
        server = await stack.enter_async_context(serve(handler, "127.0.0.1", port))
        return handler, server.sockets[0].getsockname()[1]

    async def main():
        stop = asyncio.Event()
        async with AsyncExitStack() as first, AsyncExitStack() as second:
            handler, port = await start(first, 0)
            bridge = ToLsl(url_of(port), ["to/9"], reconnect_delays=at_once)
            running = asyncio.create_task(bridge.run(stop=stop))
            await until(lambda: any(one.streams for one in handler.connections()))
            BEGIN.seconds = time.time() - 0.05
            await opened(bridge, handler, frame(0))
            async with connected(bridge, "to/9") as inlet:
                await first.aclose()
                handler, _ = await start(second, port, clock=an_hour_ahead)
                await until(lambda: any(one.streams for one in handler.connections()))
                began = pylsl.local_clock()
                await publish(handler, "to/9", frame(0, timestamp=time.time() + 3600 - COUNT / RATE))
                _, stamps = await asyncio.to_thread(receive, inlet, COUNT)
                assert began - NEAR < stamps[-1] < pylsl.local_clock() + NEAR  # not an hour later
            stop.set()
            await running
        return bridge.summaries[0], bridge.clock_steps

    summary, steps = run(main())
    assert (summary.formats, steps) == (1, 1)
    assert summary.unfilled == 1


def test_the_source_id_is_the_same_for_the_same_stream_and_has_no_password():
    assert source_id("wss://me:secret@host:7/ws?token=x", "ecg/1") == "ecgframe:host:7/ws:ecg/1"


def test_a_stream_is_named_once():
    for streams in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="name at least one stream, and each stream only once"):
            ToLsl("ws://127.0.0.1:1/ws", streams)


def test_without_a_server_the_connection_fails():
    with pytest.raises(ConnectionRefusedError):
        run(to_lsl("ws://127.0.0.1:1/ws", "ecg/1", seconds=5))


def test_without_pylsl_it_says_what_to_install(monkeypatch):
    uninstall(monkeypatch, "pylsl")
    with pytest.raises(MissingLibrary, match=r'needs pylsl, which is not installed: pip install "ecgframe\[lsl\]"'):
        ToLsl("ws://127.0.0.1:1/ws", ["ecg/1"])


def test_without_liblsl_it_says_what_to_install(monkeypatch):
    def broken(name):
        raise RuntimeError("LSL binary library file was not found. Please make sure\n that ...")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(MissingLibrary, match=r"needs liblsl, which pylsl cannot load here \(LSL binary .*github"):
        ToLsl("ws://127.0.0.1:1/ws", ["ecg/1"])

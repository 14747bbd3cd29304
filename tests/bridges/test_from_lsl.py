"""LSL streams, sent with pylsl and published on a server by the bridge."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from bridges.loopback import NEAR, pylsl, sender
from client.servers import at_once, impatient, serving, until, url_of
from running import run

from ecgframe import MessageType
from ecgframe.bridges.lsl import BridgeError, FromLsl, finding, from_lsl
from ecgframe.bridges.lsl.finding import Query
from ecgframe.client import Client
from ecgframe.server import WebSocketBinaryHandler

RATE = 500
FRAME = {"frame_seconds": 0.05}
"""25 samples."""


@pytest.fixture(autouse=True)
def quick_sweep(monkeypatch):
    """Look for further streams for a moment only: all are on this machine."""
    monkeypatch.setattr(finding, "SWEEP", 0.1)


async def anyone(*_: object) -> bool:
    return True


@asynccontextmanager
async def bridged(stream: str, **options: object):
    """A server, a running bridge, and the messages of the stream; yields the bridge and the subscription."""
    handler, stop = WebSocketBinaryHandler(authorize=anyone), asyncio.Event()
    async with serving(handler) as port:
        bridge = FromLsl(url_of(port), stream=stream, reconnect_delays=at_once, wait=5, **{**FRAME, **options})
        async with impatient(url_of(port)) as viewer, viewer.subscribe(stream) as subscription:
            running = asyncio.create_task(bridge.run(stop=stop))
            try:
                await until(lambda: bridge.summaries or running.done(), 20)
                yield bridge, subscription, viewer
            finally:
                stop.set()
                await asyncio.wait([running])
        await running


async def heard(outlet) -> None:
    """Wait until the bridge receives the LSL stream."""
    await until(outlet.have_consumers)


def push(outlet, first: int, count: int, begin: float) -> None:
    """Send samples, whose values are their numbers, of which number 0 is at ``begin`` by LSL's clock."""
    numbers = np.arange(first, first + count)
    samples = np.repeat(numbers[:, None], outlet.channel_count, axis=1)
    outlet.push_chunk(samples, (begin + numbers / RATE).tolist())


async def received(subscription, samples: int):
    """The signal, [leads, samples], and the payloads of this number of samples."""
    payloads = []
    while sum(payload["signal"].shape[1] for payload in payloads) < samples:
        payloads.append((await asyncio.wait_for(anext(subscription), 60)).data)
    return np.concatenate([payload["signal"] for payload in payloads], axis=1), payloads


def unix(stamp: float) -> float:
    """A time by LSL's clock, by the clock of the server, which is that of this machine."""
    return stamp + time.time() - pylsl.local_clock()


def test_samples_names_units_and_times_are_published():
    async def main():
        outlet = sender("from 1", ["II", "V5"], RATE, units=["microvolts", "uV"])
        async with bridged("lsl/1", names=["from 1"]) as (bridge, subscription, _):
            await heard(outlet)
            begin = pylsl.local_clock() - 1
            for first in range(0, 200, 20):
                push(outlet, first, 20, begin)
            return await received(subscription, 200), unix(begin), bridge.summaries[0]

    (signal, payloads), begin, summary = run(main())
    assert signal.dtype == np.float32
    np.testing.assert_array_equal(signal, np.tile(np.arange(200), (2, 1)))
    for number, payload in enumerate(payloads):
        assert payload["timestamp"] == pytest.approx(begin + number * 0.05, abs=NEAR)
        assert payload["sequence"] == number
        assert payload["signal"].shape == (2, 25)
    assert (payloads[0]["leads"], payloads[0]["units"]) == (["II", "V5"], "uV")
    assert payloads[0]["sampling_rate"] == RATE
    assert (summary.samples, summary.frames, summary.is_whole, summary.remarks) == (200, 8, True, [])


def test_samples_that_are_missing_by_the_timestamps_are_nan():
    async def main():
        outlet = sender("from 2", ["I"], RATE)
        async with bridged("lsl/2", names=["from 2"]) as (bridge, subscription, _):
            await heard(outlet)
            begin = pylsl.local_clock() - 4
            push(outlet, 0, 1200, begin)
            push(outlet, 1201, 99, begin)  # one is lost
            push(outlet, 1375, 25, begin)
            return await received(subscription, 1400), unix(begin), bridge.summaries[0]

    (signal, payloads), begin, summary = run(main())
    expected = np.arange(1400.0)
    expected[[1200, *range(1300, 1375)]] = np.nan
    np.testing.assert_array_equal(signal[0], expected)
    assert payloads[-1]["timestamp"] == pytest.approx(begin + 1375 / RATE, abs=NEAR)
    assert (summary.gaps, summary.missing, summary.is_whole) == (2, 76, False)


def test_a_unit_that_is_not_stated_is_unknown_unless_it_is_given():
    async def main(units):
        outlet = sender("from 3", ["", ""], RATE, units="")
        async with bridged("lsl/3", names=["from 3"], units=units) as (bridge, subscription, _):
            await heard(outlet)
            push(outlet, 0, 25, pylsl.local_clock() - 1)
            _, [payload] = await received(subscription, 25)
            return payload, bridge.summaries[0]

    payload, summary = run(main(None))
    assert (payload["units"], payload["leads"]) == ("unknown", ["ch1", "ch2"])
    assert summary.remarks == ["it states no unit, so it was published with the unit 'unknown'; --units states it"]
    payload, summary = run(main("microvolts"))
    assert (payload["units"], summary.remarks) == ("uV", [])


def test_different_voltages_are_converted_and_integers_become_floats():
    async def main():
        outlet = sender("from 4", ["I", "X", "II"], RATE, units=["uV", "bpm", "mV"], form="int16")
        async with bridged("lsl/4", names=["from 4"], channels=["II", "I"]) as (bridge, subscription, _):
            await heard(outlet)
            push(outlet, 0, 25, pylsl.local_clock() - 1)
            return (await received(subscription, 25)), bridge.summaries[0]

    (signal, [payload]), summary = run(main())
    assert payload["leads"] == ["II", "I"]
    assert payload["units"] == "mV"
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, [np.arange(25), np.arange(25) / 1000], rtol=1e-6)
    assert summary.remarks == ["its channels have different units; they were converted to mV"]


@pytest.mark.slow
def test_markers_are_alerts_if_they_are_wanted():
    async def main():
        outlet = sender("from 5", ["I"], RATE)
        events = sender("from 5 events", ["x"], 0, units="", form="string", kind="Markers")
        async with bridged("lsl/5", names=["from 5"], markers=True) as (bridge, subscription, _):
            await heard(events)
            at = pylsl.local_clock() - 1
            events.push_sample([b"\xff"], at)  # LSL sends any bytes
            events.push_sample(["stimulus 7"], at)
            message = await asyncio.wait_for(anext(subscription), 60)
            await until(lambda: bridge.summaries[0].markers == 1)
            assert bridge.summaries[0].refused == 1
            del outlet
            return message, unix(at)

    message, at = run(main())
    assert message.type is MessageType.ANOMALY_ALERT
    assert message.data["timestamp"] == pytest.approx(at, abs=NEAR)
    assert (message.data["kind"], message.data["message"]) == ("annotation", "stimulus 7")


@pytest.mark.slow
def test_a_sender_that_is_restarted_continues():
    async def main():
        outlet = sender("from 6", ["I"], RATE)
        async with bridged("lsl/6", names=["from 6"]) as (bridge, subscription, _):
            await heard(outlet)
            begin = pylsl.local_clock() - 1
            push(outlet, 0, 25, begin)
            await received(subscription, 25)
            del outlet
            await asyncio.sleep(0.5)  # the event loop goes on while the sender is gone
            outlet = sender("from 6", ["I"], RATE)
            await until(outlet.have_consumers, 20)
            push(outlet, 1000, 25, begin)
            signal, _ = await received(subscription, 1000)
            return signal, bridge.summaries[0]

    signal, summary = run(main())
    assert np.isnan(signal[0, :975]).all()
    assert signal[0, 975:].tolist() == list(range(1000, 1025))
    assert (summary.gaps, summary.missing) == (1, 975)


def test_the_last_samples_are_published_when_the_bridge_stops():
    async def main():
        outlet = sender("from 7", ["I"], RATE)
        async with bridged("lsl/7", names=["from 7"]) as (bridge, subscription, _):
            await heard(outlet)
            push(outlet, 0, 30, pylsl.local_clock() - 1)
            await received(subscription, 25)
            bridge._ending.set()
            signal, _ = await received(subscription, 5)
            return signal

    assert run(main()).tolist() == [[25, 26, 27, 28, 29]]


def test_samples_wait_while_the_server_is_gone():
    async def main():
        outlet = sender("from 8", ["I"], RATE)
        async with bridged("lsl/8", names=["from 8"]) as (bridge, subscription, _):
            await heard(outlet)
            begin = pylsl.local_clock() - 1
            push(outlet, 0, 50, begin)
            await received(subscription, 50)
            bridge.client._reconnecting.connection._websocket.transport.abort()
            push(outlet, 50, 50, begin)
            signal, payloads = await received(subscription, 50)
            return signal, payloads, bridge.summaries[0]

    signal, payloads, summary = run(main())
    assert signal[0].tolist() == list(range(50, 100))
    assert [payload["sequence"] for payload in payloads] == [2, 3]
    assert summary.remarks == ["the connection was lost; messages that were on their way may be missing"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("stream", "options", "problem"),
    [
        ({"labels": ["I"], "rate": 0}, {}, "has no regular sampling rate"),
        ({"labels": ["I"], "rate": 1.1e5}, {}, "passes on 0.001 to 100,000 Hz"),
        ({"labels": ["x"] * 5000, "rate": 1}, {}, "it has 5,000 channels"),
        ({"labels": ["x"], "rate": 0, "form": "string", "units": ""}, {}, "has texts, not samples"),
        ({"labels": ["I", "X"], "rate": 500, "units": ["mV", "bpm"]}, {}, r"different units: I \(mV\), X \(bpm\)"),
        ({"labels": ["I"], "rate": 500}, {"units": "uV"}, "states the unit 'mV', against the 'uV' given"),
        ({"labels": ["I", "II"], "rate": 500}, {"channels": ["V5"]}, "has no channel 'V5'; it has I, II"),
    ],
)
def test_lsl_streams_that_cannot_be_published_are_refused(stream, options, problem):
    name = f"refused {time.monotonic_ns()}"
    outlet = sender(name, **stream)

    async def main():
        async with serving(WebSocketBinaryHandler(authorize=anyone)) as port:
            await from_lsl(url_of(port), names=[name], wait=5, seconds=20, **options)

    with pytest.raises(BridgeError, match=problem):
        run(main())
    del outlet


def test_a_stream_that_is_not_there_is_named_with_those_that_are():
    outlet = sender("from 9", ["I"], RATE)

    async def main():
        async with serving(WebSocketBinaryHandler(authorize=anyone)) as port:
            await from_lsl(url_of(port), names=["from 9", "from 10"], wait=0.2)

    with pytest.raises(
        BridgeError, match=r"no LSL stream named 'from 10' was found within 0.2 s; there .*'from 9' \(ECG\)"
    ):
        run(main())
    del outlet


def test_a_server_that_does_not_let_clients_publish():
    outlet = sender("from 11", ["I"], RATE)

    async def main():
        async with serving() as port:
            running = asyncio.create_task(from_lsl(url_of(port), names=["from 11"], wait=5, seconds=20))
            await until(outlet.have_consumers)
            push(outlet, 0, 50, pylsl.local_clock() - 1)
            await running

    with pytest.raises(BridgeError, match=r"does not let this client publish .*; ecgframe serve --publish does"):
        run(main())


def test_a_name_for_one_stream_is_not_given_to_two(monkeypatch):
    monkeypatch.setattr(finding, "SWEEP", 0.6)  # LSL finds all streams in half a second
    outlets = [sender(f"two {number}", ["I"], RATE, kind="two") for number in range(2)]

    async def main():
        async with serving(WebSocketBinaryHandler(authorize=anyone)) as port:
            await from_lsl(url_of(port), kind="two", stream="ecg/1", wait=5)

    with pytest.raises(BridgeError, match="2 LSL streams match, so they cannot all be published as 'ecg/1'"):
        run(main())
    del outlets


def test_streams_of_the_same_name_are_published_under_different_names(monkeypatch):
    monkeypatch.setattr(finding, "SWEEP", 0.6)  # LSL finds all streams in half a second
    outlets = [sender("twin", ["I"], RATE, source_id=f"twin {number}", kind="twins") for number in range(2)]

    async def main():
        stop = asyncio.Event()
        async with serving(WebSocketBinaryHandler(authorize=anyone)) as port:
            bridge = FromLsl(url_of(port), predicate="starts-with(name,'twi') and type='twins'", wait=5)
            running = asyncio.create_task(bridge.run(stop=stop))
            await until(lambda: len(bridge.summaries) == 2 or running.done(), 20)
            stop.set()
            await running
        return [summary.stream for summary in bridge.summaries]

    assert run(main()) == ["lsl/twin", "lsl/twin-2"]
    del outlets


@pytest.mark.parametrize(
    ("query", "xpath"),
    [
        (Query(), "true()"),
        (Query(kind="ECG"), "type='ECG'"),
        (Query(names=("a", "it's"), predicate="x or y"), "(name='a' or name=\"it's\") and (x or y)"),
    ],
)
def test_conditions_are_one_predicate(query, xpath):
    assert query.xpath() == xpath


def test_a_name_with_both_quotes_cannot_be_looked_for():
    with pytest.raises(BridgeError, match=r"use a predicate with contains\(\)"):
        Query(names=("'\"",)).xpath()


def test_invalid_arguments():
    for options in ({"stream": ""}, {"frame_seconds": 0}):
        with pytest.raises(ValueError, match=r"characters|seconds"):
            FromLsl("ws://127.0.0.1:1/ws", **options)


def test_the_client_of_a_bridge_is_told():
    assert isinstance(FromLsl("ws://127.0.0.1:1/ws").client, Client)

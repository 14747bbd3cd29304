"""How fast do servers deliver and answer, and what does a viewer cost that does not read?

Each question is asked once, of all servers side by side; `python -m bench.servers_report` asks longer and writes it
down.
"""

import asyncio
from statistics import median

import pytest

from bench import growth, live, storms
from bench.engines import installed

FAN_OUT_BAR, ECHO_BAR = 0.8, 0.7
"""Of what the library delivers, and answers a peer that waits for it, alone."""

MOST_EXCESS = 0.3
"""Seconds that 500 viewers who open at once may wait longer than for the library alone."""

UNDER_WAY = 80
"""Frames of 2.3 kB that the kernels of both sides and a library's buffer may hold; under uvicorn they hold most."""


@pytest.fixture
def once(benchmark):
    """Run a measurement as one line of a table; asks for little where nothing is to be timed."""

    def run(group, measurement, brief, whole):
        benchmark.group = group
        options = brief if benchmark.disabled else whole
        return benchmark.pedantic(lambda: asyncio.run(measurement(**options)), rounds=1)

    return run


def test_fan_out(once, benchmark):
    names = list(installed())
    rounds = once(
        "fan-out",
        live.fan_out,
        {"names": names, "viewers": 20, "frames": 10, "rounds": 1},
        {"names": names, "viewers": 500, "frames": 40, "rounds": 10},
    )
    benchmark.extra_info.update(rounds)
    if not benchmark.disabled:
        assert live.ratio(rounds, "handler on websockets", "websockets") >= FAN_OUT_BAR
        assert live.ratio(rounds, "handler on picows", "websockets") > 1


@pytest.mark.parametrize("clients", [1, 16])
def test_echo(once, benchmark, clients):
    """With sixteen, a server does nothing but answer, and all that a handler does shows: there is no bar for that."""
    names = list(installed())
    rounds = once(
        "echo",
        live.echo,
        {"names": names, "clients": clients, "times": 20, "rounds": 1},
        {"names": names, "clients": clients, "times": 2000, "rounds": 10},
    )
    benchmark.extra_info.update(rounds)
    if clients == 1 and not benchmark.disabled:
        assert live.ratio(rounds, "handler on websockets", "websockets") >= ECHO_BAR


@pytest.mark.parametrize("name", [name for name in installed() if name.startswith("handler")])
def test_a_viewer_that_does_not_read(once, name):
    found = once(
        "stalled viewer",
        live.stalled_viewer,
        {"name": name, "viewers": 20, "seconds": 1, "rate": 40},
        {"name": name, "viewers": 500, "seconds": 10, "rate": 20},
    )
    assert found.lost == 0
    assert found.grown < 64


@pytest.mark.parametrize("name", [name for name in installed() if name.startswith("handler")])
def test_an_alert_behind_a_backlog(once, name):
    found = once(
        "alert",
        live.alert,
        {"name": name, "queued": 500, "bytes_a_second": 1_000_000},
        {"name": name, "queued": 10_000, "bytes_a_second": 1_000_000},
    )
    assert found.behind < UNDER_WAY


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_viewers_who_open_at_once(once, benchmark, tls):
    names = [name for name in installed() if name.partition("handler on ")[2] in ("", "websockets", "picows")]
    found = once(
        "openings",
        storms.openings,
        {"names": names, "viewers": 20, "rounds": 1, "tls": tls},
        {"names": names, "viewers": 500, "rounds": 10, "tls": tls},
    )
    if not benchmark.disabled:
        for library in ("websockets", "picows"):
            assert storms.excess(found, f"handler on {library}", library) <= MOST_EXCESS


@pytest.mark.parametrize("name", [name for name in installed() if name.startswith("handler")])
def test_a_ward_that_comes_back(once, benchmark, name):
    found = once(
        "ward",
        storms.ward_returns,
        {"name": name, "viewers": 10, "behind": 1},
        {"name": name, "viewers": 500, "behind": 10},
    )
    if not benchmark.disabled:
        assert median(found.late) < 0.05


@pytest.mark.parametrize("streams", [1, 16])
def test_both_versions_over_streams(once, benchmark, streams):
    rounds = once(
        "growth",
        growth.fan_out,
        {"viewers": 16, "streams": streams, "samples": 25, "rounds": 1},
        {"viewers": 256, "streams": streams, "samples": 25, "rounds": 5},
    )
    benchmark.extra_info.update(rounds)
    assert {name.rpartition(" ")[2] for name in rounds} == {"3", "4"}

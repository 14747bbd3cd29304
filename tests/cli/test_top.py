from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import time

import pytest
from cli.live_server import live
from command_line import run
from recordings import optional

from ecgframe.cli.console import Terminal
from ecgframe.cli.top import EPILOG
from ecgframe.cli.top.views import bar, overview, short_time
from ecgframe.client import connect
from ecgframe.tools.metrics_reader import Performance, Spread, metrics_url, read_metrics

optional("websockets")
optional("prometheus_client")


WORDS = ("connections", "messages a second", "time to publish", "Quit")


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield f"ws://127.0.0.1:{running.port}/ws"


@pytest.mark.slow
def test_one_reading_is_printed_with_once(server):
    output = run("top", server, "--once", "--interval", 0.5).output
    assert re.search(r"^connections +0 open", output, re.M)
    assert re.search(r"^streams +1, 0 subscriptions", output, re.M)
    assert re.search(r"^dropped +0.0 frames/s now, 0 in all", output, re.M)
    assert re.search(r"time to publish of \d+", output)
    assert "p99" in output


def test_one_reading_as_json_counts_the_viewers(server):
    async def watch():
        async with connect(server) as client, client.subscribe("ecg/1") as stream:
            await anext(stream)
            return await asyncio.to_thread(run, "top", server, "--once", "--json", "--interval", 0.5)

    told = json.loads(asyncio.run(watch()).stdout)
    assert (told["connections"], told["by_version"], told["subscriptions"]) == (1, {"4": 1}, 1)
    assert 10 < told["messages"]["sent"]["ECG_DATA"] < 40
    assert told["nbytes"]["sent"] > 1000
    assert 0 < told["compression"]["sent"] < 1
    assert told["latency"]["publish"]["percentiles"]["99"] > 0


def test_the_view(server):
    textual = optional("textual")
    from ecgframe.cli.top.app import MonitorApp

    async def look():
        address = metrics_url(server)
        app = MonitorApp(address, 0.1, await asyncio.to_thread(read_metrics, address))
        async with app.run_test(size=(130, 40)) as pilot:
            await until(lambda: all(words in shown(app) for words in WORDS))
            await pilot.press("p")
            await until(lambda: str(app.query_one("#where").render()).endswith("paused"))
            app._take(await asyncio.to_thread(read_metrics, address))  # what was asked for before
            assert str(app.query_one("#where").render()).endswith("paused")
            app._url = "http://127.0.0.1:1/metrics"
            await pilot.press("p")
            await until(lambda: "Connection refused" in str(app.query_one("#where").render()))
            await pilot.press("q")
        return app.return_code

    def shown(app):
        lines = app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in lines)

    async def until(condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    assert asyncio.run(look()) == 0
    assert textual


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ws://127.0.0.1:1/ws",), 1, "error: http://127.0.0.1:1/metrics: Connection refused"),
        (("ws://127.0.0.1:1/ws", "--once"), 1, "Connection refused"),
        (("ws://h", "--json"), 2, "requires --once"),
        (("ftp://h", "--once"), 2, "'ftp://h' is not the address of a server: it does not begin with ws://"),
        (("ws://h", "--interval", "0"), 2, "is not above 0"),
    ],
)
def test_mistakes(arguments, code, words):
    assert words in run("top", *arguments, code=code).output


@pytest.mark.slow
def test_the_examples_of_the_help_run_as_printed(server):
    examples = [example for example in re.findall(r"^\*\*ecgframe (.*?)\*\* ", EPILOG, re.M) if "--once" in example]
    assert len(examples) == 2
    for example in examples:
        assert run(*shlex.split(example.replace("ws://127.0.0.1:8765/ws", server))).stdout


def performance(**more):
    """Return the performance of an overloaded server, with some values replaced."""
    return Performance(
        **{
            "seconds": 1.0,
            "connections": 2,
            "by_version": {},
            "streams": 1,
            "subscriptions": 2,
            "messages": {"sent": {"ECG_DATA": 5.0}, "received": {}},
            "nbytes": {"sent": 5.0, "received": 0.0},
            "encoded": 5.0,
            "queues": {"frames": 900, "bytes": 9000, "longest_frames": 500, "longest_bytes": 5000},
            "dropped": 3.0,
            "resent": 1.0,
            "undelivered": 0.5,
            "compression": {},
            "errors": {"sent": {"0x101": 4}, "received": {}},
            "latency": {"publish": Spread(3, {50: 0.5, 90: 20.0, 99: None}, [(10.0, 2), (float("inf"), 1)])},
            "sizes": {"received": Spread(0, {50: None}, [])},
            "totals": {"dropped": 30, "refused": 7},
        }
        | more
    )


def printed(found, width):
    console = Terminal(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(overview(found))
    return console.file.getvalue()


def test_problems_are_highlighted():
    shown = printed(performance(), 120)
    for words in ("7 refused", "\x1b[1;31m3.0 frames/s now, 30 in all", "1.0/s sent again, 0.5/s given up", "0x101 4"):
        assert words in shown
    assert "\x1b[33m900 frames, 9 kB wait; 500 in the longest" in shown
    assert "more" in shown
    assert "size, received" not in shown


def test_fragments_and_what_waited_too_long_are_shown_where_there_are_any():
    shown = printed(performance(expired=2.5, fragments={"sent": 40.0, "received": 0.0}), 140)
    assert "3.0 frames/s now, 2.5 of them had waited too long, 30 in all" in shown
    assert "40.0/s sent, 0.0/s received" in shown
    assert "fragments" not in printed(performance(), 140)


def test_what_waits_is_shown_by_class():
    shown = printed(performance(queued_by_class={"live": 860, "bulk": 40}), 140)
    assert "900 frames, 9 kB wait; 500 in the longest (live 860, bulk 40)" in shown


def test_a_narrow_terminal_hides_nothing():
    codes = {f"0x{code:x}": 1_000 + code for code in (*range(0x100, 0x105), *range(0x200, 0x205))}
    shown = printed(performance(errors={"sent": codes, "received": codes}), 80)
    assert "…" not in shown
    for words in ("connections", "errors sent", "errors received", *codes):
        assert words in shown


def test_bars_and_times():
    assert bar(1.0) == "█" * 16
    assert bar(0.5) == "█" * 8
    assert bar(0.0) == "▏"
    assert [short_time(seconds) for seconds in (5e-5, 0.0025, 0.9999, 12)] == ["50 µs", "2.5 ms", "1 s", "12 s"]

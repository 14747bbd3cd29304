"""docs/clocks.md: the log lines that it quotes are logged, and the metrics that it names are measured."""

import asyncio
import re

import pytest
from pages import read
from recordings import optional
from running import run

from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.backplane import LocalBackplane
from ecgframe.server.timestamps import Timestamps

pytestmark = pytest.mark.slow

PAGE = read("docs/clocks.md")
NOW = 1_705_314_645_000_000


def test_the_program_prints_that_the_clock_went_back(capsys):
    optional("websockets")
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    exec(compile(program, "clocks.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["[1]", "[2]", "The clock went back: True"]


def test_a_step_of_the_clock_is_logged_as_on_the_page(caplog):
    clock = [NOW]
    timestamps = Timestamps(lambda: clock[0], LocalBackplane())
    timestamps.next()
    timestamps.watch(0.0)
    clock[0] -= 30_000_000
    timestamps.watch(1.5)
    assert timestamps.steps == 1
    [told] = caplog.messages
    assert re.sub(r"\d+\.\d+", "30.000", told) in PAGE


def test_a_skew_to_redis_is_logged_as_on_the_page(caplog):
    optional("redis")
    from ecgframe.server.redis.clock import RedisClock

    async def note():
        RedisClock(lambda: NOW + 31_000_000).note(NOW, asyncio.get_running_loop().time())

    run(note())
    [told] = caplog.messages
    assert re.sub(r"\d+\.\d+", "31.000", told) in " ".join(PAGE.split())


def test_the_metrics_that_it_names_exist():
    optional("redis")
    exposition = optional("ecgframe.server.prometheus")
    from ecgframe.server.redis import RedisBackplane

    async def stats():
        handler = WebSocketBinaryHandler(backplane=RedisBackplane("redis://127.0.0.1:1/0"))
        return handler.stats(), exposition.Exposition(handler).answer("text/plain")[0].decode()

    told, metrics = run(stats())
    assert told["clock"].keys() == {"steps", "ahead_seconds"}
    named = set(re.findall(r"`(ecgframe_\w+)`", PAGE))
    assert len(named) == 3
    assert named <= set(re.findall(r"^(\w+) ", metrics, re.M))

"""``python -m bench.redis_rate`` compares the Redis backplane with bare XADD and XREAD: messages per second, and cost.

Publishers publish on a stream each, and wait until a message is delivered before they publish the next one. The bare
programs do the same with redis-py: an XADD for each message, or a pipeline of all that wait, and one XREAD for all
streams, which tells a publisher that its message has come back. None of them numbers, proves, limits or repeats.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median
from typing import Any, NamedTuple

import redis.asyncio as redis

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.redis import RedisBackplane

from . import core
from .engines import CODEC, message

SAMPLES = 25
PREFIX = "bench:"
PUBLISHERS = (16, 128)

Publish = Callable[[str], Awaitable[object]]


class Measured(NamedTuple):
    """One measurement.

    Attributes:
        rate: messages per second.
        cost: processor time of this process for each message, in microseconds.
    """

    rate: float
    cost: float


def _frame() -> Any:
    return CODEC.encode_frame(MessageType.ECG_DATA, message(SAMPLES), timestamp=1)


@asynccontextmanager
async def _bare(url: str, publishers: int, *, joined: bool) -> AsyncIterator[Publish]:
    """XADD and XREAD by redis-py: one XADD for each message, or all that wait in one pipeline."""
    writing, reading = (
        redis.Redis.from_url(url, max_connections=1000),
        redis.Redis.from_url(url, single_connection_client=True),
    )
    frame = _frame().frame
    positions: dict[Any, Any] = {f"{PREFIX}{number}".encode(): b"$" for number in range(publishers)}
    arrived: dict[bytes, asyncio.Future[None]] = {}
    waiting: list[bytes] = []
    work = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def read() -> None:
        while True:
            for key, entries in await reading.xread(positions, count=256, block=1000):
                positions[key] = entries[-1][0]
                if (future := arrived.pop(key, None)) is not None:
                    future.set_result(None)

    async def write() -> None:
        while True:
            await work.wait()
            work.clear()
            some, waiting[:] = list(waiting), []
            async with writing.pipeline(transaction=False) as pipeline:
                for key in some:
                    pipeline.xadd(key, {b"f": frame}, maxlen=1000)
                await pipeline.execute()

    async def publish(stream: str) -> None:
        key = f"{PREFIX}{stream}".encode()
        future = arrived[key] = loop.create_future()
        if joined:
            waiting.append(key)
            work.set()
        else:
            await writing.xadd(key, {b"f": frame}, maxlen=1000)
        await future

    for key in positions:
        await writing.xadd(key, {b"f": b""})
        positions[key] = (await writing.xrevrange(key, count=1))[0][0]
    tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        yield publish
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await writing.aclose()
        await reading.aclose()


@asynccontextmanager
async def _backplane(url: str, publishers: int, version: int = 3) -> AsyncIterator[Publish]:
    backplane = RedisBackplane(url, prefix=PREFIX, version=version)
    frame = _frame()
    await backplane.open(lambda *_: None)
    try:
        yield lambda stream: backplane.publish(stream, backplane.now(), frame)
    finally:
        await backplane.close()


@asynccontextmanager
async def _handler(url: str, publishers: int) -> AsyncIterator[Publish]:
    async with WebSocketBinaryHandler(backplane=RedisBackplane(url, prefix=PREFIX)) as handler:
        yield lambda stream: handler.publish(stream, MessageType.ECG_DATA, message(SAMPLES))


CANDIDATES: dict[str, Callable[[str, int], AbstractAsyncContextManager[Publish]]] = {
    "bare XADD and XREAD": lambda url, publishers: _bare(url, publishers, joined=False),
    "bare, pipelined": lambda url, publishers: _bare(url, publishers, joined=True),
    "backplane": _backplane,
    "backplane, version 4": lambda url, publishers: _backplane(url, publishers, 4),
    "handler": _handler,
}


async def measure(candidate: str, url: str, publishers: int, messages: int) -> Measured:
    """Let publishers publish so many messages in all."""
    async with CANDIDATES[candidate](url, publishers) as publish:

        async def go_on(stream: str, times: int) -> None:
            for _ in range(times):
                await publish(stream)

        async def all_of(times: int) -> None:
            await asyncio.gather(*(go_on(str(number), times) for number in range(publishers)))

        await all_of(max(messages // publishers // 5, 1))
        spent, began = time.process_time(), time.monotonic()
        await all_of(messages // publishers)
        seconds, spent = time.monotonic() - began, time.process_time() - spent
    total = messages // publishers * publishers
    return Measured(total / seconds, 1e6 * spent / total)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.redis_rate", description=__doc__)
    parser.add_argument("url", help="of a Redis that nobody else uses, such as redis://127.0.0.1:6390; it is emptied")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--messages", type=int, default=4000, metavar="N", help="messages of a round")
    parser.add_argument("--publishers", type=int, nargs="+", default=PUBLISHERS, metavar="N")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(CANDIDATES))
    core.add_option(parser)
    arguments = parser.parse_args()
    core.check(parser, plain=arguments.plain)
    for publishers in arguments.publishers:
        found: dict[str, list[Measured]] = {name: [] for name in arguments.only}
        for number in range(arguments.rounds):
            first = number % len(found)
            names = list(found)
            for name in names[first:] + names[:first]:
                _empty(arguments.url)
                found[name].append(asyncio.run(measure(name, arguments.url, publishers, arguments.messages)))
        print(f"{publishers} publishers")
        for name, rounds in found.items():
            rate, cost = median(one.rate for one in rounds), median(one.cost for one in rounds)
            line = f"  {name:24} {rate:8,.0f}/s  {cost:7.1f} µs"
            for base in arguments.only[:2]:
                pairs = list(zip(rounds, found[base], strict=True))
                of_rate = median(one.rate / other.rate for one, other in pairs)
                of_cost = median(one.cost / other.cost for one, other in pairs)
                line += f"   rate {of_rate:.2f}, time {of_cost:.2f} of {base}"
            print(line)


def _empty(url: str) -> None:
    import redis as blocking  # noqa: PLC0415 - of the other kind

    with blocking.Redis.from_url(url) as client:
        client.flushdb()


if __name__ == "__main__":
    main()

"""Measurements of storms: many viewers that connect at once, and many that reconnect at once and resume.

The viewers are raw connections in a process of their own, on the other core. One more viewer, in another process,
watches live meanwhile, and tells how late each frame came, by when it was due.
"""

import asyncio
import multiprocessing
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from ecgframe import MessageType

from .crowd import KEY, first_message, websocket_frame
from .engines import CODEC, STREAM, Certificate, Station, installed, message, opening
from .live import two_cores

RATE = 20
"""Frames per second that are published."""


# --- openings ---


@dataclass(frozen=True)
class Opening:
    """Time until all viewers were connected.

    Attributes:
        seconds: from the first SYN to the last answer.
        cost: seconds of processor time of the server's process.
    """

    seconds: float
    cost: float


async def openings(names: Sequence[str], *, viewers: int, rounds: int, tls: bool = False) -> dict[str, list[Opening]]:
    """Let many viewers connect to each server at once, in turn, and wait until each has its first messages."""
    found: dict[str, list[Opening]] = {name: [] for name in names}
    async with _stations(names, tls) as (stations, certificate, core):
        for number in range(rounds + 1):
            for name in names:
                station = stations[name]
                with _Away(_come, core, station.port, certificate, viewers, [], min(station.hears, 1)) as ward:
                    assert await ward.hear() == "ready"
                    spent = time.process_time()
                    ward.say("go")
                    seconds = await ward.hear()
                    spent = time.process_time() - spent
                    ward.say("end")
                    assert await ward.hear() == "gone"
                if number:  # the first round warms up
                    found[name].append(Opening(seconds, spent))
    return found


# --- a ward that comes back ---


@dataclass(frozen=True)
class Return:
    """Effects of a storm on a live viewer, and its duration.

    Attributes:
        quiet: seconds by which each frame was late before.
        late: seconds by which each frame was late from the beginning of the storm to its end.
        held: seconds by which each of these was published late, since the server's event loop was held up.
        opened: seconds until all viewers were in.
        seconds: until each had all that it had missed; the same where it asks for nothing.
        cost: seconds of processor time of the server's process until then.
    """

    quiet: list[float]
    late: list[float]
    held: list[float]
    opened: float
    seconds: float
    cost: float

    def __str__(self) -> str:
        late = sorted(self.late)
        return (
            f"quiet {1e3 * median(self.quiet):.1f} (most {1e3 * max(self.quiet):.1f}) ms; storm: median "
            f"{1e3 * median(late):.1f}, 9 of 10 {1e3 * late[len(late) * 9 // 10]:.1f}, most {1e3 * late[-1]:.1f} ms "
            f"(published {1e3 * max(self.held):.1f} ms late); "
            f"in after {self.opened:.2f} s, up to date after {self.seconds:.2f} s, {self.cost:.2f} s of the processor"
        )


async def ward_returns(
    name: str, *, viewers: int, behind: float, tls: bool = True, play: Callable[[], Any] = message
) -> Return:
    """Play to one viewer, and have others come who have missed so many seconds; those of a bare server just come."""
    roomy = {"heartbeat_interval": 3600}
    async with _stations([name], tls, **roomy) as (stations, certificate, core):
        station = stations[name]
        due = _Due()
        with _Away(_watch_live, core, station.port, certificate, station.says, station.hears) as viewer:
            assert await viewer.hear() == "ready"
            playing = asyncio.create_task(_play(station, due, play))
            await asyncio.sleep(max(behind, 1.0))
            begins = time.time_ns() // 1000
            says = _come_back(begins - round(behind * 1e6)) if station.handler else []
            arguments = (station.port, certificate, viewers, says, station.hears, begins if station.handler else 0)
            with _Away(_come, core, *arguments) as ward:
                assert await ward.hear() == "ready"
                began, spent = time.monotonic(), time.process_time()
                ward.say("go")
                opened = await ward.hear()
                seconds, frames = await ward.hear() if station.handler else (opened, 0)
                ended, spent = time.monotonic(), time.process_time() - spent
                assert not station.handler or frames >= viewers * behind * RATE * 0.9, frames
                await asyncio.sleep(0.3)
                playing.cancel()
                with suppress(asyncio.CancelledError):
                    await playing
                viewer.say("end")
                arrivals = await viewer.hear()
                ward.say("end")
                assert await ward.hear() == "gone"
        if station.handler:
            assert station.handler.stats()["dropped"] == 0
    assert len(arrivals) == len(due.times), (len(arrivals), len(due.times))
    late = [(when, arrived - when) for when, arrived in zip(due.times, arrivals, strict=True)]
    return Return(
        [by for when, by in late if when < began - 0.1],
        [by for when, by in late if began - 0.05 <= when <= ended],
        [by for when, by in zip(due.times, due.held, strict=True) if began - 0.05 <= when <= ended],
        opened,
        seconds,
        spent,
    )


@dataclass
class _Due:
    times: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)


async def _play(station: Station, due: _Due, play: Callable[[], Any]) -> None:
    """Publish at a constant rate. A blocked event loop publishes late, which counts."""
    began = time.monotonic()
    for number in range(1 << 30):
        at = began + number / RATE
        await asyncio.sleep(max(0, at - time.monotonic()))
        due.times.append(at)
        due.held.append(time.monotonic() - at)
        if station.handler:
            await station.handler.publish(STREAM, MessageType.ECG_DATA, play())
        else:
            await station.publish()


def _come_back(since: int) -> list[bytes]:
    request = {"stream": STREAM, "since": datetime.fromtimestamp(since / 1e6, UTC)}
    return [*opening(subscribes=False), CODEC.encode(MessageType.SUBSCRIBE, request)]


@asynccontextmanager
async def _stations(
    names: Sequence[str], tls: bool, **settings: Any
) -> AsyncIterator[tuple[dict[str, Station], Certificate | None, int | None]]:
    engines = installed()
    async with AsyncExitStack() as stack:
        certificate = stack.enter_context(_certificate()) if tls else None
        with two_cores() as core:
            yield (
                {
                    name: await stack.enter_async_context(engines[name](tls=certificate, **settings))
                    for name in names
                    if name in engines
                },
                certificate,
                core,
            )


@contextmanager
def _certificate() -> Iterator[Certificate]:
    import trustme  # noqa: PLC0415 - only where TLS is measured

    with tempfile.TemporaryDirectory() as folder:
        issued = trustme.CA().issue_cert("127.0.0.1")
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        yield Certificate(str(chain), str(key))


class _Away:
    """A function in a separate process, with a pipe."""

    def __init__(self, run: Callable[..., None], core: int | None, *arguments: Any) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_on_core, args=(core, run, theirs, *arguments), daemon=True
        )

    def __enter__(self) -> "_Away":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def say(self, what: str) -> None:
        self._pipe.send(what)

    async def hear(self) -> Any:
        loop = asyncio.get_running_loop()
        heard = loop.create_future()
        loop.add_reader(self._pipe.fileno(), lambda: heard.done() or heard.set_result(None))
        try:
            async with asyncio.timeout(120):
                await heard
        finally:
            loop.remove_reader(self._pipe.fileno())
        return self._pipe.recv()


def excess(found: dict[str, list[Opening]], name: str, base: str) -> float:
    """Return the seconds by which a server took longer than another: the median difference over the rounds."""
    return median(one.seconds - other.seconds for one, other in zip(found[name], found[base], strict=True))


# --- the other processes ---


def _on_core(core: int | None, run: Callable[..., None], *arguments: Any) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    run(*arguments)


def _client_context(certificate: Certificate | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Viewer(asyncio.Protocol):
    """Opens a WebSocket, says what it is told once it is open, reads, and answers PING.

    Args:
        says: messages.
        heard: called with each message but those, and with None when it is open.
    """

    def __init__(self, says: Sequence[bytes], heard: Callable[[bytes | None], None]) -> None:
        self.says = says
        self.heard = heard
        self.is_open = False
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.is_open:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.partition(b"\r\n")[0], head
            self.is_open, self.received = True, rest
            self.heard(None)
            for words in self.says:
                self.transport.write(websocket_frame(words))
        rest = self.received
        while first := first_message(rest):
            if first[0][:2] == bytes([3, MessageType.PING]):
                pong = CODEC.encode(MessageType.PONG, CODEC.decode(first[0]).data)
                self.transport.write(websocket_frame(pong))
            else:
                self.heard(first[0])
            rest = rest[first[1] :]
        self.received = rest


def _come(
    pipe: Connection,
    port: int,
    certificate: Certificate | None,
    viewers: int,
    says: list[bytes],
    hears: int,
    until: int = 0,
) -> None:
    """Connect all at once. Tells when all are open, and when each has a frame of a stream later than ``until``."""
    asyncio.run(_coming(pipe, port, certificate, viewers, says, hears, until))


async def _coming(
    pipe: Connection,
    port: int,
    certificate: Certificate | None,
    viewers: int,
    says: list[bytes],
    hears: int,
    until: int,
) -> None:
    loop, context = asyncio.get_running_loop(), _client_context(certificate)
    opened, up_to_date = loop.create_future(), loop.create_future()
    left = {"closed": viewers, "behind": viewers}
    frames: list[int] = []

    def heard(state: dict[str, int], words: bytes | None) -> None:
        if words is None or state["left"]:
            state["left"] -= 1
            if not state["left"]:
                left["closed"] -= 1
                if not left["closed"]:
                    opened.set_result(time.monotonic())
        elif until and state["behind"] and words[1] == MessageType.ECG_DATA:
            frames.append(0)
            if int.from_bytes(words[11:19], "big") > until:
                state["behind"] = 0
                left["behind"] -= 1
                if not left["behind"]:
                    up_to_date.set_result(time.monotonic())

    def viewer() -> _Viewer:
        # the answer to the request, and what the server says first
        return _Viewer(says, partial(heard, {"left": 1 + min(hears, 1), "behind": 1}))

    pipe.send("ready")
    assert await asyncio.to_thread(pipe.recv) == "go"
    began = time.monotonic()
    options = {"ssl": context, "server_hostname": ""} if context else {}
    coming = [asyncio.create_task(loop.create_connection(viewer, "127.0.0.1", port, **options)) for _ in range(viewers)]
    pipe.send(await opened - began)
    if until:
        pipe.send((await up_to_date - began, len(frames)))
    assert await asyncio.to_thread(pipe.recv) == "end"
    for transport, _ in [await one for one in coming]:
        transport.abort()
    pipe.send("gone")
    await asyncio.to_thread(pipe.recv)


def _watch_live(pipe: Connection, port: int, certificate: Certificate | None, says: list[bytes], hears: int) -> None:
    """Watch, ahead of all others on this core, and tell in the end when each frame arrived."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    asyncio.run(_watching(pipe, port, certificate, says, hears))


async def _watching(
    pipe: Connection, port: int, certificate: Certificate | None, says: list[bytes], hears: int
) -> None:
    loop, context = asyncio.get_running_loop(), _client_context(certificate)
    arrivals: list[float] = []
    ready = loop.create_future()
    left = 1 + hears

    def heard(words: bytes | None) -> None:
        nonlocal left
        if left:
            left -= 1
            if not left:
                ready.set_result(None)
        else:
            arrivals.append(time.monotonic())

    options = {"ssl": context, "server_hostname": ""} if context else {}
    transport, _ = await loop.create_connection(lambda: _Viewer(says, heard), "127.0.0.1", port, **options)
    await ready
    pipe.send("ready")
    assert await asyncio.to_thread(pipe.recv) == "end"
    transport.abort()
    pipe.send(arrivals)
    await asyncio.to_thread(pipe.recv)

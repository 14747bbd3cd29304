"""Serving a recording until a signal comes, and saying where it is to be seen."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import typer

from ...errors import MessageTooLarge
from ...records import Record, RecordError
from ...records.loop_point import seamless
from ...server import Backplane, Limits, LocalBackplane
from ...server.event_loop import new_event_loop
from ...server.hooks import OnError
from ...server.live import LiveServer
from ...server.pages import WEBSOCKET
from ...server.player import Loop
from ..stopping import stop_signals
from ..terminal import describe, duration, left_out

EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses to listen at that are none to connect to."""


def serve_live(
    record: Record,
    *,
    streams: tuple[str, ...],
    frame_ms: float,
    speed: float,
    whole: bool,
    alert_seconds: float,
    detect: bool,
    host: str,
    port: int,
    allowed_origins: tuple[str, ...],
    redis: str | None,
    max_connections: int,
    ring_seconds: float,
    on_error: OnError | None,
) -> None:
    """Serve. The arguments are those of the command.

    Raises:
        CannotListen: there is no listening at that address.
        RecordError: a frame would hold no sample, or more than fits.
        MissingLibrary: Redis is asked for, and redis-py is not installed.
    """
    samples = None if whole else seamless(record)
    backplane = LocalBackplane() if redis is None else _redis(redis, ring_seconds)
    server = LiveServer(
        loop=Loop(record, samples),
        streams=streams,
        frame_seconds=Fraction(frame_ms) / 1000,
        speed=speed,
        alert_seconds=alert_seconds,
        detect=detect,
        host=host,
        port=port,
        allowed_origins=allowed_origins,
        limits=Limits(connections=max_connections, ring_seconds=ring_seconds),
        backplane=backplane,
        on_error=on_error,
    )
    ending = _ending(record, samples, whole)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_run(server, ending))
    except MessageTooLarge as error:
        raise RecordError(f"{error}; shorter frames are smaller (--frame-ms)") from error


async def _run(server: LiveServer, ending: str) -> None:
    with stop_signals() as stop:
        await server.run(stop, ready=lambda port: _announce(server, port, ending))


def _redis(url: str, seconds: float) -> Backplane:
    from ...server.redis import RedisBackplane  # noqa: PLC0415 - needs redis-py

    try:
        return RedisBackplane(url, seconds=seconds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--redis") from error


def _ending(record: Record, samples: range | None, whole: bool) -> str:
    """What becomes of it at its end."""
    if samples is not None:
        return f"{duration(len(samples) / record.sampling_rate)} of it over and over, without a seam"
    return "over and over" if whole else "over and over, with a jump each time: no two places near its ends are alike"


def _announce(server: LiveServer, port: int, ending: str) -> None:
    host = "127.0.0.1" if server.host in EVERYWHERE else server.host
    place = f"{f'[{host}]' if ':' in host else host}:{port}"
    url = f"ws://{place}{WEBSOCKET}"
    streams = server.streams
    if streams:
        record = server.loop.record
        lines = [f"{record.source}: {describe(record)}; {ending}", *left_out(record)]
        lines += [f"Live at {url}: {streams[0]}{f' to {streams[-1]}' if len(streams) > 1 else ''}"]
    else:
        lines = [f"Live at {url}: what other servers publish"]
    watch = f"ecgframe watch {url} {streams[0] if streams else 'ecg/1'}"
    typer.echo("\n".join([*lines, f"Next: open http://{place}/ in a browser, or run {watch}"]))

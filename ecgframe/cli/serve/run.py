"""Serving a recording until a signal, and printing where to watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from shlex import quote

import typer

from ...errors import MessageTooLarge
from ...plural import counted
from ...records import Record, RecordError
from ...records.loop_point import seamless
from ...server import Backplane, Limits, LocalBackplane
from ...server.alarm_file import AlarmFile
from ...server.annotation_alerts import Annotations
from ...server.client_streams import ClientStreams
from ...server.disk_history import DiskHistory
from ...server.event_loop import new_event_loop
from ...server.forwarding import Proxies
from ...server.hooks import OnError
from ...server.key_file import KeyFile
from ...server.live import LiveServer
from ...server.pages import WALL, WEBSOCKET
from ...server.player import Loop
from ...server.token_file import TokenFile
from ...signing import SigningKey
from ..console import say
from ..formats import duration
from ..recordings import describe, remarks_on
from ..stopping import stop_signals
from ..waiting import telling
from .certificate import Certificate
from .worker import Worker

EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses that mean all interfaces: to listen on, not to connect to."""


def serve_live(
    record: Record,
    *,
    others: Sequence[Record],
    streams: tuple[str, ...],
    frame_ms: float,
    speed: float,
    whole: bool,
    alert_seconds: float,
    annotations: bool,
    detect: bool,
    publish: bool,
    host: str,
    port: int,
    certificate: Certificate | None,
    allowed_origins: tuple[str, ...],
    proxies: Proxies | None,
    token_file: TokenFile | None,
    redis: str | None,
    versions: tuple[int, ...],
    key_file: KeyFile | None,
    keys_without_tls: bool,
    signer: SigningKey | None,
    max_connections: int,
    ring_seconds: float,
    alarm_file: AlarmFile | None,
    disk_history: DiskHistory | None,
    on_error: OnError | None,
    worker: Worker | None = None,
) -> None:
    """Serve a recording until SIGINT or SIGTERM. The arguments are those of the command, or what they name.

    A worker shares the port and the streams with others, and leaves it to its parent to print where they are.

    Raises:
        CannotListen: the address cannot be listened on.
        RecordError: a frame would contain no sample, or be too large; or ``annotations`` is given, and the recording
            has none.
        MissingLibrary: ``redis`` is given, and redis-py is not installed.
    """
    with telling(f"looking through {record.source}"):
        samples = None if whole else seamless(record)
        remarks = remarks_on(replace(record, annotations=()) if annotations else record)
    backplane = LocalBackplane() if redis is None else _redis(redis, ring_seconds, versions)
    loop = Loop(record, samples)
    if annotations and not record.annotations:
        raise RecordError(f"{record.source}: it has no annotations to send (--annotations)")
    server = LiveServer(
        loop=loop,
        streams=streams,
        also=tuple(
            (f"ecg/{number}", Loop(other, None if whole else seamless(other)))
            for number, other in enumerate(others, len(streams) + 1)
        ),
        frame_seconds=Fraction(frame_ms) / 1000,
        speed=speed,
        alert_seconds=alert_seconds,
        annotations=Annotations(record, loop.played) if annotations else None,
        detect=detect,
        publish=publish,
        host=host,
        port=port,
        ssl=None if certificate is None else certificate.context,
        allowed_origins=allowed_origins,
        proxies=proxies,
        token_file=token_file,
        limits=Limits(connections=max_connections, ring_seconds=ring_seconds),
        backplane=backplane,
        versions=versions,
        key_file=key_file,
        keys_without_tls=keys_without_tls,
        signer=signer,
        alarm_file=alarm_file,
        disk_history=disk_history,
        on_error=on_error,
    )
    if worker is not None:
        server = replace(
            server,
            plays=worker.share(server.played),
            sockets=worker.sockets,
            shown=ClientStreams(server.played, elsewhere=lambda: worker.elsewhere),
            metrics=worker.metrics,
        )
    if key_file is not None and certificate is None and not keys_without_tls:
        remarks = (
            *remarks,
            "Without TLS, viewers of sealed streams need keys of their own (--keys): this server hands out none "
            "(--ssl-certfile, or --keys-without-tls)",
        )
    lines = [f"{record.source}: {describe(record)}; {_ending(record, samples, whole)}", *remarks]
    for stream, played in server.also:
        lines += [f"{stream} plays {played.record.source}: {describe(played.record)}", *remarks_on(played.record)]
    connectable = "127.0.0.1" if host in EVERYWHERE else host
    options = ""
    if certificate is not None:
        lines.append(f"Certificate: of {', '.join(certificate.names) or 'no name'}, valid until {certificate.until}")
        connectable = certificate.name_for(connectable)
        options = f" --ca {quote(str(certificate.file))}" if certificate.is_self_signed else ""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_run(server, connectable, lines, options, worker))
    except MessageTooLarge as error:
        raise RecordError(f"{error}; shorter frames are smaller (--frame-ms)") from error


async def _run(server: LiveServer, host: str, lines: Sequence[str], options: str, worker: Worker | None) -> None:
    def told(port: int) -> list[str]:
        return _announcement(server, host, port, lines, options)

    with stop_signals() as stop:
        if worker is None:
            await server.run(stop, ready=lambda port: say(*told(port)))
        else:
            assert server.shown is not None
            async with worker.connected(stop, server.shown):
                await server.run(stop, ready=lambda port: worker.ready(told(port)))


def _redis(url: str, seconds: float, versions: tuple[int, ...]) -> Backplane:
    from ...server.redis import backplane_of  # noqa: PLC0415 - needs redis-py

    try:
        return backplane_of(url, seconds=seconds, version=4 if versions[-1] >= 4 else 3)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--redis") from error


def _ending(record: Record, samples: range | None, whole: bool) -> str:
    """Describe how the recording is repeated."""
    if samples is not None:
        return f"{duration(len(samples) / record.sampling_rate)} of it in a loop, without a jump"
    return "in a loop" if whole else "in a loop, with a jump: no place near its end resembles one near its beginning"


def _annotations_sent(annotations: Annotations) -> str:
    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (annotations.normal_beats, "that mark normal beats"),
            (annotations.outside, "outside of what is played"),
        )
        if count
    ]
    line = f"Annotations: {annotations.sent:,} are sent as alerts"
    return f"{line}; not {', nor '.join(left_out)}" if left_out else line


def _announcement(server: LiveServer, host: str, port: int, on_recording: Sequence[str], options: str) -> list[str]:
    """Lines that tell what is served, and where: by which name, and with which options of the clients."""
    place = f"{f'[{host}]' if ':' in host else host}:{port}"
    websocket, page = ("ws", "http") if server.ssl is None else ("wss", "https")
    url = f"{websocket}://{place}{WEBSOCKET}"
    streams = server.played
    if streams:
        sent = server.annotations
        lines = list(on_recording)
        if sent is not None:
            lines.append(_annotations_sent(sent))
        lines += [f"Live at {url}: {streams[0]}{f' to {streams[-1]}' if len(streams) > 1 else ''}"]
    else:
        lines = [f"Live at {url}: what {'clients' if server.publish else 'other servers'} publish"]
    if server.key_file is not None:
        sealed = {key.stream for key in server.key_file}
        lines += [f"Sealed: {counted(len(sealed), 'stream')}, of which {len(sealed & set(streams))} are played here"]
    if server.signer is not None:
        speaks_numbers = 4 in server.versions
        attested = "all else is attested each second" if speaks_numbers else "nothing is attested without version 4"
        lines += [
            f"Alerts and predictions are signed, {attested}: public key {server.signer.public.hex()}, "
            f"named {server.signer.name.hex()}"
        ]
    if server.disk_history is not None:
        lines += [f"History: {server.disk_history.describe()}"]
    if streams and server.publish:
        lines += ["Clients may publish other streams"]
    lines += [f"Wall: {page}://{place}{WALL} shows all streams on one page, with their alarms"]
    watch = f"ecgframe watch {url} {streams[0] if streams else 'ecg/1'}{options}"
    if server.token_file is not None:
        options += " --header 'Authorization: Bearer TOKEN'"
        watch = f"ecgframe watch {url} {streams[0] if streams else 'ecg/1'}{options}"
        lines += ["Only those connect whose token is in the file; a page asks for it, or takes it from /#token=TOKEN"]
    return [*lines, f"Next: open {page}://{place}/ in a browser, or run {watch}"]

"""Serving a recording until a signal, and printing where to watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from shlex import quote
from typing import TYPE_CHECKING

import typer

from ...errors import MessageTooLarge
from ...other_signals import ecg_rows
from ...plural import counted
from ...records import Record, RecordError
from ...records.loop_point import seamless
from ...server import Backplane, Limits, LocalBackplane
from ...server.annotation_alerts import Annotations
from ...server.client_streams import ClientStreams
from ...server.event_loop import new_event_loop
from ...server.hooks import OnError
from ...server.live import LiveServer
from ...server.pages import WALL, WEBSOCKET
from ...server.player import Loop
from ..console import say
from ..formats import duration
from ..recordings import describe, remarks_on
from ..stopping import stop_signals
from ..waiting import telling
from .files import ServeFiles
from .options import ServeOptions
from .trusted_proxies import proxies_of
from .worker import Worker

if TYPE_CHECKING:
    from ...server.vitals import Vitals

EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses that mean all interfaces: to listen on, not to connect to."""


def serve_live(
    options: ServeOptions,
    record: Record,
    others: Sequence[Record],
    files: ServeFiles,
    on_error: OnError | None,
    worker: Worker | None = None,
) -> None:
    """Serve a recording until SIGINT or SIGTERM.

    Args:
        options: those of the command.
        record: the recording of the option.
        others: the recordings of --also.
        files: the contents of the other files that the options name.
        on_error: hook of the handler; None for none.
        worker: which of several processes that share the port this is; it leaves it to its parent to print where they
            serve. None if it is the only one.

    Raises:
        CannotListen: the address cannot be listened on.
        RecordError: a frame would contain no sample, or be too large; or --annotations is given, and the recording has
            none.
        MissingLibrary: --redis or --nats is given, and its library is not installed.
        typer.BadParameter: an option is not of its form.
    """
    with telling(f"looking through {record.source}"):
        samples = None if options.whole else _loop_of(record)
        remarks = remarks_on(replace(record, annotations=()) if options.annotations else record)
    vitals = None
    if options.vitals:
        from ...server.vitals import with_vitals  # noqa: PLC0415 - finds heartbeats

        record, vitals = with_vitals(record, samples)
        remarks = (*remarks, "RESP, PLETH and their numbers are computed for demonstration, not measured")
    if options.annotations and not record.annotations:
        raise RecordError(f"{record.source}: it has no annotations to send (--annotations)")
    server = _server_of(options, Loop(record, samples), vitals, others, files, on_error)
    if worker is not None:
        server = replace(
            server,
            plays=worker.share(server.played),
            sockets=worker.sockets,
            shown=ClientStreams(server.played, elsewhere=lambda: worker.elsewhere),
            metrics=worker.metrics,
        )
    certificate = files.certificate
    if files.key_file is not None and certificate is None and not options.keys_without_tls:
        remarks = (
            *remarks,
            "Without TLS, viewers of sealed streams need keys of their own (--keys): this server hands out none "
            "(--ssl-certfile, or --keys-without-tls)",
        )
    lines = [f"{record.source}: {describe(record)}; {_ending(record, samples, options.whole)}", *remarks]
    for stream, played in server.also:
        lines += [f"{stream} plays {played.record.source}: {describe(played.record)}", *remarks_on(played.record)]
    connectable = "127.0.0.1" if options.host in EVERYWHERE else options.host
    of_clients = ""
    if certificate is not None:
        lines.append(f"Certificate: of {', '.join(certificate.names) or 'no name'}, valid until {certificate.until}")
        connectable = certificate.name_for(connectable)
        of_clients = f" --ca {quote(str(certificate.file))}" if certificate.is_self_signed else ""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_run(server, connectable, lines, of_clients, worker))
    except MessageTooLarge as error:
        raise RecordError(f"{error}; shorter frames are smaller (--frame-ms)") from error


def _server_of(
    options: ServeOptions,
    loop: Loop,
    vitals: Vitals | None,
    others: Sequence[Record],
    files: ServeFiles,
    on_error: OnError | None,
) -> LiveServer:
    """The server that the options describe, as the only process on its port."""
    return LiveServer(
        loop=loop,
        streams=tuple(f"ecg/{number}" for number in range(1, options.streams + 1)),
        also=tuple(
            (f"ecg/{number}", Loop(other, None if options.whole else _loop_of(other)))
            for number, other in enumerate(others, options.streams + 1)
        ),
        frame_seconds=Fraction(options.frame_ms) / 1000,
        speed=options.speed,
        alert_seconds=options.alerts,
        annotations=Annotations(loop.record, loop.played) if options.annotations else None,
        detect=options.detect,
        vitals=vitals,
        publish=options.publish,
        host=options.host,
        port=options.port,
        ssl=None if files.certificate is None else files.certificate.context,
        allowed_origins=options.allow_origin,
        proxies=proxies_of(list(options.trusted_proxy)) if options.trusted_proxy else None,
        token_file=files.token_file,
        open_metrics=options.open_metrics,
        limits=Limits(connections=options.max_connections, ring_seconds=options.ring_seconds),
        backplane=_backplane_of(options),
        versions=options.versions,
        key_file=files.key_file,
        keys_without_tls=options.keys_without_tls,
        signer=files.signer,
        alarm_file=files.alarm_file,
        disk_history=files.disk_history,
        on_error=on_error,
    )


def _loop_of(record: Record) -> range | None:
    """Return the samples that can be looped without a jump in the ECG; None if there are none.

    Respiration is slower, and seldom resembles itself at the same points.
    """
    units = [record.unit(lead) for lead in range(len(record.leads))]
    rows = ecg_rows(record.leads, units)
    return seamless(record.take([record.leads[row] for row in rows]) if 0 < len(rows) < len(record.leads) else record)


async def _run(server: LiveServer, host: str, lines: Sequence[str], options: str, worker: Worker | None) -> None:
    def announcement(port: int) -> list[str]:
        return _announcement(server, host, port, lines, options)

    with stop_signals() as stop:
        if worker is None:
            await server.run(stop, ready=lambda port: say(*announcement(port)))
        else:
            assert server.shown is not None
            async with worker.connected(stop, server.shown):
                await server.run(stop, ready=lambda port: worker.ready(announcement(port)))


def _backplane_of(options: ServeOptions) -> Backplane:
    """What joins this server with others.

    Raises:
        MissingLibrary: the library for it is not installed.
        typer.BadParameter: its address is none.
    """
    seconds = options.ring_seconds
    try:
        if options.redis is not None:
            from ...server import redis  # noqa: PLC0415 - needs redis-py

            return redis.backplane_of(options.redis, seconds=seconds, version=4 if 4 in options.versions else 3)
        if options.nats is not None:
            from ...server import nats  # noqa: PLC0415 - needs nats-py

            return nats.backplane_of(options.nats, seconds=seconds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--redis" if options.nats is None else "--nats") from error
    return LocalBackplane()


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
    """Lines about what is served: names, addresses, and the options that clients need."""
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
        lines += [
            "Alerts and predictions are signed, all else is attested each second: public key "
            f"{server.signer.public.hex()}, named {server.signer.name.hex()}"
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

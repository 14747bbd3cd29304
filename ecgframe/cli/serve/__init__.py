"""``ecgframe serve``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ...tools.error_log import ErrorLog
from ..logs import LogLevel, log_to_stderr
from ..terminal import Leads, SamplingRate, plain_errors, positive, recording_of


def serve(
    record: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD",
            help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY or NPZ. "
            "Without one, the 12-lead ECG that ships with ecgframe.",
        ),
    ] = None,
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 is any port that is free.")] = 8765,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Let web pages of that origin connect as well, as **https://monitor.example.org**; * is any. Without "
            "it, the server's own and this machine's. Repeatable.",
        ),
    ] = None,
    streams: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=10_000,
            help="How many streams to play: ecg/1 to ecg/N; 0 where another server plays them (--redis).",
        ),
    ] = 1,
    frame_ms: Annotated[
        float,
        typer.Option(callback=positive, max=60_000, metavar="MS", help="How much of the recording goes into a frame."),
    ] = 50,
    speed: Annotated[
        float, typer.Option(callback=positive, metavar="FACTOR", help="Play it so many times as fast as it was.")
    ] = 1,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Play it to its last sample, and begin anew with its first, though there may be a jump."
        ),
    ] = False,
    alerts: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Send an alert for demonstration every so many seconds, by the clock, which says of itself that it is "
            "one; 0: none. Alerts of what is in the signal: **--detect**.",
        ),
    ] = 0,
    detect: Annotated[
        bool,
        typer.Option(
            "--detect",
            help="Find heartbeats in what is played: publish heart rate and R peaks, and alerts of asystole, "
            "ventricular fibrillation and leads that are off.",
        ),
    ] = False,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Share the streams with other servers through Redis, as redis://localhost."),
    ] = None,
    max_connections: Annotated[int, typer.Option(metavar="N", min=1, help="Viewers at once.")] = 4096,
    ring_seconds: Annotated[
        float,
        typer.Option(
            callback=positive, metavar="SECONDS", help="How much of each stream is kept for viewers that come back."
        ),
    ] = 30,
    error_log: Annotated[
        Path | None,
        typer.Option(
            "--error-log", metavar="FILE", help="Keep the errors that peers are answered there, without payloads."
        ),
    ] = None,
    error_payloads: Annotated[
        bool,
        typer.Option(
            "--error-payloads", help="With --error-log: keep what may be a patient's, too, the frames' first bytes."
        ),
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged, on stderr.")] = LogLevel.INFO,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log a JSON object a line.")] = False,
    sampling_rate: SamplingRate = None,
    leads: Leads = None,
) -> None:
    """Play a recording as live streams, over and over, to whoever subscribes over WebSocket.

    It goes at its true rate, each stream from another place of it. Near its end a place is sought that leads on to one
    near its beginning, so that nobody sees where it begins anew.

    On the same port are the monitor, for a browser, /healthz, for load balancers, and /metrics, for Prometheus. Ctrl-C
    or SIGTERM ends it, and tells the viewers.
    """
    if streams == 0 and redis is None:
        raise typer.BadParameter("without --redis, 0 streams leave nothing to see", param_hint="--streams")
    if streams == 0 and detect:
        raise typer.BadParameter("seeks in what this server plays, which is nothing", param_hint="--detect")
    if error_payloads and error_log is None:
        raise typer.BadParameter("goes with --error-log", param_hint="--error-payloads")
    with plain_errors(), log_to_stderr(log_level, log_json):
        from .run import serve_live  # noqa: PLC0415 - asyncio and websockets are for those who serve

        serve_live(
            recording_of(record, sampling_rate, leads),
            streams=tuple(f"ecg/{number}" for number in range(1, streams + 1)),
            frame_ms=frame_ms,
            speed=speed,
            whole=whole,
            alert_seconds=alerts,
            detect=detect,
            host=host,
            port=port,
            allowed_origins=tuple(allow_origin or ()),
            redis=redis,
            max_connections=max_connections,
            ring_seconds=ring_seconds,
            on_error=None if error_log is None else ErrorLog(error_log, payload=error_payloads),
        )

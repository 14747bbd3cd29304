"""``ecgframe serve``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..logs import LogLevel
from ..options import Baseline, Decimal, Gain, Leads, SamplingRate, Stream, TimeColumn, Units, positive
from ..plain_errors import plain_errors
from ..protocol_versions import ServedProtocol, served_versions
from .combinations import check_together
from .options import ServeOptions


def serve(
    record: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD",
            help="The recording: WFDB, EDF, BDF, DICOM, CSV, NPY, NPZ, a file of frames, or a capture. "
            "Without one, the 12-lead ECG that ships with ecgframe.",
        ),
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free port.")] = 8765,
    ssl_certfile: Annotated[
        Path | None,
        typer.Option(
            "--ssl-certfile",
            metavar="FILE",
            help="Serve over TLS (wss:// and https://), with the certificate in this file (PEM), followed by those "
            "between it and its authority.",
        ),
    ] = None,
    ssl_keyfile: Annotated[
        Path | None,
        typer.Option(
            "--ssl-keyfile",
            metavar="FILE",
            help="The key of the certificate (PEM), unencrypted. Default: the key in the file of the certificate.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Let web pages of this origin connect, such as **https://monitor.example.org**; * for any. The "
            "origins of the server itself and of this machine may always connect. Repeatable.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESS",
            help="Take the addresses of peers from X-Forwarded-For if the connection comes from this proxy: an "
            "address, or a network such as **10.20.0.0/16**. Repeatable.",
        ),
    ] = None,
    streams: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=10_000,
            help="Number of streams, ecg/1 to ecg/N; 0 if another server (--redis, --nats) or clients (--publish) "
            "publish them.",
        ),
    ] = 1,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="RECORD",
            help="Play this recording as well, on a stream of its own after those of --streams. Repeatable.",
        ),
    ] = None,
    frame_ms: Annotated[
        float,
        typer.Option(callback=positive, max=60_000, metavar="MS", help="Duration of the samples in one frame."),
    ] = 50,
    speed: Annotated[
        float, typer.Option(callback=positive, metavar="FACTOR", help="Speed of the playback; 2 is twice as fast.")
    ] = 1,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Repeat the whole recording, even if the signal jumps where it starts again."),
    ] = False,
    alerts: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Publish a demonstration alert, marked as such, at this interval, regardless of the signal; 0 for "
            "none. **--detect** publishes alerts based on the signal.",
        ),
    ] = 0,
    annotations: Annotated[
        bool,
        typer.Option(
            "--annotations",
            help="Send the recording's annotations as alerts, each at its moment; those that mark normal beats (N) are "
            "left out.",
        ),
    ] = False,
    detect: Annotated[
        bool,
        typer.Option(
            "--detect",
            help="Detect heartbeats in all streams, and publish on them the heart rate, R peaks, and alerts for "
            "asystole, ventricular fibrillation and disconnected leads.",
        ),
    ] = False,
    vitals: Annotated[
        bool,
        typer.Option(
            "--vitals",
            help="Add respiration, a plethysmogram, and oxygen saturation, respiration rate and pulse rate as numbers. "
            "They are computed from the heartbeats of the recording, for demonstration, not measured.",
        ),
    ] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Let clients publish on streams that this server does not play. Every client that can connect may "
            "publish; --host limits from where.",
        ),
    ] = False,
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens",
            metavar="FILE",
            help="Let only those connect whose token is in this file (TOML), and watch and publish what it says. They "
            "see the names of the streams that they may watch. The file is read again when it changes; rights that it "
            "takes away end at once.",
        ),
    ] = None,
    open_metrics: Annotated[
        bool,
        typer.Option(
            "--open-metrics",
            help="With --tokens: let everybody read /metrics. Otherwise, that takes a token for which the file says "
            "**metrics = true**.",
        ),
    ] = False,
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Share the streams with other servers through Redis, such as redis://localhost, the master that "
            "Sentinels name (redis+sentinel://HOST,HOST,HOST/NAME), or a cluster (redis+cluster://HOST,HOST).",
        ),
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Share the streams with other servers through NATS JetStream, such as nats://localhost or "
            "nats://HOST,HOST, in versions 1 to 3. Sealed and signed streams require --redis.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=64,
            help="Serve with N processes on one port, which share the streams (--redis or --nats); one that ends is "
            "replaced.",
        ),
    ] = 1,
    stream_keys: Annotated[
        Path | None,
        typer.Option(
            "--stream-keys",
            metavar="FILE",
            help="Seal the streams that have a key in this file, which **ecgframe keys new** makes. Viewers that "
            "cannot open them are denied. The file is read again when it changes.",
        ),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            metavar="FILE",
            help="Sign alerts and predictions with this Ed25519 key (PEM, PKCS #8), and attest all else once a second, "
            "for viewers of version 4. Servers that share Redis need the same key.",
        ),
    ] = None,
    keys_without_tls: Annotated[
        bool,
        typer.Option(
            "--keys-without-tls",
            help="With --stream-keys: hand out keys also over connections whose TLS this server has not ended, such as "
            "behind a proxy. Whoever reads such a connection reads the keys.",
        ),
    ] = False,
    protocol: ServedProtocol = None,
    max_connections: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of connections of each worker.")
    ] = 4096,
    ring_seconds: Annotated[
        float,
        typer.Option(
            callback=positive, metavar="SECONDS", help="History of each stream that is kept for viewers that reconnect."
        ),
    ] = 30,
    alarms: Annotated[
        Path | None,
        typer.Option(
            "--alarms",
            metavar="FILE",
            help="Let pages such as the wall acknowledge alarms and set the limits of streams, and keep both in this "
            "file, which is made if it is not there. Every client that can connect may.",
        ),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FOLDER",
            help="Keep what is published in this folder, for viewers that ask for hours of it, also after a restart. "
            "Sealed streams are not kept.",
        ),
    ] = None,
    history_hours: Annotated[
        float,
        typer.Option(
            "--history-hours", callback=positive, metavar="HOURS", help="With --history: age at which it is deleted."
        ),
    ] = 24,
    history_megabytes: Annotated[
        int,
        typer.Option(
            "--history-megabytes",
            metavar="MB",
            min=1,
            help="With --history: size of all its files, beyond which the oldest are deleted.",
        ),
    ] = 4000,
    error_log: Annotated[
        Path | None,
        typer.Option(
            "--error-log",
            metavar="FILE",
            help="Log the errors that are sent to peers to this file, without payloads. With --workers, each has its "
            "own: **errors-1.jsonl** for errors.jsonl.",
        ),
    ] = None,
    error_payloads: Annotated[
        bool,
        typer.Option(
            "--error-payloads",
            help="With --error-log: log the first bytes of each frame and the full error text, which may contain "
            "patient data.",
        ),
    ] = False,
    audit_log: Annotated[
        Path | None,
        typer.Option(
            "--audit-log",
            metavar="FILE",
            help="Append who connects, watches and publishes what to this file; **ecgframe audit** reads it.",
        ),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="Lowest level that is logged to stderr.")] = LogLevel.INFO,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object per line.")] = False,
    stream: Stream = None,
    sampling_rate: SamplingRate = None,
    leads: Leads = None,
    decimal: Decimal = None,
    time_column: TimeColumn = None,
    units: Units = None,
    gain: Gain = None,
    baseline: Baseline = None,
) -> None:
    """Play a recording in a loop, as live streams over WebSocket.

    The recording is played in real time; each stream starts at a different place in it. The loop ends and starts at
    places where the signal is alike, so that it continues without a visible jump.

    The same port serves the monitor for browsers, /healthz for load balancers and /metrics for Prometheus. Ctrl-C or
    SIGTERM closes all connections and stops the server. A large recording is read from its file while it is played.
    """
    versions = served_versions(protocol, shared=redis is not None or nats is not None)
    options = ServeOptions(
        record=record,
        host=host,
        port=port,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
        allow_origin=tuple(allow_origin or ()),
        trusted_proxy=tuple(trusted_proxy or ()),
        streams=streams,
        also=tuple(also or ()),
        frame_ms=frame_ms,
        speed=speed,
        whole=whole,
        alerts=alerts,
        annotations=annotations,
        detect=detect,
        vitals=vitals,
        publish=publish,
        tokens=tokens,
        open_metrics=open_metrics,
        redis=redis,
        nats=nats,
        stream_keys=stream_keys,
        signing_key=signing_key,
        keys_without_tls=keys_without_tls,
        versions=versions,
        max_connections=max_connections,
        ring_seconds=ring_seconds,
        alarms=alarms,
        history=history,
        history_hours=history_hours,
        history_megabytes=history_megabytes,
        error_log=error_log,
        error_payloads=error_payloads,
        audit_log=audit_log,
        log_level=log_level,
        log_json=log_json,
        stream=stream,
        sampling_rate=sampling_rate,
        leads=leads,
        decimal=decimal,
        time_column=time_column,
        units=units,
        gain=gain,
        baseline=baseline,
    )
    check_together(options, workers)
    with plain_errors():
        if workers > 1:
            from .workers import serve_with_workers  # noqa: PLC0415 - loads asyncio

            serve_with_workers(options, workers)
        else:
            from .start import start  # noqa: PLC0415 - loads asyncio and websockets

            start(options)

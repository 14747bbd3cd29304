"""The options of ``ecgframe serve`` as one value, which a worker process is handed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..logs import LogLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What was given on the command line; see the help text of each option. ``versions`` are those up to --protocol."""

    record: Path | None
    host: str
    port: int
    ssl_certfile: Path | None
    ssl_keyfile: Path | None
    allow_origin: tuple[str, ...]
    trusted_proxy: tuple[str, ...]
    streams: int
    also: tuple[Path, ...]
    frame_ms: float
    speed: float
    whole: bool
    alerts: float
    annotations: bool
    detect: bool
    vitals: bool
    publish: bool
    tokens: Path | None
    open_metrics: bool
    redis: str | None
    nats: str | None
    stream_keys: Path | None
    signing_key: Path | None
    keys_without_tls: bool
    versions: tuple[int, ...]
    max_connections: int
    ring_seconds: float
    alarms: Path | None
    history: Path | None
    history_hours: float
    history_megabytes: int
    error_log: Path | None
    error_payloads: bool
    audit_log: Path | None
    log_level: LogLevel
    log_json: bool
    stream: str | None
    sampling_rate: float | None
    leads: str | None
    decimal: str | None
    time_column: str | None
    units: str | None
    gain: float | None
    baseline: float | None

"""Which options of ``ecgframe serve`` go together."""

from __future__ import annotations

import typer

from ..standard_streams import STREAM
from .options import ServeOptions


def check_together(options: ServeOptions, workers: int) -> None:
    """Refuse options that do not go together, with the way out.

    Args:
        options: those of the command.
        workers: number of processes.

    Raises:
        typer.BadParameter: two of them do not go together, or one requires another.
    """
    is_shared = options.redis is not None or options.nats is not None
    plays = options.streams > 0 or bool(options.also)
    if options.redis is not None and options.nats is not None:
        raise typer.BadParameter("one of --redis and --nats joins the servers, not both", param_hint="--nats")
    if not plays and not is_shared and not options.publish:
        message = "0 streams require --redis, --nats or --publish, or there would be nothing to watch"
        raise typer.BadParameter(message, param_hint="--streams")
    if not plays and options.detect and not options.publish:
        message = "requires a stream to be played here or --publish"
        raise typer.BadParameter(message, param_hint="--detect")
    if options.streams == 0 and options.annotations:
        raise typer.BadParameter("goes with streams that are played here", param_hint="--annotations")
    if options.ssl_keyfile is not None and options.ssl_certfile is None:
        raise typer.BadParameter("requires --ssl-certfile", param_hint="--ssl-keyfile")
    if options.open_metrics and options.tokens is None:
        raise typer.BadParameter("requires --tokens; without it, /metrics is open", param_hint="--open-metrics")
    if options.error_payloads and options.error_log is None:
        raise typer.BadParameter("requires --error-log", param_hint="--error-payloads")
    if options.nats is not None:
        _check_nats(options)
    _check_keys(options)
    if workers > 1:
        _check_workers(options, is_shared=is_shared)


def _check_keys(options: ServeOptions) -> None:
    """Refuse keys that would seal or sign nothing, or less than they seem to."""
    if options.keys_without_tls and options.stream_keys is None:
        raise typer.BadParameter("requires --stream-keys", param_hint="--keys-without-tls")
    if options.stream_keys is not None and options.redis is not None and options.versions[-1] < 4:
        message = "with --redis, requires --protocol 4: messages would travel between the servers in plain"
        raise typer.BadParameter(message, param_hint="--stream-keys")
    if options.signing_key is not None and options.versions[-1] < 4:
        message = "would sign nothing: signatures require version 4 (--protocol 4)"
        raise typer.BadParameter(message, param_hint="--signing-key")
    if options.signing_key is not None and options.history is not None:
        message = "keeps no signatures: serve with --signing-key, or with a history"
        raise typer.BadParameter(message, param_hint="--history")


def _check_nats(options: ServeOptions) -> None:
    """Refuse what servers that are joined by NATS cannot do."""
    if options.versions[-1] >= 4:
        message = "NATS joins servers for versions 1 to 3: --protocol 3, or --redis in place of --nats"
        raise typer.BadParameter(message, param_hint="--protocol")
    if options.stream_keys is not None:
        message = "messages would travel through NATS in plain; sealed streams require --redis and --protocol 4"
        raise typer.BadParameter(message, param_hint="--stream-keys")
    if options.signing_key is not None:
        message = "would sign nothing that travels through NATS; signing requires --redis, or neither"
        raise typer.BadParameter(message, param_hint="--signing-key")


def _check_workers(options: ServeOptions, *, is_shared: bool) -> None:
    """Refuse what several workers cannot do."""
    if not is_shared:
        message = (
            "several workers require --redis or --nats, which takes what one publishes to the viewers of all: "
            "--redis redis://localhost, for example"
        )
        raise typer.BadParameter(message, param_hint="--workers")
    if options.record == STREAM:
        raise typer.BadParameter("several workers cannot read one standard input; name a file", param_hint="--workers")
    if options.alarms is not None:
        message = "several workers cannot keep one file of alarms; serve it with one worker, on a port of its own"
        raise typer.BadParameter(message, param_hint="--alarms")
    if options.history is not None:
        message = "several workers cannot keep one history; serve it with one worker, on a port of its own"
        raise typer.BadParameter(message, param_hint="--history")

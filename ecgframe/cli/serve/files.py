"""The files that ``ecgframe serve`` reads before it serves: each one is read by a module of its own, if it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ...server.alarm_file import AlarmFile
    from ...server.disk_history import DiskHistory
    from ...server.key_file import KeyFile
    from ...server.token_file import TokenFile
    from ...signing import SigningKey
    from .certificate import Certificate
    from .options import ServeOptions


class ServeFiles(NamedTuple):
    """The contents of the files that were given; None for the others."""

    certificate: Certificate | None
    signer: SigningKey | None
    key_file: KeyFile | None
    alarm_file: AlarmFile | None
    token_file: TokenFile | None
    disk_history: DiskHistory | None


def load_files(options: ServeOptions) -> ServeFiles:
    """Load the files that the options name.

    Raises:
        typer.BadParameter: a file is not of its form.
        OSError: a file cannot be read, or the folder of the history cannot be made or written to.
        MissingLibrary: the library for keys is not installed.
    """
    certificate, signer, key_file, alarm_file, token_file, disk_history = None, None, None, None, None, None
    if options.ssl_certfile is not None:
        from .certificate import load_certificate  # noqa: PLC0415 - only with this option

        certificate = load_certificate(options.ssl_certfile, options.ssl_keyfile)
    if options.signing_key is not None:
        from .stream_keys import load_signer  # noqa: PLC0415 - only with this option

        signer = load_signer(options.signing_key)
    if options.stream_keys is not None:
        from .stream_keys import load_keys  # noqa: PLC0415 - only with this option

        key_file = load_keys(options.stream_keys)
    if options.alarms is not None:
        from .alarms import load_alarms  # noqa: PLC0415 - only with this option

        alarm_file = load_alarms(options.alarms)
    if options.tokens is not None:
        from .tokens import load_tokens  # noqa: PLC0415 - only with this option

        token_file = load_tokens(options.tokens)
    if options.history is not None:
        from .history import open_history  # noqa: PLC0415 - only with this option

        disk_history = open_history(options.history, options.history_hours, options.history_megabytes)
    return ServeFiles(certificate, signer, key_file, alarm_file, token_file, disk_history)

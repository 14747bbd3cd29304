"""The files that ``ecgframe serve`` reads before it serves: each one is read by a module of its own, if it is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ...server.alarm_file import AlarmFile
    from ...server.key_file import KeyFile
    from ...server.token_file import TokenFile
    from ...signing import SigningKey
    from .certificate import Certificate


class ServeFiles(NamedTuple):
    """The contents of the files that were given; None for the others."""

    certificate: Certificate | None
    signer: SigningKey | None
    key_file: KeyFile | None
    alarm_file: AlarmFile | None
    token_file: TokenFile | None


def load_files(
    *,
    certificate: Path | None,
    certificate_key: Path | None,
    signing_key: Path | None,
    stream_keys: Path | None,
    alarms: Path | None,
    tokens: Path | None,
) -> ServeFiles:
    """Load the files of the options with these names.

    Raises:
        typer.BadParameter: a file is not of its form.
        OSError: a file cannot be read.
        MissingLibrary: the library for keys is not installed.
    """
    context, signer, key_file, alarm_file, token_file = None, None, None, None, None
    if certificate is not None:
        from .certificate import load_certificate  # noqa: PLC0415 - only with this option

        context = load_certificate(certificate, certificate_key)
    if signing_key is not None:
        from .stream_keys import load_signer  # noqa: PLC0415 - only with this option

        signer = load_signer(signing_key)
    if stream_keys is not None:
        from .stream_keys import load_keys  # noqa: PLC0415 - only with this option

        key_file = load_keys(stream_keys)
    if alarms is not None:
        from .alarms import load_alarms  # noqa: PLC0415 - only with this option

        alarm_file = load_alarms(alarms)
    if tokens is not None:
        from .tokens import load_tokens  # noqa: PLC0415 - only with this option

        token_file = load_tokens(tokens)
    return ServeFiles(context, signer, key_file, alarm_file, token_file)

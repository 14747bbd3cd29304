"""The options for TLS certificates: ``--ca`` and ``--insecure``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import ssl

Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca", metavar="FILE", help="Trust the certificate authorities in this file (PEM) instead of the system's."
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Do not check the server's certificate. Only for tests without patient data.")
]


def trusted_by(url: str | None, ca: Path | None, insecure: bool) -> ssl.SSLContext | None:
    """Return the TLS context that the options select; None to trust the system's certificate authorities.

    Raises:
        typer.BadParameter: both options are given, or the address does not use TLS.
        ToolError: the file contains no certificate.
        OSError: the file cannot be read.
    """
    if ca is None and not insecure:
        return None
    from ..tools.connecting import SECURE, trust  # noqa: PLC0415 - only for commands that connect
    from .console import say  # noqa: PLC0415 - as above

    option = "--insecure" if insecure else "--ca"
    if ca is not None and insecure:
        raise typer.BadParameter("cannot be combined with --insecure", param_hint="--ca")
    if url is None or not url.startswith(tuple(f"{scheme}://" for scheme in SECURE)):
        raise typer.BadParameter("requires a server at wss:// or https://", param_hint=option)
    if insecure:
        say("the server's certificate is not checked (--insecure)", err=True)
    return trust(ca, insecure=insecure)

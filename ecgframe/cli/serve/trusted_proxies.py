"""The proxies of ``ecgframe serve --trusted-proxy``."""

from __future__ import annotations

import typer

from ...server.forwarding import Proxies


def proxies_of(addresses: list[str]) -> Proxies:
    """Return the proxies with these addresses.

    Raises:
        typer.BadParameter: one of them is neither an address nor a network.
    """
    try:
        return Proxies(addresses)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--trusted-proxy") from error

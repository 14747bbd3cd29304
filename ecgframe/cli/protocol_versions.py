"""The option for the highest protocol version, which all commands that negotiate share."""

from __future__ import annotations

from typing import Annotated

import typer

from ..protocol import LATEST_VERSION, VERSIONS

Protocol = Annotated[
    int,
    typer.Option(
        "--protocol",
        metavar="VERSION",
        min=VERSIONS[0],
        max=VERSIONS[-1],
        help="Highest protocol version to speak; both sides agree on the highest that they have in common.",
    ),
]

DEFAULT_PROTOCOL = LATEST_VERSION


def versions_up_to(highest: int) -> tuple[int, ...]:
    """Return the protocol versions up to the value of ``--protocol``, ascending."""
    return tuple(version for version in VERSIONS if version <= highest)

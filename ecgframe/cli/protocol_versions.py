"""The option for the highest protocol version, which all commands that negotiate share."""

from __future__ import annotations

from typing import Annotated

import typer

from ..protocol import DEFAULT_VERSION, SESSION_VERSIONS, VERSIONS

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

ServedProtocol = Annotated[
    int | None,
    typer.Option(
        "--protocol",
        metavar="VERSION",
        min=VERSIONS[0],
        max=VERSIONS[-1],
        help="Highest protocol version to speak; both sides agree on the highest that they have in common. Default: "
        f"{SESSION_VERSIONS[-1]}; with --redis {DEFAULT_VERSION}, which servers of earlier releases can read there; "
        f"with --nats {DEFAULT_VERSION}, which is the highest.",
    ),
]

DEFAULT_PROTOCOL = SESSION_VERSIONS[-1]


def versions_up_to(highest: int) -> tuple[int, ...]:
    """Return the protocol versions up to the value of ``--protocol``, ascending."""
    return tuple(version for version in VERSIONS if version <= highest)


def served_versions(highest: int | None, *, shared: bool) -> tuple[int, ...]:
    """Return the protocol versions of a server, ascending.

    Args:
        highest: the value of ``--protocol``; None if it is not given.
        shared: whether other servers read what this one writes to Redis or NATS.
    """
    return versions_up_to(highest or (DEFAULT_VERSION if shared else DEFAULT_PROTOCOL))

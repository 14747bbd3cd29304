"""Which version and which capabilities two sides have in common. Section "Compatibility" of the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._rules import shown
from ..errors import InvalidProtocolVersion
from ..protocol import CAPABILITY_SINCE, ONLY_ANNOUNCED, Capability, Check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .settings import Settings


def offer(settings: Settings) -> dict[str, Any]:
    """What a server says first."""
    return {
        "versions": sorted(settings.versions),
        "preferred": settings.latest_version,
        "capabilities": sorted(settings.capabilities),
        "max_payload": settings.max_payload,
        "heartbeat_interval": settings.heartbeat_interval,
    }


def choice(settings: Settings, offered: dict[str, Any]) -> dict[str, Any]:
    """What a client answers: the highest version that both speak, and the capabilities that both have.

    Raises:
        InvalidProtocolVersion: there is no such version.
    """
    # Asked from this side, so that it costs little whatever was offered; an array can be asked as well as a list.
    common = [version for version in settings.versions if version in offered["versions"]]
    if not common:
        raise InvalidProtocolVersion(
            f"the server offers the versions {shown(offered['versions'])}; spoken here: {sorted(settings.versions)}",
            check=Check.VERSION,
        )
    return {"version": max(common), "capabilities": sorted(common_capabilities(settings, offered))}


def common_capabilities(settings: Settings, said: dict[str, Any]) -> frozenset[Capability]:
    """The capabilities that both sides have, of a negotiation message; unknown names count for nothing."""
    return settings.capabilities & set(_known(said.get("capabilities", ())))


def usable(capabilities: frozenset[Capability], version: int) -> frozenset[Capability]:
    """Those of the capabilities that the version can express."""
    return frozenset(name for name in capabilities if CAPABILITY_SINCE[name] <= version)


def implied(settings: Settings, version: int) -> frozenset[Capability]:
    """What a peer can be taken to understand that never negotiated, and talks in that version."""
    return usable(settings.capabilities - ONLY_ANNOUNCED, version)


def _known(names: Iterable[str]) -> Iterable[Capability]:
    values = set(Capability)
    return (Capability(name) for name in names if name in values)

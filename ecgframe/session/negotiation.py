"""The version and the capabilities that two sides have in common. Section "Compatibility" of the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidProtocolVersion
from ..messages.rules import shown
from ..protocol import CAPABILITY_SINCE, ONLY_ANNOUNCED, Capability, Check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .settings import Settings


ANSWERS_MAX_PAYLOAD: Final = 4
"""The first version in which the answer of a client names the largest payload that it takes."""


def offer(settings: Settings) -> dict[str, Any]:
    """The offer that a server sends first."""
    return {
        "versions": sorted(settings.versions),
        "preferred": settings.latest_version,
        "capabilities": sorted(settings.capabilities),
        "max_payload": settings.max_payload,
        "heartbeat_interval": settings.heartbeat_interval,
    }


def choice(settings: Settings, offered: dict[str, Any]) -> dict[str, Any]:
    """The client's answer: the highest common version, the common capabilities, and its largest payload from V4 on.

    Raises:
        InvalidProtocolVersion: there is no common version.
    """
    # The loop runs over this side's few versions, however many the offer lists. Lists and arrays both support ``in``.
    common = [version for version in settings.versions if version in offered["versions"]]
    if not common:
        raise InvalidProtocolVersion(
            f"the server offers the versions {shown(offered['versions'])}; supported: {sorted(settings.versions)}",
            check=Check.VERSION,
        )
    version = max(common)
    answer = {"version": version, "capabilities": sorted(common_capabilities(settings, offered))}
    return answer | {"max_payload": settings.max_payload} if version >= ANSWERS_MAX_PAYLOAD else answer


def common_capabilities(settings: Settings, said: dict[str, Any]) -> frozenset[Capability]:
    """The capabilities that both sides have, by a negotiation message; unknown names are ignored."""
    return settings.capabilities & set(_known(said.get("capabilities", ())))


def usable(capabilities: frozenset[Capability], version: int) -> frozenset[Capability]:
    """Those of the capabilities that the version supports."""
    return frozenset(name for name in capabilities if CAPABILITY_SINCE[name] <= version)


def implied(settings: Settings, version: int) -> frozenset[Capability]:
    """The capabilities that a peer of that version has if it did not negotiate."""
    return usable(settings.capabilities - ONLY_ANNOUNCED, version)


def _known(names: Iterable[str]) -> Iterable[Capability]:
    values = set(Capability)
    return (Capability(name) for name in names if name in values)

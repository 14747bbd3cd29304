"""Why a connection does not open sealed streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..libraries import how_to_install
from ..protocol import Capability

if TYPE_CHECKING:
    from .connection import Connection


def why_not_sealed(connection: Connection) -> str | None:
    """Return why a connection has no capability ``encryption``, for a person; None if it has."""
    session = connection.session
    if Capability.ENCRYPTION in session.capabilities:
        return None
    if Capability.ENCRYPTION not in session.settings.capabilities:
        return f"this client cannot open sealed payloads: {how_to_install('seal')}"
    return "the server does not offer the capability 'encryption'"

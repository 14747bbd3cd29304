"""Hands out the next keys of sealed streams to their viewers, before they are used.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..protocol import ErrorCode
from .logs import log_failure
from .rights import Answer

if TYPE_CHECKING:
    from ..seal import Key
    from .connection import Connection
    from .rights import Rights
    from .sealing import Seals

SECONDS: Final = 1.0
"""Seconds from one round to the next."""


class KeyRounds:
    """Hands out keys to viewers that lack them, and ends the subscriptions of those that may not have them any more.

    Args:
        seals: the keys.
        rights: those of the handler's connections.
        connections: its connections, by id.
    """

    def __init__(self, seals: Seals, rights: Rights, connections: Mapping[str, Connection]) -> None:
        self._seals = seals
        self._rights = rights
        self._connections = connections

    async def run(self) -> None:
        """Make rounds until this is cancelled."""
        while True:
            await asyncio.sleep(SECONDS)
            try:
                await self.make_round()
            except Exception as error:  # such as one of the keyring
                log_failure("handing out keys", error)

    async def make_round(self) -> None:
        """Visit each viewer of a sealed stream once."""
        keys: dict[str, tuple[Key, ...] | None] = {}
        wanting: list[tuple[Connection, str, tuple[Key, ...]]] = []
        for connection in list(self._connections.values()):
            for name in connection.watched:
                if name not in keys:
                    keys[name] = self._seals.keys_of(name) if self._seals.seals(name) else None
                found = keys[name]
                if found is None:
                    continue
                if reason := connection.refusal(name, wants_keys=connection.keys_given.get(name, ()) is not None):
                    connection.revoke(name, ErrorCode.AUTHENTICATION_FAILED, reason)
                elif connection.session.encoding.sealed and connection.lacks_keys(name, found):
                    wanting.append((connection, name, found))
        await asyncio.gather(*(self._visit(*one) for one in wanting))

    async def _visit(self, connection: Connection, name: str, keys: tuple[Key, ...]) -> None:
        answer = await self._rights.may_watch(connection, name)
        if name not in connection.watched:
            return
        if answer is Answer.GRANTED:
            connection.hand_out(name, keys)
        else:
            self._rights.end(connection, name, answer)  # if the hook raised, the next round asks again

"""Streams that clients publish on a server that allows it: who may publish, and the list of streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, overload

from .connection_info import ConnectionInfo
from .hooks import Action

LISTED_SECONDS: Final = 60.0
"""A stream of a client is listed until it had no message for this many seconds."""


class ClientStreams(Sequence[str]):
    """The server's own streams, and those on which clients have published within the last minute.

    Args:
        own: names of the server's own streams; no client may publish on them.
        clock: returns the seconds of a monotonic clock.
        elsewhere: returns what clients publish at other processes that share the port.
    """

    def __init__(
        self,
        own: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        elsewhere: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._own = tuple(own)
        self._elsewhere = elsewhere
        self._clock = clock
        self._heard: dict[str, float] = {}

    async def authorize(self, connection: ConnectionInfo, action: Action, stream: str | None) -> bool:
        """The handler's hook: every client may subscribe, and may publish on streams that are not the server's own."""
        if action == "subscribe":
            return True
        if action != "publish" or stream is None or stream in self._own:
            return False
        self._heard.pop(stream, None)
        self._heard[stream] = self._clock()
        self._forget()
        return True

    def _forget(self) -> None:
        latest = self._clock() - LISTED_SECONDS
        for name in list(self._heard):
            if self._heard[name] >= latest:
                break  # sorted by the time of the last message
            del self._heard[name]

    def of_clients(self) -> list[str]:
        """The streams on which clients of this process have published within the last minute, sorted."""
        self._forget()
        return sorted(self._heard)

    def _names(self) -> tuple[str, ...]:
        return (*self._own, *sorted({*self.of_clients(), *self._elsewhere()}))

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._names()[index]

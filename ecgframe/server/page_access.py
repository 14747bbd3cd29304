"""Who may read the pages of a server. Requests are authenticated as those of viewers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from .hooks import Hooks
from .identity import expiry_of
from .link import Request
from .logs import log_failure


class Asker(NamedTuple):
    """Who sent a request for a page.

    Attributes:
        request: the request, with the address of the peer behind the trusted proxies.
        is_known: whether ``authenticate`` accepts it; True without that hook.
        identity: what ``authenticate`` has returned.
    """

    request: Request
    is_known: bool
    identity: object


class PageAccess:
    """Decides who may read the pages of a handler.

    Args:
        hooks: hooks of the handler.
        from_proxy: returns a request with the address of the peer behind the trusted proxies.
        wall_clock_us: returns microseconds since 1970, strictly increasing.
    """

    def __init__(
        self, hooks: Hooks, from_proxy: Callable[[Request], Request], wall_clock_us: Callable[[], int]
    ) -> None:
        self._hooks = hooks
        self._from_proxy = from_proxy
        self._wall_clock_us = wall_clock_us

    async def identify(self, request: Request) -> Asker:
        """Return who sent a request."""
        request = self._from_proxy(request)
        is_known, identity = await self._hooks.identify(request)
        try:
            expiry = expiry_of(identity)
            is_known = is_known and (expiry is None or expiry > self._wall_clock_us() / 1e6)
        except (TypeError, ValueError) as error:
            log_failure("reading when an identity expires", error, peer=request.peer)
            is_known = False
        return Asker(request, is_known, identity)

    async def streams(self, request: Request, streams: Sequence[str]) -> tuple[HTTPStatus, list[str]]:
        """Return the status for a request for the list of streams, and the names that may be seen.

        The status is 401 if ``authenticate`` refuses. Otherwise, ``visible_streams`` decides which names these are;
        without that hook, all.
        """
        asker = await self.identify(request)
        if not asker.is_known:
            return HTTPStatus.UNAUTHORIZED, []
        return HTTPStatus.OK, await self._hooks.listed(asker.request, asker.identity, streams)

    async def metrics(self, request: Request) -> HTTPStatus:
        """Return the status for a request for the metrics: 200, 401 if ``authenticate`` refuses, or 403.

        ``may_see_metrics`` decides; without that hook, every authenticated person may see them.
        """
        asker = await self.identify(request)
        if not asker.is_known:
            return HTTPStatus.UNAUTHORIZED
        is_granted = await self._hooks.grants_metrics(asker.request, asker.identity)
        return HTTPStatus.OK if is_granted else HTTPStatus.FORBIDDEN

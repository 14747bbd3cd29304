"""Who may read the pages of a server. Requests are authenticated as those of viewers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from .audit import Audit
from .hooks import Hooks
from .identity import expiry_of, name_of
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


class Listing(NamedTuple):
    """The answer to a request for the list of streams.

    Attributes:
        status: 200, or 401 if ``authenticate`` refuses.
        names: of the streams that may be seen.
        user: name of the identity of whoever asks; None if it has none.
    """

    status: HTTPStatus
    names: list[str]
    user: str | None = None


class PageAccess:
    """Decides who may read the pages of a handler.

    Args:
        hooks: hooks of the handler.
        from_proxy: returns a request with the address of the peer behind the trusted proxies.
        wall_clock_us: returns microseconds since 1970, strictly increasing.
        audit: records what is refused.
    """

    def __init__(
        self, hooks: Hooks, from_proxy: Callable[[Request], Request], wall_clock_us: Callable[[], int], audit: Audit
    ) -> None:
        self._hooks = hooks
        self._from_proxy = from_proxy
        self._wall_clock_us = wall_clock_us
        self._audit = audit

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

    def refuse_origin(self, request: Request) -> None:
        """Record that a web page of another origin may not open a WebSocket."""
        peer = self._from_proxy(request).peer
        origin = request.headers.get("origin", "")
        self._audit.page_refused(peer, None, request.path, HTTPStatus.FORBIDDEN, origin)

    async def streams(self, request: Request, streams: Sequence[str], *, is_part: bool = False) -> Listing:
        """Return the status for a request for the list of streams, the names that may be seen, and who asks.

        Args:
            request: the request.
            streams: all names.
            is_part: whether the list is a part of a page that is answered without it, too: then the audit log has no
                record of a refusal.

        Returns:
            401 if ``authenticate`` refuses. Otherwise, 200, and the names that ``visible_streams`` selects: all without
            that hook; and the name of the identity.
        """
        asker = await self.identify(request)
        if not asker.is_known:
            return Listing(self._refuse(asker, HTTPStatus.UNAUTHORIZED, is_part=is_part), [])
        names = await self._hooks.listed(asker.request, asker.identity, streams)
        return Listing(HTTPStatus.OK, names, name_of(asker.identity))

    async def metrics(self, request: Request) -> HTTPStatus:
        """Return the status for a request for the metrics: 200, 401 if ``authenticate`` refuses, or 403.

        ``may_see_metrics`` decides; without that hook, every authenticated person may see them.
        """
        asker = await self.identify(request)
        if not asker.is_known:
            return self._refuse(asker, HTTPStatus.UNAUTHORIZED)
        is_granted = await self._hooks.grants_metrics(asker.request, asker.identity)
        return HTTPStatus.OK if is_granted else self._refuse(asker, HTTPStatus.FORBIDDEN)

    def _refuse(self, asker: Asker, status: HTTPStatus, *, is_part: bool = False) -> HTTPStatus:
        if not is_part:
            person = name_of(asker.identity) if asker.is_known else None
            self._audit.page_refused(asker.request.peer, person, asker.request.path, status)
        return status

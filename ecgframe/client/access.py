"""The address of a server, and how a client authenticates there: asked for anew before each attempt to connect."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from websockets.datastructures import Headers

if TYPE_CHECKING:
    from websockets.datastructures import HeadersLike

Value = TypeVar("Value")

Asked: TypeAlias = Value | Callable[[], Value | Awaitable[Value]]
"""A value, or a function that returns it, possibly to be awaited. It is called before each attempt to connect."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 (section 2.1) permits as a bearer token."""


class Access:
    """The address and the credentials of a client.

    Args:
        url: URL of the server.
        token: bearer token; None for no token.
        headers: headers of the request; None for no others.

    Attributes:
        is_asked: whether one of them is a function, so that a second attempt may have other credentials.
        address: the URL without user, password and query, for logs.
    """

    def __init__(self, url: Asked[str], token: Asked[str | None], headers: Asked[HeadersLike | None]) -> None:
        self._url = url
        self._token = token
        self._headers = headers
        self.is_asked = any(map(callable, (url, token, headers)))
        self.address = _without_secrets(url) if isinstance(url, str) else "a URL that is not known yet"

    async def ask(self, seconds: float | None) -> tuple[str, list[tuple[str, str]]]:
        """Return the URL and the headers of the next attempt.

        Args:
            seconds: time that the functions may take together; None for any.

        Raises:
            TimeoutError: they took longer.
            ValueError, TypeError: a function returned what is no URL or token.
            Exception: any that a function raised.
        """
        try:
            async with asyncio.timeout(seconds):
                url = await _value(self._url)
                token = await _value(self._token)
                headers = await _value(self._headers)
        except TimeoutError as error:
            raise TimeoutError(f"the URL, the token or the headers took longer than {seconds:g} s") from error
        if not isinstance(url, str):
            raise TypeError(f"a URL is a str, not {type(url).__name__}")
        self.address = _without_secrets(url)
        found = list(Headers(headers or ()).raw_items())
        if token is not None:
            found.append(("Authorization", f"Bearer {_checked(token)}"))
        return url, found


async def _value(asked: Any) -> Any:
    value = asked() if callable(asked) else asked
    return await value if isinstance(value, Awaitable) else value


def _checked(token: object) -> str:
    """Return the token. An error does not show it."""
    if not isinstance(token, str):
        raise TypeError(f"a token is a str, not {type(token).__name__}")
    if not _TOKEN.fullmatch(token):
        raise ValueError("a token has letters, digits and -._~+/ only, with = at its end, as RFC 6750 says")
    return token


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

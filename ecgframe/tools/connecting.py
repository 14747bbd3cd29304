"""Connections to servers: TLS, closing, and explanations of what went wrong."""

from __future__ import annotations

import asyncio
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http.client import HTTPException, RemoteDisconnected
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from ..libraries import library
from . import ToolError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SECURE: Final = ("wss", "https")
PATIENCE: Final = 5.0
"""Seconds to wait for an HTTP response or for a closing handshake."""

USE_TLS: Final = "if it uses TLS, connect by wss:// or https://"
"""What to try if a server gives no answer in HTTP."""

LARGEST_LIST: Final = 1 << 20
"""Largest list of streams that is read, in bytes."""


class ConnectingError(ToolError):
    """A server cannot be reached or is not trusted. The message says which server, why, and what to do."""


def trust(ca: Path | None, *, insecure: bool) -> ssl.SSLContext | None:
    """Return a TLS context; None to trust the system's certificate authorities.

    Args:
        ca: file of certificate authorities (PEM) to trust instead of the system's.
        insecure: whether to accept any certificate.

    Raises:
        ToolError: the file contains no certificate.
        OSError: the file cannot be read.
    """
    if insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cadata=ca.read_text("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ToolError(f"{ca}: no certificates in it (PEM)") from error


@asynccontextmanager
async def open_websocket(
    url: str, *, headers: Sequence[tuple[str, str]] = (), max_size: int, trusted: ssl.SSLContext | None = None
) -> AsyncIterator[ClientConnection]:
    """Open a connection. It is closed with 1000, or with 1011 if the context is left by an error.

    Args:
        url: URL of the server, ``ws://`` or ``wss://``.
        headers: HTTP headers of the opening request.
        max_size: largest message that is accepted, in bytes.
        trusted: TLS context, as ``trust`` returns it; ignored for ``ws://``.

    Raises:
        OSError, websockets.exceptions.WebSocketException: the connection could not be opened.
        MissingLibrary: websockets is not installed.
    """
    connect = library("websockets.asyncio.client", extra="client", purpose="connecting").connect
    options: dict[str, Any] = {"ssl": trusted} if trusted is not None and urlsplit(url).scheme == "wss" else {}
    connection: ClientConnection = await connect(
        url,
        compression=None,
        ping_interval=None,
        max_size=max_size,
        additional_headers=list(headers),
        close_timeout=PATIENCE,
        **options,
    )
    try:
        yield connection
    except (asyncio.CancelledError, GeneratorExit):  # the caller stops early, which is no error
        await connection.close()
        raise
    except BaseException:
        await connection.close(1011)
        raise
    await connection.close()


# --- what went wrong ---


def why_not(url: str, error: BaseException) -> str | None:  # noqa: PLR0911 - one for each kind
    """Explain in one line why connecting to the URL failed; None if the error has another cause."""
    from websockets.exceptions import InvalidMessage, InvalidURI, ProxyError, WebSocketException  # noqa: PLC0415 - an extra

    proxy = proxy_for(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{url}: {_distrust(error)}"
    if isinstance(error, ssl.SSLError):
        return f"{url}: not a TLS server ({error.reason or error}); use ws:// or http:// to connect without TLS"
    if isinstance(error, ConnectionResetError) and urlsplit(url).scheme in SECURE and proxy is None:
        return f"{url}: {reason_of(error)} during the TLS handshake; use ws:// or http:// to connect without TLS"
    if isinstance(error, InvalidURI):
        return f"{url}: {error.msg}"
    if isinstance(error, ProxyError) and proxy is not None:
        return f"{url}: {proxy} refuses the connection: {error}"
    if isinstance(error, (InvalidMessage, RemoteDisconnected)) and proxy is None and urlsplit(url).scheme not in SECURE:
        return f"{url}: {error}; {USE_TLS}"
    if isinstance(error, WebSocketException):
        return f"{url}: {error}"
    if isinstance(error, OSError):
        return f"{url}: {reason_of(error)}" if proxy is None else f"{proxy}: {reason_of(error)} (connecting to {url})"
    return None


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    why = error.verify_message.rstrip(".")
    return f"its certificate is not trusted: {why}; trust its issuer by --ca FILE, or any server by --insecure"


def reason_of(error: OSError) -> str:
    """Return the description of an operating system error."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error)
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    number = error.errno or 0
    # The text of asyncio names the address, not the cause; errors in resolving names have negative numbers.
    known = os.strerror(number) if number > 0 and not isinstance(error, ssl.SSLError) else error.strerror
    return known or str(error) or type(error).__name__


def proxy_for(url: str) -> str | None:
    """Describe the proxy that the environment or the system sets for the URL, without its password; None if none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme in SECURE else 80)
    except ValueError:  # not a URL
        return None
    schemes: tuple[str, ...] = (parts.scheme,)
    if parts.scheme.startswith("ws"):
        schemes = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    if urllib.request.proxy_bypass(f"{parts.hostname}:{port}"):
        return None
    proxies = urllib.request.getproxies()
    for scheme in schemes:
        if proxy := proxies.get(scheme):
            return f"the proxy {_without_secrets(proxy)} ({_setting(scheme)})"
    return None


def _setting(scheme: str) -> str:
    """Name the environment variable that sets the proxy, or the system."""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), "of the system")


def _without_secrets(proxy: str) -> str:
    parts = urlsplit(proxy)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --- streams ---


def open_page(request: str | urllib.request.Request, trusted: ssl.SSLContext | None, seconds: float) -> Any:
    """Open a page like ``urllib.request.urlopen``, which would reuse the proxy settings of its first call."""
    https = [urllib.request.HTTPSHandler(context=trusted)] if trusted else []
    return urllib.request.build_opener(*https).open(request, timeout=seconds)


def stream_names(
    url: str, headers: Sequence[tuple[str, str]] = (), trusted: ssl.SSLContext | None = None
) -> list[str] | None:
    """Fetch the names of a server's streams, from ``streams`` beside its WebSocket; None if that is missing. Blocks."""
    try:
        return _listed(url, headers, trusted)
    except OSError:
        return None


def only_stream(url: str, headers: Sequence[tuple[str, str]], trusted: ssl.SSLContext | None) -> str:
    """Return the name of the only stream of a server. Blocks.

    Raises:
        ConnectingError: the server cannot be reached, does not list its streams, or has none or several.
    """
    try:
        known = _listed(url, headers, trusted)
    except OSError as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ConnectingError(why_not(url, cause if isinstance(cause, OSError) else error) or str(error)) from error
    if known is None:
        raise ConnectingError(f"{url}: the server does not list its streams; name the one to follow")
    if len(known) != 1:
        raise ConnectingError(f"{url}: there are {_some(known)}; name the stream to follow")
    return known[0]


def _listed(url: str, headers: Sequence[tuple[str, str]], trusted: ssl.SSLContext | None) -> list[str] | None:
    """Fetch the names like ``stream_names``.

    Raises:
        OSError: the server cannot be reached.
    """
    parts = urlsplit(url)
    page = urlunsplit((parts.scheme.replace("ws", "http"), parts.netloc, parts.path, "", ""))
    context = trusted if parts.scheme == "wss" else None
    try:
        request = urllib.request.Request(urljoin(page, "streams"), headers=dict(headers))
        with open_page(request, context, PATIENCE) as answer:
            found = loads(answer.read(LARGEST_LIST))
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        return None
    except OSError:
        raise
    except (HTTPException, ValueError, RecursionError):
        return None
    names = found.get("streams") if isinstance(found, dict) else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def no_such_stream(names: Sequence[str], known: Sequence[str] | None, place: str) -> str:
    """Say that no message of these streams came, and which streams exist."""
    wanted = ", ".join(map(repr, names))
    if known is None:
        return f"{place}: no message of {wanted} came, and the server does not list its streams"
    return f"{place}: there is no stream {wanted}; there {'is' if len(known) == 1 else 'are'} {_some(known)}"


def sealed_with_another_key(names: Sequence[str]) -> str:
    """Say that no message of these streams was opened."""
    wanted = ", ".join(map(repr, names))
    return f"no message of {wanted} was opened: they are sealed with a key that is not known (--keys)"


def _some(known: Sequence[str]) -> str:
    """Name the first streams, and count the others."""
    more = f" and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
    return f"{', '.join(map(repr, known[:NAMED])) or 'none'}{more}"


NAMED: Final = 12
"""Streams that an error message lists; the rest are counted."""

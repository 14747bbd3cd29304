"""The browser monitor, as files to be sent: built from ``client/monitor``, so that nobody who serves it needs Node."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs, urlsplit

INDEX: Final = "index.html"

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # the checksums of large frames
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
"""The page needs nothing of others, runs no text as code, and stands in no frame of others."""

HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
"""Of each file. A browser keeps it and asks each time whether it is still the same."""

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def headers_for(query: str) -> dict[str, str]:
    """``HEADERS`` for a page whose address has this query, without its ``?``.

    ``server=ws://host:port`` names the server that the page shows the streams of. The page may then connect to that one
    besides its own, and to no other. What is no address of a server changes nothing.
    """
    servers = parse_qs(query).get("server", [])
    sources = _sources(servers[0].strip()) if servers else ""
    if not sources:
        return dict(HEADERS)
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self' {sources}")
    return {**HEADERS, "Content-Security-Policy": policy}


def _sources(server: str) -> str:
    """A server's WebSockets and its list of streams, as a Content-Security-Policy names them."""
    try:
        parts = urlsplit(server if "://" in server else f"ws://{server}")
        port = parts.port
    except ValueError:
        return ""
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if parts.scheme not in ("ws", "wss", "http", "https") or not _HOST.fullmatch(host):
        return ""
    place = host if port is None else f"{host}:{port}"
    # Without a scheme in the address, the page's own counts, which is not known here: both are.
    schemes = ("ws", "wss", "http", "https") if "://" not in server else _PAIRS[parts.scheme]
    return " ".join(f"{scheme}://{place}" for scheme in schemes)


_PAIRS: Final = {
    "ws": ("ws", "http"),
    "http": ("ws", "http"),
    "wss": ("wss", "https"),
    "https": ("wss", "https"),
}


@dataclass(frozen=True, slots=True)
class MonitorFile:
    """One file.

    Attributes:
        body: its bytes.
        packed: the same, gzipped.
        content_type: for the header of that name.
        tag: its entity tag, in quotes; another one for each content.
    """

    body: bytes
    packed: bytes
    content_type: str
    tag: str

    def is_known(self, if_none_match: str) -> bool:
        """Whether the browser has it already, by its If-None-Match header."""
        known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in known or self.tag in known


def monitor_files() -> Mapping[str, MonitorFile]:
    """All files of the monitor by their paths: ``/`` is the page itself."""
    return {
        "/" if file.name == INDEX else f"/{file.name}": _file(file.name, file.read_bytes())
        for file in (files(__package__) / "monitor").iterdir()
        if file.name.endswith(tuple(CONTENT_TYPES))
    }


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header takes gzip."""
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _file(name: str, body: bytes) -> MonitorFile:
    return MonitorFile(
        body=body,
        packed=gzip.compress(body, mtime=0),
        content_type=CONTENT_TYPES[name[name.rindex(".") :]],
        tag=f'"{hashlib.sha256(body).hexdigest()[:20]}"',
    )

"""The files of the monitor and the wall in ``server/monitor``, built from ``client/monitor``; serving needs no Node."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs, urlsplit

__all__ = ["MonitorFile", "monitor_files", "headers_for", "accepts_gzip"]

PAGES: Final = {"index.html": "/", "wall.html": "/wall"}
"""URL paths of the pages. The other files have their names as paths."""

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
"""Content-Security-Policy of the page: same origin only, no eval, no framing."""

HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
"""Response headers of each file. Browsers cache the file and check each time whether it has changed."""

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def headers_for(query: str) -> dict[str, str]:
    """Return the response headers for a page whose URL has this query (without ``?``).

    ``server=ws://host:port`` names another server whose streams the page shows. The Content-Security-Policy then allows
    connections to that server and to the page's own. A value that is not an address is ignored.
    """
    servers = parse_qs(query).get("server", [])
    sources = _sources(servers[0].strip()) if servers else ""
    if not sources:
        return dict(HEADERS)
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self' {sources}")
    return {**HEADERS, "Content-Security-Policy": policy}


def _sources(server: str) -> str:
    """The Content-Security-Policy sources for a server's WebSockets and list of streams; ``""`` if it is invalid."""
    try:
        parts = urlsplit(server if "://" in server else f"ws://{server}")
        port = parts.port
    except ValueError:
        return ""
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if parts.scheme not in ("ws", "wss", "http", "https") or not _HOST.fullmatch(host):
        return ""
    place = host if port is None else f"{host}:{port}"
    # Without a scheme, the page uses its own, which is not known here, so allow both.
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
        body: content of the file.
        packed: the content, gzipped.
        content_type: value of the header Content-Type.
        tag: entity tag (ETag) in quotes, derived from the content.
    """

    body: bytes
    packed: bytes
    content_type: str
    tag: str

    def is_known(self, if_none_match: str) -> bool:
        """Return whether the browser has the file already, by its If-None-Match header."""
        known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in known or self.tag in known


def monitor_files() -> Mapping[str, MonitorFile]:
    """Return all files by URL path; ``/`` is the monitor, and ``/wall`` shows many beds on one page."""
    return {
        PAGES.get(file.name, f"/{file.name}"): _file(file.name, file.read_bytes())
        for file in (files(__package__) / "monitor").iterdir()
        if file.name.endswith(tuple(CONTENT_TYPES))
    }


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
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

"""The server side: ``WebSocketBinaryHandler``, its limits, its hooks, and the engines that join several servers.

The adapters for the WebSocket libraries are in ``ecgframe.server.adapters``.
"""

from ..session import RateLimit, Settings
from .backplane import Backplane, LocalBackplane, NumberedBackplane
from .connection_info import ConnectionInfo
from .forwarding import Proxies
from .handler import UnknownConnection, WebSocketBinaryHandler
from .limits import Limits
from .link import Link, Request
from .presence import Presence, Watcher
from .rights import Withdrawal
from .sealing import Sealing
from .streams import TooManyStreams

__all__ = [
    "Backplane",
    "ConnectionInfo",
    "Limits",
    "Link",
    "LocalBackplane",
    "NumberedBackplane",
    "Presence",
    "Proxies",
    "RateLimit",
    "Request",
    "Sealing",
    "Settings",
    "TooManyStreams",
    "UnknownConnection",
    "Watcher",
    "WebSocketBinaryHandler",
    "Withdrawal",
]

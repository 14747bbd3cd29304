"""The client: subscriptions that outlive the connection, over asyncio and the ``websockets`` library."""

from ..libraries import library

library("websockets", extra="client", purpose="the client")

from .client import Client, connect  # noqa: E402 - the library that is missing shall be named first
from .errors import ConnectionLost, NotAcknowledged  # noqa: E402
from .line import State  # noqa: E402
from .mailbox import Mailbox  # noqa: E402
from .place import Gap  # noqa: E402
from .subscription import Subscription  # noqa: E402

__all__ = [
    "Client",
    "ConnectionLost",
    "Gap",
    "Mailbox",
    "NotAcknowledged",
    "State",
    "Subscription",
    "connect",
]

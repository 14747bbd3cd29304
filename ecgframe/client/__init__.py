"""The client: subscriptions that outlive the connection, over asyncio and the ``websockets`` library."""

from ..libraries import library

library("websockets", extra="client", purpose="the client")

from .client import Client, connect  # noqa: E402 - after the check for the library
from .cursor import Gap  # noqa: E402
from .errors import ConnectionLost, NotAcknowledged  # noqa: E402
from .losses import DataLost  # noqa: E402
from .message_queue import MessageQueue  # noqa: E402
from .publisher import Lost, Publisher  # noqa: E402
from .reconnecting import State  # noqa: E402
from .subscription import Subscription  # noqa: E402
from .synchronous import SyncClient, SyncMessageQueue, SyncPublisher, SyncSubscription, connect_sync  # noqa: E402

__all__ = [
    "Client",
    "ConnectionLost",
    "DataLost",
    "Gap",
    "Lost",
    "MessageQueue",
    "NotAcknowledged",
    "Publisher",
    "State",
    "Subscription",
    "SyncClient",
    "SyncMessageQueue",
    "SyncPublisher",
    "SyncSubscription",
    "connect",
    "connect_sync",
]

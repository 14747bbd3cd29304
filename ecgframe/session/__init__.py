"""One side of a conversation, without I/O: ``ServerSession`` and ``ClientSession``."""

from .client_session import ClientSession
from .counters import Counters
from .decoding import Decoding
from .events import (
    Acknowledged,
    ErrorReceived,
    Event,
    FrameRefused,
    Negotiated,
    PingUnanswered,
    Received,
    RoundTrip,
    SubscribeRequested,
    SubscriptionAnswered,
    Undelivered,
    UnsubscribeRequested,
    VersionChecked,
)
from .outgoing import Encoding, Outgoing, PreparedOutgoing, encode_outgoing, prepare_outgoing
from .send_queue import Loss
from .sender import Close
from .server_session import ServerSession
from .session import Session
from .settings import RateLimit, Settings
from .timestamps import microseconds, seconds

__all__ = [
    "Acknowledged",
    "ClientSession",
    "Close",
    "Decoding",
    "Encoding",
    "ErrorReceived",
    "Event",
    "FrameRefused",
    "Loss",
    "Negotiated",
    "Outgoing",
    "PingUnanswered",
    "PreparedOutgoing",
    "RateLimit",
    "Received",
    "RoundTrip",
    "ServerSession",
    "Session",
    "Settings",
    "SubscribeRequested",
    "SubscriptionAnswered",
    "Counters",
    "Undelivered",
    "UnsubscribeRequested",
    "VersionChecked",
    "encode_outgoing",
    "microseconds",
    "prepare_outgoing",
    "seconds",
]

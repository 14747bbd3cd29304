"""One side of a connection, without I/O: ``ServerSession`` and ``ClientSession``."""

from .client_session import ClientSession
from .cost import Totals
from .counters import Counters
from .decoding import Decoding
from .events import (
    Acknowledged,
    AttestationTaken,
    ErrorReceived,
    Event,
    FrameRefused,
    FramesUnopened,
    HistoryRequested,
    KeyMissing,
    KeysRefused,
    Negotiated,
    Numbered,
    OpeningRequested,
    PingUnanswered,
    Received,
    RoundTrip,
    SubscribeRequested,
    SubscriptionAnswered,
    Undelivered,
    UnsubscribeRequested,
    VersionChecked,
)
from .frame_reader import StreamEpoch
from .meter import BudgetExceeded
from .outgoing import (
    Binding,
    Encoding,
    HistoryPart,
    Outgoing,
    PreparedOutgoing,
    StreamPosition,
    encode_frame,
    encode_outgoing,
    prepare_outgoing,
)
from .sealed_streams import SealedStreams
from .send_queue import Loss
from .sender import Close
from .server_session import ServerSession
from .session import Session
from .settings import RateLimit, Settings
from .stream_writer import StreamWriter
from .timestamps import microseconds, seconds

__all__ = [
    "Acknowledged",
    "AttestationTaken",
    "Binding",
    "BudgetExceeded",
    "ClientSession",
    "Close",
    "Decoding",
    "Encoding",
    "ErrorReceived",
    "Event",
    "FrameRefused",
    "FramesUnopened",
    "HistoryPart",
    "HistoryRequested",
    "KeyMissing",
    "KeysRefused",
    "Loss",
    "Negotiated",
    "Numbered",
    "OpeningRequested",
    "Outgoing",
    "PingUnanswered",
    "StreamPosition",
    "PreparedOutgoing",
    "RateLimit",
    "Received",
    "RoundTrip",
    "SealedStreams",
    "ServerSession",
    "Session",
    "Settings",
    "StreamEpoch",
    "StreamWriter",
    "SubscribeRequested",
    "SubscriptionAnswered",
    "Counters",
    "Totals",
    "Undelivered",
    "UnsubscribeRequested",
    "VersionChecked",
    "encode_frame",
    "encode_outgoing",
    "microseconds",
    "prepare_outgoing",
    "seconds",
]

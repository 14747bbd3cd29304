"""The result of decoding some bytes, in the same form for the codec and for the oracle."""

from oracle import Refused

from ecgframe import ProtocolError


def verdict(read, *args):
    """The error code and the row of the table of checks with which ``read`` refuses, or None if it accepts."""
    try:
        read(*args)
    except (ProtocolError, Refused) as refusal:
        return int(refusal.code), refusal.check
    return None

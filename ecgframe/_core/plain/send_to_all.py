"""Sends one message to all connections that can take it now.

The plain twin of ``send_to_all.pyx``, which explains why. The sockets must not wait for their peers by themselves
(``socket.setblocking(False)``); those of asyncio do not.
"""

from __future__ import annotations

import os
from typing import Any, Final

__all__ = ["CAN_SEND_TO_ALL", "OTHER_ENCODING", "QUEUE", "Recipient", "send_to_all"]

CAN_SEND_TO_ALL: Final = os.name == "posix"
QUEUE: Final = -1
OTHER_ENCODING: Final = -2


class Recipient:
    """What decides whether a connection may be sent a message at once, and what was sent to it so.

    Attributes:
        descriptor: the socket, while it can be written to past its transport; otherwise -1.
        is_held: whether a task sends what waits, so that nothing else may be sent.
        has_waiting: whether something waits to be sent before.
        closing: None unless the connection is about to be closed.
        encoding: the encoding that the peer understands.
        passed: number of frames that were recorded.
    """

    __slots__ = ("_room", "_sent_at", "closing", "descriptor", "encoding", "has_waiting", "is_held", "passed")

    def __init__(self) -> None:
        self.descriptor = -1
        self.is_held = self.has_waiting = False
        self.closing: Any = None
        self.encoding: Any = None
        self.passed = self._room = 0
        self._sent_at = 0.0

    def record_sent(self, nbytes: int, frames: int, now: float) -> None:
        """Record that frames are sent now, without being queued.

        Args:
            nbytes: bytes of all of them.
            frames: their number.
            now: the time, in seconds.
        """
        self._room -= nbytes
        self._sent_at = now
        self.passed += frames


def send_to_all(
    recipients: tuple[Recipient, ...], encoding: Any, message: bytes, nbytes: int, now: float
) -> list[tuple[int, int]]:
    """Send a message with one frame to all recipients that can take it now, and record it.

    The descriptors must not be closed meanwhile.

    Args:
        recipients: the connections, each of them once.
        encoding: that of the frame. It is not sent to recipients whose encoding is another object.
        message: the bytes to send, with the frame and all that is around it.
        nbytes: bytes of the frame, which are recorded.
        now: the time, in seconds.

    Returns:
        For each recipient to which not everything was sent, its index, and one number: how many bytes its socket has
        taken, if the rest is to be written to its transport; or ``QUEUE`` or ``OTHER_ENCODING``, and nothing was sent
        or recorded.
    """
    rest: list[tuple[int, int]] = []
    ready: list[tuple[int, int]] = []
    for index, one in enumerate(recipients):
        if one.encoding is not encoding:
            rest.append((index, OTHER_ENCODING))
        elif one.descriptor < 0 or one.is_held or one.has_waiting or one._room < 0 or one.closing is not None:
            rest.append((index, QUEUE))
        else:
            one.record_sent(nbytes, 1, now)
            ready.append((index, one.descriptor))
    for index, descriptor in ready:
        if (taken := _send(descriptor, message)) != len(message):
            rest.append((index, taken))
    return rest


def _send(descriptor: int, message: bytes) -> int:
    """Return how many bytes of a message a socket has taken."""
    try:
        return os.write(descriptor, message)
    except OSError:
        return 0  # whatever the reason: the caller's own way to write finds it once more

"""The phases of a session and the transitions between them, as one table.

This module has only the phases and their transitions; it knows neither which side it runs on, nor a clock, nor a
frame. The other state of a session (what was negotiated, queues, counters) is in ``session.py``. ``Session`` reports a
trigger, the table gives the next phase and the action, and ``Session`` performs it. The diagram in docs/protocol.md and
the table of the TypeScript client are generated from this one.
"""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(IntEnum):
    """How far a session has got.

    Attributes:
        OPENING: the connection is open; the peer has not shown which version it speaks. Everything is sent in V1.
        ASSUMED: the peer sends frames but did not negotiate; it is served in the version of its first frame.
        NEGOTIATED: both sides agreed on a version and on capabilities.
        CLOSING: a close code is set; nothing is received any more.
        CLOSED: the connection has ended.
    """

    OPENING = 0
    ASSUMED = 1
    NEGOTIATED = 2
    CLOSING = 3
    CLOSED = 4


class Trigger(IntEnum):
    """What can change the phase, or is treated differently from phase to phase.

    Attributes:
        MESSAGE: a WebSocket message arrives.
        FRAME: a valid frame shows the version of the peer: any type but PROTOCOL_NEGOTIATION and ERROR.
        NEGOTIATION: the peer sends PROTOCOL_NEGOTIATION.
        TIMEOUT: the server has not shown its version within ``Settings.negotiation_timeout`` (client only).
        SEND: this side sends a message.
        END: this side closes: the application asks for it, or an error requires it.
        ABANDON: the peer is silent, or does not read what must not be dropped.
        LOST: the connection has ended.
    """

    MESSAGE = 0
    FRAME = 1
    NEGOTIATION = 2
    TIMEOUT = 3
    SEND = 4
    END = 5
    ABANDON = 6
    LOST = 7


class Action(IntEnum):
    """What a session does about a trigger.

    Attributes:
        PROCEED: process the message, or queue it.
        IGNORE: do nothing.
        ASSUME: use the version of the frame (or the lowest one, after a timeout) and the capabilities it implies.
        AGREE: use the version and the capabilities that were negotiated.
        REFUSE: answer ERROR ``0x200`` and keep what was agreed.
        FLUSH: discard waiting data, send urgent and control messages, then close.
        DISCARD: discard everything that waits, then close.
        GIVE_UP: discard everything, and report the messages that were not acknowledged as undelivered.
    """

    PROCEED = 0
    IGNORE = 1
    ASSUME = 2
    AGREE = 3
    REFUSE = 4
    FLUSH = 5
    DISCARD = 6
    GIVE_UP = 7


class Transition(NamedTuple):
    """The outcome of a trigger: the next phase, and what to do."""

    phase: Phase
    action: Action


TRANSITIONS: Final[Mapping[Phase, Mapping[Trigger, Transition]]] = MappingProxyType(
    {
        Phase.OPENING: {
            Trigger.MESSAGE: Transition(Phase.OPENING, Action.PROCEED),
            Trigger.FRAME: Transition(Phase.ASSUMED, Action.ASSUME),
            Trigger.NEGOTIATION: Transition(Phase.NEGOTIATED, Action.AGREE),
            Trigger.TIMEOUT: Transition(Phase.ASSUMED, Action.ASSUME),
            Trigger.SEND: Transition(Phase.OPENING, Action.PROCEED),
            Trigger.END: Transition(Phase.CLOSING, Action.FLUSH),
            Trigger.ABANDON: Transition(Phase.CLOSING, Action.DISCARD),
            Trigger.LOST: Transition(Phase.CLOSED, Action.GIVE_UP),
        },
        Phase.ASSUMED: {
            Trigger.MESSAGE: Transition(Phase.ASSUMED, Action.PROCEED),
            Trigger.FRAME: Transition(Phase.ASSUMED, Action.PROCEED),
            Trigger.NEGOTIATION: Transition(Phase.NEGOTIATED, Action.AGREE),
            Trigger.SEND: Transition(Phase.ASSUMED, Action.PROCEED),
            Trigger.END: Transition(Phase.CLOSING, Action.FLUSH),
            Trigger.ABANDON: Transition(Phase.CLOSING, Action.DISCARD),
            Trigger.LOST: Transition(Phase.CLOSED, Action.GIVE_UP),
        },
        Phase.NEGOTIATED: {
            Trigger.MESSAGE: Transition(Phase.NEGOTIATED, Action.PROCEED),
            Trigger.FRAME: Transition(Phase.NEGOTIATED, Action.PROCEED),
            Trigger.NEGOTIATION: Transition(Phase.NEGOTIATED, Action.REFUSE),
            Trigger.SEND: Transition(Phase.NEGOTIATED, Action.PROCEED),
            Trigger.END: Transition(Phase.CLOSING, Action.FLUSH),
            Trigger.ABANDON: Transition(Phase.CLOSING, Action.DISCARD),
            Trigger.LOST: Transition(Phase.CLOSED, Action.GIVE_UP),
        },
        Phase.CLOSING: {
            Trigger.MESSAGE: Transition(Phase.CLOSING, Action.IGNORE),
            Trigger.SEND: Transition(Phase.CLOSING, Action.IGNORE),
            Trigger.END: Transition(Phase.CLOSING, Action.IGNORE),
            Trigger.LOST: Transition(Phase.CLOSED, Action.GIVE_UP),
        },
        Phase.CLOSED: {
            Trigger.MESSAGE: Transition(Phase.CLOSED, Action.IGNORE),
            Trigger.SEND: Transition(Phase.CLOSED, Action.IGNORE),
            Trigger.END: Transition(Phase.CLOSED, Action.IGNORE),
            Trigger.LOST: Transition(Phase.CLOSED, Action.GIVE_UP),
        },
    }
)
"""What each trigger leads to. A missing pair cannot happen: a session that is closing receives nothing and waits for
nothing, and only one that is opening has a timeout."""

"""Cases for clients that take messages of version 4 in fragments."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ...protocol import FRAGMENT_HEADER, Capability, ErrorCode, Flag, MessageType
from ...session.fragmenting import Fragments
from .checks import require
from .client_numbers import FROM_THE_CLIENT, ID, NEXT, granted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .cases import Suite
    from .client_numbers import Agree, NumberedStream
    from .peer import ScriptedPeer

_SECTION: Final = "Fragments"
_PIECE: Final = 1024


def add_fragment_cases(suite: Suite, agree: Agree) -> None:
    """Add the cases. ``agree`` sends an offer and returns the choice of the client."""

    def add(number: str, title: str, test: Callable[[Agree, ScriptedPeer], Awaitable[None]]) -> None:
        suite.add(number, title, _SECTION, partial(test, agree))

    add("6.18", "A message in fragments is acknowledged once, as a whole", _takes_fragments)
    add("6.19", "An alert between the fragments is acknowledged before them", _lets_an_alert_overtake)
    add(
        "6.20",
        "If a fragment is missing, the message is lost: one ERROR 0x200 with the reason fragment",
        _loses_a_message_with_a_gap,
    )
    add("6.21", "A fragment below 1,024 bytes that is not the last gets ERROR 0x200", _refuses_small)


async def _cut_message(agree: Agree, peer: ScriptedPeer) -> tuple[NumberedStream, int, list[bytes]]:
    """Let a client subscribe, and cut a message for it. Returns the stream, the timestamp, and the fragments."""
    stream, _ = await granted(agree, peer, wanted=(Capability.FRAGMENTS,))
    data = {"features": {"n": 1}, "stream": stream.name, "filling": bytes(range(256)) * 12}
    frame = peer.frame(MessageType.FEATURE_DATA, data, flags=Flag.ACK_REQUIRED, stream_id=ID, sequence=NEXT)
    fragments = Fragments(frame, _PIECE)
    stamp = int.from_bytes(frame[11:19], "big")
    return stream, stamp, [fragments[index] for index in range(fragments.count)]


async def _takes_fragments(agree: Agree, peer: ScriptedPeer) -> None:
    _, stamp, fragments = await _cut_message(agree, peer)
    for fragment in fragments[:-1]:
        await peer.send(fragment)
    await peer.expect_silence("the last fragment is missing", among=FROM_THE_CLIENT)
    await peer.send(fragments[-1])
    await _require_acknowledgement(peer, stamp, MessageType.FEATURE_DATA)
    await peer.expect_silence("one acknowledgement is enough for one message", among=FROM_THE_CLIENT)


async def _lets_an_alert_overtake(agree: Agree, peer: ScriptedPeer) -> None:
    stream, stamp, fragments = await _cut_message(agree, peer)
    await peer.send(fragments[0])
    alert = {"kind": "asystole", "timestamp": 1705314645.25, "stream": stream.name}
    flags = Flag.PRIORITY | Flag.ACK_REQUIRED
    sent = await peer.say(MessageType.ANOMALY_ALERT, alert, flags=flags, stream_id=ID, sequence=NEXT + 1)
    await _require_acknowledgement(peer, sent, MessageType.ANOMALY_ALERT)
    for fragment in fragments[1:]:
        await peer.send(fragment)
    await _require_acknowledgement(peer, stamp, MessageType.FEATURE_DATA)


async def _loses_a_message_with_a_gap(agree: Agree, peer: ScriptedPeer) -> None:
    _, _, fragments = await _cut_message(agree, peer)
    await peer.send(fragments[0])
    for fragment in fragments[2:]:
        await peer.send(fragment)
    await _require_refusal(peer)
    await peer.expect_silence("one ERROR is enough for one message", among=FROM_THE_CLIENT)


async def _refuses_small(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer, wanted=(Capability.FRAGMENTS,))
    data = {"features": {"n": 1}, "stream": stream.name, "filling": bytes(3000)}
    frame = peer.frame(MessageType.FEATURE_DATA, data, stream_id=ID, sequence=NEXT)
    await peer.send(Fragments(frame, _PIECE - FRAGMENT_HEADER)[0])
    await _require_refusal(peer)


async def _require_acknowledgement(peer: ScriptedPeer, stamp: int, type: MessageType) -> None:
    pong = await peer.hear_one(MessageType.PONG, among=FROM_THE_CLIENT)
    expected = {"ack": stamp, "type": int(type)}
    require(pong.data == expected, f"the acknowledgement is {pong.data}; expected {expected}")


async def _require_refusal(peer: ScriptedPeer) -> None:
    error = await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    details = error.data.get("details")
    reason = details.get("reason") if isinstance(details, dict) else None
    require(reason == "fragment", f"the reason of the ERROR is {reason!r}")

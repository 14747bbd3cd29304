"""Cases for servers that publish data on a stream: flags, acknowledgement, resuming, drops and overtaking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...codec import Message
from ...protocol import DATA_TYPES, Capability, ErrorCode, Flag, MessageType
from ...session import microseconds
from .cases import Suite
from .checks import Failed, NotApplicable, alike, require

if TYPE_CHECKING:
    from .peer import ScriptedPeer

UNREAD: Final = 0.5
"""Seconds for which the suite does not read, and then waits for messages."""

_WAITING: Final = "Waiting frames"
_ACKNOWLEDGEMENT: Final = "Acknowledgement"
_LOST: Final = (ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.MESSAGE_TOO_LARGE)
_TO_BE_ANNOUNCED: Final = Flag.PRIORITY | Flag.BROADCAST | Flag.ACK_REQUIRED

AWAY: Final = 600_000
"""Microseconds of messages that are missed at least, where only ``RECENT`` ones are wanted."""
RECENT: Final = 200_000
"""Age in microseconds of the oldest messages that are wanted."""


def add_stream_cases(suite: Suite) -> None:
    """Add all cases of this module."""
    suite.add("7.8", "Only flags that the client announced are set", "Capabilities", _sets_no_flags)
    suite.add("8.3", "An unacknowledged message is sent again, with the same bytes", _ACKNOWLEDGEMENT, _sends_again)
    suite.add("8.4", "An acknowledged message is not sent again", _ACKNOWLEDGEMENT, _stops_after_the_acknowledgement)
    suite.add("10.1", "After a resume, the missed messages come first, in order and once each", "Resume", _resumes)
    suite.add("10.2", "If messages are missing, from is the time from which all follow", "Resume", _tells_from_when_on)
    suite.add("10.3", "With catch_up, what is older is not sent, and from says so", "Resume", _sends_the_present_first)
    suite.add("11.1", "Dropped frames are reported before the next frame of their stream", _WAITING, _tells_drops)
    suite.add("11.2", "Only alerts and messages with PRIORITY overtake", _WAITING, _lets_the_urgent_overtake)


# --- a stream ---


def streaming(peer: ScriptedPeer) -> str:
    """Return the stream that the user named."""
    if peer.settings.stream is None:
        raise NotApplicable("no stream with live data was named")
    return peer.settings.stream


async def subscribed(peer: ScriptedPeer, *capabilities: str) -> str:
    """Negotiate version 3 and the capabilities, subscribe to the stream, and return its name."""
    stream = streaming(peer)
    await _subscribe(peer, *capabilities)
    return stream


async def hear_data(peer: ScriptedPeer) -> Message:
    """Return the next ECG_DATA, skipping other messages."""
    end = peer.soon()
    while True:
        message = await peer.hear("ECG_DATA", end)
        if message.type is MessageType.ECG_DATA:
            return message


async def _subscribe(peer: ScriptedPeer, *capabilities: str, **wish: float) -> dict[str, Any]:
    stream = streaming(peer)
    await peer.negotiate(3, capabilities)
    await peer.say(MessageType.SUBSCRIBE, {"stream": stream, **wish})
    answer: dict[str, Any] = (await peer.hear_one(MessageType.SUBSCRIPTION_ACK)).data
    require(answer["status"] == "subscribed", f'the stream "{stream}" is {answer["status"]}')
    return answer


def _overtakes(message: Message) -> bool:
    return message.type is MessageType.ANOMALY_ALERT or bool(message.flags & Flag.PRIORITY)


async def _hear_in_line(peer: ScriptedPeer) -> int:
    """Return the timestamp of the next data message that is not urgent."""
    end = peer.soon()
    while True:
        message = await peer.hear("data of the stream", end)
        if message.type in DATA_TYPES and not _overtakes(message):
            return message.timestamp or 0


# --- 7: subscriptions ---


async def _sets_no_flags(peer: ScriptedPeer) -> None:
    await subscribed(peer)
    for _ in range(3):
        data = await hear_data(peer)
        require(not data.flags & _TO_BE_ANNOUNCED, f"data came with the flags {data.flags!r}")


# --- 8: acknowledgement ---


async def _sends_again(peer: ScriptedPeer) -> None:
    first, octets = await _hear_message_to_acknowledge(peer)
    again = await _hear_again(peer, first)
    require(again == octets, "it was sent again with other bytes")


async def _stops_after_the_acknowledgement(peer: ScriptedPeer) -> None:
    first, _ = await _hear_message_to_acknowledge(peer)
    begin = peer.elapsed
    await _hear_again(peer, first)
    pause = peer.elapsed - begin
    await peer.say(MessageType.PONG, {"ack": first.timestamp, "type": int(first.type)})
    await peer.still_there()
    async for message in peer.listen(1.5 * pause):
        require(message.timestamp != first.timestamp, "it was sent again after its acknowledgement")


async def _hear_message_to_acknowledge(peer: ScriptedPeer) -> tuple[Message, bytes]:
    await subscribed(peer, Capability.ACK)
    async for message in peer.listen(min(1.0, peer.settings.timeout)):
        if message.flags & Flag.ACK_REQUIRED:
            return message, peer.transcript[-1].octets
    raise NotApplicable("no message with ACK_REQUIRED arrived, and the suite cannot cause one")


async def _hear_again(peer: ScriptedPeer, first: Message) -> bytes:
    """Return the bytes of the message that is sent again with the same timestamp."""
    async for message in peer.listen(peer.settings.patience):
        if message.timestamp == first.timestamp:
            return peer.transcript[-1].octets
        # Alerts with the same data are the same alert, since they include its time.
        renamed = message.type is first.type is MessageType.ANOMALY_ALERT and alike(message.data, first.data)
        require(not renamed, "it was sent again with another timestamp")
    waited = f"{peer.settings.patience:g} s"
    raise NotApplicable(f"nothing was sent again within {waited}; the server's settings determine how long it waits")


# --- 10: resume ---


async def _resumes(peer: ScriptedPeer) -> None:
    await subscribed(peer, Capability.TIMESTAMPS)
    last, *missed = [await _hear_in_line(peer) for _ in range(4)]
    await peer.reconnect()
    answer = await _subscribe(peer, Capability.TIMESTAMPS, since=last / 1_000_000)
    if answer.get("from") is not None and microseconds(answer["from"]) > last + 1:
        raise NotApplicable("the server has not kept the last messages, and says so")
    found = [await _hear_in_line(peer) for _ in missed]
    require(found == missed, f"what followed {last} were {missed}; after since they are {found}")


async def _tells_from_when_on(peer: ScriptedPeer) -> None:
    await subscribed(peer, Capability.TIMESTAMPS)
    known = [await _hear_in_line(peer) for _ in range(2)]
    await peer.reconnect()
    answer = await _subscribe(peer, Capability.TIMESTAMPS, since=0.0)
    if answer.get("from") is None:
        raise NotApplicable("the server says that nothing is missing since 1970")
    start = microseconds(answer["from"])
    kept = [stamp for stamp in known if stamp >= start]
    found = [await _hear_in_line(peer)]
    while found[-1] < known[-1]:
        found.append(await _hear_in_line(peer))
    require(found[0] >= start, f"from is {start}; what came first is of {found[0]}")
    require(found == sorted(set(found)), "the messages have to be in order, and each only once")
    require(set(kept) <= set(found), f"from is {start}; of {kept}, which are later, not all came")


async def _sends_the_present_first(peer: ScriptedPeer) -> None:
    await subscribed(peer, Capability.TIMESTAMPS)
    first = last = await _hear_in_line(peer)
    try:
        while last < first + AWAY:
            last = await _hear_in_line(peer)
    except Failed:
        raise NotApplicable(f"the stream ended after {(last - first) / 1_000_000:g} s") from None
    await peer.reconnect()
    answer = await _subscribe(peer, Capability.TIMESTAMPS, since=first / 1_000_000, catch_up=RECENT / 1_000_000)
    if answer.get("from") is None:
        raise NotApplicable("nothing is left out: the server does not know catch_up")
    start = microseconds(answer["from"])
    require(start > first, f"from is {start}; messages after {first} are too old")
    found = [await _hear_in_line(peer) for _ in range(3)]
    oldest = max(start, last - RECENT)
    require(min(found) >= oldest, f"from is {start}; what came first is of {min(found)}, which is older than {oldest}")
    require(found == sorted(set(found)), "the messages have to be in order, and each only once")


# --- 11: what waits ---


async def _tells_drops(peer: ScriptedPeer) -> None:
    stream = await subscribed(peer)
    await peer.pause(UNREAD)
    latest, notices = 0, 0
    async for message in peer.listen(UNREAD):
        details = message.data.get("details") if isinstance(message.data, dict) else None
        if message.type in DATA_TYPES and not _overtakes(message):
            latest = message.timestamp or 0
        elif message.type is MessageType.ERROR and isinstance(details, dict) and "dropped" in details:
            _require_a_notice(message, stream, latest)
            notices += 1
    if not notices:
        raise NotApplicable(f"nothing was dropped while the suite read nothing for {UNREAD:g} s; it cannot do more")


def _require_a_notice(message: Message, stream: str, latest: int) -> None:
    code, details = message.data["code"], message.data["details"]
    require(code in _LOST, f"a notice of dropped frames has the code 0x{code:03x}")
    count, name = details["dropped"], details.get("stream", stream)
    require(type(count) is int and count > 0, f"the number of dropped frames is {count!r}")
    require(name == stream, f"the stream of the notice is {name!r}")
    times = [details.get(end) for end in ("from", "to")]
    require(all(isinstance(time, int | float) for time in times), f"the dropped frames are from and to {times}")
    first, last = map(microseconds, times)
    require(first <= last, f"the dropped frames are from {first} to {last}")
    require(latest < first, f"frames from {first} on were dropped; one of {latest} came before that was reported")


async def _lets_the_urgent_overtake(peer: ScriptedPeer) -> None:
    await subscribed(peer, Capability.PRIORITY)
    await peer.pause(UNREAD)
    latest = latest_urgent = 0
    has_overtaken = False
    async for message in peer.listen(UNREAD):
        if message.type not in DATA_TYPES:
            continue
        stamp = message.timestamp or 0
        if _overtakes(message):
            latest_urgent = max(latest_urgent, stamp)
            continue
        require(stamp > latest, f"data of {stamp} came after data of {latest}, which had no PRIORITY")
        latest = stamp
        has_overtaken = has_overtaken or stamp < latest_urgent
    if not has_overtaken:
        raise NotApplicable(f"nothing overtook data within {UNREAD:g} s, and the suite cannot cause an alert")

"""Cases for clients that speak version 4: ids, numbers, epochs, templates and records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...messages.templates import Template
from ...protocol import LARGEST_STREAM_ID, VERSIONS, Capability, CloseCode, ErrorCode, Flag, Form, MessageType
from .cases import Suite
from .checks import NotApplicable, require, require_catch_up

if TYPE_CHECKING:
    from .peer import ScriptedPeer

Agree = Callable[..., Awaitable[dict[str, Any]]]

_NUMBERS: Final = "Streams by number"
_RECORDS: Final = "Which records are refused"
_OF_BROWSERS: Final = range(4000, 5000)
FROM_THE_CLIENT: Final = frozenset(
    {MessageType.SUBSCRIBE, MessageType.UNSUBSCRIBE, MessageType.HEARTBEAT, MessageType.VERSION_CHECK}
)
_CAPABILITIES: Final = [Capability.ACK, Capability.PRIORITY, Capability.TEMPLATES, Capability.DELTA]
ID, _EPOCH, NEXT = 7, 1000, 57
_FORM_AT, _FILTER_AT = 19, 2
_SAMPLES: Final = np.array([[100, 104, 110, 118], [-3, -3, -2, 0]], "int16")
_TIME: Final = 1705314645_250000


class NumberedStream:
    """The stream that a client subscribed to, as the suite serves it.

    Attributes:
        name: of the stream.
        template: the only one of its records.
    """

    def __init__(self, peer: ScriptedPeer, name: str) -> None:
        self.name = name
        self.template = Template(1, name, "int16", 2, {"sampling_rate": 250, "leads": ["I", "II"]})
        self._peer = peer

    @property
    def template_frame(self) -> bytes:
        """The template, as the message before the first."""
        fields = self.template.fields_on_the_wire()
        return self._peer.frame(MessageType.STREAM_TEMPLATE, fields, stream_id=ID, sequence=NEXT - 1)

    def record(self) -> bytes:
        """Return the payload of a record."""
        return self.template.encode(_SAMPLES, _TIME)

    async def send(self, number: int, payload: bytes | None = None, flags: Flag | int = Flag.ACK_REQUIRED) -> int:
        """Send a record, and return its timestamp."""
        octets = self.record() if payload is None else payload
        return await self._peer.say(
            MessageType.ECG_DATA, octets, flags=flags, stream_id=ID, sequence=number, form=Form.RECORD
        )

    async def is_taken(self, number: int, **options: Any) -> None:
        """Send a record, and check that it is acknowledged."""
        stamp = await self.send(number, **options)
        pong = await self._peer.hear_one(MessageType.PONG, among=FROM_THE_CLIENT)
        expected = {"ack": stamp, "type": int(MessageType.ECG_DATA)}
        require(pong.data == expected, f"the acknowledgement is {pong.data}; expected {expected}")


def add_numbered_cases(suite: Suite, agree: Agree) -> None:
    """Add the cases. ``agree`` sends an offer and returns the choice of the client."""

    def add(number: str, title: str, section: str, test: Callable[[Agree, ScriptedPeer], Awaitable[None]]) -> None:
        suite.add(number, title, section, partial(test, agree))

    add("6.1", "Offered version 4, it talks in that, with headers of 32 bytes", "Opening", _talks)
    add("6.2", "A frame of version 4 before it is agreed is refused with 0x100, or the server left", _NUMBERS, _waits)
    add("6.3", "A record is read by the template in the answer", _NUMBERS, _reads)
    add("6.4", "A record is read by a template that comes as a message", _NUMBERS, _reads_later)
    add("6.5", "A record of an unknown template gets ERROR 0x200 for the reason template", _RECORDS, _lacks)
    add("6.6", "A record with an undefined filter gets ERROR 0x200, and the connection goes on", _RECORDS, _refuses)
    add("6.7", "A template with another content for its number gets ERROR 0x200", _NUMBERS, _refuses_other)
    add("6.8", "An answer with an id but no epoch gets ERROR 0x201", _NUMBERS, _refuses_half)
    add("6.9", "A frame of an id that was never bound gets ERROR 0x200", _NUMBERS, _refuses_unbound)
    add("6.10", "A frame of an id that is no longer bound is ignored", _NUMBERS, _lets_go)
    add("6.11", "Reserved bits of the form get ERROR 0x200, and the connection is closed", "Form", _refuses_form)
    add("6.12", "It comes back with epoch and after: the number of the last message in line", _NUMBERS, _resumes)
    add("6.13", "What overtook does not count for after", _NUMBERS, _resumes_in_line)
    add("6.14", "What was refused does not count for after", _NUMBERS, _resumes_before_refused)
    add("6.15", "A gap in the numbers does not hold it up", _NUMBERS, _passes_gaps)
    add("6.16", "A number that comes again is acknowledged again", "Acknowledgement", _acknowledges_again)
    add("6.17", "An answer with another epoch begins anew", _NUMBERS, _begins_anew)
    add("6.22", "After catch_up, it goes on where the answer says", "Resume", _takes_the_present_first)


async def _agree_on_4(agree: Agree, peer: ScriptedPeer, wanted: Sequence[Capability] = ()) -> None:
    offered = [*_CAPABILITIES, *wanted]
    chosen = await agree(peer, VERSIONS, capabilities=[str(name) for name in offered])
    if chosen["version"] != 4:
        raise NotApplicable("the client does not speak version 4")
    missing = [str(name) for name in offered if name not in chosen.get("capabilities", ())]
    if missing:
        raise NotApplicable(f"the client does not announce {', '.join(missing)}")


async def granted(
    agree: Agree,
    peer: ScriptedPeer,
    *,
    name: str | None = None,
    with_template: bool = True,
    wanted: Sequence[Capability] = (),
    **changes: Any,
) -> tuple[NumberedStream, dict[str, Any]]:
    """Agree on version 4 and accept the subscription of the client; return the stream, and the SUBSCRIBE.

    Args:
        agree: sends an offer and returns the choice of the client.
        peer: the connection.
        name: of the stream that the client has to subscribe to; None for any.
        with_template: whether the answer has the template.
        wanted: further capabilities that the client has to announce.
        **changes: fields of the answer; those that are None are left out.
    """
    await _agree_on_4(agree, peer, wanted)
    async for message in peer.listen(min(1.0, peer.settings.timeout)):
        if message.type is MessageType.SUBSCRIBE and name in (None, message.data["stream"]):
            stream = NumberedStream(peer, message.data["stream"])
            templates = [stream.template_frame] if with_template else []
            answer = {"id": ID, "epoch": _EPOCH, "next": NEXT, "templates": templates, **changes}
            kept = {key: value for key, value in answer.items() if value is not None}
            await peer.say(MessageType.SUBSCRIPTION_ACK, {"stream": stream.name, "status": "subscribed", **kept})
            return stream, message.data
    raise NotApplicable("the client subscribes to nothing by itself" if name is None else f"it left {name!r}")


async def _comes_back(agree: Agree, peer: ScriptedPeer, stream: NumberedStream, after: int) -> None:
    """Abort the connection, and check that the client resumes after that number."""
    await peer.still_there()
    await peer.reconnect()
    _, wish = await granted(agree, peer, name=stream.name, next=after + 1)
    if wish.get("epoch") is None and wish.get("since") is None:
        raise NotApplicable("it comes back without epoch and since: it began anew, or does not resume")
    found = wish.get("epoch"), wish.get("after")
    require(found == (_EPOCH, after), f"epoch and after are {found}; expected {(_EPOCH, after)}")


async def _talks(agree: Agree, peer: ScriptedPeer) -> None:
    await _agree_on_4(agree, peer)
    await peer.say(MessageType.PING, "which version?")
    pong = await peer.hear_one(MessageType.PONG, among=FROM_THE_CLIENT)
    require(pong.version == 4, f"version 4 was agreed; PONG came in version {pong.version}")
    found = (pong.form, pong.stream_id, pong.sequence)
    require(found == (0, 0, 0), f"form, stream and sequence of PONG are {found}")


async def _waits(agree: Agree, peer: ScriptedPeer) -> None:
    await peer.send(peer.frame(MessageType.PING, None, version=4))
    if await peer.is_left():
        return
    await peer.hear_error(ErrorCode.INVALID_PROTOCOL_VERSION)


async def _reads(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await stream.is_taken(NEXT)


async def _reads_later(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer, with_template=False)
    fields = stream.template.fields_on_the_wire()
    await peer.say(MessageType.STREAM_TEMPLATE, fields, stream_id=ID, sequence=NEXT)
    await stream.is_taken(NEXT + 1)


async def _lacks(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer, with_template=False)
    await stream.send(NEXT)
    error = await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    details = error.data.get("details")
    reason = details.get("reason") if isinstance(details, dict) else None
    require(reason == "template", f"the reason of the ERROR is {reason!r}")
    await peer.expect_silence("one ERROR is enough for one record", among=FROM_THE_CLIENT)


async def _refuses(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await _send_undefined_filter(stream, NEXT)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    await peer.expect_silence("one ERROR is enough for one record", among=FROM_THE_CLIENT)


async def _send_undefined_filter(stream: NumberedStream, number: int) -> None:
    payload = bytearray(stream.record())
    payload[_FILTER_AT] = 9
    await stream.send(number, bytes(payload))


async def _refuses_other(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    other = {**stream.template.fields_on_the_wire(), "rows": 3}
    await peer.say(MessageType.STREAM_TEMPLATE, other, stream_id=ID, sequence=NEXT)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)


async def _refuses_half(agree: Agree, peer: ScriptedPeer) -> None:
    await granted(agree, peer, epoch=None)
    await peer.hear_error(ErrorCode.MISSING_REQUIRED_FIELDS, among=FROM_THE_CLIENT)
    await peer.expect_silence("one ERROR is enough for one answer", among=FROM_THE_CLIENT)


async def _refuses_unbound(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    data = {"signal": [0.5], "sampling_rate": 250, "stream": stream.name}
    await peer.say(MessageType.ECG_DATA, data, stream_id=LARGEST_STREAM_ID, sequence=1)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    await peer.expect_silence("one ERROR is enough for one frame", among=FROM_THE_CLIENT)


async def _lets_go(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    data = {"signal": [0.5], "sampling_rate": 250, "stream": stream.name}
    await peer.say(MessageType.ECG_DATA, data, stream_id=ID - 1, sequence=1)
    await peer.expect_silence("a frame of an id below the largest bound one is ignored", among=FROM_THE_CLIENT)


async def _refuses_form(agree: Agree, peer: ScriptedPeer) -> None:
    await _agree_on_4(agree, peer)
    frame = bytearray(peer.frame(MessageType.PING, None))
    frame[_FORM_AT] = 0x08
    await peer.send(bytes(frame))
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    await peer.hear_close(CloseCode.PROTOCOL_ERROR, or_within=_OF_BROWSERS)


async def _resumes(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    for number in (NEXT, NEXT + 1):
        await stream.is_taken(number)
    await _comes_back(agree, peer, stream, NEXT + 1)


async def _resumes_in_line(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await stream.is_taken(NEXT)
    alert = {"kind": "asystole", "timestamp": 1705314645.25, "stream": stream.name}
    await peer.say(MessageType.ANOMALY_ALERT, alert, flags=Flag.PRIORITY, stream_id=ID, sequence=NEXT + 2)
    await _comes_back(agree, peer, stream, NEXT)


async def _resumes_before_refused(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await stream.is_taken(NEXT)
    await _send_undefined_filter(stream, NEXT + 1)
    await peer.hear_error(ErrorCode.INVALID_DATA_FORMAT, among=FROM_THE_CLIENT)
    await _comes_back(agree, peer, stream, NEXT)


async def _passes_gaps(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    for number in (NEXT, NEXT + 5):
        await stream.is_taken(number)
    await _comes_back(agree, peer, stream, NEXT + 5)


async def _acknowledges_again(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    frame = peer.frame(
        MessageType.ECG_DATA,
        stream.record(),
        flags=Flag.ACK_REQUIRED,
        stream_id=ID,
        sequence=NEXT,
        form=Form.RECORD,
    )
    for _ in range(2):
        await peer.send(frame)
        await peer.hear_one(MessageType.PONG, among=FROM_THE_CLIENT)


async def _begins_anew(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await stream.is_taken(NEXT)
    await peer.still_there()
    await peer.reconnect()
    await granted(agree, peer, name=stream.name, epoch=_EPOCH + 1, next=3, with_template=False)
    fields = stream.template.fields_on_the_wire()
    await peer.say(MessageType.STREAM_TEMPLATE, fields, stream_id=ID, sequence=3)
    await stream.is_taken(4)


async def _takes_the_present_first(agree: Agree, peer: ScriptedPeer) -> None:
    stream, _ = await granted(agree, peer)
    await stream.is_taken(NEXT)
    await peer.still_there()
    await peer.reconnect()
    _, wish = await granted(agree, peer, name=stream.name, next=NEXT + 100)
    require_catch_up(wish)
    await stream.is_taken(NEXT + 100)
    await _comes_back(agree, peer, stream, NEXT + 100)

"""The templates seen in a source, for each direction of each connection. Its records are decoded with them.

Unlike a session, an observer does not check the order: a capture may begin in the middle of a connection, and a file of
frames has no answers that bind its streams. So a later template replaces an earlier one of the same number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..codec import Codec, Message
from ..errors import ProtocolError
from ..messages.templates import Template
from ..protocol import MAX_TEMPLATE_PAYLOAD, MessageType
from ..session.frame_reader import KeptPayload

if TYPE_CHECKING:
    from .observation import Origin

MOST_SEEN: Final = 4096
"""Maximum number of templates that are kept in packed form, for all connections together: those that were used last."""

READY: Final = 64
"""Maximum number of them that are kept unpacked as well."""

_WORK: Final = 120
_BYTES_A_VALUE: Final = 4

Key = tuple[str | None, str | None, bool | None, int, int]
"""Client, server, direction, stream id, number of the template."""


class SeenTemplates:
    """The templates of all connections of a source.

    Args:
        opened: returns the frame of a template as it was before it was sealed, or as it is.

    Attributes:
        work: values that the templates which were unpacked so far count as, for ``Budget.work``.
    """

    def __init__(self, opened: Callable[[bytes], bytes] | None = None) -> None:
        self._opened = opened
        self._packed: OrderedDict[Key, bytes] = OrderedDict()
        self._ready: OrderedDict[Key, Template] = OrderedDict()
        self._codec = Codec(max_payload=MAX_TEMPLATE_PAYLOAD)
        self.work = 0

    def of(self, origin: Origin) -> Mapping[tuple[int, int], Template]:
        """Return the templates of one direction of a connection, for ``Codec.decode``."""
        return _OfOne(self, origin)

    def note(self, frame: bytes, message: Message, origin: Origin) -> None:
        """Note the templates in a message: a STREAM_TEMPLATE, or the answer to a SUBSCRIBE.

        Args:
            frame: the message as it travelled.
            message: the same, decoded, its fields checked.
            origin: of the message.
        """
        if message.version < 4:
            return
        if message.type is MessageType.STREAM_TEMPLATE:
            self._add(frame, origin)
        elif message.type is MessageType.SUBSCRIPTION_ACK:
            for held in message.data.get("templates", ()):
                with suppress(ProtocolError):  # a receiver refuses the answer; the bytes of it are shown
                    self._add(held if self._opened is None else self._opened(held), origin)

    def find(self, origin: Origin, stream_id: int, number: int) -> Template | None:
        """Return a template, or None if it was not seen."""
        key = _key(origin, stream_id, number)
        packed = self._packed.get(key)
        if packed is None:
            return None
        self._packed.move_to_end(key)
        template = self._ready.get(key)
        if template is None:
            template = self._ready[key] = self._unpack(packed)
            if len(self._ready) > READY:
                self._ready.popitem(last=False)
        return template

    def _unpack(self, payload: bytes) -> Template:
        template = Template.unpack(payload)
        self.work += _WORK + len(payload) // _BYTES_A_VALUE + template.rows
        return template

    def _add(self, frame: bytes, origin: Origin) -> None:
        self.work += _WORK
        kept = KeptPayload()
        message = self._codec.decode(frame, kept)
        if message.version < 4 or message.type is not MessageType.STREAM_TEMPLATE or message.data["template"] == 0:
            return  # a receiver refuses it; or it opens a stream
        template = self._unpack(kept.payload)
        key = _key(origin, message.stream_id or 0, template.number)
        self._packed[key] = template.payload
        self._packed.move_to_end(key)
        self._ready.pop(key, None)
        if len(self._packed) > MOST_SEEN:
            self._ready.pop(self._packed.popitem(last=False)[0], None)


class _OfOne(Mapping[tuple[int, int], Template]):
    """The templates of one direction, by stream id and number."""

    def __init__(self, seen: SeenTemplates, origin: Origin) -> None:
        self._seen = seen
        self._origin = origin

    def __getitem__(self, key: tuple[int, int]) -> Template:
        template = self._seen.find(self._origin, *key)
        if template is None:
            raise KeyError(key)
        return template

    def __iter__(self) -> Iterator[tuple[int, int]]:
        raise TypeError("these are looked up, one by one")

    def __len__(self) -> int:
        raise TypeError("these are looked up, one by one")


def _key(origin: Origin, stream_id: int, number: int) -> Key:
    return origin.client, origin.server, origin.from_server, stream_id, number

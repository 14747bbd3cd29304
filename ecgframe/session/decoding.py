"""A WebSocket message that takes long to decode: to be decoded in any thread, and then received."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from ..protocol import MAX_BATCH_FRAMES

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..codec import Codec, Message


class Decoding:
    """What ``Session.begin_to_receive`` gives for a large message, and ``finish_receiving`` takes once it has run.

    Attributes:
        nbytes: of the WebSocket message.
        items: what ``run`` made of it: messages, and the errors of frames that are broken.
    """

    __slots__ = ("_codec", "_data", "items", "nbytes")

    def __init__(self, codec: Codec, data: Buffer, nbytes: int) -> None:
        self.nbytes = nbytes
        self.items: list[Message | ProtocolError] = []
        self._codec = codec
        self._data = data

    def run(self) -> None:
        """Decode the message. It raises nothing that depends on the message."""
        try:
            self.items = [self._codec.decode(self._data)]
        except ProtocolError:  # several frames, or one that is damaged
            # One more than may be, so that the receiver sees that they are too many.
            self.items = list(islice(self._codec.decode_each(self._data), MAX_BATCH_FRAMES + 1))

"""One WebSocket message to decode in a thread, as a job. ``ecgframe.codec`` does the decoding.

A session hands out the job for a message that takes long to decode, and receives its result when it has run.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from ..protocol import LAST_FATAL_CHECK, MAX_BATCH_FRAMES

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..codec import Codec
    from .meter import Decoded, FrameMeter


class Decoding:
    """A job: ``Session.begin_to_receive`` returns it for a large message; ``finish_receiving`` takes it after ``run``.

    Attributes:
        nbytes: bytes of the WebSocket message.
        meter: measures what the message costs to decode.
        items: the result of ``run``: messages, and errors of broken or refused frames.
        seconds: seconds of processor time that ``run`` took; set by the owner, who has a clock.
    """

    __slots__ = ("_codec", "_data", "items", "meter", "nbytes", "seconds")

    def __init__(self, codec: Codec, data: Buffer, nbytes: int, meter: FrameMeter) -> None:
        self.nbytes = nbytes
        self.meter = meter
        self.items: list[Decoded] = []
        self.seconds = 0.0
        self._codec = codec
        self._data = data

    def run(self) -> None:
        """Decode the message. It raises nothing that depends on the message."""
        self.meter.begin()
        self.items = decode_items(self._codec, self._data, self.meter)


def decode_items(codec: Codec, data: Buffer, meter: FrameMeter) -> list[Decoded]:
    """Decode the frames of a WebSocket message: messages, and errors of frames that are broken or refused."""
    try:
        return [meter.item(codec.decode(data, meter, meter.templates, meter.opener))]
    except ProtocolError as error:
        if error.check is None or error.check > LAST_FATAL_CHECK:
            return [meter.item(error)]
    # Several frames, or a damaged one. Decode one more than allowed, so that the receiver sees that there are too many.
    items = codec.decode_each(data, meter, meter.templates, meter.opener)
    return [meter.item(item) for item in islice(items, MAX_BATCH_FRAMES + 1)]

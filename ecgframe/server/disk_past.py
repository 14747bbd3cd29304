"""What a viewer has asked for, from the history on disk: messages of one file, with numbers of their own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..protocol import Form
from ..session import Binding, HistoryPart, StreamPosition
from .history import Ring, RingsLimit
from .playback import Past
from .publication import Publication

if TYPE_CHECKING:
    from ..session import HistoryRequested, Settings
    from .disk_history import DiskHistory
    from .stream import Stream

_FOREVER = 2**62
"""A time that is never reached, in microseconds."""


async def past_on_disk(
    disk: DiskHistory, stream: Stream, request: HistoryRequested, epoch_id: int, settings: Settings
) -> Past | None:
    """Read the first messages in the range that are older than those in the ring.

    Args:
        disk: has them.
        stream: the stream.
        request: what the viewer has asked for.
        epoch_id: for the numbers of the messages; nothing else has it.
        settings: for their encodings.

    Returns:
        None if there are none, so that the viewer gets what is in the ring.

    Raises:
        HistoryBusy: too much is being sent from disk.
    """
    oldest = stream.ring.oldest
    wanted = _FOREVER if request.stop is None else request.stop
    stop = wanted if oldest is None else min(wanted, oldest - 1)
    piece = None if stop < request.start else await disk.read(stream.name, request.start, stop)
    if piece is None:
        return None
    ring = Ring(math.inf, _FOREVER, RingsLimit(_FOREVER))
    for number, encoded in piece.frames:
        publication = Publication(stream.name, encoded.timestamp or 0, encoded, settings)
        publication.set_position(StreamPosition(epoch_id, number, int(Form.BULK)), None)
        ring.append(publication, 0.0)
    more = piece.more
    if more is None and oldest is not None and oldest <= wanted:
        more = oldest
    return Past(
        ring,
        epoch_id,
        HistoryPart(Binding(epoch_id, piece.epoch, piece.next), piece.end, more),
        lambda: disk.release(piece),
    )

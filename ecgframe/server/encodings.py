"""Encodes large publications in a thread, for viewers whose encoding is not the canonical one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..background.threads import in_thread
from ..session import Encoding, Outgoing
from .logs import log_failure
from .publication import Publication

Then = Callable[[Outgoing | None], None]
"""Called with the frame, or None if encoding failed, which has been logged."""


class Encodings:
    """Encodes publications of a handler in a thread, each only once even if several viewers wait for it.

    Args:
        note_encoded: called for each frame.
    """

    __slots__ = ("_note_encoded", "_under_way")

    def __init__(self, note_encoded: Callable[[], None]) -> None:
        self._note_encoded = note_encoded
        self._under_way: dict[tuple[Publication, Encoding], list[Then]] = {}

    def prepare(self, publication: Publication, encoding: Encoding, then: Then) -> None:
        """Encode a publication in a thread, and call ``then`` in a later turn of the event loop.

        The publication does not keep the frame; ``then`` has to call ``Publication.keep``.

        Args:
            publication: the message.
            encoding: the encoding of the viewers.
            then: called with the frame.
        """
        key = publication, publication.needed(encoding)
        if (waiting := self._under_way.get(key)) is not None:
            waiting.append(then)
            return
        self._under_way[key] = [then]
        encoded = in_thread(publication.encode, key[1])
        encoded.add_done_callback(lambda done: self._hand_out(key, done))

    def _hand_out(self, key: tuple[Publication, Encoding], done: asyncio.Future[Outgoing]) -> None:
        outgoing: Outgoing | None = None
        if not done.cancelled():
            if error := done.exception():
                log_failure("encoding for some viewers", error, stream=key[0].stream, timestamp=key[0].timestamp)
            else:
                outgoing = done.result()
                self._note_encoded()
        for then in self._under_way.pop(key):
            then(outgoing)

"""The numbers of one stream in version 4: its id and epoch, the next number, and the templates of its records.

Section "Streams by number" of the specification. Without a viewer that reads records, none are made.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections import deque
from typing import Any, Final, NamedTuple

from ..errors import ProtocolError
from ..exact import ExactSamples
from ..messages.templates import Content, Scale, Template, record_content, template_key
from ..protocol import (
    LARGEST_SEQUENCE,
    LARGEST_TEMPLATE,
    TEMPLATES_IN_FORCE,
    TEMPLATES_PER_MINUTE,
    MessageType,
)
from ..session import Binding, Encoding, Outgoing, Settings, StreamPosition, encode_outgoing
from ..session.outgoing import encoding_for

MINUTE: Final = 60.0

ALL_TEMPLATES: Final = 64 * 1024 * 1024
"""Bytes of memory that the templates of all streams of a server may take; beyond, messages travel as MessagePack."""

_KEPT_PACKED: Final = 3
"""How often a template is kept packed besides: in its key, in its frame as a message, and in answers."""

_OVERHEAD: Final = 1024
"""Bytes of memory of the objects that hold these, at most."""

KEPT_NUMBERS: Final = 4096
"""Templates of a stream of whose numbers the server knows that they were templates."""

_PLAIN: Final[Encoding] = encoding_for(4, frozenset())
"""The encoding of templates, which are small: every peer of version 4 reads it."""


class TemplatesLimit:
    """A limit on the memory of the templates of all streams together.

    Args:
        limit: bytes.

    Attributes:
        used: bytes of memory that all templates take, unpacked and packed.
    """

    def __init__(self, limit: int = ALL_TEMPLATES) -> None:
        self.limit = limit
        self.used = 0


class InForce(NamedTuple):
    """A template and its place in the stream.

    Attributes:
        template: the template.
        number: its number as a message of the stream.
        outgoing: its frame.
    """

    template: Template
    number: int
    outgoing: Outgoing


class Record(NamedTuple):
    """A message as a record.

    Attributes:
        template: by which it is read.
        payload: with the filter that is smaller.
    """

    template: Template
    payload: bytes


class Numbering:
    """The numbers of a stream. It outlives ``Stream`` objects, which are forgotten when nothing needs them.

    Args:
        name: of the stream.
        id: of the stream; no other stream or epoch of this server ever has it.
        limit: shared by all streams.

    Attributes:
        id: as passed.
        epoch: which life of the numbers.
        next: the number of the next message.
        makes_records: whether records are made: a viewer has been there that reads them.
    """

    def __init__(self, name: str, id: int, limit: TemplatesLimit) -> None:
        self.id = id
        self.epoch = 1 + secrets.randbelow(LARGEST_SEQUENCE)
        self.next = 1
        self.makes_records = False
        self._name = name
        self._limit = limit
        self._exact: ExactSamples | None = None
        self._latest = 0  # the largest number of a template
        self._templates: deque[InForce] = deque()
        self._by_key: dict[bytes, Template] = {}  # those that are written with, the oldest first
        self._made_at: deque[float] = deque()
        self._numbers: deque[int] = deque(maxlen=KEPT_NUMBERS)

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        position = StreamPosition(self.id, self.next)
        self.next += 1
        return position

    def binding(self, next: int) -> Binding:
        """Return what a viewer is told whose first message has the number ``next``."""
        before = [one.outgoing.frame for one in self._templates if one.number < next]
        return Binding(self.id, self.epoch, next, tuple(before[-TEMPLATES_IN_FORCE:]))

    def templates_within(self, first: int, end: int) -> int:
        """Count the templates among the messages from the number ``first`` to the one before ``end``."""
        numbers = list(self._numbers)
        return bisect_left(numbers, end) - bisect_left(numbers, first)

    def record_of(
        self, data: Any, now: float, *, exact: bool, max_payload: int
    ) -> tuple[Record | None, Template | None]:
        """Make a record of an ECG_DATA map.

        Args:
            data: the map.
            now: in seconds of the loop's clock.
            exact: whether to look for the counts behind floats.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record, and its template if that is new: ``encode_template`` has to come before the record, and
            ``write_with`` after the template was sent. None, None if the message has to travel as MessagePack.
        """
        found = self._content_of(data, exact=exact)
        if found is None:
            return None, None
        content, missing, scale = found
        try:
            template = self._by_key.get(template_key(content, missing=missing, scale=scale))
            is_new = template is None
            if template is None:
                if not self._may_make(now):
                    return None, None
                template = Template.of(content, self._latest + 1, self._name, missing=missing, scale=scale)
                if self._limit.used + _memory_of(template) > self._limit.limit:
                    return None, None
            payload = template.encode(content.signal, content.time, content.sequence, max_payload=max_payload)
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None  # its fields are more than a template has; MessagePack carries them
        return Record(template, payload), template if is_new else None

    def encode_template(self, template: Template, timestamp: int, settings: Settings) -> Outgoing | None:
        """Encode a new template, and give it the next number.

        Args:
            template: from ``record_of``.
            timestamp: in microseconds since 1970.
            settings: for encoding.

        Returns:
            Its frame; None, and nothing has changed, if it cannot be sent. Then its records cannot be sent either.
        """
        try:
            outgoing = encode_outgoing(
                _PLAIN,
                MessageType.STREAM_TEMPLATE,
                template.fields_on_the_wire(),
                timestamp=timestamp,
                settings=settings,
                stream=self._name,
                position=StreamPosition(self.id, self.next),
            )
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None
        self._latest = template.number
        self._numbers.append(self.take().number)
        return outgoing

    def write_with(self, template: Template, outgoing: Outgoing, oldest: int, now: float) -> None:
        """Write records with a template, which was sent.

        Args:
            template: from ``record_of``.
            outgoing: its frame.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.
            now: in seconds of the loop's clock.
        """
        assert outgoing.number is not None, "templates are numbered"
        self._made_at.append(now)
        self._by_key[template.key] = template
        if len(self._by_key) > TEMPLATES_IN_FORCE:
            del self._by_key[next(iter(self._by_key))]
        self._templates.append(InForce(template, outgoing.number, outgoing))
        self._limit.used += _memory_of(template)
        while sum(one.number < oldest for one in self._templates) > TEMPLATES_IN_FORCE:
            self._drop_oldest()

    def close(self) -> None:
        """Give up the templates: the stream is forgotten for good."""
        while self._templates:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._limit.used -= _memory_of(self._templates.popleft().template)

    def _content_of(self, data: Any, *, exact: bool) -> tuple[Content, int | None, Scale | None] | None:
        missing = scale = None
        if exact and isinstance(data, dict):
            if self._exact is None:
                self._exact = ExactSamples()
            counts = self._exact.take(data.get("signal"))
            if counts is not None:
                data = {**data, "signal": counts.counts}
                missing, scale = counts.missing, counts.scale
        content = record_content(data, self._name)
        return None if content is None else (content, missing, scale)

    def _may_make(self, now: float) -> bool:
        """Return whether another template may be made now."""
        while self._made_at and self._made_at[0] <= now - MINUTE:
            self._made_at.popleft()
        return len(self._made_at) < TEMPLATES_PER_MINUTE and self._latest < LARGEST_TEMPLATE


def _memory_of(template: Template) -> int:
    """Bytes of memory that a template takes here, at most: unpacked, packed, and the objects around it."""
    return template.nbytes + _KEPT_PACKED * len(template.payload) + _OVERHEAD

"""The numbers of one stream in version 4: its id and epoch, the next number, and the templates of its records.

Section "Streams by number" of the specification. Without a viewer that reads records, none are made.
"""

from __future__ import annotations

import secrets
from collections import deque
from itertools import islice
from typing import Any, Final, NamedTuple

from ..errors import ProtocolError
from ..exact import ExactSamples
from ..messages.templates import Template
from ..protocol import LARGEST_SEQUENCE, TEMPLATES_IN_FORCE, MessageType
from ..session import Binding, Encoding, Outgoing, Settings, StreamPosition, encode_outgoing
from ..session.outgoing import encoding_for
from ..session.record_writer import Counts, Record, RecordWriter
from .publisher import Publisher

ALL_TEMPLATES: Final = 64 * 1024 * 1024
"""Bytes of memory that the templates of all streams of a server may take; beyond, messages travel as MessagePack."""

_KEPT_PACKED: Final = 3
"""How often a template is kept packed besides: in its key, in its frame as a message, and in answers."""

_OVERHEAD: Final = 1024
"""Bytes of memory of the objects that hold these, at most."""

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


class Numbering:
    """The numbers of a stream. It outlives ``Stream`` objects, which are forgotten when nothing needs them.

    Args:
        name: of the stream.
        id: of the stream; no other stream or epoch of this server ever has it.
        limit: shared by all streams.

    Attributes:
        id: of the stream in the present epoch.
        epoch: which life of the numbers.
        makes_records: whether records are made: a viewer has been there that reads them.
        publisher: who has opened the stream and gives it its numbers; None if the server does.
        ended: the epoch before, and the number of the message that would have been next in it; None before the second.
    """

    def __init__(self, name: str, id: int, limit: TemplatesLimit) -> None:
        self.id = id
        self.epoch = 1 + secrets.randbelow(LARGEST_SEQUENCE)
        self.makes_records = False
        self.publisher: Publisher | None = None
        self.ended: tuple[int, int] | None = None
        self._next = 1
        self._name = name
        self._limit = limit
        self._exact: ExactSamples | None = None
        self._writer = RecordWriter(name, self._has_memory_for)
        self._templates: deque[InForce] = deque()

    @property
    def next(self) -> int:
        """The number of the next message in line."""
        return self._next if self.publisher is None else self.publisher.line + 1

    def begin_epoch(self, id: int, publisher: Publisher | None = None) -> None:
        """End the present epoch, and begin another.

        Args:
            id: of the stream in it.
            publisher: who opens the stream; None if the server goes on to number it.
        """
        self.close()
        self.ended = self.epoch, self.next
        self.id = id
        self.epoch = 1 + secrets.randbelow(LARGEST_SEQUENCE) if publisher is None else publisher.epoch
        self.publisher = publisher
        self._next = 1
        self._writer = RecordWriter(self._name, self._has_memory_for)

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        position = StreamPosition(self.id, self._next)
        self._next += 1
        return position

    def binding(self, next: int) -> Binding:
        """Return what a viewer is told whose first message has the number ``next``."""
        before = [one.outgoing.frame for one in self._templates if one.number < next]
        return Binding(self.id, self.epoch, next, tuple(before[-TEMPLATES_IN_FORCE:]))

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
        counts: Counts | None = None
        if exact and isinstance(data, dict):
            if self._exact is None:
                self._exact = ExactSamples()
            found = self._exact.take(data.get("signal"))
            if found is not None:
                counts = Counts({**data, "signal": found.counts}, found.missing, found.scale)
        return self._writer.record_of(data, now, counts=counts, max_payload=max_payload)

    def encode_template(self, template: Template, timestamp: int, settings: Settings) -> Outgoing | None:
        """Encode a new template, and give it the next number.

        Args:
            template: from ``record_of``.
            timestamp: in microseconds since 1970.
            settings: for encoding.

        Returns:
            Its frame; None, and nothing has changed, if it cannot be sent. Then its records cannot be sent either.
        """
        outgoing = self.encode_template_at(self._next, template, timestamp, settings)
        if outgoing is not None:
            self._writer.latest = template.number
            self._next += 1
        return outgoing

    def encode_template_at(
        self, number: int, template: Template, timestamp: int, settings: Settings
    ) -> Outgoing | None:
        """Encode a template whose number in the stream is known. Arguments and result are those of the above."""
        try:
            return encode_outgoing(
                _PLAIN,
                MessageType.STREAM_TEMPLATE,
                template.fields_on_the_wire(),
                timestamp=timestamp,
                settings=settings,
                stream=self._name,
                position=StreamPosition(self.id, number),
            )
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None

    def write_with(self, template: Template, outgoing: Outgoing, oldest: int, now: float) -> None:
        """Write records with a template, which was sent. Arguments are those of ``keep``, and the loop's time."""
        self._writer.write_with(template, now)
        self.keep(template, outgoing, oldest)

    def keep(self, template: Template, outgoing: Outgoing, oldest: int) -> None:
        """Keep a template that was sent, for viewers to come.

        Args:
            template: the template.
            outgoing: its frame.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.
        """
        assert outgoing.number is not None, "templates are numbered"
        self._templates.append(InForce(template, outgoing.number, outgoing))
        self._limit.used += _memory_of(template)
        while sum(one.number < oldest for one in self._templates) > TEMPLATES_IN_FORCE:
            self._drop_oldest()

    def keep_opened(self, template: Template, outgoing: Outgoing, oldest: int) -> None:
        """Keep a template of the publisher, if there is memory for it; records of others are sent as maps."""
        if self._has_memory_for(template):
            self.keep(template, outgoing, oldest)

    def in_force(self, number: int) -> Template | None:
        """Return one of the 16 latest templates by its number; None if it is not among them."""
        latest = islice(reversed(self._templates), TEMPLATES_IN_FORCE)
        return next((one.template for one in latest if one.template.number == number), None)

    def known(self, number: int) -> Template | None:
        """Return a template that is kept, by its number; None if there is none."""
        return next((one.template for one in self._templates if one.template.number == number), None)

    def close(self) -> None:
        """Give up the templates: the stream, or its epoch, is forgotten for good."""
        while self._templates:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._limit.used -= _memory_of(self._templates.popleft().template)

    def _has_memory_for(self, template: Template) -> bool:
        return self._limit.used + _memory_of(template) <= self._limit.limit


def _memory_of(template: Template) -> int:
    """Bytes of memory that a template takes here, at most: unpacked, packed, and the objects around it."""
    return template.nbytes + _KEPT_PACKED * len(template.payload) + _OVERHEAD

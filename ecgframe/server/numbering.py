"""The numbers of one stream in version 4: its id and epoch, the next number, and the templates of its records.

Section "Streams by number" of the specification. Without a viewer that reads records, none are made.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from itertools import count
from operator import attrgetter
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

KEPT_EPOCHS: Final = 64
"""Earlier epochs of a stream whose messages may still be sent to viewers that catch up."""

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


class Wanted(NamedTuple):
    """What a template is to be made of that has no number yet.

    Attributes:
        content: of the message that needs it.
        missing: see ``Template``.
        scale: see ``Template``.
        key: see ``Template``.
    """

    content: Content
    missing: int | None
    scale: Scale | None
    key: bytes


class Epoch:
    """One life of the numbers of a stream.

    Args:
        id: of the stream in this epoch; no other stream or epoch of this server ever has it.
        epoch: its name. Two lives of one name are the same epoch, which was left and taken up again.
        next: the number of the next message.
        limit: shared by all streams.

    Attributes:
        id: as passed.
        epoch: as passed.
        next: the number of the next message.
        latest: the largest number of a template.
    """

    def __init__(self, id: int, epoch: int, next: int, limit: TemplatesLimit) -> None:
        self.id = id
        self.epoch = epoch
        self.next = next
        self.latest = 0
        self._limit = limit
        self._templates: deque[InForce] = deque()
        self._by_key: dict[bytes, Template] = {}  # those that are written with, the oldest first

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        position = StreamPosition(self.id, self.next)
        self.next += 1
        return position

    def find(self, key: bytes) -> Template | None:
        """Return the template with that key among those to write with."""
        return self._by_key.get(key)

    def binding(self, next: int) -> Binding:
        """Return what a viewer is told whose first message has the number ``next``."""
        before = [one.outgoing.frame for one in self._templates if one.number < next]
        return Binding(self.id, self.epoch, next, tuple(before[-TEMPLATES_IN_FORCE:]))

    def write_with(self, template: Template, outgoing: Outgoing, number: int, oldest: int) -> None:
        """Write records with a template from now on.

        Args:
            template: the template.
            outgoing: its frame.
            number: of the template in the stream.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.
        """
        self.latest = max(self.latest, template.number)
        is_latest = not self._templates or self._templates[-1].number < number
        self._by_key[template.key] = template
        self._templates.append(InForce(template, number, outgoing))
        if not is_latest:
            self._templates = deque(sorted(self._templates, key=attrgetter("number")))
            self._by_key = {one.template.key: one.template for one in self._templates}
        while len(self._by_key) > TEMPLATES_IN_FORCE:
            del self._by_key[next(iter(self._by_key))]
        self._limit.used += _memory_of(template)
        while sum(one.number < oldest for one in self._templates) > TEMPLATES_IN_FORCE:
            self._drop_oldest()

    def has(self, number: int) -> bool:
        """Return whether the template with that number in the stream is known."""
        return any(one.number == number for one in self._templates)

    def end(self) -> None:
        """Note that no more messages come: nothing is written any more, but its templates are still sent."""
        self._by_key.clear()

    def close(self) -> None:
        """Give up the templates."""
        while self._templates:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._limit.used -= _memory_of(self._templates.popleft().template)


class Numbering:
    """The numbers of a stream. It outlives ``Stream`` objects, which are forgotten when nothing needs them.

    Without another server, there is one epoch. Servers that share Redis take the epochs and numbers from there, and
    each has epochs of its own for messages without numbers.

    Args:
        name: of the stream.
        id: of the stream in its first epoch.
        limit: shared by all streams.
        draw_id: returns an id that no other stream or epoch of this server has.

    Attributes:
        makes_records: whether records are made: a viewer has been there that reads them.
        present: the epoch of new messages.
        is_shared: whether other servers have the numbers of the present epoch, too.
    """

    def __init__(self, name: str, id: int, limit: TemplatesLimit, draw_id: Callable[[], int] | None = None) -> None:
        self.makes_records = False
        self.is_shared = False
        self.present = Epoch(id, _fresh_epoch(), 1, limit)
        self._earlier: deque[Epoch] = deque()
        self._name = name
        self._limit = limit
        self._draw_id = draw_id or count(id + 1).__next__
        self._exact: ExactSamples | None = None
        self._made_at: deque[float] = deque()
        self._wanted: dict[bytes, None] = {}

    @property
    def id(self) -> int:
        """Number of the stream in its present epoch."""
        return self.present.id

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self.present.epoch

    @property
    def next(self) -> int:
        """The number of the next message."""
        return self.present.next

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        return self.present.take()

    def binding(self, next: int) -> Binding:
        """Return what a viewer is told whose first message has the number ``next`` of the present epoch."""
        return self.present.binding(next)

    # --- epochs ---

    def find(self, id: int) -> Epoch | None:
        """Return the epoch with that id, if one of its messages may still be kept."""
        if self.present.id == id:
            return self.present
        return next((one for one in self._earlier if one.id == id), None)

    def ids_of(self, epoch: int) -> set[int]:
        """Return the ids of an epoch, by its name."""
        return {one.id for one in (*self._earlier, self.present) if one.epoch == epoch}

    def begin(self, epoch: int | None, next: int) -> None:
        """Begin another epoch: that of a message of another server, or one of this server if it is None."""
        self.present.end()
        self._earlier.append(self.present)
        self.present = Epoch(self._draw_id(), epoch or _fresh_epoch(), next, self._limit)
        self.is_shared = epoch is not None
        self._wanted.clear()

    def forget_before(self, id: int) -> None:
        """Forget the epochs before the one with that id: none of their messages is kept."""
        while self._earlier and (self._earlier[0].id < id or len(self._earlier) > KEPT_EPOCHS):
            self._earlier.popleft().close()

    # --- records ---

    def record_of(
        self, data: Any, now: float, *, exact: bool, max_payload: int
    ) -> tuple[Record | None, Template | None]:
        """Make a record of an ECG_DATA map, with a template that this server numbers.

        Args:
            data: the map.
            now: in seconds of the loop's clock.
            exact: whether to look for the counts behind floats.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record, and its template if that is new: ``encode_template`` has to come before the record, and
            ``write_with`` after the template was sent. None, None if the message has to travel as MessagePack.
        """
        record, wanted = self.shared_record_of(data, now, exact=exact, max_payload=max_payload)
        if wanted is None:
            return record, None
        try:
            template = self.make_template(wanted, self.present.latest + 1)
            payload = _payload_of(template, wanted.content, max_payload)
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None
        return Record(template, payload), template

    def shared_record_of(
        self, data: Any, now: float, *, exact: bool, max_payload: int
    ) -> tuple[Record | None, Wanted | None]:
        """Make a record of an ECG_DATA map, with a template that is there already.

        Args:
            data: the map.
            now: in seconds of the loop's clock.
            exact: whether to look for the counts behind floats.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record; if there is none because its template is not there, what that has to be made of.
        """
        found = self._content_of(data, exact=exact)
        if found is None:
            return None, None
        content, missing, scale = found
        try:
            key = template_key(content, missing=missing, scale=scale)
            template = self.present.find(key)
            if template is not None:
                return Record(template, _payload_of(template, content, max_payload)), None
            wanted = Wanted(content, missing, scale, key)
            if key in self._wanted or not self._may_make(now):
                return None, None
            trial = self.make_template(wanted, LARGEST_TEMPLATE)
            if self._limit.used + _memory_of(trial) > self._limit.limit:
                return None, None
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None  # its fields are more than a template has; MessagePack carries them
        return None, wanted

    def make_template(self, wanted: Wanted, number: int) -> Template:
        """Make a template. Raises as the constructor of ``Template``."""
        return Template.of(wanted.content, number, self._name, missing=wanted.missing, scale=wanted.scale)

    def await_template(self, wanted: Wanted, now: float) -> None:
        """Note that a template is on its way: no other is made of the same."""
        self._wanted[wanted.key] = None
        self._made_at.append(now)

    def await_no_longer(self, wanted: Wanted) -> None:
        """Note that a template was published, or was not."""
        self._wanted.pop(wanted.key, None)

    def encode_template(self, template: Template, timestamp: int, settings: Settings) -> Outgoing | None:
        """Encode a new template, and give it the next number.

        Args:
            template: from ``record_of``, or one that another server has made.
            timestamp: in microseconds since 1970.
            settings: for encoding.

        Returns:
            Its frame; None, and nothing has changed, if it cannot be sent. Then its records cannot be sent either.
        """
        outgoing = self.encode_template_at(template, StreamPosition(self.id, self.next), timestamp, settings)
        if outgoing is None:
            return None
        self.present.latest = max(self.present.latest, template.number)
        self.take()
        return outgoing

    def encode_template_at(
        self, template: Template, position: StreamPosition, timestamp: int, settings: Settings
    ) -> Outgoing | None:
        """Encode a template that has a number. Arguments and result are those of ``encode_template``."""
        try:
            return encode_outgoing(
                _PLAIN,
                MessageType.STREAM_TEMPLATE,
                template.fields_on_the_wire(),
                timestamp=timestamp,
                settings=settings,
                stream=self._name,
                position=position,
            )
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None

    def write_with(self, template: Template, outgoing: Outgoing, oldest: int, now: float) -> None:
        """Write records with a template, which was sent.

        Args:
            template: from ``record_of``.
            outgoing: its frame.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.
            now: in seconds of the loop's clock.
        """
        assert outgoing.number is not None, "templates are numbered"
        if not self.is_shared:
            self._made_at.append(now)
        self.present.write_with(template, outgoing, outgoing.number, oldest)

    def close(self) -> None:
        """Give up the templates: the stream is forgotten for good."""
        for one in (*self._earlier, self.present):
            one.close()

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
        return len(self._made_at) < TEMPLATES_PER_MINUTE and self.present.latest < LARGEST_TEMPLATE


def _fresh_epoch() -> int:
    return 1 + secrets.randbelow(LARGEST_SEQUENCE)


def _payload_of(template: Template, content: Content, max_payload: int) -> bytes:
    return template.encode(content.signal, content.time, content.sequence, max_payload=max_payload)


def _memory_of(template: Template) -> int:
    """Bytes of memory that a template takes here, at most: unpacked, packed, and the objects around it."""
    return template.nbytes + _KEPT_PACKED * len(template.payload) + _OVERHEAD

"""The numbers of one stream in version 4: its id and epoch, the next number, and the templates of its records.

Section "Streams by number" of the specification. Without a viewer that reads records, none are made.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from itertools import count, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ProtocolError
from ..exact import ExactSamples
from ..messages.templates import Template
from ..protocol import LARGEST_SEQUENCE, TEMPLATES_IN_FORCE, Form, MessageType
from ..session import Binding, Encoding, Outgoing, Settings, StreamPosition, encode_outgoing
from ..session.outgoing import encoding_for
from ..session.record_writer import Counts, Record, RecordWriter, Wanted
from .attesting import StreamAttester
from .opening import Opening
from .publisher import Publisher

if TYPE_CHECKING:
    from ..signing import SigningKey

ALL_TEMPLATES: Final = 64 * 1024 * 1024
"""Bytes of memory that the templates of all streams of a server may take; beyond, messages travel as MessagePack."""

_KEPT_PACKED: Final = 3
"""Number of packed copies of a template besides its own: in its key, in its frame as a message, and in answers."""

_OVERHEAD: Final = 1024
"""Bytes of memory of the objects that hold these, at most."""

KEPT_EPOCHS: Final = 64
"""Earlier epochs of a stream whose messages may still be sent to viewers that catch up."""

_BULK: Final = int(Form.BULK)

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
        template: the template; None if its publisher has sealed it.
        number: its number as a message of the stream.
        outgoing: its frame.
    """

    template: Template | None
    number: int
    outgoing: Outgoing

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes, at most."""
        return self.outgoing.nbytes + _OVERHEAD if self.template is None else _memory_of(self.template)


def _template_of(one: InForce) -> Template | None:
    return one.template


class Epoch:
    """One life of the numbers of a stream.

    Args:
        id: of the stream in this epoch; no other stream or epoch of this server ever has it.
        epoch: its name. Two lives of one name are the same epoch, which was left and taken up again.
        next: the number of the next message.
        limit: shared by all streams.
        publisher: who has opened the stream and gives it its numbers; None if servers do.
        before: the name of the epoch before it, and the number of the message that would have been next there; None if
            that is not known.

    Attributes:
        id: as passed.
        epoch: as passed.
        publisher: as passed.
        before: as passed.
        is_sealed: whether the publisher seals its messages.
        is_bulk: whether its messages have BULK; None before the first of them.
    """

    def __init__(
        self,
        id: int,
        epoch: int,
        next: int,
        limit: TemplatesLimit,
        publisher: Publisher | None = None,
        before: tuple[int, int] | None = None,
    ) -> None:
        self.id = id
        self.epoch = epoch
        self.publisher = publisher
        self.before = before
        self.is_sealed = False
        self.is_bulk: bool | None = None
        self._next = next
        self._first = next
        self._limit = limit
        self._templates: deque[InForce] = deque()
        self._lost_before = 0 if publisher is None else publisher.lost

    def newly_lost(self) -> int:
        """Return how many messages of the publisher were lost since this was asked before."""
        lost = 0 if self.publisher is None else self.publisher.lost
        newly, self._lost_before = lost - self._lost_before, lost
        return newly

    @property
    def next(self) -> int:
        """The number of the next message in order."""
        return self._next if self.publisher is None else self.publisher.line + 1

    @property
    def ends_before(self) -> int | None:
        """The epoch whose end is known, so that a viewer that has it goes on with number 1; None if there is none."""
        return None if self.before is None or self._first != 1 else self.before[0]

    def go_on_from(self, next: int) -> None:
        """Note that the next message has at least that number."""
        self._next = max(self._next, next)

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        position = self.position(self._next)
        self._next += 1
        return position

    def position(self, number: int) -> StreamPosition:
        """Return the position of a message with a number. Its form has BULK if the messages of the epoch do."""
        return StreamPosition(self.id, number, _BULK if self.is_bulk else 0)

    def decide_class(self, *, is_bulk: bool) -> None:
        """Note the class of the next message: the first one of an epoch decides.

        Raises:
            ValueError: the epoch has messages of the other class.
        """
        if self.is_bulk is None:
            self.is_bulk = is_bulk
        elif self.is_bulk != is_bulk:
            first, this = ("with", "without") if self.is_bulk else ("without", "with")
            raise ValueError(f"the first message of the stream was published {first} bulk=True, and this one {this} it")

    def binding(self, next: int, *, tells_end: bool = False) -> Binding:
        """Return what the answer to a viewer states whose first message has the number ``next``.

        Args:
            next: the number.
            tells_end: whether the viewer knows the epoch before, so that the answer states the end of that.
        """
        before = [one.outgoing.frame for one in self._templates if one.number < next]
        ended = self.before[1] if tells_end and self.before is not None else None
        return Binding(self.id, self.epoch, next, tuple(before[-TEMPLATES_IN_FORCE:]), ended)

    def keep(self, template: Template | None, outgoing: Outgoing, number: int, oldest: int) -> bool:
        """Keep a template for viewers to come.

        Args:
            template: the template; None if its publisher has sealed it.
            outgoing: its frame.
            number: of the template in the stream.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.

        Returns:
            True if no later template is kept.
        """
        is_latest = not self._templates or self._templates[-1].number < number
        kept = InForce(template, number, outgoing)
        self._templates.append(kept)
        if not is_latest:
            self._templates = deque(sorted(self._templates, key=attrgetter("number")))
        self._limit.used += kept.memory
        while sum(one.number < oldest for one in self._templates) > TEMPLATES_IN_FORCE:
            self._drop_oldest()
        return is_latest

    @property
    def templates(self) -> list[Template]:
        """The templates that are kept, the latest last."""
        return [one.template for one in self._templates if one.template is not None]

    def has(self, number: int) -> bool:
        """Return whether the template with that number in the stream is known."""
        return any(one.number == number for one in self._templates)

    def in_force(self, number: int) -> Template | None:
        """Return one of the 16 latest templates by its number; None if it is not among them."""
        latest = islice(reversed(self._templates), TEMPLATES_IN_FORCE)
        return next((one for one in map(_template_of, latest) if one is not None and one.number == number), None)

    def known(self, number: int) -> Template | None:
        """Return a template that is kept, by its number; None if there is none."""
        return next((one for one in self.templates if one.number == number), None)

    def close(self) -> None:
        """Give up the templates."""
        while self._templates:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._limit.used -= self._templates.popleft().memory


class Numbering:
    """The numbers of a stream. It outlives ``Stream`` objects, which are forgotten when nothing needs them.

    Without another server, an epoch ends when a client opens the stream, or does not publish on it any more. Servers
    that share Redis take the epochs and numbers from there, and each has its own for messages without numbers.

    Args:
        name: of the stream.
        id: of the stream in its first epoch.
        limit: shared by all streams.
        draw_id: returns an id that no other stream or epoch of this server has.
        signer: attests the messages of this server's epochs; None to attest none.

    Attributes:
        attester: what the next attestation signs; None if there is no signer.
        next_is_bulk: the class of the message that the server publishes next; None if it never did.
        makes_records: whether records are made: a viewer has been there that reads them.
        present: the epoch of new messages.
        is_shared: whether other servers have the numbers of the present epoch, too.
        admission: the latest opening of the stream at this server, by which it takes messages; None if the stream was
            opened elsewhere since, or if there are no other servers.
        writer: the templates of the records that this server makes in the present epoch.
    """

    def __init__(
        self,
        name: str,
        id: int,
        limit: TemplatesLimit,
        draw_id: Callable[[], int] | None = None,
        signer: SigningKey | None = None,
    ) -> None:
        self.next_is_bulk: bool | None = None
        self.makes_records = False
        self.is_shared = False
        self.admission: Opening | None = None
        self.present = Epoch(id, _fresh_epoch(), 1, limit)
        self._earlier: deque[Epoch] = deque()
        self._name = name
        self._limit = limit
        self._draw_id = draw_id or count(id + 1).__next__
        self._exact: ExactSamples | None = None
        self._made_at: deque[float] = deque()
        self.attester = None if signer is None else StreamAttester(signer, name, self.present.epoch)
        self.writer = self._new_writer()

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
        """The number of the next message in order."""
        return self.present.next

    @property
    def publisher(self) -> Publisher | None:
        """Who has opened the stream and gives it its numbers; None if servers do."""
        return self.present.publisher

    def take(self) -> StreamPosition:
        """Return the position of the next message, and go on to the one after it."""
        return self.present.take()

    def binding(self, next: int) -> Binding:
        """Return what the answer to a viewer states whose first message has the number ``next`` of this epoch."""
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

    def since(self, id: int, until: int) -> list[Epoch]:
        """Return the epochs after the one with the first id, up to the one with the second."""
        return [one for one in (*self._earlier, self.present) if id < one.id <= until]

    def begin(self, epoch: int | None, next: int, *, follows: bool = False) -> None:
        """Begin another epoch.

        Args:
            epoch: that of a message of another server; None for one of this server, which goes on where it is.
            next: the number of the first message here.
            follows: whether no message is missing before it.
        """
        is_known = epoch is None or follows or self.publisher is not None
        before = (self.epoch, self.next) if is_known else None
        self._begin(Epoch(self._draw_id(), epoch or _fresh_epoch(), next, self._limit, None, before))
        self.is_shared = epoch is not None
        if epoch is None:
            self.present.is_bulk = self.next_is_bulk

    def begin_shared(self, opening: Opening) -> None:
        """Begin the epoch of a client that has opened the stream at this server or another one."""
        before = self.epoch, self.next
        self._begin(Epoch(self._draw_id(), opening.epoch, 1, self._limit, opening.publisher, before))
        self.is_shared = True

    def begin_opened(self, publisher: Publisher | None) -> None:
        """Begin another epoch, and announce to viewers where the present one ended.

        Args:
            publisher: who opens the stream; None if the server goes on to number it.
        """
        epoch = _fresh_epoch() if publisher is None else publisher.epoch
        is_bulk = self.next_is_bulk if publisher is None else None
        self._begin(Epoch(self._draw_id(), epoch, 1, self._limit, publisher, (self.epoch, self.next)))
        self.present.is_bulk = is_bulk

    def _begin(self, epoch: Epoch) -> None:
        self._earlier.append(self.present)
        self.present = epoch
        if self.attester is not None and epoch.publisher is None:
            self.attester.begin(epoch.epoch)
        self.writer = self._new_writer()

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
        return self.writer.record_of(data, now, counts=self._counts_of(data, exact=exact), max_payload=max_payload)

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
        counts = self._counts_of(data, exact=exact)
        return self.writer.shared_record_of(data, now, counts=counts, max_payload=max_payload)

    def encode_template(self, template: Template, timestamp: int, settings: Settings) -> Outgoing | None:
        """Encode a new template, and give it the next number.

        Args:
            template: from ``record_of``, or one that another server has made.
            timestamp: in microseconds since 1970.
            settings: for encoding.

        Returns:
            Its frame; None, and nothing has changed, if it cannot be sent. Then its records cannot be sent either.
        """
        outgoing = self.encode_template_at(template, self.present.position(self.next), timestamp, settings)
        if outgoing is None:
            return None
        self.writer.latest = max(self.writer.latest, template.number)
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
            template: the template.
            outgoing: its frame.
            oldest: number of the oldest message in the ring: templates before it are kept as far as they are in force.
            now: in seconds of the loop's clock.
        """
        assert outgoing.number is not None, "templates are numbered"
        is_latest = self.present.keep(template, outgoing, outgoing.number, oldest)
        if not is_latest:
            self.writer.write_with_all(self.present.templates)
        elif self.is_shared:
            self.writer.write_with_shared(template)  # counted when its number was asked for
        else:
            self.writer.write_with(template, now)

    def keep_opened(self, template: Template, outgoing: Outgoing, oldest: int) -> None:
        """Keep a template of the publisher, if there is memory for it; records of others are sent as maps."""
        assert outgoing.number is not None, "templates are numbered"
        if self._has_memory_for(template):
            self.present.keep(template, outgoing, outgoing.number, oldest)

    def keep_sealed(self, outgoing: Outgoing, oldest: int) -> None:
        """Keep a template that the publisher has sealed, unread, if there is memory for it."""
        assert outgoing.number is not None, "templates are numbered"
        if self._limit.used + outgoing.nbytes + _OVERHEAD <= self._limit.limit:
            self.present.keep(None, outgoing, outgoing.number, oldest)

    def close(self) -> None:
        """Give up the templates: the stream is forgotten for good."""
        for one in (*self._earlier, self.present):
            one.close()

    def _new_writer(self) -> RecordWriter:
        return RecordWriter(self._name, self._has_memory_for, self._made_at)

    def _has_memory_for(self, template: Template) -> bool:
        return self._limit.used + _memory_of(template) <= self._limit.limit

    def _counts_of(self, data: Any, *, exact: bool) -> Counts | None:
        """Return the map with the counts behind its floats, if there are any and they are asked for."""
        if not exact or not isinstance(data, dict):
            return None
        if self._exact is None:
            self._exact = ExactSamples()
        found = self._exact.take(data.get("signal"))
        return None if found is None else Counts({**data, "signal": found.counts}, found.missing, found.scale)


def _fresh_epoch() -> int:
    return 1 + secrets.randbelow(LARGEST_SEQUENCE)


def _memory_of(template: Template) -> int:
    """Bytes of memory that a template takes here, at most: unpacked, packed, and the objects around it."""
    return template.nbytes + _KEPT_PACKED * len(template.payload) + _OVERHEAD

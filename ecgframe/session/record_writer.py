"""Makes records of ECG_DATA maps: finds the template for a map, or makes a new one.

Servers write with it what they number themselves, clients what they publish on a stream that they have opened. Section
"Streams by number" of the specification.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ProtocolError
from ..messages.templates import Content, Scale, Template, record_content, template_key
from ..protocol import LARGEST_TEMPLATE, TEMPLATES_IN_FORCE, TEMPLATES_PER_MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MINUTE: Final = 60.0


class Record(NamedTuple):
    """A message as a record.

    Attributes:
        template: the template that is needed to read it.
        payload: its bytes, with the filter that makes them fewer.
    """

    template: Template
    payload: bytes


class Counts(NamedTuple):
    """How the samples of a map travel, if they are not sent as they are.

    Attributes:
        data: the map, with counts as its signal.
        missing: the count that marks missing samples.
        scale: by which counts become the floats of the map that was published.
    """

    data: dict[Any, Any]
    missing: int | None
    scale: Scale | None


class Wanted(NamedTuple):
    """A template that has to be made, before it has a number.

    Attributes:
        content: content of the message that needs it.
        missing: see ``Template``.
        scale: see ``Template``.
        key: see ``Template``.
    """

    content: Content
    missing: int | None
    scale: Scale | None
    key: bytes


class RecordWriter:
    """The templates with which the records of one epoch of a stream are written.

    Args:
        stream: name of the stream.
        may_keep: returns whether there is memory for another template; None for no limit.
        made_at: when templates were made, in seconds of a monotonic clock, if another writer of the stream made some.

    Attributes:
        latest: the largest number of a template; 0 before the first.
        binds: whether records are bound to their templates, as sealed and signed ones have to be.
        filters: whether records may have the filter DELTA.
    """

    def __init__(
        self, stream: str, may_keep: Callable[[Template], bool] | None = None, made_at: deque[float] | None = None
    ) -> None:
        self.latest = 0
        self.binds = False
        self.filters = True
        self._stream = stream
        self._may_keep = may_keep
        self._by_key: dict[bytes, Template] = {}  # the templates in use, the oldest first
        self._last: Template | None = None  # that of the last record, or a later one: most maps have the same fields
        self._made_at: deque[float] = deque() if made_at is None else made_at
        self._wanted: set[bytes] = set()

    def record_of(
        self, data: Any, now: float, *, counts: Counts | None = None, max_payload: int
    ) -> tuple[Record | None, Template | None]:
        """Make a record of an ECG_DATA map, with a template that this side numbers.

        Args:
            data: the map.
            now: in seconds of a monotonic clock.
            counts: the same map, if its samples travel as counts.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record, and its template if that is new: it has to be sent before the record, and ``write_with`` called
            once it was. None, None if the message has to travel as MessagePack.
        """
        record, wanted = self.shared_record_of(data, now, counts=counts, max_payload=max_payload)
        if wanted is None:
            return record, None
        try:
            template = self.make_template(wanted, self.latest + 1)
            payload = self._payload_of(template, wanted.content, max_payload)
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None
        return Record(template, payload), template

    def shared_record_of(
        self, data: Any, now: float, *, counts: Counts | None = None, max_payload: int
    ) -> tuple[Record | None, Wanted | None]:
        """Make a record of an ECG_DATA map, with a template that exists already.

        Args:
            data: the map.
            now: in seconds of a monotonic clock.
            counts: the same map, if its samples travel as counts.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record; or, if its template is missing, the template that has to be made.
        """
        last = self._last
        if last is not None and counts is None and not self.binds:
            payload = last.encode_map(data, delta=self.filters, max_payload=max_payload)
            if payload is not None:
                return Record(last, payload), None
        return self._record_by_key(data, now, counts, max_payload)

    def _record_by_key(
        self, data: Any, now: float, counts: Counts | None, max_payload: int
    ) -> tuple[Record | None, Wanted | None]:
        """Make a record with the template that has the key of the map. See ``shared_record_of``."""
        data, missing, scale = (data, None, None) if counts is None else counts
        content = record_content(data, self._stream)
        if content is None:
            return None, None
        try:
            key = template_key(content, missing=missing, scale=scale)
            template = self._by_key.get(key)
            if template is not None:
                self._last = template
                return Record(template, self._payload_of(template, content, max_payload)), None
            wanted = Wanted(content, missing, scale, key)
            if key in self._wanted or not self._may_make(now):
                return None, None
            trial = self.make_template(wanted, LARGEST_TEMPLATE)
            if self._may_keep is not None and not self._may_keep(trial):
                return None, None
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None  # its fields are more than a template has; MessagePack carries them
        return None, wanted

    def make_template(self, wanted: Wanted, number: int) -> Template:
        """Make a template. Raises as the constructor of ``Template``."""
        return Template.of(wanted.content, number, self._stream, missing=wanted.missing, scale=wanted.scale)

    def await_template(self, wanted: Wanted, now: float) -> None:
        """Note that a template is being published, so that it is not made a second time."""
        self._wanted.add(wanted.key)
        self._made_at.append(now)

    def await_no_longer(self, wanted: Wanted) -> None:
        """Note that publishing a template has succeeded or failed."""
        self._wanted.discard(wanted.key)

    def write_with(self, template: Template, now: float) -> None:
        """Write records with a template that this side has made, and that was sent."""
        self._made_at.append(now)
        self.write_with_shared(template)

    def write_with_shared(self, template: Template) -> None:
        """Write records with a template that was sent, by any writer. The 16 latest templates are used."""
        self.latest = max(self.latest, template.number)
        self._by_key[template.key] = template
        if len(self._by_key) > TEMPLATES_IN_FORCE:
            del self._by_key[next(iter(self._by_key))]
        self._last = template

    def write_with_all(self, templates: Iterable[Template]) -> None:
        """Write records with these templates alone, the latest last."""
        self._by_key.clear()
        self._last = None
        for template in templates:
            self.write_with_shared(template)

    def _may_make(self, now: float) -> bool:
        """Return whether another template may be made now."""
        while self._made_at and self._made_at[0] <= now - MINUTE:
            self._made_at.popleft()
        return len(self._made_at) < TEMPLATES_PER_MINUTE and self.latest < LARGEST_TEMPLATE

    def _payload_of(self, template: Template, content: Content, max_payload: int) -> bytes:
        return template.encode(
            content.signal,
            content.time,
            content.sequence,
            delta=self.filters,
            bound=self.binds,
            max_payload=max_payload,
        )

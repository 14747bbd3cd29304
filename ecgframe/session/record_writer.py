"""Makes records of ECG_DATA maps: finds the template for a map, or makes a new one.

Servers write with it what they number themselves, clients what they publish on a stream that they have opened. Section
"Streams by number" of the specification.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import ProtocolError
from ..messages.templates import Scale, Template, record_content, template_key
from ..protocol import LARGEST_TEMPLATE, TEMPLATES_IN_FORCE, TEMPLATES_PER_MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE: Final = 60.0


class Record(NamedTuple):
    """A message as a record.

    Attributes:
        template: by which it is read.
        payload: with the filter that is smaller.
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


class RecordWriter:
    """The templates with which the records of one epoch of a stream are written.

    Args:
        stream: name of the stream.
        may_keep: tells whether there is memory for another template; None for no limit.

    Attributes:
        latest: the largest number of a template; 0 before the first.
    """

    def __init__(self, stream: str, may_keep: Callable[[Template], bool] | None = None) -> None:
        self.latest = 0
        self._stream = stream
        self._may_keep = may_keep
        self._by_key: dict[bytes, Template] = {}  # those that are written with, the oldest first
        self._made_at: deque[float] = deque()

    def record_of(
        self, data: Any, now: float, *, counts: Counts | None = None, max_payload: int
    ) -> tuple[Record | None, Template | None]:
        """Make a record of an ECG_DATA map.

        Args:
            data: the map.
            now: in seconds of a monotonic clock.
            counts: the same map, if its samples travel as counts.
            max_payload: largest signal that a record may stand for, in bytes.

        Returns:
            The record, and its template if that is new: it has to be sent before the record, and ``write_with`` called
            once it was. None, None if the message has to travel as MessagePack.
        """
        data, missing, scale = (data, None, None) if counts is None else counts
        content = record_content(data, self._stream)
        if content is None:
            return None, None
        try:
            template = self._by_key.get(template_key(content, missing=missing, scale=scale))
            is_new = template is None
            if template is None:
                if not self._may_make(now):
                    return None, None
                template = Template.of(content, self.latest + 1, self._stream, missing=missing, scale=scale)
                if self._may_keep is not None and not self._may_keep(template):
                    return None, None
            payload = template.encode(content.signal, content.time, content.sequence, max_payload=max_payload)
        except (ProtocolError, TypeError, ValueError, OverflowError):
            return None, None  # its fields are more than a template has; MessagePack carries them
        return Record(template, payload), template if is_new else None

    def write_with(self, template: Template, now: float) -> None:
        """Write records with a template, which was sent. The 16 latest are written with."""
        self._made_at.append(now)
        self._by_key[template.key] = template
        if len(self._by_key) > TEMPLATES_IN_FORCE:
            del self._by_key[next(iter(self._by_key))]

    def _may_make(self, now: float) -> bool:
        """Whether another template may be made now."""
        while self._made_at and self._made_at[0] <= now - MINUTE:
            self._made_at.popleft()
        return len(self._made_at) < TEMPLATES_PER_MINUTE and self.latest < LARGEST_TEMPLATE

"""The stream ids and templates of a peer, with which its V4 frames are decoded.

There is one book for each direction of a connection. It is updated while frames are decoded, so that a template applies
to later records in the same WebSocket message. Section "Streams by number" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import InvalidDataFormat, InvalidProtocolVersion
from ..messages.templates import Template
from ..protocol import MAX_STREAM_IDS, MAX_STREAM_NAME, MAX_TEMPLATES_PAYLOAD, TEMPLATES_KEPT, Check, MessageType

if TYPE_CHECKING:
    from .._core._header import Header

READY: Final = 64
"""Number of templates that are kept unpacked: those that were used last. An unpacked template takes up to 70 times its
packed size, and 64 KiB more for 4,096 rows. All of them take at most 6 MiB."""

IDS_PER_STREAM: Final = 2
"""Number of ids of one stream that are bound: those of the current epoch, and of the previous one, whose frames may
still be in transit."""


class FrameOfEndedStream(InvalidDataFormat):
    """A frame of a stream that is no longer bound. It was in transit when the subscription ended, so it is no error."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A stream that has an id. Immutable, so that the state of the book can be restored.

    Attributes:
        name: of the stream.
        epoch: of its numbers.
        templates: payloads of the templates by number, in the order of arrival.
        nbytes: total size of these payloads.
        history: the request for a history whose messages have the id; None for what is live.
    """

    name: str
    epoch: int
    templates: dict[int, bytes] = field(default_factory=dict)
    nbytes: int = 0
    history: int | None = None


class BookState(NamedTuple):
    """The content of a book at some time; see ``StreamBook.state``."""

    bound: dict[int, _Bound]
    largest: int
    nbytes: int


class StreamBook(Mapping[tuple[int, int], Template]):
    """The bound stream ids of one direction, and the templates by which records are read.

    As a mapping, it leads from stream id and number of a template to the template; ``Codec.decode`` takes it as
    ``templates``.

    Args:
        limit: bytes that all templates together may have, packed.
        takes_openings: whether the peer may open streams: the book is of the direction from a client to a server.

    Attributes:
        takes_openings: as passed.
        is_open: whether version 4 was agreed on.
        nbytes: bytes of all templates, packed.
    """

    def __init__(self, limit: int = MAX_TEMPLATES_PAYLOAD, *, takes_openings: bool = False) -> None:
        self.is_open = False
        self.takes_openings = takes_openings
        self.nbytes = 0
        self._limit = limit
        self._bound: dict[int, _Bound] = {}
        self._largest = 0
        self._ready: OrderedDict[tuple[int, int], Template] = OrderedDict()

    def state(self) -> BookState:
        """Return what the book holds, for ``set_back``."""
        return BookState(dict(self._bound), self._largest, self.nbytes)

    def set_back(self, state: BookState) -> None:
        """Hold what the book held before: the frames that were read since are read again."""
        self._bound, self._largest, self.nbytes = dict(state.bound), state.largest, state.nbytes
        self._ready.clear()

    # --- as a mapping ---

    def __getitem__(self, key: tuple[int, int]) -> Template:
        template = self._ready.get(key)
        if template is None:
            template = Template.unpack(self._bound[key[0]].templates[key[1]])
            self._ready[key] = template
            if len(self._ready) > READY:
                self._ready.popitem(last=False)
        else:
            self._ready.move_to_end(key)
        return template

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(id, number) for id, bound in self._bound.items() for number in bound.templates])

    def __len__(self) -> int:
        return sum(len(bound.templates) for bound in self._bound.values())

    # --- ids ---

    def admit(self, header: Header) -> None:
        """Check the stream id of a V4 frame.

        Raises:
            InvalidProtocolVersion: (check 2) version 4 was not agreed on.
            FrameOfEndedStream: the id is no longer bound.
            InvalidDataFormat: (check 11) the id was never bound.
        """
        id = header.stream_id
        if not id or id in self._bound:
            return
        if self.takes_openings and header.type is MessageType.STREAM_TEMPLATE and not header.sequence:
            return  # it opens the stream; the agreement may stand before it in the same WebSocket message
        if not self.is_open:
            raise InvalidProtocolVersion("a V4 frame, but version 4 was not agreed on", check=Check.VERSION)
        if id <= self._largest:
            raise FrameOfEndedStream(f"stream {id} is no longer bound", check=Check.PAYLOAD)
        binds = "an opening" if self.takes_openings else "a SUBSCRIPTION_ACK"
        raise InvalidDataFormat(
            f"stream {id} was never bound: {binds} names it before its messages", check=Check.PAYLOAD
        )

    def name_of(self, id: int) -> tuple[str, int] | None:
        """Return name and epoch of a stream; None if the id is not bound."""
        bound = self._bound.get(id)
        return None if bound is None else (bound.name, bound.epoch)

    def history_of(self, id: int) -> int | None:
        """Return the request for a history whose messages have that id; None if it is not bound, or of what is live."""
        bound = self._bound.get(id)
        return None if bound is None else bound.history

    def is_live(self, id: int, name: str) -> bool:
        """Return whether an id is bound to that stream, and not to a history of it."""
        bound = self._bound.get(id)
        return bound is not None and bound.name == name and bound.history is None

    def note(self, id: int) -> None:
        """Note an id that is not bound: its frames are skipped without an error."""
        self._largest = max(self._largest, id)

    def bind(self, id: int, name: str, epoch: int, history: int | None = None) -> None:
        """Bind an id to a stream and an epoch. The id of the previous epoch stays bound; older ones are unbound.

        Args:
            id: the id.
            name: of the stream.
            epoch: of the numbers.
            history: the request for a history, of which one id is bound at a time; None for what is live.

        Raises:
            InvalidDataFormat: (check 12) the name is empty or too long, the id is bound to another stream or epoch, or
                too many ids are bound.
        """
        if not 0 < len(name) <= MAX_STREAM_NAME:
            raise InvalidDataFormat(
                f'data["stream"] must have 1 to {MAX_STREAM_NAME} characters, not {len(name)}',
                check=Check.FIELDS,
                path='data["stream"]',
            )
        bound = self._bound.get(id)
        if bound is not None:
            if (bound.name, bound.epoch, bound.history) != (name, epoch, history):
                raise InvalidDataFormat(
                    f'data["id"] must be new for {name!r} in this epoch; {id} is bound already',
                    check=Check.FIELDS,
                    path='data["id"]',
                )
            self._bound[id] = self._bound.pop(id)  # the latest id of a stream is the last
            return
        older = [one for one, other in self._bound.items() if (other.name, other.history) == (name, history)]
        kept = IDS_PER_STREAM if history is None else 1
        for one in older[: max(0, len(older) - kept + 1)]:
            self._unbind(one)
        if len(self._bound) >= MAX_STREAM_IDS:
            raise InvalidDataFormat(
                f"{MAX_STREAM_IDS} stream ids are bound, which is the maximum", check=Check.FIELDS, path='data["id"]'
            )
        self._bound[id] = _Bound(name, epoch, history=history)
        self.note(id)

    def open(self, id: int, name: str, epoch: int) -> None:
        """Bind an id to a stream that the peer opens. The same opening again changes nothing.

        Raises:
            InvalidDataFormat: (check 12) as ``bind``; or the id was bound before, and is not any more.
        """
        if id <= self._largest and id not in self._bound:
            raise InvalidDataFormat(
                f"an opening needs an id that is new in this connection; {id} was bound before",
                check=Check.FIELDS,
                path="data",
            )
        self.bind(id, name, epoch)

    def unbind(self, name: str, history: int | None = None) -> None:
        """Unbind all ids of a stream, or those of a history, and forget the templates."""
        for id in [id for id, bound in self._bound.items() if (bound.name, bound.history) == (name, history)]:
            self._unbind(id)

    def _unbind(self, id: int) -> None:
        bound = self._bound.pop(id)
        self.nbytes -= bound.nbytes
        for number in bound.templates:
            self._ready.pop((id, number), None)

    # --- templates ---

    def add(self, id: int, payload: bytes) -> None:
        """Add a template, whose fields were checked; nothing happens if it is known.

        If a stream has more than 64 templates, its oldest is forgotten. If all templates together exceed the limit, the
        oldest of the stream with the most bytes is forgotten.

        Args:
            id: the bound id of its stream.
            payload: the packed template, at most 4,096 bytes.

        Raises:
            InvalidDataFormat: (check 12) the template names another stream, or its number has another content.
        """
        bound = self._bound[id]
        template = Template.unpack(payload)
        if template.stream != bound.name:
            raise InvalidDataFormat(
                f'data["stream"] must be {bound.name!r}, the name of stream {id}; got {template.stream[:32]!r}',
                check=Check.FIELDS,
                path='data["stream"]',
            )
        known = bound.templates.get(template.number)
        if known is not None:
            if known != payload:
                raise InvalidDataFormat(
                    f'data["template"] must be a new number; template {template.number} has another content',
                    check=Check.FIELDS,
                    path='data["template"]',
                )
            return
        self._keep(id, {**bound.templates, template.number: payload})
        if len(self._bound[id].templates) > TEMPLATES_KEPT:
            self._drop_oldest(id)
        while self.nbytes > self._limit:
            self._drop_oldest(max(self._bound, key=lambda one: self._bound[one].nbytes))

    def _drop_oldest(self, id: int) -> None:
        templates = dict(self._bound[id].templates)
        number = next(iter(templates))
        del templates[number]
        self._keep(id, templates)
        self._ready.pop((id, number), None)

    def _keep(self, id: int, templates: dict[int, bytes]) -> None:
        """Replace the templates of a stream."""
        bound = self._bound[id]
        nbytes = sum(map(len, templates.values()))
        self.nbytes += nbytes - bound.nbytes
        self._bound[id] = _Bound(bound.name, bound.epoch, templates, nbytes, bound.history)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__: Any = object.__hash__

"""Reads the stream ids and templates from a peer's frames.

Each frame is processed as soon as it is decoded, before the session accepts it: later frames of the same WebSocket
message may need its id or its template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..errors import InvalidDataFormat, MissingRequiredFields, ProtocolError
from ..messages import check_received
from ..messages.template_rules import check_size
from ..protocol import HEADER_SIZES, MAX_TEMPLATE_PAYLOAD, SEAL_OVERHEAD, Check, Flag, MessageType
from .sealed_reader import NotYetOpened
from .stream_book import BookState, StreamBook

if TYPE_CHECKING:
    from typing import Self

    from .._core._header import FlatBuffer, Header
    from ..codec import Codec, Message, RecordTemplate
    from .sealed_reader import SealedReader

_ENCRYPTED: Final = int(Flag.ENCRYPTED)
_ANNOUNCING: Final = frozenset({MessageType.SUBSCRIPTION_ACK, MessageType.STREAM_TEMPLATE})
_NAMED: Final = ("id", "epoch", "next")
"""The fields of a SUBSCRIPTION_ACK that belong together: all of them, or none."""


class StreamEpoch(NamedTuple):
    """The stream of a numbered message.

    Attributes:
        name: of the stream.
        epoch: of its numbers.
    """

    name: str
    epoch: int

    @property
    def history(self) -> int | None:
        """The request for a history to which the message belongs; None for what is live."""
        return None


class HistoryEpoch(StreamEpoch):
    """The stream of a message of a history.

    Args:
        name: of the stream.
        epoch: of its numbers.
        history: the request for the history.
    """

    def __new__(cls, name: str, epoch: int, history: int) -> Self:
        """Make it; a tuple has no ``__init__``."""
        stream = super().__new__(cls, name, epoch)
        stream._history = history
        return stream

    _history: int

    def __getnewargs__(self) -> tuple[str, int, int]:
        """Return the arguments with which a copy is made."""
        return self.name, self.epoch, self._history

    @property
    def history(self) -> int:
        """The request for the history."""
        return self._history


class FrameReader:
    """Keeps the stream ids and templates that the frames of one direction announce.

    Args:
        codec: decodes the frames of templates inside answers.
        takes_openings: whether the peer may open streams.

    Attributes:
        book: the ids and templates.
        asked: names of the streams that this side has subscribed to. Answers about other streams bind no id.
        histories: the requests for histories of this side, by stream and number.
        sealed: opens the templates of sealed streams; None if this side opens none.
    """

    __slots__ = ("_before", "_codec", "asked", "book", "histories", "sealed")

    def __init__(self, codec: Codec, *, takes_openings: bool = False) -> None:
        self.book = StreamBook(takes_openings=takes_openings)
        self.asked: set[str] = set()
        self.histories: set[tuple[str, int]] = set()
        self.sealed: SealedReader | None = None
        self._codec = codec
        self._before: BookState | None = None

    def begin(self) -> None:
        """Prepare for the frames of another WebSocket message."""
        self._before = None

    def take_back(self) -> None:
        """Forget what the frames since ``begin`` have said: the message is decoded once more."""
        if self._before is not None:
            self.book.set_back(self._before)
            self._before = None

    def stream_of(self, id: int) -> StreamEpoch | None:
        """Return the stream of an id; None if it is not bound."""
        name_and_epoch = self.book.name_of(id)
        if name_and_epoch is None:
            return None
        history = self.book.history_of(id)
        return StreamEpoch(*name_and_epoch) if history is None else HistoryEpoch(*name_and_epoch, history)

    def read(self, message: Message, template: bytes | None) -> ProtocolError | None:
        """Note what a decoded frame says about streams.

        Args:
            message: the frame, decoded; its header was admitted by the book.
            template: payload of a STREAM_TEMPLATE.

        Returns:
            The first error of the templates that an answer holds. They are frames of their own: one that is refused
            affects neither the others nor the answer.

        Raises:
            ProtocolError: (check 12) a template, or an answer that names a stream, is not as it should be.
        """
        if message.version < 4:
            return None
        if message.type not in _ANNOUNCING:
            return None
        if self._before is None:
            self._before = self.book.state()
        if message.type is MessageType.SUBSCRIPTION_ACK:
            return self._read_answer(check_received(message.type, message.data))
        if self.book.takes_openings and is_opening(message):
            self.book.open(_opening_stream(message), message.data["stream"], int(message.data["epoch"]))
        elif template is not None:
            self.book.add(_template_stream(message), template)
        return None

    def _read_answer(self, data: Any) -> ProtocolError | None:
        name = data["stream"]
        history = None if data.get("history") is None else int(data["history"])
        if history is not None and data["status"] != "subscribed":
            self.book.unbind(name, history)
            return None
        if data["status"] != "subscribed":
            self.book.unbind(name)
            return None
        if all(field not in data for field in _NAMED):
            return None
        if lacking := [field for field in _NAMED if field not in data]:
            raise MissingRequiredFields(
                f"SUBSCRIPTION_ACK lacks {' and '.join(lacking)}: it names a stream by id, epoch and next",
                check=Check.FIELDS,
                path="data",
            )
        id = int(data["id"])
        if name not in self.asked if history is None else (name, history) not in self.histories:
            self.book.note(id)  # not requested, or unsubscribed in the meantime
            return None
        self.book.bind(id, name, int(data["epoch"]), history)
        faults = [self._add_held(frame, id, index) for index, frame in enumerate(data.get("templates", ()))]
        return next((fault for fault in faults if fault is not None), None)

    def _add_held(self, frame: bytes, id: int, index: int) -> ProtocolError | None:
        """Add a template from an answer, after the checks of any frame. Returns its error, or None."""
        path = f'data["templates"][{index}]'
        kept = KeptPayload(self.sealed)
        try:
            message = self._decode_held(frame, kept)
            if message.version < 4 or message.type is not MessageType.STREAM_TEMPLATE or message.stream_id != id:
                raise InvalidDataFormat(f"not a template of stream {id}", check=Check.FIELDS)
            self.book.add(_template_stream(message), kept.payload)
        except NotYetOpened:
            return None  # sealed with an earlier key, as are the records that need it
        except ProtocolError as error:
            # As check 12, which is not fatal: whatever is wrong in the inner frame, the end of the answer is known.
            return type(error)(f"{path}: {error}", check=Check.FIELDS, path=path)
        return None

    def _decode_held(self, frame: bytes, kept: KeptPayload) -> Message:
        sealed = self.sealed
        if sealed is None:
            return self._codec.decode(frame, kept)
        sealed.again = True  # it comes with each answer
        try:
            return self._codec.decode(frame, kept, None, sealed)
        finally:
            sealed.again = False
            sealed.take_opened()


def is_opening(message: Message) -> bool:
    """Return whether a message opens a stream: a STREAM_TEMPLATE, whose fields were checked, with the number 0."""
    return message.type is MessageType.STREAM_TEMPLATE and int(message.data["template"]) == 0


def _opening_stream(message: Message) -> int:
    """Return the stream id of an opening. Raises InvalidDataFormat if its header names no stream, or has a sequence."""
    if not message.stream_id or message.sequence:
        raise InvalidDataFormat(
            "an opening (template 0) has a stream in its header, and the sequence 0",
            check=Check.FIELDS,
            path='data["template"]',
        )
    return message.stream_id


def _template_stream(message: Message) -> int:
    """Return the stream id of a template. Raises InvalidDataFormat if it has none, no sequence, or is an opening."""
    if not message.stream_id or not message.sequence or is_opening(message):
        raise InvalidDataFormat(
            "a template must have a stream id, a sequence and a number above 0; only publishers open streams",
            check=Check.FIELDS,
            path='data["template"]',
        )
    return message.stream_id


class KeptPayload:
    """A meter that limits a frame to the size of a template, and keeps its payload.

    Args:
        sealed: refuses plain templates of sealed streams.

    Attributes:
        payload: as packed.
    """

    def __init__(self, sealed: SealedReader | None = None) -> None:
        self.payload = b""
        self._sealed = sealed

    def admit(self, header: Header, room: int) -> int:
        """Refuse a frame that is larger than a template, or plain where it has to be sealed."""
        check_size(header.length - (SEAL_OVERHEAD if header.bits & _ENCRYPTED else 0))
        if self._sealed is not None and (error := self._sealed.check_plain(header)) is not None:
            raise error
        return min(room, MAX_TEMPLATE_PAYLOAD + HEADER_SIZES[4])

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Keep the payload."""
        self.payload = bytes(flat.view(start, stop))

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Do nothing: an answer cannot contain records."""

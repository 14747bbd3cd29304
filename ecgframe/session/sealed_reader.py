"""Opens the sealed frames of one connection, and takes the keys that its server hands out.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..errors import AuthenticationFailed, InvalidDataFormat, ProtocolError
from ..messages.rules import is_finite, is_integer
from ..messages.template_rules import unknown_template
from ..messages.templates import template_number
from ..protocol import (
    LARGEST_KEY_ID,
    MAX_HANDED_KEYS,
    MAX_STREAM_IDS,
    SEAL_OVERHEAD,
    STREAM_KEY_SIZE,
    STREAM_TYPES,
    Check,
    Flag,
    Form,
    MessageType,
)
from ..seal import Key, NotOpened, Opened, Opener, ReplayWindow, check_stream
from ..signing import Signature, digest, without_trailer
from .sealed_streams import keyring_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core._header import Header
    from ..codec import Message
    from ..messages.templates import Template
    from .sealed_streams import SealedStreams

_ENCRYPTED: Final = int(Flag.ENCRYPTED)
_RECORD: Final = int(Form.RECORD)
_STREAM_TYPES: Final = frozenset(map(int, STREAM_TYPES))
_KEY_FIELDS: Final = frozenset({"id", "key", "begins", "ends"})

KEYS_PER_STREAM: Final = 16
"""Number of keys of one stream that a viewer keeps, the latest ones. Older ones have ended long ago."""


class NotYetOpened(InvalidDataFormat):
    """A sealed frame was not opened: its key is unknown, or it was received before. Neither is the peer's fault.

    Attributes:
        why: the reason.
        key_id: the id of its key.
        stream: name of its stream; None if its header does not name it.
        frame: the frame; empty unless its key is unknown.
        type: type of the message.
        flags: flags of its header.
        timestamp: of its header, in microseconds since 1970.
        history: the request for a history to which the frame belongs; None for what is live.
    """

    def __init__(
        self,
        why: NotOpened,
        key_id: int,
        stream: str | None,
        frame: bytes,
        *,
        type: int,
        flags: int,
        timestamp: int | None,
        history: int | None = None,
    ) -> None:
        super().__init__(f"a sealed frame was not opened: {why}", check=Check.ENCRYPTION)
        self.why = why
        self.key_id = key_id
        self.stream = stream
        self.frame = frame
        self.type = type
        self.flags = flags
        self.timestamp = timestamp
        self.history = history

    def __reduce__(self) -> tuple[object, ...]:
        return _not_yet_opened, (self.why, self.key_id, self.stream, self.frame), self.__dict__


def _not_yet_opened(why: NotOpened, key_id: int, stream: str | None, frame: bytes) -> NotYetOpened:
    """Create the error when it is unpickled, which sets the other attributes."""
    return NotYetOpened(why, key_id, stream, frame, type=0, flags=0, timestamp=None)


class NamedStream(Protocol):
    """What a reader needs of the stream with an id."""

    @property
    def name(self) -> str:
        """The name of the stream."""

    @property
    def history(self) -> int | None:
        """The request for a history whose messages have the id; None for what is live."""


class SealedReader:
    """Opens the sealed frames of one connection. It is a ``codec.PayloadOpener``.

    What is live, and each history, has counters of its own: a message of a history was received before, or will be. So
    it is not refused as a repetition, and what is repeated of it does not get among what is live.

    Args:
        streams: what outlives the connection.
        stream_of: returns the stream with an id; None if it is not bound.

    Attributes:
        is_agreed: whether both sides agreed on the capability ``encryption``. Without it, no keys are taken.
        opened: the payload that was opened last; None if there is none since it was set to that.
        again: whether frames are opened that were received before, as the templates in an answer are.
        has_new_keys: whether keys came since this was set to False.
        refused_keys: of the last answer whose keys were refused: stream, history, and why; None if that was
            reported to the owner.
        templates: those of the server, by stream id and number.
    """

    passes = False

    def __init__(self, streams: SealedStreams, stream_of: Callable[[int], NamedStream | None]) -> None:
        self.is_agreed = False
        self.opened: Opened | None = None
        self.again = False
        self.has_new_keys = False
        self.refused_keys: tuple[str, int | None, ProtocolError] | None = None
        self.templates: Mapping[tuple[int, int], Template] | None = None
        self._signature: Signature | None = None
        self._signed: bytes | None = None
        self._trailer = b""
        self._streams = streams
        self._stream_of = stream_of
        self._keys: dict[int, Key] = {}
        self._by_stream: dict[str, OrderedDict[int, None]] = {}
        self._openers: dict[str | tuple[str, int], Opener] = {}
        self._histories: dict[tuple[str, int], ReplayWindow] = {}

    # --- as a keyring ---

    def current(self, stream: str) -> Key | None:
        """A reader seals nothing. Returns None."""
        return None

    def find(self, key_id: int) -> Key | None:
        """Return a key of the application, or one that the server has handed out for a stream without such."""
        key = self._streams.own_key(key_id)
        if key is not None:
            return key
        key = self._keys.get(key_id)
        return None if key is None or self._streams.has_own_keys(key.stream) else key

    def requires(self, stream: str) -> bool:
        """Return whether a plain message of the stream is refused."""
        return stream in self._by_stream or self._streams.is_required(stream)

    # --- histories ---

    def begin_history(self, stream: str, number: int, window: ReplayWindow) -> None:
        """Open the frames of a history, and take its keys.

        Args:
            stream: its name.
            number: of the request.
            window: the counters of this history that were received, over all connections.
        """
        self._histories[stream, number] = window

    def end_history(self, stream: str, number: int) -> None:
        """Forget a history of which no frame will come."""
        self._histories.pop((stream, number), None)
        self._openers.pop((stream, number), None)

    # --- opening ---

    def open(self, header: Header, payload: memoryview) -> bytes:
        """Open a payload. See ``codec.PayloadOpener``.

        Raises:
            NotYetOpened: it was received before, or its key is unknown.
            ProtocolError: as ``Opener.open``.
        """
        place = self._stream_of(header.stream_id) if header.stream_id else None
        name, history = (None, None) if place is None else (place.name, place.history)
        key_id = int.from_bytes(payload[:4], "big")
        key = self.find(key_id) if len(payload) >= SEAL_OVERHEAD else None
        known = name if name is not None else None if key is None else key.stream
        opened = self._opener_of(known or "", history).open(
            payload,
            version=header.version,
            type=int(header.type),
            flags=header.bits,
            form=header.form_bits,
            stream=name,
            again=self.again,
        )
        if isinstance(opened, NotOpened):
            is_held = opened is NotOpened.UNKNOWN_KEY
            frame = bytes(header) + bytes(payload) if is_held else b""
            stream = name if key is None else key.stream
            raise NotYetOpened(
                opened,
                key_id,
                stream,
                frame,
                type=header.type,
                flags=header.bits,
                timestamp=header.timestamp,
                history=history,
            )
        self.opened = opened
        return opened.payload

    def cut(self, header: Header, payload: memoryview) -> memoryview:
        """Verify a signature if signers are known, and cut it off. See ``codec.PayloadOpener``."""
        verifier = self._streams.verifier
        body = without_trailer(payload)
        self._trailer = bytes(payload[body.nbytes :]) if self.keeps else b""
        if verifier is None:
            return body
        place = self._stream_of(header.stream_id) if header.stream_id else None
        form = header.form_bits
        unfiltered: bytes | None = None
        if form & _RECORD:
            unfiltered = self._unfiltered(header.stream_id or 0, body)
        signed = verifier.verify(
            "" if place is None else place.name, int(header.type), form, payload, unfiltered=unfiltered
        )
        self._signature = signed.signature
        if signed.signature is Signature.VALID and place is not None:
            content = signed.payload if unfiltered is None else unfiltered
            self._signed = digest(place.name, int(header.type), form, content)
        return signed.payload

    def _unfiltered(self, stream_id: int, record: memoryview) -> bytes:
        """The record of which signatures are made."""
        number = template_number(record)
        template = None if self.templates is None else self.templates.get((stream_id, number))
        if template is None:
            raise unknown_template(number, stream_id)
        return template.without_filter(record)

    @property
    def keeps(self) -> bool:
        """True if payloads are kept as they came."""
        return self._streams.keeper is not None

    def take_trailer(self) -> bytes:
        """Return the signature that was cut off since the last call, if payloads are kept; else nothing."""
        trailer, self._trailer = self._trailer, b""
        return trailer

    @property
    def verifies(self) -> bool:
        """True if signers are known."""
        return self._streams.verifier is not None

    def digest(self, stream_id: int, type: int, form: int, payload: memoryview) -> bytes | None:
        """Return the digest of a message for its attestation; None if its stream or its template is not known."""
        place = self._stream_of(stream_id)
        if place is None or place.name not in self._streams:
            return None
        stream = place.name
        if form & _RECORD:
            number = template_number(payload)
            template = None if self.templates is None else self.templates.get((stream_id, number))
            return None if template is None else digest(stream, type, form, template.without_filter(payload))
        return digest(stream, type, form, payload)

    def take_signature(self) -> Signature | None:
        """Return what is known of the signature that was cut off since the last call."""
        signature, self._signature = self._signature, None
        return signature

    def take_signed(self) -> bytes | None:
        """Return the digest of the message whose signature was found right since the last call."""
        signed, self._signed = self._signed, None
        return signed

    def check(self, header: Header, data: Any) -> None:
        """Compare the stream in the map with that of the key. See ``codec.PayloadOpener``."""
        if self.opened is not None:
            check_stream(self.opened, data, version=4 if header.stream_id else 3)

    def take_opened(self) -> Opened | None:
        """Return the payload that was opened since the last call."""
        opened, self.opened = self.opened, None
        return opened

    def enter(self, opened: Opened, history: int | None = None) -> NotOpened | None:
        """Enter an opened payload whose message is accepted, where it belongs: among what is live, or in a history.

        Returns:
            None; or why not, if its counter was entered meanwhile.
        """
        return self._opener_of(opened.key.stream, history).take(opened)

    def is_stale(self, stream: str, data: Any) -> bool:
        """Return whether a message of a stream, which was sealed or signed, is older than its viewer allows."""
        moment: Any = data.get("timestamp") if isinstance(data, dict) else None
        if isinstance(moment, datetime):
            moment = moment.timestamp()  # a naive one is taken as local time
        return is_finite(moment) and self._streams.is_stale(stream, float(moment))

    def _opener_of(self, stream: str, history: int | None = None) -> Opener:
        key = stream if history is None else (stream, history)
        opener = self._openers.get(key)
        window = self._streams.window_of(stream) if history is None else self._histories.get((stream, history))
        if opener is None or (window is not None and opener.window is not window):
            if len(self._openers) >= MAX_STREAM_IDS:
                self._openers.clear()
            opener = self._openers[key] = Opener(self, window)
        return opener

    # --- plain messages ---

    def check_plain(self, header: Header) -> AuthenticationFailed | None:
        """Return the error for a plain frame whose header names a sealed stream."""
        if header.bits & _ENCRYPTED or not header.stream_id:
            return None
        place = self._stream_of(header.stream_id)
        return None if place is None or not self.requires(place.name) else plain_refused()

    def check_message(self, message: Message) -> AuthenticationFailed | None:
        """Return the error for a plain message whose map names a sealed stream."""
        if int(message.flags) & _ENCRYPTED or int(message.type) not in _STREAM_TYPES or message.stream_id:
            return None
        name = message.data.get("stream") if isinstance(message.data, dict) else None
        return plain_refused() if isinstance(name, str) and self.requires(name) else None

    def checked(self, message: Message) -> Message | ProtocolError:
        """Take the keys out of an answer, and refuse a plain message of a sealed stream."""
        try:
            self.take_keys(message)
            return self.check_message(message) or message
        except ProtocolError as error:
            return error

    # --- keys ---

    def take_keys(self, message: Message) -> None:
        """Take the keys out of an answer, so that nothing else sees them.

        Raises:
            InvalidDataFormat: (check 12) they are not as they should be. The text does not quote them.
            AuthenticationFailed: (check 12, ``reason`` "key") an id is known with another secret or stream.
        """
        if message.type is not MessageType.SUBSCRIPTION_ACK or not isinstance(message.data, dict):
            return
        entries = message.data.pop("keys", None)
        stream = message.data.get("stream")
        if entries is None or not self.is_agreed or not isinstance(stream, str) or not self._watches(stream):
            return
        if message.data.get("status") != "subscribed":
            return
        try:
            if not self._streams.has_own_keys(stream):
                for key in _read_keys(entries, stream):
                    self._take(key)
        except ProtocolError as error:
            history = message.data.get("history")
            is_rotation = message.data.get("rotation") is True
            if not is_rotation:
                self.refused_keys = stream, history if isinstance(history, int) else None, error
            raise

    def _watches(self, stream: str) -> bool:
        return stream in self._streams or any(name == stream for name, _ in self._histories)

    def _take(self, key: Key) -> None:
        received = self._keys.get(key.id)
        known = received or self._streams.own_key(key.id, Check.FIELDS)
        if known is not None and (known.stream != key.stream or not compare_digest(known.secret, key.secret)):
            where = "the server has handed it out" if received is not None else "the application's keyring has it"
            way_out = "give every stream key of the server an id of its own"
            if received is None:
                way_out = f"remove the key {key.id} from that keyring, or {way_out}"
            error = keyring_failed(
                f"the key id {key.id} of the stream {key.stream!r} is that of another key already: {where} for the "
                f"stream {known.stream!r}; {way_out}",
                Check.FIELDS,
            )
            error.path = 'data["keys"]'
            raise error
        self.has_new_keys = self.has_new_keys or key.id not in self._keys
        self._keys[key.id] = key
        ids = self._by_stream.setdefault(key.stream, OrderedDict())
        ids[key.id] = None
        ids.move_to_end(key.id)
        if len(ids) > KEYS_PER_STREAM:
            del self._keys[ids.popitem(last=False)[0]]

    def __repr__(self) -> str:
        return f"SealedReader({len(self._keys)} keys)"


def plain_refused() -> AuthenticationFailed:
    """Return the error for a plain message of a sealed stream: 0x202, check 8, ``reason`` "plain"."""
    error = AuthenticationFailed("a plain message of a sealed stream", check=Check.ENCRYPTION)
    error.reason = "plain"
    return error


def _read_keys(entries: Any, stream: str) -> list[Key]:
    """Return the keys in an answer. Raises InvalidDataFormat, with a text that quotes none of them."""
    if not isinstance(entries, list) or len(entries) > MAX_HANDED_KEYS:
        raise _invalid_keys(f"must be a list of at most {MAX_HANDED_KEYS} keys")
    keys = []
    for index, entry in enumerate(entries):
        key = _read_key(entry, stream)
        if key is None:
            del entry, entries
            raise _invalid_keys(f"must be a map of id, key (32 bytes) and, if it changes, begins and ends: [{index}]")
        keys.append(key)
    return keys


def _read_key(entry: Any, stream: str) -> Key | None:
    if not isinstance(entry, dict) or not entry.keys() <= _KEY_FIELDS:
        return None
    key_id: Any = entry.get("id")
    secret: Any = entry.get("key")
    if not is_integer(key_id) or not 0 <= key_id <= LARGEST_KEY_ID:
        return None
    if not isinstance(secret, bytes) or len(secret) != STREAM_KEY_SIZE:
        return None
    times = entry.get("begins"), entry.get("ends")
    if not all(moment is None or is_finite(moment) for moment in times):
        return None
    begins, ends = (None if moment is None else float(moment) for moment in times)
    if begins is not None and ends is not None and ends <= begins:
        return None
    return Key(int(key_id), stream, secret, begins, ends)


def _invalid_keys(what: str) -> InvalidDataFormat:
    return InvalidDataFormat(f'SUBSCRIPTION_ACK: data["keys"] {what}', check=Check.FIELDS, path='data["keys"]')

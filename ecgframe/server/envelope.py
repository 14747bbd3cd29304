"""Seals what servers pass each other of the streams that they seal, so that the engine between them has no plaintext.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from .._core import Header, crc32
from ..errors import ProtocolError
from ..protocol import HEADER_SIZES, Flag, Form, RecordOption
from ..seal import NotOpened, Opener, Sealer
from .sealing import SealRefused, verified

if TYPE_CHECKING:
    from ..codec import EncodedFrame
    from ..seal import Key, Keyring, Opened

MOST_SEALERS: Final = 4096
"""Number of sealers that are kept, those used last."""

_OPTIONS_AT: Final = 3
"""Byte of a record that has its options."""


class Unopened(ValueError):
    """A frame of a sealed stream was not opened; the text says why, for an operator."""


class Envelopes:
    """The keys of the streams that this server seals, for what it passes to other servers.

    All servers have the keys. Each has sealers of its own, and so senders of its own: no two servers ever seal with the
    same nonce, and none of these sealers seals for viewers.

    Args:
        keyring: the keys.

    Attributes:
        unopened: number of messages that were not opened.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.unopened = 0
        self._keyring = keyring
        self._sealers: OrderedDict[Key, Sealer] = OrderedDict()

    def seals(self, stream: str) -> bool:
        """Return whether a stream is sealed, whether its keys are valid now or not."""
        try:
            return self._keyring.current(stream) is not None
        except ValueError:
            return True

    def seal(self, stream: str, frame: EncodedFrame) -> EncodedFrame:
        """Seal a message of a stream; one of a stream that is not sealed stays as it is.

        Args:
            stream: name of the stream.
            frame: the message, in version 4.

        Raises:
            SealRefused: no key of the stream is valid now.
        """
        try:
            key = self._keyring.current(stream)
        except ValueError as error:
            raise SealRefused(str(error)) from None
        return frame if key is None else frame.sealed(self._sealer(key))

    def opener(self, stream: str) -> EnvelopeOpener:
        """Return what opens the messages of a stream."""
        return EnvelopeOpener(self, stream, Opener(self._keyring))

    def look_for_new_keys(self) -> None:
        """Have the keyring look for new keys, if it can, as those in a file."""
        look = getattr(self._keyring, "look", None)
        if look is not None:
            look()

    def _sealer(self, key: Key) -> Sealer:
        sealer = self._sealers.get(key)
        if sealer is None:
            sealer = self._sealers[key] = Sealer(key)
            if len(self._sealers) > MOST_SEALERS:
                self._sealers.popitem(last=False)
        self._sealers.move_to_end(key)
        return sealer


class EnvelopeOpener:
    """Opens the messages of one stream that other servers have sealed, each of them once.

    Args:
        envelopes: the keys.
        stream: name of the stream.
        opener: with the counters that were had.
    """

    __slots__ = ("_envelopes", "_opener", "_stream", "_unknown")

    def __init__(self, envelopes: Envelopes, stream: str, opener: Opener) -> None:
        self._envelopes = envelopes
        self._stream = stream
        self._opener = opener
        self._unknown: int | None = None

    def open(self, frame: EncodedFrame, *, again: bool = False) -> EncodedFrame:
        """Return a message as it was before it was sealed.

        Args:
            frame: the message; its checksum was verified.
            again: whether it may have been opened before, as a template.

        Raises:
            Unopened: the stream is sealed and the message is plain, or not bound to its template; or it was changed,
                was received before, or its key is not known.
        """
        if not self._envelopes.seals(self._stream):
            return frame
        try:
            return self._open(frame, again=again)
        except Unopened:
            self._envelopes.unopened += not again
            raise

    def _open(self, frame: EncodedFrame, *, again: bool) -> EncodedFrame:
        if not frame.flags & Flag.ENCRYPTED:
            raise Unopened("it is plain, and this stream is sealed: give its keys to all servers")
        payload = memoryview(frame.frame)[HEADER_SIZES[frame.version] :]
        key_id = int.from_bytes(payload[:4], "big")
        opened = self._try(frame, payload, again=again)
        if opened is NotOpened.UNKNOWN_KEY and key_id != self._unknown:
            self._unknown = key_id  # looked for once
            self._envelopes.look_for_new_keys()
            opened = self._try(frame, payload, again=again)
        if isinstance(opened, NotOpened):
            raise Unopened(f"it was not opened ({opened}): key {key_id}")
        if not again:
            self._opener.take(opened)
        plain, form = opened.payload, frame.form or 0
        if form & Form.RECORD and not (len(plain) > _OPTIONS_AT and plain[_OPTIONS_AT] & RecordOption.BOUND):
            raise Unopened("it is a record that is not bound to its template")
        header = Header(
            4,
            frame.type,
            Flag(frame.flags & ~Flag.ENCRYPTED),
            len(plain),
            crc32(plain),
            frame.timestamp or 0,
            Form(form),
            frame.stream_id or 0,
            frame.sequence or 0,
        )
        return verified(bytes(header) + plain)

    def _try(self, frame: EncodedFrame, payload: memoryview, *, again: bool) -> Opened | NotOpened:
        try:
            return self._opener.open(
                payload,
                version=4,
                type=frame.type,
                flags=frame.flags,
                form=frame.form or 0,
                stream=self._stream,
                again=again,
            )
        except ProtocolError as error:
            raise Unopened(f"it was refused: {error}") from None

"""Sealed frames in tools: what is known of them without a key, and what is in them with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._core import Header, crc32
from ..codec import Codec
from ..errors import InvalidDataFormat
from ..protocol import HEADER_SIZES, LARGEST_LENGTH, SEAL_OVERHEAD, SENDER_SIZE, Check, Flag
from ..seal import Key, NotOpened, Opened, Opener, check_stream

if TYPE_CHECKING:
    from ..seal import Keyring

_ENCRYPTED: Final = int(Flag.ENCRYPTED)
_codec: Final = Codec(max_payload=LARGEST_LENGTH)


class SealedFrames:
    """Opens sealed frames, in any order and as often as they are seen.

    Args:
        keyring: the keys; None to open nothing.

    Attributes:
        count: number of sealed frames.
        unopened: number of those that were not opened.
    """

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring
        self._opener: Opener | None = None
        self._opened: Opened | None = None
        self.count = 0
        self.unopened = 0

    def open(self, frame: bytes) -> bytes | str:
        """Return the frame as it was before it was sealed; or, if its key is not known, what is known of it.

        Args:
            frame: one whole frame with ENCRYPTED.

        Raises:
            ProtocolError: as a receiver with that key would refuse it.
        """
        self.count += 1
        header, payload = _codec.split(frame)
        if len(payload) < SEAL_OVERHEAD:
            raise InvalidDataFormat(
                f"a sealed payload of {len(payload)} bytes; it has {SEAL_OVERHEAD} at least", check=Check.ENCRYPTION
            )
        key_id = int.from_bytes(payload[:4], "big")
        key = None if self._keyring is None else self._keyring.find(key_id)
        if key is None:
            self.unopened += 1
            sender, counter = bytes(payload[4 : 4 + SENDER_SIZE]), int.from_bytes(payload[12:16], "big")
            return f"sealed with the key {key_id}, sender {sender.hex()}, counter {counter}"
        return self._plain(header, payload, key)

    def opened_or_not(self, frame: bytes) -> bytes:
        """Return the frame of a template as it was before it was sealed; as it is if it is not, or cannot be opened.

        Raises:
            ProtocolError: as ``open``.
        """
        if len(frame) < HEADER_SIZES[1] or not frame[2] & _ENCRYPTED:
            return frame
        before = self.count, self.unopened
        opened = self.open(frame)
        self.count, self.unopened = before  # it is no frame of its own
        return frame if isinstance(opened, str) else opened

    def check(self, data: Any, version: int) -> None:
        """Compare the stream in an opened message with that of its key.

        Raises:
            AuthenticationFailed: 0x202, check 8, ``reason`` "stream"; they differ.
        """
        if self._opened is not None:
            check_stream(self._opened, data, version=version)

    def _plain(self, header: Header, payload: memoryview, key: Key) -> bytes:
        if self._opener is None:
            assert self._keyring is not None
            self._opener = Opener(self._keyring)
        form = 0 if header.version < 4 else int(header.form or 0)
        bits = int(header.flags)
        opened = self._opener.open(
            payload,
            version=header.version,
            type=int(header.type),
            flags=bits,
            form=form,
            stream=key.stream if header.stream_id else None,
            again=True,
        )
        assert not isinstance(opened, NotOpened), "the key is known"
        self._opened = opened
        plain = opened.payload
        numbering = (header.form, header.stream_id, header.sequence) if header.version >= 4 else ()
        flags = Flag(bits & ~_ENCRYPTED)
        head = Header(header.version, header.type, flags, len(plain), crc32(plain), header.timestamp, *numbering)
        return bytes(head) + plain

"""Seals payloads, each with a nonce that never repeats."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Self

from .._core import NonceCounter, count_fork
from ..protocol import SENDER_BYTES, SENDER_MESSAGES, SENDER_SIZE, MessageType
from .primitives import PROTECTED_FLAGS, PROTECTED_FORM, SEALED_TYPES, derive_cipher

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .keys import Key

__all__ = ["Sealer", "check_timestamp"]

_LARGE: Final = 4096
"""Bytes of a payload from which on the cipher writes its result in place."""

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=count_fork)


class _Sender(NamedTuple):
    """The counter and the cipher of one sender."""

    counter: NonceCounter
    encrypt: Callable[[bytes, Any, bytes], bytes]
    encrypt_into: Callable[..., int] | None

    def seal(self, payload: Buffer, type: int, flags: int, form: int, nbytes: int) -> bytes | None:
        """Seal a payload; None if the sender has ended, or is that of the process before a fork."""
        if nbytes >= _LARGE and self.encrypt_into is not None:
            return self.counter.seal_into(self.encrypt_into, payload, type, flags, form, nbytes)
        return self.counter.seal(self.encrypt, payload, type, flags, form, nbytes)


class Sealer:
    """Seals the payloads of one stream key. Threads may share it; processes may not.

    Args:
        key: the key.
        messages: number of messages after which it draws another sender, at most 2^24.
        nbytes: number of bytes after which it does, at most 2^38.

    Attributes:
        key: the key.

    Raises:
        MissingLibrary: the extra ``seal`` is not installed.
    """

    __slots__ = ("_max_messages", "_max_nbytes", "_sender", "key")

    def __init__(self, key: Key, *, messages: int = SENDER_MESSAGES, nbytes: int = SENDER_BYTES) -> None:
        if not 1 <= messages <= SENDER_MESSAGES or not 1 <= nbytes <= SENDER_BYTES:
            raise ValueError(f"a sender has 1 to {SENDER_MESSAGES} messages and 1 to {SENDER_BYTES} bytes")
        self.key = key
        self._max_messages = messages
        self._max_nbytes = nbytes
        self._sender = self._new_sender()

    def seal(self, payload: Buffer, *, version: int, type: int, flags: int = 0, form: int = 0) -> bytes:
        """Seal a payload.

        Args:
            payload: the payload as it travels otherwise: packed, signed, deflated.
            version: version of its frame, 3 or 4.
            type: type of the message: a data message, a template or an attestation. Control messages are not sealed.
            flags: flags of the frame. COMPRESSED, and SIGNED in version 4, cannot be changed on the way, others can.
            form: form of the frame, 0 in version 3. The algorithm and RECORD cannot be changed on the way.

        Returns:
            Key id (4 bytes), sender (8), counter (4), ciphertext, tag (16): 32 bytes more than the payload.

        Raises:
            ValueError: another version, type or form; or the payload has more bytes than one sender may seal.
        """
        mask = PROTECTED_FLAGS.get(version)
        if mask is None or type not in SEALED_TYPES or (form and version == 3):
            raise ValueError(_why_not_sealed(version, type))
        nbytes = len(payload) if payload.__class__ is bytes else memoryview(payload).nbytes
        sender = self._sender
        if nbytes >= _LARGE:
            sealed = sender.seal(payload, type, flags & mask, form & PROTECTED_FORM, nbytes)
        else:
            sealed = sender.counter.seal(sender.encrypt, payload, type, flags & mask, form & PROTECTED_FORM, nbytes)
        while sealed is None:  # the sender has ended, or is that of the process before a fork
            if nbytes > self._max_nbytes:
                raise ValueError(f"a payload of {nbytes} bytes; one sender seals {self._max_nbytes} bytes at most")
            sender = self._new_sender()
            sealed = sender.seal(payload, type, flags & mask, form & PROTECTED_FORM, nbytes)
            self._sender = sender  # after its first counter, so that other threads cannot have used all of them
        return sealed

    def renew(self) -> None:
        """Draw another sender, as is necessary after a snapshot of this process was restored."""
        self._sender = self._new_sender()

    def _new_sender(self) -> _Sender:
        drawn = self._draw()
        aead, iv = derive_cipher(self.key, drawn)
        into = getattr(aead, "encrypt_into", None)  # since cryptography 47
        return _Sender(self._new_counter(self.key.id.to_bytes(4, "big") + drawn, iv), aead.encrypt, into)

    def _draw(self) -> bytes:
        return os.urandom(SENDER_SIZE)

    def _new_counter(self, head: bytes, iv: bytes) -> NonceCounter:
        return NonceCounter(head, iv, self._max_messages, self._max_nbytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def __copy__(self) -> Self:
        raise TypeError("a sealer cannot be copied: its nonces would repeat")

    def __deepcopy__(self, memo: object) -> Self:
        raise TypeError("a sealer cannot be copied: its nonces would repeat")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a sealer cannot be pickled: its nonces would repeat, and its key would be in the pickle")


def _why_not_sealed(version: int, type: int) -> str:
    if version not in PROTECTED_FLAGS:
        return f"version {version} has no sealed payloads"
    if type not in SEALED_TYPES:
        return f"type 0x{type:02x} is not sealed: only data messages, templates and attestations are"
    return "version 3 has no form"


def check_timestamp(type: int, data: Any) -> None:
    """Refuse to seal or sign a data message without ``timestamp``, since a viewer could not see that it is stale.

    Raises:
        ValueError: the map of a data message has no ``timestamp``.
    """
    if (
        type in SEALED_TYPES
        and type < MessageType.HEARTBEAT
        and (not isinstance(data, dict) or data.get("timestamp") is None)
    ):
        raise ValueError("a data message that is sealed or signed must have a timestamp")

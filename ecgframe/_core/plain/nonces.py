"""The nonces of sealed payloads: each is taken once, in the process that drew the sender.

The plain twin of ``nonces.pyx``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, NoReturn, final

__all__ = ["NonceCounter", "count_fork"]

_forks = 0


def count_fork() -> None:
    """End all counters of this process: it is the child of a fork, and its parent has the same ones."""
    global _forks  # noqa: PLW0603 - of the process
    _forks += 1


@final
class NonceCounter:
    """Counts the messages of one sender, and gives each its nonce and additional data.

    Args:
        head: key id and sender, 12 bytes.
        iv: the derived IV, 12 bytes.
        messages: number of messages after which the sender has ended.
        nbytes: number of bytes after which it has.
    """

    __slots__ = ("_counter", "_forks", "_head", "_iv", "_lock", "_messages", "_nbytes", "_process")

    def __init__(self, head: bytes, iv: bytes, messages: int, nbytes: int) -> None:
        if len(head) != 12 or len(iv) != 12:
            raise ValueError("head and iv have 12 bytes each")
        self._head = head
        self._iv = int.from_bytes(iv, "big")
        self._messages = min(messages, 1 << 24)
        self._nbytes = nbytes
        self._process = os.getpid()
        self._forks = _forks
        self._counter = 0
        self._lock = Lock()

    def take(self, type: int, flags: int, form: int, nbytes: int) -> tuple[bytes, bytes] | None:
        """Take the next counter, for a message of so many bytes.

        Returns:
            The additional data, 19 bytes of which the last 16 are the prefix of the sealed payload, and the nonce; or
            None if the sender has ended, or was drawn in another process.
        """
        # Before the lock, which in the child of a fork may be held by a thread that is not there.
        if self._forks != _forks or self._process != os.getpid():
            return None
        with self._lock:
            if self._counter >= self._messages or nbytes > self._nbytes:
                return None
            counter = self._counter
            self._counter = counter + 1
            self._nbytes -= nbytes
        associated = bytes((type, flags, form)) + self._head + counter.to_bytes(4, "big")
        return associated, (self._iv ^ counter).to_bytes(12, "big")

    def seal(
        self, encrypt: Callable[[bytes, Any, bytes], bytes], payload: Any, type: int, flags: int, form: int, nbytes: int
    ) -> bytes | None:
        """Take the next counter and encrypt a payload of so many bytes: ``encrypt(nonce, payload, associated data)``.

        Returns:
            The prefix, 16 bytes, and what ``encrypt`` returns, bytes; or None where ``take`` does.
        """
        taken = self.take(type, flags, form, nbytes)
        if taken is None:
            return None
        associated, nonce = taken
        return associated[3:] + encrypt(nonce, payload, associated)

    def seal_into(
        self, encrypt_into: Callable[..., int], payload: Any, type: int, flags: int, form: int, nbytes: int
    ) -> bytes | None:
        """Do the same where the cipher writes in place: ``encrypt_into(nonce, payload, associated data, buffer)``."""
        taken = self.take(type, flags, form, nbytes)
        if taken is None:
            return None
        associated, nonce = taken
        sealed = bytearray(nbytes + 32)
        sealed[:16] = associated[3:]
        with memoryview(sealed) as whole:
            encrypt_into(nonce, payload, associated, whole[16:])
        return bytes(sealed)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a nonce counter can be neither pickled nor copied: its nonces would repeat")

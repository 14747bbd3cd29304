"""Connections that pack their commands quickly.

A batch of messages is one command of some thousand words, and redis-py takes longer to pack it than Redis to run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

LARGE = 16 * 1024
"""Bytes of a word from which on it is not copied."""


class _Packing:
    """What a class of connections does otherwise."""

    def pack_command(self, *words: Any) -> list[bytes]:
        """Pack the words of a command: bytes, texts and integers; anything else as redis-py does.

        Returns:
            Pieces to send, one after the other.
        """
        name, *rest = words
        parts = (name.encode() if isinstance(name, str) else name).split()
        pieces, packed = [], [b"*%d\r\n" % (len(parts) + len(rest))]
        for word in (*parts, *rest):
            kind = type(word)
            if kind is str:
                word = word.encode()  # noqa: PLW2901 - as bytes from here on
            elif kind is int:
                word = b"%d" % word  # noqa: PLW2901
            elif kind is not bytes:
                return super().pack_command(*words)  # type: ignore[misc, no-any-return]
            if len(word) < LARGE:
                packed.append(b"$%d\r\n%b\r\n" % (len(word), word))
            else:
                packed.append(b"$%d\r\n" % len(word))
                pieces += [b"".join(packed), word]
                packed = [b"\r\n"]
        pieces.append(b"".join(packed))
        return pieces


def packing(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """Return a class of connections like ``kind`` that packs commands quickly."""
    return kind if issubclass(kind, _Packing) else type(kind.__name__, (_Packing, kind), {})

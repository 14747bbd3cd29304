"""Stream keys, and keyrings that hold them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from hmac import compare_digest
from math import isfinite
from typing import Any, NoReturn, Protocol, final

from ..protocol import LARGEST_KEY_ID, MAX_STREAM_KEYS, MAX_STREAM_NAME, STREAM_KEY_SIZE

__all__ = ["HookKeyring", "Key", "Keyring", "StoredKeys", "fault_of_key"]


@final
class Key:
    """A stream key: 32 secret bytes that seal the messages of one stream.

    Its secret is in no representation of it, and it can not be pickled.

    Attributes:
        id: the number that names it in sealed payloads, 0 to 2^32 - 1; unique in a keyring.
        stream: name of the stream; empty for messages of no stream.
        secret: 32 random bytes.
        begins: Unix seconds from which on it is used; None for always.
        ends: Unix seconds from which on it is not used any more; None for never.

    Raises:
        ValueError: an attribute is not of this form. The text never has the secret.
    """

    __slots__ = ("_secret", "begins", "ends", "id", "stream")

    def __init__(
        self, id: int, stream: str, secret: bytes, begins: float | None = None, ends: float | None = None
    ) -> None:
        fault = fault_of_key(id, stream, secret, begins, ends)
        if fault:
            del self, secret  # a report of the error may show the local variables
            raise ValueError(f"a stream key: {fault}")
        self.id = id
        self.stream = stream
        self._secret = bytes(secret)
        self.begins = begins
        self.ends = ends

    @property
    def secret(self) -> bytes:
        """The 32 bytes. Do not log them, and store them only where the key itself may be."""
        return self._secret

    def __repr__(self) -> str:
        return f"Key({self.id}, {self.stream!r}, begins={self.begins}, ends={self.ends})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Key)
            and (self.id, self.stream, self.begins, self.ends) == (other.id, other.stream, other.begins, other.ends)
            and compare_digest(self._secret, other._secret)
        )

    def __hash__(self) -> int:
        return hash((self.id, self.stream))

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: object) -> Key:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a stream key cannot be pickled: its secret would be in the pickle")


def fault_of_key(id: Any, stream: Any, secret: Any, begins: Any, ends: Any) -> str:  # noqa: PLR0911 - one for each
    """Return what is wrong with the attributes of a key; empty if nothing is."""
    if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id <= LARGEST_KEY_ID:
        return f"id must be an integer from 0 to {LARGEST_KEY_ID}"
    if not isinstance(stream, str) or len(stream) > MAX_STREAM_NAME:
        return f"stream must be text of at most {MAX_STREAM_NAME} characters"
    try:
        stream.encode()
    except UnicodeEncodeError:
        return "stream has no UTF-8 form"
    if not isinstance(secret, (bytes, bytearray)) or len(secret) != STREAM_KEY_SIZE:
        return f"the secret must have {STREAM_KEY_SIZE} bytes"
    for name, moment in (("begins", begins), ("ends", ends)):
        if moment is not None and (
            not isinstance(moment, (int, float)) or isinstance(moment, bool) or not isfinite(moment)
        ):
            return f"{name} must be Unix seconds, or left out"
    if begins is not None and ends is not None and ends <= begins:
        return "it ends before it begins"
    return ""


class Keyring(Protocol):
    """Where the keys come from. Both methods are called for each message, so they must not wait for anything."""

    def current(self, stream: str) -> Key | None:
        """Return the key to seal a stream with now; None if the stream is not sealed.

        Raises:
            ValueError: the stream is sealed, but none of its keys is valid now. Its messages are not to be sent.
        """
        ...

    def find(self, key_id: int) -> Key | None:
        """Return the key to open a payload with; None if it is not known, or not any more."""
        ...


class StoredKeys:
    """A keyring of keys in memory.

    Args:
        keys: the keys; each id once.
        opens_after: seconds after its end in which a key still opens messages; None for ever.
        now: returns Unix seconds.

    Raises:
        ValueError: an id is given twice, or there are more than 4,096 keys.
    """

    def __init__(
        self, keys: Iterable[Key] = (), *, opens_after: float | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._opens_after = opens_after
        self._by_id: dict[int, Key] = {}
        self._by_stream: dict[str, tuple[Key, ...]] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Use these keys instead of the present ones.

        Raises:
            ValueError: as the constructor; or an id that is known has another secret or stream now. The present keys
                stay.
        """
        by_id: dict[int, Key] = {}
        for key in keys:
            self._check_same(key)
            if key.id in by_id:
                raise ValueError(f"two stream keys have the id {key.id}")
            if len(by_id) == MAX_STREAM_KEYS:
                raise ValueError(f"more than {MAX_STREAM_KEYS} stream keys")
            by_id[key.id] = key
        self._take(by_id)

    def add(self, key: Key) -> None:
        """Add a key, or give a known one other times.

        Raises:
            ValueError: a key of this id has another secret or stream, or there are 4,096 keys already.
        """
        self._check_same(key)
        if key.id not in self._by_id and len(self._by_id) >= MAX_STREAM_KEYS:
            raise ValueError(f"more than {MAX_STREAM_KEYS} stream keys")
        self._take({**self._by_id, key.id: key})

    def __iter__(self) -> Iterator[Key]:
        """Iterate over all keys."""
        return iter(list(self._by_id.values()))

    def remove(self, key_id: int) -> None:
        """Forget a key. Nothing happens if it is not known."""
        self._take({id: key for id, key in self._by_id.items() if id != key_id})

    def current(self, stream: str) -> Key | None:
        """Return the key of a stream that began last and has not ended; None if the stream has no keys.

        Raises:
            ValueError: all its keys have ended or have not begun yet.
        """
        keys = self._by_stream.get(stream)
        if keys is None:
            return None
        now = self._now()
        for key in keys:
            if (key.begins is None or key.begins <= now) and (key.ends is None or now < key.ends):
                return key
        raise ValueError(f"none of the {len(keys)} keys of stream {stream!r} is valid now")

    def upcoming(self, stream: str) -> Key | None:
        """Return the key of a stream that begins next; None if there is none."""
        now = self._now()
        later = [key for key in self._by_stream.get(stream, ()) if key.begins is not None and key.begins > now]
        return later[-1] if later else None

    def find(self, key_id: int) -> Key | None:
        """Return the key; None if it is not known, or ended more than ``opens_after`` seconds ago."""
        key = self._by_id.get(key_id)
        if key is None or key.ends is None or self._opens_after is None:
            return key
        return key if self._now() < key.ends + self._opens_after else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._by_id.values())!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a keyring can be neither pickled nor copied: its secrets would be in the copy")

    def _check_same(self, key: Key) -> None:
        known = self._by_id.get(key.id)
        if known is not None and (known.stream != key.stream or not compare_digest(known.secret, key.secret)):
            raise ValueError(f"the id {key.id} is that of another stream key already")

    def _take(self, by_id: dict[int, Key]) -> None:
        """Replace both tables; readers in other threads see the old ones or the new ones."""
        by_stream: dict[str, list[Key]] = {}
        for key in sorted(by_id.values(), key=_beginning, reverse=True):
            by_stream.setdefault(key.stream, []).append(key)
        self._by_id = by_id
        self._by_stream = {stream: tuple(keys) for stream, keys in by_stream.items()}


def _beginning(key: Key) -> tuple[float, int]:
    return (float("-inf") if key.begins is None else key.begins, key.id)


@final
class HookKeyring(StoredKeys):
    """A keyring whose keys come from a function, such as a client of a key management service.

    Args:
        fetch: returns all keys. It is called at once and by ``refresh``, never for a message. If the service is
            asynchronous, use ``StoredKeys`` and ``replace``.
        opens_after: as for ``StoredKeys``.
        now: as for ``StoredKeys``.

    Raises:
        ValueError: as ``StoredKeys``. What ``fetch`` raises is not caught.
    """

    def __init__(
        self,
        fetch: Callable[[], Iterable[Key]],
        *,
        opens_after: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        super().__init__(fetch(), opens_after=opens_after, now=now)

    def refresh(self) -> None:
        """Fetch the keys again, at a rotation. If that fails, the present ones stay.

        Raises:
            ValueError: as ``replace``. What ``fetch`` raises is not caught.
        """
        self.replace(self._fetch())

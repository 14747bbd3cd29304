"""Sealed payloads: AES-256-GCM with a key for one stream. Specification: ``docs/protocol.md``, "Sealed payloads".

A ``Sealer`` seals the payloads of one stream key, an ``Opener`` opens those of a keyring. A server seals its streams
with ``ecgframe.server.Sealing``, and a client opens them (``ecgframe.connect``). They need the extra ``seal``; nothing
is loaded before the first sealer or opener is made.

The nonce of a message never repeats: each ``Sealer`` draws a random sender, from which its own key is derived, and
counts its messages. It draws another sender when the counter ends and in the child of a fork, and can be neither copied
nor pickled. A process that is restored twice from one snapshot of its memory, such as that of a virtual machine,
repeats its nonces: call ``Sealer.renew`` after restoring it.
"""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from hmac import compare_digest
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Protocol, Self, final

from ._core import NonceCounter, count_fork, flatten
from .errors import AuthenticationFailed, InvalidDataFormat
from .libraries import library
from .protocol import (
    LARGEST_KEY_ID,
    MAX_SENDERS,
    MAX_STREAM_KEYS,
    MAX_STREAM_NAME,
    REPLAY_WINDOW,
    SEAL_OVERHEAD,
    SEAL_PREFIX,
    SENDER_BYTES,
    SENDER_MESSAGES,
    SENDER_SIZE,
    SENDERS_KEPT,
    STREAM_KEY_SIZE,
    STREAM_TYPES,
    Check,
    Flag,
    Form,
    MessageType,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "HookKeyring",
    "Key",
    "Keyring",
    "NotOpened",
    "Opened",
    "Opener",
    "ReplayWindow",
    "Sealer",
    "StoredKeys",
    "check_stream",
    "keys_from_environment",
    "keys_from_file",
    "keys_to_json",
]

_INFO: Final = b"ecgframe seal 1\0"
_DERIVED_SIZE: Final = 44
"""Bytes that are derived for a sender: the key (32) and the IV (12)."""

_FLAGS: Final = {3: int(Flag.COMPRESSED), 4: int(Flag.COMPRESSED | Flag.SIGNED)}
"""Flags that sealing protects, by version."""

_FORM: Final = int(Form.ALGORITHM | Form.RECORD)
"""Bits of the form that sealing protects."""

_LARGE: Final = 4096
"""Bytes of a payload from which on the cipher writes its result in place."""

_TYPES: Final = frozenset(map(int, STREAM_TYPES))
_MAX_KEY_FILE: Final = 4 * 1024 * 1024
_MAX_DERIVED: Final = 256
"""Maximum number of derived keys that an opener keeps."""

_BLOCK: Final = 1024
"""Counters of a block of the replay window. One integer has a bit for each."""

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=count_fork)


# --- keys ---


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
        fault = _fault_of_key(id, stream, secret, begins, ends)
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


def _fault_of_key(id: Any, stream: Any, secret: Any, begins: Any, ends: Any) -> str:  # noqa: PLR0911 - one for each
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


def keys_from_file(
    path: str | os.PathLike[str], *, opens_after: float | None = None, now: Callable[[], float] = time.time
) -> StoredKeys:
    """Read a keyring from a file.

    The file is a JSON list of maps ``{"stream": "ecg/1", "id": 9, "key": "<64 hexadecimal digits>"}``, with ``begins``
    and ``ends`` in Unix seconds if keys change.

    Args:
        path: path of the file, at most 4 MiB.
        opens_after: as for ``StoredKeys``.
        now: as for ``StoredKeys``.

    Raises:
        ValueError: the file is not of this form, or the keys as for ``StoredKeys``. The text has no secret.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return _keys_in(file.read(_MAX_KEY_FILE + 1), f"the keys in {os.fspath(path)}", opens_after, now)


def keys_from_environment(
    name: str, *, opens_after: float | None = None, now: Callable[[], float] = time.time
) -> StoredKeys:
    """Read a keyring from a variable of the environment, whose text is as in a file of keys.

    Programs that this process starts inherit the variable, unless it is removed from ``os.environ``.

    Raises:
        ValueError: the variable is not set, or as ``keys_from_file``.
    """
    if name not in os.environ:
        raise ValueError(f"the variable {name}, which should have the stream keys, is not set")
    return _keys_in(os.environ[name].encode("utf-8", "surrogateescape"), f"the keys in {name}", opens_after, now)


def keys_to_json(keys: Iterable[Key]) -> str:
    """Return the text of a file of keys. It has their secrets."""
    entries = []
    for key in keys:
        times = {"begins": key.begins, "ends": key.ends}
        entries.append(
            {
                "stream": key.stream,
                "id": key.id,
                "key": key.secret.hex(),
                **{name: moment for name, moment in times.items() if moment is not None},
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _keys_in(text: bytes, place: str, opens_after: float | None, now: Callable[[], float]) -> StoredKeys:
    """Read keys. An error leaves no secret behind: neither as its cause nor in the variables of its traceback."""
    keys, fault = _parsed(text)
    del text
    if not fault:
        try:
            return StoredKeys(keys, opens_after=opens_after, now=now)
        except ValueError as error:  # whose text has ids only
            fault = str(error)
    del keys
    raise ValueError(f"{place}: {fault}")


def _parsed(text: bytes) -> tuple[list[Key], str]:
    """Return the keys, or what is wrong."""
    if len(text) > _MAX_KEY_FILE:
        return [], f"more than {_MAX_KEY_FILE} bytes"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return [], "not JSON"
    if not isinstance(entries, list):
        return [], "not a JSON list"
    keys = []
    for index, entry in enumerate(entries):
        key, fault = _key_of(entry)
        if key is None:
            return [], f"entry {index}: {fault}"
        keys.append(key)
    return keys, ""


def _key_of(entry: Any) -> tuple[Key | None, str]:
    if not isinstance(entry, dict):
        return None, "not a map"
    missing = [name for name in ("stream", "id", "key") if name not in entry]
    if missing:
        return None, f"{missing[0]!r} is missing"
    if unknown := sorted(entry.keys() - {"stream", "id", "key", "begins", "ends"}):
        return None, f"unknown field {unknown[0][:32]!r}"
    digits = entry["key"]
    if not isinstance(digits, str) or len(digits) != 2 * STREAM_KEY_SIZE or not digits.isascii():
        return None, f"'key' must be {2 * STREAM_KEY_SIZE} hexadecimal digits"
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    times = entry.get("begins"), entry.get("ends")
    fault = _fault_of_key(entry["id"], entry["stream"], secret, *times)
    return (None, fault) if fault else (Key(entry["id"], entry["stream"], secret, *times), "")


# --- primitives ---


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """Derive bytes with HKDF-SHA-256 (RFC 5869)."""
    hashes = library("cryptography.hazmat.primitives.hashes", extra="seal", purpose="sealing")
    derivation = library("cryptography.hazmat.primitives.kdf.hkdf", extra="seal", purpose="sealing")
    derived: bytes = derivation.HKDF(hashes.SHA256(), size, salt, info).derive(secret)
    return derived


def cipher(key: bytes) -> Any:
    """Return the cipher AES-256-GCM with a key of 32 bytes, a nonce of 12 and a tag of 16."""
    if len(key) != STREAM_KEY_SIZE:
        raise ValueError(f"a key of {STREAM_KEY_SIZE} bytes")
    return library("cryptography.hazmat.primitives.ciphers.aead", extra="seal", purpose="sealing").AESGCM(key)


def decrypt(aead: Any, nonce: bytes, sealed: Buffer, associated: bytes) -> bytes | None:
    """Decrypt ciphertext and tag; None if the tag does not verify."""
    invalid = library("cryptography.exceptions", extra="seal", purpose="opening").InvalidTag
    try:
        plain: bytes = aead.decrypt(nonce, sealed, associated)
    except invalid:
        return None
    return plain


def _derive(key: Key, sender: bytes) -> tuple[Any, bytes]:
    """Return the cipher and the IV of a sender."""
    okm = hkdf(key.secret, sender, _INFO + key.stream.encode(), _DERIVED_SIZE)
    return cipher(okm[:STREAM_KEY_SIZE]), okm[STREAM_KEY_SIZE:]


# --- sealing ---


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
        mask = _FLAGS.get(version)
        if mask is None or type not in _TYPES or (form and version == 3):
            raise ValueError(_why_not_sealed(version, type))
        nbytes = len(payload) if payload.__class__ is bytes else memoryview(payload).nbytes
        sender = self._sender
        if nbytes >= _LARGE:
            sealed = sender.seal(payload, type, flags & mask, form & _FORM, nbytes)
        else:
            sealed = sender.counter.seal(sender.encrypt, payload, type, flags & mask, form & _FORM, nbytes)
        while sealed is None:  # the sender has ended, or is that of the process before a fork
            if nbytes > self._max_nbytes:
                raise ValueError(f"a payload of {nbytes} bytes; one sender seals {self._max_nbytes} bytes at most")
            sender = self._new_sender()
            sealed = sender.seal(payload, type, flags & mask, form & _FORM, nbytes)
            self._sender = sender  # after its first counter, so that other threads cannot have used all of them
        return sealed

    def renew(self) -> None:
        """Draw another sender, as is necessary after a snapshot of this process was restored."""
        self._sender = self._new_sender()

    def _new_sender(self) -> _Sender:
        drawn = self._draw()
        aead, iv = _derive(self.key, drawn)
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
    if version not in _FLAGS:
        return f"version {version} has no sealed payloads"
    if type not in _TYPES:
        return f"type 0x{type:02x} is not sealed: only data messages, templates and attestations are"
    return "version 3 has no form"


# --- opening ---


class NotOpened(StrEnum):
    """Why a payload was not opened, if that is not the fault of the peer."""

    UNKNOWN_KEY = "unknown key"
    """The keyring does not know the key id: the key may be on its way."""
    REPEATED = "repeated"
    """The counter was received before, or is too old to tell."""
    TOO_MANY_SENDERS = "too many senders"
    """The key has had 4,096 senders, and this is another one."""


class Opened(NamedTuple):
    """An opened payload.

    Attributes:
        payload: the payload before it was sealed.
        key: the key that it was sealed with.
        sender: the random number of the sealer, 8 bytes.
        counter: number of the message with this sender, from 0.
    """

    payload: bytes
    key: Key
    sender: bytes
    counter: int


class _Seen:
    """The received counters of one sender: the highest, and a bit for each of the latest ones."""

    __slots__ = ("blocks", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self.blocks: dict[int, int] = {}

    def has(self, counter: int, window: int) -> bool:
        """Return whether a counter was received, or is too old to tell."""
        if counter <= self.highest - window:
            return True
        return bool(self.blocks.get(counter // _BLOCK, 0) >> counter % _BLOCK & 1)

    def add(self, counter: int, window: int) -> None:
        if counter > self.highest:
            oldest = (counter - window) // _BLOCK
            if counter // _BLOCK != self.highest // _BLOCK:
                self.blocks = {block: bits for block, bits in self.blocks.items() if block >= oldest}
            self.highest = counter
        block = counter // _BLOCK
        self.blocks[block] = self.blocks.get(block, 0) | 1 << counter % _BLOCK


class _SendersOfKey:
    """The senders of one key: the latest with their counters, of the others the highest counter."""

    __slots__ = ("evicted", "kept")

    def __init__(self) -> None:
        self.kept: OrderedDict[bytes, _Seen] = OrderedDict()
        self.evicted: dict[bytes, int] = {}


@final
class ReplayWindow:
    """The counters that a viewer has received. It exists as long as the viewer's position in its stream.

    For each of the 64 latest senders of a key, it remembers the latest 2^16 counters, and refuses older ones. For
    earlier senders, it remembers the highest counter, and refuses all up to it. A key may have 4,096 senders.

    Args:
        window: number of counters.
        senders: number of senders of each key.
        all_senders: number of senders of each key, with those of which only the highest counter is known.
    """

    def __init__(
        self, *, window: int = REPLAY_WINDOW, senders: int = SENDERS_KEPT, all_senders: int = MAX_SENDERS
    ) -> None:
        self._window = window
        self._most_kept = senders
        self._most = all_senders
        self._keys: dict[int, _SendersOfKey] = {}

    def fault(self, key_id: int, sender: bytes, counter: int) -> NotOpened | None:
        """Return why a counter would be refused; None if it would not. Nothing is changed."""
        senders = self._keys.get(key_id)
        if senders is None:
            return None
        seen = senders.kept.get(sender)
        if seen is not None:
            return NotOpened.REPEATED if seen.has(counter, self._window) else None
        highest = senders.evicted.get(sender)
        if highest is not None:
            return NotOpened.REPEATED if counter <= highest else None
        is_full = len(senders.kept) + len(senders.evicted) >= self._most
        return NotOpened.TOO_MANY_SENDERS if is_full else None

    def take(self, key_id: int, sender: bytes, counter: int) -> NotOpened | None:
        """Enter a counter whose message was verified. Returns None, or why it is refused."""
        fault = self.fault(key_id, sender, counter)
        if fault is not None:
            return fault
        senders = self._keys.setdefault(key_id, _SendersOfKey())
        seen = senders.kept.get(sender)
        if seen is None:
            seen = senders.kept[sender] = _Seen()
            floor = senders.evicted.pop(sender, None)
            if floor is not None:  # everything up to it counts as received
                seen.highest = floor
                seen.blocks = _all_up_to(floor, self._window)
            if len(senders.kept) > self._most_kept:
                oldest, left = senders.kept.popitem(last=False)
                senders.evicted[oldest] = left.highest
        else:
            senders.kept.move_to_end(sender)
        seen.add(counter, self._window)
        return None

    def forget(self, key_id: int) -> None:
        """Forget the counters of a key, which must never open anything again."""
        self._keys.pop(key_id, None)


def _all_up_to(counter: int, window: int) -> dict[int, int]:
    """Return blocks in which all counters of the window up to this one count as received."""
    first = max(0, counter - window + 1) // _BLOCK
    blocks = dict.fromkeys(range(first, counter // _BLOCK), (1 << _BLOCK) - 1)
    blocks[counter // _BLOCK] = (2 << counter % _BLOCK) - 1
    return blocks


@final
class Opener:
    """Opens sealed payloads with the keys of a keyring. Not for several threads at once.

    Args:
        keyring: the keys.
        window: the counters that were received before; by default, none.

    Attributes:
        window: the received counters. Pass it to the opener of the next connection.

    Raises:
        MissingLibrary: the extra ``seal`` is not installed.
    """

    def __init__(self, keyring: Keyring, window: ReplayWindow | None = None) -> None:
        library("cryptography.hazmat.primitives.ciphers.aead", extra="seal", purpose="opening sealed payloads")
        self._keyring = keyring
        self.window = ReplayWindow() if window is None else window
        self._derived: OrderedDict[tuple[int, bytes], tuple[Key, Any, int]] = OrderedDict()

    def open(
        self,
        payload: Buffer,
        *,
        version: int,
        type: int,
        flags: int = 0,
        form: int = 0,
        stream: str | None,
        again: bool = False,
    ) -> Opened | NotOpened:
        """Open a payload. Nothing is entered in the window; ``take`` does that.

        Args:
            payload: the sealed payload.
            version: version of its frame, 3 or 4.
            type: type of the message.
            flags: flags of the frame.
            form: form of the frame, 0 in version 3.
            stream: name of the stream of the frame, empty for none. None if the header names no stream, as in version
                3: ``check_stream`` then compares the map.
            again: whether a counter that was received before is opened again, as templates in an answer are.

        Returns:
            The payload, or why it was not opened if that is not the fault of the peer.

        Raises:
            InvalidDataFormat: 0x200, check 8; less than 32 bytes.
            AuthenticationFailed: 0x202, check 8; the tag does not verify (``reason`` "tag"), the key is that of another
                stream ("stream"), the counter is 2^24 or more ("counter"), or the message is of a type that is not
                sealed ("type").
            ValueError: another version.
        """
        if version not in _FLAGS:
            raise ValueError("sealed payloads are of version 3 or 4")
        flat = flatten(payload)
        if flat.nbytes < SEAL_OVERHEAD:
            raise InvalidDataFormat(
                f"a sealed payload of {flat.nbytes} bytes; it has {SEAL_OVERHEAD} at least", check=Check.ENCRYPTION
            )
        if type not in _TYPES:
            raise _refused(f"a sealed message of type 0x{type:02x}, which is never sealed", "type")
        prefix = bytes(flat.view(0, SEAL_PREFIX))
        key_id, sender = int.from_bytes(prefix[:4], "big"), prefix[4:12]
        counter = int.from_bytes(prefix[12:], "big")
        key = self._keyring.find(key_id)
        if key is None:
            return NotOpened.UNKNOWN_KEY
        if stream is not None and key.stream != stream:
            raise _refused(f"the stream key {key_id} is not that of the stream", "stream")
        if counter >= SENDER_MESSAGES:
            raise _refused(f"the counter {counter} of a sender; it is below {SENDER_MESSAGES}", "counter")
        if not again and (fault := self.window.fault(key_id, sender, counter)):
            return fault
        aead, iv = self._of_sender(key, sender)
        associated = bytes((type, flags & _FLAGS[version], form & _FORM)) + prefix
        nonce = (iv ^ counter).to_bytes(12, "big")
        plain = decrypt(aead, nonce, flat.view(SEAL_PREFIX, flat.nbytes), associated)
        if plain is None:
            raise _refused("the tag of a sealed payload does not verify", "tag")
        self._keep(key, sender, aead, iv)
        return Opened(plain, key, sender, counter)

    def take(self, opened: Opened) -> NotOpened | None:
        """Enter the counter of an opened payload when its message is taken from the queue.

        Returns:
            None; or why the message must be discarded: its counter was entered after the message was opened.
        """
        return self.window.take(opened.key.id, opened.sender, opened.counter)

    def _of_sender(self, key: Key, sender: bytes) -> tuple[Any, int]:
        found = self._derived.get((key.id, sender))
        if found is not None and (found[0] is key or found[0] == key):
            return found[1], found[2]
        aead, iv = _derive(key, sender)
        return aead, int.from_bytes(iv, "big")

    def _keep(self, key: Key, sender: bytes, aead: Any, iv: int) -> None:
        """Keep what was derived for a sender that has verified; invented senders would evict the real ones."""
        self._derived[key.id, sender] = (key, aead, iv)
        self._derived.move_to_end((key.id, sender))
        if len(self._derived) > _MAX_DERIVED:
            self._derived.popitem(last=False)

    def __repr__(self) -> str:
        return f"Opener({self._keyring!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an opener can be neither pickled nor copied: its keys would be in the copy")


def check_stream(opened: Opened, data: Any, *, version: int) -> None:
    """Compare ``stream`` of an opened map with the stream of its key.

    If the header names no stream, as in version 3, a map without it is refused as well.

    Args:
        opened: the opened payload.
        data: what it holds, unpacked.
        version: version of its frame; 3 as well for a frame of version 4 without a stream.

    Raises:
        AuthenticationFailed: 0x202, check 8, ``reason`` "stream"; they differ.
    """
    named = data.get("stream") if isinstance(data, dict) else None
    if named is None and (version >= 4 or not opened.key.stream):
        return
    if named != opened.key.stream:
        raise _refused(f"the message is of another stream than its key {opened.key.id}", "stream")


def _refused(message: str, reason: str) -> AuthenticationFailed:
    error = AuthenticationFailed(message, check=Check.ENCRYPTION)
    error.reason = reason
    return error


def check_timestamp(type: int, data: Any) -> None:
    """Refuse to seal or sign a data message without ``timestamp``, since a viewer could not tell that it is stale.

    Raises:
        ValueError: the map of a data message has no ``timestamp``.
    """
    if (
        type in _TYPES
        and type < MessageType.HEARTBEAT
        and (not isinstance(data, dict) or data.get("timestamp") is None)
    ):
        raise ValueError("a data message that is sealed or signed must have a timestamp")

"""Opens sealed payloads with the keys of a keyring."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, final

from .._core import flatten
from ..errors import AuthenticationFailed, InvalidDataFormat
from ..libraries import library
from ..protocol import SEAL_OVERHEAD, SEAL_PREFIX, SENDER_MESSAGES, Check
from .primitives import PROTECTED_FLAGS, PROTECTED_FORM, SEALED_TYPES, decrypt, derive_cipher
from .replay_window import NotOpened, ReplayWindow

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .keys import Key, Keyring

__all__ = ["Opened", "Opener", "check_stream"]

_MAX_DERIVED: Final = 256
"""Maximum number of derived keys that an opener keeps."""


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
        if version not in PROTECTED_FLAGS:
            raise ValueError("sealed payloads are of version 3 or 4")
        flat = flatten(payload)
        if flat.nbytes < SEAL_OVERHEAD:
            raise InvalidDataFormat(
                f"a sealed payload of {flat.nbytes} bytes; it has {SEAL_OVERHEAD} at least", check=Check.ENCRYPTION
            )
        if type not in SEALED_TYPES:
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
        associated = bytes((type, flags & PROTECTED_FLAGS[version], form & PROTECTED_FORM)) + prefix
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
        aead, iv = derive_cipher(key, sender)
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

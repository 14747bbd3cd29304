"""Sealing of the streams of a server: its keys, its sealers, and which viewers may have which keys.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from ..codec import Codec, EncodedFrame
from ..protocol import LARGEST_LENGTH, Capability, MessageType
from ..seal import Key, Keyring, Sealer
from ..session.outgoing import encoding_for
from ..session.sealed_content import sealed_content

if TYPE_CHECKING:
    from ..session import Binding, Encoding, ServerSession

Policy = Literal["required", "offered"]
"""How viewers without ``encryption`` are treated: they never get a sealed stream, or all get it in plain."""

HANDED_OUT_BEFORE: Final = 60.0
"""Seconds before a key begins in which it is handed out."""

MOST_SEALERS: Final = 8192
"""Number of sealers that a server keeps, those used last."""

OF_TEMPLATES: Final = encoding_for(4, frozenset({Capability.ENCRYPTION}))
"""The encoding of sealed templates, the same for all viewers."""

_reader: Final = Codec(max_payload=LARGEST_LENGTH)


class SealRefused(ValueError):
    """A message cannot be published on its sealed or signed stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """How a handler seals its streams.

    Attributes:
        keyring: the keys; a stream with a key is sealed. A keyring that has ``upcoming``, such as ``StoredKeys``, can
            rotate keys without a gap.
        policy: whether viewers that cannot open a stream are denied it; for all streams, or by name.
        compress: whether records and arrays may be made smaller. Then the sizes of sealed frames, which anyone on the
            way sees, reveal the heart rate.
    """

    keyring: Keyring
    policy: Policy | Callable[[str], Policy] = "required"
    compress: bool = False


class Seals:
    """The sealers of a handler.

    Args:
        sealing: the keys and how to use them.
        keys_without_tls: whether keys may be handed out without TLS of this server.
        clock: returns Unix seconds.

    Attributes:
        compress: as in ``Sealing``.
        sealed: number of frames that were sealed.
    """

    def __init__(
        self, sealing: Sealing, *, keys_without_tls: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self.compress = sealing.compress
        self.sealed = 0
        self._sealing = sealing
        self._keys_without_tls = keys_without_tls
        self._clock = clock
        self._sealers: OrderedDict[tuple[Key, Encoding], Sealer] = OrderedDict()

    def of(self, stream: str) -> StreamSeal | None:
        """Return the sealing of a stream; None if it is not sealed.

        Raises:
            ValueError: it is sealed, but none of its keys is valid now.
        """
        key = self._sealing.keyring.current(stream)
        return None if key is None else StreamSeal(self, key)

    def seals(self, stream: str) -> bool:
        """Return whether a stream is sealed, whether its keys are valid now or not."""
        try:
            return self._sealing.keyring.current(stream) is not None
        except ValueError:
            return True

    def offers_plain(self, stream: str) -> bool:
        """Return whether viewers without ``encryption`` get a sealed stream in plain."""
        policy = self._sealing.policy
        return (policy(stream) if callable(policy) else policy) == "offered"

    def current(self, key: Key) -> Key:
        """Return the present key of the stream of a key; if none is valid any more, that key."""
        try:
            return self._sealing.keyring.current(key.stream) or key
        except ValueError:
            return key

    def sealer(self, key: Key, encoding: Encoding) -> Sealer:
        """Return the sealer of a key for an encoding, the same for all viewers and messages."""
        place = key, _without_flags(encoding)
        sealer = self._sealers.get(place)
        if sealer is None:
            sealer = self._sealers[place] = Sealer(key)
            if len(self._sealers) > MOST_SEALERS:
                self._sealers.popitem(last=False)
        return sealer

    # --- viewers ---

    def refusal(self, stream: str, session: ServerSession, *, ended_tls: bool, wants_keys: bool) -> str | None:
        """Return why a viewer cannot get a sealed stream, for a person; None if it can.

        Args:
            stream: its name.
            session: that of the viewer.
            ended_tls: whether this server has ended the TLS of the connection.
            wants_keys: whether the viewer wants keys.
        """
        if not self.seals(stream):
            return None
        encoding = session.encoding
        if not encoding.sealed:
            if self.offers_plain(stream):
                return None
            return (
                f"this stream is sealed, and this connection speaks version {session.version} without the capability "
                "'encryption': use a client of version 3 or later that has a cipher (Python: pip install "
                '"ecgframe[seal]"; browsers: over https)'
            )
        if not (self.compress or encoding.record or encoding.binary):
            return (
                "this stream is sealed with constant sizes, for which a client needs the capability 'templates' or "
                "'ndarray-bin'"
            )
        if wants_keys and not self.may_hand_out(ended_tls=ended_tls):
            return (
                "the keys of this stream are handed out over TLS only, and this server has not ended the TLS of this "
                "connection: use wss:// to the server itself, or have its operator set keys_without_tls"
            )
        return None

    def may_hand_out(self, *, ended_tls: bool) -> bool:
        """Return whether keys may be handed out over a connection."""
        return ended_tls or self._keys_without_tls

    def keys_of(self, stream: str) -> tuple[Key, ...]:
        """Return the keys of a stream to hand out now: the present one, and the next one before it begins."""
        keyring = self._sealing.keyring
        try:
            key = keyring.current(stream)
        except ValueError:
            key = None
        keys = [] if key is None else [key]
        upcoming = getattr(keyring, "upcoming", None)
        following = cast("Key | None", None if upcoming is None else upcoming(stream))
        if following is not None and (following.begins or 0.0) - self._clock() <= HANDED_OUT_BEFORE:
            keys.append(following)
        return tuple(keys)

    # --- messages ---

    def prepared(self, stream: str, type: MessageType, data: Any) -> Any:
        """Return the payload as it is sealed: plain lists of numbers in ``signal`` as a float64 array.

        Raises:
            SealRefused: the message has no ``timestamp``, names another stream, or no key of the stream is valid now.
        """
        try:
            if self.of(stream) is None:
                return data
            return sealed_content(stream, type, data, compress=self.compress)
        except ValueError as error:
            raise SealRefused(str(error)) from None


@lru_cache(maxsize=256)
def _without_flags(encoding: Encoding) -> Encoding:
    return encoding._replace(flags=0)


class StreamSeal:
    """What seals the messages of a stream.

    Args:
        seals: those of the handler.
        key: the present key of the stream.
    """

    __slots__ = ("_key", "_seals", "compress")

    def __init__(self, seals: Seals, key: Key) -> None:
        self._seals = seals
        self._key = key
        self.compress = seals.compress

    @property
    def offers_plain(self) -> bool:
        """True if viewers without ``encryption`` get the message in plain."""
        return self._seals.offers_plain(self._key.stream)

    def key(self) -> Key:
        """Return the present key: what is kept is sealed anew after a rotation."""
        return self._seals.current(self._key)

    def sealer(self, encoding: Encoding) -> Sealer:
        """Return the sealer with the present key, for one frame in an encoding."""
        self._seals.sealed += 1
        return self._seals.sealer(self.key(), encoding)

    def sealed_binding(self, binding: Binding) -> Binding:
        """Return the same with sealed templates."""
        if not binding.templates:
            return binding
        sealer = self.sealer(OF_TEMPLATES)
        return binding._replace(templates=tuple(verified(one).sealed(sealer).frame for one in binding.templates))


def verified(frame: bytes) -> EncodedFrame:
    """Return a frame that this server has encoded, with the fields of its header."""
    return _reader.verify(frame)

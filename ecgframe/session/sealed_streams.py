"""State of a viewer's sealed streams over all its connections: the application's keys, and the received messages.

Section "Sealed streams" of the specification.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import AuthenticationFailed
from ..protocol import HISTORY_WINDOW, MAX_DIGESTS, Check
from ..seal import ReplayWindow
from .attestations import StreamAttestations

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..codec import Message
    from ..messages.templates import Template
    from ..seal import Key, Keyring
    from ..signing import Verifier

STALE_AFTER: Final = 90.0
"""Seconds after which a message of a sealed stream is stale: 60, and the 30 for which a server keeps messages."""


KEPT_HISTORIES: Final = 8
"""Histories of a stream, the latest, of which is known where signed messages came."""


def window_of_history() -> ReplayWindow:
    """Return a window for the counters of one history.

    It knows more counters than that of a subscription: what a server has to seal again, of old messages, has later
    counters than what it still has sealed of those that follow.
    """
    return ReplayWindow(window=HISTORY_WINDOW)


def can_open() -> bool:
    """Return whether the library for opening sealed payloads is installed."""
    return find_spec("cryptography") is not None


def keyring_failed(text: str, check: Check) -> AuthenticationFailed:
    """Return the error for a key that cannot be used, with ``reason`` "key"."""
    error = AuthenticationFailed(text, check=check)
    error.reason = "key"
    return error


class KeptMessage(NamedTuple):
    """A message of a stream as it was packed, opened and inflated.

    Attributes:
        stream: name of the stream.
        epoch: of its number.
        number: its number.
        message: the same, decoded.
        payload: as packed, with its signature if it is signed.
        template: of a record: its template.
    """

    stream: str
    epoch: int
    number: int
    message: Message
    payload: bytes
    template: Template | None


class SignedPlace(NamedTuple):
    """Where a signed message came: epoch and number in its stream, and timestamp of its frame."""

    epoch: int
    number: int
    timestamp: int | None


class _Subscribed:
    """A stream that is subscribed to."""

    __slots__ = ("attestations", "histories", "is_required", "signed", "stale_after", "window")

    def __init__(self, is_required: bool, stale_after: float) -> None:
        self.is_required = is_required
        self.stale_after = stale_after
        self.window = ReplayWindow()
        self.signed: OrderedDict[bytes, SignedPlace] = OrderedDict()
        """By digest, where the messages with a right signature of their own came."""
        self.histories: OrderedDict[int, OrderedDict[bytes, SignedPlace]] = OrderedDict()
        """The same of each history, by its request: its messages were received before, or will be."""
        self.attestations: StreamAttestations | None = None


class SealedStreams:
    """The sealed streams of one viewer, over all its connections.

    Args:
        keyring: the application's own keys; they take precedence over those that servers hand out.
        clock: returns Unix seconds; without it, no message is stale.
        verifier: verifies the signatures of known signers; None to cut signatures off.
        keeper: called with each message of a stream, templates and attestations included; None to keep none.
    """

    def __init__(
        self,
        keyring: Keyring | None = None,
        clock: Callable[[], float] | None = None,
        verifier: Verifier | None = None,
        keeper: Callable[[KeptMessage], object] | None = None,
    ) -> None:
        self.keeper = keeper
        self.keyring = keyring
        self.verifier = verifier
        self._clock = clock
        self._streams: dict[str, _Subscribed] = {}

    def begin(self, stream: str, *, is_required: bool = False, stale_after: float = STALE_AFTER) -> None:
        """Begin another subscription, which has had no message.

        Args:
            stream: its name.
            is_required: whether plain messages are refused even without a key.
            stale_after: seconds after which a message is stale.
        """
        self._streams[stream] = _Subscribed(is_required, stale_after)

    def end(self, stream: str) -> None:
        """End a subscription."""
        self._streams.pop(stream, None)

    def __contains__(self, stream: object) -> bool:
        return stream in self._streams

    def window_of(self, stream: str) -> ReplayWindow | None:
        """Return the counters of a stream that were received; None if it is not subscribed to."""
        known = self._streams.get(stream)
        return None if known is None else known.window

    def has_own_keys(self, stream: str) -> bool:
        """Return whether the application has keys of the stream, valid now or not.

        Raises:
            AuthenticationFailed: (``reason`` "key") the keyring failed.
        """
        if self.keyring is None:
            return False
        try:
            return self.keyring.current(stream) is not None
        except ValueError:
            return True
        except Exception as error:
            text = (
                f"the application's keyring failed for the stream {stream!r}: current() raised {type(error).__name__};"
                " it is to return None for a stream without keys, and to raise ValueError if none of them is valid"
            )
            raise keyring_failed(text, Check.ENCRYPTION) from error

    def own_key(self, key_id: int, check: Check = Check.ENCRYPTION) -> Key | None:
        """Return a key of the application; None if it does not have that one.

        Raises:
            AuthenticationFailed: (``reason`` "key") the keyring failed.
        """
        if self.keyring is None:
            return None
        try:
            return self.keyring.find(key_id)
        except Exception as error:
            text = (
                f"the application's keyring failed for the key id {key_id}: find() raised {type(error).__name__};"
                " it is to return None for a key that it does not have"
            )
            raise keyring_failed(text, check) from error

    def is_required(self, stream: str) -> bool:
        """Return whether plain messages of the stream are refused over every connection."""
        known = self._streams.get(stream)
        return (known is not None and known.is_required) or self.has_own_keys(stream)

    def attestations_of(self, stream: str) -> StreamAttestations | None:
        """Return the attestations of a stream; None if it is not subscribed to, or no signers are known."""
        known = self._streams.get(stream)
        if known is None or self.verifier is None:
            return None
        if known.attestations is None:
            known.attestations = StreamAttestations(self.verifier, stream)
        return known.attestations

    def attested_streams(self) -> list[tuple[str, StreamAttestations]]:
        """Return the streams that had messages which may be attested."""
        found = [(name, known.attestations) for name, known in self._streams.items()]
        return [(name, attestations) for name, attestations in found if attestations is not None]

    def take_signed(
        self, stream: str, digest: bytes, place: SignedPlace, history: int | None = None
    ) -> SignedPlace | None:
        """Enter a message whose own signature is right. Whoever forwards it could send it again under another number.

        Args:
            stream: name of the stream.
            digest: of the message.
            place: where it came.
            history: the request for a history to which it belongs; None for what is live.

        Returns:
            Where the same message came before, under another number; None if it did not.
        """
        known = self._streams.get(stream)
        if known is None:
            return None
        signed = known.signed if history is None else known.histories.setdefault(history, OrderedDict())
        if len(known.histories) > KEPT_HISTORIES:
            known.histories.popitem(last=False)
        before = signed.setdefault(digest, place)
        if len(signed) > MAX_DIGESTS:
            signed.popitem(last=False)
        return None if before[:2] == place[:2] else before

    def is_stale(self, stream: str, seconds: float) -> bool:
        """Return whether a message of that time, in Unix seconds, is stale."""
        if self._clock is None:
            return False
        known = self._streams.get(stream)
        return self._clock() - seconds > (STALE_AFTER if known is None else known.stale_after)

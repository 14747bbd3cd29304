"""Settings of one side of a connection: versions, capabilities, time limits, queues, and the rate limit of the peer."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from ..codec import NumericLists
from ..compression import Compression, zstd
from ..protocol import (
    CAPABILITY_SINCE,
    DATA_TYPES,
    DEFAULT_MAX_PAYLOAD,
    DEFAULT_VERSION,
    FRAGMENT_SIZE,
    HEADER_SIZES,
    HEARTBEAT_INTERVAL,
    LARGEST_LENGTH,
    LEAST_FRAGMENT,
    MAX_BATCH_PAYLOAD,
    SESSION_VERSIONS,
    VERSIONS,
    Capability,
    MessageType,
)

MiB: Final = 1024 * 1024

LONGEST_LINGER: Final = 1.0
"""Longest time in seconds for which LIVE frames may wait for others."""

REMEMBERED: Final = 1024
"""Number of timestamps that a receiver remembers to recognize messages that are sent again: of messages that the
application works on, and as many of acknowledged ones. So at most as many messages may be unacknowledged at once."""

EVERYTHING: Final = frozenset(
    capability
    for capability, since in CAPABILITY_SINCE.items()
    if since <= 3 and capability is not Capability.ENCRYPTION
)
"""The capabilities that this package supports in versions 1 to 3. ``encryption`` is added where there are keys: by the
handler of a server that seals, and by a client."""

OF_VERSION_4: Final = frozenset({Capability.TEMPLATES, Capability.DELTA, Capability.FRAGMENTS, Capability.LZ4})
"""Those that it supports in version 4 besides. ``zstd`` is added where its library is installed."""


def supported_by(versions: tuple[int, ...]) -> frozenset[Capability]:
    """The capabilities that a session of these versions has by default."""
    if 4 not in versions:
        return EVERYTHING
    return EVERYTHING | OF_VERSION_4 | ({Capability.ZSTD} if zstd.is_available() else frozenset())


_ALGORITHMS: Final = frozenset({Capability.ZSTD, Capability.LZ4})

_OF_VERSIONS_1_TO_3: Final = EVERYTHING | {Capability.ENCRYPTION}

_WITH_KEYS: Final = frozenset({Capability.ENCRYPTION, Capability.SIGNING})
"""Those that need keys, and are added where there are some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Limits the cost of a peer: a token bucket for each resource, with a long-term rate and a burst.

    Attributes:
        frames: frames per second.
        frames_burst: frames in a burst.
        nbytes: bytes per second of received messages and of the answers to them.
        nbytes_burst: bytes in a burst; at least the size of the largest message to be accepted.
        inflated: bytes per second of compressed payloads after inflating.
        inflated_burst: such bytes in a burst; at least the size of the largest payload to be accepted.
        unpacked: bytes of memory per second that the values of payloads take. A number in a plain list takes 8 to 40, a
            short text 60, a map at least 80, and a sample of an ndarray at most 8.
        unpacked_burst: such bytes in a burst; no message may take more.
        seconds: seconds of processor time per second. The cost of a message is known only after it is decoded; if it
            exceeds the limit, the following messages are refused.
        seconds_burst: such seconds in a burst.

    Raises:
        ValueError: a number is not above 0.
    """

    frames: float = 1000
    frames_burst: int = 4000
    nbytes: float = 8 * MiB
    nbytes_burst: int = 32 * MiB
    inflated: float = 16 * MiB
    inflated_burst: int = 32 * MiB
    unpacked: float = 16 * MiB
    unpacked_burst: int = 32 * MiB
    seconds: float = 0.25
    seconds_burst: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} of a rate limit is a number above 0, not {getattr(self, field.name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one side of a connection.

    Attributes:
        versions: protocol versions that this side speaks; both sides agree on the highest that they have in common.
        capabilities: capabilities that it offers in the negotiation; by default, all that the versions have. All
            those of version 4 mean the same for other versions, so that ``dataclasses.replace`` can change these.
        max_payload: largest payload that it accepts, in bytes, as received and inflated. A server announces it, and a
            client of version 4.
        heartbeat_interval: seconds without sending after which a HEARTBEAT is sent; a peer from which nothing was
            received for three intervals is considered dead. A client uses the interval that its server announces.
        negotiation_timeout: seconds that a client waits for the first message of the server before it treats it as an
            old server.
        acknowledgement_timeout: seconds until an unacknowledged message is sent again.
        acknowledgement_attempts: how many times it is sent in all before it counts as undelivered.
        max_unacknowledged: maximum number of unacknowledged messages; at most as many as a receiver remembers.
        queue_frames: maximum number of frames that wait to be sent.
        queue_bytes: maximum number of bytes that wait to be sent, in addition to one frame that alone exceeds this.
        batch_bytes: maximum size of a batch: several frames in one WebSocket message, for peers that support it.
        linger: seconds for which a server lets small LIVE frames wait for others, to send them in one message to peers
            that support batches; a few milliseconds save most of the work for viewers of many streams. Alerts and
            control messages do not wait. 0 sends each frame at once.
        live_seconds: seconds after which waiting data of version 4 is dropped, and that is reported to the peer, so
            that a viewer that was cut off for a while sees the present at once; infinity for never. Templates, messages
            that need an acknowledgement and the class BULK are not dropped.
        fragment_bytes: bytes of the pieces into which larger payloads are cut, for peers of version 4 that support it;
            an alert that is sent meanwhile waits for a piece or two. At least 1,024.
        rate_limit: limit on the cost of the peer; None for no limit.
        validate: whether to check the fields of data messages; those of control messages are always checked.
        numeric_lists: "ndarray" converts plain lists of numbers in data messages to arrays.
        copy: True to make the arrays of received messages copies, which are writable. By default, those in binary form
            are read-only views of the received bytes.
        default: function that converts an object of a type that the protocol does not have, in messages that this side
            sends; see ``Codec``. It is called in other threads as well, for large messages. None refuses such objects.
        compression: when to compress payloads for peers that can decompress them, and of version 4 with which of the
            algorithms that both sides have; None for never.
        keys_without_tls: whether a server hands out the keys of sealed streams over connections whose TLS it has not
            ended itself, for example behind a proxy that does. Whoever reads such a connection reads the keys.
        require_signature: types of data messages that a client refuses unless one of its signers has signed them.

    Raises:
        ValueError: a value is invalid, or the rate limit would refuse the largest payload.
        TypeError: ``default`` is no function, or cannot be hashed, which sharing of frames requires.
        MissingLibrary: the capabilities have ``zstd``, whose library is not installed.
    """

    versions: tuple[int, ...] = SESSION_VERSIONS
    capabilities: frozenset[Capability] = EVERYTHING
    max_payload: int = DEFAULT_MAX_PAYLOAD
    heartbeat_interval: float = HEARTBEAT_INTERVAL
    negotiation_timeout: float = 5.0
    acknowledgement_timeout: float = 2.0
    acknowledgement_attempts: int = 5
    max_unacknowledged: int = 1024
    queue_frames: int = 1024
    queue_bytes: int = 4 * MiB
    batch_bytes: int = 64 * 1024
    linger: float = 0.0
    live_seconds: float = 5.0
    fragment_bytes: int = FRAGMENT_SIZE
    rate_limit: RateLimit | None = None
    validate: bool = False
    numeric_lists: NumericLists = "list"
    copy: bool = False
    default: Callable[[Any], Any] | None = None
    compression: Compression | None = Compression()
    keys_without_tls: bool = False
    require_signature: frozenset[MessageType] = frozenset()

    def __post_init__(self) -> None:
        if not self.versions or not set(self.versions) <= set(VERSIONS):
            raise ValueError(f"versions are some of {VERSIONS}, not {self.versions}")
        self._check_capabilities()
        self._check_numbers()
        if self.default is not None and not (callable(self.default) and isinstance(self.default, Hashable)):
            raise TypeError(
                f"default is a function of the object to convert, with a hash, not {type(self.default).__name__}"
            )

    def _check_capabilities(self) -> None:
        supported = supported_by(self.versions)
        if self.capabilities is EVERYTHING:
            object.__setattr__(self, "capabilities", supported)
        elif 4 not in self.versions and self.capabilities >= supported_by(VERSIONS):  # of replace()
            object.__setattr__(self, "capabilities", self.capabilities & _OF_VERSIONS_1_TO_3)
        if unsupported := self.capabilities - EVERYTHING - OF_VERSION_4 - _WITH_KEYS - {Capability.ZSTD}:
            raise ValueError(f"this package does not have {', '.join(sorted(unsupported))}")
        if 4 in self.versions:
            if Capability.ZSTD in self.capabilities:
                zstd.require()
            supported |= {Capability.SIGNING}
        if unsupported := self.capabilities - supported - {Capability.ENCRYPTION}:
            raise ValueError(f"only version 4 has {', '.join(sorted(unsupported))}; versions are {self.versions}")
        if not self.require_signature <= DATA_TYPES:
            raise ValueError("require_signature has types of data messages only")

    def _check_numbers(self) -> None:
        if not 0 < self.max_payload <= LARGEST_LENGTH:
            raise ValueError(f"max_payload is a number of bytes from 1 to {LARGEST_LENGTH}, not {self.max_payload}")
        for name in (
            "heartbeat_interval",
            "negotiation_timeout",
            "acknowledgement_timeout",
            "acknowledgement_attempts",
            "max_unacknowledged",
            "queue_frames",
            "queue_bytes",
            "batch_bytes",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is a finite number above 0, not {getattr(self, name)}")
        if self.batch_bytes > MAX_BATCH_PAYLOAD:
            raise ValueError(f"batch_bytes is at most {MAX_BATCH_PAYLOAD}, not {self.batch_bytes}")
        self._check_classes()
        if self.max_unacknowledged > REMEMBERED:
            raise ValueError(f"max_unacknowledged is at most {REMEMBERED}, not {self.max_unacknowledged}")
        largest = self.max_payload + self.header_size
        if self.rate_limit and self.rate_limit.nbytes_burst < largest:
            raise ValueError(
                f"a frame may have {largest} bytes, and the rate limit lets {self.rate_limit.nbytes_burst} through at "
                "once: lower max_payload or raise nbytes_burst"
            )
        if self.rate_limit and self.rate_limit.inflated_burst < self.max_payload:
            raise ValueError(
                f"a payload may have {self.max_payload} bytes, and the rate limit lets "
                f"{self.rate_limit.inflated_burst} be inflated at once: lower max_payload or raise inflated_burst"
            )

    def _check_classes(self) -> None:
        """Check how messages of version 4 wait and are cut."""
        if not 0 <= self.linger <= LONGEST_LINGER:
            raise ValueError(f"linger is from 0 to {LONGEST_LINGER} seconds, not {self.linger}")
        if not self.live_seconds > 0:
            raise ValueError(f"live_seconds is a number above 0, not {self.live_seconds}")
        if not LEAST_FRAGMENT <= self.fragment_bytes <= LARGEST_LENGTH:
            raise ValueError(f"fragment_bytes is at least {LEAST_FRAGMENT}, not {self.fragment_bytes}")

    @property
    def with_signing(self) -> Settings:
        """The same settings with the capability ``signing``; without it if they name only some, or not version 4."""
        if 4 not in self.versions or not self.capabilities >= supported_by(self.versions) - _ALGORITHMS:
            return self
        return replace(self, capabilities=self.capabilities | {Capability.SIGNING})

    @property
    def with_encryption(self) -> Settings:
        """The same settings with the capability ``encryption``; without it if they name only some capabilities."""
        if not supported_by(self.versions) - _ALGORITHMS <= self.capabilities:
            return self
        return replace(self, capabilities=self.capabilities | {Capability.ENCRYPTION})

    @property
    def without_version_4(self) -> Settings:
        """The same settings for versions 1 to 3.

        Raises:
            ValueError: they name version 4 only.
        """
        capabilities = self.capabilities & _OF_VERSIONS_1_TO_3
        versions = tuple(version for version in self.versions if version < 4)
        return replace(self, versions=versions, capabilities=capabilities)

    @property
    def latest_version(self) -> int:
        """The highest version that this side speaks."""
        return max(self.versions)

    @property
    def header_size(self) -> int:
        """Bytes that the header of a frame may have."""
        return HEADER_SIZES[max(DEFAULT_VERSION, *self.versions)]

"""Puts fragments together to whole messages. Section "Fragments" of the specification.

A sender cuts large messages, so that an alert does not wait for all of one. The fragments of a message come in order;
those of other classes of service may come in between. So a receiver has at most one unfinished message of each class,
and keeps no more of it than has arrived.
"""

from __future__ import annotations

import struct
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from .._core import Header, crc32
from ..errors import InvalidDataFormat, MessageTooLarge, ProtocolError
from ..protocol import FRAGMENT_HEADER, HEADER_SIZES, LEAST_FRAGMENT, STREAM_TYPES, Check, Flag, Form, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_FRAGMENT: Final = int(Flag.FRAGMENT)
_PRIORITY: Final = int(Flag.PRIORITY)
_BULK: Final = int(Form.BULK)
_SIZE: Final = HEADER_SIZES[4]
_FIELDS: Final = struct.Struct(">II")

MessageKey = tuple[int, int]
"""Stream id and timestamp, which identify the message of a fragment."""


class Unfinished:
    """A message of which fragments are missing.

    Attributes:
        header: of its first fragment.
        total: bytes of the whole payload.
        frame: room for the header, then the payload as far as it has arrived.
        last_at: when the latest fragment arrived, in seconds.
    """

    __slots__ = ("frame", "header", "last_at", "total")

    def __init__(self, header: Header, total: int) -> None:
        self.header = header
        self.total = total
        self.frame = bytearray(_SIZE)
        self.last_at = 0.0

    @property
    def arrived(self) -> int:
        """Bytes of the payload that have arrived."""
        return len(self.frame) - _SIZE


class Added(NamedTuple):
    """The result of adding a fragment.

    Attributes:
        frame: the whole frame, if this was the last fragment.
        lost: the unfinished message of the same class that was dropped because this fragment begins another one.
    """

    frame: bytearray | None
    lost: Unfinished | None


class Reassembly:
    """The unfinished messages of one peer.

    Args:
        max_payload: maximum size of the payload of a message, in bytes.
        least: minimum size of a piece that is not the last one, in bytes.
    """

    __slots__ = ("_ignored", "_least", "_max_payload", "_unfinished")

    def __init__(self, max_payload: int, least: int = LEAST_FRAGMENT) -> None:
        self._max_payload = max_payload
        self._least = least
        self._unfinished: dict[int, Unfinished] = {}
        self._ignored: dict[int, MessageKey] = {}  # by class: the latest message that was refused or forgotten

    @property
    def has_unfinished(self) -> bool:
        """True if fragments of a message are missing."""
        return bool(self._unfinished)

    @property
    def nbytes(self) -> int:
        """Bytes of unfinished messages that have arrived."""
        return sum(one.arrived for one in self._unfinished.values())

    def add(self, header: Header, payload: memoryview, now: float) -> Added:
        """Add a fragment, whose header and checksum were checked.

        Args:
            header: of the fragment.
            payload: its payload: total, offset, piece.
            now: the time, in seconds.

        Raises:
            InvalidDataFormat, MessageTooLarge: (check 13) it does not continue its message. The message is dropped;
                its later fragments are ignored.
        """
        group = _class_of(header)
        key = _key_of(header)
        current = self._unfinished.get(group)
        lost = None
        if self._ignored.get(group) == key and any(payload[4:FRAGMENT_HEADER]):
            return Added(None, None)
        try:
            total, offset = self._read(header, payload)
            if offset == 0:
                lost = None if current is None or _key_of(current.header) == key else current
                current = Unfinished(header, total)
            else:
                self._check_continues(current, header, total, offset)
                assert current is not None
        except ProtocolError as error:
            error.reason = "fragment"
            self.refuse(header)
            raise
        self._ignored.pop(group, None)
        self._unfinished[group] = current
        current.frame += payload[FRAGMENT_HEADER:]
        current.last_at = now
        if current.arrived < total:
            return Added(None, lost)
        del self._unfinished[group]
        return Added(_finish(current), lost)

    def refuse(self, header: Header) -> None:
        """Drop the message of a fragment that was refused, and ignore its later fragments."""
        group = _class_of(header)
        key = _key_of(header)
        current = self._unfinished.get(group)
        if current is not None and _key_of(current.header) == key:
            del self._unfinished[group]
        self._ignored[group] = key

    def forget(self, is_forgotten: Callable[[int], bool]) -> None:
        """Drop unfinished messages by the ids of their streams, and ignore their later fragments."""
        for one in list(self._unfinished.values()):
            if is_forgotten(one.header.stream_id or 0):
                self.refuse(one.header)

    def deadline(self, timeout: float) -> float:
        """Return when an unfinished message is dropped if no further fragment of it arrives; infinity if none is there.

        Args:
            timeout: seconds for which to wait for a further fragment.
        """
        return min([one.last_at for one in self._unfinished.values()], default=inf) + timeout

    def expire(self, timeout: float, now: float) -> list[Unfinished]:
        """Drop and return the messages of which no fragment has arrived for ``timeout`` seconds until ``now``."""
        expired = [one for one in self._unfinished.values() if one.last_at + timeout <= now]
        for one in expired:
            self.refuse(one.header)
        return expired

    def _read(self, header: Header, payload: memoryview) -> tuple[int, int]:
        """Return total and offset of a fragment, after the checks that need no other fragment."""
        if header.type not in STREAM_TYPES:
            raise _fault(f"{header.type.name} is never cut: fragments are of data messages, templates and attestations")
        if len(payload) < FRAGMENT_HEADER:
            raise _fault(f"a fragment has at least {FRAGMENT_HEADER} bytes of payload, not {len(payload)}")
        total: int
        offset: int
        total, offset = _FIELDS.unpack_from(payload)
        nbytes = len(payload) - FRAGMENT_HEADER
        if total > self._max_payload:
            raise MessageTooLarge(
                f"the fragment announces a payload of {total} bytes; the limit is {self._max_payload}",
                check=Check.FRAGMENT,
            )
        if nbytes == 0 or offset + nbytes > total:
            raise _fault(f"a fragment with {nbytes} bytes at byte {offset} of {total}")
        if nbytes < self._least and offset + nbytes < total:
            raise _fault(f"a fragment that is not the last has at least {self._least} bytes, not {nbytes}")
        return total, offset

    def _check_continues(self, current: Unfinished | None, header: Header, total: int, offset: int) -> None:
        """Check that a fragment continues the unfinished message of its class."""
        if current is None or _key_of(current.header) != _key_of(header):
            raise _fault(f"a fragment at byte {offset} of a message whose first fragments did not arrive")
        if _fixed(current.header) != _fixed(header) or current.total != total:
            raise _fault("type, flags, form, sequence and total must be the same in all fragments of a message")
        if offset != current.arrived:
            raise _fault(f"a fragment at byte {offset}, where byte {current.arrived} of the message follows")


def is_fragment(data: Buffer) -> bool:
    """Return whether a WebSocket message begins with the header of a fragment."""
    first = data if isinstance(data, bytes) else memoryview(data).cast("B")
    return len(first) >= _SIZE and first[0] == 4 and bool(first[2] & _FRAGMENT)


def incomplete(one: Unfinished, why: str) -> InvalidDataFormat:
    """Return the error for a message that is dropped although its fragments were valid."""
    error = _fault(f"{one.arrived} of {one.total} bytes of a message arrived: {why}")
    error.reason = "fragment"
    return error


def _finish(one: Unfinished) -> bytearray:
    """Return the frame as if it had arrived at once."""
    head = one.header
    with memoryview(one.frame) as view:
        checksum = crc32(view[_SIZE:])
    one.frame[:_SIZE] = bytes(
        Header(
            head.version,
            head.type,
            head.bits & ~_FRAGMENT,
            one.total,
            checksum,
            head.timestamp,
            head.form_bits,
            head.stream_id,
            head.sequence,
        )
    )
    return one.frame


def _class_of(header: Header) -> int:
    """Return the class of service of a message, as far as it tells unfinished ones apart."""
    if header.type is MessageType.ANOMALY_ALERT or header.bits & _PRIORITY:
        return 0
    return 2 if header.form_bits & _BULK else 1


def _key_of(header: Header) -> MessageKey:
    return header.stream_id or 0, header.timestamp or 0


def _fixed(header: Header) -> tuple[int, ...]:
    return int(header.type), header.bits, header.form_bits, header.sequence or 0


def _fault(text: str) -> InvalidDataFormat:
    return InvalidDataFormat(text, check=Check.FRAGMENT)

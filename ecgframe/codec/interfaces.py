"""What the codec needs of others: limits, templates, and what seals and opens payloads. A session provides them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._core import Header, TemplateCoder
    from .._core._header import FlatBuffer

__all__ = ["Meter", "PayloadOpener", "PayloadSealer", "RecordContent", "RecordTemplate", "TemplateBook"]


class Meter(Protocol):
    """Limits what decoding a frame may cost, before it is decoded. A session has one for each received message."""

    def admit(self, header: Header, room: int) -> int:
        """Judge a frame by its header, which passed the checks 1 to 6.

        Args:
            header: header of the frame; nothing else has been read yet.
            room: maximum size of the payload before and after decompression, in bytes.

        Returns:
            ``room``, or a lower limit.

        Raises:
            ProtocolError: the frame is rejected.
        """
        ...

    def weigh(self, flat: FlatBuffer, start: int, stop: int) -> None:
        """Judge a frame by its payload, after decompression and before unpacking. The checksum may still be unverified.

        Raises:
            ProtocolError: the frame is rejected.
        """
        ...

    def weigh_record(self, template: RecordTemplate, count: int, payload: memoryview) -> None:
        """Judge a record by what it stands for, before its samples are read.

        Args:
            template: its template.
            count: samples of each lead; at most as many as the bytes of the record can hold.
            payload: the record, as packed.

        Raises:
            ProtocolError: the frame is refused.
        """
        ...


class PayloadSealer(Protocol):
    """The part of ``Sealer`` that the codec needs."""

    def seal(self, payload: Buffer, *, version: int, type: int, flags: int = 0, form: int = 0) -> bytes:
        """Seal a payload. See ``Sealer.seal``."""
        ...


class PayloadOpener(Protocol):
    """Opens the sealed payloads of a peer. A session has one if it reads sealed streams.

    Attributes:
        passes: whether sealed payloads are not opened: a message then has a ``SealedPayload`` as its data.
    """

    passes: bool

    def open(self, header: Header, payload: memoryview) -> Buffer:
        """Return the payload as it was before it was sealed.

        Args:
            header: header of the frame, which has ENCRYPTED.
            payload: the sealed payload, whose checksum was verified.

        Raises:
            ProtocolError: check 8 failed, or the payload cannot be opened for now.
        """
        ...

    def cut(self, header: Header, payload: memoryview) -> Buffer:
        """Return a signed payload without its trailer, opened and inflated.

        Args:
            header: header of the frame, which has SIGNED.
            payload: the payload with the trailer.

        Raises:
            ProtocolError: the trailer is cut short (check 11), or the signature is not right (check 14).
        """
        ...

    def check(self, header: Header, data: Any) -> None:
        """Check the content of the last payload that was opened. ``data`` is the unpacked message.

        Raises:
            ProtocolError: check 8; the message does not belong to the key.
        """
        ...


class RecordContent(Protocol):
    """The result of decoding a record. ``DecodedRecord`` has more."""

    @property
    def data(self) -> dict[Any, Any]:
        """The ECG_DATA map that the record stands for."""
        ...


class RecordTemplate(Protocol):
    """The part of ``Template`` that the codec needs."""

    @property
    def rows(self) -> int:
        """Number of leads; 0 if the signal has one dimension."""
        ...

    @property
    def digest(self) -> bytes:
        """The digest in records that are bound to the template, 8 bytes."""
        ...

    @property
    def coder(self) -> TemplateCoder | None:
        """Reads records as ``decode`` does, in one call, apart from their digest; None if that is not enough."""
        ...

    def memory(self, count: int) -> int:
        """Bytes of memory that a record of ``count`` samples a lead takes, at most: its map, and what reads it."""
        ...

    def decode(self, payload: memoryview, *, max_payload: int, copy: bool, numeric: bool) -> RecordContent:
        """Read the payload of a record.

        Args:
            payload: read-only; at least the 16 bytes before the samples, with the number of this template.
            max_payload: maximum size of the samples in memory, in bytes.
            copy: True if the array must be a copy. Otherwise it may be a view, which keeps the payload alive.
            numeric: True if plain lists of numbers in the fields become arrays.

        Raises:
            ProtocolError: check 11 failed.
        """
        ...


TemplateBook = Mapping[tuple[int, int], RecordTemplate]
"""Templates for decoding records of V4, by stream id and number of the template. The caller of the codec adds them from
the STREAM_TEMPLATE messages that it receives."""

"""Errors of the protocol: one class for each of the specification's ten codes.

The base is a ``ValueError``, as it is for the standard library's decoders, so code that guards a decode
with ``except ValueError`` keeps working. Mistakes of the local caller (a set in the payload, a flag that the version
lacks) are plain ``TypeError``, ``OverflowError`` or ``ValueError``: they never came over the wire.
"""

from __future__ import annotations

from typing import ClassVar

from .protocol import Check, ErrorCode


class ProtocolError(ValueError):
    """A frame, or what it carries, is not what the specification allows.

    Attributes:
        code: the specification's error code, ready for an ERROR message.
        check: the row of the receiver's table of checks (``docs/protocol.md``, "What a receiver checks") that
            failed, as a ``protocol.Check``, or None where no such row is concerned. Up to ``FLAGS``, the stream can no
            longer be trusted; from ``CHECKSUM`` on, only this frame is lost.
        path: where in the payload, as in ``data["leads"][3]``, or None.
        offset: byte of the frame (checks 1 to 7) or of the inflated payload (check 11), or None.
        reason: a word for why, where code and check do not tell what a peer should do: "template" for a record of a
            template that is not known. Otherwise None.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INVALID_DATA_FORMAT
    reason: str | None = None

    def __init__(
        self,
        message: str,
        *,
        check: Check | None = None,
        path: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.check = check
        self.path = path
        self.offset = offset


class InvalidProtocolVersion(ProtocolError):
    """0x100: the first byte is no version that this receiver knows."""

    code = ErrorCode.INVALID_PROTOCOL_VERSION


class ChecksumMismatch(ProtocolError):
    """0x101: the payload's CRC-32 is not the one in the header.

    Attributes:
        found: the CRC-32 of the payload that arrived, or None where a peer reported the error.
    """

    code = ErrorCode.CHECKSUM_MISMATCH
    found: int | None = None


class MessageTooLarge(ProtocolError):
    """0x102: the payload, as it travels or inflated, passes the limit."""

    code = ErrorCode.MESSAGE_TOO_LARGE


class DecompressionFailed(ProtocolError):
    """0x103: the payload says it is compressed and is not one whole zlib stream."""

    code = ErrorCode.DECOMPRESSION_FAILED


class InvalidMessageType(ProtocolError):
    """0x104: the second byte is no type that the version has."""

    code = ErrorCode.INVALID_MESSAGE_TYPE


class InvalidDataFormat(ProtocolError):
    """0x200: the bytes do not add up to a frame, or the payload not to a message."""

    code = ErrorCode.INVALID_DATA_FORMAT


class MissingRequiredFields(ProtocolError):
    """0x201: the message lacks a field that its type requires."""

    code = ErrorCode.MISSING_REQUIRED_FIELDS


class AuthenticationFailed(ProtocolError):
    """0x202: no key for an encrypted payload, or its tag does not verify; or the peer is not who it says."""

    code = ErrorCode.AUTHENTICATION_FAILED


class PermissionDenied(ProtocolError):
    """0x203: the peer may not do that."""

    code = ErrorCode.PERMISSION_DENIED


class RateLimitExceeded(ProtocolError):
    """0x204: the peer sends more than it may."""

    code = ErrorCode.RATE_LIMIT_EXCEEDED


ERRORS: dict[ErrorCode, type[ProtocolError]] = {cls.code: cls for cls in ProtocolError.__subclasses__()}
"""The class for each code, to convert a received ERROR message to an exception."""

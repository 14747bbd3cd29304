"""Errors of the protocol: one class for each of the specification's ten codes.

The base class is a ``ValueError``, as the errors of the standard library's decoders are, so ``except ValueError``
catches them. Invalid arguments of the caller (a set in the payload, a flag that the version lacks) raise a plain
``TypeError``, ``OverflowError`` or ``ValueError``.
"""

from __future__ import annotations

from typing import ClassVar

from .protocol import Check, ErrorCode


class ProtocolError(ValueError):
    """A received frame or its payload violates the specification.

    Attributes:
        code: error code of the specification, as in an ERROR message.
        check: the check of a receiver that failed (``docs/protocol.md``, "What a receiver checks"), or None if the
            error does not belong to a check. Up to ``FLAGS``, the end of the frame is unknown, so later frames cannot
            be read; from ``CHECKSUM`` on, only this frame is lost.
        path: place of the error in the payload, such as ``data["leads"][3]``, or None.
        offset: position of the error in bytes, in the frame (checks 1 to 7) or in the decompressed payload (check 11),
            or None.
        reason: "template" for a record whose template is unknown, "fragment" for a message of which fragments are
            missing or invalid; otherwise None.
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
    """0x102: the payload exceeds the limit, before or after decompression."""

    code = ErrorCode.MESSAGE_TOO_LARGE


class DecompressionFailed(ProtocolError):
    """0x103: the payload of a frame with COMPRESSED is not one complete zlib stream."""

    code = ErrorCode.DECOMPRESSION_FAILED


class InvalidMessageType(ProtocolError):
    """0x104: the type is unknown in the version of the frame (check 3, when the header is read)."""

    code = ErrorCode.INVALID_MESSAGE_TYPE


class InvalidDataFormat(ProtocolError):
    """0x200: the bytes are not a valid frame, or the payload is not a valid message."""

    code = ErrorCode.INVALID_DATA_FORMAT


class MissingRequiredFields(ProtocolError):
    """0x201: the message lacks a field that its type requires."""

    code = ErrorCode.MISSING_REQUIRED_FIELDS


class AuthenticationFailed(ProtocolError):
    """0x202: the payload cannot be decrypted or verified, or the peer is not authenticated."""

    code = ErrorCode.AUTHENTICATION_FAILED


class PermissionDenied(ProtocolError):
    """0x203: the peer does not have the permission."""

    code = ErrorCode.PERMISSION_DENIED


class RateLimitExceeded(ProtocolError):
    """0x204: the peer exceeds a rate limit."""

    code = ErrorCode.RATE_LIMIT_EXCEEDED


ERRORS: dict[ErrorCode, type[ProtocolError]] = {cls.code: cls for cls in ProtocolError.__subclasses__()}
"""The class for each code, to convert a received ERROR message to an exception."""


def forget_where(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that is kept: in a reference cycle, they keep the message and its inflated bytes
    alive.
    """
    if error:
        error.__traceback__ = None
        forget_where(error.__cause__)
        forget_where(error.__context__)

"""Signed frames in tools: who has signed them, and whether the signature is right where the signer's key is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._core import build_frame
from ..messages.templates import template_number
from ..protocol import KEY_NAME_SIZE, Flag, Form, MessageType, RecordFilter
from ..signing import without_trailer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Header
    from ..messages.templates import Template
    from ..signing import Verifier

_RECORD: Final = int(Form.RECORD)
_FILTER_AT: Final = 2


class SeenSignature(NamedTuple):
    """A signature of a frame.

    Attributes:
        signer: name of the key in hexadecimal.
        result: "valid", "unknown signer", or "not verified" where no keys are given or the stream's name is not known.
    """

    signer: str
    result: str


class SignedFrames:
    """Cuts signatures off, and verifies those of known signers.

    Args:
        verifier: the known signers; None to verify nothing.
    """

    def __init__(self, verifier: Verifier | None = None) -> None:
        self._verifier = verifier

    def divide(self, header: Header, payload: memoryview) -> tuple[bytes, bytes]:
        """Return a frame without its signature, and the trailer.

        Args:
            header: header of the frame, which has SIGNED.
            payload: its payload, opened and inflated.

        Raises:
            InvalidDataFormat: 0x200, check 11; less than 72 bytes.
        """
        body = without_trailer(payload)
        form = header.form_bits & ~int(Form.ALGORITHM)
        place = header.stream_id or 0, header.sequence or 0
        flags = header.bits & ~int(Flag.SIGNED | Flag.COMPRESSED)
        plain = build_frame(header.version, int(header.type), flags, header.timestamp or 0, body, form, *place)
        return plain, bytes(payload[body.nbytes :])

    def judge(
        self,
        header: Header,
        data: Any,
        payload: bytes,
        trailer: bytes,
        templates: Mapping[tuple[int, int], Template],
    ) -> SeenSignature:
        """Return what is known of the signature of a frame.

        Args:
            header: its header.
            data: the message, which names the stream.
            payload: its payload without the trailer.
            trailer: the trailer.
            templates: by stream id and number; that of a record.

        Raises:
            AuthenticationFailed: 0x202, check 14; the signature is not right.
        """
        signer = trailer[:KEY_NAME_SIZE].hex()
        name = _stream_of(header, data)
        if self._verifier is None or name is None:
            return SeenSignature(signer, "not verified")
        form, unfiltered = header.form_bits & _RECORD, None
        if form and payload[_FILTER_AT] != RecordFilter.NONE:
            unfiltered = templates[header.stream_id or 0, template_number(payload)].without_filter(payload)
        found = self._verifier.verify(name, int(header.type), form, payload + trailer, unfiltered=unfiltered)
        return SeenSignature(signer, str(found.signature))

    def judge_attestation(self, header: Header, data: Any, payload: bytes) -> SeenSignature | None:
        """Return what is known of the signature of an attestation; None for other messages.

        Raises:
            AuthenticationFailed: 0x202, check 14; the signature is not right.
        """
        if header.type is not MessageType.STREAM_ATTESTATION:
            return None
        if self._verifier is None:
            return SeenSignature(bytes(data["key"]).hex(), "not verified")
        found = self._verifier.attestation(payload, stream=data["stream"])
        return SeenSignature(found.signer.hex(), str(found.signature))


def _stream_of(header: Header, data: Any) -> str | None:
    if not header.stream_id:
        return ""
    name = data.get("stream") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None

"""Error texts for invalid form, stream and sequence of a V4 header. Both cores use them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from ..protocol import LARGEST_SEQUENCE, TYPE_SINCE, VERSIONS, Form, MessageType

if TYPE_CHECKING:
    from collections.abc import Iterable

FORM_AT: Final = 19
STREAM_AT: Final = 20
SEQUENCE_AT: Final = 24

_IN_WORDS: Final = {13: "thirteen", 15: "fifteen"}
_COUNTS: Final = {version: _IN_WORDS[sum(since <= version for since in TYPE_SINCE.values())] for version in VERSIONS}


class FormFault(IntEnum):
    """The rules of check 6 for V4, in the order in which ``form_fault`` checks them."""

    RESERVED = 1
    ALGORITHM_OF_NOTHING = 2
    NO_ALGORITHM = 3
    NO_RECORD = 4
    NOT_BULK = 5
    NO_STREAM = 6
    LARGE_SEQUENCE = 7
    SEQUENCE_OF_NOTHING = 8
    NO_SEQUENCE = 9


def describe_fault(fault: int, type: int, form: int, stream_id: int, sequence: int) -> tuple[str, int]:
    """Return the text for a fault, and the offset of the field in the header."""
    name = MessageType(type).name
    algorithm = form & Form.ALGORITHM
    texts: dict[int, tuple[str, int]] = {
        FormFault.RESERVED: (f"the form 0x{form:02x} has reserved bits", FORM_AT),
        FormFault.ALGORITHM_OF_NOTHING: (
            f"the form names compression algorithm {algorithm}, and the payload is not compressed",
            FORM_AT,
        ),
        FormFault.NO_ALGORITHM: (f"no compression algorithm has the number {algorithm}", FORM_AT),
        FormFault.NO_RECORD: (
            f"RECORD is for ECG_DATA of a stream without PRIORITY, not for {name} of stream {stream_id}",
            FORM_AT,
        ),
        FormFault.NOT_BULK: (
            "BULK is for messages of a stream without PRIORITY, but for ANOMALY_ALERT; "
            f"not for {name} of stream {stream_id}",
            FORM_AT,
        ),
        FormFault.NO_STREAM: (f"{name} is of no stream; the header says {stream_id}", STREAM_AT),
        FormFault.LARGE_SEQUENCE: (f"the sequence {sequence} is larger than {LARGEST_SEQUENCE}", SEQUENCE_AT),
        FormFault.SEQUENCE_OF_NOTHING: (f"the sequence {sequence} belongs to no stream", SEQUENCE_AT),
        FormFault.NO_SEQUENCE: (f"{name} of stream {stream_id} has no sequence", SEQUENCE_AT),
    }
    return texts[fault]


def count_of_types(version: int) -> str:
    """Return the number of message types of a version, in words."""
    return _COUNTS[version]


def version_bits(versions: Iterable[int]) -> int:
    """Return the versions as bits for ``FlatBuffer.check_version``: bit n is set if version n is accepted."""
    return sum(1 << version for version in set(versions))


def shown_versions(versions: int) -> str:
    """Return the versions whose bits are set, as text."""
    return str([version for version in VERSIONS if versions >> version & 1])

"""Errors for invalid payloads of records. Both cores use them."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidDataFormat, MessageTooLarge
from ..protocol import DELTA_WIDTH, Check, RecordFilter
from .path import path_text

(WHOLE, CUT_SHORT, BAD_ORDER, BAD_WIDTH, BAD_OPTIONS, BAD_STEP, BAD_PREDICTION, SPARE_BITS, OUT_OF_RANGE, LEFT_OVER) = (
    range(10)
)
"""Faults of a row of the filter DELTA, as in ``record_filter.h``."""

_WORDS: Final = {
    CUT_SHORT: "the bytes end within it",
    BAD_ORDER: "its order is above the number of its samples",
    BAD_WIDTH: f"a residual has 0 to {DELTA_WIDTH} bits, and none where there is no residual",
    BAD_OPTIONS: "its options tell a step, a prediction or both, and nothing else",
    BAD_STEP: "a step is 2 or more",
    BAD_PREDICTION: "its prediction takes two rows before it, factors from -2 to 2, and no other bit",
    SPARE_BITS: "the spare bits behind its residuals are not 0",
    OUT_OF_RANGE: "a sample lies outside the dtype",
}


def short_record(nbytes: int, needed: int) -> InvalidDataFormat:
    """Return the error for a payload that ends before its samples begin."""
    return InvalidDataFormat(
        f"{nbytes} bytes where a record has {needed} before its samples (byte {nbytes})",
        check=Check.PAYLOAD,
        offset=nbytes,
    )


def bad_record_options(options: int) -> InvalidDataFormat:
    return InvalidDataFormat(
        f"a record with the options 0x{options:02x} (byte 3), of which only 0x01 and 0x02 are defined",
        check=Check.PAYLOAD,
        offset=3,
    )


def bad_filter(filter: int, dtype: str) -> InvalidDataFormat:
    known = filter in {int(member) for member in RecordFilter}
    why = f"takes integers, and the template says {dtype}" if known else "is unknown"
    return InvalidDataFormat(f"filter {filter} of a record (byte 2) {why}", check=Check.PAYLOAD, offset=2)


def too_many_samples(rows: int, count: int, size: int, limit: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"a record of {rows} times {count} samples of {size} bytes (byte 4); the limit is {limit} bytes",
        check=Check.PAYLOAD,
        offset=4,
    )


def wrong_size(nbytes: int, rows: int, count: int, size: int, start: int) -> InvalidDataFormat:
    return InvalidDataFormat(
        f"{nbytes} bytes of samples (byte {start}), where {rows} times {count} of {size} bytes are "
        f"{rows * count * size}",
        check=Check.PAYLOAD,
        offset=start,
        path=path_text(["signal"]),
    )


def too_few_bytes(nbytes: int, rows: int, count: int, needed: int, start: int) -> InvalidDataFormat:
    return InvalidDataFormat(
        f"{nbytes} filtered bytes (byte {start}), where {rows} times {count} samples have {needed} or more",
        check=Check.PAYLOAD,
        offset=start,
        path=path_text(["signal"]),
    )


def bad_row(fault: int, row: int, offset: int) -> InvalidDataFormat:
    """Return the error for an invalid row of the filter DELTA, or for bytes after the last row."""
    if fault == LEFT_OVER:
        return InvalidDataFormat(
            f"bytes left over behind the record's last row (byte {offset})",
            check=Check.PAYLOAD,
            offset=offset,
            path=path_text(["signal"]),
        )
    return InvalidDataFormat(
        f"row {row} of the record: {_WORDS[fault]} (byte {offset})",
        check=Check.PAYLOAD,
        offset=offset,
        path=path_text(["signal"]),
    )

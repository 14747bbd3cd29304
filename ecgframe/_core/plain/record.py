"""Payloads of records of version 4: the head, and the samples with or without the filter DELTA.

The plain twin of ``record.pyx``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from struct import Struct
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...protocol import (
    DELTA_BLOCK,
    DELTA_STEP,
    DELTA_WIDTH,
    RECORD_HEADER,
    TEMPLATE_DIGEST_SIZE,
    TEMPLATE_DTYPES,
    RecordFilter,
    RecordOption,
)
from .. import record_faults as faults
from ._header import flatten

if TYPE_CHECKING:
    from ._header import FlatBuffer

__all__ = ["TemplateCoder", "divide_common", "read_record_head", "read_record_samples", "write_record"]

Rows = npt.NDArray[np.int64]
Prediction = tuple[int, int, int]

_HEAD: Final = Struct(">HBBIq")
_NUMBER: Final = Struct(">Q")
_DTYPES: Final = {name: np.dtype(name) for name in TEMPLATE_DTYPES}
_NUMBERED, _BOUND = int(RecordOption.NUMBERED), int(RecordOption.BOUND)
_NONE, _DELTA = int(RecordFilter.NONE), int(RecordFilter.DELTA)
_STEP, _PREDICTION = 1, 2
_HIGHEST_ORDER: Final = 3


class _BadRow(Exception):
    """A row is invalid. Has the fault and its offset in the record."""

    def __init__(self, fault: int, offset: int) -> None:
        self.fault = fault
        self.offset = offset


# --- writing ---


def divide_common(data: Any, stream: str) -> tuple[npt.NDArray[Any], int, int | None, dict[Any, Any]] | None:
    """Same as in ``record.pyx``; here no map gains from it."""
    return None


def write_record(
    template: int,
    time: int,
    sequence: int | None,
    digest: bytes | None,
    samples: npt.NDArray[Any],
    dtype: str,
    rows: int,
    count: int,
    predictions: bytes,
    filter: int,
) -> bytes:
    """Same as in ``record.pyx``."""
    kind = _DTYPES[dtype]
    flat = flatten(samples)
    raw = rows * count * kind.itemsize
    if flat.nbytes != raw:
        raise ValueError(f"{flat.nbytes} bytes of samples, where {rows} times {count} of {dtype} are {raw}")
    array = np.frombuffer(flat.view(0, raw), kind).reshape(rows, count)
    filtered = None
    if filter == _DELTA and kind.kind in "iu":
        filtered = _filter_rows(array.astype(np.int64), kind, raw, _predictions(predictions, rows))
    content = array.astype(kind.newbyteorder("<")).tobytes() if filtered is None else filtered
    options = (0 if sequence is None else _NUMBERED) | (0 if digest is None else _BOUND)
    head = _HEAD.pack(template, _NONE if filtered is None else _DELTA, options, count, time)
    number = b"" if sequence is None else _NUMBER.pack(sequence)
    return b"".join((head, number, (digest or b"")[:TEMPLATE_DIGEST_SIZE], content))


def _predictions(predictions: bytes, rows: int) -> list[list[Prediction]]:
    """Parse the predictions to try for each row."""
    if not predictions:
        return [[]] * rows
    found = []
    at = 0
    for row in range(rows):
        end = at + 1 + 3 * predictions[at] if at < len(predictions) else 0
        if not at < end <= len(predictions):
            raise ValueError(f"predictions that end before row {row}")
        tried = [(predictions[p], predictions[p + 1], predictions[p + 2]) for p in range(at + 1, end, 3)]
        if any(_is_bad(prediction, row) for prediction in tried):
            raise ValueError(f"a prediction of row {row} that no reader takes")
        found.append(tried)
        at = end
    return found


def _is_bad(prediction: Sequence[int], row: int) -> bool:
    a, b, rule = prediction
    return a >= row or b >= row or rule & 7 > 4 or rule >> 3 & 7 > 4 or bool(rule & 0x80)


@dataclass(frozen=True, slots=True)
class _Form:
    """A form in which a row can be written."""

    prediction: Prediction | None
    order: int
    step: int
    zigzags: Rows
    widths: list[int]
    nbytes: int


def _filter_rows(samples: Rows, kind: np.dtype[Any], room: int, predictions: list[list[Prediction]]) -> bytes | None:
    """Filter the rows. Returns None if a row has no form or the result would be no shorter."""
    out = bytearray()
    for row, tried in enumerate(predictions):
        best: _Form | None = None
        for prediction in (None, *tried):
            for form in _forms(samples, row, kind.itemsize, prediction):
                if best is None or form.nbytes < best.nbytes:
                    best = form
        if best is None or len(out) + best.nbytes >= room:
            return None
        out += _row_bytes(best, samples[row, : best.order].astype(kind.newbyteorder("<")).tobytes())
    return bytes(out) if len(out) < room else None


def _forms(samples: Rows, row: int, itemsize: int, prediction: Prediction | None) -> Iterator[_Form]:
    """Yield the forms of a row with one prediction, in the order in which writers try them."""
    residuals = samples[row]
    if prediction is not None:
        residuals = residuals - _expected(samples[prediction[0]], samples[prediction[1]], prediction[2])
    for order in range(min(_HIGHEST_ORDER, len(residuals)) + 1):
        if order:
            residuals = np.diff(residuals)
        divisor = gcd(*residuals.tolist())
        for step in (1, divisor) if 2 <= divisor <= DELTA_STEP else (1,):
            divided = residuals // step
            zigzags = divided << 1 ^ divided >> 63
            widths = [max(block.tolist()).bit_length() for block in _blocks(zigzags)]
            if max(widths, default=0) <= DELTA_WIDTH:
                options = (0 if prediction is None else 3) + (2 if step > 1 else 0)
                nbytes = 1 + (1 + options if options else 0) + order * itemsize + max(0, len(widths) - 1)
                for width, block in zip(widths, _blocks(zigzags), strict=True):
                    nbytes += (len(block) * width + 7) // 8
                yield _Form(prediction, order, step, zigzags, widths, nbytes)


def _expected(a: Rows, b: Rows, rule: int) -> Rows:
    """Predict samples from two rows."""
    expected: Rows = (((rule & 7) - 2) * a + ((rule >> 3 & 7) - 2) * b + (rule >> 6 & 1)) >> 1
    return expected


def _blocks(values: Rows) -> list[Rows]:
    return [values[start : start + DELTA_BLOCK] for start in range(0, len(values), DELTA_BLOCK)]


def _row_bytes(form: _Form, first_samples: bytes) -> bytes:
    options = (_STEP if form.step > 1 else 0) | (0 if form.prediction is None else _PREDICTION)
    out = bytearray([(form.widths[0] if form.widths else 0) | form.order << 5 | (0x80 if options else 0)])
    if options:
        out.append(options)
    if form.step > 1:
        out += form.step.to_bytes(2, "little")
    if form.prediction is not None:
        out += bytes(form.prediction)
    out += first_samples
    for number, (width, block) in enumerate(zip(form.widths, _blocks(form.zigzags), strict=True)):
        if number:
            out.append(width)
        bits = 0
        for zigzag in reversed(block.tolist()):
            bits = bits << width | zigzag
        out += bits.to_bytes((len(block) * width + 7) // 8, "little")
    return bytes(out)


# --- reading ---


def read_record_head(
    flat: FlatBuffer, start: int, stop: int
) -> tuple[int, int, int, int, int | None, bytes | None, int]:
    """Same as in ``record.pyx``."""
    if not 0 <= start <= stop <= flat.nbytes:
        raise IndexError("a record outside its buffer")
    octets = flat.view(start, stop)
    if len(octets) < RECORD_HEADER:
        raise faults.short_record(len(octets), RECORD_HEADER)
    template, filter, options, count, time = _HEAD.unpack_from(octets)
    if options & ~(_NUMBERED | _BOUND):
        raise faults.bad_record_options(options)
    offset = RECORD_HEADER
    offset += _NUMBER.size if options & _NUMBERED else 0
    offset += TEMPLATE_DIGEST_SIZE if options & _BOUND else 0
    if len(octets) < offset:
        raise faults.short_record(len(octets), offset)
    sequence = _NUMBER.unpack_from(octets, RECORD_HEADER)[0] if options & _NUMBERED else None
    digest = bytes(octets[offset - TEMPLATE_DIGEST_SIZE : offset]) if options & _BOUND else None
    return template, filter, count, time, sequence, digest, offset


def read_record_samples(
    flat: FlatBuffer,
    start: int,
    stop: int,
    offset: int,
    filter: int,
    dtype: str,
    rows: int,
    count: int,
    limit: int,
    size: int,
    copy: bool,
) -> npt.NDArray[Any]:
    """Same as in ``record.pyx``."""
    kind = _DTYPES[dtype]
    all_rows = rows or 1
    if not 0 <= start <= start + offset <= stop <= flat.nbytes:
        raise IndexError("a record outside its buffer")
    if not (filter == _NONE or (filter == _DELTA and kind.kind in "iu")):
        raise faults.bad_filter(filter, dtype)
    if all_rows * count * size > limit:
        raise faults.too_many_samples(all_rows, count, size, limit)
    shape = (rows, count) if rows else (count,)
    octets = flat.view(start + offset, stop)
    if filter == _DELTA:
        needed = all_rows * max(1, -((_HIGHEST_ORDER - count) // DELTA_BLOCK))
        if len(octets) < needed:
            raise faults.too_few_bytes(len(octets), all_rows, count, needed, offset)
        return _unfilter(octets, offset, kind, all_rows, count).reshape(shape)
    if len(octets) != all_rows * count * kind.itemsize:
        raise faults.wrong_size(len(octets), all_rows, count, kind.itemsize, offset)
    array = np.frombuffer(octets, kind.newbyteorder("<")).reshape(shape)
    if copy:
        return array.astype(kind)
    if not array.dtype.isnative or not array.flags.aligned:
        array = array.astype(kind)
        array.flags.writeable = False
    return array


class TemplateCoder:
    """Same as in ``record.pyx``."""

    def __init__(
        self,
        number: int,
        dtype: str,
        rows: int,
        stream: str,
        fields: dict[Any, Any],
        copied: list[tuple[Any, Callable[[Any], Any], Any]],
        predictions: bytes,
    ) -> None:
        self._dtype = dtype
        self._rows = rows
        self._map = {**fields, "stream": stream, "signal": None, "timestamp": None}
        self._copied = copied
        self.nbytes = getsizeof(self._map)

    def read(
        self,
        flat: FlatBuffer,
        start: int,
        stop: int,
        head: tuple[int, int, int, int, int | None, bytes | None, int],
        limit: int,
        copy: bool,
    ) -> dict[Any, Any]:
        """Same as in ``record.pyx``."""
        _, filter, count, time, sequence, _, offset = head
        size = _DTYPES[self._dtype].itemsize
        signal = read_record_samples(
            flat, start, stop, offset, filter, self._dtype, self._rows, count, limit, size, copy
        )
        items = dict(self._map)
        for name, copier, value in self._copied:
            items[name] = copier(value)
        items["signal"] = signal
        items["timestamp"] = time / 1e6
        if sequence is not None:
            items["sequence"] = sequence
        return items

    def write_map(self, data: Any, delta: bool, limit: int) -> bytes | None:
        """Same as in ``record.pyx``; here no map gains from it."""
        return None

    def write(self, signal: npt.NDArray[Any], time: int, sequence: int | None, delta: bool, limit: int) -> bytes | None:
        """Same as in ``record.pyx``; here no array gains from it."""
        return None


def _unfilter(octets: memoryview, offset: int, kind: np.dtype[Any], rows: int, count: int) -> npt.NDArray[Any]:
    """Read the samples of all rows."""
    array = np.empty((rows, count), kind)
    at = 0
    for row in range(rows):
        try:
            array[row], at = _read_row(octets, at, kind, array, row)
        except _BadRow as bad:
            raise faults.bad_row(bad.fault, row, offset + bad.offset) from None
    if at != len(octets):
        raise faults.bad_row(faults.LEFT_OVER, rows, offset + at)
    return array


def _read_row(
    octets: memoryview, at: int, kind: np.dtype[Any], array: npt.NDArray[Any], row: int
) -> tuple[list[int], int]:
    """Read the row at ``at``. Returns its samples and its end."""
    count = array.shape[1]
    limits = np.iinfo(kind)
    width, order, step, prediction, at = _read_row_head(octets, at, row, count)
    if prediction is None:
        expected = [0] * count
    else:
        a, b, rule = prediction
        expected = _expected(array[a].astype(np.int64), array[b].astype(np.int64), rule).tolist()
    end = at + order * kind.itemsize
    if end > len(octets):
        raise _BadRow(faults.CUT_SHORT, at)
    samples: list[int] = np.frombuffer(octets[at:end], kind.newbyteorder("<")).tolist()
    at = end
    d1, d2, d3 = [*(sample - before for sample, before in zip(samples, expected, strict=False))][::-1] + [0] * (
        3 - order
    )
    for first in range(order, count, DELTA_BLOCK):
        if first > order:
            if at == len(octets):
                raise _BadRow(faults.CUT_SHORT, at)
            width = octets[at]
            if width > DELTA_WIDTH:
                raise _BadRow(faults.BAD_WIDTH, at)
            at += 1
        zigzags, end = _read_block(octets, at, min(count - first, DELTA_BLOCK), width)
        for zigzag, before in zip(zigzags, expected[first : first + DELTA_BLOCK], strict=True):
            d = (zigzag >> 1 ^ -(zigzag & 1)) * step
            if order == 1:
                d += d1
            elif order == 2:
                d += 2 * d1 - d2
            elif order == 3:
                d += 3 * d1 - 3 * d2 + d3
            sample = d + before
            if not limits.min <= sample <= limits.max:
                raise _BadRow(faults.OUT_OF_RANGE, at)
            samples.append(sample)
            d1, d2, d3 = d, d1, d2
        at = end
    return samples, at


def _read_row_head(octets: memoryview, at: int, row: int, count: int) -> tuple[int, int, int, Prediction | None, int]:
    """Read the head of the row at ``at``. Returns width, order, step, prediction, and where the first samples are."""
    nbytes = len(octets)
    if at == nbytes:
        raise _BadRow(faults.CUT_SHORT, at)
    first, options, step = octets[at], 0, 1
    prediction: Prediction | None = None
    width, order = first & 31, first >> 5 & 3
    if order > count:
        raise _BadRow(faults.BAD_ORDER, at)
    if width > DELTA_WIDTH or (width and order == count):
        raise _BadRow(faults.BAD_WIDTH, at)
    at += 1
    if first & 0x80:
        if at == nbytes:
            raise _BadRow(faults.CUT_SHORT, at)
        options = octets[at]
        if not options or options & ~(_STEP | _PREDICTION):
            raise _BadRow(faults.BAD_OPTIONS, at)
        at += 1
    if options & _STEP:
        if nbytes - at < 2:
            raise _BadRow(faults.CUT_SHORT, at)
        step = octets[at] | octets[at + 1] << 8
        if step < 2:
            raise _BadRow(faults.BAD_STEP, at)
        at += 2
    if options & _PREDICTION:
        if nbytes - at < 3:
            raise _BadRow(faults.CUT_SHORT, at)
        prediction = octets[at], octets[at + 1], octets[at + 2]
        if _is_bad(prediction, row):
            raise _BadRow(faults.BAD_PREDICTION, at)
        at += 3
    return width, order, step, prediction, at


def _read_block(octets: memoryview, at: int, count: int, width: int) -> tuple[list[int], int]:
    """Read the block at ``at``. Returns its zigzag numbers and its end."""
    end = at + (count * width + 7) // 8
    if end > len(octets):
        raise _BadRow(faults.CUT_SHORT, at)
    bits = int.from_bytes(octets[at:end], "little")
    if bits >> count * width:
        raise _BadRow(faults.SPARE_BITS, end - 1)
    mask = (1 << width) - 1
    return [bits >> shift & mask for shift in range(0, count * width, width)] if width else [0] * count, end

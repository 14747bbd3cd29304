"""Templates and records of version 4: a template holds the constant fields of a stream, records hold the samples.

A record stands for an ECG_DATA map. Its template holds the fields that are the same in all maps of the stream; the
record itself holds time, sequence and samples. Specification: ``docs/protocol.md``, "Templates and records".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from math import isfinite, trunc
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import numpy as np
import numpy.typing as npt

from .._core import (
    TemplateCoder,
    divide_common,
    flatten,
    footprint,
    pack_payload,
    read_record_head,
    read_record_samples,
    unpack_payload,
    write_record,
)
from ..errors import MessageTooLarge
from ..protocol import (
    DEFAULT_MAX_PAYLOAD,
    MAX_TEMPLATE_ROWS,
    RECORD_FIELDS,
    TEMPLATE_DIGEST_SIZE,
    TEMPLATE_DTYPES,
    Check,
    RecordFilter,
)
from . import rules, template_rules
from .template_rules import wrong_template

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DTYPES: Final = {name: np.dtype(name) for name in TEMPLATE_DTYPES}
_NAMES: Final = {dtype: name for name, dtype in _DTYPES.items()}
"""Names by dtype, native byte order only. Asking NumPy for a name takes longer than writing a record."""

_RECORD_FIELDS: Final = frozenset(RECORD_FIELDS)
_SCALARS: Final = (str, int, float, type(None))
_OF_INTEGER_SAMPLES: Final = ("gain", "baseline", "missing")
"""Fields that apply to integer samples only. They are removed if the samples become floats."""

_NONE, _DELTA = int(RecordFilter.NONE), int(RecordFilter.DELTA)
_LARGEST_COUNT: Final = 2**32 - 1
_LARGEST_SEQUENCE: Final = 2**64 - 1
_LEAST_TIME, _LATEST_TIME = -(2**63), 2**63 - 1
_MICROSECONDS: Final = 1_000_000

_RULES: Final = {
    "iii": (0x20,),
    "avr": (0x09, 0x49),
    "avl": (0x0C, 0x4C),
    "avf": (0x21, 0x61),
}
"""Rules of prediction to try, by the name of the lead: how it is computed from the leads I and II."""

_MOST_PREDICTING: Final = 256
"""Predictions use the first 256 rows only."""

_OVERHEAD: Final = 1024
"""Bytes of memory of the objects of a template besides its values, at most."""


class Scale(NamedTuple):
    """Scale of exact floats: a sample is ``count * mul / div``.

    Attributes:
        mul: from 10^-100 to 10^100.
        div: the same.
    """

    mul: float
    div: float


class Content(NamedTuple):
    """Content of an ECG_DATA map, divided as in a record and its template.

    Attributes:
        signal: [samples] or [leads, samples], of a dtype in ``TEMPLATE_DTYPES``.
        time: time of the first sample, in microseconds since 1970.
        sequence: ``sequence`` of the message, or None.
        fields: all other fields.
    """

    signal: npt.NDArray[Any]
    time: int
    sequence: int | None
    fields: dict[Any, Any]


class DecodedRecord(NamedTuple):
    """A decoded record.

    Attributes:
        data: the ECG_DATA map that the record stands for.
        counts: the samples as in the record; the same array as ``signal`` of the map if they are not converted.
        time: time of the first sample, in microseconds since 1970.
        sequence: ``sequence`` of the message, or None.
    """

    data: dict[Any, Any]
    counts: npt.NDArray[Any]
    time: int
    sequence: int | None


def record_content(data: Any, stream: str) -> Content | None:
    """Divide an ECG_DATA map for a record of a stream.

    Args:
        data: the map.
        stream: name of the stream; ``stream`` of the map must be the same, or absent.

    Returns:
        None if the map must be sent as MessagePack: ``signal`` is not a native array of a dtype and shape that records
        allow, ``timestamp`` is not a number of seconds whose microseconds have 64 bits, ``sequence`` is not an integer
        from 0 to 2^64 - 1, or a key is not text.
    """
    found = divide_common(data, stream)  # this runs for each message
    return _divide(data, stream) if found is None else Content(*found)


def _divide(data: Any, stream: str) -> Content | None:
    """Divide a map of any types."""
    if not isinstance(data, dict):
        return None
    name, sequence = data.get("stream", stream), data.get("sequence")
    signal: Any = data.get("signal")
    if not isinstance(name, str) or name != stream:
        return None
    if not _fits_records(signal) or ("sequence" in data and not _is_within(sequence, 0, _LARGEST_SEQUENCE)):
        return None
    time = _microseconds(data.get("timestamp"))
    if time is None:
        return None
    fields = {}
    for key, value in data.items():
        if not isinstance(key, str):
            return None
        if key not in _RECORD_FIELDS:
            fields[key] = value
    return Content(signal, time, None if sequence is None else int(sequence), fields)


def _fits_records(signal: Any) -> bool:
    return (
        type(signal) is np.ndarray
        and signal.dtype in _NAMES
        and signal.ndim in {1, 2}
        and (signal.ndim == 1 or 1 <= len(signal) <= MAX_TEMPLATE_ROWS)
        and signal.shape[-1] <= _LARGEST_COUNT
    )


def _is_within(value: Any, least: int, most: int) -> bool:
    return rules.is_integer(value) and bool(least <= value <= most)


def _microseconds(seconds: Any) -> int | None:
    """Round to microseconds; None if the value is not a number or the result exceeds 64 bits."""
    if not rules.is_number(seconds):
        return None
    if rules.is_integer(seconds):
        time = int(seconds) * _MICROSECONDS
    else:
        exact = float(seconds)
        if not isfinite(exact):
            return None
        whole = trunc(exact)  # apart from the fraction: their product would be rounded twice
        time = whole * _MICROSECONDS + round((exact - whole) * _MICROSECONDS)
    return time if _LEAST_TIME <= time <= _LATEST_TIME else None


def template_number(payload: Buffer) -> int:
    """Return the number of a record's template.

    Raises:
        InvalidDataFormat: 0x200, check 11; the head of the record is cut short, or has undefined options.
    """
    flat = flatten(payload)
    return read_record_head(flat, 0, flat.nbytes)[0]


_Copied = tuple[Any, Callable[[Any], Any], Any]


@final
class Template:
    """The fields that all ECG_DATA messages of some records share. Immutable.

    Attributes:
        number: number of the template in its stream, 1 to 65,535.
        stream: name of the stream, at most ``MAX_STREAM_NAME`` characters.
        dtype: dtype of the samples in records, one of ``TEMPLATE_DTYPES``.
        rows: number of leads, 1 to 4,096; 0 if the signal has one dimension.
        fields: all fields except signal, stream, timestamp and sequence. Do not change them.
        missing: count that marks missing samples; None for no mark. Always None for float dtypes.
        scale: converts counts to exact floats; None to leave them integers. Always None for float dtypes.
        payload: the MessagePack payload, at most 4,096 bytes.
        coder: reads and writes records without a digest in one call; None if ``missing`` or ``scale`` is set.

    Raises:
        MissingRequiredFields: 0x201, check 12; a required field is absent.
        InvalidDataFormat: 0x200, check 12; ``path`` names the invalid field.
        MessageTooLarge: 0x102, check 12; more than 4,096 bytes or 256 values.
        TypeError, OverflowError, ValueError: a field cannot be encoded, as in ``Codec.encode``.
    """

    __slots__ = (
        "_baseline",
        "_copied_fields",
        "_digest",
        "_gain",
        "_key",
        "_memory",
        "_numeric",
        "_predictions",
        "_sample_size",
        "coder",
        "dtype",
        "fields",
        "missing",
        "number",
        "payload",
        "rows",
        "scale",
        "stream",
    )

    def __init__(
        self,
        number: int,
        stream: str,
        dtype: str,
        rows: int,
        fields: Mapping[Any, Any],
        *,
        missing: int | None = None,
        scale: Scale | Mapping[str, float] | None = None,
    ) -> None:
        entries: dict[str, Any] = {
            "template": number,
            "stream": stream,
            "dtype": dtype,
            "rows": rows,
            "fields": dict(fields),
        }
        if missing is not None:
            entries["missing"] = missing
        if scale is not None:
            entries["scale"] = scale._asdict() if isinstance(scale, Scale) else dict(scale)
        self._read(pack_payload(entries, DEFAULT_MAX_PAYLOAD, False))

    @classmethod
    def unpack(cls, payload: Buffer) -> Template:
        """Read a template from the payload of a STREAM_TEMPLATE.

        Raises:
            ProtocolError: as the constructor; or check 11, if the payload is not one MessagePack value.
        """
        flat = flatten(payload)
        template = cls.__new__(cls)
        template._read(bytes(flat.view(0, flat.nbytes)))
        return template

    @classmethod
    def of(
        cls, content: Content, number: int, stream: str, *, missing: int | None = None, scale: Scale | None = None
    ) -> Template:
        """Make the template for the content of a map. Raises as the constructor."""
        signal = content.signal
        rows = len(signal) if signal.ndim == 2 else 0
        return cls(number, stream, _NAMES[signal.dtype], rows, content.fields, missing=missing, scale=scale)

    def _read(self, payload: bytes) -> None:
        """Check a payload and set the attributes from it."""
        template_rules.check_size(len(payload))
        entries = template_rules.without_nil(unpack_payload(flatten(payload), 0, len(payload), False, True))
        template_rules.check_template(entries)
        self.number = int(entries["template"])
        self.stream: str = entries["stream"]
        self.dtype: str = entries["dtype"]
        self.rows = int(entries["rows"])
        self.fields: dict[Any, Any] = entries["fields"]
        self.missing = int(entries["missing"]) if "missing" in entries else None
        scale = entries.get("scale")
        self.scale = None if scale is None else Scale(float(scale["mul"]), float(scale["div"]))
        self.payload = payload
        may_be_floats = self.missing is not None or self.scale is not None
        self._sample_size = 8 if may_be_floats else _DTYPES[self.dtype].itemsize
        self._gain = self._baseline = None
        if self.missing is not None:
            self._gain = self._per_lead("gain")
            self._baseline = self._per_lead("baseline")
        self._copied_fields = _to_copy(self.fields)
        self._numeric: tuple[dict[Any, Any], list[_Copied]] | None = None
        self._digest: bytes | None = None
        self._key: bytes | None = None
        self._memory: int | None = None
        self._predictions = _predictions_of(self.fields.get("leads"), self.rows)
        self.coder: TemplateCoder | None = None
        if not may_be_floats:
            self.coder = TemplateCoder(
                self.number,
                self.dtype,
                self.rows,
                self.stream,
                self.fields,
                self._copied_fields,
                self._predictions,
            )

    def _per_lead(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return gain or baseline as an array, [rows, 1], or [1] for a one-dimensional signal; None if it is absent."""
        if name not in self.fields:
            return None
        value, leads = self.fields[name], self.rows or 1
        numbers = value if isinstance(value, (list, np.ndarray)) else [value] * leads
        return np.array([float(number) for number in numbers]).reshape((leads, 1) if self.rows else 1)

    @property
    def digest(self) -> bytes:
        """First 8 bytes of the SHA-256 of the payload. A bound record contains them."""
        if self._digest is None:
            self._digest = sha256(self.payload).digest()[:TEMPLATE_DIGEST_SIZE]
        return self._digest

    @property
    def key(self) -> bytes:
        """Key of the template, as ``template_key`` returns it. Interchangeable templates have equal keys."""
        if self._key is None:
            self._key = _key_of(self.dtype, self.rows, self.fields, self.missing, self.scale)
        return self._key

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the template takes, at most: its fields, and what reads and writes its records.

        The arrays that ``decode`` keeps for ``numeric`` are not counted.
        """
        arrays = sum(array.nbytes for array in (self._gain, self._baseline) if array is not None)
        coder = 0 if self.coder is None else self.coder.nbytes
        return _OVERHEAD + self._footprint() + len(self.payload) + arrays + len(self._predictions) + coder

    def _footprint(self) -> int:
        if self._memory is None:
            self._memory = footprint(flatten(self.payload), 0, len(self.payload))
        return self._memory

    def fields_on_the_wire(self) -> dict[str, Any]:
        """Return the payload as a map, from which a codec packs the same bytes."""
        entries: dict[str, Any] = unpack_payload(flatten(self.payload), 0, len(self.payload), False, True)
        return entries

    def signal_bytes(self, count: int) -> int:
        """Return the size in bytes of the signal that a record of ``count`` samples a lead stands for."""
        return (self.rows or 1) * count * self._sample_size

    def memory(self, count: int) -> int:
        """Return the most bytes of memory that a record of ``count`` samples a lead takes.

        These are the map of its fields, its samples, and their floats if the samples are converted.
        """
        itemsize = _DTYPES[self.dtype].itemsize
        converted = itemsize + 1 if self.missing is not None or self.scale is not None else 0
        return self._footprint() + (self.rows or 1) * count * (self._sample_size + converted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.payload == other.payload

    def __hash__(self) -> int:
        return hash(self.payload)

    def __repr__(self) -> str:
        return f"Template({self.number}, {self.stream!r}, {self.dtype!r}, rows={self.rows}, {len(self.payload)} bytes)"

    def __reduce__(self) -> Any:
        return Template.unpack, (self.payload,)

    def encode(
        self,
        signal: npt.NDArray[Any],
        time: int,
        sequence: int | None = None,
        *,
        delta: bool = True,
        bound: bool = False,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
    ) -> bytes:
        """Write the payload of a record.

        Args:
            signal: samples of the template's dtype, [leads, samples], or [samples] for 0 rows.
            time: time of the first sample, in microseconds since 1970, 64 bits signed.
            sequence: ``sequence`` of the message, 0 to 2^64 - 1, or None.
            delta: whether the receiver supports the filter DELTA, which is used if it makes the record shorter.
            bound: whether to bind the record to this template; required if it is sealed or signed.
            max_payload: the receiver's limit for payloads. It applies to the signal that the record stands for.

        Raises:
            ValueError: the signal does not have the dtype and shape of the template.
            MessageTooLarge: 0x102; the signal exceeds ``max_payload``, so a receiver would refuse the record.
            OverflowError: time or sequence exceed 64 bits.
        """
        if not _LEAST_TIME <= time <= _LATEST_TIME or not 0 <= (sequence or 0) <= _LARGEST_SEQUENCE:
            raise OverflowError(f"time {time} or sequence {sequence}: a record has 64 bits for each")
        if self.coder is not None and not bound:
            record = self.coder.write(signal, time, sequence, delta, max_payload)
            if record is not None:
                return record
        shape = (self.rows, signal.shape[-1]) if self.rows and signal.ndim else signal.shape[-1:]
        if signal.dtype != _DTYPES[self.dtype] or signal.shape != shape or not shape:
            expected = f"{self.rows} leads of {self.dtype}" if self.rows else f"one dimension of {self.dtype}"
            raise ValueError(f"a signal of {signal.dtype} and shape {list(signal.shape)}; the template has {expected}")
        if shape[-1] > _LARGEST_COUNT:
            raise ValueError(f"{shape[-1]} samples of each lead; a record has {_LARGEST_COUNT} at most")
        if signal.size * self._sample_size > max_payload:
            raise MessageTooLarge(
                f"a record of {signal.size} samples of {self._sample_size} bytes; the limit is {max_payload} bytes",
                check=Check.PAYLOAD,
            )
        return write_record(
            self.number,
            time,
            sequence,
            self.digest if bound else None,
            signal if signal.flags.c_contiguous else np.ascontiguousarray(signal),
            self.dtype,
            self.rows or 1,
            shape[-1],
            self._predictions,
            _DELTA if delta else _NONE,
        )

    def encode_map(self, data: Any, *, delta: bool, max_payload: int) -> bytes | None:
        """Write the payload of an unbound record of a map in one step, if the map is surely one of this template.

        Args:
            data: the map.
            delta: whether the receiver supports the filter DELTA.
            max_payload: as for ``encode``.

        Returns:
            The payload; None if the map may be one of this template, but only ``record_content`` and ``template_key``
            can determine, or if ``encode`` refuses it.
        """
        return None if self.coder is None else self.coder.write_map(data, delta, max_payload)

    def decode(
        self,
        payload: Buffer,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        copy: bool = False,
        numeric: bool = False,
    ) -> DecodedRecord:
        """Read the payload of a record of this template.

        Args:
            payload: the payload. Samples without filter are a read-only view of it.
            max_payload: maximum bytes of the signal in the map that the record stands for.
            copy: whether samples without filter are copied, so that they are writable.
            numeric: whether plain lists of numbers in the fields become arrays, as ``Codec(numeric_lists="ndarray")``
                makes of those in other messages.

        Raises:
            InvalidDataFormat: 0x200, check 11; ``reason`` is "template" if the record has another template.
            MessageTooLarge: 0x102, check 11; the signal exceeds ``max_payload``.
        """
        counts, time, sequence = self._counts(payload, max_payload, copy)
        fields, copied = self._with_arrays() if numeric else (self.fields, self._copied_fields)
        data = dict(fields)
        for name, copier, value in copied:
            data[name] = copier(value)
        data["stream"] = self.stream
        data["signal"] = self._signal(counts, data)
        data["timestamp"] = time / _MICROSECONDS
        if sequence is not None:
            data["sequence"] = sequence
        return DecodedRecord(data, counts, time, sequence)

    def _with_arrays(self) -> tuple[dict[Any, Any], list[_Copied]]:
        """Return the fields with arrays for plain lists of numbers, and those of them that have to be copied."""
        if self._numeric is None:
            fields = unpack_payload(flatten(self.payload), 0, len(self.payload), True, True)["fields"]
            self._numeric = fields, _to_copy(fields)
        return self._numeric

    def bind(self, payload: Buffer, *, delta: bool, max_payload: int = DEFAULT_MAX_PAYLOAD) -> bytes:
        """Return the same record, bound to this template.

        Args:
            payload: the record.
            delta: whether the receiver supports the filter DELTA.
            max_payload: as for ``decode``.

        Raises:
            ProtocolError: as ``decode``.
        """
        counts, time, sequence = self._counts(payload, max_payload, False)
        return self.encode(counts, time, sequence, delta=delta, bound=True, max_payload=max_payload)

    def without_filter(self, payload: Buffer, *, max_payload: int = DEFAULT_MAX_PAYLOAD) -> bytes:
        """Return the same record with the filter NONE, for receivers without DELTA. Raises as ``decode``."""
        flat = flatten(payload)
        if read_record_head(flat, 0, flat.nbytes)[1] == _NONE:
            return bytes(flat.view(0, flat.nbytes))
        counts, time, sequence = self._counts(payload, max_payload, False)
        bound = read_record_head(flat, 0, flat.nbytes)[5] is not None
        return self.encode(counts, time, sequence, delta=False, bound=bound, max_payload=max_payload)

    def _counts(self, payload: Buffer, max_payload: int, copy: bool) -> tuple[npt.NDArray[Any], int, int | None]:
        flat = flatten(payload)
        number, filter, count, time, sequence, digest, offset = read_record_head(flat, 0, flat.nbytes)
        if number != self.number:
            raise wrong_template(f"a record of template {number} (byte 0), not of {self.number}", 0)
        if digest is not None and digest != self.digest:
            at = offset - TEMPLATE_DIGEST_SIZE
            raise wrong_template(f"the record is bound to another template of number {number} (byte {at})", at)
        size = self._sample_size
        counts = read_record_samples(
            flat, 0, flat.nbytes, offset, filter, self.dtype, self.rows, count, max_payload, size, copy
        )
        return counts, time, sequence

    def _signal(self, counts: npt.NDArray[Any], data: dict[Any, Any]) -> npt.NDArray[Any]:
        """Convert counts to the signal. If missing samples make it floats, remove the fields for integers."""
        if self.missing is None and self.scale is None:
            return counts
        is_missing = None if self.missing is None else counts == self.missing
        if self.scale is not None:
            values = counts.astype(np.float64)
            values *= self.scale.mul
            values /= self.scale.div
        elif is_missing is not None and is_missing.any():
            values = counts.astype(np.float64)
            with np.errstate(all="ignore"):  # very small gains
                if self._baseline is not None:
                    values -= self._baseline
                if self._gain is not None:
                    values /= self._gain
            for name in _OF_INTEGER_SAMPLES:
                data.pop(name, None)
        else:
            return counts
        if is_missing is not None:
            values[is_missing] = np.nan
        return values


def template_key(content: Content, *, missing: int | None = None, scale: Scale | None = None) -> bytes:
    """Return a key of dtype, rows, fields, missing and scale: contents with equal keys can share a template.

    Raises:
        TypeError, OverflowError, ValueError: a field cannot be encoded, as in ``Codec.encode``.
    """
    signal = content.signal
    rows = len(signal) if signal.ndim == 2 else 0
    return _key_of(_NAMES[signal.dtype], rows, content.fields, missing, scale)


def _key_of(dtype: str, rows: int, fields: dict[Any, Any], missing: int | None, scale: Scale | None) -> bytes:
    return pack_payload([dtype, rows, missing, scale, fields], DEFAULT_MAX_PAYLOAD, False)


def _to_copy(fields: Mapping[Any, Any]) -> list[_Copied]:
    """Return the fields that have to be copied for each message: name, function that copies, and value."""
    return [(name, copier, value) for name, value in fields.items() if (copier := _copier(value)) is not None]


def _copier(value: Any) -> Callable[[Any], Any] | None:
    """Return a function that copies a value of the fields; None if the value is immutable."""
    if isinstance(value, list) and all(isinstance(entry, _SCALARS) for entry in value):
        return list  # usually the names of leads
    return _deep_copy if isinstance(value, (list, dict, np.ndarray)) else None


def _deep_copy(value: Any) -> Any:
    """Copy a value of the fields, so that the application may change it."""
    if isinstance(value, list):
        return [_deep_copy(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _deep_copy(entry) for key, entry in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def _predictions_of(leads: Any, rows: int) -> bytes:
    """Encode the predictions to try for each row, as ``write_record`` takes them; empty if there are none."""
    if not rows or not isinstance(leads, (list, tuple)) or not all(isinstance(name, str) for name in leads):
        return b""
    names = [name.lower() for name in leads[:rows]]
    if "i" not in names or "ii" not in names:
        return b""
    one, two = names.index("i"), names.index("ii")
    if max(one, two) >= _MOST_PREDICTING:
        return b""
    found = bytearray()
    for row in range(rows):
        tried = _RULES.get(names[row], ()) if row < len(names) and row > max(one, two) else ()
        found.append(len(tried))
        for rule in tried:
            found += bytes((one, two, rule))
    return bytes(found) if any(found) else b""

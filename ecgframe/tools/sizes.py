"""Measures sizes by message type and field, and the sizes of the same messages in other forms.

The codec encodes the messages in every other form; no size is estimated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, get_args
from uuid import UUID

import msgpack  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from ..codec import Codec, Message, NdarrayForm
from ..compression import inflate
from ..errors import MessageTooLarge, ProtocolError
from ..libraries import library
from ..protocol import (
    DATA_TYPES,
    NDARRAY_KEY,
    NDARRAY_KEYS,
    RECORD_HEADER,
    SEAL_OVERHEAD,
    TEMPLATES_IN_FORCE,
    TRAILER_SIZE,
    Flag,
    MessageType,
    RecordFilter,
    RecordOption,
)
from ..protocol import Form as FormBits
from .algorithm_costs import AlgorithmCost, algorithm_costs
from .frame_analysis import Examined
from .record_coder import VERSION as NUMBERED_SINCE
from .record_coder import Filter, RecordCoder
from .value_summary import as_array

_FLAGS_AT: Final = 2  # byte of the header

SAMPLE: Final = 200
"""Maximum number of messages of each type that are encoded in other forms. Field sizes are measured over more."""

SAMPLE_VALUES: Final = 1 << 18
"""Maximum count of numbers in all those messages. The first message may have more, up to LARGEST_SAMPLE."""

SAMPLE_BYTES: Final = 4 * 1024 * 1024
"""Maximum number of uncompressed bytes of all those messages, with the same exception."""

LARGEST_SAMPLE: Final = 8 * 1024 * 1024
"""Largest message that is encoded in other forms: bytes of the uncompressed payload, or of its numbers as float64."""

MOST_FIELDS: Final = 1000
"""Fields of a type that are counted separately; the rest are counted together."""

MOST_MEASURED: Final = 100_000
"""Maximum number of frames of a type whose fields are measured; of later frames, only the total size is measured."""

OTHER_FIELDS: Final = "(other fields)"

HEAD_OF_RECORD: Final = "(head of the record)"

RECORD: Final = "as it is, record"
DELTA_RECORD: Final = "as it is, delta record"
"""Names of the forms of version 4."""

_FILTER_AT, _OPTIONS_AT = 2, 3  # bytes of a record

_LONG_MAPS: Final = frozenset({0xDE, 0xDF})
_BINARY: Final = frozenset({0xC4, 0xC5, 0xC6})

GAINS: Final = (100, 200, 250, 400, 500, 800, 1000, 1024, 2000, 2048, 4000, 4096, 5000, 8000, 10_000, 20_000, 100_000)
"""Common gains of analog-digital converters, in counts per unit, in ascending order."""

WORTH_SAYING: Final = 0.05
"""Smallest saving, as a share, for which a change is recommended."""

_EXACT: Final = 1e-6
"""Largest distance from an integer, in counts, of a value times a gain that counts as integer, plus rounding errors."""

Numbers = npt.NDArray[Any]
Conversion = Callable[[dict[Any, Any]], dict[Any, Any]]


@dataclass(frozen=True, slots=True)
class Integers:
    """How floats can be sent as integers.

    Attributes:
        dtype: "int16" or "int32".
        gain: counts per unit.
        error: largest rounding error of a sample, in units; 0 if none is rounded.
    """

    dtype: str
    gain: float
    error: float


@dataclass(frozen=True, slots=True)
class Form:
    """One way to send the numbers of a message.

    Attributes:
        name: description of the form.
        nbytes: mean bytes of a frame without compression.
        compressed: mean bytes of a frame with compression; None if it saves nothing, or the version has none.
        once: bytes that are sent once before the frames: the templates of records.
    """

    name: str
    nbytes: float
    compressed: float | None
    once: int = 0

    @property
    def smallest(self) -> float:
        """The smaller of both sizes."""
        return self.nbytes if self.compressed is None else min(self.nbytes, self.compressed)


@dataclass(slots=True)
class TypeSizes:
    """Measurements of one message type.

    Attributes:
        type: the message type.
        frames: number of frames.
        wire_bytes: bytes of the frames as sent.
        header_bytes: bytes of their headers.
        seal_bytes: bytes by which sealing makes the measured ones longer.
        signature_bytes: bytes of the signatures behind the measured ones.
        payload_bytes: uncompressed bytes of their payloads.
        compressed: number of compressed frames.
        fields: uncompressed bytes of each field with its name.
        forms: how the field with the most numbers was sent, with the number of messages.
        messages: the first messages, to be encoded in other forms.
        measured: number of frames whose fields were measured.
        sampled_bytes: uncompressed bytes of ``messages``.
        sampled_values: numbers in ``messages``.
        left_out: number of messages that are too large to be encoded in other forms.
    """

    type: MessageType
    frames: int = 0
    wire_bytes: int = 0
    header_bytes: int = 0
    seal_bytes: int = 0
    signature_bytes: int = 0
    payload_bytes: int = 0
    compressed: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    messages: list[Message] = field(default_factory=list)
    measured: int = 0
    sampled_bytes: int = 0
    sampled_values: int = 0
    left_out: int = 0

    @property
    def is_sampled(self) -> bool:
        """True if ``messages`` is complete."""
        too_large = self.sampled_bytes > SAMPLE_BYTES or self.sampled_values > SAMPLE_VALUES
        return len(self.messages) >= SAMPLE or too_large

    def admit(self, message: Message, values: int) -> bool:
        """Decide whether a message belongs to ``messages``, and count it.

        Args:
            message: the message.
            values: how many numbers it has.
        """
        if max(message.nbytes, 8 * values) > LARGEST_SAMPLE:
            self.left_out += 1
            return False
        self.sampled_bytes += message.nbytes
        self.sampled_values += values
        return not self.messages or not self.is_sampled


@dataclass(frozen=True, slots=True)
class Comparison:
    """The messages of a type in all forms.

    Attributes:
        found: the measurements.
        numbers: the field with the most numbers; None if there is none.
        sent: mean bytes of a frame as sent.
        forms: the other forms, JSON first.
        integers: how the numbers can be sent as integers; None if they cannot, or are already.
        advice: a recommendation in one line.
        algorithms: the cost of each compression algorithm of version 4 for these messages with arrays in binary form;
            empty if they are too small to be compressed.
    """

    found: TypeSizes
    numbers: str | None
    sent: float
    forms: list[Form]
    integers: Integers | None
    advice: str
    algorithms: list[AlgorithmCost] = field(default_factory=list)


class SizeAnalysis:
    """Measures frames, and compares other forms in the end.

    Attributes:
        types: the measurements by message type.
        broken: number of broken frames.
        unread: number of frames whose payload was not unpacked.
        fragments: number of fragments, whose messages are not measured.
    """

    def __init__(self) -> None:
        self.types: dict[MessageType, TypeSizes] = {}
        self.broken = 0
        self.unread = 0
        self.fragments = 0

    def add(self, frame: Examined) -> None:
        """Measure a frame."""
        message = frame.message
        if frame.fragment is not None and frame.error is None:
            self.fragments += 1
            return
        if message is None:
            self.broken += frame.unread is None
            self.unread += frame.unread is not None
            return
        found = self.types.setdefault(message.type, TypeSizes(message.type))
        found.frames += 1
        found.wire_bytes += len(frame.octets)
        found.header_bytes += frame.header_size
        found.payload_bytes += message.nbytes
        compressed = bool(frame.fields["flags"] & Flag.COMPRESSED)
        found.compressed += compressed
        if found.measured >= MOST_MEASURED:
            return
        found.measured += 1
        found.seal_bytes += SEAL_OVERHEAD if frame.fields["flags"] & Flag.ENCRYPTED else 0
        found.signature_bytes += TRAILER_SIZE if frame.signature is not None and _is_signed(frame) else 0
        octets = frame.octets if frame.opened is None else frame.opened
        payload = memoryview(octets)[frame.header_size :]
        if octets[_FLAGS_AT] & Flag.COMPRESSED:
            algorithm = frame.fields.get("form", 0) & FormBits.ALGORITHM  # the same before and after sealing
            payload = memoryview(inflate(payload, message.nbytes, algorithm))
        is_record = bool(frame.fields.get("form", 0) & FormBits.RECORD)
        spans = record_spans(payload) if is_record else field_spans(payload)
        for path, span in spans.items():
            known = path in found.fields or len(found.fields) < MOST_FIELDS
            found.fields[path if known else OTHER_FIELDS] += span.nbytes
        if found.is_sampled:
            return
        numbers, values = _largest(message.data)
        if found.admit(message, values):
            found.messages.append(message)
            if numbers is not None:
                record = _record_name(payload) if is_record else ""
                form = _form_of(spans.get(numbers), _at(message.data, numbers), compressed, record)
                found.forms[form] += 1

    def compare(self) -> list[Comparison]:
        """Compare the forms of each type, the type with the most bytes first."""
        found = sorted(self.types.values(), key=lambda kind: kind.wire_bytes, reverse=True)
        return [_compare(kind) for kind in found]


# --- fields ---


@dataclass(slots=True)
class Span:
    """Size of a field of a payload.

    Attributes:
        nbytes: bytes of the field and its name.
        is_wrapper: whether the field is an ndarray.
        is_binary: whether the ndarray is in binary form.
    """

    nbytes: int
    is_wrapper: bool = False
    is_binary: bool = False


def _is_signed(frame: Examined) -> bool:
    return bool(frame.fields["version"] >= 4 and frame.fields["flags"] & Flag.SIGNED)


def field_spans(payload: bytes | bytearray | memoryview) -> dict[str, Span]:
    """Measure each field of a valid payload, and those of maps in it. Only keys are unpacked.

    Args:
        payload: the uncompressed payload.
    """
    reader = msgpack.Unpacker(max_buffer_size=max(len(payload), 1), strict_map_key=False)
    reader.feed(payload)
    whole = {"(payload)": Span(len(payload))}
    if not _is_map(payload, 0):
        return whole
    spans: dict[str, Span] = {}
    for _ in range(reader.read_map_header()):
        start = reader.tell()
        name = str(reader.unpack())
        place = reader.tell()
        if not _is_map(payload, place):
            reader.skip()
            _note(spans, name, Span(reader.tell() - start))
            continue
        inner = _spans_within(reader, payload)
        if inner.keys() == NDARRAY_KEYS:
            _note(spans, name, Span(reader.tell() - start, True, inner[NDARRAY_KEY].is_binary))
        elif not inner:
            _note(spans, name, Span(reader.tell() - start))
        for key, span in inner.items() if inner.keys() != NDARRAY_KEYS else ():
            _note(spans, f"{name}.{key}", span)
    return whole if spans.keys() == NDARRAY_KEYS else spans


def record_spans(payload: bytes | bytearray | memoryview) -> dict[str, Span]:
    """Measure the parts of a valid record: what is before the samples, and the samples."""
    head = RECORD_HEADER + 8 * sum(bool(payload[_OPTIONS_AT] & option) for option in RecordOption)
    return {HEAD_OF_RECORD: Span(head), "signal": Span(len(payload) - head)}


def _record_name(payload: bytes | bytearray | memoryview) -> str:
    return "delta record" if payload[_FILTER_AT] == RecordFilter.DELTA else "record"


def _spans_within(reader: Any, payload: bytes | bytearray | memoryview) -> dict[str, Span]:
    """Measure the entries of the map at the position of the reader."""
    spans: dict[str, Span] = {}
    for _ in range(reader.read_map_header()):
        start = reader.tell()
        key = str(reader.unpack())
        place = reader.tell()
        is_wrapper, is_binary = False, payload[place] in _BINARY
        if _is_map(payload, place):
            tags: dict[Any, int] = {}
            count = reader.read_map_header()
            for _ in range(count):
                name, place = reader.unpack(), reader.tell()
                if len(tags) <= len(NDARRAY_KEYS):
                    tags[name] = payload[place]
                reader.skip()
            is_wrapper = tags.keys() == NDARRAY_KEYS
            is_binary = is_wrapper and tags[NDARRAY_KEY] in _BINARY
        else:
            reader.skip()
        _note(spans, key, Span(reader.tell() - start, is_wrapper, is_binary))
    return spans


def _note(spans: dict[str, Span], path: str, span: Span) -> None:
    if path in spans or len(spans) >= MOST_FIELDS:
        path = path if path in spans else OTHER_FIELDS
        if path in spans:
            spans[path].nbytes += span.nbytes
            return
    spans[path] = span


def _is_map(payload: bytes | bytearray | memoryview, place: int) -> bool:
    return place < len(payload) and (0x80 <= payload[place] <= 0x8F or payload[place] in _LONG_MAPS)


def largest_numbers(data: Any) -> str | None:
    """Return the path of the field with the most numbers, such as ``features.rr``; None if there are no numbers."""
    return _largest(data)[0]


def _largest(data: Any) -> tuple[str | None, int]:
    """Return the path of the field with the most numbers, and the number of numbers in all fields."""
    if not isinstance(data, dict):
        return None, 0
    sizes = {path: array.size for path, array in _arrays(data)}
    return (max(sizes, key=lambda path: sizes[path]) if sizes else None), sum(sizes.values())


def _arrays(data: dict[Any, Any]) -> Iterator[tuple[str, Numbers]]:
    for name, value in data.items():
        array = as_array(value)
        if array is not None and array.dtype.kind in "iuf" and array.size > 1:
            yield str(name), array
        elif isinstance(value, dict):
            for inner, entry in value.items():
                array = as_array(entry)
                if array is not None and array.dtype.kind in "iuf" and array.size > 1:
                    yield f"{name}.{inner}", array


def _at(data: Any, path: str) -> Any:
    """Return the numbers at a path of ``_arrays``. Raises KeyError if there are none."""
    return _found(data, path)[1]


def _with(data: dict[Any, Any], path: str, value: Any) -> dict[Any, Any]:
    """Return the message with another value at the path."""
    (name, *inner), _ = _found(data, path)
    return {**data, name: {**data[name], inner[0]: value} if inner else value}


def _found(data: Any, path: str) -> tuple[tuple[Any, ...], Any]:
    """Return the keys of the numbers at the path, and the numbers.

    A path is text, but a key may be a number, or a text with a point in it. Then several fields may have one path.
    """
    for name, value in data.items() if isinstance(data, dict) else ():
        if str(name) == path and as_array(value) is not None:
            return (name,), value
        if isinstance(value, dict) and path.startswith(f"{name}."):
            for inner, entry in value.items():
                if f"{name}.{inner}" == path and as_array(entry) is not None:
                    return (name, inner), entry
    raise KeyError(path)


def _form_of(span: Span | None, value: Any, compressed: bool, record: str) -> str:
    array = as_array(value)
    dtype = "numbers" if array is None else str(array.dtype)
    if record:
        form = f"{dtype}, {record}"
    elif span is None or not span.is_wrapper:
        form = f"a plain list of {dtype}"
    elif span.is_binary:
        form = f"{dtype}, binary"
    else:
        form = f"{dtype}, list"
    return f"{form}, compressed" if compressed else form


# --- other forms ---


def _compare(found: TypeSizes) -> Comparison:
    if not found.messages:
        sent, size = found.wire_bytes / found.frames, f"{LARGEST_SAMPLE:,} bytes"
        advice = f"none: the messages are larger than {size} and were only counted"
        return Comparison(found, None, sent, [], None, advice)
    numbers = largest_numbers(found.messages[0].data) if found.type in DATA_TYPES else None
    version = max(message.version for message in found.messages)
    sent = found.wire_bytes / found.frames
    messages = [message.data for message in found.messages]
    forms = [Form("JSON", _mean(_json_size, messages), None)]
    integers = None
    if numbers is None:
        forms += _encoded("as it is", version, messages, "list")
    else:
        arrays = [as_array(_at(data, numbers)) for data in messages if _has(data, numbers)]
        messages = [data for data in messages if _has(data, numbers)]
        integers = as_integers([array for array in arrays if array is not None])
        for name, convert in _conversions(numbers, integers):
            converted = [convert(data) for data in messages]
            for form in get_args(NdarrayForm):
                forms += _encoded(f"{name}, {form}", version, converted, form)
    records = _as_records(messages) if found.type is MessageType.ECG_DATA else []
    advice = _advice(found, numbers, sent, forms, integers, records)
    return Comparison(found, numbers, sent, forms + records, integers, advice, algorithm_costs(_packed(messages)))


def _packed(messages: list[Any]) -> Iterator[bytes]:
    """Yield the payloads of messages in binary form, except those that cannot be sent in it."""
    codec = Codec(ndarray="binary")
    for message in messages:
        try:
            yield codec.pack(message)
        except (MessageTooLarge, TypeError, ValueError, OverflowError):
            continue


def _has(data: Any, path: str) -> bool:
    try:
        _found(data, path)
    except KeyError:
        return False
    return True


def _conversions(path: str, integers: Integers | None) -> Iterator[tuple[str, Conversion]]:
    """Yield each way to write the numbers: a name, and a function that converts a message."""

    def cast(dtype: str, data: dict[Any, Any]) -> dict[Any, Any]:
        with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which has the same size
            return _with(data, path, np.asarray(as_array(_at(data, path))).astype(dtype))

    def count(as_counts: Integers, data: dict[Any, Any]) -> dict[Any, Any]:
        array = np.asarray(as_array(_at(data, path)))
        return {"gain": as_counts.gain, **_with(data, path, _counts(array, as_counts))}

    yield "float64", partial(cast, "float64")
    yield "float32", partial(cast, "float32")
    if integers is not None:
        gain = f" with a gain of {integers.gain:g}" if integers.gain != 1 else ""
        yield (
            f"{integers.dtype}{gain}",
            partial(count, integers) if integers.gain != 1 else partial(cast, integers.dtype),
        )


def _counts(array: Numbers, integers: Integers) -> Numbers:
    return np.round(array.astype(np.float64) * integers.gain).astype(integers.dtype)


def as_integers(arrays: list[Numbers]) -> Integers | None:
    """Find out how the numbers can be sent as integers.

    The smallest common gain without loss is used; without one, the largest that fits int16, with its rounding error.
    None if a number is not finite, or too large.
    """
    if not arrays:
        return None
    values = np.concatenate([array.reshape(-1) for array in arrays]).astype(np.float64)
    if not values.size or not np.isfinite(values).all():
        return None
    largest = float(np.max(np.abs(values)))
    if all(array.dtype.kind in "iu" for array in arrays):
        return Integers(_dtype(largest), 1, 0.0) if largest < 2**31 else None
    rounding = max(float(np.finfo(array.dtype).eps) for array in arrays if array.dtype.kind == "f")
    for gain in (1, *GAINS):
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as too large
            counts = values * gain
            off = float(np.max(np.abs(counts - np.round(counts))))
        if largest * gain < 2**31 and off <= _EXACT + rounding * largest * gain:
            return Integers(_dtype(largest * gain), gain, 0.0)
    fitting = [gain for gain in GAINS if largest * gain < 2**15]
    return Integers("int16", fitting[-1], 0.5 / fitting[-1]) if fitting else None


def _dtype(largest: float) -> str:
    return "int16" if largest < 2**15 else "int32"


def _encoded(name: str, version: int, messages: list[Any], ndarray: NdarrayForm) -> list[Form]:
    """Measure one form; empty if a message would be too large or too deeply nested in this form."""
    plain = Codec(version=version, compression=None, ndarray=ndarray)
    packing = Codec(version=version, ndarray=ndarray)
    kind = MessageType.PING  # the type does not change the size
    try:
        nbytes = _mean(lambda data: len(plain.encode(kind, data)), messages)
        compressed = _mean(lambda data: len(packing.encode(kind, data)), messages)
    except (MessageTooLarge, ValueError):
        return []
    return [Form(name, nbytes, compressed if compressed < nbytes else None)]


def _as_records(messages: list[dict[Any, Any]]) -> list[Form]:
    """Measure the messages as records of version 4, with each filter; empty if they cannot be records."""
    forms = []
    plain, packing = (_records_size(messages, "none", compressed=compressed) for compressed in (False, True))
    if plain is not None and packing is not None:
        compressed = packing[0] if packing[0] < plain[0] else None
        forms.append(Form(RECORD, plain[0], compressed, plain[1]))
    delta = _records_size(messages, "delta", compressed=False)
    if delta is not None:
        forms.append(Form(DELTA_RECORD, delta[0], None, delta[1]))
    return forms


def _records_size(messages: list[dict[Any, Any]], filter: Filter, *, compressed: bool) -> tuple[float, int] | None:
    """Return the mean bytes of a frame, and the bytes of the templates; None if they cannot be records."""
    coder = RecordCoder(filter, compressed=compressed)
    try:
        nbytes = _mean(lambda data: len(coder.encode(_with_array(data))), messages)
    except (ProtocolError, TypeError, ValueError, OverflowError):
        return None
    return (nbytes, coder.template_bytes) if coder.templates <= TEMPLATES_IN_FORCE else None


def _with_array(data: Any) -> Any:
    """Return the message with an array as its signal, which a plain list would not be. It may be anything."""
    array = as_array(data.get("signal")) if isinstance(data, dict) else None
    return data if array is None else {**data, "signal": array}


def _mean(size: Callable[[Any], int], messages: list[Any]) -> float:
    return sum(map(size, messages)) / len(messages)


def _json_size(data: Any) -> int:
    orjson = library("orjson", extra="cli", purpose="comparing with JSON")
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return len(orjson.dumps(_native(data), option=options, default=_for_json))


def _native(value: Any) -> Any:
    """Make arrays acceptable to orjson: contiguous, in native byte order, float32 instead of float16."""
    if isinstance(value, dict):
        return {key: _native(entry) for key, entry in value.items()}
    if isinstance(value, list) and any(isinstance(entry, list | dict | np.ndarray) for entry in value):
        return [_native(entry) for entry in value]
    if isinstance(value, np.ndarray):
        if not value.size:
            return []  # for a shape such as [2**32 - 1, 2**30, 0], orjson aborts the process
        kept = value.dtype.kind != "f" or value.dtype.itemsize > 2
        return np.ascontiguousarray(value, value.dtype.newbyteorder("=") if kept else "float32")
    return value


def _for_json(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value) if isinstance(value, UUID) else repr(value)


# --- advice ---


def _advice(
    found: TypeSizes,
    numbers: str | None,
    sent: float,
    forms: list[Form],
    integers: Integers | None,
    records: list[Form],
) -> str:
    best = min(records, key=lambda form: form.smallest, default=None)
    saved = 0.0 if best is None else 1 - best.smallest / sent
    sent_as = found.forms.most_common(1)[0][0] if found.forms else ""
    if best is None or saved < WORTH_SAYING:
        if sent_as.endswith(" record"):
            return f"nothing to gain: {numbers} is sent as {sent_as}"
        return _advice_before_records(found, numbers, sent, forms, integers)
    name = best.name.partition(", ")[2]
    if found.messages[0].version >= NUMBERED_SINCE:
        how = "announce the capability delta" if sent_as.endswith(" record") else 'publish with samples="exact"'
        return f"{how}: {saved:.0%} smaller, as {name}s"
    advice = _advice_before_records(found, numbers, sent, forms, integers)
    once = f"after {best.once:,} bytes of templates"
    return f"{advice}; or speak version 4 (--protocol 4): {saved:.0%} smaller, as {name}s, {once}"


def _advice_before_records(
    found: TypeSizes, numbers: str | None, sent: float, forms: list[Form], integers: Integers | None
) -> str:
    if numbers is None or len(forms) < 3:
        return "nothing to gain: no array could be sent in another form"
    best = min((form for form in forms if form.name != "JSON"), key=lambda form: form.smallest)
    saved = 1 - best.smallest / sent
    if saved < WORTH_SAYING:
        form = found.forms.most_common(1)[0][0] if found.forms else "as it is"
        return f"nothing to gain: {numbers} is sent as {form}, and no form is {WORTH_SAYING:.0%} smaller"
    words = _in_words(best, numbers)
    return f"send {words}: {saved:.0%} smaller" + _caveat(best, integers)


def _in_words(best: Form, numbers: str) -> str:
    samples, _, form = best.name.rpartition(", ")
    compressed = ", compressed" if best.compressed is not None and best.compressed < best.nbytes else ""
    return f"{numbers} as {samples}, in {form} form{compressed}"


def _caveat(best: Form, integers: Integers | None) -> str:
    parts = []
    if integers is not None and integers.error and best.name.startswith(integers.dtype):
        parts.append(f"rounds by {integers.error:g} at most")
    if best.name.startswith("float32"):
        parts.append("rounds to 7 digits")
    if best.name.endswith("binary"):
        parts.append("for peers that announced ndarray-bin")
    return f" ({'; '.join(parts)})" if parts else ""

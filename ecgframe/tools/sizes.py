"""Where the bytes go: by message type and field, and what the same messages would take in other forms.

Every other form is really encoded, by the codec that would send it; nothing is estimated.
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
from ..libraries import library
from ..protocol import DATA_TYPES, NDARRAY_KEY, NDARRAY_KEYS, Flag, MessageType
from .frame_analysis import Examined
from .value_summary import as_array

SAMPLE: Final = 200
"""Messages of each type that are encoded in other forms; the field sizes are those of all."""

GAINS: Final = (100, 200, 250, 400, 500, 800, 1000, 1024, 2000, 2048, 4000, 4096, 5000, 8000, 10_000, 20_000, 100_000)
"""Counts per unit that analog-digital converters have, least first."""

WORTH_SAYING: Final = 0.05
"""The share that a change has to save before it is advised."""

_EXACT: Final = 1e-6
"""Of a count: what a product with a gain may be off an integer and yet be one, besides what the dtype rounds."""

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Integers:
    """How floats can travel as integers.

    Attributes:
        dtype: "int16" or "int32".
        gain: counts per unit.
        error: by how much a sample is rounded at most, in units; 0 where none is.
    """

    dtype: str
    gain: float
    error: float


@dataclass(frozen=True, slots=True)
class Form:
    """One way to send the numbers of a message.

    Attributes:
        name: in words.
        nbytes: of a frame, on average, without compression.
        compressed: the same with compression; None where it makes nothing smaller, or the version has none.
    """

    name: str
    nbytes: float
    compressed: float | None

    @property
    def smallest(self) -> float:
        """The smaller one."""
        return self.nbytes if self.compressed is None else min(self.nbytes, self.compressed)


@dataclass(slots=True)
class OfType:
    """What was found of one message type.

    Attributes:
        type: which.
        frames: how many.
        wire_bytes: of those frames, as they travelled.
        header_bytes: of those, headers.
        payload_bytes: of those, payloads, inflated.
        compressed: how many of those frames were.
        fields: bytes of each field, with its name, inflated.
        forms: of the field with the most numbers: how it came.
        messages: the first ones, to be encoded anew.
    """

    type: MessageType
    frames: int = 0
    wire_bytes: int = 0
    header_bytes: int = 0
    payload_bytes: int = 0
    compressed: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A type's messages in all forms.

    Attributes:
        found: what was found.
        numbers: the field that holds the most numbers; None where there is none.
        sent: bytes of a frame as it came, on average over the messages that were encoded anew.
        forms: the others; JSON first.
        integers: how the numbers can travel as integers; None where they do, or cannot.
        advice: one line in plain words.
    """

    found: OfType
    numbers: str | None
    sent: float
    forms: list[Form]
    integers: Integers | None
    advice: str


class SizeAnalysis:
    """Is shown frames, and compares in the end."""

    def __init__(self) -> None:
        self.types: dict[MessageType, OfType] = {}
        self.broken = 0
        self._codec = Codec()

    def add(self, frame: Examined) -> None:
        """Count a frame; a broken one counts as that."""
        message = frame.message
        if message is None:
            self.broken += 1
            return
        found = self.types.setdefault(message.type, OfType(message.type))
        found.frames += 1
        found.wire_bytes += len(frame.octets)
        found.header_bytes += frame.header_size
        found.payload_bytes += message.nbytes
        compressed = bool(frame.fields["flags"] & Flag.COMPRESSED)
        found.compressed += compressed
        payload = inflate(frame.payload, message.nbytes) if compressed else frame.payload
        raw = msgpack.unpackb(payload, strict_map_key=False) if len(payload) else None
        self._count_fields(found, raw)
        if len(found.messages) < SAMPLE:
            found.messages.append(message)
            numbers = largest_numbers(message.data)
            if numbers is not None:
                found.forms[_form_of(_at(raw, numbers), _at(message.data, numbers), compressed)] += 1

    def _count_fields(self, found: OfType, raw: Any) -> None:
        for path, size in _fields(raw):
            found.fields[path] += size

    def compare(self) -> list[Comparison]:
        """The types with the most bytes first."""
        found = sorted(self.types.values(), key=lambda kind: kind.wire_bytes, reverse=True)
        return [_compare(kind) for kind in found]


# --- fields ---


def _fields(raw: Any) -> Iterator[tuple[str, int]]:
    """Each field with the bytes that it takes, name included; one level of maps within a map is taken apart."""
    if not isinstance(raw, dict) or _is_wrapper(raw):
        yield "(payload)", len(_packed(raw))
        return
    for name, value in raw.items():
        if isinstance(value, dict) and value and not _is_wrapper(value):
            for inner, entry in value.items():
                yield f"{name}.{inner}", len(_packed(inner)) + len(_packed(entry))
        else:
            yield str(name), len(_packed(name)) + len(_packed(value))


def _packed(value: Any) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def _is_wrapper(value: dict[Any, Any]) -> bool:
    return value.keys() == NDARRAY_KEYS


def largest_numbers(data: Any) -> str | None:
    """The path of the field that holds the most numbers: ``signal``, or ``features.rr``."""
    if not isinstance(data, dict):
        return None
    sizes = {path: array.size for path, array in _arrays(data)}
    return max(sizes, key=lambda path: sizes[path]) if sizes else None


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
    if path in data:
        return data[path]
    name, _, inner = path.partition(".")
    return data[name][inner]


def _with(data: dict[Any, Any], path: str, value: Any) -> dict[Any, Any]:
    """The message with another value at that path."""
    if path in data:
        return {**data, path: value}
    name, _, inner = path.partition(".")
    return {**data, name: {**data[name], inner: value}}


def _form_of(raw: Any, value: Any, compressed: bool) -> str:
    array = as_array(value)
    dtype = "numbers" if array is None else str(array.dtype)
    if not isinstance(raw, dict):
        form = f"a plain list of {dtype}"
    elif isinstance(raw.get(NDARRAY_KEY), bytes):
        form = f"{dtype}, binary"
    else:
        form = f"{dtype}, list"
    return f"{form}, compressed" if compressed else form


# --- other forms ---


def _compare(found: OfType) -> Comparison:
    numbers = largest_numbers(found.messages[0].data) if found.type in DATA_TYPES else None
    version = max(message.version for message in found.messages)
    sent = found.wire_bytes / found.frames
    messages = [message.data for message in found.messages]
    forms = [Form("JSON", _mean(_json_size, messages), None)]
    integers = None
    if numbers is None:
        forms.append(_encoded("as it is", version, messages, "list"))
    else:
        arrays = [as_array(_at(data, numbers)) for data in messages if _has(data, numbers)]
        messages = [data for data in messages if _has(data, numbers)]
        integers = as_integers([array for array in arrays if array is not None])
        for name, turn in _turns(numbers, integers):
            turned = [turn(data) for data in messages]
            forms += [_encoded(f"{name}, {form}", version, turned, form) for form in get_args(NdarrayForm)]
    return Comparison(found, numbers, sent, forms, integers, _advice(found, numbers, sent, forms, integers))


def _has(data: Any, path: str) -> bool:
    try:
        return as_array(_at(data, path)) is not None
    except (KeyError, TypeError):
        return False


def _turns(path: str, integers: Integers | None) -> Iterator[tuple[str, Callable[[dict[Any, Any]], dict[Any, Any]]]]:
    """Each way to write the numbers, by name, as a function from a message to another."""

    def cast(dtype: str, data: dict[Any, Any]) -> dict[Any, Any]:
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
    """How these numbers can travel as integers.

    A gain that loses nothing is sought among those that converters have; where there is none, the largest that fits
    int16 is taken, and it is said by how much it rounds. None where a number is missing, or all are too large.
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
        counts = values * gain
        off = float(np.max(np.abs(counts - np.round(counts))))
        if largest * gain < 2**31 and off <= _EXACT + rounding * largest * gain:
            return Integers(_dtype(largest * gain), gain, 0.0)
    fitting = [gain for gain in GAINS if largest * gain < 2**15]
    return Integers("int16", fitting[-1], 0.5 / fitting[-1]) if fitting else None


def _dtype(largest: float) -> str:
    return "int16" if largest < 2**15 else "int32"


def _encoded(name: str, version: int, messages: list[Any], ndarray: NdarrayForm) -> Form:
    plain = Codec(version=version, compression=None, ndarray=ndarray)
    packing = Codec(version=version, ndarray=ndarray)
    kind = MessageType.PING  # what it is called costs nothing
    nbytes = _mean(lambda data: len(plain.encode(kind, data)), messages)
    compressed = _mean(lambda data: len(packing.encode(kind, data)), messages)
    return Form(name, nbytes, compressed if compressed < nbytes else None)


def _mean(size: Callable[[Any], int], messages: list[Any]) -> float:
    return sum(map(size, messages)) / len(messages)


def _json_size(data: Any) -> int:
    orjson = library("orjson", extra="cli", purpose="comparing with JSON")
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return len(orjson.dumps(_native(data), option=options, default=_for_json))


def _native(value: Any) -> Any:
    """The same with arrays as orjson takes them: contiguous, in the byte order of this machine."""
    if isinstance(value, dict):
        return {key: _native(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        kept = value.dtype.kind != "f" or value.dtype.itemsize > 2
        return np.ascontiguousarray(value, value.dtype.newbyteorder("=") if kept else "float32")
    return value


def _for_json(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value) if isinstance(value, UUID) else repr(value)


# --- advice ---


def _advice(found: OfType, numbers: str | None, sent: float, forms: list[Form], integers: Integers | None) -> str:
    if numbers is None or len(forms) < 3:
        return "nothing to gain: it has no array that could travel in another form"
    best = min((form for form in forms if form.name != "JSON"), key=lambda form: form.smallest)
    saved = 1 - best.smallest / sent
    if saved < WORTH_SAYING:
        form = found.forms.most_common(1)[0][0] if found.forms else "as it is"
        return f"nothing to gain: {numbers} travels as {form}, and no form is {WORTH_SAYING:.0%} smaller"
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
